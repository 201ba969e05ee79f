"""Every command line that a document shows is one that the program takes, with a configuration that can be loaded."""

import re
import shlex
from pathlib import Path

import pytest

from trio_grid.cli.program import build_parser
from trio_grid.cli.run_command import overrides_of
from trio_grid.config import load_config
from trio_grid.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "configs").glob("*.toml"))]
PROGRAM = re.compile(r"(?:\.venv/bin/trio-grid|(?:\.venv/bin/)?just(?= run\b))\s+([^\n`#]+)")
# The tutorial shows one on purpose.
FAULTY = "run --set grid.levels=3.5 --set grid.mode=up"


def documented() -> list[str]:
    found = {
        re.split(r" {2,}|;", match[1])[0].strip()
        for document in DOCUMENTS
        for match in PROGRAM.finditer(document.read_text(encoding="utf-8"))
    }
    return sorted(line for line in found if not line.startswith("--help"))


def test_the_documents_show_commands() -> None:
    commands = {line.split()[0] for line in documented()}
    assert {"run", "check", "status", "pause", "explain", "stop"} <= commands


@pytest.mark.parametrize("line", documented())
def test_a_documented_command_is_one_that_the_program_takes(line: str) -> None:
    arguments = build_parser().parse_args(shlex.split(line))
    config = getattr(arguments, "config", None)
    if config is not None:
        load_config(ROOT / config)
    if line.startswith("run"):
        try:
            load_config(None if config is None else ROOT / config, overrides_of(arguments))
        except ConfigError:
            assert line == FAULTY

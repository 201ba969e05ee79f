"""The commands that people and CI call are the ones that the README names, and the documents say what is."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import config_reference

ROOT = Path(__file__).resolve().parents[2]
FIRST = "python3 -m venv .venv && .venv/bin/python -m pip install -q rust-just && .venv/bin/just "
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_readme_s_first_command_runs_the_bot_and_its_second_the_tests() -> None:
    blocks = re.findall(r"```sh\n(.*?)\n```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks[:2] == [FIRST + "run", FIRST + "test"]


def test_ci_runs_the_readme_s_test_command() -> None:
    script = ROOT / ".ci" / "run"
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith(("#", "set ", "cd "))]
    assert lines == [FIRST + "test"]
    assert os.access(script, os.X_OK)


def recipes() -> set[str]:
    just = Path(sys.executable).parent / "just"
    listed = subprocess.run([just, "--summary"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


def test_the_justfile_has_the_recipes_of_the_house() -> None:
    assert {"run", "test", "lint", "types", "imports", "sizes", "cov", "bench", "docs", "drills", "lock"} <= recipes()


def test_every_recipe_that_a_document_names_exists() -> None:
    named = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"`(?:\.venv/bin/)?just ([a-z][a-z-]*)", document.read_text(encoding="utf-8"))
    }
    assert "run" in named
    assert named <= recipes()


def test_the_generated_reference_is_what_the_code_says() -> None:
    assert config_reference.TARGET.read_text(encoding="utf-8") == config_reference.reference()


def test_a_reference_that_is_out_of_date_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(config_reference, "TARGET", tmp_path / "config.md")
    assert config_reference.main([]) == 1
    assert "is not what the code says" in capsys.readouterr().out
    assert config_reference.main(["--write"]) == 0
    assert config_reference.main([]) == 0
    (tmp_path / "config.md").write_text("something else")
    assert config_reference.main([]) == 1


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_the_readme_leads_to_every_document() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    documents = [str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")]
    assert [name for name in documents if f"]({name})" not in text] == []


def test_every_configuration_that_a_document_names_exists() -> None:
    for document in DOCUMENTS:
        for name in re.findall(r"configs/[a-z-]+\.toml", document.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{document}: {name}"


def test_every_rule_and_failure_that_the_code_names_is_explained() -> None:
    table = (ROOT / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| ([RSF]\d+) \|", table, re.MULTILINE))
    named: set[str] = set()
    for path in [*(ROOT / "trio_grid").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        named |= {word.upper() for word in re.findall(r"\bdef test_([sf]\d+)_", text)}
        named |= set(re.findall(r"\(([RSF]\d{1,2})\)", text))
    assert len(explained) == 15 + 19 + 28
    assert named >= {"R1", "S3", "F1"}
    assert named <= explained

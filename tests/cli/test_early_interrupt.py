"""Ctrl-C while the program is still being imported: a word, exit code 130, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 180.0
# The signal comes from inside, at the moment at which a module is looked for: no clock decides when.
INTERRUPTED_AT = """
import importlib.abc, os, signal, sys

class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
        return None

sys.meta_path.insert(0, Interrupt())
if sys.argv[2] == "ignored":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
from trio_grid.cli import main
sys.exit(main(["--version"]))
"""
HEAVY = ["trio_grid.cli.program", "argparse", "trio", "httpx", "rich.console", "trio_grid.supervisor"]


def interrupted(tmp_path: Path, module: str, mode: str = "usual") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT, module, mode],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", HEAVY)
def test_an_interrupt_among_the_imports_is_a_word_and_130(tmp_path: Path, module: str) -> None:
    assert interrupted(tmp_path, module) == (130, "", "trio-grid: interrupted\n")


def test_a_program_in_the_background_that_ignores_interrupts_goes_on(tmp_path: Path) -> None:
    code, out, err = interrupted(tmp_path, "trio", "ignored")
    assert (code, out.startswith("trio-grid "), err) == (0, True, "")


def test_the_door_itself_imports_nothing_that_takes_time(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "import sys, trio_grid.cli; print(*sorted(sys.modules))"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"trio", "httpx", "attrs", "msgspec", "rich", "argparse", "logging", "asyncio"}
    assert not heavy & set(shown.stdout.split())


def test_interrupts_are_pythons_own_again_once_the_program_is_there() -> None:
    import signal

    from trio_grid.cli import _interrupts_end_the_process

    before = signal.getsignal(signal.SIGINT)
    with _interrupts_end_the_process():
        pass
    assert signal.getsignal(signal.SIGINT) is before

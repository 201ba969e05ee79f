"""The way of a user: `just run` on a terminal, a look at the picture, Ctrl-C, the summary."""

import re
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tooling.terminals import Start, open_terminals

ROOT = Path(__file__).resolve().parents[2]
JUST = Path(sys.executable).parent / "just"
# The project's own recipe without its set-up, which the first command of every fresh clone tries.
RECIPE = """
export PYTHONPATH := "{root}"
run *args:
    @exec {python} {root}/tools/foreground.py {python} -c '{program}' run {{{{ args }}}}
"""
PROGRAM = "import sys; from trio_grid.cli import main; sys.exit(main())"
ECHO_AND_CANONICAL = termios.ECHO | termios.ICANON | termios.ISIG


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts a program on a terminal of its own, in a folder with the recipe."""
    (tmp_path / "justfile").write_text(RECIPE.format(root=ROOT, python=sys.executable, program=PROGRAM))
    with open_terminals(tmp_path) as start:
        yield start


@pytest.mark.sockets
def test_ctrl_c_stops_the_real_bot_in_order_with_a_summary_that_ties_out(start: Start) -> None:
    # A wide interval would wait for its fills longer than a test should: a livelier market makes up for it.
    terminal = start(JUST, "run", "--set", "paper.volatility=3", "--set", "grid.max_stride=1")
    before = termios.tcgetattr(terminal.keyboard)
    terminal.wait_for("ACTIVE")
    terminal.wait_for("BUY")
    terminal.press(b"\x03")
    terminal.wait_for("ties out: ")
    assert terminal.code() == 0
    assert "ties out: yes" in terminal.shown
    assert "exit policy: cancel-opening, confirmed by the exchange" in terminal.shown
    assert re.search(r"resting: \d+ orders? \(0 to open", terminal.shown)
    assert "terminated by signal" not in terminal.shown
    after = termios.tcgetattr(terminal.keyboard)
    assert after[3] & ECHO_AND_CANONICAL == before[3] & ECHO_AND_CANONICAL

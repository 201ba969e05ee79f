"""`just run` and the terminal: Ctrl-C reaches the bot alone, its exit code comes through, the terminal is given back.

The keys are typed into a pseudo-terminal, so that the kernel makes the signals, as it does for a person.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tooling.terminals import Start, open_terminals

ROOT = Path(__file__).resolve().parents[2]
FOREGROUND = ROOT / "tools" / "foreground.py"
JUST = Path(sys.executable).parent / "just"
BOT = """
import signal, sys
def stop(number, frame):
    print("stopping after", signal.Signals(number).name, flush=True)
    sys.exit(int(sys.argv[1]))
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
print("bot is ready", flush=True)
while True:
    signal.pause()
    print("bot goes on", flush=True)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts a program on a terminal of its own."""
    with open_terminals(tmp_path) as start:
        yield start


@pytest.fixture
def bot(tmp_path: Path) -> Path:
    """A program that stops in order when it is told to, with the exit code that it was given."""
    path = tmp_path / "bot.py"
    path.write_text(BOT)
    return path


@pytest.fixture
def justfile(tmp_path: Path) -> Path:
    """A recipe of the same form as the project's `run`."""
    path = tmp_path / "justfile"
    path.write_text(f"run *args:\n    @exec {sys.executable} {FOREGROUND} {sys.executable} bot.py {{{{ args }}}}\n")
    return path


@pytest.mark.parametrize("code", [0, 4])
def test_ctrl_c_stops_the_bot_in_order_and_just_returns_its_code(
    start: Start, bot: Path, justfile: Path, code: int
) -> None:
    terminal = start(JUST, "--justfile", justfile, "run", code)
    terminal.wait_for("bot is ready")
    terminal.press(b"\x03")
    terminal.wait_for("stopping after SIGINT")
    assert terminal.code() == code
    assert "signal" not in terminal.shown


def test_the_terminal_is_given_back(start: Start, bot: Path) -> None:
    script = f"{sys.executable} {FOREGROUND} {sys.executable} {bot} 3; echo code $?; read words; echo heard $words"
    terminal = start("sh", "-c", script)
    terminal.wait_for("bot is ready")
    terminal.press(b"\x03")
    terminal.wait_for("code 3")
    terminal.press(b"hello\n")
    terminal.wait_for("heard hello")
    assert terminal.code() == 0


def test_ctrl_z_does_not_leave_the_bot_standing_still(start: Start, bot: Path) -> None:
    terminal = start(sys.executable, FOREGROUND, sys.executable, bot, 0)
    terminal.wait_for("bot is ready")
    terminal.press(b"\x1a")
    terminal.press(b"\x03")
    terminal.wait_for("stopping after SIGINT")
    assert terminal.code() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_wrapper_reaches_the_bot(start: Start, bot: Path, number: signal.Signals) -> None:
    terminal = start(sys.executable, FOREGROUND, sys.executable, bot, 5)
    terminal.wait_for("bot is ready")
    terminal.program.send_signal(number)
    terminal.wait_for(f"stopping after {number.name}")
    assert terminal.code() == 5


def test_a_bot_that_a_signal_killed_gives_the_shell_s_code(start: Start) -> None:
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    terminal = start(sys.executable, FOREGROUND, sys.executable, "-c", killed)
    assert terminal.code() == 128 + signal.SIGKILL


def test_without_a_terminal_the_command_takes_the_wrapper_s_place(bot: Path) -> None:
    with subprocess.Popen(
        [sys.executable, FOREGROUND, sys.executable, bot, "6"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "bot is ready\n"
        program.send_signal(signal.SIGTERM)
        assert program.stdout.read() == "stopping after SIGTERM\n"
    assert program.returncode == 6

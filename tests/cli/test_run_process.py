"""`trio-grid run` as a process of its own: real sockets, real signals, a real terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

PROGRAM = [sys.executable, "-c", "import sys; from trio_grid.cli import main; sys.exit(main())"]
ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 180.0
"""Far beyond what a busy machine needs: whoever waits for so long has found a hang."""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}


def run(folder: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [*PROGRAM, *words],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def figures(text: str) -> dict[str, str]:
    """The lines `name: value` of the summary."""
    return dict(re.findall(r"^([A-Za-z ]+): (.*)$", text, re.MULTILINE))


class Process:
    """A running bot whose output is read as it comes."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, *words], cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.text = ""

    def until(self, words: str) -> None:
        assert self.process.stdout is not None
        deadline = time.monotonic() + LONGEST_S
        while words not in self.text:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self.process.stdout.fileno(), 65_536) if ready else b""
            assert chunk, f"{words!r} never came:\n{self.text}"
            self.text += chunk.decode()

    def end(self) -> int:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.text += output.read().decode()
        return self.process.wait(LONGEST_S)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Process]:
    bot = Process(tmp_path, "run")
    yield bot
    if bot.process.poll() is None:
        bot.process.kill()
        bot.end()


def test_lines_and_summary_where_there_is_no_terminal_and_the_next_run_goes_on(tmp_path: Path) -> None:
    bot = Process(tmp_path, "run")
    try:
        bot.until("trading symbol=BTCUSDT")
        deadline = time.monotonic() + LONGEST_S
        while json.loads(run(tmp_path, "status", "--json"))["orders_placed"] < 12:
            assert time.monotonic() < deadline, "the ladder never rested"
            time.sleep(0.2)
        bot.process.send_signal(signal.SIGINT)
        assert bot.end() == 0, bot.text
    finally:
        bot.process.kill()
    first = bot.text
    assert "kline subscription confirmed symbol=BTCUSDT interval=1m" in first
    assert "\x1b" not in first
    summary = figures(first)
    assert summary["ties out"] == "yes"
    assert int(summary["orders"]) >= 12
    assert summary["fills"].isdigit()
    second = run(tmp_path, "run", "--for", "15s")
    assert "stopped by --for 15s is over" in second
    assert " fresh=True " in first
    assert " session=2 fresh=False " in second
    assert re.findall(r"bot=(\w+)", first)[:1] == re.findall(r"bot=(\w+)", second)[:1]
    assert figures(second)["ties out"] == "yes"
    assert "no difference" in run(tmp_path, "journal", "replay", "var/paper.sqlite3")
    assert "sound" in run(tmp_path, "journal", "verify", "var/paper.sqlite3")


def test_sigterm_stops_in_order(started: Process) -> None:
    started.until("trading symbol=BTCUSDT")
    started.process.send_signal(signal.SIGTERM)
    assert started.end() == 0
    assert figures(started.text)["ties out"] == "yes"
    assert "stopped by SIGTERM" in started.text


def test_one_process_per_journal_and_the_operators_commands(started: Process, tmp_path: Path) -> None:
    started.until("trading symbol=BTCUSDT")
    assert "is in use by process" in run(tmp_path, "run", code=4)
    assert "is in use by process" in run(tmp_path, "run", "--fresh", code=4)
    assert "trading state" in run(tmp_path, "status")
    assert "paused" in run(tmp_path, "pause", "--reason", "a test")
    assert "PAUSED" in run(tmp_path, "status")
    assert "paused by the operator" in run(tmp_path, "explain", "59000")
    assert "trading" in run(tmp_path, "resume")
    assert run(tmp_path, "stop") == "stopping\n"
    assert started.end() == 0
    assert "stopped by control command" in started.text


def test_f23_ctrl_c_in_a_terminal_ends_with_a_summary_and_a_terminal_as_it_was(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    process = subprocess.Popen(
        [*PROGRAM, "run"], cwd=tmp_path, env=environment(), stdin=slave, stdout=slave, stderr=slave,
        preexec_fn=lambda: make_foreground(slave),
    )  # fmt: skip
    text, sent = "", False
    deadline = time.monotonic() + LONGEST_S
    while process.poll() is None and time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 0.1)
        if ready:
            text += os.read(master, 65_536).decode(errors="replace")
        if not sent and "LOCKED" in text and "links" in text:
            os.write(master, b"\x03")  # the terminal's own key: the line discipline makes SIGINT of it
            sent = True
    while select.select([master], [], [], 0.2)[0]:
        text += os.read(master, 65_536).decode(errors="replace")
    after = termios.tcgetattr(slave)
    os.close(slave)
    os.close(master)
    assert process.wait(1) == 0, text[-3_000:]
    assert after == before
    plain = ESCAPES.sub("", text).replace("\r", "")
    assert "^C" not in plain
    assert "kline subscription confirmed" in plain
    for words in ("regime   trend", "position ", "PnL      realized", "reconciled", "<- price"):
        assert words in plain
    assert figures(plain)["ties out"] == "yes"
    assert "stopped by SIGINT" in plain


def make_foreground(terminal: int) -> None:
    """Give the child a session and this terminal, so that Ctrl-C reaches it."""
    os.setsid()

    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

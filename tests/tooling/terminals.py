"""Programs on a terminal of their own: what a person would type and see, without a person."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

PATIENCE_S = 180.0
"""Far beyond what a busy machine needs: whoever waits for so long has found a hang."""
TAKE_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@attrs.define
class Terminal:
    """A pseudo-terminal, and the program that has it as its controlling terminal."""

    keyboard: int
    program: subprocess.Popen[bytes]
    shown: str = ""

    def wait_for(self, text: str) -> None:
        """Read what the program shows until a text has come."""
        limit = time.monotonic() + PATIENCE_S
        while text not in self.shown:
            self.read_more(f"{text!r} did not come", limit - time.monotonic())

    def read_more(self, missing: str, patience_s: float = PATIENCE_S) -> None:
        """Read what the program shows next; it is an error that nothing comes any more, or that it has ended."""
        ready, _, _ = select.select([self.keyboard], [], [], max(0.0, patience_s))
        assert ready, f"{missing}; shown so far: {self.shown!r}"
        try:
            self.shown += os.read(self.keyboard, 65_536).decode(errors="replace")
        except OSError:  # Linux's way to say that the other end has closed
            raise AssertionError(f"the program ended: {missing}: {self.shown!r}") from None

    def press(self, keys: bytes) -> None:
        """Type on the keyboard."""
        os.write(self.keyboard, keys)

    def code(self) -> int:
        """Read until the program's end and return its exit code."""
        limit = time.monotonic() + PATIENCE_S
        while select.select([self.keyboard], [], [], max(0.0, limit - time.monotonic()))[0]:
            try:
                self.shown += os.read(self.keyboard, 65_536).decode(errors="replace")
            except OSError:
                break
        return self.program.wait(PATIENCE_S)


Start = Callable[..., Terminal]


@contextmanager
def open_terminals(folder: Path) -> Iterator[Start]:
    """Give a function that starts a program in a folder on a terminal of its own; nothing of it is left afterwards."""
    opened: list[Terminal] = []

    def start(*argv: object) -> Terminal:
        keyboard, screen = pty.openpty()
        command = [sys.executable, "-c", TAKE_TERMINAL, *map(str, argv)]
        program = subprocess.Popen(command, stdin=screen, stdout=screen, stderr=screen, cwd=folder)
        os.close(screen)
        opened.append(Terminal(keyboard, program))
        return opened[-1]

    try:
        yield start
    finally:
        for terminal in opened:
            # The terminal goes first: its end ends whatever the program has started on it.
            os.close(terminal.keyboard)
            terminal.program.kill()
            terminal.program.wait()

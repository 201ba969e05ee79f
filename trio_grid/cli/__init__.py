"""The door of the command line: it opens at once, and Ctrl-C closes it without a traceback at any moment.

Importing the program takes half a second. Nothing is running then that would have to be stopped in order, so that an
interrupt may simply end the process. This module imports nothing that takes time; `program` has everything else.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from trio_grid.domain.strategy import Strategy

INTERRUPTED = 130
"""Exit code of a program that was interrupted before it had started anything: the shell's own for SIGINT."""


def main(argv: Sequence[str] | None = None, *, strategy: Strategy | None = None) -> int:
    """Run one command and return its exit code; what went wrong is on the standard error, in the user's words.

    A strategy given here decides instead of the ladder, in `run` as in `journal verify` and `journal replay`.
    """
    with _interrupts_end_the_process():
        from trio_grid.cli.program import run_command_line

    return run_command_line(argv, strategy)


@contextmanager
def _interrupts_end_the_process() -> Iterator[None]:
    """Let SIGINT end the process with a word.

    A KeyboardInterrupt in the middle of an import would be a traceback, or be swallowed by the module that it hits.
    Where SIGINT is not Python's own KeyboardInterrupt (ignored in the background, a caller's handler, another thread),
    nothing is changed.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or not _in_main_thread():
        yield
        return
    signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _in_main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()


def _leave(number: int, frame: object) -> NoReturn:
    os.write(2, b"trio-grid: interrupted\n")
    os._exit(INTERRUPTED)

"""Run a command as the terminal's foreground job, so that Ctrl-C reaches it alone and its exit code comes through.

`just` reports "terminated by signal 2" when the terminal's Ctrl-C hits it together with the bot, whatever the bot
returns. In a process group of its own the bot gets the key press alone, stops in order, and its code is the code of
`just run`. Without a terminal the command simply replaces this program.
"""

import contextlib
import os
import signal
import subprocess
import sys
from types import FrameType


def main(argv: list[str]) -> int:
    """Run argv and return its exit code (128 + n when signal n ended it)."""
    if not os.isatty(0):
        os.execvp(argv[0], argv)
    # We are in the background while the child has the terminal, and must be able to take it back. The child inherits
    # this, which lets it set terminal modes in the moment before it is made the foreground job.
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = subprocess.Popen(argv, process_group=0)

    def hand_on(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, hand_on)
    give_terminal(child.pid)
    try:
        return wait_for(child.pid)
    finally:
        give_terminal(os.getpgrp())


def give_terminal(group: int) -> None:
    """Make a process group the terminal's foreground job; a terminal that is gone is no error."""
    with contextlib.suppress(OSError):
        os.tcsetpgrp(0, group)


def wait_for(pid: int) -> int:
    """Wait for the child's end.

    A child that Ctrl-Z stopped is continued at once: a bot that stands still would leave its orders unattended, and
    nobody could type at this terminal any more.
    """
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            os.killpg(pid, signal.SIGCONT)
            continue
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The right to write one journal: an advisory lock on a file of its own beside it.

Owns `<journal>.lock`. The kernel frees the lock when its process ends, however it ends, so there is nothing to clean
up after a SIGKILL and no age to judge. It must never lock the database file itself: closing any descriptor of that
file would drop SQLite's own locks. The lock file is never deleted: a second process could hold the deleted one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from types import TracebackType

from trio_grid.errors import JournalError, JournalInUse
from trio_grid.journal.faults import path_fault

OWNER_ONLY = 0o600
_LONGEST_OWNER_BYTES = 1_000


class JournalLease:
    """Held from construction to `release`, or as a context manager.

    Raises:
        JournalInUse: another holder exists; the text names its process.
        JournalError: the lock file cannot be made or locked.
    """

    def __init__(self, journal: Path, *, purpose: str = "run") -> None:
        self.path = Path(f"{journal}.lock")
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
        except OSError as error:
            raise path_fault(f"the journal's lock file {self.path} cannot be opened", error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write(json.dumps({"pid": os.getpid(), "host": os.uname().nodename, "purpose": purpose}) + "\n")
        except BlockingIOError as error:
            owner = self._owner()
            os.close(self._descriptor)
            raise JournalInUse(
                f"the journal {journal} is in use by {owner}; one process at a time may write it: "
                "stop that one, or give this one a journal of its own"
            ) from error
        except OSError as error:
            os.close(self._descriptor)
            raise JournalError(f"the journal's lock file {self.path} cannot be locked: {error.strerror}") from error
        self._held = True

    def release(self) -> None:
        """Give the lease back; a second call does nothing."""
        if not self._held:
            return
        self._held = False
        # Only so that nobody reads a stale owner: a full disk must not keep the lock held.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def __enter__(self) -> JournalLease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<JournalLease {self.path} {'held' if self._held else 'released'}>"

    def _write(self, text: str) -> None:
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def _owner(self) -> str:
        """Describe the holder from what it wrote; it may have been cut off before it wrote anything."""
        try:
            owner = json.loads(os.pread(self._descriptor, _LONGEST_OWNER_BYTES, 0))
            return f"process {owner['pid']} on {owner['host']} ({owner['purpose']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process (it has not said which)"

"""SQLite's errors become JournalError here, with SQLite's own name of the fault."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator

from trio_grid.errors import JournalError, JournalPathRefused

_ADVICE = {
    "SQLITE_FULL": "the disk is full: make room",
    "SQLITE_IOERR_WRITE": "the disk refused the write: check its free space, quota and health",
    "SQLITE_BUSY": "another program has the file locked: nothing but this bot may write it",
    "SQLITE_READONLY": "the file is read-only",
    "SQLITE_READONLY_DIRECTORY": "the folder is read-only",
    "SQLITE_CANTOPEN": "the file or its folder cannot be opened: check the permissions",
    "SQLITE_CORRUPT": "the file is damaged: keep a copy of it; `trio-grid journal verify` says what is left",
    "SQLITE_NOTADB": "the file is not a SQLite database",
}


_OF_THE_PATH = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT,
    errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip


def path_fault(what: str, error: OSError) -> JournalError:
    """Return the error of a file or folder of the journal: of its path, or of the machine (a full disk, ...)."""
    if error.errno in _OF_THE_PATH:
        return path_refused(f"{what}: {error.strerror}")
    return JournalError(f"{what}: {error.strerror}")


def path_refused(what: str) -> JournalPathRefused:
    """Return the error of a path at which no journal can lie."""
    return JournalPathRefused(f"$.journal.path: {what}; allowed: a file in a folder that this user may write to")


def sqlite_name(error: sqlite3.Error) -> str:
    """Return SQLite's name of the fault, such as SQLITE_FULL; the class's name where SQLite gave none."""
    return str(getattr(error, "sqlite_errorname", type(error).__name__))


def journal_fault(what: str, error: sqlite3.Error) -> JournalError:
    """Return the JournalError that says what failed, why, and what to do."""
    name = sqlite_name(error)
    advice = _ADVICE.get(name)
    return JournalError(f"{what}: {error}" + (f" ({advice})" if advice else ""), name=name)


@contextlib.contextmanager
def sqlite_faults(what: str) -> Iterator[None]:
    """Translate SQLite's errors inside the block; not for the commit's path, which pays for every microsecond."""
    try:
        yield
    except sqlite3.Error as error:
        raise journal_fault(what, error) from error

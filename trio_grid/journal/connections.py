"""How the journal's file is made and opened for writing.

Owns the pragmas and the owner-only mode. It must never open an existing database file by itself: closing any
descriptor of it would drop the POSIX locks that SQLite holds for this whole process.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from trio_grid.errors import JournalError
from trio_grid.journal.faults import path_fault, path_refused
from trio_grid.journal.lease import OWNER_ONLY
from trio_grid.journal.wal import wal_path

OPENING_TIMEOUT_S = 5.0  # a reader that just closes may hold the file for a moment; nothing trades yet


def make_private(path: Path) -> None:
    """Make the file if it is missing and take away what others may do with it; raises JournalError."""
    if path.exists() and not path.is_file():
        raise path_refused(f"the journal {path} is not a file")
    try:
        # O_EXCL: an existing file is never opened here, closing it would drop the locks of a reader in this process.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY))
        for file in (path, wal_path(path), Path(f"{path}-shm")):
            with contextlib.suppress(FileNotFoundError):
                if file.stat().st_mode & 0o077:
                    file.chmod(OWNER_ONLY)
    except OSError as error:
        raise path_fault(f"the journal {path} cannot be made owner-only", error) from error


def connect_for_writing(path: Path, *, same_thread: bool) -> sqlite3.Connection:
    """Open a connection in WAL mode that never checkpoints by itself; raises SQLite's errors, or JournalError."""
    db = sqlite3.connect(path, isolation_level=None, timeout=OPENING_TIMEOUT_S, check_same_thread=same_thread)
    try:
        mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise JournalError(f"the file system of {path} does not allow SQLite's WAL (it answered {mode})")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA wal_autocheckpoint = 0")
        db.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
    except BaseException:
        db.close()
        raise
    return db


def set_patience(db: sqlite3.Connection, seconds: float) -> None:
    """Set how long SQLite waits for a lock. 0 once the bot trades: its busy handler would sleep in the event loop."""
    db.execute(f"PRAGMA busy_timeout = {round(seconds * 1_000):d}")


def sync_folder(file: Path) -> None:
    """Make a file's name durable in its folder: SQLite does this for its logs only."""
    descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

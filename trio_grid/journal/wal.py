"""The write-ahead log: what a checkpoint did, and how long the log is, read from its file without asking SQLite.

SQLite tells the length only as the answer to a checkpoint, and the file's size only ever grows, since a restarted log
is written over from its beginning. Reading the -wal file of this process is harmless: SQLite keeps no POSIX lock on
it (it does on the database and on the -shm file, which must never be opened here).
"""

from __future__ import annotations

import enum
import os
from pathlib import Path

import msgspec

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_SALTS = slice(16, 24)
_SMALLEST_FRAME_BYTES = 512 + _FRAME_HEADER_BYTES


class CheckpointMode(enum.StrEnum):
    """PASSIVE copies without locking anybody out; TRUNCATE holds the writer for its time and empties the log."""

    PASSIVE = "PASSIVE"
    TRUNCATE = "TRUNCATE"


class CheckpointReport(msgspec.Struct, frozen=True):
    """What a checkpoint did: `busy` when a reader, a writer or an interruption kept it from finishing; pages."""

    mode: CheckpointMode
    busy: bool
    wal_pages: int
    copied_pages: int


def wal_path(journal: Path) -> Path:
    """Return the path of a journal's write-ahead log."""
    return Path(f"{journal}-wal")


def most_wal_pages(journal: Path, page_bytes: int) -> int:
    """Return an upper bound of `wal_pages` for the price of one `stat`."""
    try:
        return max(0, wal_path(journal).stat().st_size - _HEADER_BYTES) // (page_bytes + _FRAME_HEADER_BYTES)
    except FileNotFoundError:
        return 0


def wal_pages(journal: Path) -> int:
    """Return the number of pages in the log's current generation, copied into the database already or not.

    Frames carry the salts of the generation that wrote them, and those of the current one come first: a bisection.
    """
    try:
        descriptor = os.open(wal_path(journal), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        header = os.pread(descriptor, _HEADER_BYTES, 0)
        page_bytes = int.from_bytes(header[8:12], "big")
        frame_bytes = page_bytes + _FRAME_HEADER_BYTES
        if len(header) < _HEADER_BYTES or frame_bytes < _SMALLEST_FRAME_BYTES:
            return 0
        low, high = 0, (os.fstat(descriptor).st_size - _HEADER_BYTES) // frame_bytes
        while low < high:
            middle = (low + high) // 2
            if os.pread(descriptor, 8, _HEADER_BYTES + middle * frame_bytes + 8) == header[_SALTS]:
                low = middle + 1
            else:
                high = middle
        return low
    finally:
        os.close(descriptor)

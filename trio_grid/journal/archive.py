"""Records that were taken out of a journal: gzipped JSON lines beside it, one file per pruning.

Owns `<journal>.archive-<first>-<last>.jsonl.gz`; a line is one JournalRecord. An archive has its name only when it is
whole, on the disk and read back; it is never changed afterwards. After a crash two archives may overlap; where they
do, they hold the same records.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from trio_grid.domain.inputs import JournalRecord
from trio_grid.errors import JournalError
from trio_grid.journal.connections import sync_folder
from trio_grid.journal.lease import OWNER_ONLY

_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(JournalRecord).decode


class Archive(msgspec.Struct, frozen=True, order=True):
    """One archive file and the records that it holds, both ends included."""

    first: int
    last: int
    path: Path


def archives_of(journal: Path) -> tuple[Archive, ...]:
    """Return a journal's archives in the order of their records."""
    name = re.compile(re.escape(journal.name) + r"\.archive-(\d+)-(\d+)\.jsonl\.gz")
    found = []
    for path in journal.parent.iterdir():
        match = name.fullmatch(path.name)
        if match is not None:
            found.append(Archive(int(match.group(1)), int(match.group(2)), path))
    return tuple(sorted(found))


def archived_from_the_start(journal: Path, last: int) -> bool:
    """Return True if the archives' names promise every record from 1 to `last`."""
    reached = 0
    for archive in archives_of(journal):
        if archive.first > reached + 1:
            break
        reached = max(reached, archive.last)
    return reached >= last


def read_archives(journal: Path) -> Iterator[JournalRecord]:
    """Give every archived record once, ascending.

    Raises:
        JournalError: an archive is damaged, or there is a gap inside or between archives.
    """
    expected: int | None = None
    for archive in archives_of(journal):
        for record in read_archive(archive.path):
            if expected is not None and record.sequence < expected:
                continue
            if expected is not None and record.sequence != expected:
                raise JournalError(f"the archive {archive.path} has a gap: record {expected} is missing")
            expected = record.sequence + 1
            yield record


def read_archive(path: Path) -> Iterator[JournalRecord]:
    """Give one archive's records; raises JournalError for a damaged file or line."""
    number = 0
    try:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                number += 1
                yield _DECODE(line)
    except (OSError, EOFError, zlib.error, msgspec.DecodeError, ValueError, TypeError) as error:
        raise JournalError(f"the archive {path} cannot be read after line {number}: {error}") from error


def write_archive(journal: Path, records: Iterable[JournalRecord], first: int, last: int) -> Path:
    """Write records `first`..`last` into a new archive and return its path once it is durable and read back.

    Raises:
        JournalError: it cannot be written, or does not read back as it was written.
    """
    path = journal.with_name(f"{journal.name}.archive-{first:010d}-{last:010d}.jsonl.gz")
    partial = path.with_name(path.name + ".partial")
    try:
        digest = _write(partial, records)
        if digest != _digest(read_archive(partial)) or digest[0] != last - first + 1:
            raise JournalError(f"the archive {partial} does not read back as it was written; nothing was removed")
        partial.replace(path)
        sync_folder(path)
    except OSError as error:
        raise JournalError(f"the archive {path} cannot be written: {error.strerror}; nothing was removed") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
    return path


def _write(path: Path, records: Iterable[JournalRecord]) -> tuple[int, int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, OWNER_ONLY)
    with open(descriptor, "wb") as raw:
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
            count, crc = 0, 0
            for record in records:
                line = _ENCODE(record) + b"\n"
                packed.write(line)
                count, crc = count + 1, zlib.crc32(line, crc)
        raw.flush()
        os.fsync(raw.fileno())
    return count, crc


def _digest(records: Iterable[JournalRecord]) -> tuple[int, int]:
    count, crc = 0, 0
    for record in records:
        count, crc = count + 1, zlib.crc32(_ENCODE(record) + b"\n", crc)
    return count, crc

"""One journal record as one row, and back.

Owns the row's encoding: JSON by msgspec (each entry carries its type's name) and a CRC-32, since a flipped bit inside
a number leaves valid JSON and SQLite checks only its own structure. It must never repair: a damaged row is an error
that names its sequence.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from trio_grid.domain.inputs import Entry, JournalRecord
from trio_grid.errors import JournalError

Row = tuple[int, int, str, bytes, int]
COLUMNS = "sequence, now_ms, kind, entry, checksum"

_ENCODE = msgspec.json.Encoder().encode
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Entry)


def checksum(sequence: int, now_ms: int, body: bytes) -> int:
    """Return the CRC-32 that belongs to a row."""
    return zlib.crc32(body, zlib.crc32(b"%d %d" % (sequence, now_ms)))


def encode_row(record: JournalRecord) -> Row:
    """Return a record's row."""
    entry = _ENCODE(record.entry)
    return (
        record.sequence,
        record.now_ms,
        type(record.entry).__name__,
        entry,
        checksum(record.sequence, record.now_ms, entry),
    )


def decode_row(row: tuple[Any, ...]) -> JournalRecord:
    """Return a row's record.

    Raises:
        JournalError: the row is damaged; the text names its sequence.
    """
    sequence, now_ms, kind, entry, stored = row
    if not isinstance(now_ms, int) or not isinstance(entry, bytes) or stored != checksum(sequence, now_ms, entry):
        raise JournalError(f"record {sequence} ({kind}) is damaged: its checksum does not fit")
    try:
        return JournalRecord(sequence=sequence, now_ms=now_ms, entry=_DECODER.decode(entry))
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise JournalError(f"record {sequence} ({kind}) cannot be read: {error}") from error

"""Reading a journal: the one place that turns its rows into values, for the bot and for the commands.

Owns every SELECT. It must never write, and never take the lease: reading goes on beside a running bot. Rows are read
in chunks, each a short transaction of its own, because a long one would hold up the bot's checkpoints; records are
only ever appended, so chunks fit together.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from trio_grid.domain.inputs import JournalRecord
from trio_grid.domain.settings import LatticeSettings
from trio_grid.errors import JournalError
from trio_grid.journal.faults import journal_fault, sqlite_faults
from trio_grid.journal.identity import JournalIdentity
from trio_grid.journal.migrations import check_schema, load_migrations
from trio_grid.journal.rows import COLUMNS, checksum, decode_row
from trio_grid.journal.wal import wal_path

CHUNK_ROWS = 2_000
READ_TIMEOUT_S = 5.0  # a checkpoint or a bot that is just starting; nothing else waits for a reader


class JournalSession(msgspec.Struct, frozen=True):
    """One life of the process: its number, its start in epoch ms, and the last record before it."""

    session: int
    started_ms: int
    last_sequence: int


class StateImage(msgspec.Struct, frozen=True):
    """The whole state after the record `sequence`, as the grid state wrote it."""

    sequence: int
    image: bytes


class JournalReader:
    """Queries on an open connection; every method raises JournalError for what it cannot read."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self.path = path

    def identity(self) -> JournalIdentity | None:
        """Return who the journal speaks for; None before the first start."""
        rows = self._rows("SELECT bot_id, venue, symbol, tick_size, lattice, created_ms FROM identity")
        if not rows:
            return None
        bot_id, venue, symbol, tick_size, lattice, created_ms = rows[0]
        try:
            return JournalIdentity(
                bot_id=bot_id,
                venue=venue,
                symbol=symbol,
                tick_size=Decimal(tick_size),
                lattice=msgspec.json.decode(lattice, type=LatticeSettings),
                created_ms=created_ms,
            )
        except (msgspec.DecodeError, ValueError, TypeError, ArithmeticError) as error:
            raise JournalError(f"the identity of the journal {self.path} cannot be read: {error}") from error

    def sessions(self) -> tuple[JournalSession, ...]:
        """Return every session, ascending."""
        rows = self._rows("SELECT session, started_ms, last_sequence FROM sessions ORDER BY session")
        return tuple(JournalSession(*row) for row in rows)

    def first_sequence(self) -> int | None:
        """Return the first record's sequence; None when there is no record."""
        return self._number("SELECT min(sequence) FROM records")

    def last_sequence(self) -> int:
        """Return the last sequence that the journal speaks of: of a record or, after pruning, of the last image.

        Raises:
            JournalError: an image is newer than the last record.
        """
        record = self._number("SELECT max(sequence) FROM records")
        image = self._number("SELECT max(sequence) FROM images")
        if record is not None and image is not None and image > record:
            raise JournalError(
                f"the journal {self.path} ends at record {record}, but has an image of record {image}: records are lost"
            )
        return record or image or 0

    def count(self, kind: str | None = None) -> int:
        """Return the number of records, of one kind or of all."""
        if kind is None:
            return self._number("SELECT count(*) FROM records") or 0
        return self._number("SELECT count(*) FROM records WHERE kind = ?", kind) or 0

    def records(self, after: int = 0) -> Iterator[JournalRecord]:
        """Give every record behind a sequence, ascending.

        Raises:
            JournalError: a gap or a damaged row; the text names the sequence.
        """
        while rows := self._rows(
            f"SELECT {COLUMNS} FROM records WHERE sequence > ? ORDER BY sequence LIMIT ?",  # noqa: S608
            after,
            CHUNK_ROWS,
        ):
            for row in rows:
                if row[0] != after + 1:
                    raise JournalError(
                        f"the journal {self.path} has a gap: record {after + 1} is missing, the next one is {row[0]}"
                    )
                after = row[0]
                yield self._decoded(row)

    def backwards(self, before: int | None = None, kinds: tuple[str, ...] = ()) -> Iterator[JournalRecord]:
        """Give records from the last (or from the one before a sequence) back to the first; of some kinds or of all."""
        before = (1 << 62) if before is None else before
        where = f" AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        while rows := self._rows(
            f"SELECT {COLUMNS} FROM records WHERE sequence < ?{where} ORDER BY sequence DESC LIMIT ?",  # noqa: S608
            before,
            *kinds,
            CHUNK_ROWS,
        ):
            for row in rows:
                before = row[0]
                yield self._decoded(row)

    def image_sequences(self) -> tuple[int, ...]:
        """Return the sequences at which a state image was taken, ascending."""
        return tuple(row[0] for row in self._rows("SELECT sequence FROM images ORDER BY sequence"))

    def image(self, sequence: int) -> StateImage:
        """Return one state image.

        Raises:
            JournalError: there is none, or it is damaged.
        """
        rows = self._rows("SELECT image, checksum FROM images WHERE sequence = ?", sequence)
        if not rows:
            raise JournalError(f"the journal {self.path} has no state image of record {sequence}")
        image, stored = rows[0]
        if not isinstance(image, bytes) or stored != checksum(sequence, 0, image):
            raise JournalError(f"the state image of record {sequence} is damaged: its checksum does not fit")
        return StateImage(sequence, image)

    def last_image(self) -> StateImage | None:
        """Return the newest state image; None when there is none."""
        sequence = self._number("SELECT max(sequence) FROM images")
        return None if sequence is None else self.image(sequence)

    def integrity(self) -> tuple[str, ...]:
        """Return what SQLite's own check complains of; empty when the file is sound."""
        return tuple(str(row[0]) for row in self._rows("PRAGMA integrity_check") if row[0] != "ok")

    def _decoded(self, row: tuple[Any, ...]) -> JournalRecord:
        try:
            return decode_row(row)
        except JournalError as error:
            raise JournalError(f"the journal {self.path}: {error}") from error

    def _rows(self, sql: str, *parameters: object) -> list[Any]:
        try:
            return self._db.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise journal_fault(f"the journal {self.path} cannot be read", error) from error

    def _number(self, sql: str, *parameters: object) -> int | None:
        value = self._rows(sql, *parameters)[0][0]
        return None if value is None else int(value)


@contextlib.contextmanager
def read_journal(path: Path) -> Iterator[JournalReader]:
    """Open a journal for reading only, also while a bot writes it, in a read-only folder, or both.

    Raises:
        JournalError: there is no journal at the path, or it cannot be read.
    """
    path = path.resolve()
    if not path.is_file():
        raise JournalError(f"there is no journal at {path}")
    with contextlib.ExitStack() as stack:
        db = stack.enter_context(_open_for_reading(path, stack))
        with sqlite_faults(f"the journal {path} cannot be read"):
            version = check_schema(db, path, load_migrations()[-1].number)
        if version == 0:
            raise JournalError(f"{path} is empty: no bot has started on this journal yet")
        yield JournalReader(db, path)


def _open_for_reading(path: Path, stack: contextlib.ExitStack) -> contextlib.closing[sqlite3.Connection]:
    """Try the ways to read a WAL database, from the one that sees everything to the one that needs nothing.

    The usual way needs the -shm file, made if missing. In a folder that refuses that, a journal without a -wal file is
    complete and can be read as immutable; one with a -wal file (its bot was killed) is read from a private copy.
    """
    try:
        return _connect(path, "mode=ro")
    except sqlite3.Error as error:
        fault = error
    try:
        if not wal_path(path).exists() or wal_path(path).stat().st_size == 0:
            return _connect(path, "mode=ro&immutable=1")
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trio-grid-journal-")))
        for source in (path, wal_path(path)):
            shutil.copyfile(source, folder / source.name)
        return _connect(folder / path.name, "mode=rw")
    except (sqlite3.Error, OSError):
        raise journal_fault(f"the journal {path} cannot be read", fault) from fault


def _connect(path: Path, options: str) -> contextlib.closing[sqlite3.Connection]:
    db = sqlite3.connect(f"{path.as_uri()}?{options}", uri=True, isolation_level=None, timeout=READ_TIMEOUT_S)
    try:
        # Damaged text must not hide behind a decoding error of the driver.
        db.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
        db.execute("PRAGMA query_only = 1")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        db.close()
        raise
    return contextlib.closing(db)

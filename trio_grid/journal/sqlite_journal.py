"""The journal's writer: SQLite in WAL mode, committed in place before anything is sent (R13).

Owns the database file while the bot lives: the writing connection, a second one for checkpoints, and the gapless
sequence. `commit` is a plain function for the event loop's thread; nothing else there may wait for a disk. It must
never skip, repeat or reorder a record, never write without the lease, and never let SQLite checkpoint by itself: an
automatic checkpoint would fall into a commit (3 ms instead of 10 us).

A commit is synchronous=NORMAL: it survives the death of the process. After a loss of power the exchange's record is
the truth, so only what the exchange cannot tell is synchronous=FULL: the identity and the session number.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from trio_grid.domain.client_order_id import MAX_SESSION, new_bot_id
from trio_grid.domain.inputs import JournalRecord
from trio_grid.domain.instrument import Instrument
from trio_grid.domain.settings import LatticeSettings
from trio_grid.errors import JournalError
from trio_grid.journal.connections import (
    OPENING_TIMEOUT_S,
    connect_for_writing,
    make_private,
    set_patience,
    sync_folder,
)
from trio_grid.journal.faults import journal_fault, path_fault, path_refused, sqlite_faults, sqlite_name
from trio_grid.journal.identity import JournalIdentity, check_market
from trio_grid.journal.lease import JournalLease
from trio_grid.journal.migrations import Migration, load_migrations, migrate
from trio_grid.journal.reader import JournalReader
from trio_grid.journal.rows import COLUMNS, checksum, encode_row
from trio_grid.journal.wal import CheckpointMode, CheckpointReport, most_wal_pages, wal_pages, wal_path

log = logging.getLogger(__name__)

PASSIVE_ABOVE_PAGES = 1_000
TRUNCATE_ABOVE_PAGES = 16_000
IMAGE_EVERY_RECORDS = 10_000

BUSY_PATIENCE_S = 1.0
"""How long a commit bears SQLITE_BUSY. A reader that looks at the log's index just while it changes takes the write
lock for microseconds, or for as long as a busy machine then keeps it from running; `journal show` must not be able to
stop a bot, and a loop that waits is better than a bot that ends. Longer means a foreign writer: an error."""
BUSY_PAUSE_S = 0.0002

_INSERT_RECORD = f"INSERT INTO records ({COLUMNS}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608 (no user's text in it)
_INSERT_IMAGE = "INSERT OR REPLACE INTO images (sequence, image, checksum) VALUES (?, ?, ?)"
_INSERT_SESSION = "INSERT INTO sessions (session, started_ms, last_sequence) VALUES (?, ?, ?)"
_INSERT_IDENTITY = (
    "INSERT OR REPLACE INTO identity (id, bot_id, venue, symbol, tick_size, lattice, created_ms)"
    " VALUES (1, ?, ?, ?, ?, ?, ?)"
)


@contextlib.contextmanager
def open_journal(
    path: Path, *, purpose: str = "run", migrations: Sequence[Migration] | None = None
) -> Iterator[Journal]:
    """Open (or make) the journal for writing and hold its lease; the folder is made, the files are owner-only.

    `purpose` is what a second process is told about this one.

    Raises:
        JournalInUse: another process holds the journal.
        JournalError: the journal cannot be made, read or written, is damaged, or is newer than this program.
    """
    try:
        path = path.resolve()  # two names of one file must mean one lease
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.is_dir():
            raise path_refused(f"the journal {path} is a folder")
    except OSError as error:
        raise path_fault(f"the journal {path.absolute()}: its folder or file cannot be made", error) from error
    with JournalLease(path, purpose=purpose):
        journal = Journal(path, load_migrations() if migrations is None else migrations)
        try:
            yield journal
        finally:
            journal.close()


class Journal:
    """One open journal; made by `open_journal`, which holds the lease. Methods raise JournalError."""

    def __init__(self, path: Path, migrations: Sequence[Migration]) -> None:
        self.path = path
        self._closed = False
        self._checkpoint_turn = threading.Lock()
        self._writer_turn = threading.Lock()
        """Held by a commit and by a TRUNCATE checkpoint: the loop waits here, exactly as long as needed, and not in
        SQLite's busy handler, which sleeps in steps."""
        make_private(path)
        with contextlib.ExitStack() as undo, sqlite_faults(f"the journal {path} cannot be opened"):
            self._db = connect_for_writing(path, same_thread=True)
            undo.callback(self._db.close)
            applied = migrate(self._db, path, migrations)
            self._checkpoints = connect_for_writing(path, same_thread=False)
            undo.callback(self._checkpoints.close)
            self._page_bytes = int(self._db.execute("PRAGMA page_size").fetchone()[0])
            self.reader = JournalReader(self._db, path)
            self.identity: JournalIdentity | None = self.reader.identity()
            self._last_sequence = self.reader.last_sequence()
            self._last_image = max(self.reader.image_sequences(), default=0)
            if applied:
                self._settle_on_disk()
            for connection in (self._db, self._checkpoints):
                set_patience(connection, 0)
            undo.pop_all()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        bot = "no identity" if self.identity is None else self.identity.bot_id
        return f"<Journal {self.path.name} {bot} sequence={self._last_sequence} image={self._last_image} {state}>"

    @property
    def last_sequence(self) -> int:
        """Sequence of the last committed record; 0 in a new journal."""
        return self._last_sequence

    # Identity and sessions ------------------------------------------------------------------------------------------

    def establish_identity(
        self,
        instrument: Instrument,
        lattice: LatticeSettings,
        *,
        created_ms: int,
        venue: str,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> JournalIdentity:
        """Return the journal's identity, made now if it has none; `venue` names the exchange ("paper", a host, ...).

        A new bot id speaks for nothing that an older journal did (R3). It is on the disk when this returns. Whether
        the lattice is the journal's is `recovery.check_lattice`'s question, which also knows the books.

        Raises:
            StartRefused: the journal belongs to another symbol or venue.
        """
        if self.identity is None:
            identity = JournalIdentity(
                bot_id=new_bot_id(random_bytes(16)),
                venue=venue,
                symbol=instrument.symbol,
                tick_size=instrument.tick_size,
                lattice=lattice,
                created_ms=created_ms,
            )
            self._write_identity(identity)
        else:
            check_market(self.identity, venue, instrument.symbol)
            identity = self.identity
        return identity

    def replace_lattice(self, instrument: Instrument, lattice: LatticeSettings) -> JournalIdentity:
        """Give the journal another lattice; the caller has made sure that the book is empty (`check_lattice` does)."""
        if self.identity is None:
            raise JournalError(f"the journal {self.path} has no identity yet, so no lattice to replace")
        identity = msgspec.structs.replace(self.identity, tick_size=instrument.tick_size, lattice=lattice)
        self._write_identity(identity)
        return identity

    def begin_session(self, *, started_ms: int, at_least: int = 1) -> int:
        """Return a session number that was never used, on the disk before this returns (synchronous=FULL).

        It is one above the highest in the journal and not below `at_least`, which the caller makes one above the
        highest session that it finds in the bot's orders on the exchange.
        """
        highest = max((session.session for session in self.reader.sessions()), default=0)
        session = max(highest + 1, at_least)
        if session > MAX_SESSION:
            raise JournalError(f"the journal {self.path} has used up its {MAX_SESSION} session numbers: use a new one")
        row = (session, started_ms, self._last_sequence)
        with self._durably():
            self._write("a session", _INSERT_SESSION, [row])
        return session

    # Records and images ---------------------------------------------------------------------------------------------

    def commit(self, records: Sequence[JournalRecord]) -> None:
        """Append records in one transaction; all of them are in the journal when this returns, or none.

        A plain function for the event loop's thread. After an error the same records may be committed again.

        Raises:
            JournalError: the sequence has a gap or a repetition, or SQLite refused (its name in the text).
        """
        expected = self._last_sequence
        for record in records:
            expected += 1
            if record.sequence != expected:
                raise JournalError(
                    f"record {record.sequence} ({type(record.entry).__name__}) does not follow record {expected - 1}: "
                    f"the journal {self.path} takes no gap and no repetition"
                )
        if expected != self._last_sequence:
            self._write("records", _INSERT_RECORD, map(encode_row, records))
            self._last_sequence = expected

    def should_save_image(self, sequence: int) -> bool:
        """Return True when 10,000 records have passed since the last image."""
        return sequence - self._last_image >= IMAGE_EVERY_RECORDS

    def save_image(self, sequence: int, image: bytes) -> None:
        """Store the complete state after the record `sequence`, which must be the last one committed.

        Raises:
            JournalError: another record than the last, or SQLite refused.
        """
        if sequence != self._last_sequence or sequence < 1:
            raise JournalError(
                f"a state image of record {sequence} does not fit {self.path}: its last record is {self._last_sequence}"
            )
        row = (sequence, image, checksum(sequence, 0, image))
        self._write("a state image", _INSERT_IMAGE, [row])
        self._last_image = sequence

    def drop_before_last_image(self) -> None:
        """Remove the records that the last image holds, and the older images; give the room back to the disk.

        Only `pruning.prune` calls this, after it has archived them.
        """
        with self._durably():
            self._write("the pruning", "DELETE FROM records WHERE sequence <= ?", [(self._last_image,)])
            self._write("the pruning", "DELETE FROM images WHERE sequence < ?", [(self._last_image,)])
        with sqlite_faults(f"the records were archived and removed, but {self.path} could not be made smaller"):
            self._db.execute("VACUUM")
        self.checkpoint(CheckpointMode.TRUNCATE)

    # Checkpoints ----------------------------------------------------------------------------------------------------

    def wal_pages(self) -> int:
        """Return the number of pages in the write-ahead log; about ten small reads, for a thread."""
        return wal_pages(self.path)

    def checkpoint_may_be_due(self) -> bool:
        """Return False if the log is certainly short; one `stat`, for the loop."""
        return most_wal_pages(self.path, self._page_bytes) > PASSIVE_ABOVE_PAGES

    def checkpoint_if_due(self) -> CheckpointReport | None:
        """Checkpoint as the log's length asks for; any thread. PASSIVE copies, TRUNCATE then has little left to hold
        the writer for; it is kept for the case that commits never pause, since only a pause lets the log start over.
        """
        if self.wal_pages() <= PASSIVE_ABOVE_PAGES:
            return None
        report = self.checkpoint(CheckpointMode.PASSIVE)
        if report.wal_pages > TRUNCATE_ABOVE_PAGES:
            report = self.checkpoint(CheckpointMode.TRUNCATE)
        return report

    def checkpoint(self, mode: CheckpointMode) -> CheckpointReport:
        """Copy the log into the database on a connection of its own; any thread, the caller waits for the disk."""
        with self._checkpoint_turn:
            if self._closed:
                raise JournalError(f"the journal {self.path} is closed")
            with self._writer_turn if mode is CheckpointMode.TRUNCATE else contextlib.nullcontext():
                return self._checkpoint(mode)

    def interrupt_checkpoint(self) -> None:
        """Make a checkpoint that runs in another thread end at its next page; a later one does the work again."""
        if not self._closed:
            self._checkpoints.interrupt()

    def copy_to(self, path: Path) -> None:
        """Make a copy of what is committed now, for crash drills and safe-keeping; an owner-only file at a new path.

        Copying the file would drop SQLite's locks on it. A copy speaks for the same bot: never run both.
        """
        if path.exists():
            raise JournalError(f"{path} exists already; a copy of the journal never replaces a file")
        make_private(path)
        with sqlite_faults(f"the journal {self.path} could not be copied to {path}"):
            target = sqlite3.connect(path, isolation_level=None)
            try:
                self._db.backup(target)
            finally:
                target.close()

    def close(self) -> None:
        """Checkpoint (TRUNCATE) and close; waits for a checkpoint under way. Never raises: nothing would be lost."""
        with self._checkpoint_turn, self._writer_turn:
            if self._closed:
                return
            try:
                if self._checkpoint(CheckpointMode.TRUNCATE).busy:
                    log.info("a reader kept the journal %s from being checkpointed at its close", self.path)
            except JournalError as error:
                log.warning("the journal was closed with its log left in %s: %s", wal_path(self.path), error)
            self._closed = True
            self._checkpoints.close()
            self._db.close()

    # Parts ----------------------------------------------------------------------------------------------------------

    def _checkpoint(self, mode: CheckpointMode) -> CheckpointReport:
        try:
            busy, pages, copied = self._checkpoints.execute(f"PRAGMA wal_checkpoint({mode.value})").fetchone()
        except sqlite3.Error as error:
            if sqlite_name(error) != "SQLITE_INTERRUPT":
                raise journal_fault(f"the journal {self.path} could not be checkpointed", error) from error
            return CheckpointReport(mode, True, self.wal_pages(), 0)
        return CheckpointReport(mode, bool(busy), pages, copied)

    def _settle_on_disk(self) -> None:
        """Move schema or identity out of the log: a damaged log then loses records, never what they are read with."""
        set_patience(self._checkpoints, OPENING_TIMEOUT_S)  # for readers; nothing trades yet
        try:
            if self._checkpoint(CheckpointMode.TRUNCATE).busy:
                raise JournalError(f"the journal {self.path} is being read just while it has to be made: try again")
        finally:
            set_patience(self._checkpoints, 0)
        sync_folder(self.path)

    def _write_identity(self, identity: JournalIdentity) -> None:
        row = (
            identity.bot_id,
            identity.venue,
            identity.symbol,
            str(identity.tick_size),
            msgspec.json.encode(identity.lattice).decode(),
            identity.created_ms,
        )
        with self._durably():
            self._write("the identity", _INSERT_IDENTITY, [row])
        self._settle_on_disk()
        self.identity = identity

    @contextlib.contextmanager
    def _durably(self) -> Iterator[None]:
        with sqlite_faults(f"the journal {self.path} could not be written"):
            self._db.execute("PRAGMA synchronous = FULL")
            try:
                yield
            finally:
                self._db.execute("PRAGMA synchronous = NORMAL")

    def _write(self, what: str, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run one statement over rows in one transaction."""
        with self._writer_turn:
            try:
                self._begin()
                self._db.executemany(sql, rows)
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back()
                raise journal_fault(f"{what} could not be written to the journal {self.path}", error) from error
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        """Leave no open transaction behind; SQLite may have rolled back already, and the first error is the one."""
        with contextlib.suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _begin(self) -> None:
        deadline = None
        while True:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not sqlite_name(error).startswith("SQLITE_BUSY"):
                    raise
                now = time.monotonic()
                deadline = now + BUSY_PATIENCE_S if deadline is None else deadline
                if now >= deadline:
                    raise
                time.sleep(BUSY_PAUSE_S)

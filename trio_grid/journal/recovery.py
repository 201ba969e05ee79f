"""From journal to books: recovery for the bot, replay and verification for the operator.

Owns the ways to a `GridState`: the last image and the tail behind it (recovery), or everything from the start
(replay). It must never guess: a gap, a damaged row or a decision that comes out differently is an error that names
the sequence. It cannot see a tail that SQLite dropped after a loss of power; that is why a start always compares with
the exchange.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from trio_grid.domain.grid_state import GridState, ReplayDiffers
from trio_grid.domain.inputs import JournalRecord
from trio_grid.domain.instrument import Instrument
from trio_grid.domain.settings import LatticeSettings
from trio_grid.domain.strategy import Strategy
from trio_grid.errors import InvariantBroken, JournalError
from trio_grid.journal.archive import archived_from_the_start, read_archives
from trio_grid.journal.identity import JournalIdentity, lattice_differences, refuse_full_book, refuse_other_lattice
from trio_grid.journal.reader import JournalReader, read_journal
from trio_grid.journal.sqlite_journal import Journal


class Difference(msgspec.Struct, frozen=True):
    """The first record at which a replay leaves the journal."""

    sequence: int
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"record {self.sequence} ({self.kind}): {self.detail}"


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` looked at and what it found wrong; no problem means that everything in the file is sound."""

    records: int
    archived: int
    images: int
    sessions: int
    last_sequence: int
    problems: tuple[str, ...]


def recover(journal: Journal, *, strategy: Strategy | None = None) -> GridState | None:
    """Return the state at the journal's end: the last image and the tail behind it; None when nothing was recorded.

    Raises:
        JournalError: a gap, a damaged row or image, or a record that does not follow from the books; it names the
            sequence.
    """
    return recover_from(journal.reader, strategy=strategy)


def recover_from(reader: JournalReader, *, strategy: Strategy | None = None) -> GridState | None:
    """Do the same with a journal that is open for reading."""
    if reader.last_sequence() == 0:
        return None
    image = reader.last_image()
    state = GridState.fresh(strategy=strategy)
    if image is not None:
        state = _restored(image.sequence, image.image, strategy)
    for record in reader.records(after=state.sequence):
        try:
            _advance(state, record)
        except ReplayDiffers as error:
            raise JournalError(
                f"the journal {reader.path}: {error}. This program does not decide as the one that wrote the record: "
                "`trio-grid journal replay` shows the first difference; start with the version that wrote it"
            ) from error
    return state


def check_lattice(
    journal: Journal,
    state: GridState | None,
    instrument: Instrument,
    lattice: LatticeSettings,
    *,
    new_lattice: bool = False,
) -> JournalIdentity:
    """Return the journal's identity after making sure that the configured lattice is the journal's (S15).

    `state` is what `recover` gave, `instrument` the exchange's present units, in which `lattice` is written. With
    `new_lattice` the configured one replaces it, if no slot holds inventory or an order. A lattice on which nothing
    was ever placed (the start was refused, say) gives way without a word.

    Raises:
        StartRefused: another lattice and not `new_lattice`, or `new_lattice` and a book that is not empty.
        JournalError: the journal has no identity yet, or cannot be written.
    """
    identity = journal.identity
    if identity is None:
        raise JournalError(f"the journal {journal.path} has no identity yet")
    if new_lattice:
        if state is not None:
            refuse_full_book(state.grid.book.in_order())
        return journal.replace_lattice(instrument, lattice)
    if _unused(state):
        if lattice_differences(identity, lattice, instrument.tick_size):
            identity = journal.replace_lattice(instrument, lattice)
        return identity
    anchor = None
    if state is not None and state.grid.fields.anchor_ticks is not None and state.grid.fields.instrument is not None:
        anchor = state.grid.fields.instrument.price(state.grid.fields.anchor_ticks)
    refuse_other_lattice(lattice_differences(identity, lattice, instrument.tick_size, anchor))
    return identity


def _unused(state: GridState | None) -> bool:
    if state is None:
        return True
    counters = state.grid.fields.counters
    return not (counters.orders_placed or counters.adopted or len(state.grid.book))


def replay_all(path: Path, *, strategy: Strategy | None = None) -> Difference | None:
    """Derive every decision again from the start and return the first difference; None when there is none.

    The start is the journal's first record, archived ones included; where archives are missing, the oldest image.

    Raises:
        JournalError: the journal cannot be read.
    """
    with read_journal(path) as reader:
        state, records = _from_the_start(reader, strategy)
        for record in records:
            try:
                _advance(state, record)
            except ReplayDiffers as error:
                return Difference(record.sequence, type(record.entry).__name__, str(error))
    return None


def verify(path: Path, *, strategy: Strategy | None = None) -> Verification:
    """Check everything that can be checked without the exchange, and return every problem found.

    SQLite's integrity check; sequence without gaps; each row's checksum and meaning; each image equal, byte for byte,
    to what replaying gives; archives readable and fitting.

    Raises:
        JournalError: there is no journal, or it cannot even be opened.
    """
    with read_journal(path) as reader:
        problems = [f"integrity: {complaint}" for complaint in reader.integrity()]
        archived = last = records = images = sessions = 0
        try:
            archived = sum(1 for _ in read_archives(reader.path))
            last, records = reader.last_sequence(), reader.count()
            images, sessions = len(reader.image_sequences()), len(reader.sessions())
            reader.identity()
            problems.extend(_replay_problems(reader, strategy))
        except JournalError as error:
            problems.append(str(error))
    return Verification(
        records=records,
        archived=archived,
        images=images,
        sessions=sessions,
        last_sequence=last,
        problems=tuple(problems),
    )


def _replay_problems(reader: JournalReader, strategy: Strategy | None) -> Iterator[str]:
    state, records = _from_the_start(reader, strategy)
    images = reader.image_sequences()
    if state.sequence in images:
        yield from _image_problems(reader, state)
    for record in records:
        try:
            _advance(state, record)
        except ReplayDiffers as error:
            yield f"replay: {error}"
            return
        if state.sequence in images:
            yield from _image_problems(reader, state)


def _image_problems(reader: JournalReader, state: GridState) -> Iterator[str]:
    if reader.image(state.sequence).image != state.image():
        yield f"the state image of record {state.sequence} is not what replaying the records gives"


def _from_the_start(reader: JournalReader, strategy: Strategy | None) -> tuple[GridState, Iterator[JournalRecord]]:
    """Return the earliest state that can be had, and all the records behind it."""
    first = reader.first_sequence()
    images = reader.image_sequences()
    if first is None:
        first = images[-1] + 1 if images else 1
    if first == 1:
        return GridState.fresh(strategy=strategy), reader.records()
    if archived_from_the_start(reader.path, first - 1):
        return GridState.fresh(strategy=strategy), _chained(reader, first - 1)
    usable = [sequence for sequence in images if sequence >= first - 1]
    if not usable:
        raise JournalError(f"the journal {reader.path} begins at record {first}, and no state image stands before it")
    return _restored(usable[0], reader.image(usable[0]).image, strategy), reader.records(after=usable[0])


def _chained(reader: JournalReader, archived: int) -> Iterator[JournalRecord]:
    for record in read_archives(reader.path):
        if record.sequence > archived:
            break
        yield record
    yield from reader.records(after=archived)


def _restored(sequence: int, image: bytes, strategy: Strategy | None) -> GridState:
    try:
        state = GridState.from_image(image, strategy=strategy)
    except (msgspec.DecodeError, ValueError, TypeError, InvariantBroken) as error:
        raise JournalError(f"the state image of record {sequence} cannot be read: {error}") from error
    if state.sequence != sequence:
        raise JournalError(f"the state image of record {sequence} holds the state of record {state.sequence}")
    return state


def _advance(state: GridState, record: JournalRecord) -> None:
    try:
        state.replay(record)
    except (InvariantBroken, ValueError, TypeError, LookupError) as error:
        # The last three: a row that is sound in itself, but holds a value that these books have no room for.
        raise JournalError(
            f"record {record.sequence} ({type(record.entry).__name__}) contradicts the books: {error}"
        ) from error

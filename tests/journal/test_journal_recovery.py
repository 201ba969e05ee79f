"""From journal back to books: recovery, replay, verification, and what is fixed for a journal's life."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from tests.journal.journal_samples import INSTRUMENT, LATTICE, START_MS, records
from tests.journal.journaled_grid import JournaledGrid
from trio_grid.domain.events import OrderRecord
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import Decision, JournalRecord
from trio_grid.domain.instrument import PriceTicks
from trio_grid.domain.settings import LatticeSettings, Spacing
from trio_grid.errors import JournalError, StartRefused
from trio_grid.journal.reader import read_journal
from trio_grid.journal.recovery import check_lattice, recover, recover_from, replay_all, verify
from trio_grid.journal.rows import checksum, encode_row
from trio_grid.journal.sqlite_journal import open_journal
from trio_grid.journal.wal import wal_path


def alter(path: Path, sql: str, *parameters: object) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(sql, parameters)


def rewrite(path: Path, record: JournalRecord) -> None:
    """Replace a row by another one that is sound in itself."""
    alter(
        path,
        "UPDATE records SET now_ms = ?, kind = ?, entry = ?, checksum = ? WHERE sequence = ?",
        *encode_row(record)[1:],
        record.sequence,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.sqlite3"


def make_journal(path: Path, *, seed: int = 1, images: int = 0, steps: int = 100) -> bytes:
    """Let a grid trade, taking images evenly; return the final state's image."""
    with open_journal(path) as journal:
        grid = JournaledGrid(journal, seed)
        for _ in range(images):
            grid.run(steps // (images + 1))
            journal.save_image(grid.state.sequence, grid.state.image())
        grid.run(steps // (images + 1))
        return grid.state.image()


def test_nothing_recorded_is_nothing_recovered(path: Path) -> None:
    with open_journal(path) as journal:
        assert recover(journal) is None
        journal.begin_session(started_ms=START_MS)
        assert recover(journal) is None


@pytest.mark.parametrize("images", [0, 1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_f17_the_recovered_state_is_the_state_that_was_lost_byte_for_byte(path: Path, seed: int, images: int) -> None:
    final = make_journal(path, seed=seed, images=images)
    with open_journal(path) as journal:
        state = recover(journal)
        assert state is not None
        assert state.image() == final
        assert state.sequence == journal.last_sequence
        assert state.grid.book.in_order()


def test_s15_restarts_go_on_on_the_same_lattice_with_the_same_slots(path: Path) -> None:
    anchors, lives = set(), []
    resting: dict[str, OrderRecord] = {}

    def held(state: GridState) -> dict[int, int]:
        return {slot.rung: slot.inventory_lots for slot in state.grid.book.in_order() if slot.inventory_lots}

    for life in range(4):
        with open_journal(path) as journal:
            before = recover(journal)
            grid = JournaledGrid(journal, life, resting)
            fields = grid.state.grid.fields
            anchors.add(fields.anchor_ticks)
            lives.append(fields.session)
            if before is not None:
                assert held(grid.state) == held(before)
            grid.run(60)
    assert len(anchors) == 1
    assert lives == [1, 2, 3, 4]
    assert replay_all(path) is None


def test_recovery_reads_the_last_image_and_only_the_tail_behind_it(path: Path) -> None:
    final = make_journal(path, images=2)
    with read_journal(path) as reader:
        image = reader.image_sequences()[-1]
    alter(path, "UPDATE records SET entry = x'00' WHERE sequence < ?", image)
    with read_journal(path) as reader:
        state = recover_from(reader)
        assert state is not None
        assert state.image() == final


def test_r13_a_crash_at_any_transaction_recovers_to_that_transaction(path: Path, tmp_path: Path) -> None:
    """Cut the log at each page: the recovered state is always one that the live books went through."""
    seen: dict[int, bytes] = {}
    with open_journal(path) as journal:
        grid = JournaledGrid(journal, 5)
        grid.save()
        seen[grid.state.sequence] = grid.state.image()
        for _ in range(25):
            grid.step()
            seen[grid.state.sequence] = grid.state.image()
        crashed = tmp_path / "crashed" / path.name
        crashed.parent.mkdir()
        shutil.copyfile(path, crashed)
        log = wal_path(path).read_bytes()
    database = crashed.read_bytes()
    recovered = set()
    for cut in range(32, len(log) + 1, 4096 + 24):
        crashed.write_bytes(database)
        wal_path(crashed).write_bytes(log[:cut])
        with open_journal(crashed) as journal:
            state = recover(journal)
            if state is not None:
                assert state.image() == seen[state.sequence]
                recovered.add(state.sequence)
    assert recovered == set(seen)


# What recovery refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM records WHERE sequence = 50", "record 50 is missing, the next one is 51"),
        ("UPDATE records SET entry = x'7b' WHERE sequence = 50", r"record 50 .* is damaged"),
        ("UPDATE records SET now_ms = now_ms + 1 WHERE sequence = 50", r"record 50 .* is damaged"),
    ],
)
def test_a_damaged_tail_stops_recovery_and_names_the_sequence(path: Path, sql: str, message: str) -> None:
    make_journal(path)
    alter(path, sql)
    with open_journal(path) as journal, pytest.raises(JournalError, match=message) as caught:
        recover(journal)
    assert str(path) in str(caught.value)
    assert [problem for problem in verify(path).problems if str(path) in problem]


def first_decision(path: Path, behind: int) -> JournalRecord:
    with read_journal(path) as reader:
        return next(record for record in reader.records(after=behind) if isinstance(record.entry, Decision))


def test_a_decision_that_comes_out_differently_is_named_by_recovery_replay_and_verify(path: Path) -> None:
    make_journal(path)
    record = first_decision(path, 40)
    assert isinstance(record.entry, Decision)
    altered = msgspec.structs.replace(record.entry, half_ticks=record.entry.half_ticks + 2_000)
    rewrite(path, msgspec.structs.replace(record, entry=altered))
    difference = replay_all(path)
    assert difference is not None
    assert difference.sequence == record.sequence
    assert difference.kind == "Decision"
    assert f"record {record.sequence}" in str(difference)
    with (
        open_journal(path) as journal,
        pytest.raises(JournalError, match=f"record {record.sequence}.*does not decide as"),
    ):
        recover(journal)
    assert any(f"record {record.sequence}" in problem for problem in verify(path).problems)


def test_a_record_that_contradicts_the_books_is_named(path: Path) -> None:
    make_journal(path)
    with read_journal(path) as reader:
        start = next(reader.records())
        last = reader.last_sequence()
    rewrite(path, JournalRecord(sequence=last, now_ms=start.now_ms, entry=start.entry))  # the same session once more
    with (
        open_journal(path) as journal,
        pytest.raises(JournalError, match=f"record {last} .SessionStarted. contradicts"),
    ):
        recover(journal)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"{}", "cannot be read"),
        (b"not json", "cannot be read"),
        (GridState.fresh().image(), "holds the state of record 0"),
    ],
)
def test_an_image_that_is_no_state_is_named(path: Path, image: bytes, message: str) -> None:
    make_journal(path, images=1)
    with read_journal(path) as reader:
        (sequence,) = reader.image_sequences()
    alter(path, "UPDATE images SET image = ?, checksum = ?", image, checksum(sequence, 0, image))
    with open_journal(path) as journal, pytest.raises(JournalError, match=f"image of record {sequence} {message}"):
        recover(journal)


# Verification -------------------------------------------------------------------------------------------------------


def test_a_sound_journal_has_no_problem(path: Path) -> None:
    make_journal(path, images=3)
    found = verify(path)
    assert found.problems == ()
    assert (found.images, found.sessions, found.archived) == (3, 1, 0)
    assert found.records == found.last_sequence > 100


def test_verify_finds_an_image_that_is_not_what_replaying_gives(path: Path) -> None:
    make_journal(path, images=2)
    with read_journal(path) as reader:
        first, second = reader.image_sequences()
        state = GridState.from_image(reader.image(second).image)
    state.grid.update(sequence=first)
    forged = state.image()
    alter(
        path, "UPDATE images SET image = ?, checksum = ? WHERE sequence = ?", forged, checksum(first, 0, forged), first
    )
    assert verify(path).problems == (f"the state image of record {first} is not what replaying the records gives",)


def test_verify_finds_a_flipped_bit_inside_a_number(path: Path) -> None:
    make_journal(path)
    content = path.read_bytes()
    place = content.rindex(b'"half_ticks":1') + len(b'"half_ticks":1')
    path.write_bytes(content[:place] + bytes((content[place] ^ 1,)) + content[place + 1 :])
    found = verify(path)
    assert len(found.problems) == 1
    assert "checksum" in found.problems[0]


def test_verify_and_replay_go_on_beside_a_running_bot(path: Path) -> None:
    with open_journal(path) as journal:
        grid = JournaledGrid(journal, 3)
        for _ in range(3):
            grid.run(20)
            assert verify(path).problems == ()
            assert replay_all(path) is None
        grid.run(20)


def test_a_journal_that_begins_in_the_middle_without_an_image_is_refused(path: Path) -> None:
    make_journal(path)
    alter(path, "DELETE FROM records WHERE sequence < 20")
    with pytest.raises(JournalError, match="begins at record 20, and no state image stands before it"):
        replay_all(path)
    assert any("begins at record 20" in problem for problem in verify(path).problems)
    with open_journal(path) as journal, pytest.raises(JournalError, match="record 1 is missing"):
        recover(journal)


# What is fixed for a journal's life ---------------------------------------------------------------------------------


def other(**changes: object) -> LatticeSettings:
    return msgspec.structs.replace(LATTICE, **changes)


def test_the_same_lattice_is_accepted(path: Path) -> None:
    make_journal(path)
    with open_journal(path) as journal:
        assert check_lattice(journal, recover(journal), INSTRUMENT, LATTICE) == journal.identity


@pytest.mark.parametrize(
    ("lattice", "line"),
    [
        (other(interval_ticks=600), "interval: the journal has 50, the configuration 60"),
        (other(interval_divisor=3), "interval: the journal has 50, the configuration 50/3"),
        (other(lowest_rung=-5), "lowest rung: the journal has none, the configuration -5"),
        (other(highest_rung=5), "highest rung: the journal has none, the configuration 5"),
        (other(spacing=Spacing.GEOMETRIC, ratio_ppm=500), "spacing: the journal has arithmetic, the configuration geo"),
        (other(spacing=Spacing.GEOMETRIC, ratio_ppm=500), r"ratio .ppm.: the journal has 0, the configuration 500"),
        (other(anchor_ticks=PriceTicks(610_000)), "anchor: the journal has 60000, the configuration 61000"),
    ],
)
def test_s15_another_lattice_is_refused_with_both_ways_out(path: Path, lattice: LatticeSettings, line: str) -> None:
    make_journal(path)
    with open_journal(path) as journal:
        with pytest.raises(StartRefused, match=line) as caught:
            check_lattice(journal, recover(journal), INSTRUMENT, lattice)
        assert "`run --new-lattice`, which needs an empty book" in str(caught.value)
        assert journal.identity is not None
        assert journal.identity.lattice == LATTICE


def test_the_anchor_that_the_lattice_really_has_may_be_configured(path: Path) -> None:
    make_journal(path)
    with open_journal(path) as journal:
        check_lattice(journal, recover(journal), INSTRUMENT, other(anchor_ticks=PriceTicks(600_000)))


def test_the_lattice_is_compared_in_quote_units_when_the_tick_size_has_changed(path: Path) -> None:
    make_journal(path)
    finer = msgspec.structs.replace(INSTRUMENT, tick_size=INSTRUMENT.tick_size / 10)
    with open_journal(path) as journal:
        state = recover(journal)
        check_lattice(journal, state, finer, other(interval_ticks=5_000))
        with pytest.raises(StartRefused, match="interval: the journal has 50, the configuration 5"):
            check_lattice(journal, state, finer, LATTICE)


def test_a_new_lattice_needs_an_empty_book(path: Path) -> None:
    make_journal(path)
    with open_journal(path) as journal:
        state = recover(journal)
        assert state is not None
        slot = next(slot for slot in state.grid.book.in_order() if slot.order is not None)
        with pytest.raises(StartRefused, match=r"needs an empty book") as caught:
            check_lattice(journal, state, INSTRUMENT, other(interval_ticks=600), new_lattice=True)
        assert f"slot {slot.rung}: " in str(caught.value)


def test_a_new_lattice_on_an_empty_book_is_kept(path: Path) -> None:
    wider = other(interval_ticks=600)
    with open_journal(path) as journal:
        made = journal.establish_identity(INSTRUMENT, LATTICE, created_ms=START_MS, venue="paper")
        identity = check_lattice(journal, GridState.fresh(), INSTRUMENT, wider, new_lattice=True)
        assert identity == msgspec.structs.replace(made, lattice=wider)
    with open_journal(path) as journal:
        assert journal.identity == identity


def test_a_lattice_on_which_nothing_was_placed_gives_way(path: Path) -> None:
    wider = other(interval_ticks=600)
    with open_journal(path) as journal:
        journal.establish_identity(INSTRUMENT, LATTICE, created_ms=START_MS, venue="paper")
        assert check_lattice(journal, None, INSTRUMENT, wider).lattice == wider
        assert check_lattice(journal, GridState.fresh(), INSTRUMENT, LATTICE).lattice == LATTICE


def test_a_lattice_is_checked_only_after_the_identity_was_made(path: Path) -> None:
    with open_journal(path) as journal:
        with pytest.raises(JournalError, match="no identity yet"):
            check_lattice(journal, None, INSTRUMENT, LATTICE)
        with pytest.raises(JournalError, match="no identity yet"):
            journal.replace_lattice(INSTRUMENT, LATTICE)


def test_records_of_strangers_do_not_recover(path: Path) -> None:
    """Records that were never a grid's: the first one has to be a session's start."""
    with open_journal(path) as journal:
        journal.commit(records(1, 3))
        with pytest.raises(JournalError, match="record 1"):
            recover(journal)

"""The journal's files: sessions, identity, modes, opening and closing, checkpoints."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.journal.journal_samples import INSTRUMENT, LATTICE, START_MS, fill, sequences
from trio_grid.errors import JournalError, JournalInUse, StartRefused
from trio_grid.journal import sqlite_journal
from trio_grid.journal.reader import read_journal
from trio_grid.journal.sqlite_journal import Journal, open_journal
from trio_grid.journal.wal import CheckpointMode, CheckpointReport, wal_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "bot.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with open_journal(path) as opened:
        yield opened


# Sessions and identity ----------------------------------------------------------------------------------------------


def test_r3_session_numbers_grow_whatever_becomes_of_the_records(path: Path) -> None:
    numbers = []
    for start in range(4):
        with open_journal(path) as journal:
            numbers.append(journal.begin_session(started_ms=START_MS + start))
            fill(journal, 2)
    assert numbers == [1, 2, 3, 4]
    with read_journal(path) as reader:
        assert [(one.session, one.started_ms, one.last_sequence) for one in reader.sessions()] == [
            (n, START_MS + n - 1, 2 * (n - 1)) for n in numbers
        ]


def test_r3_a_session_seen_on_the_exchange_lifts_the_number(journal: Journal) -> None:
    assert journal.begin_session(started_ms=START_MS) == 1
    assert journal.begin_session(started_ms=START_MS, at_least=17) == 17
    assert journal.begin_session(started_ms=START_MS, at_least=3) == 18


def test_session_numbers_end_where_the_client_order_id_has_no_room(journal: Journal) -> None:
    assert journal.begin_session(started_ms=START_MS, at_least=999_999) == 999_999
    with pytest.raises(JournalError, match="used up"):
        journal.begin_session(started_ms=START_MS)


def test_the_identity_is_made_once_and_kept(path: Path) -> None:
    with open_journal(path) as journal:
        assert journal.identity is None
        made = journal.establish_identity(INSTRUMENT, LATTICE, created_ms=START_MS, venue="paper")
        assert wal_path(path).stat().st_size == 0  # it does not depend on the log any more
    with open_journal(path) as journal:
        assert journal.identity == made
        assert journal.establish_identity(INSTRUMENT, LATTICE, created_ms=START_MS + 5, venue="paper") == made
    assert made.symbol == "BTCUSDT"
    assert len(made.bot_id) == 6


def test_r3_a_new_journal_never_speaks_for_an_old_one(tmp_path: Path) -> None:
    bots = set()
    for name in ("a", "b", "c"):
        with open_journal(tmp_path / name) as journal:
            bots.add(journal.establish_identity(INSTRUMENT, LATTICE, created_ms=START_MS, venue="paper").bot_id)
    assert len(bots) == 3


def test_another_symbol_or_exchange_is_refused(journal: Journal) -> None:
    journal.establish_identity(INSTRUMENT, LATTICE, created_ms=START_MS, venue="paper")
    other = msgspec.structs.replace(INSTRUMENT, symbol="ETHUSDT")
    with pytest.raises(StartRefused, match=r"belongs to symbol BTCUSDT.*asks for ETHUSDT"):
        journal.establish_identity(other, LATTICE, created_ms=START_MS, venue="paper")
    with pytest.raises(StartRefused, match=r"belongs to venue paper.*asks for fapi"):
        journal.establish_identity(INSTRUMENT, LATTICE, created_ms=START_MS, venue="fapi")


# Files --------------------------------------------------------------------------------------------------------------


def test_every_file_is_its_owners_alone(journal: Journal, path: Path) -> None:
    fill(journal, 1)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(("bot.sqlite3", "bot.sqlite3-wal", "bot.sqlite3-shm", "bot.sqlite3.lock"), 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_made_private(path: Path) -> None:
    with open_journal(path):
        pass
    path.chmod(0o644)
    with open_journal(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_closing_leaves_one_whole_file(path: Path) -> None:
    with open_journal(path) as journal:
        fill(journal, 50)
    assert {file.name for file in path.parent.iterdir()} == {"bot.sqlite3", "bot.sqlite3.lock"}
    with open_journal(path) as journal:
        assert journal.last_sequence == 50


def test_a_reader_may_stay_open_while_the_journal_is_closed(path: Path) -> None:
    with open_journal(path) as journal:
        fill(journal, 9)
        with read_journal(path) as reader:
            walk = reader.records()
            assert next(walk).sequence == 1
            journal.close()
            assert sequences(tuple(walk)) == list(range(2, 10))


def test_a_closed_journal_says_so_and_closes_twice(journal: Journal) -> None:
    journal.close()
    journal.close()
    assert "closed" in repr(journal)
    with pytest.raises(JournalError, match="closed"):
        journal.checkpoint(CheckpointMode.PASSIVE)
    with pytest.raises(JournalError, match="ProgrammingError"):
        fill(journal, 1)


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look like one\n" * 20, b"\0" * 4096])
def test_a_file_that_is_no_database_is_refused_and_kept(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(JournalError, match="SQLITE_NOTADB"), open_journal(path):
        pass
    assert path.read_bytes() == content
    with pytest.raises(JournalError, match="SQLITE_NOTADB"), read_journal(path):
        pass


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "bot.sqlite3"
    with pytest.raises(JournalError, match=r"folder .* cannot be made"), open_journal(path):
        pass


def test_a_folder_in_the_journals_place_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(JournalError, match="is a folder"), open_journal(tmp_path):
        pass
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_copy_is_what_was_committed_and_opens_as_a_journal(journal: Journal, path: Path) -> None:
    journal.establish_identity(INSTRUMENT, LATTICE, created_ms=START_MS, venue="paper")
    fill(journal, 20)
    copy = path.with_name("copy.sqlite3")
    journal.copy_to(copy)
    fill(journal, 5)  # the original goes on, its locks intact
    with pytest.raises(JournalError, match="exists already"):
        journal.copy_to(copy)
    with open_journal(copy) as copied:
        assert copied.identity == journal.identity
        assert sequences(tuple(copied.reader.records())) == list(range(1, 21))
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        fill(copied, 1)
    assert journal.last_sequence == 25
    with pytest.raises(JournalInUse), open_journal(path):
        pass


def test_a_reader_in_the_middle_of_a_look_only_delays_the_identity(journal: Journal, path: Path) -> None:
    fill(journal, 5)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM records").fetchone()
        release = threading.Timer(0.05, lambda: reader.execute("ROLLBACK"))
        release.start()
        journal.establish_identity(INSTRUMENT, LATTICE, created_ms=START_MS, venue="paper")
        release.join()
    assert wal_path(path).stat().st_size == 0


def test_the_repr_tells_the_state(journal: Journal) -> None:
    fill(journal, 4)
    journal.save_image(4, b"{}")
    assert repr(journal) == "<Journal bot.sqlite3 no identity sequence=4 image=4 open>"


# Checkpoints --------------------------------------------------------------------------------------------------------


def test_the_schema_is_in_the_database_file_before_the_first_record(path: Path) -> None:
    with open_journal(path):
        assert wal_path(path).stat().st_size == 0
        assert path.stat().st_size > 4096


def test_wal_pages_agree_with_sqlite_through_restarts_of_the_log(journal: Journal) -> None:
    assert journal.wal_pages() == 0
    for count in (1, 40, 200, 3, 7, 90):
        fill(journal, count, batch=2)
        counted = journal.wal_pages()
        report = journal.checkpoint(CheckpointMode.PASSIVE)
        assert counted == report.wal_pages == report.copied_pages
        assert not report.busy
        fill(journal, 1)  # everything was copied, so the log starts over: the file keeps its length
        assert journal.wal_pages() < counted or counted < 3
    assert journal.checkpoint(CheckpointMode.TRUNCATE).copied_pages == 0
    assert journal.wal_pages() == 0
    assert wal_path(journal.path).stat().st_size == 0


def test_a_checkpoint_is_passive_above_a_thousand_pages(journal: Journal, path: Path) -> None:
    fill(journal, 300, batch=1)
    assert not journal.checkpoint_may_be_due()
    assert journal.checkpoint_if_due() is None
    while journal.wal_pages() <= sqlite_journal.PASSIVE_ABOVE_PAGES:
        fill(journal, 50, batch=1)
    assert journal.checkpoint_may_be_due()
    report = journal.checkpoint_if_due()
    assert report is not None
    assert report.mode is CheckpointMode.PASSIVE
    assert report.copied_pages == report.wal_pages > 1_000
    assert wal_path(path).stat().st_size > 0


def test_a_log_that_a_reader_kept_from_starting_over_is_truncated_above_the_upper_limit(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_journal, "PASSIVE_ABOVE_PAGES", 20)
    monkeypatch.setattr(sqlite_journal, "TRUNCATE_ABOVE_PAGES", 60)
    with read_journal(journal.path) as reader:
        reader._db.execute("BEGIN")
        reader._db.execute("SELECT count(*) FROM records").fetchone()  # a reading transaction pins the log's beginning
        fill(journal, 100, batch=1)
        blocked = journal.checkpoint_if_due()
        assert blocked is not None
        assert blocked.mode is CheckpointMode.TRUNCATE
        assert blocked.busy
        fill(journal, 1)  # a checkpoint that could not finish does not keep the writer out
        reader._db.execute("ROLLBACK")
    report = journal.checkpoint_if_due()
    assert report is not None
    assert report.mode is CheckpointMode.TRUNCATE
    assert not report.busy
    assert wal_path(journal.path).stat().st_size == 0


def test_an_interrupted_checkpoint_loses_nothing(journal: Journal) -> None:
    rounds = 0
    while True:
        rounds += 1
        fill_with_images(journal, 400)
        # On a busy machine a checkpoint may be over before this thread is given the processor: then another one.
        if interrupted_checkpoint(journal).busy:
            break
        assert rounds < 50
    report = journal.checkpoint(CheckpointMode.PASSIVE)
    assert not report.busy
    assert report.copied_pages == report.wal_pages
    assert journal.reader.integrity() == ()
    assert journal.last_sequence == 400 * rounds
    assert os.path.getsize(journal.path) > rounds * 400 * BIG_BYTES


BIG_BYTES = 60_000


def fill_with_images(journal: Journal, count: int) -> None:
    for _ in range(count):
        fill(journal, 1)
        journal.save_image(journal.last_sequence, b"x" * BIG_BYTES)


def interrupted_checkpoint(journal: Journal) -> CheckpointReport:
    """Checkpoint in a thread while this one interrupts it."""
    finished = threading.Event()
    reports: list[CheckpointReport] = []

    def checkpoint() -> None:
        reports.append(journal.checkpoint(CheckpointMode.PASSIVE))
        finished.set()

    thread = threading.Thread(target=checkpoint)
    thread.start()
    while not finished.is_set():
        journal.interrupt_checkpoint()
    thread.join()
    return reports[0]

"""The journal's writer on real files: commits, the gapless sequence, images, sessions, identity, files and modes."""

from __future__ import annotations

import os
import resource
import sqlite3
import stat
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.journal.journal_samples import INSTRUMENT, LATTICE, START_MS, fill, records, sequences
from trio_grid.errors import JournalError, StartRefused
from trio_grid.journal import sqlite_journal
from trio_grid.journal.reader import read_journal
from trio_grid.journal.sqlite_journal import CheckpointMode, Journal, open_journal
from trio_grid.journal.wal import wal_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "bot.sqlite3"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    with open_journal(path) as opened:
        yield opened


def test_what_was_committed_is_read_back_equal(journal: Journal) -> None:
    written = records(1, 7)
    journal.commit(written[:3])
    journal.commit(written[3:])
    assert tuple(journal.reader.records()) == written
    assert journal.last_sequence == 7


def test_nothing_to_commit_is_no_transaction(journal: Journal) -> None:
    pages = journal.wal_pages()
    journal.commit(())
    assert journal.wal_pages() == pages
    assert journal.last_sequence == 0


@pytest.mark.parametrize(("first", "count"), [(2, 1), (5, 2), (3, 1), (1, 1)])
def test_a_gap_or_a_repetition_is_refused_and_leaves_nothing(journal: Journal, first: int, count: int) -> None:
    if first in (1, 3):
        fill(journal, 3)
    before = journal.last_sequence
    with pytest.raises(JournalError, match=f"record {first} .* does not follow record {before}"):
        journal.commit(records(first, count))
    assert sequences(tuple(journal.reader.records())) == list(range(1, before + 1))
    fill(journal, 1)
    assert journal.last_sequence == before + 1


def test_a_gap_inside_one_commit_is_refused_whole(journal: Journal) -> None:
    one, two, three = records(1, 3)
    with pytest.raises(JournalError, match=r"record 3 .* does not follow record 1"):
        journal.commit((one, three, two))
    assert journal.reader.count() == 0


def test_f25_a_full_disk_fails_the_commit_and_room_lets_it_go_on_without_reopening(journal: Journal) -> None:
    fill(journal, 30)
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    before = journal.last_sequence
    with pytest.raises(JournalError, match="SQLITE_FULL") as caught:
        journal.commit(records(before + 1, 100))
    assert caught.value.name == "SQLITE_FULL"
    assert caught.value.exit_code == 4
    assert journal.last_sequence == before
    journal._db.execute("PRAGMA max_page_count = 1000000")
    journal.commit(records(before + 1, 100))
    assert sequences(tuple(journal.reader.records())) == list(range(1, before + 101))


def test_f25_a_write_that_the_system_refuses_fails_the_commit_with_its_name(journal: Journal) -> None:
    fill(journal, 30)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = wal_path(journal.path).stat().st_size + 20_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(JournalError, match=r"SQLITE_(IOERR_WRITE|FULL)"):
            fill(journal, 3_000, batch=20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    reached = journal.last_sequence
    assert 30 <= reached < 3_030
    fill(journal, 5)
    assert sequences(tuple(journal.reader.records())) == list(range(1, reached + 6))
    assert journal.reader.integrity() == ()


def test_a_failed_commit_keeps_the_journal_good_after_reopening(path: Path) -> None:
    with open_journal(path) as journal:
        fill(journal, 30)
        pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
        journal._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(JournalError, match="SQLITE_FULL"):
            journal.commit(records(31, 200))
    with open_journal(path) as journal:
        assert sequences(tuple(journal.reader.records())) == list(range(1, 31))


def test_a_foreign_writer_makes_the_commit_fail_after_a_bounded_wait(journal: Journal, path: Path) -> None:
    foreign = sqlite3.connect(path, isolation_level=None)
    try:
        foreign.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="SQLITE_BUSY") as caught:
            fill(journal, 1)
        foreign.execute("ROLLBACK")
    finally:
        foreign.close()
    assert "another program" in str(caught.value)
    fill(journal, 1)
    assert journal.last_sequence == 1


def test_a_short_lock_of_a_foreign_reader_does_not_stop_the_bot(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_journal, "BUSY_PATIENCE_S", 60.0)  # never the machine's load, only the lock, decides
    foreign = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        foreign.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.01, lambda: foreign.execute("ROLLBACK"))
        timer.start()
        fill(journal, 1)
        timer.join()
    finally:
        foreign.close()
    assert journal.last_sequence == 1


def test_commits_during_truncating_checkpoints_of_another_thread_never_fail(journal: Journal) -> None:
    stop = threading.Event()
    modes: list[CheckpointMode] = []

    def checkpoint() -> None:
        while not stop.is_set():
            modes.append(journal.checkpoint(CheckpointMode.TRUNCATE).mode)

    thread = threading.Thread(target=checkpoint)
    thread.start()
    try:
        fill(journal, 3_000, batch=1)
    finally:
        stop.set()
        thread.join()
    assert modes
    assert sequences(tuple(journal.reader.records())) == list(range(1, 3_001))


def test_commits_beside_readers_that_open_and_close_all_the_time_never_fail(journal: Journal, path: Path) -> None:
    fill(journal, 5)
    stop = threading.Event()
    counts: list[int] = []
    faults: list[BaseException] = []

    def read() -> None:
        try:
            while not stop.is_set():
                with read_journal(path) as reader:
                    counts.append(len(list(reader.records())))
        except (JournalError, sqlite3.Error) as error:
            faults.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        fill(journal, 1_500, batch=1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert faults == []
    assert counts
    assert max(counts) > 5
    assert journal.last_sequence == 1_505


def test_the_commit_belongs_to_one_thread(journal: Journal) -> None:
    faults: list[BaseException] = []

    def commit() -> None:
        try:
            fill(journal, 1)
        except JournalError as error:
            faults.append(error)

    thread = threading.Thread(target=commit)
    thread.start()
    thread.join()
    assert len(faults) == 1
    assert "ProgrammingError" in str(faults[0])
    assert journal.last_sequence == 0


def test_the_pragmas_are_those_of_the_design(journal: Journal) -> None:
    def pragma(connection: sqlite3.Connection, name: str) -> object:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    for connection in (journal._db, journal._checkpoints):
        assert pragma(connection, "journal_mode") == "wal"
        assert pragma(connection, "synchronous") == 1
        assert pragma(connection, "wal_autocheckpoint") == 0
        assert pragma(connection, "busy_timeout") == 0


def test_sessions_and_identity_are_committed_with_full_synchronous(journal: Journal) -> None:
    levels: list[tuple[str, int]] = []
    writing = journal._write

    def watched(what: str, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        levels.append((what, journal._db.execute("PRAGMA synchronous").fetchone()[0]))
        writing(what, sql, rows)

    journal._write = watched  # type: ignore[method-assign]
    journal.establish_identity(INSTRUMENT, LATTICE, created_ms=START_MS, venue="paper")
    journal.begin_session(started_ms=START_MS)
    fill(journal, 1)
    assert levels == [("the identity", 2), ("a session", 2), ("records", 1)]


# Images -------------------------------------------------------------------------------------------------------------


def test_an_image_is_due_every_ten_thousand_records(journal: Journal) -> None:
    fill(journal, 10_001, batch=2_000)
    assert not journal.should_save_image(9_999)
    assert journal.should_save_image(10_000)
    journal.save_image(10_001, b"{}")
    assert not journal.should_save_image(20_000)
    assert journal.should_save_image(20_001)


def test_an_image_belongs_to_the_last_record_only(journal: Journal) -> None:
    fill(journal, 5)
    for wrong in (4, 6, 0):
        with pytest.raises(JournalError, match="does not fit"):
            journal.save_image(wrong, b"{}")
    journal.save_image(5, b'{"a":1}')
    image = journal.reader.last_image()
    assert image is not None
    assert (image.sequence, image.image) == (5, b'{"a":1}')


def test_the_last_image_is_known_after_reopening(path: Path) -> None:
    with open_journal(path) as journal:
        fill(journal, 5)
        journal.save_image(5, b"five")
        fill(journal, 2)
        journal.save_image(7, b"seven")
    with open_journal(path) as journal:
        assert journal.reader.image_sequences() == (5, 7)
        assert journal.reader.image(5).image == b"five"
        assert not journal.should_save_image(10_006)
        assert journal.should_save_image(10_007)


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
    big = b"x" * 60_000
    for _ in range(400):
        fill(journal, 1)
        journal.save_image(journal.last_sequence, big)
    finished = threading.Event()
    interrupted = []

    def checkpoint() -> None:
        interrupted.append(journal.checkpoint(CheckpointMode.PASSIVE))
        finished.set()

    thread = threading.Thread(target=checkpoint)
    thread.start()
    while not finished.is_set():
        journal.interrupt_checkpoint()
    thread.join()
    assert interrupted[0].busy
    report = journal.checkpoint(CheckpointMode.PASSIVE)
    assert not report.busy
    assert report.copied_pages == report.wal_pages
    assert journal.reader.integrity() == ()
    assert journal.last_sequence == 400
    assert os.path.getsize(journal.path) > 400 * 60_000

"""The journal's writer on real files: commits, the gapless sequence, full disks, other programs, images."""

from __future__ import annotations

import resource
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journal.journal_samples import INSTRUMENT, LATTICE, START_MS, fill, records, sequences
from trio_grid.errors import JournalError
from trio_grid.journal import sqlite_journal
from trio_grid.journal.reader import read_journal
from trio_grid.journal.sqlite_journal import Journal, open_journal
from trio_grid.journal.wal import CheckpointMode, wal_path


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
        while not modes:
            time.sleep(0.001)
    finally:
        stop.set()
        thread.join()
    assert modes
    assert sequences(tuple(journal.reader.records())) == list(range(1, 3_001))


def test_commits_beside_readers_that_open_and_close_all_the_time_never_fail(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_journal, "BUSY_PATIENCE_S", 60.0)  # never the machine's load, only the lock, decides
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
        while max(counts, default=0) <= 5 and not faults:
            time.sleep(0.001)
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

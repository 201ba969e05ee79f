"""The journal's schema by numbered steps: from nothing, from an older one, and never from a newer one."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import msgspec
import pytest

from tests.journal.journal_samples import fill, sequences
from trio_grid.errors import JournalError
from trio_grid.journal.migrations import APPLICATION_ID, Migration, load_migrations
from trio_grid.journal.reader import read_journal
from trio_grid.journal.sqlite_journal import open_journal
from trio_grid.journal.wal import wal_path

SHIPPED = load_migrations()
NEXT = Migration(
    len(SHIPPED) + 1,
    "a_note.sql",
    """
    CREATE TABLE notes (id INTEGER PRIMARY KEY, words TEXT NOT NULL); -- one ; in a comment; and more
    ALTER TABLE sessions ADD COLUMN words TEXT NOT NULL DEFAULT 'a ; in a string';
    INSERT INTO notes (words) SELECT 'had ' || count(*) || ' records' FROM records
    """,
)
BROKEN = Migration(
    len(SHIPPED) + 1,
    "broken.sql",
    "CREATE TABLE half (id INTEGER PRIMARY KEY); INSERT INTO half VALUES (1);\nINSERT INTO nowhere VALUES (1);",
)


def version(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_the_shipped_migrations_are_numbered_without_gaps() -> None:
    assert [migration.number for migration in SHIPPED] == list(range(1, len(SHIPPED) + 1))
    assert SHIPPED[0].name == "0001_journal.sql"


def test_a_new_journal_has_the_newest_schema_and_says_whose_file_it_is(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    with open_journal(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert version(path) == len(SHIPPED)
    assert tables == {"identity", "sessions", "records", "images"}


def test_an_older_journal_is_brought_up_to_date_with_everything_in_it(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    with open_journal(path) as journal:
        journal.begin_session(started_ms=1)
        fill(journal, 12)
    with open_journal(path, migrations=(*SHIPPED, NEXT)) as journal:
        assert wal_path(path).stat().st_size == 0  # checkpointed before anything else is written
        assert sequences(tuple(journal.reader.records())) == list(range(1, 13))
        assert journal._db.execute("SELECT words FROM notes").fetchall() == [("had 12 records",)]
        assert journal._db.execute("SELECT words FROM sessions").fetchall() == [("a ; in a string",)]
        fill(journal, 3)
    assert version(path) == NEXT.number


def test_a_migration_that_fails_leaves_the_older_journal_whole(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    with open_journal(path) as journal:
        fill(journal, 12)
    with (
        pytest.raises(JournalError, match=r"could not be brought to broken\.sql: no such table: nowhere"),
        open_journal(path, migrations=(*SHIPPED, BROKEN)),
    ):
        pass
    assert version(path) == len(SHIPPED)
    with open_journal(path) as journal:
        assert journal.last_sequence == 12
        tables = journal._db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone()
        assert tables == (0,)


def test_a_failing_later_migration_keeps_the_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    broken = msgspec.structs.replace(BROKEN, number=NEXT.number + 1)
    with pytest.raises(JournalError, match=r"broken\.sql"), open_journal(path, migrations=(*SHIPPED, NEXT, broken)):
        pass
    assert version(path) == NEXT.number


def test_a_newer_journal_is_refused_for_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    with open_journal(path, migrations=(*SHIPPED, NEXT)) as journal:
        fill(journal, 3)
    content = path.read_bytes()
    message = f"has schema {NEXT.number}, and this program knows up to {len(SHIPPED)}: .*newer trio_grid"
    with pytest.raises(JournalError, match=message), open_journal(path):
        pass
    with pytest.raises(JournalError, match=message), read_journal(path):
        pass
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE mine (id INTEGER)", "PRAGMA application_id = 7", "PRAGMA user_version = 1"]
)
def test_somebody_elses_database_is_refused(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "other.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(statement)
    with pytest.raises(JournalError, match="not a journal of trio_grid"), open_journal(path):
        pass
    with pytest.raises(JournalError, match="not a journal of trio_grid"), read_journal(path):
        pass

"""The journal's schema: numbered SQL files, applied in order, each in one transaction.

Owns `PRAGMA user_version` (the number of the last migration applied). It must never change a migration that was
released, and never open a journal that a newer program has made: what it does not know it would damage.
"""

from __future__ import annotations

import importlib.resources
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from trio_grid.errors import JournalError
from trio_grid.journal.faults import journal_fault

APPLICATION_ID = 1414678346
_FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema; `number` counts from 1 without gaps."""

    number: int
    name: str
    sql: str


def load_migrations() -> tuple[Migration, ...]:
    """Return the migrations shipped with the package, in order.

    Raises:
        JournalError: the package's files are incomplete.
    """
    found = []
    for file in importlib.resources.files("trio_grid.journal").joinpath("schema").iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        if match is not None:
            found.append(Migration(int(match.group(1)), file.name, file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    if not found or [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise JournalError(f"the program's schema files are incomplete: {[migration.name for migration in found]}")
    return tuple(found)


def schema_version(db: sqlite3.Connection) -> int:
    """Return the number of the last migration applied; 0 for an empty file."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def check_schema(db: sqlite3.Connection, path: Path, newest: int) -> int:
    """Return the schema's version after refusing a file that this program must not touch.

    Raises:
        JournalError: not a journal, or made by a newer program.
    """
    version = schema_version(db)
    application = int(db.execute("PRAGMA application_id").fetchone()[0])
    tables = int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if application != APPLICATION_ID and (application or version or tables):
        raise JournalError(f"{path} is a database, but not a journal of trio_grid; it was not touched")
    if version > newest:
        raise JournalError(
            f"the journal {path} has schema {version}, and this program knows up to {newest}: "
            "it was written by a newer trio_grid; update this one"
        )
    return version


def migrate(db: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> int:
    """Bring the schema up to date and return how many migrations that took; a failed one leaves nothing behind.

    Raises:
        JournalError: see `check_schema`, or SQLite's own refusal.
    """
    version = check_schema(db, path, migrations[-1].number)
    for migration in migrations[version:]:
        try:
            db.execute("BEGIN IMMEDIATE")
            for statement in _statements(migration.sql):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {migration.number:d}")
            db.execute("COMMIT")
        except sqlite3.Error as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise journal_fault(f"the journal {path} could not be brought to {migration.name}", error) from error
    return len(migrations) - version


def _statements(sql: str) -> Iterator[str]:
    """Split a script: `executescript` would commit first, and a migration is one transaction."""
    statement = ""
    for piece in sql.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):  # False inside a string, a comment or a trigger's body
            yield statement
            statement = ""
    rest = statement.removesuffix(";")  # the last piece had no semicolon of its own
    if rest.strip():
        yield rest

"""What a killed process, a cut or flipped log, a second process or a bare folder leaves of a journal."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journal.journal_samples import INSTRUMENT, LATTICE, START_MS, damage_byte, fill, records, sequences
from trio_grid.errors import JournalError, JournalInUse
from trio_grid.journal.lease import JournalLease
from trio_grid.journal.reader import read_journal
from trio_grid.journal.sqlite_journal import open_journal
from trio_grid.journal.wal import CheckpointMode, wal_path

ROOT = Path(__file__).parents[2]
WRITER = Path(__file__).with_name("writing_process.py")

# Root may write anywhere: give up that right for good, then run the rest of the command line.
WITHOUT_ROOTS_RIGHTS = (
    "import ctypes, os, sys; libc = ctypes.CDLL(None);"
    "[libc.prctl(24, capability, 0, 0, 0) for capability in (1, 2)];"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
READ_ALL = (
    "import sys; from pathlib import Path; from trio_grid.journal.reader import read_journal\n"
    "with read_journal(Path(sys.argv[1])) as reader: print(len(list(reader.records())))"
)


@contextlib.contextmanager
def writing_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(WRITER), str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def acknowledged(process: subprocess.Popen[str], lines: int) -> tuple[int, int]:
    """Return session and last sequence after that many acknowledgements."""
    assert process.stdout is not None
    session = int(process.stdout.readline().removeprefix("session "))
    sequence = 0
    for _ in range(lines):
        sequence = int(process.stdout.readline())
    return session, sequence


def run_without_roots_rights(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOTS_RIGHTS, sys.executable, "-c", READ_ALL, str(path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


# Killed processes ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_f2_kill_minus_nine_at_random_moments_loses_no_acknowledged_record(tmp_path: Path) -> None:
    seed = 20_260_101
    dice = random.Random(seed)
    path = tmp_path / "bot.sqlite3"
    sessions = []
    for life in range(15):
        with writing_process(path) as process:
            session, last = acknowledged(process, dice.randrange(1, 400))
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        sessions.append(session)
        with open_journal(path) as journal:
            found = sequences(tuple(journal.reader.records()))
            assert found == list(range(1, journal.last_sequence + 1)), f"seed {seed}, life {life}"
            assert journal.last_sequence >= last, f"seed {seed}, life {life}: acknowledged records were lost"
            assert journal.reader.integrity() == ()
    assert sessions == list(range(1, 16))


def test_a_process_killed_before_the_schema_was_written_leaves_a_journal_that_opens(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    path.touch(mode=0o600)
    with pytest.raises(JournalError, match="no bot has started"), read_journal(path):
        pass
    with open_journal(path) as journal:
        fill(journal, 3)
        assert journal.last_sequence == 3


# The lease ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_f28_a_second_process_is_refused_and_told_which_is_the_first(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    with writing_process(path) as process:
        acknowledged(process, 1)
        owner = f"in use by process {process.pid} on "
        with pytest.raises(JournalInUse, match=owner) as caught, open_journal(path):
            pass
        assert caught.value.exit_code == 4
        with read_journal(path) as reader:  # reading goes on beside it
            assert reader.last_sequence() >= 1
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with open_journal(path) as journal:  # and the kernel has freed the lease
            assert journal.last_sequence >= 1


def test_f28_a_second_opening_in_one_process_is_refused_also_by_another_name(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    other_name = tmp_path / "link.sqlite3"
    with open_journal(path) as journal:
        other_name.symlink_to(path)
        for name in (path, other_name):
            with pytest.raises(JournalInUse, match=f"process {os.getpid()}"), open_journal(name):
                pass
        fill(journal, 2)  # the refusal did not cost the first one its locks
        with pytest.raises(JournalInUse), open_journal(path):
            pass
    with open_journal(path) as journal:
        assert journal.last_sequence == 2


def test_the_lease_is_freed_when_the_opening_fails(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    path.write_bytes(b"no database" * 100)
    for _ in range(2):
        with pytest.raises(JournalError, match="SQLITE_NOTADB"), open_journal(path):
            pass
    with JournalLease(path):
        pass


def test_the_lease_survives_an_owner_that_has_not_said_who_it_is(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    with JournalLease(path) as lease:
        lease.path.write_bytes(b"\xff{")
        with pytest.raises(JournalInUse, match="it has not said which"):
            JournalLease(path)
    assert lease.path.read_bytes() == b""
    lease.release()
    assert "released" in repr(lease)


def test_a_lock_file_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"lock file .* cannot be opened"):
        JournalLease(tmp_path / "missing" / "bot.sqlite3")


# Cut and damaged logs -----------------------------------------------------------------------------------------------


def copy_open_journal(path: Path, folder: Path) -> Path:
    """Copy what a crash at this moment would leave. Nobody else has the file open, so its lost locks hurt nobody."""
    folder.mkdir()
    for file in (path, wal_path(path)):
        shutil.copyfile(file, folder / file.name)
    return folder / path.name


def test_r13_a_log_cut_anywhere_opens_at_a_whole_transaction(tmp_path: Path) -> None:
    """At each page boundary and 100 bytes behind it: as much as is whole, never less than from a shorter cut."""
    path = tmp_path / "bot.sqlite3"
    with open_journal(path) as journal:
        identity = journal.establish_identity(INSTRUMENT, LATTICE, created_ms=START_MS, venue="paper")
        fill(journal, 90, batch=3)
        crashed = copy_open_journal(path, tmp_path / "crashed")
    log = wal_path(crashed).read_bytes()
    database = crashed.read_bytes()
    before = 0
    ends = set()
    for boundary in range(32, len(log) + 1, 4096 + 24):
        for cut in (boundary, min(boundary + 100, len(log))):
            crashed.write_bytes(database)
            wal_path(crashed).write_bytes(log[:cut])
            with open_journal(crashed) as journal:
                assert journal.identity == identity  # it was checkpointed before the first record
                assert journal.last_sequence % 3 == 0
                assert journal.last_sequence >= before
                assert sequences(tuple(journal.reader.records())) == list(range(1, journal.last_sequence + 1))
                assert journal.reader.integrity() == ()
                before = journal.last_sequence
                ends.add(before)
                fill(journal, 1)
    assert ends == set(range(0, 91, 3))


def test_r13_a_flipped_bit_in_the_log_drops_the_tail_and_the_journal_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    with open_journal(path) as journal:
        fill(journal, 120, batch=3)
        crashed = copy_open_journal(path, tmp_path / "crashed")
    damage_byte(wal_path(crashed), 32 + 30 * (4096 + 24) + 500)
    with open_journal(crashed) as journal:
        assert 0 < journal.last_sequence < 120
        assert sequences(tuple(journal.reader.records())) == list(range(1, journal.last_sequence + 1))
        assert journal.begin_session(started_ms=START_MS) == 1
        journal.commit(records(journal.last_sequence + 1, 5))


def test_a_flipped_bit_in_the_schema_part_of_the_file_is_an_error_with_sqlites_name(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    with open_journal(path) as journal:
        fill(journal, 120)
    damage_byte(path, 100)  # the type of the first page
    with pytest.raises(JournalError, match="SQLITE_CORRUPT"), open_journal(path):
        pass
    with pytest.raises(JournalError, match="SQLITE_CORRUPT"), read_journal(path):
        pass


# Damaged rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM records WHERE sequence = 5", "record 5 is missing, the next one is 6"),
        ("DELETE FROM records WHERE sequence = 1", "record 1 is missing, the next one is 2"),
        ("UPDATE records SET entry = CAST('{\"type\":' AS BLOB) WHERE sequence = 5", "record 5 .* is damaged"),
        ("UPDATE records SET entry = 'text' WHERE sequence = 5", "record 5 .* is damaged"),
        ("UPDATE records SET entry = replace(entry, '10', '11') WHERE sequence = 5", "record 5 .* is damaged"),
        ("UPDATE records SET now_ms = now_ms + 1 WHERE sequence = 5", "record 5 .* is damaged"),
        ("UPDATE records SET now_ms = 'soon' WHERE sequence = 5", "record 5 .* is damaged"),
        ("UPDATE records SET kind = CAST(x'ff' AS TEXT), checksum = 0 WHERE sequence = 5", "record 5 .* is damaged"),
    ],
)
def test_a_damaged_row_is_an_error_that_names_its_sequence(tmp_path: Path, sql: str, message: str) -> None:
    path = tmp_path / "bot.sqlite3"
    with open_journal(path) as journal:
        fill(journal, 8)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(sql)
    with read_journal(path) as reader, pytest.raises(JournalError, match=message):
        list(reader.records())


def test_a_row_whose_json_is_sound_but_foreign_is_an_error_that_names_its_sequence(tmp_path: Path) -> None:
    from trio_grid.journal.rows import checksum

    path = tmp_path / "bot.sqlite3"
    with open_journal(path) as journal:
        fill(journal, 8)
    for body in (b'{"type":"Teleported"}', b'{"type":"Decision"}', b"[1]", b"\xff\xfe", b'{"type":"LatticeAnchored"'):
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute(
                "UPDATE records SET entry = ?, checksum = ? WHERE sequence = 5", (body, checksum(5, START_MS + 5, body))
            )
        with read_journal(path) as reader, pytest.raises(JournalError, match=r"record 5 .* cannot be read"):
            list(reader.records())


def test_an_image_newer_than_the_last_record_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    with open_journal(path) as journal:
        fill(journal, 8)
        journal.save_image(8, b"{}")
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM records WHERE sequence > 6")
    with pytest.raises(JournalError, match="ends at record 6, but has an image of record 8"), open_journal(path):
        pass


def test_a_damaged_image_is_an_error_that_names_its_sequence(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    with open_journal(path) as journal:
        fill(journal, 8)
        journal.save_image(8, b'{"inventory":10}')
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE images SET image = CAST('{\"inventory\":99}' AS BLOB)")
    with read_journal(path) as reader:
        with pytest.raises(JournalError, match="image of record 8 is damaged"):
            reader.last_image()
        with pytest.raises(JournalError, match="no state image of record 7"):
            reader.image(7)


# Read-only places ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("left", ["closed", "killed", "killed, index gone"])
def test_a_journal_in_a_read_only_folder_can_be_read(tmp_path: Path, left: str) -> None:
    path = tmp_path / "frozen" / "bot.sqlite3"
    with open_journal(path) as journal:
        fill(journal, 20)
        journal.checkpoint(CheckpointMode.TRUNCATE)
        fill(journal, 10)
        crashed = copy_open_journal(path, tmp_path / "crashed")
        shutil.copyfile(f"{path}-shm", f"{crashed}-shm")
    if left != "closed":
        path = crashed
    if left == "killed, index gone":
        Path(f"{path}-shm").unlink()
    for file in path.parent.iterdir():
        file.chmod(0o400)
    before = sorted(file.name for file in path.parent.iterdir())
    path.parent.chmod(0o500)
    try:
        result = run_without_roots_rights(path)
    finally:
        path.parent.chmod(0o700)
    assert (result.returncode, result.stdout) == (0, "30\n"), result.stderr
    assert sorted(file.name for file in path.parent.iterdir()) == before


@pytest.mark.slow
def test_a_journal_that_may_not_be_read_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "bot.sqlite3"
    with open_journal(path) as journal:
        fill(journal, 20)
    path.chmod(0)
    result = run_without_roots_rights(path)
    assert result.returncode == 1
    assert "SQLITE_CANTOPEN" in result.stderr


def test_a_missing_journal_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal at"), read_journal(tmp_path / "bot.sqlite3"):
        pass
    assert list(tmp_path.iterdir()) == []

"""Pruning: records leave the journal only into an archive that holds them, and nothing that is needed leaves."""

from __future__ import annotations

import contextlib
import gzip
import os
import resource
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from tests.journal.journaled_grid import JournaledGrid
from trio_grid.domain.events import OrderRecord
from trio_grid.domain.inputs import JournalRecord
from trio_grid.errors import JournalError, JournalInUse
from trio_grid.journal import pruning
from trio_grid.journal.archive import archived_from_the_start, archives_of, read_archive, read_archives, write_archive
from trio_grid.journal.pruning import prune
from trio_grid.journal.reader import read_journal
from trio_grid.journal.recovery import recover, replay_all, verify
from trio_grid.journal.sqlite_journal import Journal, open_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.sqlite3"


def trade(path: Path, seed: int, resting: dict[str, OrderRecord], *, image: bool = True) -> bytes:
    """Let a grid trade for one life with an image in its middle; return the final state's image."""
    with open_journal(path) as journal:
        grid = JournaledGrid(journal, seed, resting)
        grid.run(80)
        if image:
            journal.save_image(grid.state.sequence, grid.state.image())
        grid.run(40)
        return grid.state.image()


def everything(path: Path) -> tuple[JournalRecord, ...]:
    """Return every record, archived or not."""
    archived = tuple(read_archives(path))
    with read_journal(path) as reader:
        return archived + tuple(reader.records(after=(reader.first_sequence() or 1) - 1))


def test_pruning_moves_what_is_older_than_the_last_image_and_loses_nothing(path: Path) -> None:
    resting: dict[str, OrderRecord] = {}
    final = trade(path, 1, resting)
    before = everything(path)
    done = prune(path)
    assert done.archive == path.with_name(f"bot.sqlite3.archive-0000000001-{done.image_sequence:010d}.jsonl.gz")
    assert done.archived == done.image_sequence > 50
    assert done.bytes_after < done.bytes_before
    assert everything(path) == before
    with open_journal(path) as journal:
        assert journal.reader.first_sequence() == done.image_sequence + 1
        assert journal.reader.image_sequences() == (done.image_sequence,)
        state = recover(journal)
        assert state is not None
        assert state.image() == final
    assert verify(path).problems == ()
    assert replay_all(path) is None


def test_a_pruned_journal_goes_on_and_is_pruned_again(path: Path) -> None:
    resting: dict[str, OrderRecord] = {}
    whole: tuple[JournalRecord, ...] = ()
    for life in range(3):
        trade(path, life, resting)
        before = everything(path)
        assert before[: len(whole)] == whole
        whole = before
        prune(path)
        assert everything(path) == whole
        assert verify(path).problems == ()
    assert len(archives_of(path)) == 3
    assert [record.sequence for record in whole] == list(range(1, len(whole) + 1))
    assert verify(path).sessions == 3


def test_replay_starts_from_the_archives_and_finds_a_difference_in_them(path: Path) -> None:
    trade(path, 1, {})
    archive = prune(path).archive
    assert archive is not None
    text = gzip.decompress(archive.read_bytes())
    place = text.index(b'"half_ticks":') + len(b'"half_ticks":')
    archive.write_bytes(gzip.compress(text[:place] + b"9" + text[place + 1 :]))
    difference = replay_all(path)
    assert difference is not None
    assert difference.kind == "Decision"


def test_without_its_archives_a_pruned_journal_replays_from_its_image(path: Path) -> None:
    final = trade(path, 1, {})
    archive = prune(path).archive
    assert archive is not None
    archive.unlink()
    assert replay_all(path) is None
    assert verify(path).problems == ()
    with open_journal(path) as journal:
        state = recover(journal)
        assert state is not None
        assert state.image() == final


def test_a_journal_that_ends_at_its_image_can_be_pruned_empty_and_goes_on(path: Path) -> None:
    resting: dict[str, OrderRecord] = {}
    with open_journal(path) as journal:
        grid = JournaledGrid(journal, 1, resting)
        grid.run(50)
        journal.save_image(grid.state.sequence, grid.state.image())
        final = grid.state.image()
    done = prune(path)
    assert verify(path).problems == ()
    with open_journal(path) as journal:
        assert journal.reader.first_sequence() is None
        assert journal.last_sequence == done.image_sequence
        state = recover(journal)
        assert state is not None
        assert state.image() == final
    trade(path, 2, resting)
    assert verify(path).problems == ()


def test_nothing_is_pruned_without_an_image_or_twice(path: Path) -> None:
    resting: dict[str, OrderRecord] = {}
    trade(path, 1, resting, image=False)
    assert prune(path).archive is None
    trade(path, 2, resting)
    assert prune(path).archive is not None
    content = path.read_bytes()
    again = prune(path)
    assert (again.archive, again.archived) == (None, 0)
    assert path.read_bytes() == content


def test_f28_pruning_is_refused_while_a_bot_holds_the_journal_and_the_other_way_round(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_journal(path) as journal:
        JournaledGrid(journal, 1).run(5)
        with pytest.raises(JournalInUse, match=f"process {os.getpid()} .*run"):
            prune(path)
    refusals: list[str] = []

    def recovering(journal: Journal) -> None:
        with pytest.raises(JournalInUse) as caught, open_journal(path):
            pass
        refusals.append(str(caught.value))

    with open_journal(path) as journal:
        state = recover(journal)
        assert state is not None
        journal.save_image(state.sequence, state.image())
    monkeypatch.setattr(pruning, "recover", recovering)
    prune(path)
    assert len(refusals) == 1
    assert "journal prune" in refusals[0]


def test_a_journal_that_would_not_recover_is_not_pruned(path: Path) -> None:
    trade(path, 1, {})
    with read_journal(path) as reader:
        last = reader.last_sequence()
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE records SET entry = x'7b' WHERE sequence = ?", (last,))
    content = path.read_bytes()
    with pytest.raises(JournalError, match=f"record {last}"):
        prune(path)
    assert path.read_bytes() == content
    assert archives_of(path) == ()


def test_a_full_disk_stops_pruning_before_anything_is_removed(path: Path) -> None:
    trade(path, 1, {})
    before = everything(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(JournalError, match="cannot be written"):
            write_archive(path, before, 1, len(before))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [file.name for file in path.parent.iterdir() if "archive" in file.name]
    prune(path)
    assert everything(path) == before


def test_an_archive_that_is_short_of_records_is_not_accepted(path: Path) -> None:
    trade(path, 1, {})
    before = everything(path)
    with pytest.raises(JournalError, match="does not read back as it was written; nothing was removed"):
        write_archive(path, before[:-1], 1, len(before))
    assert archives_of(path) == ()


def test_a_crash_between_archive_and_removal_leaves_overlapping_archives_that_read_once(path: Path) -> None:
    resting: dict[str, OrderRecord] = {}
    trade(path, 1, resting)
    copy = path.with_name("copy.sqlite3")
    shutil.copyfile(path, copy)
    first = prune(copy).archive  # the archive was made ...
    assert first is not None
    shutil.move(first, path.with_name(first.name.replace("copy.sqlite3", "bot.sqlite3")))  # ... but nothing removed
    trade(path, 2, resting)
    before_prune = tuple(record.sequence for record in everything(path))
    prune(path)
    assert len(archives_of(path)) == 2
    found = [record.sequence for record in everything(path)]
    assert found == list(range(1, len(found) + 1))
    assert found[-1] == before_prune[-1]
    assert replay_all(path) is None
    assert verify(path).problems == ()


def test_archives_are_their_owners_alone_and_the_same_bytes_for_the_same_records(path: Path) -> None:
    trade(path, 1, {})
    records = everything(path)
    one = write_archive(path, records, 1, len(records))
    assert stat.S_IMODE(one.stat().st_mode) == 0o600
    content = one.read_bytes()
    assert write_archive(path, records, 1, len(records)) == one
    assert one.read_bytes() == content
    assert tuple(read_archive(one)) == records


@pytest.mark.parametrize("damage", ["cut", "flip", "text"])
def test_a_damaged_archive_is_an_error_that_names_it(path: Path, damage: str) -> None:
    trade(path, 1, {})
    archive = prune(path).archive
    assert archive is not None
    content = archive.read_bytes()
    if damage == "cut":
        archive.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        half = len(content) // 2
        archive.write_bytes(content[:half] + bytes((content[half] ^ 0x10,)) + content[half + 1 :])
    else:
        archive.write_bytes(gzip.compress(b'{"sequence":1}\n'))
    with pytest.raises(JournalError, match=archive.name):
        list(read_archives(path))
    assert any(archive.name in problem for problem in verify(path).problems)
    with open_journal(path) as journal:  # the bot itself does not need it
        assert recover(journal) is not None


def test_a_missing_archive_between_others_is_an_error(path: Path) -> None:
    resting: dict[str, OrderRecord] = {}
    for life in range(3):
        trade(path, life, resting)
        prune(path)
    first, second, third = archives_of(path)
    assert archived_from_the_start(path, third.last)
    second.path.unlink()
    assert not archived_from_the_start(path, third.last)
    with pytest.raises(JournalError, match=f"record {first.last + 1} is missing"):
        list(read_archives(path))


def test_a_missing_journal_is_not_made_by_pruning(path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        prune(path)
    assert list(path.parent.iterdir()) == []

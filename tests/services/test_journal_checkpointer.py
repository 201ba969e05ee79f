"""The checkpointer: its rhythm by Trio's clock, its thread, and that nothing of it outlives a cancellation."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.journal.journal_samples import fill, sequences
from trio_grid.errors import JournalError
from trio_grid.journal import sqlite_journal
from trio_grid.journal.sqlite_journal import Journal, open_journal
from trio_grid.journal.wal import CheckpointMode, CheckpointReport, wal_path
from trio_grid.services.journal_checkpointer import LOOK_EVERY_S, JournalCheckpointer


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Journal]:
    monkeypatch.setattr(sqlite_journal, "PASSIVE_ABOVE_PAGES", 30)
    monkeypatch.setattr(sqlite_journal, "TRUNCATE_ABOVE_PAGES", 400)
    with open_journal(tmp_path / "bot.sqlite3") as opened:
        yield opened
    assert trio_threads() == []


def trio_threads() -> list[str]:
    """Return worker threads that still run something; Trio keeps idle ones for a while and renames them."""
    return [thread.name for thread in threading.enumerate() if "checkpoint_if_due" in thread.name]


async def test_in_place_it_looks_at_the_pace_of_trios_clock(
    journal: Journal, autojump_clock: trio.testing.MockClock
) -> None:
    checkpointer = JournalCheckpointer(journal, in_place=True)
    async with trio.open_nursery() as nursery:
        await nursery.start(checkpointer.run)
        await trio.sleep(10 * LOOK_EVERY_S + 0.01)
        assert checkpointer.checkpoints == 0  # a short log is left alone
        fill(journal, 60, batch=1)
        assert journal.checkpoint_may_be_due()
        await trio.sleep(LOOK_EVERY_S)
        assert checkpointer.checkpoints == 1
        fill(journal, 1)  # all of it was copied, so the log starts over
        assert journal.wal_pages() < 5
        await trio.sleep(10 * LOOK_EVERY_S)
        assert checkpointer.checkpoints == 1
        nursery.cancel_scope.cancel()
    assert trio.current_time() == pytest.approx(21 * LOOK_EVERY_S + 0.01)


async def test_in_place_a_long_log_is_emptied(journal: Journal, autojump_clock: trio.testing.MockClock) -> None:
    fill(journal, 500, batch=1)
    async with trio.open_nursery() as nursery:
        await nursery.start(JournalCheckpointer(journal, in_place=True).run)
        await trio.sleep(LOOK_EVERY_S + 0.01)
        nursery.cancel_scope.cancel()
    assert wal_path(journal.path).stat().st_size == 0
    assert journal.last_sequence == 500


async def test_in_place_no_thread_is_used(
    journal: Journal, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    checkpoint = journal.checkpoint_if_due

    def watched() -> CheckpointReport | None:
        threads.append(threading.current_thread().name)
        return checkpoint()

    monkeypatch.setattr(journal, "checkpoint_if_due", watched)
    fill(journal, 60, batch=1)
    async with trio.open_nursery() as nursery:
        await nursery.start(JournalCheckpointer(journal, in_place=True).run)
        await trio.sleep(LOOK_EVERY_S + 0.01)
        nursery.cancel_scope.cancel()
    assert threads == [threading.main_thread().name]


async def test_commits_go_on_while_a_thread_checkpoints_and_none_is_lost(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = trio.Event()
    checkpointer = JournalCheckpointer(journal, interval_s=0.001)
    threads: set[str] = set()
    checkpoint = journal.checkpoint_if_due

    def watched() -> CheckpointReport | None:
        threads.add(threading.current_thread().name)
        return checkpoint()

    monkeypatch.setattr(journal, "checkpoint_if_due", watched)

    async def commit_for_ever() -> None:
        while checkpointer.checkpoints < 5:
            fill(journal, 40, batch=1)
            await trio.lowlevel.checkpoint()
        done.set()

    with trio.fail_after(180):
        async with trio.open_nursery() as nursery:
            await nursery.start(checkpointer.run)
            nursery.start_soon(commit_for_ever)
            await done.wait()
            nursery.cancel_scope.cancel()
    assert threads
    assert threading.main_thread().name not in threads
    assert sequences(tuple(journal.reader.records())) == list(range(1, journal.last_sequence + 1))
    assert journal.reader.integrity() == ()


async def test_a_cancellation_waits_for_the_thread_and_leaves_none(journal: Journal) -> None:
    fill(journal, 60, batch=1)
    entered = trio.Event()
    ended = trio.Event()
    token = trio.lowlevel.current_trio_token()
    interrupts: list[bool] = []
    interrupt = journal.interrupt_checkpoint
    checkpoint = journal.checkpoint_if_due

    def announced() -> CheckpointReport | None:
        trio.from_thread.run_sync(entered.set, trio_token=token)
        return checkpoint()

    def counted() -> None:
        interrupts.append(True)
        interrupt()

    journal.checkpoint_if_due = announced  # type: ignore[method-assign]
    journal.interrupt_checkpoint = counted  # type: ignore[method-assign]
    scope = trio.CancelScope()

    async def run() -> None:
        with scope:
            await JournalCheckpointer(journal, interval_s=0.001).run()
        ended.set()

    with trio.fail_after(180):
        async with trio.open_nursery() as nursery:
            journal._checkpoint_turn.acquire()  # the thread gets stuck at the journal's door
            nursery.start_soon(run)
            await entered.wait()
            scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert interrupts == [True]
            assert not ended.is_set()
            journal._checkpoint_turn.release()
            await ended.wait()
    assert scope.cancelled_caught
    fill(journal, 1)
    assert journal.checkpoint(CheckpointMode.PASSIVE).busy is False


async def test_an_ordinary_end_interrupts_nothing(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupts: list[bool] = []
    monkeypatch.setattr(journal, "interrupt_checkpoint", lambda: interrupts.append(True))
    checkpointer = JournalCheckpointer(journal, interval_s=0.001)
    with trio.fail_after(180):
        async with trio.open_nursery() as nursery:
            await nursery.start(checkpointer.run)
            while checkpointer.checkpoints < 3:
                fill(journal, 60, batch=1)
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
    assert len(interrupts) <= 1  # the cancellation itself may have met a thread


@pytest.mark.parametrize("in_place", [True, False])
async def test_a_full_disk_ends_the_checkpointer_with_the_journals_error(journal: Journal, in_place: bool) -> None:
    fill(journal, 300, batch=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.path.stat().st_size + 8_192, hard))
    try:
        with trio.fail_after(180), pytest.raises(JournalError, match=r"checkpointed.*SQLITE_(IOERR|FULL)"):
            await JournalCheckpointer(journal, interval_s=0.001, in_place=in_place).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sequences(tuple(journal.reader.records())) == list(range(1, 301))
    assert journal.checkpoint(CheckpointMode.TRUNCATE).busy is False


def test_the_repr_tells_the_state(journal: Journal) -> None:
    assert repr(JournalCheckpointer(journal)) == "<JournalCheckpointer bot.sqlite3 checkpoints=0>"

"""A journal that lost its tail in a loss of power: the exchange's record is the truth, and nothing is doubled (R12)."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
from trio.testing import MockClock

from tests.supervisor.bot_bench import MID_TICKS, Bench, bench, waves
from trio_grid.domain.client_order_id import decode


def keep_journal(table: Bench) -> Path:
    """Copy the closed journal; its log was truncated into it when it was closed."""
    kept = table.journal_path.with_suffix(".kept")
    shutil.copy(table.journal_path, kept)
    return kept


def placed_by(table: Bench, session: int) -> bool:
    return any((parts := decode(name)) is not None and parts.session == session for name in table.all_ids())


def put_back(table: Bench, kept: Path) -> None:
    for suffix in ("-wal", "-shm"):
        table.journal_path.with_name(table.journal_path.name + suffix).unlink(missing_ok=True)
    shutil.copy(kept, table.journal_path)


def assert_one_order_per_slot(table: Bench) -> None:
    rungs = [parts.rung for name in table.open_ids() if (parts := decode(name)) is not None]
    assert len(set(rungs)) == len(rungs)


@pytest.mark.parametrize("mode", ["long", "neutral"])
async def test_r12_orders_and_trades_of_a_lost_tail_are_taken_in(
    autojump_clock: MockClock, tmp_path: Path, mode: str
) -> None:
    async with bench(tmp_path) as table:
        async with table.bot(f"grid.mode={mode}") as running:
            await running.until(lambda: table.open_roles()["o"] >= 4)
        kept = keep_journal(table)
        async with table.bot(f"grid.mode={mode}") as running:
            table.market.path = lambda _: MID_TICKS - 1_100
            await running.until(lambda: table.position_lots == 20 and table.open_roles()["c"] == 2)
        put_back(table, kept)
        before = set(table.open_ids())
        async with table.bot(f"grid.mode={mode}") as running:
            snapshot = running.snapshot()
            assert snapshot.position_lots == snapshot.net_lots == table.position_lots == 20
            assert snapshot.session == 3
            # The two exits of the lost session are adopted: they rest in their slots, and no second pair is placed.
            assert before >= set(table.open_ids()) - {name for name in table.open_ids() if "-3-" in name}
            await running.until(lambda: table.open_roles()["c"] == 2)
            assert_one_order_per_slot(table)
        assert running.report.tie_out.words == "yes"
        assert len(set(table.all_ids())) == len(table.all_ids())


async def test_r3_a_lost_session_number_is_not_used_again(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path, waves(1_600, 40_000)) as table:
        async with table.bot() as running:
            await running.until(lambda: table.open_roles()["o"] >= 4)
        kept = keep_journal(table)
        for session in (2, 3, 4):
            async with table.bot() as running:
                await running.until(partial(placed_by, table, session))
        put_back(table, kept)
        async with table.bot() as running:
            assert running.snapshot().session == 5
            await running.until(lambda: running.snapshot().ledger.round_trips >= 6)
            assert_one_order_per_slot(table)
        assert running.report.tie_out.words == "yes"
        assert running.report.after.position_lots == table.position_lots
        assert len(set(table.all_ids())) == len(table.all_ids())

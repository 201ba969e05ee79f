"""The bot on the exchange in memory: it trades, ties out, and goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import MID_TICKS, bench, until, waves
from trio_grid.domain.slot import Role


async def test_first_orders_come_at_once_and_round_trips_tie_out(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path, waves(1_600, 40_000)) as table:
        began = trio.current_time()
        async with table.bot() as running:
            await running.until(lambda: len(table.open_ids()) == 4)
            assert trio.current_time() - began < 5
            await running.until(lambda: running.snapshot().ledger.round_trips >= 3)
        report = running.report
        assert report.tie_out.words == "yes"
        assert report.after.position_lots == table.position_lots
        assert table.wallet_units - 10_000 * 10**8 == report.after.ledger.wallet_change_units("USDT")
        assert len(set(table.all_ids())) == len(table.all_ids())
    assert trio.lowlevel.current_statistics().tasks_living >= 1


async def test_f17_restart_keeps_lattice_and_slots(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        async with table.bot() as running:
            await running.until(lambda: len(table.open_ids()) == 4)
            before = running.snapshot()
        ids = table.open_ids()
        table.market.path = lambda _: MID_TICKS + 130
        async with table.bot() as running:
            await trio.sleep(5)
            after = running.snapshot()
            assert table.open_ids() == ids
        assert (after.anchor_ticks, after.session) == (before.anchor_ticks, before.session + 1)
        assert [slot.rung for slot in after.slots] == [slot.rung for slot in before.slots]
        assert running.report.tie_out.words == "yes"


async def test_s3_ghost_fill_adopts_the_traded_quantity(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        async with table.bot() as running:
            await running.until(lambda: len(table.open_ids()) == 4)
        # While nobody looks, two levels are passed, and of the third 4 of 10 lots trade before the price turns.
        table.market.path = lambda _: MID_TICKS - 1_200
        await trio.sleep(2)
        table.market.tape_lots = 4
        table.market.path = lambda _: MID_TICKS - 1_499
        await until(lambda: table.position_lots > 20)
        table.market.path = lambda _: MID_TICKS - 1_100
        await trio.sleep(2)
        table.market.tape_lots = 500
        held = table.position_lots
        assert 20 < held < 30
        async with table.bot() as running:
            snapshot = running.snapshot()
            assert snapshot.position_lots == snapshot.net_lots == held == table.position_lots
            assert sum(slot.inventory_lots for slot in snapshot.slots) == held
            # The price is past half way to the third exit: the rest of that opening is given up for it (F16).
            await running.until(lambda: table.open_roles()["c"] == 3)
            assert (
                sum(
                    slot.order.quantity_lots
                    for slot in running.snapshot().slots
                    if slot.order is not None and slot.order.role is Role.CLOSE
                )
                == held
            )
        assert running.report.tie_out.words == "yes"

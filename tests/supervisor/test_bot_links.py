"""Links that break, stall or stay silent: nothing is doubled, nothing is lost, trading waits for reconciliation."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import Bench, bench, market_links, waves
from trio_grid.domain.inputs import Condition
from trio_grid.domain.slot import OrderStatus
from trio_grid.errors import StartRefused
from trio_grid.testing.memory_network import Direction


def no_id_twice(table: Bench) -> bool:
    return len(set(table.all_ids())) == len(table.all_ids())


async def test_f5_every_link_is_cut_and_trading_goes_on_after_a_reconciliation(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path, waves(1_600, 40_000)) as table:
        async with table.bot() as running:
            for _ in range(4):
                await trio.sleep(13.7)
                passes = running.bot.board.reconciliations
                assert table.network.cut("bot") > 0
                await running.until(lambda: Condition.STARTING in running.snapshot().conditions)
                assert not running.bot.board.user_stream_up or running.bot.board.reconciliations > passes
                await running.until(lambda: not running.snapshot().conditions)
                assert running.bot.board.reconciliations > passes
            await running.until(lambda: running.snapshot().ledger.round_trips >= 2)
        assert running.report.tie_out.words == "yes"
        assert running.report.after.position_lots == table.position_lots
        assert no_id_twice(table)


async def test_f6_silent_prices_close_the_door_and_the_link_is_opened_anew(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path, waves(40, 2_000)) as table:
        async with table.bot() as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            for link in await market_links(table):
                link.stall(Direction.TO_CLIENT)
            await running.until(lambda: Condition.PRICE_STALE in running.snapshot().conditions, 30)
            await running.until(lambda: not running.snapshot().conditions, 240)
            await running.until(lambda: table.open_roles()["o"] == 4)
            assert running.bot.board.reconnects["price"] >= 1
        assert running.report.tie_out.words == "yes"
        assert no_id_twice(table)


async def test_f1_lost_answers_double_no_order(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        async with table.bot(trading=False) as running:
            await running.trading_while_stalled(table)
            await running.until(lambda: len(table.open_ids()) == 4, 120)
            await running.until(
                lambda: any(slot.status is OrderStatus.UNKNOWN for slot in running.snapshot().slots), 120
            )
            for link in table.network.links("bot"):
                link.resume(Direction.TO_CLIENT)
            await running.until(lambda: [slot.status for slot in running.snapshot().slots] == [OrderStatus.LOCKED] * 4)
        assert len(table.all_ids()) == 4
        assert no_id_twice(table)
        assert running.report.tie_out.words == "yes"


async def test_an_exchange_that_cannot_be_reached_is_a_refusal_after_the_startup_timeout(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table:
        table.network.refuse("bot")
        began = trio.current_time()
        with pytest.RaisesGroup(
            pytest.RaisesExc(StartRefused, match="waiting for the exchange's clock"), flatten_subgroups=True
        ):
            async with table.bot(trading=False) as running:
                await running.over.wait()
        assert 60 <= trio.current_time() - began < 61
        assert table.open_ids() == []


async def test_a_user_stream_that_never_comes_leaves_nothing_placed(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        with pytest.RaisesGroup(StartRefused, flatten_subgroups=True):
            async with table.bot(trading=False) as running:
                await running.until(lambda: running.bot.desk is not None)
                for link in table.network.links("bot"):
                    link.stall(Direction.TO_CLIENT)
                table.network.refuse("bot")
                await running.over.wait()
        assert table.open_ids() == []
        assert table.position_lots == 0


async def test_f6_a_user_stream_that_says_nothing_of_our_orders_closes_the_door_and_is_opened_anew(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table:
        async with table.bot("risk.user_stream_silent_s=5") as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            await trio.sleep(1)
            carried = {link: link.pipes[Direction.TO_CLIENT].carried_bytes for link in table.network.links("bot")}
            await table.call_foreign_order()
            await trio.sleep(0.01)
            spoke = [link for link in carried if link.pipes[Direction.TO_CLIENT].carried_bytes > carried[link] + 200]
            assert len(spoke) == 1
            spoke[0].stall(Direction.TO_CLIENT)
            running.pause(True)
            await running.until(lambda: table.open_roles()["o"] == 0)
            running.pause(False)
            await running.until(lambda: Condition.USER_STREAM_SILENT in running.snapshot().conditions, 10)
            await running.until(lambda: table.open_roles()["o"] == 0, 5)
            await running.until(lambda: not running.snapshot().conditions, 60)
            await running.until(lambda: table.open_roles()["o"] == 4)
            assert running.bot.board.user_stream_losses >= 1
        assert running.report.tie_out.words == "yes"
        assert no_id_twice(table)

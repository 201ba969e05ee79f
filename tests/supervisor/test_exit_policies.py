"""What rests and what is held after a stop, policy by policy; the exchange's own books are asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import KEY, MID_TICKS, Bench, RunningBot, bench, until
from trio_grid.domain.inputs import Condition, TradingState, TradingStateChanged
from trio_grid.testing.memory_network import Direction


async def hold_two_slots(table: Bench, running: RunningBot) -> None:
    """Let two openings fill, so that two exits rest, and four openings below the price."""
    await running.until(lambda: table.open_roles()["o"] == 4)
    table.market.path = lambda _: MID_TICKS - 1_100
    await running.until(lambda: table.position_lots == 20 and table.open_roles()["c"] == 2)
    await running.until(lambda: all(slot.status.value == "LOCKED" for slot in running.snapshot().slots if slot.order))


@pytest.mark.parametrize(
    ("policy", "exits_rest", "openings_rest", "held"),
    [
        ("keep", True, True, 20),
        ("cancel-opening", True, False, 20),
        ("cancel-all", False, False, 20),
        ("flatten", False, False, 0),
    ],
)
async def test_each_policy_holds_on_the_exchange(
    policy: str, exits_rest: bool, openings_rest: bool, held: int, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table:
        foreign = await table.call_foreign_order()
        async with table.bot(policy=policy) as running:
            await hold_two_slots(table, running)
        roles = table.open_roles()
        assert (roles["c"] > 0, roles["o"] > 0) == (exits_rest, openings_rest)
        assert table.position_lots == held
        assert foreign in table.open_ids()
        report = running.report
        assert report.exit.confirmed
        assert report.tie_out.words == "yes"
        assert report.after.trading_state is TradingState.ACTIVE
        assert Condition.STOPPING in report.after.conditions
        assert "stopping" in report.after.closed_doors
        resting = {record.client_order_id for record in report.exit.resting}
        assert resting == set(table.open_ids()) - {foreign}


async def test_f23_a_stop_while_the_ladder_is_being_sent_leaves_no_opening(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table:
        async with table.bot("risk.shutdown_deadline_s=60", trading=False, policy="cancel-all") as running:
            await running.trading_while_stalled(table)
            await running.until(lambda: len(table.open_ids()) == 4, 120)
            running.stop.request("in the middle of it")
            await trio.sleep(3)
            for link in table.network.links("bot"):
                link.resume(Direction.TO_CLIENT)
        assert table.open_ids() == []
        assert running.report.exit.confirmed


async def test_an_exchange_that_does_not_answer_leaves_the_policy_unconfirmed(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table:
        async with table.bot(policy="cancel-all") as running:
            await hold_two_slots(table, running)
            table.network.refuse("bot")
            table.network.cut("bot")
            began = trio.current_time()
            running.stop.request("now")
            await running.over.wait()
            assert trio.current_time() - began == pytest.approx(20, abs=0.1)
        assert not running.report.exit.confirmed
        assert table.open_roles() == {"o": 4, "c": 2}


async def test_a_second_signal_shortens_the_policy(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        async with table.bot(policy="cancel-all") as running:
            await hold_two_slots(table, running)
            table.network.refuse("bot")
            table.network.cut("bot")
            began = trio.current_time()
            running.stop.request("now")
            await until(lambda: running.stop.grace is not None)
            running.stop.hurry("again")
            await running.over.wait()
            assert trio.current_time() - began == pytest.approx(3, abs=0.2)
        assert not running.report.exit.confirmed


async def test_flatten_with_a_halted_grid_cancels_and_leaves_the_inventory(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table:
        async with table.bot(policy="flatten") as running:
            await hold_two_slots(table, running)
            assert running.bot.desk is not None
            running.bot.desk.dispatcher.carry_out(
                running.bot.desk.manager.set_trading_state(
                    TradingStateChanged(state=TradingState.HALTED, reason="the test says so")
                )
            )
        assert table.open_ids() == []
        assert table.position_lots == 20
        assert not running.report.exit.confirmed
        assert table.exchange.account_of(KEY).open_on("BTCUSDT") == {}

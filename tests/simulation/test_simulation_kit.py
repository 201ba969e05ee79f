"""The kit itself: what it says must not be left behind is found when it is, and the same seed gives the same steps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

from tests.simulation.rig import run_simulation, simulated
from trio_grid.domain.client_order_id import OrderIdParts, encode
from trio_grid.testing.bot import FIRST_BID_TICKS, Life, NeverHappened, Simulation
from trio_grid.testing.drills import IN_BOT, StepTrace


@simulated()
async def test_a_task_that_is_left_is_found(sim: Simulation) -> None:
    async def left() -> None:
        IN_BOT.set(True)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(left)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(AssertionError, match="tasks of the bot are left"):
            sim.check_nothing_left("nobody")
        nursery.cancel_scope.cancel()


@simulated()
async def test_a_link_that_is_left_open_is_found(sim: Simulation) -> None:
    port = int(sim.exchange.urls.rest_url.rpartition(":")[2])
    stream = await sim.network.connector("leaky")("127.0.0.1", port, False)
    with pytest.raises(AssertionError, match="links of leaky are left open"):
        sim.check_nothing_left("leaky")
    await stream.aclose()
    life = await sim.trading_bot()
    await life.stopped()
    sim.check_nothing_left("leaky")


@simulated()
async def test_an_order_that_the_journal_never_meant_is_found(sim: Simulation) -> None:
    life = await sim.trading_bot()
    await life.stopped()
    snapshot = life.snapshot()
    name = encode(OrderIdParts(bot=snapshot.bot_id, session=1, generation=99, role="o", rung=-7, stride=1))
    placed = await sim.by_hand(side="BUY", price=593_000, quantity=10, newClientOrderId=name)
    with pytest.raises(AssertionError, match=re.escape(name)):
        sim.check_journal()
    del sim.exchange.exchange.account_of("testkey").orders[sim.symbol][placed["orderId"]]
    sim.check_journal()


@simulated()
async def test_two_live_orders_in_one_slot_are_found(sim: Simulation) -> None:
    life = await sim.trading_bot('exit.policy="keep"')
    await life.stopped()
    twin = encode(OrderIdParts(bot=life.snapshot().bot_id, session=1, generation=98, role="o", rung=-1, stride=1))
    placed = await sim.by_hand(side="BUY", price=599_000, quantity=10, newClientOrderId=twin)
    with pytest.raises(AssertionError, match="two live orders in one slot"):
        sim.check_one_order_per_slot()
    del sim.exchange.exchange.account_of("testkey").orders[sim.symbol][placed["orderId"]]


@simulated()
async def test_what_never_happens_ends_the_wait_and_says_where_the_bot_was(sim: Simulation) -> None:
    life: Life = await sim.trading_bot()
    with pytest.raises(NeverHappened, match=r"a miracle, not within 5 s; <Bot BTCUSDT session=1 trading>"):
        await life.until(lambda: False, "a miracle", patience_s=5)
    await life.stopped()


def test_the_same_seed_gives_the_same_steps(tmp_path_factory: pytest.TempPathFactory) -> None:
    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        for bid in (598_900, 597_500, FIRST_BID_TICKS + 100):
            await sim.quote(bid)
            await life.until_quiet()
        sim.network.cut(life.owner)
        await life.until_trading()
        await life.stopped()

    def digest(seed: int, folder: Path) -> tuple[int, str]:
        trace = StepTrace()
        run_simulation(script, folder, seed=seed, instruments=(trace,))
        return trace.steps, trace.digest()

    first, again, other = (digest(seed, tmp_path_factory.mktemp("seed")) for seed in (3, 3, 4))
    assert first == again
    assert first != other

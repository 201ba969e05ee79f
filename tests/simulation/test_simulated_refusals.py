"""Orders that the exchange will not have, and what it does to the account by itself: no storm, no guess, no harm."""

from __future__ import annotations

import trio

from tests.simulation.rig import simulated
from tests.simulation.wiretap import Message, Wiretap
from trio_grid.domain.inputs import TradingState
from trio_grid.testing.bot import LOTS, Simulation


def rungs(sim: Simulation, role: str) -> list[int]:
    """Return the rungs of our resting orders of a role."""
    return sorted(parts.rung for _, parts in sim.ours(sim.resting()) if parts.role == role)


def most_in(seconds: float, messages: list[Message]) -> int:
    """Return the largest number of messages within any stretch of time."""
    times = [message.at for message in messages]
    return max((sum(at <= other < at + seconds for other in times) for at in times), default=0)


def said(tap: Wiretap, code: int) -> int:
    """Return how often the exchange answered with a code."""
    return sum(str(code) in str(message.body) for message in tap.messages)


@simulated("size.base_per_level=3", "limits.max_inventory=30")
async def test_orders_that_the_margin_does_not_carry_are_tried_seldom(sim: Simulation) -> None:
    """Three BTC on each level want 9,000 USDT of margin each, and the wallet holds 10,000."""
    tap = Wiretap(sim)
    life = await sim.start_bot()
    await life.until_trading()
    await trio.sleep(120)
    assert len(sim.resting()) == 1
    assert said(tap, -2019) >= 2
    later = [message for message in tap.orders if message.at > 60]
    assert most_in(10, tap.orders) <= 16
    assert most_in(10, later) <= 4, "refusals are met by more of the same"
    assert life.snapshot().trading_state is TradingState.ACTIVE
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated()
async def test_a_full_book_of_somebody_else_s_orders_is_waited_out(sim: Simulation) -> None:
    """The symbol's limit of open orders is used up by hand (-2025); our exits come once there is room."""
    most = sim.market.instrument.max_open_orders
    strangers = [
        await sim.by_hand(side="BUY", price=580_000 - 10 * place, quantity=1, newClientOrderId=f"web-{place}")
        for place in range(most - 2)
    ]
    tap = Wiretap(sim)
    life = await sim.start_bot()
    await life.until_trading()
    await trio.sleep(60)
    assert len(rungs(sim, "o")) == 2
    assert said(tap, -2025) >= 1
    assert most_in(10, tap.orders) <= 8
    for placed in strangers[:5]:
        words = {"symbol": sim.symbol, "orderId": str(placed["orderId"])}
        await sim.exchange.call(
            lambda now_ms, words=words: sim.exchange.exchange.cancel_order("testkey", words, now_ms)  # type: ignore[misc]
        )
    await life.until(lambda: len(rungs(sim, "o")) == 3, "the rest of the ladder", patience_s=200)
    await life.stopped()
    assert len([order for order in sim.resting() if order.client_order_id.startswith("web-")]) == most - 7


@simulated()
async def test_inventory_that_the_exchange_closed_by_itself_halts_trading_and_is_not_written_off(
    sim: Simulation,
) -> None:
    life = await sim.trading_bot()
    await sim.quote(598_900)
    await life.until(lambda: rungs(sim, "c") == [-1] and life.quiet(), "inventory")
    tap = Wiretap(sim)
    await sim.by_hand(side="SELL", quantity=LOTS, newClientOrderId="adl_autoclose-1")
    await life.until(lambda: life.snapshot().trading_state is TradingState.HALTED, "halted", patience_s=65)
    assert life.snapshot().net_lots == LOTS, "nothing is written off by itself"
    sent = len(tap.orders)
    await sim.quote(600_100)
    await trio.sleep(70)
    assert len(tap.orders) == sent
    assert sim.position_lots() == 0
    life.stop.request("the operator")
    await life.until_ended()
    assert life.report is not None
    assert life.report.after.trading_state is TradingState.HALTED

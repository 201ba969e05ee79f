"""Faults of user events: lost, doubled, late, out of order and strange ones change no book."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio

from tests.simulation.faults.convergence import OFTEN, converged, session_under
from tests.simulation.rig import run_simulation, simulated
from trio_grid.domain.inputs import Condition
from trio_grid.testing.bot import LOTS, Life, Simulation
from trio_grid.testing.faults import (
    DelayedEvent,
    DuplicatedEvent,
    EndOrders,
    Fault,
    LostEvent,
    Match,
    ReorderedEvents,
    Strange,
    StrangeEvent,
    When,
)

FILLS = Match(event="ORDER_TRADE_UPDATE", execution="TRADE")
ACCEPTED = Match(event="ORDER_TRADE_UPDATE", execution="NEW")
CANCELLED = Match(event="ORDER_TRADE_UPDATE", execution="CANCELED")
EVENT_FAULTS = {
    "every event lost": LostEvent(),
    "every second event lost": LostEvent(when=When(every=2)),
    "fills lost, TRADE_LITE told": LostEvent(match=FILLS),
    "acceptances lost": LostEvent(match=ACCEPTED),
    "account updates lost": LostEvent(match=Match(event="ACCOUNT_UPDATE")),
    "TRADE_LITE lost": LostEvent(match=Match(event="TRADE_LITE")),
    "every event twice": DuplicatedEvent(),
    "every event three times, late": DuplicatedEvent(copies=2, delay_ms=2_500),
    "TRADE_LITE twice": DuplicatedEvent(match=Match(event="TRADE_LITE")),
    "fills twice": DuplicatedEvent(match=FILLS, delay_ms=9_000),
    "every event late": DelayedEvent(delay_ms=4_000),
    "every third event late": DelayedEvent(delay_ms=4_000, when=When(every=3)),
    "fills late": DelayedEvent(delay_ms=14_000, match=FILLS),
    "acceptances late": DelayedEvent(delay_ms=14_000, match=ACCEPTED),
    "pairs in the opposite order": ReorderedEvents(span=2),
    "seven in the opposite order": ReorderedEvents(span=7),
    "unknown keys": StrangeEvent(),
    "unknown enums": StrangeEvent(form=Strange.UNKNOWN_ENUMS),
    "unknown types": StrangeEvent(form=Strange.UNKNOWN_TYPE),
    "times as texts": StrangeEvent(form=Strange.TEXT_TIMES),
}


@pytest.mark.parametrize("fault", EVENT_FAULTS.values(), ids=[name.replace(" ", "-") for name in EVENT_FAULTS])
def test_f20_f21_events_that_are_wrong_change_no_book(tmp_path: Path, fault: Fault) -> None:
    async def script(sim: Simulation) -> None:
        life, [injection] = await session_under(sim, fault)
        assert injection.happened
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN)


@pytest.mark.parametrize("fault", [LostEvent(), DelayedEvent(delay_ms=6_000), DuplicatedEvent(delay_ms=3_000)])
def test_s9_f16_parts_of_fills_whose_reports_are_wrong_are_booked_once(tmp_path: Path, fault: Fault) -> None:
    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        injection = sim.inject(attrs.evolve(fault, match=FILLS, when=When(every=2)))
        await sim.quote(599_300)
        for lots in (3, 4, 3):
            await sim.trade(599_000, lots, seller_takes=True)
            await trio.sleep(1)
        await life.until(lambda: life.snapshot().net_lots == LOTS, "all parts", patience_s=60)
        assert injection.happened == 1
        injection.end()
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN)


@simulated(OFTEN)
async def test_s11_a_late_event_of_the_last_order_says_nothing_about_the_new_one(sim: Simulation) -> None:
    """Reports of the first order of a slot come when its second order rests already."""
    life = await sim.trading_bot()
    late = sim.inject(DuplicatedEvent(delay_ms=5_000, match=FILLS, when=When(times=2)))
    await sim.quote(598_900)
    await life.until(lambda: life.snapshot().net_lots == LOTS and life.quiet(), "the slot is bought")
    await sim.quote(600_100)
    await life.until(lambda: life.snapshot().net_lots == 0 and life.quiet(), "and sold, and open again")
    fills = life.snapshot().counters.fills
    await trio.sleep(6)
    assert late.happened == 2
    assert life.snapshot().counters.fills == fills
    await converged(sim, life)


def cancelling(life: Life, active: bool) -> None:
    """Pause, which cancels every opening, or resume."""
    assert life.bot is not None
    assert life.bot.desk is not None
    desk = life.bot.desk
    desk.dispatcher.carry_out(desk.manager.set_condition(Condition.PAUSED, active, "the test"))


@pytest.mark.parametrize("fault", [LostEvent(), DelayedEvent(delay_ms=8_000), DuplicatedEvent(delay_ms=4_000)])
def test_f3_reports_of_cancels_may_be_wrong(tmp_path: Path, fault: Fault) -> None:
    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        injection = sim.inject(attrs.evolve(fault, match=CANCELLED))
        cancelling(life, True)
        await trio.sleep(3)
        assert injection.happened == 3
        cancelling(life, False)
        await sim.quote(598_900)
        await trio.sleep(10)
        injection.end()
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN)


@pytest.mark.parametrize("lost", [False, True])
def test_s9_s17_orders_that_the_exchange_ends_by_itself_are_placed_anew(tmp_path: Path, lost: bool) -> None:
    """Two openings and a closing expire; told, or found missing by the next reconciliation."""

    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        await sim.quote(598_900)
        await life.until(lambda: life.snapshot().net_lots == LOTS and life.quiet(), "a closing")
        before = len(sim.orders())
        if lost:
            sim.inject(LostEvent(when=When(to_s=2)))
        injections = [sim.inject(EndOrders(count=2)), sim.inject(EndOrders(match=Match(reduce_only=True)))]
        await trio.sleep(3)
        assert all(injection.happened for injection in injections)
        await converged(sim, life)
        assert len(sim.orders()) == before + 3

    run_simulation(script, tmp_path, OFTEN)

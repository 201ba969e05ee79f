"""What the exchange does by itself, and its limits: the bot waits, obeys, trades on, or halts and says why."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import trio

from tests.simulation.faults.convergence import OFTEN, converged, rungs, session, session_under
from tests.simulation.rig import run_simulation, simulated
from tests.simulation.wiretap import Wiretap
from trio_grid.domain.events import Side
from trio_grid.domain.inputs import Condition, TradingState
from trio_grid.services.control_socket import ControlRequest
from trio_grid.testing.bot import LOTS, Life, Simulation
from trio_grid.testing.faults import (
    Ban,
    ChangeFilters,
    Ending,
    EndOrders,
    Firewall,
    ForeignOrder,
    ForeignTrade,
    JumpClock,
    LateRequest,
    Liquidate,
    Maintenance,
    Match,
    MovePosition,
    PayFunding,
    SymbolStatus,
    Throttled,
    TooManyOrders,
    When,
    draw_plan,
)


async def ask(life: Life, command: str, **more: str) -> None:
    """What the operator does."""
    assert life.bot is not None
    assert life.bot.control is not None
    await life.bot.control.handle(ControlRequest(command=command, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("jump_ms", [900, 8_000, 70_000, -900, -8_000])
def test_f9_a_clock_that_jumps_is_read_again(tmp_path: Path, jump_ms: int) -> None:
    """It jumps ahead or back, once before orders are sent and once while they rest."""

    async def script(sim: Simulation) -> None:
        life, [injection] = await session_under(sim, JumpClock(jump_ms=jump_ms, when=When(from_s=0.5)))
        assert injection.happened == 1
        await trio.sleep(abs(jump_ms) / 1000)  # after a jump back the market stands until its clock has caught up
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN, "risk.price_stale_s=10")


@pytest.mark.parametrize("jump_ms", [8_000, -8_000])
def test_f9_an_order_refused_for_its_time_has_the_clock_read_at_once(tmp_path: Path, jump_ms: int) -> None:
    """No reconciliation is near: the refusal itself asks for the exchange's time."""

    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        tap = Wiretap(sim)
        await sim.quote(598_900)
        await life.until(lambda: len(rungs(sim, "c")) == 1 and life.quiet(), "a closing")
        sim.inject(JumpClock(jump_ms=jump_ms))
        sim.inject(EndOrders(match=Match(reduce_only=True), when=When(from_s=0.1)))
        await life.until(lambda: "-1021" in str([message.body for message in tap.messages]), "the refusal")
        await life.until(lambda: len(rungs(sim, "c")) == 1, "the closing anew", patience_s=20)
        assert not [message for message in tap.requests("GET /fapi/v1/openOrders")]
        await trio.sleep(abs(jump_ms) / 1000)
        await converged(sim, life)

    run_simulation(script, tmp_path, "risk.price_stale_s=20", "risk.reconcile_interval_s=900")


@simulated(OFTEN)
async def test_f9_orders_that_arrive_after_their_recv_window_are_refused_and_sent_anew(sim: Simulation) -> None:
    fault = LateRequest(delay_ms=5_500, match=Match(request="order.place"), when=When(times=1))
    life, [injection] = await session_under(sim, fault)
    assert injection.happened == 1
    await converged(sim, life)


@pytest.mark.parametrize("length_s", [5, 40])
def test_f2_f17_maintenance_is_waited_out(tmp_path: Path, length_s: int) -> None:
    """The market moves meanwhile: nobody fills during real maintenance, here somebody does."""

    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        sim.inject(Maintenance(when=When(from_s=0.5, to_s=length_s)))
        await trio.sleep(1)
        assert not sim.links(life, "/private"), "the connections end with it"
        await sim.quote(598_900)
        await trio.sleep(length_s)
        await session(sim)
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN)


@simulated(OFTEN)
async def test_f10_a_ban_halts_sends_nothing_and_the_operator_resumes(sim: Simulation) -> None:
    life = await sim.trading_bot()
    tap = Wiretap(sim)
    ban = sim.inject(Ban(ban_s=90, when=When(times=1), match=Match(request="order.place")))
    await sim.quote(598_900)
    await life.until(lambda: life.snapshot().trading_state is TradingState.HALTED, "halted", patience_s=5)
    assert ban.happened == 1
    await trio.sleep(1)
    sent = len(tap.requests())
    await trio.sleep(80)
    assert len(tap.requests()) == sent, "a banned client asks on"
    await trio.sleep(60)
    assert life.snapshot().net_lots == sim.position_lots() == LOTS
    await ask(life, "resume")
    await converged(sim, life)


@simulated(OFTEN)
async def test_f10_the_firewall_is_left_alone_for_a_minute(sim: Simulation) -> None:
    life = await sim.trading_bot()
    tap = Wiretap(sim)
    firewall = sim.inject(Firewall(when=When(to_s=30)))
    await life.until(lambda: firewall.happened, "the first block", patience_s=20)
    sent = len(tap.requests())
    await trio.sleep(55)
    assert len(tap.requests()) == sent
    await trio.sleep(20)
    await converged(sim, life)


@simulated(OFTEN)
async def test_s13_throttling_stops_openings_and_no_exit(sim: Simulation) -> None:
    life = await sim.trading_bot()
    throttled = sim.inject(Throttled())
    await sim.quote(598_900)
    await life.until(lambda: len(rungs(sim, "c")) == 1, "the exit passes")
    await trio.sleep(20)
    assert throttled.happened >= 2, "it is tried again"
    assert throttled.happened <= 30
    assert len(rungs(sim, "o")) == 2
    throttled.end()
    await converged(sim, life)


@simulated(OFTEN)
async def test_f11_cancels_pass_while_orders_are_too_many(sim: Simulation) -> None:
    life = await sim.trading_bot()
    many = sim.inject(TooManyOrders(when=When(to_s=20)))
    await sim.quote(598_900)
    await life.until(lambda: many.happened, "refused")
    await ask(life, "pause")
    await life.until(lambda: rungs(sim, "o") == [], "the cancels pass", patience_s=5)
    await ask(life, "resume")
    await trio.sleep(20)
    await converged(sim, life)


@simulated(OFTEN)
async def test_f13_a_symbol_that_is_being_settled_is_waited_out(sim: Simulation) -> None:
    tap = Wiretap(sim)
    life = await sim.trading_bot()
    settling = sim.inject(SymbolStatus(when=When(to_s=60)))
    before = len(tap.orders)
    await sim.quote(598_900)
    await life.until(lambda: len(rungs(sim, "c")) == 1, "the exit passes")
    await life.until(lambda: Condition.FILTERS_CHANGED in life.snapshot().conditions, "noticed", patience_s=40)
    await life.until(lambda: rungs(sim, "o") == [], "no openings")
    await trio.sleep(60)
    assert settling.happened
    assert len(tap.orders) - before <= 5, "refusals are met by more of the same"
    await converged(sim, life)


@simulated(OFTEN, "size.base_per_level=0.003", "limits.max_inventory=0.03")
async def test_f13_levels_below_a_new_minimum_are_skipped_until_it_is_lifted(sim: Simulation) -> None:
    life = await sim.trading_bot()
    sim.inject(ChangeFilters(min_notional=Decimal(5_000), when=When(from_s=0.5)))
    sim.inject(EndOrders(count=2, status=Ending.CANCELED, when=When(from_s=1.0)))
    await life.until(
        lambda: life.snapshot().instrument.min_notional_units == 5_000 * 10**8, "taken over", patience_s=100
    )
    assert len(rungs(sim, "o")) <= 1
    sim.inject(ChangeFilters(min_notional=Decimal(50)))
    await life.until(
        lambda: life.snapshot().instrument.min_notional_units == 50 * 10**8, "taken over again", patience_s=100
    )
    await converged(sim, life)


@simulated(OFTEN)
async def test_s16_f18_f22_a_foreign_order_is_left_alone(sim: Simulation) -> None:
    faults = [ForeignOrder(when=When(from_s=1)), ForeignOrder(side=Side.SELL, when=When(from_s=2))]
    life, injections = await session_under(sim, *faults)
    assert [injection.happened for injection in injections] == [1, 1]
    await converged(sim, life)
    foreign = [order for order in sim.resting() if order.client_order_id.startswith("web_")]
    assert len(foreign) == 2


@simulated(OFTEN)
async def test_f18_a_foreign_trade_is_shown_as_foreign(sim: Simulation) -> None:
    life, [injection] = await session_under(sim, ForeignTrade(quantity=Decimal("0.003"), when=When(from_s=1)))
    assert injection.happened == 1
    await converged(sim, life, foreign_lots=3)


@simulated(OFTEN)
async def test_f4_f21_a_position_that_no_trade_explains_reduces_until_it_is_accepted(sim: Simulation) -> None:
    life = await sim.trading_bot()
    sim.inject(MovePosition(quantity=Decimal("0.004"), when=When(from_s=1)))
    await life.until(lambda: life.snapshot().trading_state is TradingState.REDUCING, "reducing", patience_s=40)
    await life.until(lambda: rungs(sim, "o") == [], "no openings")
    await ask(life, "resume", accept_position="a transfer")
    await session(sim)
    await converged(sim, life, foreign_lots=4)


@simulated(OFTEN)
async def test_f21_funding_is_booked_once(sim: Simulation) -> None:
    life = await sim.trading_bot()
    await sim.quote(598_900)
    await life.until(lambda: len(rungs(sim, "c")) == 1 and life.quiet(), "a position")
    paid = sim.inject(PayFunding(rate=Decimal("0.001"), when=When(from_s=1, every_s=7, times=3)))
    await trio.sleep(30)
    assert paid.happened == 3
    await life.until(lambda: life.snapshot().ledger.funding_units("USDT") < 0, "booked", patience_s=200)
    await session(sim)
    await converged(sim, life)


@simulated(OFTEN)
async def test_f4_a_liquidation_halts_and_is_shown(sim: Simulation) -> None:
    life = await sim.trading_bot()
    await sim.quote(598_900)
    await life.until(lambda: len(rungs(sim, "c")) == 1 and life.quiet(), "a position")
    ruin = sim.inject(Liquidate())
    await life.until(lambda: life.snapshot().trading_state is TradingState.HALTED, "halted", patience_s=60)
    assert ruin.happened == 1
    assert sim.position_lots() == 0
    assert not sim.resting()
    tap = Wiretap(sim)
    await trio.sleep(30)
    assert not tap.orders, "it trades on without money"
    life.stop.request("the operator")
    await life.until_ended()
    assert life.report is not None
    assert life.report.after.trading_state is TradingState.HALTED


@pytest.mark.parametrize("seed", range(6))
def test_a_drawn_plan_is_got_over(tmp_path: Path, seed: int) -> None:
    """Sixteen faults of any passing kind within forty seconds, drawn from a seed."""

    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        plan = draw_plan(seed, count=16, horizon_s=36)
        injections = [sim.inject(fault) for fault in plan.faults]
        await session(sim)
        assert sum(injection.happened > 0 for injection in injections) >= 3
        for injection in injections:
            injection.end()
        await trio.sleep(10)
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN, seed=seed)

"""Faults of questions and of cancels: nothing is believed too early, and nothing is forgotten."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio

from tests.simulation.faults.convergence import OFTEN, converged, rungs, session, session_under
from tests.simulation.rig import run_simulation, simulated
from tests.simulation.wiretap import Wiretap
from trio_grid.domain.events import Side
from trio_grid.domain.inputs import Condition
from trio_grid.testing.bot import Life, Simulation
from trio_grid.testing.faults import (
    BackendTimeout,
    BodyForm,
    CutAnswer,
    Fault,
    Firewall,
    GatewayError,
    InternalError,
    LateAnswer,
    LostEvent,
    LostRequest,
    MalformedAnswer,
    Match,
    NoAnswer,
    Refused,
    ResetAfter,
    ResetBefore,
    ServiceUnavailable,
    Spoilt,
    StaleRead,
    TooManyRequests,
    UnknownError,
    When,
)

QUESTIONS = ("GET /fapi/v1/openOrders", "GET /fapi/v1/userTrades", "GET /fapi/v3/positionRisk")
ACCOUNT_FAULTS: list[Fault] = [
    LostRequest(),
    LateAnswer(delay_ms=4_000),
    NoAnswer(),
    ResetBefore(),
    CutAnswer(),
    *(MalformedAnswer(form=form) for form in Spoilt),
    UnknownError(form=BodyForm.PATH),
    ServiceUnavailable(),
    InternalError(),
    GatewayError(status=500),
    BackendTimeout(),
    TooManyRequests(retry_after_s=2),
    Firewall(),
    StaleRead(age_ms=5_000),
]


def named(fault: Fault) -> str:
    """Return a test's name of a fault."""
    return f"{fault.kind}-{getattr(fault, 'form', '')}"


def pause(life: Life, active: bool = True) -> None:
    """What the control command does."""
    assert life.bot is not None
    assert life.bot.desk is not None
    desk = life.bot.desk
    desk.dispatcher.carry_out(desk.manager.set_condition(Condition.PAUSED, active, "the test"))


@pytest.mark.parametrize("fault", ACCOUNT_FAULTS, ids=named)
def test_every_question_about_the_account_may_fail(tmp_path: Path, fault: Fault) -> None:
    """Each question fails three times while the bot trades and reconciles."""

    async def script(sim: Simulation) -> None:
        faults = [attrs.evolve(fault, when=When(times=3), match=Match(request=name)) for name in QUESTIONS]
        life, injections = await session_under(sim, *faults)
        assert any(injection.happened for injection in injections)
        if isinstance(fault, Firewall):
            await trio.sleep(60)  # the client waits a minute for a firewall, which names no time
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN)


START = (
    "GET /fapi/v1/time",
    "GET /fapi/v1/exchangeInfo",
    "GET /fapi/v1/openOrders",
    "GET /fapi/v1/userTrades",
    "GET /fapi/v3/positionRisk",
    "POST /fapi/v1/listenKey",
    "GET /fapi/v1/klines",
)


@pytest.mark.parametrize(
    "fault",
    [LostRequest(), CutAnswer(), MalformedAnswer(), MalformedAnswer(form=Spoilt.NO_FIELDS), GatewayError()],
    ids=named,
)
def test_f17_every_question_of_the_start_may_fail(tmp_path: Path, fault: Fault) -> None:
    async def script(sim: Simulation) -> None:
        injections = [sim.inject(attrs.evolve(fault, when=When(nth=1), match=Match(request=name))) for name in START]
        life = await sim.start_bot("risk.startup_timeout_s=300")
        await life.until(lambda: life.trading, "trading", patience_s=300)
        assert all(injection.happened for injection in injections), injections
        await session(sim)
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN)


@simulated(OFTEN)
async def test_f1_s17_an_order_that_a_stale_answer_does_not_show_is_not_placed_again(sim: Simulation) -> None:
    """Accepted without an answer or a report; the first question that counts does not find it, the second does (R4)."""
    life = await sim.trading_bot()
    tap = Wiretap(sim)
    deaf = sim.inject(NoAnswer(when=When(times=2), match=Match(request="order.place")))
    sim.inject(LostEvent(when=When(to_s=30), match=Match(event="ORDER_TRADE_UPDATE", execution="NEW")))
    stale = sim.inject(StaleRead(age_ms=7_000, when=When(to_s=20)))
    await sim.quote(598_900)
    await trio.sleep(25)
    assert stale.happened
    assert deaf.happened == 2
    assert len(tap.orders) == 2, "an order that was accepted was placed again"
    await converged(sim, life)


@simulated(OFTEN)
async def test_s3_trades_that_are_missing_for_a_while_are_booked_once_they_are_there(sim: Simulation) -> None:
    """A fill is told by nobody, and `userTrades` shows it ten seconds late: the traded quantity is adopted then."""
    life = await sim.trading_bot()
    lost = sim.inject(LostEvent(when=When(to_s=20)))
    late = sim.inject(StaleRead(age_ms=10_000, when=When(to_s=60), match=Match(request="GET /fapi/v1/userTrades")))
    await sim.quote(599_300)
    await sim.trade(599_000, 4, seller_takes=True)
    await life.until(lambda: life.snapshot().net_lots == 4, "the part of the fill is found", patience_s=60)
    assert lost.happened
    assert late.happened
    for fault in (lost, late):
        fault.end()
    await converged(sim, life)


CANCEL_FAULTS: list[Fault] = [
    LostRequest(),
    LateAnswer(delay_ms=7_000),
    NoAnswer(),
    ResetBefore(),
    ResetAfter(),
    CutAnswer(),
    MalformedAnswer(),
    UnknownError(),
    UnknownError(executed=False),
    ServiceUnavailable(),
    InternalError(),
    BackendTimeout(executed=False),
    TooManyRequests(retry_after_s=2),
    Refused(code=-2011, message="Unknown order sent."),
]


@pytest.mark.parametrize("fault", CANCEL_FAULTS, ids=named)
def test_f3_f7_a_cancel_under_a_fault_ends_in_an_order_that_is_known(tmp_path: Path, fault: Fault) -> None:
    """Paused, the bot cancels its openings; one of them fills while its cancel is in doubt."""

    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        injection = sim.inject(attrs.evolve(fault, when=When(times=3), match=Match(request="order.cancel")))
        pause(life)
        await life.until(lambda: injection.happened == 3, "the cancels are in doubt")
        await sim.quote(598_900)
        await life.until(lambda: rungs(sim, "o") == [] and life.quiet(), "no opening is left", patience_s=60)
        assert life.snapshot().net_lots == sim.position_lots()
        pause(life, False)
        await sim.quote(600_100)
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN)


@simulated(OFTEN)
async def test_f8_a_post_only_refusal_that_makes_no_sense_is_met_with_patience(sim: Simulation) -> None:
    life = await sim.trading_bot()
    tap = Wiretap(sim)
    refused = sim.inject(
        Refused(code=-5022, message="Due to the order could not be executed as maker", match=Match(side=Side.BUY))
    )
    await sim.quote(598_900)
    await trio.sleep(60)
    assert 2 <= refused.happened <= 40, "post-only refusals in a loop"
    assert len(tap.orders) <= 45
    assert len(rungs(sim, "c")) == 1, "the exit is not concerned"
    refused.end()
    await converged(sim, life)


@pytest.mark.parametrize("code", [-2022, -4118, -2019, -4164, -2010, -4061, -9999])
def test_f13_f15_refusals_end_and_the_ladder_is_whole_again(tmp_path: Path, code: int) -> None:
    async def script(sim: Simulation) -> None:
        tap = Wiretap(sim)
        fault = Refused(code=code, message="refused by a fault", match=Match(request="order.place"))
        life, [injection] = await session_under(sim, fault)
        assert injection.happened
        assert len(tap.orders) <= 60, "refusals are met by more of the same"
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN)

"""Faults of WebSockets: silent, stalled, spoilt, cut, refused and closed ones; the gap is closed by REST each time."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio

from tests.simulation.faults.convergence import OFTEN, converged, rungs, session, session_under
from tests.simulation.rig import run_simulation, simulated
from trio_grid.domain.inputs import Condition
from trio_grid.testing.bot import KLINE_STREAM, ORDER_ENTRY, PRICE_STREAM, USER_STREAM, Simulation
from trio_grid.testing.faults import (
    CloseConnections,
    CutFrame,
    ExpireListenKey,
    Fault,
    MalformedFrame,
    Match,
    RefusedHandshake,
    ResetConnections,
    SilentHandshake,
    SilentStream,
    Spoilt,
    StalledStream,
    When,
)

SOON_STALE = ("risk.price_stale_s=4", "risk.user_stream_silent_s=4", "risk.klines_stale_s=70")
STREAMS = {"user": USER_STREAM, "price": PRICE_STREAM, "klines": KLINE_STREAM}
ENDS: list[Fault] = [
    ResetConnections(),
    CloseConnections(),
    CloseConnections(code=1008, reason="policy"),
    CloseConnections(code=1012, reason="restart"),
    CloseConnections(code=4000, reason=""),
]


def named(fault: Fault) -> str:
    """Return a test's name of a fault."""
    parameters = [getattr(fault, name, "") for name in ("form", "code", "status", "told")]
    return "-".join([fault.kind, *(str(getattr(value, "value", value)) for value in parameters if value != "")])


UNRELIABLE: list[Fault] = [
    SilentStream(when=When(to_s=20)),
    StalledStream(when=When(to_s=15)),
    CutFrame(when=When(every=2, times=4)),
    MalformedFrame(when=When(every=2, times=6)),
]
SPOILT = [MalformedFrame(form=form, when=When(every=2, times=6)) for form in Spoilt if form is not Spoilt.TRUNCATED]


@pytest.mark.parametrize(
    ("stream", "fault"),
    [
        *(pytest.param(stream, fault, id=f"{stream}-{named(fault)}") for stream in STREAMS for fault in UNRELIABLE),
        *(pytest.param("user", fault, id=f"user-{named(fault)}") for fault in SPOILT),
    ],
)
def test_f5_f6_a_stream_that_cannot_be_relied_on_is_not_relied_on(tmp_path: Path, fault: Fault, stream: str) -> None:
    async def script(sim: Simulation) -> None:
        life, [injection] = await session_under(sim, attrs.evolve(fault, match=Match(path=STREAMS[stream])))
        assert injection.happened
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN, *SOON_STALE)


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        *((target, ENDS[0]) for target in (USER_STREAM, PRICE_STREAM, KLINE_STREAM, ORDER_ENTRY)),
        *((target, fault) for target in (USER_STREAM, ORDER_ENTRY) for fault in ENDS[1:]),
    ],
)
def test_f5_a_connection_that_ends_is_opened_again(tmp_path: Path, fault: Fault, target: str) -> None:
    """It ends just before a fill, and again while the closing is on its way."""

    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        first = sim.links(life, target)
        injection = sim.inject(
            attrs.evolve(fault, when=When(from_s=0.001, every_s=13.003, times=3), match=Match(path=target))
        )
        await session(sim)
        await trio.sleep(10)
        assert injection.happened == 3
        assert sim.links(life, target) not in ([], first)
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN)


@pytest.mark.parametrize(
    "fault", [RefusedHandshake(), RefusedHandshake(status=429, retry_after_s=3), SilentHandshake()], ids=named
)
def test_f5_connections_that_are_not_let_in_are_tried_with_patience(tmp_path: Path, fault: Fault) -> None:
    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        refused = sim.inject(attrs.evolve(fault, when=When(to_s=30)))
        sim.inject(ResetConnections(when=When(from_s=0.001)))
        await sim.quote(598_900)
        await trio.sleep(31)
        assert 1 <= refused.happened <= 80
        assert "user stream is down" in life.snapshot().closed_doors
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN)


@pytest.mark.parametrize("told", [True, False])
def test_f5_a_listen_key_that_expires_is_replaced(tmp_path: Path, told: bool) -> None:
    """Told, the stream is opened anew at once; untold, what it does not say gives the silence away."""

    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        injection = sim.inject(ExpireListenKey(told=told, when=When(from_s=0.5)))
        first = sim.links(life, USER_STREAM)
        await trio.sleep(1)
        await sim.quote(598_900)
        await trio.sleep(5)
        assert injection.happened == 1
        await life.until(lambda: sim.links(life, USER_STREAM) not in ([], first), "a new stream", patience_s=60)
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN, *SOON_STALE)


@simulated(OFTEN, *SOON_STALE)
async def test_r14_a_silent_user_stream_stops_openings_and_keeps_exits(sim: Simulation) -> None:
    life = await sim.trading_bot()
    await sim.quote(598_900)
    await life.until(lambda: len(rungs(sim, "c")) == 1 and life.quiet(), "a closing")
    silent = sim.inject(SilentStream(match=Match(path=USER_STREAM), when=When(to_s=60)))
    await sim.quote(597_900)
    await life.until(lambda: Condition.USER_STREAM_SILENT in life.snapshot().conditions, "noticed", patience_s=20)
    await life.until(lambda: rungs(sim, "o") == [], "no openings", patience_s=20)
    assert len(rungs(sim, "c")) >= 1
    await trio.sleep(60)
    assert silent.happened
    await converged(sim, life)

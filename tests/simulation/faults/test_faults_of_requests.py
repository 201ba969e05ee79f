"""Each fault of a request, on both paths of order entry: no order is doubled, forgotten or booked twice."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from tests.simulation.faults.convergence import OFTEN, converged, session, settled
from tests.simulation.rig import run_simulation
from trio_grid.testing.bot import Simulation
from trio_grid.testing.faults import (
    BackendTimeout,
    BodyForm,
    CutAnswer,
    Fault,
    GatewayError,
    InternalError,
    LateAnswer,
    LateRequest,
    LostEvent,
    LostRequest,
    MalformedAnswer,
    Match,
    NoAnswer,
    RefusedHandshake,
    ResetAfter,
    ResetBefore,
    ResetConnections,
    ServiceUnavailable,
    Spoilt,
    Throttled,
    TooManyOrders,
    TooManyRequests,
    UnexpectedResponse,
    UnknownError,
    When,
)

TWICE = When(times=2)
UNTOLD = LostEvent(when=TWICE, match=Match(event="ORDER_TRADE_UPDATE", execution="NEW"))
"""A report that the order was accepted would say what the answer does not."""

BOTH_PATHS = [
    LostRequest(),
    LateRequest(delay_ms=3_000),
    LateRequest(delay_ms=7_000),
    NoAnswer(),
    LateAnswer(delay_ms=3_000),
    LateAnswer(delay_ms=12_000),
    ResetBefore(),
    ResetAfter(),
    CutAnswer(),
    *(MalformedAnswer(form=form) for form in Spoilt),
    UnknownError(),
    UnknownError(executed=False),
    ServiceUnavailable(),
    Throttled(),
    InternalError(),
    UnexpectedResponse(),
    UnexpectedResponse(executed=False),
    BackendTimeout(),
    BackendTimeout(executed=False),
    TooManyRequests(retry_after_s=3),
    TooManyRequests(retry_after_s=None),
    TooManyOrders(),
    TooManyOrders(retry_after_s=4),
]
REST_ONLY = [
    UnknownError(form=BodyForm.PATH),
    UnknownError(form=BodyForm.PATH, executed=False),
    GatewayError(),
    GatewayError(status=504, executed=True),
]


def named(fault: Fault) -> str:
    """Return a test's name of a fault."""
    parameters = attrs.asdict(fault, filter=lambda field, value: field.name not in ("when", "match"))
    return "-".join([fault.kind, *(str(getattr(value, "value", value)) for value in parameters.values())])


@pytest.mark.parametrize("fault", [*BOTH_PATHS, *REST_ONLY], ids=named)
def test_an_order_under_a_fault_is_neither_doubled_nor_forgotten(tmp_path: Path, fault: Fault) -> None:
    """First over the WebSocket API, then with that refused, so that orders go by REST."""

    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        if fault not in REST_ONLY:
            over = sim.inject(attrs.evolve(fault, when=TWICE, match=Match(request="order.place")))
            sim.inject(UNTOLD)
            await session(sim)
            assert over.happened == 2
            await settled(sim, life)
        refused = sim.inject(RefusedHandshake(match=Match(path="/ws-fapi")))
        sim.inject(ResetConnections(match=Match(path="/ws-fapi")))
        over = sim.inject(attrs.evolve(fault, when=TWICE, match=Match(request="POST /fapi/v1/order")))
        sim.inject(UNTOLD)
        await session(sim)
        assert over.happened == 2
        assert refused.happened
        refused.end()
        await converged(sim, life)

    run_simulation(script, tmp_path, OFTEN)

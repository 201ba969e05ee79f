"""The client cancelled at every step of a session: nothing stays behind, and the exchange stays consistent."""

from __future__ import annotations

import os

import pytest
import trio

from tests.exchange.binance.test_against_paper_exchange import client_of, order
from trio_grid.domain.actions import CancelOrder
from trio_grid.domain.events import Side
from trio_grid.testing.drills import IN_BOT, CancelAtStep, StepTrace, marked_tasks
from trio_grid.testing.paper import open_paper_exchange
from trio_grid.testing.seeded import seeded_run

SEED = 5
STRIDE = 1 if os.environ.get("TRIO_GRID_DRILLS") == "all" else 11
"""`just drills` takes every step, the plain run every eleventh."""


async def under_drill(drill: CancelAtStep) -> tuple[bool, list[str], str]:
    """Run one session with the drill; returns whether it came to its end, the tasks left, and the server's state."""
    finished = False

    async def bot() -> None:
        nonlocal finished
        mark = IN_BOT.set(True)
        with trio.CancelScope() as drill.scope:
            async with client_of(paper) as client:
                instrument = await client.instrument("BTCUSDT")
                async with client.user_stream(instrument) as events, client.book_tickers(instrument) as tickers:
                    bid = (await tickers.__anext__()).bid_ticks
                    ladder = [order(f"bid-{step}", Side.BUY, bid - 500 - step, post_only=True) for step in range(3)]
                    await client.place(instrument, ladder)
                    await client.place(instrument, [order("take", Side.BUY, None)])
                    while (await events.__anext__()).account is None:
                        pass
                    await client.cancel(instrument, [CancelOrder(client_order_id="bid-0")])
                    await client.open_orders(instrument)
            finished = True
        IN_BOT.reset(mark)

    async with open_paper_exchange() as paper:
        await bot()
        await trio.testing.wait_all_tasks_blocked()
        return finished, list(marked_tasks()), repr(paper.server)


def run_drill(k: int | None) -> CancelAtStep:
    drill = CancelAtStep(k)
    finished, left, server = seeded_run(SEED, lambda: under_drill(drill), drill)
    assert left == [], f"step {k} in {drill.where}"
    assert "websockets=0" in server, f"step {k} in {drill.where}"
    assert finished or k is not None
    return drill


@pytest.mark.drill
def test_the_client_can_be_cancelled_at_every_step() -> None:
    steps = run_drill(None).count
    assert steps > 200
    for k in range(1, steps, STRIDE):
        run_drill(k)


def test_the_same_seed_gives_the_same_steps() -> None:
    digests = set()
    for _ in range(2):
        trace = StepTrace()
        seeded_run(SEED, lambda: under_drill(CancelAtStep()), trace)
        digests.add(trace.digest())
    assert len(digests) == 1

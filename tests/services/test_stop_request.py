"""Signals become one event; the second one shortens the grace."""

from __future__ import annotations

import os
import signal

import trio
from trio.testing import MockClock

from trio_grid.services.stop_request import SECOND_SIGNAL_GRACE_S, StopRequest

PATIENCE_S = 180.0
FAR_S = 10_000.0


async def test_a_signal_asks_for_the_stop_and_a_second_one_shortens_the_grace() -> None:
    stop = StopRequest()
    async with trio.open_nursery() as nursery:
        await nursery.start(stop.watch)
        os.kill(os.getpid(), signal.SIGTERM)
        with trio.fail_after(PATIENCE_S):
            await stop.requested.wait()
        assert stop.reason == "SIGTERM"
        with trio.CancelScope(deadline=trio.current_time() + FAR_S) as grace:
            stop.grace = grace
            os.kill(os.getpid(), signal.SIGINT)
            with trio.fail_after(PATIENCE_S):
                while stop.signals < 2:  # noqa: ASYNC110 - signals are counted, nothing is told of them
                    await trio.sleep(0.01)
            assert grace.deadline <= trio.current_time() + SECOND_SIGNAL_GRACE_S
        assert stop.reason == "SIGTERM"
        nursery.cancel_scope.cancel()


async def test_the_first_reason_and_its_instant_count(autojump_clock: MockClock) -> None:
    stop = StopRequest()
    await stop.after(7)
    first = stop.requested_at
    stop.request("later")
    assert (stop.reason, stop.requested_at) == ("--for 7s is over", first)

"""One loop keeps a connection alive; what cannot be cured by asking again leaves it."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from trio_grid.errors import CredentialsRefused, ExchangeUnreachable, ListenKeyGone, MalformedAnswer, RateLimited
from trio_grid.services.reconnect import Backoff, Reconnector, is_transient


def test_pauses_double_up_to_a_limit_and_start_over_after_a_success() -> None:
    backoff = Backoff(jitter=lambda: 1.0, first_s=0.2, longest_s=2.0)
    assert [backoff.next_s() for _ in range(6)] == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    backoff.reset()
    assert backoff.next_s() == 0.2


def test_jitter_takes_at_most_half_and_the_exchange_may_ask_for_more() -> None:
    assert Backoff(jitter=lambda: 0.0, first_s=1.0).next_s() == 0.5
    assert Backoff(jitter=lambda: 0.0).next_s(30.0) == 30.0


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (ExchangeUnreachable("x"), True),
        (MalformedAnswer("x"), True),
        (ListenKeyGone(-1125, "x"), True),
        (RateLimited(-1003, "x", retry_after_s=3), True),
        (CredentialsRefused(-2015, "x"), False),
    ],
)
def test_only_what_asking_again_can_cure_is_transient(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient  # type: ignore[arg-type]


async def test_a_lost_session_is_opened_again_and_a_fatal_one_ends_the_loop(autojump_clock: MockClock) -> None:
    opened: list[float] = []
    lost: list[str] = []

    async def session() -> None:
        opened.append(trio.current_time())
        await trio.sleep(1)
        if len(opened) == 3:
            raise CredentialsRefused(-2015, "bad key")
        raise ExchangeUnreachable("gone")

    loop = Reconnector("test stream", Backoff(jitter=lambda: 1.0), lost.append)
    with pytest.raises(CredentialsRefused):
        await loop.run(session)
    assert [round(b - a, 3) for a, b in pairwise(opened)] == [1.2, 1.4]
    assert lost == ["ExchangeUnreachable: gone"] * 2


async def test_a_dropped_session_is_opened_again(autojump_clock: MockClock) -> None:
    lost: list[str] = []
    loop = Reconnector("test stream", Backoff(jitter=lambda: 1.0), lost.append)
    sessions = 0

    async def session() -> None:
        nonlocal sessions
        sessions += 1
        loop.confirmed()
        await trio.sleep_forever()

    with trio.move_on_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loop.run, session)
            for _ in range(3):
                await trio.sleep(2)
                loop.drop("silent")
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
    assert sessions == 4
    assert lost == ["silent"] * 3


async def test_a_connection_that_fails_right_after_its_confirmation_is_no_success(autojump_clock: MockClock) -> None:
    opened: list[float] = []
    loop = Reconnector("test stream", Backoff(jitter=lambda: 1.0), lambda _: None)

    async def session() -> None:
        opened.append(trio.current_time())
        loop.confirmed()
        await trio.sleep(10 if len(opened) == 4 else 0.1)
        raise ExchangeUnreachable("gone")

    with trio.move_on_after(20):
        await loop.run(session)
    pauses = [round(later - earlier - 0.1, 3) for earlier, later in pairwise(opened)]
    assert pauses[:3] == [0.2, 0.4, 0.8]
    assert pauses[3] == pytest.approx(9.9 + 0.2)


async def test_cancellation_ends_the_loop_itself(autojump_clock: MockClock) -> None:
    loop = Reconnector("test stream", Backoff(jitter=lambda: 1.0), lambda _: None)
    with trio.move_on_after(5) as scope:
        await loop.run(trio.sleep_forever)
    assert scope.cancelled_caught

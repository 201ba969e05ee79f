"""The exchange's clock as the client keeps it: right after a reading, and never going back."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from trio_grid.exchange.binance.clock import ServerClock

EPOCH_S = 1_750_000_000.0


async def test_before_the_first_reading_the_wall_clock_stands_in(autojump_clock: MockClock) -> None:
    clock = ServerClock(lambda: EPOCH_S)
    await trio.sleep(2.5)
    assert clock.now_ms() == 1_750_000_002_500
    assert not clock.synchronized
    assert "not synchronized" in repr(clock)


async def test_the_first_reading_is_taken_as_it_is(autojump_clock: MockClock) -> None:
    clock = ServerClock(lambda: EPOCH_S)
    clock.correct(1_000_000.0, trio.current_time())
    assert clock.synchronized
    await trio.sleep(1)
    assert clock.now_ms() == 1_001_000


async def test_a_reading_counts_for_the_middle_of_its_request(autojump_clock: MockClock) -> None:
    clock = ServerClock(lambda: EPOCH_S)
    middle = trio.current_time()
    await trio.sleep(0.25)
    clock.correct(1_000_000.0, middle)
    assert clock.now_ms() == 1_000_250


async def test_r15_a_clock_that_is_ahead_slows_down_and_does_not_jump_back(autojump_clock: MockClock) -> None:
    clock = ServerClock(lambda: EPOCH_S)
    clock.correct(1_000_000.0, trio.current_time())
    clock.correct(998_000.0, trio.current_time())
    assert clock.now_ms() == 1_000_000
    await trio.sleep(2)
    assert clock.now_ms() == 1_001_000
    await trio.sleep(2)
    assert clock.now_ms() == 1_002_000  # 998,000 + 4,000: worked off
    await trio.sleep(1)
    assert clock.now_ms() == 1_003_000


async def test_a_clock_that_is_little_behind_hurries_and_far_behind_steps(autojump_clock: MockClock) -> None:
    clock = ServerClock(lambda: EPOCH_S)
    clock.correct(1_000_000.0, trio.current_time())
    clock.correct(1_000_500.0, trio.current_time())
    assert clock.now_ms() == 1_000_000
    await trio.sleep(1)
    assert clock.now_ms() == 1_001_500
    clock.correct(2_000_000.0, trio.current_time())
    assert clock.now_ms() == 2_000_000


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 20), st.floats(-10_000, 10_000)), max_size=20))
def test_r15_now_never_goes_back(steps: list[tuple[float, float]]) -> None:
    async def main() -> None:
        clock = ServerClock(lambda: EPOCH_S)
        clock.correct(EPOCH_S * 1_000, trio.current_time())
        last = clock.now_ms()
        for pause, error in steps:
            await trio.sleep(pause)
            assert clock.now_ms() >= last
            last = clock.now_ms()
            clock.correct(last + error, trio.current_time())
            assert clock.now_ms() >= last
            last = clock.now_ms()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_it_needs_trio() -> None:
    with pytest.raises(RuntimeError):
        ServerClock(lambda: EPOCH_S)

"""The paper server's clock: exchange epoch milliseconds made from Trio's time, so that MockClock rules it.

Owns the relation between the two times. It must never read the wall clock: whoever starts the exchange gives the epoch.
"""

from __future__ import annotations

import math

import trio

_PAST_THE_MILLISECOND = 0.01
"""Deadlines aim this far (in exchange ms) past a millisecond, so that rounding never wakes us just before it."""


class ServerClock:
    """Exchange time = start + speed x (Trio time - Trio time at construction); construct it inside `trio.run`."""

    def __init__(self, start_ms: int, speed: float = 1.0) -> None:
        if speed <= 0 or not math.isfinite(speed):
            raise ValueError(f"speed must be positive and finite, got {speed}")
        self.start_ms = start_ms
        self.speed = speed
        self._origin = trio.current_time()

    def __repr__(self) -> str:
        return f"<ServerClock start_ms={self.start_ms} speed={self.speed}>"

    def now_ms(self) -> int:
        """Return the exchange's time in epoch milliseconds; it goes back only by a `jump`."""
        return self.start_ms + self.elapsed_ms()

    def elapsed_ms(self) -> int:
        """Return the exchange's milliseconds since construction; no jump changes them."""
        return math.floor((trio.current_time() - self._origin) * self.speed * 1000)

    def jump(self, by_ms: int) -> None:
        """Set the clock forward or back, as a fault does; uptime goes on as it was."""
        self.start_ms += by_ms

    def uptime_ms(self) -> int:
        """Return the milliseconds of Trio time since construction: what connections and listen keys age by."""
        return math.floor((trio.current_time() - self._origin) * 1000)

    def trio_time_at(self, exchange_ms: float) -> float:
        """Return the Trio time from which `now_ms()` is at least `exchange_ms`."""
        return self._origin + (exchange_ms - self.start_ms + _PAST_THE_MILLISECOND) / (1000 * self.speed)

    @property
    def runs_at_real_speed(self) -> bool:
        """True when one exchange second is one second: only then can a client's own clock follow it."""
        return self.speed == 1.0

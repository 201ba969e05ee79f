"""The exchange's clock as the client knows it (R15): epoch at synchronisation plus Trio's time since.

Corrections are slewed, so that `now_ms` never goes back; the wall clock is asked once, for the time until the first
answer. Reading the exchange's clock over the network is the caller's part.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

SLEW_RATE = 0.5
"""A correction is worked off at half speed: one second in two, and the clock still only goes forward."""

STEP_FORWARD_MS = 1_000.0
"""Farther behind than this (a suspended machine), the clock steps forward at once; backward it never steps."""


class ServerClock:
    """Milliseconds of the exchange's epoch. To be made inside `trio.run`."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._base_ms = wall_clock() * 1_000
        self._base_at = trio.current_time()
        self._pending_ms = 0.0
        self._synchronized = trio.Event()
        self._last_error_ms = 0.0

    def __repr__(self) -> str:
        state = f"last_error_ms={self._last_error_ms:.1f}" if self.synchronized else "not synchronized"
        return f"<ServerClock {self.now_ms()} {state}>"

    @property
    def synchronized(self) -> bool:
        """Whether the exchange's clock has been read; before that the wall clock stands in."""
        return self._synchronized.is_set()

    async def wait_synchronized(self) -> None:
        """Return when the exchange's clock has been read."""
        await self._synchronized.wait()

    def now_ms(self) -> int:
        """Return the exchange's time in whole milliseconds; it never goes back once synchronized."""
        return math.floor(self._value(trio.current_time()))

    def correct(self, server_ms: float, at_trio_time: float) -> None:
        """Take the exchange's reading, which stood at a moment of Trio's time: half way of the request that read it."""
        now = trio.current_time()
        current = self._value(now)
        error = server_ms + (now - at_trio_time) * 1_000 - current
        steps = not self.synchronized or error > STEP_FORWARD_MS
        self._base_ms, self._base_at = (current + error if steps else current), now
        self._pending_ms = 0.0 if steps else error
        self._synchronized.set()
        self._last_error_ms = error

    def _value(self, now: float) -> float:
        elapsed_ms = (now - self._base_at) * 1_000
        room = SLEW_RATE * elapsed_ms
        return self._base_ms + elapsed_ms + max(-room, min(room, self._pending_ms))

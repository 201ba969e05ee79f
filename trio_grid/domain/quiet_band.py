"""The Probe that a strategy asks, and the quiet band that its questions leave behind.

A strategy never holds the price or the time. It asks a Probe, and each answer narrows the range of prices, and the
time, for which the same answers would be given. What is left when a plan wants nothing more is the quiet band: within
it nothing can change, so nothing needs to be computed. The band is made of the decision's own comparisons and cannot
disagree with them.
"""

from __future__ import annotations

import msgspec

from trio_grid.domain.lattice import Lattice

LOWEST_HALF_TICKS = 0
HIGHEST_HALF_TICKS = 2**62
NEVER_MS = 2**62


class QuietBand(msgspec.Struct, frozen=True, gc=False):
    """The range of prices and times in which a decision would conclude nothing: low <= price < high, now < wake_at."""

    low: int
    high: int
    wake_at_ms: int
    sequence: int

    def holds(self, half_ticks: int, now_ms: int, sequence: int) -> bool:
        """Return whether a decision here would conclude nothing: four comparisons, whatever the number of slots."""
        return self.low <= half_ticks < self.high and now_ms < self.wake_at_ms and sequence == self.sequence


class Probe:
    """Answers questions about one price and one time, and remembers how far each answer reaches.

    Prices are in half ticks (best bid + best ask), times in exchange milliseconds.
    """

    __slots__ = ("_half_ticks", "_lattice", "_now_ms", "high", "low", "questions", "wake_at_ms")

    def __init__(self, half_ticks: int, now_ms: int, lattice: Lattice) -> None:
        self._half_ticks = half_ticks
        self._now_ms = now_ms
        self._lattice = lattice
        self.low = LOWEST_HALF_TICKS
        self.high = HIGHEST_HALF_TICKS
        self.wake_at_ms = NEVER_MS
        self.questions = 0

    def below(self, threshold: int) -> bool:
        """Return whether the price is below a threshold in half ticks."""
        self.questions += 1
        if self._half_ticks < threshold:
            self.high = min(self.high, threshold)
            return True
        self.low = max(self.low, threshold)
        return False

    def cell(self, offset: int, stride: int) -> int:
        """Return the multiple of `stride` whose rung lies nearest to price - offset (ties go to the lower rung).

        The answer narrows the band to the prices that have the same nearest rung.
        """
        self.questions += 1
        lattice = self._lattice
        nearest = lattice.nearest_multiple(self._half_ticks - offset, stride)
        here = lattice.price(nearest)
        # Half ticks are doubled prices, so the middle between two rungs is the sum of their prices: a whole number.
        # Rungs that share a tick have no middle: from their tick on the highest of them is meant, below it the lowest.
        if nearest - stride >= lattice.lowest_rung and here > 1:
            below = lattice.price(nearest - stride)
            self.low = max(self.low, (2 * here if below == here else below + here + 1) + offset)
        if nearest + stride <= lattice.highest_rung:
            above = lattice.price(nearest + stride)
            self.high = min(self.high, (2 * here if above == here else here + above + 1) + offset)
        return nearest

    def due(self, deadline_ms: int) -> bool:
        """Return whether a deadline has come; one that has not lowers the time at which to look again."""
        self.questions += 1
        if self._now_ms >= deadline_ms:
            return True
        self.wake_at_ms = min(self.wake_at_ms, deadline_ms)
        return False

    def band(self, sequence: int) -> QuietBand:
        """Return what the questions have left over."""
        return QuietBand(self.low, self.high, self.wake_at_ms, sequence)


class OrdersLeft:
    """The order budget of one decision: how many placements it still covers, and when there will be more."""

    __slots__ = ("left", "refill_at_ms")

    def __init__(self, orders: int, refill_at_ms: int) -> None:
        self.left = orders
        self.refill_at_ms = refill_at_ms

    def covers_one(self, probe: Probe) -> bool:
        """Return whether one more order may be placed; if not, the probe is told when to look again."""
        if self.left > 0:
            return True
        probe.due(self.refill_at_ms)
        return False

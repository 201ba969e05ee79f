"""Owns the history of one symbol's mark price: a candle for each minute in which the market spoke.

It must never invent a price: between two steps of the market the mark price stands still, and a minute without a step
has no candle.
"""

from __future__ import annotations

from collections import deque

import msgspec

from trio_grid.exchange.paper.engine.candles import HISTORY, open_time_of


class MarkCandle(msgspec.Struct, array_like=True):
    """Mark prices of one kline in half ticks; `updates` is how many there were."""

    open_time_ms: int
    open_half: int
    high_half: int
    low_half: int
    close_half: int
    updates: int = 1

    def add(self, later: MarkCandle) -> None:
        """Add what came later."""
        self.high_half = max(self.high_half, later.high_half)
        self.low_half = min(self.low_half, later.low_half)
        self.close_half = later.close_half
        self.updates += later.updates


class MarkCandles:
    """The 1-minute candles of a mark price, bounded; the last one may be open."""

    def __init__(self) -> None:
        self.minutes: deque[MarkCandle] = deque(maxlen=HISTORY)

    def add(self, time_ms: int, half_ticks: int) -> None:
        """Take a mark price; times never go back."""
        now = MarkCandle(open_time_of("1m", time_ms), half_ticks, half_ticks, half_ticks, half_ticks)
        if self.minutes and self.minutes[-1].open_time_ms == now.open_time_ms:
            self.minutes[-1].add(now)
        else:
            self.minutes.append(now)

    def select(self, interval: str, *, start_ms: int | None, end_ms: int | None, limit: int) -> list[MarkCandle]:
        """Return klines of an interval, ascending: with a start the oldest from it on, else the newest.

        Both bounds are on the opening time.
        """
        rows: list[MarkCandle] = []
        for minute in self.minutes:
            opens = open_time_of(interval, minute.open_time_ms)
            if rows and rows[-1].open_time_ms == opens:
                rows[-1].add(minute)
            else:
                rows.append(msgspec.structs.replace(minute, open_time_ms=opens))
        rows = [
            row
            for row in rows
            if (start_ms is None or row.open_time_ms >= start_ms) and (end_ms is None or row.open_time_ms <= end_ms)
        ]
        return rows[-limit:] if start_ms is None else rows[:limit]

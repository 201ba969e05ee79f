"""Owns the 1-second candles of one spot symbol: only the seconds with trades are kept, quiet ones are made when asked.

It must never know more than the tape.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from trio_grid.exchange.paper.engine.candles import Candle
from trio_grid.exchange.paper.market.interface import TapeRow

SECOND_MS = 1_000
HISTORY = 1_000
"""Seconds with trades that are kept: the largest `limit` of the klines request."""


class SecondCandles:
    """The newest seconds with trades, oldest first."""

    def __init__(self) -> None:
        self.rows: deque[Candle] = deque(maxlen=HISTORY)

    def restore(self, rows: Iterable[Candle]) -> None:
        """Begin with candles that were kept."""
        self.rows.clear()
        self.rows.extend(rows)

    def add(self, row: TapeRow, time_ms: int, first_id: int, last_id: int) -> None:
        """Add a tape row; times never go back."""
        second = time_ms // SECOND_MS * SECOND_MS
        if not self.rows or self.rows[-1].open_time_ms != second:
            self.rows.append(_flat(second, row.price_ticks))
        self.rows[-1].add_trade(row, first_id, last_id)

    def totals(self, from_ms: int) -> tuple[int, int]:
        """Return (ticks x lots, lots) of the trades of the seconds that end after a time."""
        cost = lots = 0
        for candle in reversed(self.rows):
            if candle.open_time_ms + SECOND_MS <= from_ms:
                break
            cost, lots = cost + candle.quote, lots + candle.volume_lots
        return cost, lots

    def at(self, second_ms: int) -> Candle | None:
        """Return the candle of a second, flat if nothing traded in it; None before the first one that is known."""
        last: Candle | None = None
        for candle in reversed(self.rows):
            if candle.open_time_ms <= second_ms:
                last = candle
                break
        if last is None or last.open_time_ms == second_ms:
            return last
        return _flat(second_ms, last.close_ticks)

    def select(self, *, now_ms: int, start_ms: int | None, end_ms: int | None, limit: int) -> list[Candle]:
        """Return 1-second klines, ascending, the open one last; bounds are on the opening time.

        Without a start the newest `limit`, with one the oldest `limit` from it on.
        """
        if not self.rows:
            return []
        last = now_ms // SECOND_MS * SECOND_MS
        if end_ms is not None:
            last = min(last, end_ms // SECOND_MS * SECOND_MS)
        first = self.rows[0].open_time_ms
        if start_ms is not None:
            first = max(first, -(-start_ms // SECOND_MS) * SECOND_MS)
            last = min(last, first + (limit - 1) * SECOND_MS)
        else:
            first = max(first, last - (limit - 1) * SECOND_MS)
        known = {candle.open_time_ms: candle for candle in self.rows}
        before = self.at(first)
        rows: list[Candle] = []
        for second in range(first, last + 1, SECOND_MS):
            before = known.get(second) or (None if before is None else _flat(second, before.close_ticks))
            if before is not None:
                rows.append(before)
        return rows


def _flat(second_ms: int, price: int) -> Candle:
    return Candle(open_time_ms=second_ms, open_ticks=price, high_ticks=price, low_ticks=price, close_ticks=price)

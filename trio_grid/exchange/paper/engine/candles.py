"""Owns the klines of one symbol: 1-minute candles built from the tape, longer intervals added up from them.

It must never invent a price: a minute without a trade is flat at the last close where the market says so, and absent
where the recording is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from trio_grid.exchange.paper.market.interface import TapeRow

MINUTE_MS = 60_000
HISTORY = 1_600
"""Closed minutes that are kept: a little more than the largest `limit` of the klines request, and than a day."""

INTERVAL_MS: dict[str, int] = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": 1_440 * MINUTE_MS,
    "3d": 3 * 1_440 * MINUTE_MS,
    "1w": 7 * 1_440 * MINUTE_MS,
}
INTERVALS = (*INTERVAL_MS, "1M")
_FIRST_MONDAY_MS = 4 * 1_440 * MINUTE_MS


class Candle(msgspec.Struct, kw_only=True, array_like=True):
    """One kline in ticks and lots; `quote` sums are ticks x lots. `first_id` is -1 while no trade fell into it."""

    open_time_ms: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int = 0
    quote: int = 0
    trades: int = 0
    taker_lots: int = 0
    taker_quote: int = 0
    first_id: int = -1
    last_id: int = -1

    def add_trade(self, row: TapeRow, first_id: int, last_id: int) -> None:
        """Add one tape row."""
        price, lots = row.price_ticks, row.quantity_lots
        self.high_ticks, self.low_ticks = max(self.high_ticks, price), min(self.low_ticks, price)
        self.close_ticks = price
        self.volume_lots += lots
        self.quote += price * lots
        self.trades += last_id - first_id + 1
        if not row.buyer_is_maker:
            self.taker_lots += lots
            self.taker_quote += price * lots
        self.first_id = first_id if self.first_id < 0 else self.first_id
        self.last_id = last_id

    def add_candle(self, other: Candle) -> None:
        """Add a later candle to this one."""
        self.high_ticks = max(self.high_ticks, other.high_ticks)
        self.low_ticks = min(self.low_ticks, other.low_ticks)
        self.close_ticks = other.close_ticks
        self.volume_lots += other.volume_lots
        self.quote += other.quote
        self.trades += other.trades
        self.taker_lots += other.taker_lots
        self.taker_quote += other.taker_quote
        self.first_id = other.first_id if self.first_id < 0 else self.first_id
        self.last_id = max(self.last_id, other.last_id)


def open_time_of(interval: str, time_ms: int) -> int:
    """Return the opening time of the kline that holds a time; weeks begin on Monday, months on the first, in UTC."""
    if interval == "1M":
        day = datetime.fromtimestamp(time_ms / 1000, UTC)
        return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp() * 1000)
    length = INTERVAL_MS[interval]
    offset = _FIRST_MONDAY_MS if interval == "1w" else 0
    return (time_ms - offset) // length * length + offset


def close_time_of(interval: str, open_time_ms: int) -> int:
    """Return the last millisecond of a kline."""
    if interval == "1M":
        day = datetime.fromtimestamp(open_time_ms / 1000, UTC)
        year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
        return int(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000) - 1
    return open_time_ms + INTERVAL_MS[interval] - 1


class Candles:
    """The 1-minute candles of one symbol: the closed ones, bounded, and the open one."""

    def __init__(self, *, fills_quiet_minutes: bool) -> None:
        self._fills = fills_quiet_minutes
        self.closed: deque[Candle] = deque(maxlen=HISTORY)
        self.current: Candle | None = None

    def next_close_ms(self) -> int | None:
        """Return when the open candle closes."""
        return None if self.current is None else self.current.open_time_ms + MINUTE_MS

    @property
    def has_trades(self) -> bool:
        """True when a trade fell into the open candle."""
        return self.current is not None and self.current.trades > 0

    def close(self) -> Candle:
        """Close the open candle and return it; begin a flat one if quiet minutes have klines."""
        done = self.current
        if done is None:
            raise RuntimeError("no candle is open")
        self.closed.append(done)
        self.current = self._flat(done.open_time_ms + MINUTE_MS, done.close_ticks) if self._fills else None
        return done

    def ensure(self, time_ms: int, price_ticks: int) -> None:
        """Open a flat candle if none is open: the market spoke in this minute, though nothing traded."""
        if self.current is None:
            self.current = self._flat(time_ms // MINUTE_MS * MINUTE_MS, price_ticks)

    def add(self, row: TapeRow, time_ms: int, first_id: int, last_id: int) -> None:
        """Add a tape row; earlier minutes must have been closed."""
        minute = time_ms // MINUTE_MS * MINUTE_MS
        candle = self.current
        while candle is not None and candle.open_time_ms < minute and candle.trades == 0:
            # Nobody closes the quiet minutes of a market that has ended; an account has traded in its last quote.
            self.close()
            candle = self.current
        if candle is None:
            candle = self.current = self._flat(minute, row.price_ticks)
        if candle.open_time_ms != minute:
            raise RuntimeError(f"a trade at {time_ms} while the candle of {candle.open_time_ms} is open")
        if candle.trades == 0:
            # The first trade opens a kline; the flat prices were only there for the minute to have some.
            candle.open_ticks = candle.high_ticks = candle.low_ticks = row.price_ticks
        candle.add_trade(row, first_id, last_id)

    @staticmethod
    def _flat(open_time_ms: int, price: int) -> Candle:
        return Candle(open_time_ms=open_time_ms, open_ticks=price, high_ticks=price, low_ticks=price, close_ticks=price)

    def select(
        self, interval: str, *, start_ms: int | None = None, end_ms: int | None = None, limit: int
    ) -> list[Candle]:
        """Return klines of an interval, ascending, the open one last.

        Without a start the newest `limit`, with one the oldest `limit` from it on; both bounds are on the opening time.
        """
        minutes: list[Candle] = [*self.closed]
        if self.current is not None:
            minutes.append(self.current)
        rows = [
            candle
            for candle in (minutes if interval == "1m" else _added_up(minutes, interval))
            if (start_ms is None or candle.open_time_ms >= start_ms)
            and (end_ms is None or candle.open_time_ms <= end_ms)
        ]
        return rows[-limit:] if start_ms is None else rows[:limit]

    def up_to(self, interval: str, minute: Candle) -> Candle:
        """Return the kline of an interval as it is with `minute` as its newest part."""
        start = open_time_of(interval, minute.open_time_ms)
        whole: Candle | None = None
        for candle in self.closed:
            if start <= candle.open_time_ms < minute.open_time_ms:
                whole = _joined(whole, candle, start)
        return _joined(whole, minute, start)


def _joined(whole: Candle | None, part: Candle, start_ms: int) -> Candle:
    if whole is None:
        return msgspec.structs.replace(part, open_time_ms=start_ms)
    whole.add_candle(part)
    return whole


def _added_up(minutes: Iterable[Candle], interval: str) -> list[Candle]:
    rows: list[Candle] = []
    for minute in minutes:
        start = open_time_of(interval, minute.open_time_ms)
        if rows and rows[-1].open_time_ms == start:
            rows[-1].add_candle(minute)
        else:
            rows.append(_joined(None, minute, start))
    return rows

"""Owns the replay of a recording as a market: klines, trades and what is recorded of the book become steps.

It must never open a file (it is given a way to read the rows again) and never add data: where the recording has a
gap the market is silent. All rows of one time are one step: its trades, then the quote and the book after them. A kline
becomes a fixed path inside its minute, open-low-high-close if it closed at or above
its open, open-high-low-close if below, so that the candle built from the steps equals the recorded one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import groupby, pairwise
from typing import Any

import msgspec

from trio_grid.domain.events import Side
from trio_grid.domain.instrument import Instrument
from trio_grid.errors import ConfigError
from trio_grid.exchange.paper.market.book_rows import BandsRow, DepthRow, QuoteRow
from trio_grid.exchange.paper.market.interface import MarketStep, TapeRow
from trio_grid.exchange.paper.market.recorded_book import RecordedBook
from trio_grid.exchange.paper.market.rows import KlineRow, TradeRow

MINUTE_MS = 60_000
POINT_MS = 5_000
"""A kline's path has a point every five seconds: coarse enough for fast replays, fine enough to answer a fill."""
_FORMAT = "replay-1"

TimedRow = TradeRow | QuoteRow | BandsRow | DepthRow
OpenRows = Callable[[], Iterator[KlineRow | TimedRow]]


class Moment(msgspec.Struct, frozen=True):
    """Everything that a recording holds of one time."""

    time_ms: int
    rows: tuple[TimedRow, ...]


def kline_path(row: KlineRow, interval_ms: int = MINUTE_MS) -> list[tuple[int, TapeRow]]:
    """Return the (offset in ms, trade) points of a kline: its four prices, straight lines between them.

    The quantities sum up to the kline's volume. With too little volume for every point the points between are left
    out; with none at all the list is empty.
    """
    if row.volume_lots == 0:
        return []
    rising = row.close_ticks >= row.open_ticks
    middle = (row.low_ticks, row.high_ticks) if rising else (row.high_ticks, row.low_ticks)
    corners = (row.open_ticks, *middle, row.close_ticks)
    per_leg = max(1, interval_ms // (3 * POINT_MS))
    points = [corners[0]]
    for begin, end in pairwise(corners):
        points += [begin + (end - begin) * part // per_leg for part in range(1, per_leg + 1)]
    times = [interval_ms * index // (3 * per_leg) for index in range(len(points))]
    times[-1] = interval_ms - 1
    chosen = list(range(len(points)))
    if row.volume_lots < len(points):
        chosen = _needed_corners(corners, per_leg)
    share, extra = divmod(row.volume_lots, len(chosen))
    path: list[tuple[int, TapeRow]] = []
    last_price, buys = points[0], rising
    for count, index in enumerate(chosen):
        price = points[index]
        buys = price > last_price if price != last_price else not buys
        last_price = price
        lots = max(1, share + (1 if count < extra else 0))
        path.append((times[index], TapeRow(price, lots, not buys)))
    return path


def _needed_corners(corners: tuple[int, ...], per_leg: int) -> list[int]:
    """Return the places of the corners that differ from the corner before."""
    return [0] + [place * per_leg for place in range(1, 4) if corners[place] != corners[place - 1]]


class ReplayMarket:
    """The market of one recording. `begin_ms` is where trading begins; what lies before it is history.

    Without `begin_ms` the first `history_minutes` of the recording are history, or its first half if that is less.
    `open_rows` reads the tape, `open_book_rows` each further file of quotes or depth, all in the order of time.
    """

    follows_wall_clock = False

    def __init__(
        self,
        instrument: Instrument,
        open_rows: OpenRows,
        *,
        name: str,
        begin_ms: int | None = None,
        history_minutes: int = 150,
        interval_ms: int = MINUTE_MS,
        seed: int = 1,
        open_book_rows: Sequence[OpenRows] = (),
    ) -> None:
        self.symbol = instrument.symbol
        self._open_rows = open_rows
        self._open_book_rows = tuple(open_book_rows)
        self._from_ms = 0 if begin_ms is None else begin_ms - history_minutes * MINUTE_MS
        self._name = name
        self._interval_ms = interval_ms
        self._instrument, self._seed = instrument, seed
        self._is_klines = isinstance(next(open_rows(), None), KlineRow)
        self.fills_quiet_minutes = not self._is_klines
        self._book = RecordedBook(instrument, seed)
        self._moments: Iterator[Moment] = iter(())
        self._next: Moment | None = None
        self._count = 0
        self._rewind(0)
        self.start_ms: int = self._beginning(begin_ms, history_minutes)

    def _beginning(self, begin_ms: int | None, history_minutes: int) -> int:
        """Return when trading begins; the recording must have something before it and something after it.

        Where less is recorded than the history asked for, the first half is history.
        """
        first = self.next_time_ms()
        if first is None:
            raise ConfigError([f"{self._name}: there is no row of data in it"])
        wanted = first + history_minutes * MINUTE_MS if begin_ms is None else begin_ms
        if wanted < first:
            raise ConfigError([f"{self._name}: there is no data at or before the wanted beginning {begin_ms}"])
        last = first
        for moment in self._all_moments():
            last = moment.time_ms
            if last >= wanted:
                return wanted
        if begin_ms is not None:
            raise ConfigError([f"{self._name}: the recording ends at {last}, before the wanted beginning {begin_ms}"])
        return first + (last - first) // 2

    def _rewind(self, count: int) -> None:
        """Start reading again and go over `count` steps."""
        self._moments = self._all_moments()
        self._book = RecordedBook(self._instrument, self._seed)
        self._count = 0
        self._next = next(self._moments, None)
        while self._count < count and self._next is not None:
            self.step()

    def _all_moments(self) -> Iterator[Moment]:
        """Yield the recording from its beginning; it shows nothing before the first price is known."""
        sources = [self._tape_rows(), *(self._rows_from(opened()) for opened in self._open_book_rows)]
        rows = merge(*sources, key=_time_of) if len(sources) > 1 else sources[0]
        waiting: list[TimedRow] | None = []
        for time_ms, group in groupby(rows, key=_time_of):
            found = list(group)
            if waiting is not None:
                found = waiting = waiting + found
                if all(isinstance(row, BandsRow | DepthRow) for row in found):
                    continue
                waiting = None
            yield Moment(time_ms, tuple(found))

    def _tape_rows(self) -> Iterator[TimedRow]:
        for row in self._open_rows():
            if not isinstance(row, KlineRow):
                yield from self._rows_from(iter((row,)))
            elif row.open_time_ms >= self._from_ms:
                yield from self._kline_rows(row)

    def _rows_from(self, rows: Iterator[KlineRow | TimedRow]) -> Iterator[TimedRow]:
        """Leave out what lies before the history; a book must be known from its snapshot on."""
        for row in rows:
            if not isinstance(row, KlineRow) and (row.time_ms >= self._from_ms or isinstance(row, BandsRow | DepthRow)):
                yield row

    def _kline_rows(self, row: KlineRow) -> Iterator[TimedRow]:
        path = kline_path(row, self._interval_ms)
        if not path:
            yield QuoteRow(row.open_time_ms, row.open_ticks, row.open_ticks + 1)
        for offset, trade in path:
            time_ms, price = row.open_time_ms + offset, trade.price_ticks
            yield TradeRow(time_ms, price, trade.quantity_lots, trade.buyer_is_maker)
            bid = price if trade.buyer_is_maker else max(1, price - 1)
            yield QuoteRow(time_ms, bid, bid + 1)

    def next_time_ms(self) -> int | None:
        """Return the time of the next step, None at the recording's end."""
        return None if self._next is None else self._next.time_ms

    def step(self) -> MarketStep:
        """Go to the next step."""
        moment = self._next
        if moment is None:
            raise RuntimeError(f"{self._name} has ended")
        self._next = next(self._moments, None)
        self._count += 1
        for row in moment.rows:
            self._book.take(row)
        tape = tuple(
            TapeRow(row.price_ticks, row.quantity_lots, row.buyer_is_maker)
            for row in moment.rows
            if isinstance(row, TradeRow) and row.quantity_lots
        )
        quote = self._book.quote(moment.time_ms)
        return MarketStep(moment.time_ms, tape, quote.bid_ticks, quote.ask_ticks, quote.bid_lots, quote.ask_lots)

    def skip_towards(self, now_ms: int) -> None:
        """A recording is never shortened."""

    def level_lots(self, side: Side, price_ticks: int) -> int:
        """Return strangers' quantity at a price of a side: the recorded one where it is known, else a shape."""
        return self._book.level_lots(side, price_ticks)

    def next_price(self, side: Side, price_ticks: int) -> int | None:
        """Return the nearest price at or behind one where the book may have a level."""
        return self._book.next_price(side, price_ticks)

    def state(self) -> dict[str, Any]:
        """Return the place in the recording."""
        return {
            "format": _FORMAT,
            "symbol": self.symbol,
            "name": self._name,
            "start_ms": self.start_ms,
            "from_ms": self._from_ms,
            "steps": self._count,
            "next_ms": self.next_time_ms(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a place that `state` gave.

        Raises:
            ValueError: the document is of another recording, or the recording has changed.
        """
        if state.get("format") != _FORMAT or state.get("symbol") != self.symbol or state.get("name") != self._name:
            raise ValueError(f"the saved market is not the recording {self._name}")
        count, self._from_ms = int(state["steps"]), int(state["from_ms"])
        self._rewind(count)
        if self._count != count or self.next_time_ms() != state["next_ms"]:
            raise ValueError(f"the recording {self._name} has changed since the place in it was saved")
        self.start_ms = int(state["start_ms"])


def _time_of(row: TimedRow) -> int:
    return row.time_ms

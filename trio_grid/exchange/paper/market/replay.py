"""Owns the replay of a recording as a market: klines or trades become steps at their own times.

It must never open a file (it is given a way to read the rows again) and never add data: where the recording has a
gap the market is silent. A kline becomes a fixed path inside its minute, open-low-high-close if it closed at or above
its open, open-high-low-close if below, so that the candle built from the steps equals the recorded one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby, islice, pairwise
from typing import Any

from trio_grid.domain.events import Side
from trio_grid.domain.instrument import Instrument
from trio_grid.errors import ConfigError
from trio_grid.exchange.paper.market.book_shape import level_lots
from trio_grid.exchange.paper.market.interface import MarketStep, TapeRow
from trio_grid.exchange.paper.market.rows import KlineRow, TradeRow

MINUTE_MS = 60_000
POINT_MS = 5_000
"""A kline's path has a point every five seconds: coarse enough for fast replays, fine enough to answer a fill."""
LEVEL_QUOTE_UNITS = 3_000 * 100_000_000
_FORMAT = "replay-1"

OpenRows = Callable[[], Iterator[KlineRow | TradeRow]]


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
    ) -> None:
        self.symbol = instrument.symbol
        self._open_rows = open_rows
        self._from_ms = 0 if begin_ms is None else begin_ms - history_minutes * MINUTE_MS
        self._name = name
        self._seed = seed
        self._interval_ms = interval_ms
        self._unit = instrument.tick_lot_units
        self._now = MarketStep(0, (), 0, 0, 0, 0)
        self._steps: Iterator[MarketStep] = iter(())
        self._next: MarketStep | None = None
        self._count = 0
        self._is_klines = isinstance(next(open_rows(), None), KlineRow)
        self._rewind(0)
        self.start_ms: int = self._beginning(begin_ms, history_minutes)
        self.fills_quiet_minutes = not self._is_klines

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
        for step in self._all_steps():
            last = step.time_ms
            if last >= wanted:
                return wanted
        if begin_ms is not None:
            raise ConfigError([f"{self._name}: the recording ends at {last}, before the wanted beginning {begin_ms}"])
        return first + (last - first) // 2

    def _rewind(self, count: int) -> None:
        """Start reading again and go over `count` steps."""
        self._steps = islice(self._all_steps(), count, None)
        self._next = next(self._steps, None)
        self._count = count

    def _all_steps(self) -> Iterator[MarketStep]:
        if self._is_klines:
            for row in self._open_rows():
                if isinstance(row, KlineRow) and row.open_time_ms >= self._from_ms:
                    yield from self._kline_steps(row)
        else:
            rows = (row for row in self._open_rows() if isinstance(row, TradeRow))
            yield from self._trade_steps(row for row in rows if row.time_ms >= self._from_ms)

    def _kline_steps(self, row: KlineRow) -> Iterator[MarketStep]:
        path = kline_path(row, self._interval_ms)
        if not path:
            yield self._step(row.open_time_ms, (), row.open_ticks, row.open_ticks + 1)
        for offset, trade in path:
            price = trade.price_ticks
            bid = price if trade.buyer_is_maker else max(1, price - 1)
            yield self._step(row.open_time_ms + offset, (trade,), bid, bid + 1)

    def _trade_steps(self, rows: Iterator[TradeRow]) -> Iterator[MarketStep]:
        bid = ask = 0
        for time_ms, group in groupby(rows, key=lambda row: row.time_ms):
            tape = []
            for row in group:
                if row.quantity_lots:
                    tape.append(TapeRow(row.price_ticks, row.quantity_lots, row.buyer_is_maker))
                if row.buyer_is_maker:
                    bid = row.price_ticks
                    ask = bid + 1 if not bid < ask <= bid + 3 else ask
                else:
                    ask = max(2, row.price_ticks)
                    bid = ask - 1 if not ask - 3 <= bid < ask else bid
            yield self._step(time_ms, tuple(tape), bid, ask)

    def _step(self, time_ms: int, trades: tuple[TapeRow, ...], bid: int, ask: int) -> MarketStep:
        top = self._level(bid)
        bid_lots = level_lots(self._seed ^ time_ms, Side.BUY, bid, 0, top)
        ask_lots = level_lots(self._seed ^ time_ms, Side.SELL, ask, 0, top)
        return MarketStep(time_ms, trades, bid, ask, bid_lots, ask_lots)

    def _level(self, price_ticks: int) -> int:
        return max(1, LEVEL_QUOTE_UNITS // (price_ticks * self._unit))

    def next_time_ms(self) -> int | None:
        """Return the time of the next step, None at the recording's end."""
        return None if self._next is None else self._next.time_ms

    def step(self) -> MarketStep:
        """Go to the next step."""
        step = self._next
        if step is None:
            raise RuntimeError(f"{self._name} has ended")
        self._now = step
        self._next = next(self._steps, None)
        self._count += 1
        return step

    def skip_towards(self, now_ms: int) -> None:
        """A recording is never shortened."""

    def level_lots(self, side: Side, price_ticks: int) -> int:
        """Return strangers' quantity at a price of a side, shaped behind the best price."""
        now = self._now
        distance = now.bid_ticks - price_ticks if side is Side.BUY else price_ticks - now.ask_ticks
        if distance < 0:
            return 0
        if distance == 0:
            return now.bid_lots if side is Side.BUY else now.ask_lots
        return level_lots(self._seed, side, price_ticks, distance, self._level(price_ticks))

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
        self._rewind(max(0, count - 1))
        if count and self._next is not None:
            self.step()
        if self.next_time_ms() != state["next_ms"]:
            raise ValueError(f"the recording {self._name} has changed since the place in it was saved")
        self.start_ms = int(state["start_ms"])

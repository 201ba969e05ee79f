"""Owns what is public of one symbol: its market, book, candles, tape and counters, and the public events of them.

It must never touch an account's money: it says who trades, `settlement` books it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine import wire_market as wire
from trio_grid.exchange.paper.engine.candles import Candle, Candles
from trio_grid.exchange.paper.engine.fill_models import FillModel
from trio_grid.exchange.paper.engine.margin import Marks
from trio_grid.exchange.paper.engine.mark_candles import MarkCandles
from trio_grid.exchange.paper.engine.matching_engine import Book
from trio_grid.exchange.paper.engine.records import PaperOrder
from trio_grid.exchange.paper.engine.symbols import PaperSymbol
from trio_grid.exchange.paper.market.interface import Market, MarketStep, SparseBook, TapeRow, Ticker

RECENT_TRADES = 1_000
FIRST_ORDER_ID = 1_000_001


class MarketEvent:
    """One public event: kind is bookTicker, aggTrade, trade, kline (1m), markPrice or forceOrder.

    The payload is the raw stream message; it is written out when it is first asked for, since most events of a fast
    replay have no listener.
    """

    __slots__ = ("_build", "_payload", "kind", "symbol", "time_ms")

    def __init__(self, kind: str, symbol: str, time_ms: int, build: Callable[[], dict[str, Any]]) -> None:
        self.kind = kind
        self.symbol = symbol
        self.time_ms = time_ms
        self._build = build
        self._payload: dict[str, Any] | None = None

    @property
    def payload(self) -> dict[str, Any]:
        """The stream message, JSON-ready."""
        if self._payload is None:
            self._payload = self._build()
        return self._payload

    def __repr__(self) -> str:
        return f"<MarketEvent {self.kind} {self.symbol} {self.time_ms}>"


class KlineEvent(MarketEvent):
    """A 1-minute kline as it was at the event; `closed` says that it was its end."""

    __slots__ = ("candle", "closed")

    def __init__(self, symbol: PaperSymbol, candle: Candle, time_ms: int, *, closed: bool) -> None:
        super().__init__(
            "kline", symbol.name, time_ms, lambda: wire.kline_event(symbol, "1m", candle, time_ms, closed=closed)
        )
        self.candle = candle
        self.closed = closed


class PublicTrade(msgspec.Struct, frozen=True, array_like=True):
    """One aggregate trade of the public tape: `first_id`..`last_id` are its trade ids."""

    agg_id: int
    first_id: int
    last_id: int
    row: TapeRow
    time_ms: int


class Desk:
    """One symbol's public side."""

    def __init__(self, symbol: PaperSymbol, market: Market, model: FillModel) -> None:
        self.symbol = symbol
        self.market = market
        self.model = model
        next_price = market.next_price if isinstance(market, SparseBook) else None
        self.book: Book[PaperOrder] = Book(self._level_lots, model, next_price)
        self.candles = Candles(fills_quiet_minutes=market.fills_quiet_minutes)
        self.mark_candles = MarkCandles()
        self.tape: deque[PublicTrade] = deque(maxlen=RECENT_TRADES)
        self.last_ticks = 0
        self.quote_lots = (0, 0)
        self.update_id = 1
        self.next_order_id = FIRST_ORDER_ID
        self.next_trade_id = 1
        self.next_sequence = 1
        self.next_agg_id = 1
        self.book_time_ms = 0
        self.marked_second = -1
        self.candle_told_ms = 0
        self.told_best = (0, 0, 0, 0)
        self.prints: list[int] = []
        """Prices of the trades since whoever follows prices looked last; who follows them empties the list."""

    @property
    def name(self) -> str:
        """The symbol's name."""
        return self.symbol.name

    @property
    def has_quote(self) -> bool:
        """False until the market's first step."""
        return self.book.ask_ticks > 0

    @property
    def mark_half_ticks(self) -> int:
        """Mark price in half ticks: the strangers' best bid + best ask."""
        return self.book.bid_ticks + self.book.ask_ticks

    @property
    def marks(self) -> Marks:
        """The symbol with its mark price."""
        return Marks(self.symbol, self.mark_half_ticks)

    def _level_lots(self, side: Side, price_ticks: int) -> int:
        return self.market.level_lots(side, price_ticks)

    def take_order_id(self) -> int:
        """Return the next order id; it grows by order."""
        self.next_order_id += 1
        return self.next_order_id - 1

    def take_sequence(self) -> int:
        """Return the next time priority: later ones stand behind earlier ones at one price."""
        self.next_sequence += 1
        return self.next_sequence - 1

    def take_trade_id(self) -> int:
        """Return the next trade id."""
        self.next_trade_id += 1
        return self.next_trade_id - 1

    def print_row(self, row: TapeRow, time_ms: int, events: list[Any] | None) -> None:
        """Put a trade on the public tape and into the candle; publish it if `events` is given."""
        trade_id, agg_id = self.take_trade_id(), self.next_agg_id
        self.next_agg_id += 1
        self.last_ticks = row.price_ticks
        self.tape.append(PublicTrade(agg_id, trade_id, trade_id, row, time_ms))
        self.candles.add(row, time_ms, trade_id, trade_id)
        if events is not None:
            symbol = self.symbol
            self.prints.append(row.price_ticks)
            events.append(
                MarketEvent(
                    "aggTrade",
                    self.name,
                    time_ms,
                    lambda: wire.agg_trade_event(symbol, row, agg_id, trade_id, trade_id, time_ms),
                )
            )
            events.append(
                MarketEvent("trade", self.name, time_ms, lambda: wire.trade_event(symbol, row, trade_id, time_ms))
            )

    def take_quote(self, step: MarketStep) -> None:
        """Take a step's quote."""
        self.quote_lots = (step.bid_lots, step.ask_lots)
        self.book.set_quote(step.bid_ticks, step.ask_ticks)
        self.mark_candles.add(step.time_ms, self.mark_half_ticks)

    def ticker(self) -> Ticker:
        """Return the best prices and quantities as they are now."""
        rows = []
        for side in (Side.BUY, Side.SELL):
            price = self.book.best(side)
            lots = self.book.strangers_lots(side, price)
            for order in self.book.orders(side):
                if order.price_ticks != price:
                    break
                lots += order.remaining_lots
            rows.append((price, lots))
        (bid, bid_lots), (ask, ask_lots) = rows
        return Ticker(self.update_id, bid, bid_lots, ask, ask_lots, self.book_time_ms)

    def publish_book(self, time_ms: int, events: list[Any], *, always: bool = True) -> None:
        """Give the book a new version and publish its ticker; without `always` only if best prices or lots changed."""
        self.update_id += 1
        self.book_time_ms = time_ms
        ticker, symbol = self.ticker(), self.symbol
        best = (ticker.bid_ticks, ticker.bid_lots, ticker.ask_ticks, ticker.ask_lots)
        if best == self.told_best and not always:
            return
        self.told_best = best
        events.append(MarketEvent("bookTicker", self.name, time_ms, lambda: wire.book_ticker_event(symbol, ticker)))

    def publish_candle(self, time_ms: int, events: list[Any], candle: Candle, *, closed: bool) -> None:
        """Publish a kline update or, closed, a kline's end."""
        copy = msgspec.structs.replace(candle)
        events.append(KlineEvent(self.symbol, copy, time_ms, closed=closed))

    def publish_mark(self, time_ms: int, next_funding_ms: int, events: list[Any]) -> None:
        """Publish the mark price, at most once in a second of the exchange's time."""
        if time_ms // 1000 == self.marked_second:
            return
        self.marked_second = time_ms // 1000
        symbol, half = self.symbol, self.mark_half_ticks
        events.append(
            MarketEvent(
                "markPrice", self.name, time_ms, lambda: wire.mark_price_event(symbol, half, time_ms, next_funding_ms)
            )
        )

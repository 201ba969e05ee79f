"""Owns what is public of one spot symbol: its book, candles, tape and counters, and the public events of them.

It must never touch a wallet. Its strangers are those of the market whose perpetual has the same name: their quote and
tape come step by step in the market's units and are turned into spot's here.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.candles import Candle, Candles
from trio_grid.exchange.paper.engine.desk import FIRST_ORDER_ID, RECENT_TRADES, Desk, MarketEvent, PublicTrade
from trio_grid.exchange.paper.engine.matching_engine import Book
from trio_grid.exchange.paper.market.interface import MarketStep, SparseBook, TapeRow, Ticker
from trio_grid.exchange.paper.spot import wire_market as wire
from trio_grid.exchange.paper.spot.records import SpotOrder
from trio_grid.exchange.paper.spot.second_candles import SecondCandles
from trio_grid.exchange.paper.spot.symbols import AVERAGE_MINUTES, SpotSymbol

MINUTE_MS = 60_000


class SpotMarketEvent(MarketEvent):
    """One public event of a spot symbol: kind is bookTicker, aggTrade, trade or kline (1m)."""

    __slots__ = ()


class SpotKlineEvent(SpotMarketEvent):
    """A 1-minute kline as it was at the event; `closed` says that it was its end."""

    __slots__ = ("candle", "closed")

    def __init__(self, symbol: SpotSymbol, candle: Candle, time_ms: int, *, closed: bool) -> None:
        super().__init__(
            "kline", symbol.name, time_ms, lambda: wire.kline_event(symbol, "1m", candle, time_ms, closed=closed)
        )
        self.candle = candle
        self.closed = closed


class SpotDesk:
    """One spot symbol's public side, from the present of its market on."""

    def __init__(self, symbol: SpotSymbol, market: Desk, events: list[Any]) -> None:
        self.symbol = symbol
        self._market = market
        self._events = events
        self._sparse = market.market if isinstance(market.market, SparseBook) else None
        next_price = None if self._sparse is None else self._next_price
        self.book: Book[SpotOrder] = Book(self._level_lots, market.model, next_price)
        self.candles = Candles(fills_quiet_minutes=market.market.fills_quiet_minutes)
        self.seconds = SecondCandles()
        self.tape: deque[PublicTrade] = deque(maxlen=RECENT_TRADES)
        self.stops: dict[int, SpotOrder] = {}
        # The market's levels since its last step, in spot's lots: many spot ticks ask for the same one.
        self._levels: dict[tuple[Side, int], int] = {}
        self.last_ticks = 0
        self.quote_lots = (0, 0)
        self.update_id = 1
        self.next_order_id = FIRST_ORDER_ID
        self.next_trade_id = 1
        self.next_agg_id = 1
        self.next_execution_id = 1
        self.next_sequence = 1
        self.next_match_id = 1
        self.book_time_ms = 0
        self.candle_told_ms = 0
        self.told_best = (0, 0, 0, 0)

    def take_over(self) -> None:
        """Begin with the market's past and present, in spot's units."""
        market, tick = self._market, self.symbol.tick_factor
        self.candles.closed.extend(self._converted(candle) for candle in market.candles.closed)
        if market.candles.current is not None:
            self.candles.current = self._converted(market.candles.current)
        for trade in market.tape:
            row = self._row(trade.row)
            self.tape.append(msgspec.structs.replace(trade, row=row))
            self.seconds.add(row, trade.time_ms, trade.first_id, trade.last_id)
        self.next_trade_id, self.next_agg_id = market.next_trade_id, market.next_agg_id
        self.last_ticks = market.last_ticks * tick
        self.update_id, self.book_time_ms = market.update_id, market.book_time_ms
        self._take_quote(market.book.bid_ticks, market.book.ask_ticks, *market.quote_lots)

    def _converted(self, candle: Candle) -> Candle:
        tick, lot = self.symbol.tick_factor, self.symbol.lot_factor
        return msgspec.structs.replace(
            candle,
            open_ticks=candle.open_ticks * tick,
            high_ticks=candle.high_ticks * tick,
            low_ticks=candle.low_ticks * tick,
            close_ticks=candle.close_ticks * tick,
            volume_lots=candle.volume_lots * lot,
            quote=candle.quote * tick * lot,
            taker_lots=candle.taker_lots * lot,
            taker_quote=candle.taker_quote * tick * lot,
        )

    def _row(self, row: TapeRow) -> TapeRow:
        symbol = self.symbol
        return TapeRow(row.price_ticks * symbol.tick_factor, row.quantity_lots * symbol.lot_factor, row.buyer_is_maker)

    def rows_of(self, step: MarketStep) -> list[TapeRow]:
        """Return the trades of a step that the market has just made, in spot's units."""
        self._levels.clear()
        return [self._row(row) for row in step.trades]

    @property
    def name(self) -> str:
        """The symbol's name."""
        return self.symbol.name

    @property
    def has_quote(self) -> bool:
        """False until the market's first step."""
        return self.book.ask_ticks > 0

    @property
    def market_goes_on(self) -> bool:
        """False once a replay has no more rows."""
        return self._market.market.next_time_ms() is not None

    def _level_of(self, side: Side, price_ticks: int) -> int:
        """Return the level of the market's book to which a spot tick belongs: the next one behind it."""
        factor = self.symbol.tick_factor
        return price_ticks // factor if side is Side.BUY else -(-price_ticks // factor)

    def _next_price(self, side: Side, price_ticks: int) -> int | None:
        """Return the nearest spot tick at or behind one where a recorded book may offer something."""
        level = self._level_of(side, price_ticks)
        found = None if self._sparse is None else self._sparse.next_price(side, level)
        if found is None or found == level:
            return None if found is None else price_ticks
        return found * self.symbol.tick_factor + (self.symbol.tick_factor - 1) * side.sign

    def _level_lots(self, side: Side, price_ticks: int) -> int:
        """Return strangers' quantity at a price: a level of the market's own book is spread over its spot ticks.

        The best price keeps its whole quantity, since there is no spot tick of the same level before it.
        """
        factor, level = self.symbol.tick_factor, self._level_of(side, price_ticks)
        lots = self._levels.get((side, level), -1)
        if lots < 0:
            lots = self._market.market.level_lots(side, level) * self.symbol.lot_factor
            self._levels[side, level] = lots
        best = self.book.bid_ticks if side is Side.BUY else self.book.ask_ticks
        return lots if lots == 0 or price_ticks == best else max(1, lots // factor)

    # counters --------------------------------------------------------------------------------------------------------

    def take_order_id(self) -> int:
        """Return the next order id."""
        self.next_order_id += 1
        return self.next_order_id - 1

    def take_sequence(self) -> int:
        """Return the next time priority."""
        self.next_sequence += 1
        return self.next_sequence - 1

    def take_trade_id(self) -> int:
        """Return the next trade id."""
        self.next_trade_id += 1
        return self.next_trade_id - 1

    def take_execution_id(self) -> int:
        """Return the next execution id: every report of an order has one."""
        self.next_execution_id += 1
        return self.next_execution_id - 1

    def take_match_id(self) -> int:
        """Return the next id of a prevented match."""
        self.next_match_id += 1
        return self.next_match_id - 1

    # the market ------------------------------------------------------------------------------------------------------

    def take_step_quote(self, step: MarketStep) -> None:
        """Take a step's quote."""
        self._take_quote(step.bid_ticks, step.ask_ticks, step.bid_lots, step.ask_lots)

    def _take_quote(self, bid_ticks: int, ask_ticks: int, bid_lots: int, ask_lots: int) -> None:
        tick, lot = self.symbol.tick_factor, self.symbol.lot_factor
        self.quote_lots = (bid_lots * lot, ask_lots * lot)
        self.book.set_quote(bid_ticks * tick, ask_ticks * tick)

    def print_row(self, row: TapeRow, time_ms: int) -> None:
        """Put a trade on the public tape and into the candles, and publish it."""
        trade_id, agg_id = self.take_trade_id(), self.next_agg_id
        self.next_agg_id += 1
        self.last_ticks = row.price_ticks
        self.tape.append(PublicTrade(agg_id, trade_id, trade_id, row, time_ms))
        self.candles.add(row, time_ms, trade_id, trade_id)
        self.seconds.add(row, time_ms, trade_id, trade_id)
        symbol = self.symbol
        self._publish("aggTrade", time_ms, lambda: wire.agg_trade_event(symbol, row, agg_id, trade_id, time_ms))
        self._publish("trade", time_ms, lambda: wire.trade_event(symbol, row, trade_id, time_ms))

    def _publish(self, kind: str, time_ms: int, build: Any) -> None:
        self._events.append(SpotMarketEvent(kind, self.name, time_ms, build))

    def close_candles(self, until_ms: int) -> None:
        """Close every minute whose end has come, with its event."""
        while (close_ms := self.candles.next_close_ms()) is not None and close_ms <= until_ms:
            self._publish_candle(close_ms, self.candles.close(), closed=True)

    def next_close_ms(self) -> int | None:
        """Return when a minute closes by itself next; None where a flat one of an ended market would go on for ever."""
        closes = self.market_goes_on or self.candles.has_trades
        return self.candles.next_close_ms() if closes else None

    def tell_candle(self, time_ms: int, every_ms: int) -> None:
        """Publish the open kline, not more often than asked."""
        candle = self.candles.current
        if candle is not None and time_ms - self.candle_told_ms >= every_ms:
            self.candle_told_ms = time_ms
            self._publish_candle(time_ms, candle, closed=False)

    def _publish_candle(self, time_ms: int, candle: Candle, *, closed: bool) -> None:
        self._events.append(SpotKlineEvent(self.symbol, msgspec.structs.replace(candle), time_ms, closed=closed))

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

    def publish_book(self, time_ms: int) -> None:
        """Give the book a new version; publish its ticker if the best prices or quantities changed."""
        self.update_id += 1
        self.book_time_ms = time_ms
        ticker, symbol = self.ticker(), self.symbol
        best = (ticker.bid_ticks, ticker.bid_lots, ticker.ask_ticks, ticker.ask_lots)
        if best == self.told_best:
            return
        self.told_best = best
        self._publish("bookTicker", time_ms, lambda: wire.book_ticker_event(symbol, ticker))

    def average(self, now_ms: int) -> tuple[int, int]:
        """Return (ticks x lots, lots) of the last minutes' trades: their quotient is the average price.

        Without a trade in them it is the last price, without any trade the middle of the quote.
        """
        cost, lots = self.seconds.totals(now_ms - AVERAGE_MINUTES * MINUTE_MS)
        if lots:
            return cost, lots
        return (self.last_ticks, 1) if self.last_ticks else (self.book.bid_ticks + self.book.ask_ticks, 2)

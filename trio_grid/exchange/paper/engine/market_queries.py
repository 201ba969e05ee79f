"""Owns the public answers: exchangeInfo, klines, depth, tickers, trades, mark price, in Binance's bodies.

It must never change anything but time, and never invent what the market did not give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.account_queries import AccountQueries
from trio_grid.exchange.paper.engine.candles import INTERVALS, MINUTE_MS, Candle, close_time_of
from trio_grid.exchange.paper.engine.desk import Desk, KlineEvent, MarketEvent, PublicTrade
from trio_grid.exchange.paper.engine.order_rules import limit_of, text_of, whole_of
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.engine.symbols import FUNDING_INTERVAL_MS, exchange_info_row
from trio_grid.exchange.paper.engine.wire import average_text, mark_text, price_text, quantity_text, quote_text
from trio_grid.exchange.paper.engine.wire_market import kline_event, kline_row, rate_text

Params = Mapping[str, str]
Body = dict[str, Any]

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
_DAY_MINUTES = 1_440


class MarketQueries(AccountQueries):
    """Public questions."""

    def exchange_info(self, rate_limits: Sequence[Mapping[str, Any]], now_ms: int) -> Body:
        """Return exchangeInfo; the rate limits are the server's and are put in as they are."""
        self.advance(now_ms)
        return {
            "timezone": "UTC",
            "serverTime": self.now_ms,
            "futuresType": "U_MARGINED",
            "rateLimits": [dict(row) for row in rate_limits],
            "exchangeFilters": [],
            "assets": [{"asset": self.margin_asset, "marginAvailable": True, "autoAssetExchange": "0"}],
            "symbols": [exchange_info_row(desk.symbol) for desk in self.desks.values()],
        }

    def klines(self, params: Params, now_ms: int) -> list[list[Any]]:
        """Return kline rows, ascending; the last one may be open."""
        self.advance(now_ms)
        desk, interval = self.desk_of(params.get("symbol")), text_of(params, "interval")
        if interval not in INTERVALS:
            raise Refusal.BAD_INTERVAL.refuse()
        candles = desk.candles.select(
            interval,
            start_ms=whole_of(params, "startTime"),
            end_ms=whole_of(params, "endTime"),
            limit=limit_of(params, 500, 1500),
        )
        return [kline_row(desk.symbol, interval, candle) for candle in candles]

    def kline_payload(self, event: MarketEvent, interval: str) -> Body:
        """Return what an interval's kline stream says at a 1-minute kline event, whenever it is asked.

        A longer kline is closed by the end of its last minute.

        Raises:
            PaperRefusal: there is no such interval (-1120).
            TypeError: the event is not of a kline.
        """
        if not isinstance(event, KlineEvent):
            raise TypeError(f"{event!r} is not a kline")
        if interval not in INTERVALS:
            raise Refusal.BAD_INTERVAL.refuse()
        desk = self.desks[event.symbol]
        candle = desk.candles.up_to(interval, event.candle)
        minute_end = event.candle.open_time_ms + MINUTE_MS - 1
        closed = event.closed and close_time_of(interval, candle.open_time_ms) == minute_end
        return kline_event(desk.symbol, interval, candle, event.time_ms, closed=closed)

    def depth(self, params: Params, now_ms: int) -> Body:
        """Return the order book; the limit must be one of Binance's."""
        self.advance(now_ms)
        desk = self.desk_of(params.get("symbol"))
        limit = whole_of(params, "limit", 500)
        if limit is None or limit not in DEPTH_LIMITS:
            raise Refusal.DEPTH_LIMIT.refuse(params.get("limit"))
        sides = {"bids": Side.BUY, "asks": Side.SELL}
        body: Body = {"lastUpdateId": desk.update_id, "E": self.now_ms, "T": desk.book_time_ms}
        for name, side in sides.items():
            levels = desk.book.depth(side, limit) if desk.has_quote else []
            body[name] = [[price_text(desk.symbol, p), quantity_text(desk.symbol, q)] for p, q in levels]
        return body

    def book_ticker(self, params: Params, now_ms: int) -> Body | list[Body]:
        """Return best bid and ask of a symbol, or of all."""
        self.advance(now_ms)
        return self._one_or_all(params, self._book_ticker)

    def _book_ticker(self, desk: Desk) -> Body:
        ticker = desk.ticker()
        return {
            "symbol": desk.name,
            "bidPrice": price_text(desk.symbol, ticker.bid_ticks),
            "bidQty": quantity_text(desk.symbol, ticker.bid_lots),
            "askPrice": price_text(desk.symbol, ticker.ask_ticks),
            "askQty": quantity_text(desk.symbol, ticker.ask_lots),
            "time": ticker.time_ms,
            "lastUpdateId": ticker.update_id,
        }

    def ticker_price(self, params: Params, now_ms: int) -> Body | list[Body]:
        """Return the last price of a symbol, or of all."""
        self.advance(now_ms)
        return self._one_or_all(
            params,
            lambda desk: {
                "symbol": desk.name,
                "price": price_text(desk.symbol, desk.last_ticks),
                "time": desk.tape[-1].time_ms if desk.tape else self.now_ms,
            },
        )

    def premium_index(self, params: Params, now_ms: int) -> Body | list[Body]:
        """Return mark price and funding of a symbol, or of all."""
        self.advance(now_ms)
        return self._one_or_all(params, self._premium_index)

    def _premium_index(self, desk: Desk) -> Body:
        mark = mark_text(desk.symbol, desk.mark_half_ticks)
        return {
            "symbol": desk.name,
            "markPrice": mark,
            "indexPrice": mark,
            "estimatedSettlePrice": mark,
            "lastFundingRate": rate_text(desk.symbol.funding_rate),
            "interestRate": "0.00010000",
            "nextFundingTime": self.next_funding_ms,
            "time": self.now_ms,
        }

    def _one_or_all(self, params: Params, render: Any) -> Body | list[Body]:
        if params.get("symbol"):
            desk = self.desk_of(params["symbol"])
            if not desk.has_quote:
                raise Refusal.BAD_SYMBOL.refuse()
            found: Body = render(desk)
            return found
        return [render(desk) for desk in self.desks.values() if desk.has_quote]

    def recent_trades(self, params: Params, now_ms: int) -> list[Body]:
        """Return the newest public trades, ascending."""
        self.advance(now_ms)
        desk = self.desk_of(params.get("symbol"))
        limit = limit_of(params, 500, 1000)
        return [self.trade_row(desk, trade) for trade in list(desk.tape)[-limit:]]

    @staticmethod
    def trade_row(desk: Desk, trade: PublicTrade) -> Body:
        """Return a public trade as the trades' requests show it."""
        return {
            "id": trade.last_id,
            "price": price_text(desk.symbol, trade.row.price_ticks),
            "qty": quantity_text(desk.symbol, trade.row.quantity_lots),
            "quoteQty": quote_text(desk.symbol, trade.row.price_ticks * trade.row.quantity_lots),
            "time": trade.time_ms,
            "isBuyerMaker": trade.row.buyer_is_maker,
            "isRPITrade": False,
        }

    def agg_trades(self, params: Params, now_ms: int) -> list[Body]:
        """Return public aggregate trades that are still remembered: from `fromId`, of a window, or the newest."""
        self.advance(now_ms)
        desk = self.desk_of(params.get("symbol"))
        limit, first = limit_of(params, 500, 1000), whole_of(params, "fromId")
        start, end = whole_of(params, "startTime"), whole_of(params, "endTime")
        if first is not None and (start is not None or end is not None):
            raise Refusal.BAD_PARAMETER.refuse("fromId")
        rows = [
            trade
            for trade in desk.tape
            if (first is None or trade.agg_id >= first)
            and (start is None or trade.time_ms >= start)
            and (end is None or trade.time_ms <= end)
        ]
        chosen = rows[:limit] if first is not None or start is not None else rows[-limit:]
        return [
            {
                "a": trade.agg_id,
                "p": price_text(desk.symbol, trade.row.price_ticks),
                "q": quantity_text(desk.symbol, trade.row.quantity_lots),
                "nq": quantity_text(desk.symbol, trade.row.quantity_lots),
                "f": trade.first_id,
                "l": trade.last_id,
                "T": trade.time_ms,
                "m": trade.row.buyer_is_maker,
            }
            for trade in chosen
        ]

    def funding_rate(self, params: Params, now_ms: int) -> list[Body]:
        """Return the funding rates since the exchange began, ascending."""
        self.advance(now_ms)
        desk, limit = self.desk_of(params.get("symbol")), limit_of(params, 100, 1000)
        start, end = whole_of(params, "startTime"), whole_of(params, "endTime")
        first = self.start_ms // FUNDING_INTERVAL_MS * FUNDING_INTERVAL_MS + FUNDING_INTERVAL_MS
        times = [
            time_ms
            for time_ms in range(first, self.now_ms + 1, FUNDING_INTERVAL_MS)
            if (start is None or time_ms >= start) and (end is None or time_ms <= end)
        ]
        return [
            {
                "symbol": desk.name,
                "fundingRate": rate_text(desk.symbol.funding_rate),
                "fundingTime": time_ms,
                "markPrice": "",
            }
            for time_ms in (times[:limit] if start is not None else times[-limit:])
        ]

    def ticker_24h(self, params: Params, now_ms: int) -> Body | list[Body]:
        """Return the statistics of the last 24 hours (as far as candles go back) of a symbol, or of all."""
        self.advance(now_ms)
        return self._one_or_all(params, self._ticker_24h)

    def _ticker_24h(self, desk: Desk) -> Body:
        start = self.now_ms - _DAY_MINUTES * MINUTE_MS
        minutes: list[Candle] = desk.candles.select("1m", start_ms=start, limit=_DAY_MINUTES + 1)
        volume, quote = sum(row.volume_lots for row in minutes), sum(row.quote for row in minutes)
        first_price = minutes[0].open_ticks if minutes else desk.last_ticks
        change, symbol = desk.last_ticks - first_price, desk.symbol
        percent = Decimal(100 * change) / first_price if first_price else Decimal(0)
        ids = [row for row in minutes if row.trades]
        return {
            "symbol": desk.name,
            "priceChange": price_text(symbol, change),
            "priceChangePercent": f"{percent:.3f}",
            "weightedAvgPrice": average_text(symbol, quote, volume),
            "lastPrice": price_text(symbol, desk.last_ticks),
            "lastQty": quantity_text(symbol, desk.tape[-1].row.quantity_lots if desk.tape else 0),
            "openPrice": price_text(symbol, first_price),
            "highPrice": price_text(symbol, max((row.high_ticks for row in minutes), default=desk.last_ticks)),
            "lowPrice": price_text(symbol, min((row.low_ticks for row in minutes), default=desk.last_ticks)),
            "volume": quantity_text(symbol, volume),
            "quoteVolume": quote_text(symbol, quote),
            "openTime": minutes[0].open_time_ms if minutes else start,
            "closeTime": self.now_ms,
            "firstId": ids[0].first_id if ids else 0,
            "lastId": ids[-1].last_id if ids else 0,
            "count": sum(row.trades for row in minutes),
        }

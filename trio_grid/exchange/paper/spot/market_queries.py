"""Owns spot's public answers: exchangeInfo, klines, depth, trades and tickers, in Binance's bodies.

It must never change anything but time, and never invent what the market did not give.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec

from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.candles import INTERVALS, Candle, close_time_of
from trio_grid.exchange.paper.engine.order_rules import whole_of
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.spot.account_queries import SpotAccountQueries, page_size
from trio_grid.exchange.paper.spot.desk import MINUTE_MS, SpotDesk, SpotKlineEvent
from trio_grid.exchange.paper.spot.order_rules import SYMBOL_RANGE, Params, required
from trio_grid.exchange.paper.spot.refusals import SpotRefusal
from trio_grid.exchange.paper.spot.symbols import (
    AVERAGE_MINUTES,
    cost_text,
    exchange_info_row,
    price_text,
    quantity_text,
)
from trio_grid.exchange.paper.spot.wire_market import agg_trade_row, kline_event, kline_row, trade_row

Body = dict[str, Any]
DEEPEST = 5_000
DAY_MS = 1_440 * MINUTE_MS
SPOT_INTERVALS = ("1s", *INTERVALS)
_WINDOW = re.compile(r"(?:([1-9]|[1-5][0-9])m|([1-9]|1[0-9]|2[0-3])h|([1-7])d)")


def listed_names(params: Params) -> list[str] | None:
    """Return the names in `symbols`, a JSON list; None if it was not sent.

    Raises:
        PaperRefusal: -1100 if it is no list of names, -1128 beside `symbol`.
    """
    text = params.get("symbols")
    if not text:
        return None
    if params.get("symbol"):
        raise SpotRefusal.COMBINATION.refuse()
    try:
        return msgspec.json.decode(text, type=list[str])
    except (msgspec.DecodeError, UnicodeError):
        raise SpotRefusal.ILLEGAL.refuse("symbols", SYMBOL_RANGE) from None


class SpotMarketQueries(SpotAccountQueries):
    """Public questions."""

    def exchange_info(self, rate_limits: Sequence[Mapping[str, Any]], params: Params, now_ms: int) -> Body:
        """Return exchangeInfo: of one symbol, of some, or of all that have a permission and a status."""
        self._come_to(now_ms)
        names = self._named(params)
        if names is not None and (params.get("permissions") or params.get("symbolStatus")):
            raise SpotRefusal.COMBINATION.refuse()
        chosen = list(self.symbols) if names is None else names
        if params.get("symbolStatus", "TRADING") != "TRADING" or not _has_spot(params.get("permissions")):
            chosen = []
        shows = params.get("showPermissionSets", "true").lower() != "false"
        return {
            "timezone": "UTC",
            "serverTime": self.now_ms,
            "rateLimits": [dict(row) for row in rate_limits],
            "exchangeFilters": [],
            "symbols": [exchange_info_row(self.symbols[name], with_permission_sets=shows) for name in chosen],
        }

    def _named(self, params: Params) -> list[str] | None:
        """Return the symbols that a request names, None for all; -1121 for an unknown one."""
        names = listed_names(params)
        if params.get("symbol"):
            names = [params["symbol"]]
        for name in names or ():
            if name not in self.symbols:
                raise Refusal.BAD_SYMBOL.refuse()
        return names

    def _one_or_many(self, params: Params, render: Callable[[SpotDesk], Body]) -> Body | list[Body]:
        names = self._named(params)
        desks = [self.desk_named(name) for name in (self.symbols if names is None else names)]
        rows = [render(desk) for desk in desks if desk.has_quote]
        if not params.get("symbol"):
            return rows
        if not rows:
            raise Refusal.BAD_SYMBOL.refuse()
        return rows[0]

    # klines ----------------------------------------------------------------------------------------------------------

    def klines(self, params: Params, now_ms: int) -> list[list[Any]]:
        """Return kline rows, ascending; the last one may be open. Seconds are served too."""
        self._come_to(now_ms)
        desk, interval = self.desk_of(params), required(params, "interval")
        if interval not in SPOT_INTERVALS:
            raise Refusal.BAD_INTERVAL.refuse()
        start, end, limit = whole_of(params, "startTime"), whole_of(params, "endTime"), page_size(params)
        if interval == "1s":
            rows = desk.seconds.select(now_ms=self.now_ms, start_ms=start, end_ms=end, limit=limit)
        else:
            rows = desk.candles.select(interval, start_ms=start, end_ms=end, limit=limit)
        return [kline_row(desk.symbol, interval, candle) for candle in rows]

    def kline_payload(self, event: SpotKlineEvent, interval: str) -> Body:
        """Return what an interval's kline stream says at a 1-minute kline event."""
        desk = self.desks[event.symbol]
        candle = desk.candles.up_to(interval, event.candle)
        minute_end = event.candle.open_time_ms + MINUTE_MS - 1
        closed = event.closed and close_time_of(interval, candle.open_time_ms) == minute_end
        return kline_event(desk.symbol, interval, candle, event.time_ms, closed=closed)

    def second_payload(self, name: str, now_ms: int) -> Body | None:
        """Return the kline of the second that has just ended; None before the first trade."""
        desk = self.desk_named(name)
        candle = desk.seconds.at(now_ms // 1000 * 1000 - 1000)
        return None if candle is None else kline_event(desk.symbol, "1s", candle, now_ms, closed=True)

    # book and trades -------------------------------------------------------------------------------------------------

    def depth(self, params: Params, now_ms: int) -> Body:
        """Return the order book to at most 5,000 levels a side."""
        self._come_to(now_ms)
        desk = self.desk_of(params)
        limit = page_size(params, 100, DEEPEST)
        body: Body = {"lastUpdateId": desk.update_id}
        for name, side in (("bids", Side.BUY), ("asks", Side.SELL)):
            levels = desk.book.depth(side, limit) if desk.has_quote else []
            body[name] = [[price_text(desk.symbol, p), quantity_text(desk.symbol, q)] for p, q in levels]
        return body

    def book_ticker(self, params: Params, now_ms: int) -> Body | list[Body]:
        """Return best bid and ask of a symbol, of some, or of all."""
        self._come_to(now_ms)
        return self._one_or_many(params, _book_ticker)

    def recent_trades(self, params: Params, now_ms: int) -> list[Body]:
        """Return the newest public trades, ascending."""
        self._come_to(now_ms)
        desk, limit = self.desk_of(params), page_size(params)
        return [trade_row(desk.symbol, trade) for trade in list(desk.tape)[-limit:]]

    def historical_trades(self, params: Params, now_ms: int) -> list[Body]:
        """Return public trades that are still remembered, from `fromId` on, or the newest."""
        first = whole_of(params, "fromId")
        if first is None:
            return self.recent_trades(params, now_ms)
        self._come_to(now_ms)
        desk, limit = self.desk_of(params), page_size(params)
        return [trade_row(desk.symbol, trade) for trade in desk.tape if trade.last_id >= first][:limit]

    def agg_trades(self, params: Params, now_ms: int) -> list[Body]:
        """Return public aggregate trades that are still remembered: from `fromId`, of a window, or the newest."""
        self._come_to(now_ms)
        desk, limit = self.desk_of(params), page_size(params)
        first, start, end = whole_of(params, "fromId"), whole_of(params, "startTime"), whole_of(params, "endTime")
        if first is not None and (start is not None or end is not None):
            raise SpotRefusal.COMBINATION.refuse()
        rows = [
            trade
            for trade in desk.tape
            if (first is None or trade.agg_id >= first)
            and (start is None or trade.time_ms >= start)
            and (end is None or trade.time_ms <= end)
        ]
        chosen = rows[:limit] if first is not None or start is not None else rows[-limit:]
        return [agg_trade_row(desk.symbol, trade) for trade in chosen]

    # tickers ---------------------------------------------------------------------------------------------------------

    def ticker_price(self, params: Params, now_ms: int) -> Body | list[Body]:
        """Return the last price of a symbol, of some, or of all."""
        self._come_to(now_ms)
        return self._one_or_many(
            params, lambda desk: {"symbol": desk.name, "price": price_text(desk.symbol, desk.last_ticks)}
        )

    def average_price(self, params: Params, now_ms: int) -> Body:
        """Return the average price of the last five minutes."""
        self._come_to(now_ms)
        desk = self.desk_of(params)
        if not desk.has_quote:
            raise Refusal.BAD_SYMBOL.refuse()
        closed_ms = desk.tape[-1].time_ms if desk.tape else self.now_ms
        return {"mins": AVERAGE_MINUTES, "price": _average(desk, *desk.average(self.now_ms)), "closeTime": closed_ms}

    def ticker_24h(self, params: Params, now_ms: int) -> Body | list[Body]:
        """Return the statistics of the last 24 hours, as far as klines go back."""
        self._come_to(now_ms)
        mini = _is_mini(params)

        def render(desk: SpotDesk) -> Body:
            body = statistics(desk, self.now_ms - DAY_MS, self.now_ms, mini=mini)
            return body if mini else body | {"prevClosePrice": body["openPrice"]} | _day_extras(desk)

        return self._one_or_many(params, render)

    def rolling_ticker(self, params: Params, now_ms: int) -> Body | list[Body]:
        """Return the statistics of a window of minutes, hours or days; `symbol` or `symbols` has to be sent."""
        self._come_to(now_ms)
        self._require_names(params)
        window, mini = params.get("windowSize") or "1d", _is_mini(params)
        length = window_ms(window)
        # The window begins with a whole minute.
        start = (self.now_ms - length) // MINUTE_MS * MINUTE_MS
        return self._one_or_many(params, lambda desk: statistics(desk, start, self.now_ms, mini=mini))

    def trading_day_ticker(self, params: Params, now_ms: int) -> Body | list[Body]:
        """Return the statistics of the trading day, which begins at midnight of `timeZone`."""
        self._come_to(now_ms)
        self._require_names(params)
        shift, mini = zone_ms(params.get("timeZone") or "0"), _is_mini(params)
        start = (self.now_ms + shift) // DAY_MS * DAY_MS - shift
        return self._one_or_many(
            params, lambda desk: statistics(desk, start, self.now_ms, mini=mini) | {"closeTime": start + DAY_MS - 1}
        )

    @staticmethod
    def _require_names(params: Params) -> None:
        if not params.get("symbol") and not params.get("symbols"):
            raise SpotRefusal.EITHER.refuse("symbol", "symbols")


def _has_spot(permissions: str | None) -> bool:
    if not permissions:
        return True
    if not permissions.startswith("["):
        return permissions == "SPOT"
    try:
        return "SPOT" in msgspec.json.decode(permissions, type=list[str])
    except (msgspec.DecodeError, UnicodeError):
        raise Refusal.BAD_PARAMETER.refuse("permissions") from None


def _is_mini(params: Params) -> bool:
    kind = params.get("type") or "FULL"
    if kind not in ("FULL", "MINI"):
        raise Refusal.BAD_PARAMETER.refuse("type")
    return kind == "MINI"


def window_ms(window: str) -> int:
    """Return the length of a window: 1m to 59m, 1h to 23h, 1d to 7d; -1130 for anything else."""
    found = _WINDOW.fullmatch(window)
    if found is None:
        raise Refusal.BAD_PARAMETER.refuse("windowSize")
    minutes, hours, days = (int(text or 0) for text in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * MINUTE_MS


def zone_ms(zone: str) -> int:
    """Return a time zone's distance from UTC: hours with or without minutes, -12:00 to +14:00; -1130 else."""
    found = re.fullmatch(r"([+-]?)(\d{1,2})(?::([0-5]\d))?", zone)
    if found is None:
        raise Refusal.BAD_PARAMETER.refuse("timeZone")
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    minutes = -minutes if found[1] == "-" else minutes
    if not -12 * 60 <= minutes <= 14 * 60:
        raise Refusal.BAD_PARAMETER.refuse("timeZone")
    return minutes * MINUTE_MS


def _average(desk: SpotDesk, cost: int, lots: int) -> str:
    value = desk.symbol.instrument.tick_size * cost / lots if lots else Decimal(0)
    return f"{value.quantize(Decimal('0.00000001'), ROUND_HALF_EVEN):.8f}"


def _book_ticker(desk: SpotDesk) -> Body:
    ticker = desk.ticker()
    return {
        "symbol": desk.name,
        "bidPrice": price_text(desk.symbol, ticker.bid_ticks),
        "bidQty": quantity_text(desk.symbol, ticker.bid_lots),
        "askPrice": price_text(desk.symbol, ticker.ask_ticks),
        "askQty": quantity_text(desk.symbol, ticker.ask_lots),
    }


def statistics(desk: SpotDesk, start_ms: int, now_ms: int, *, mini: bool = False) -> Body:
    """Return a ticker's statistics over the minutes that begin at or after a time."""
    minutes: list[Candle] = desk.candles.select("1m", start_ms=start_ms, limit=len(desk.candles.closed) + 1)
    volume, cost = sum(row.volume_lots for row in minutes), sum(row.quote for row in minutes)
    symbol, last = desk.symbol, desk.last_ticks
    first = minutes[0].open_ticks if minutes else last
    ids = [row for row in minutes if row.trades]
    body: Body = {"symbol": desk.name}
    if not mini:
        change = last - first
        body |= {
            "priceChange": price_text(symbol, change),
            "priceChangePercent": f"{Decimal(100 * change) / first:.3f}" if first else "0.000",
            "weightedAvgPrice": _average(desk, cost, volume),
        }
    return body | {
        "openPrice": price_text(symbol, first),
        "highPrice": price_text(symbol, max((row.high_ticks for row in minutes), default=last)),
        "lowPrice": price_text(symbol, min((row.low_ticks for row in minutes), default=last)),
        "lastPrice": price_text(symbol, last),
        "volume": quantity_text(symbol, volume),
        "quoteVolume": cost_text(symbol, cost),
        "openTime": start_ms,
        "closeTime": now_ms,
        "firstId": ids[0].first_id if ids else -1,
        "lastId": ids[-1].last_id if ids else -1,
        "count": sum(row.trades for row in minutes),
    }


def _day_extras(desk: SpotDesk) -> Body:
    ticker, symbol = desk.ticker(), desk.symbol
    return {
        "lastQty": quantity_text(symbol, desk.tape[-1].row.quantity_lots if desk.tape else 0),
        "bidPrice": price_text(symbol, ticker.bid_ticks),
        "bidQty": quantity_text(symbol, ticker.bid_lots),
        "askPrice": price_text(symbol, ticker.ask_ticks),
        "askQty": quantity_text(symbol, ticker.ask_lots),
    }

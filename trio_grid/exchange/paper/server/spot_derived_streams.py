"""Spot's streams that are made of queries: depth, tickers, average prices, the klines of other intervals.

Owns nothing beyond what `DerivedStreams` remembers. It must never know who receives them.
"""

from __future__ import annotations

from typing import Any

from trio_grid.exchange.paper.engine.exchange import MarketEvent, PaperExchange
from trio_grid.exchange.paper.server.derived_streams import DerivedStreams, ticker_payload
from trio_grid.exchange.paper.server.stream_names import StreamName, Topic
from trio_grid.exchange.paper.spot.desk import SpotKlineEvent


class SpotDerivedStreams(DerivedStreams):
    """Makes payloads of spot's queries."""

    def __init__(self, exchange: PaperExchange) -> None:
        super().__init__(exchange)
        self._spot = exchange.spot

    def kline(self, event: MarketEvent, interval: str) -> dict[str, Any]:
        """Return the kline payload of an interval after a 1-minute kline event."""
        if interval == "1m" or not isinstance(event, SpotKlineEvent):
            return event.payload
        return self._spot.kline_payload(event, interval)

    def periodic(self, name: StreamName, now_ms: int) -> Any:
        """Return what a stream that comes at intervals has to say now; None for nothing new."""
        if name.symbol != "*" and name.symbol not in self._spot.symbols:
            return None
        if not self._have_spoken(name):
            return None
        if name.topic is Topic.AVERAGE_PRICE:
            body = self._spot.average_price({"symbol": name.symbol}, now_ms)
            return {
                "e": "avgPrice",
                "E": now_ms,
                "s": name.symbol,
                "i": "5m",
                "w": body["price"],
                "T": body["closeTime"],
            }
        if name.topic is Topic.SECOND_KLINE:
            return self._spot.second_payload(name.symbol, now_ms)
        if name.topic is Topic.ROLLING_TICKER:
            return self._rolling(name, now_ms)
        return super().periodic(name, now_ms)

    def _have_spoken(self, name: StreamName) -> bool:
        wanted = list(self._spot.symbols) if name.symbol == "*" else [name.symbol]
        return all(self._spot.desk_named(symbol).has_quote for symbol in wanted)

    def _query_depth(self, symbol: str, limit: int, now_ms: int) -> dict[str, Any]:
        depth = self._spot.depth({"symbol": symbol, "limit": str(limit)}, now_ms)
        return depth | {"E": now_ms, "T": now_ms}

    def _partial_depth(self, name: StreamName, now_ms: int) -> Any:
        depth = self._spot.depth({"symbol": name.symbol, "limit": str(name.levels)}, now_ms)
        last: int = depth["lastUpdateId"]
        if self._partial_ids.get(name.text) == last:
            return None
        self._partial_ids[name.text] = last
        return depth

    def _update(
        self, name: StreamName, depth: dict[str, Any], *, first: int, last: int, previous: int, bids: Any, asks: Any
    ) -> dict[str, Any]:
        """Spot's updates connect by `U` and `u` alone."""
        return {"e": "depthUpdate", "E": depth["E"], "s": name.symbol, "U": first, "u": last, "b": bids, "a": asks}

    def _tickers(self, name: StreamName, now_ms: int) -> Any:
        wanted = self._spot.symbols if name.symbol == "*" else (name.symbol,)
        rows = [self._day(name.topic, symbol, now_ms) for symbol in wanted]
        return rows if name.symbol == "*" else rows[0]

    def _day(self, topic: Topic, symbol: str, now_ms: int) -> dict[str, Any]:
        ticker: Any = self._spot.ticker_24h({"symbol": symbol}, now_ms)
        payload = _of_spot(ticker_payload(topic, ticker, now_ms))
        if topic is Topic.TICKER:
            best = {"x": ticker["prevClosePrice"], "b": ticker["bidPrice"], "B": ticker["bidQty"]}
            payload |= best | {"a": ticker["askPrice"], "A": ticker["askQty"]}
        return payload

    def _rolling(self, name: StreamName, now_ms: int) -> Any:
        wanted = list(self._spot.symbols) if name.symbol == "*" else [name.symbol]
        rows = []
        for symbol in wanted:
            ticker: Any = self._spot.rolling_ticker({"symbol": symbol, "windowSize": name.interval}, now_ms)
            row = _of_spot(ticker_payload(Topic.TICKER, ticker | {"lastQty": ""}, now_ms))
            del row["Q"]
            rows.append(row | {"e": f"{name.interval}Ticker"})
        return rows if name.symbol == "*" else rows[0]


def _of_spot(payload: dict[str, Any]) -> dict[str, Any]:
    """Return a ticker's payload without what only futures say: the pair and the kind of contract."""
    return {name: value for name, value in payload.items() if name not in ("ps", "st")}

"""Streams that are made of queries: depth, tickers and the klines of other intervals.

Owns what was last published of each, so that differences connect (each update's `pu` is the one before's `u`). It must
never know who receives them.
"""

from __future__ import annotations

from typing import Any

from trio_grid.exchange.paper.engine.exchange import MarketEvent, PaperExchange
from trio_grid.exchange.paper.server.stream_names import StreamName, Topic

BOOK_LEVELS = 1000
Levels = dict[str, str]


class _PublishedBook:
    """The book as the receivers of one depth stream know it."""

    __slots__ = ("asks", "bids", "update_id")

    def __init__(self, depth: dict[str, Any]) -> None:
        self.update_id: int = depth["lastUpdateId"]
        self.bids: Levels = dict(depth["bids"])
        self.asks: Levels = dict(depth["asks"])


class DerivedStreams:
    """Makes payloads of queries."""

    def __init__(self, exchange: PaperExchange) -> None:
        self._exchange = exchange
        self._books: dict[str, _PublishedBook] = {}
        self._partial_ids: dict[str, int] = {}

    def forget(self, name: StreamName) -> None:
        """Drop what was remembered of a stream that has no receivers any more."""
        self._books.pop(name.text, None)
        self._partial_ids.pop(name.text, None)

    def kline(self, event: MarketEvent, interval: str) -> dict[str, Any]:
        """Return the kline payload of an interval after a 1-minute kline event."""
        if interval == "1m":
            return event.payload
        return self._exchange.kline_payload(event, interval)

    def continuous_kline(self, event: MarketEvent, interval: str) -> dict[str, Any]:
        """Return the same for the pair's perpetual contract."""
        payload = self.kline(event, interval)
        kline = {name: value for name, value in payload["k"].items() if name != "s"}
        return {
            "e": "continuous_kline",
            "E": payload["E"],
            "ps": event.symbol,
            "ct": "PERPETUAL",
            "k": kline,
        }

    def periodic(self, name: StreamName, now_ms: int) -> Any:
        """Return what a stream that comes at intervals has to say now; None for nothing new."""
        if name.symbol != "*" and name.symbol not in self._exchange.symbols:
            return None
        if name.topic is Topic.DEPTH:
            return self._depth_difference(name, now_ms)
        if name.topic is Topic.PARTIAL_DEPTH:
            return self._partial_depth(name, now_ms)
        if not self._have_spoken(name):
            return None
        return self._tickers(name, now_ms)

    def _have_spoken(self, name: StreamName) -> bool:
        """Return whether each market of a stream has had its first step; a ticker says nothing before it."""
        desks = self._exchange.desks
        return all(desk.has_quote for desk in (desks.values() if name.symbol == "*" else (desks[name.symbol],)))

    def _query_depth(self, symbol: str, limit: int, now_ms: int) -> dict[str, Any]:
        depth: dict[str, Any] = self._exchange.depth({"symbol": symbol, "limit": str(limit)}, now_ms)
        return depth

    def _depth_difference(self, name: StreamName, now_ms: int) -> Any:
        depth = self._query_depth(name.symbol, BOOK_LEVELS, now_ms)
        known, present = self._books.get(name.text), _PublishedBook(depth)
        if known is None:
            # Says where the stream begins, so that a snapshot taken before the next change connects to it. It tells the
            # best levels once more: the real exchange sends no update without a level, and clients fail at one.
            first, bids, asks = present.update_id, depth["bids"][:1], depth["asks"][:1]
            previous = first - 1
        else:
            first, previous = known.update_id + 1, known.update_id
            bids, asks = _difference(known.bids, present.bids), _difference(known.asks, present.asks)
        if not bids and not asks:
            return None
        self._books[name.text] = present
        return self._update(name, depth, first=first, last=present.update_id, previous=previous, bids=bids, asks=asks)

    def _partial_depth(self, name: StreamName, now_ms: int) -> Any:
        depth = self._query_depth(name.symbol, max(name.levels, 5), now_ms)
        last: int = depth["lastUpdateId"]
        previous = self._partial_ids.get(name.text, last - 1)
        if previous == last:
            return None
        self._partial_ids[name.text] = last
        return self._update(
            name,
            depth,
            first=previous + 1,
            last=last,
            previous=previous,
            bids=depth["bids"][: name.levels],
            asks=depth["asks"][: name.levels],
        )

    def _update(
        self, name: StreamName, depth: dict[str, Any], *, first: int, last: int, previous: int, bids: Any, asks: Any
    ) -> dict[str, Any]:
        return {
            "e": "depthUpdate",
            "E": depth["E"],
            "T": depth["T"],
            "s": name.symbol,
            "U": first,
            "u": last,
            "pu": previous,
            "b": bids,
            "a": asks,
            "ps": name.symbol,
            "st": 1,
        }

    def _tickers(self, name: StreamName, now_ms: int) -> Any:
        if name.symbol != "*":
            return ticker_payload(name.topic, self._exchange.ticker_24h({"symbol": name.symbol}, now_ms), now_ms)
        return [
            ticker_payload(name.topic, self._exchange.ticker_24h({"symbol": symbol}, now_ms), now_ms)
            for symbol in self._exchange.symbols
        ]


def _difference(known: Levels, present: Levels) -> list[list[str]]:
    """Return the levels that changed, with quantity 0 for those that are gone."""
    changed = [[price, quantity] for price, quantity in present.items() if known.get(price) != quantity]
    gone = [[price, "0"] for price in known if price not in present]
    return changed + gone


def ticker_payload(topic: Topic, ticker: Any, now_ms: int) -> dict[str, Any]:
    """Return a ticker stream's payload from the body of a ticker query."""
    mini = {
        "e": "24hrMiniTicker",
        "E": now_ms,
        "s": ticker["symbol"],
        "c": ticker["lastPrice"],
        "o": ticker["openPrice"],
        "h": ticker["highPrice"],
        "l": ticker["lowPrice"],
        "v": ticker["volume"],
        "q": ticker["quoteVolume"],
        "ps": ticker["symbol"],
        "st": 1,
    }
    if topic is Topic.MINI_TICKER:
        return mini
    return {
        "e": "24hrTicker",
        "E": now_ms,
        "s": ticker["symbol"],
        "p": ticker["priceChange"],
        "P": ticker["priceChangePercent"],
        "w": ticker["weightedAvgPrice"],
        "c": ticker["lastPrice"],
        "Q": ticker["lastQty"],
        "o": ticker["openPrice"],
        "h": ticker["highPrice"],
        "l": ticker["lowPrice"],
        "v": ticker["volume"],
        "q": ticker["quoteVolume"],
        "O": ticker["openTime"],
        "C": ticker["closeTime"],
        "F": ticker["firstId"],
        "L": ticker["lastId"],
        "n": ticker["count"],
        "ps": ticker["symbol"],
        "st": 1,
    }

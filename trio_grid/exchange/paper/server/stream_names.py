"""Stream names: what one means, and which route delivers it.

Pure. Owns the grammar of stream names and Binance's split of the streams over /public, /market and /private. It must
never know a connection.
"""

from __future__ import annotations

import enum
import re

import msgspec

KLINE_INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
DEPTH_SPEEDS_MS = {"": 250, "@100ms": 100, "@250ms": 250, "@500ms": 500, "@0ms": 100}


class Route(enum.Enum):
    """The part of the service that a connection's path names."""

    UNROUTED = ""
    PUBLIC = "public"
    MARKET = "market"
    PRIVATE = "private"


class Topic(enum.Enum):
    """What a stream is about."""

    BOOK_TICKER = "bookTicker"
    DEPTH = "depth"
    PARTIAL_DEPTH = "depth levels"
    TRADE = "trade"
    AGG_TRADE = "aggTrade"
    KLINE = "kline"
    CONTINUOUS_KLINE = "continuousKline"
    MARK_PRICE = "markPrice"
    TICKER = "ticker"
    MINI_TICKER = "miniTicker"
    FORCE_ORDER = "forceOrder"
    AVERAGE_PRICE = "avgPrice"
    SECOND_KLINE = "kline_1s"
    ROLLING_TICKER = "rolling ticker"
    USER = "user data"


SPOT_TOPICS = frozenset({Topic.AVERAGE_PRICE, Topic.SECOND_KLINE, Topic.ROLLING_TICKER})
"""What only spot has: see `spot_stream_names`."""


_ROUTES = {
    Topic.BOOK_TICKER: (Route.PUBLIC,),
    Topic.DEPTH: (Route.PUBLIC,),
    Topic.PARTIAL_DEPTH: (Route.PUBLIC,),
    Topic.TRADE: (Route.PUBLIC, Route.MARKET),
    Topic.USER: (Route.PRIVATE,),
}


class StreamName(msgspec.Struct, frozen=True, kw_only=True):
    """One stream, understood. `symbol` is upper case, or "*" for the streams of all symbols.

    `interval` belongs to klines, `levels` (0: differences) and `speed_ms` to depth, mark price and tickers.
    """

    text: str
    topic: Topic
    symbol: str = "*"
    interval: str = ""
    levels: int = 0
    speed_ms: int = 0

    def delivered_on(self, route: Route, *, strict: bool) -> bool:
        """Return whether a connection on a route gets this stream.

        Strict is mainnet's way: each route delivers its own part, an un-routed connection the public part. Otherwise
        un-routed connections get everything, and market data comes on both routes that are for market data.
        """
        own = _ROUTES.get(self.topic, (Route.MARKET,))
        if strict:
            return (Route.PUBLIC if route is Route.UNROUTED else route) in own
        return route is Route.UNROUTED or (route is Route.PRIVATE) == (self.topic is Topic.USER)


_SYMBOL_STREAM = re.compile(r"([a-z0-9_]+)@(\w+?)(@\w+)?$")


def parse_stream_name(text: str) -> StreamName | None:
    """Return what a name means; None for one that does not exist (which is acknowledged, and silent)."""
    if text.startswith("!"):
        return _all_symbols(text)
    found = _SYMBOL_STREAM.fullmatch(text)
    if found is None:
        if text and "@" not in text and not text.startswith("!"):
            return StreamName(text=text, topic=Topic.USER, symbol="")
        return None
    symbol, kind, option = found.group(1).upper(), found.group(2), found.group(3) or ""
    return _one_symbol(text, symbol, kind, option)


def _one_symbol(text: str, symbol: str, kind: str, option: str) -> StreamName | None:
    plain = {
        "bookTicker": Topic.BOOK_TICKER,
        "trade": Topic.TRADE,
        "aggTrade": Topic.AGG_TRADE,
        "ticker": Topic.TICKER,
        "miniTicker": Topic.MINI_TICKER,
        "forceOrder": Topic.FORCE_ORDER,
    }.get(kind)
    if plain is not None:
        return None if option else StreamName(text=text, topic=plain, symbol=symbol, speed_ms=2000)
    if kind == "markPrice" and option in ("", "@1s"):
        return StreamName(text=text, topic=Topic.MARK_PRICE, symbol=symbol, speed_ms=1000 if option else 3000)
    if kind.startswith("kline_") and not option and kind[6:] in KLINE_INTERVALS:
        return StreamName(text=text, topic=Topic.KLINE, symbol=symbol, interval=kind[6:])
    if kind.startswith("continuousKline_") and not option and kind[16:] in KLINE_INTERVALS:
        pair = symbol.removesuffix("_PERPETUAL")
        return (
            None
            if pair == symbol
            else StreamName(text=text, topic=Topic.CONTINUOUS_KLINE, symbol=pair, interval=kind[16:])
        )
    if kind in ("depth", "depth5", "depth10", "depth20") and option in DEPTH_SPEEDS_MS:
        levels = int(kind[5:] or 0)
        return StreamName(
            text=text,
            topic=Topic.PARTIAL_DEPTH if levels else Topic.DEPTH,
            symbol=symbol,
            levels=levels,
            speed_ms=DEPTH_SPEEDS_MS[option],
        )
    return None


def _all_symbols(text: str) -> StreamName | None:
    topics = {
        "!bookTicker": (Topic.BOOK_TICKER, 0),
        "!ticker@arr": (Topic.TICKER, 1000),
        "!miniTicker@arr": (Topic.MINI_TICKER, 1000),
        "!markPrice@arr": (Topic.MARK_PRICE, 3000),
        "!markPrice@arr@1s": (Topic.MARK_PRICE, 1000),
        "!forceOrder@arr": (Topic.FORCE_ORDER, 0),
    }
    found = topics.get(text)
    return None if found is None else StreamName(text=text, topic=found[0], speed_ms=found[1])

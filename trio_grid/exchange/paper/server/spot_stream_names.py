"""Spot's stream names: what one means.

Pure. Owns the grammar of spot's streams; spot has no routes, every connection gets what it asks for. It must never know
a connection.
"""

from __future__ import annotations

import re

from trio_grid.exchange.paper.server.stream_names import KLINE_INTERVALS, StreamName, Topic

SPOT_DEPTH_SPEEDS_MS = {"": 1000, "@1000ms": 1000, "@100ms": 100}
ROLLING_WINDOWS = ("1h", "4h", "1d")
_SYMBOL_STREAM = re.compile(r"([a-z0-9_]+)@(\w+)(@\+08:00|@\w+)?")
_PLAIN = {
    "bookTicker": (Topic.BOOK_TICKER, 0),
    "trade": (Topic.TRADE, 0),
    "aggTrade": (Topic.AGG_TRADE, 0),
    "ticker": (Topic.TICKER, 1000),
    "miniTicker": (Topic.MINI_TICKER, 1000),
    "avgPrice": (Topic.AVERAGE_PRICE, 1000),
    "kline_1s": (Topic.SECOND_KLINE, 1000),
}
_ALL_SYMBOLS = {
    "!ticker@arr": (Topic.TICKER, 1000),
    "!miniTicker@arr": (Topic.MINI_TICKER, 1000),
}


def parse_spot_stream_name(text: str) -> StreamName | None:
    """Return what a name means; None for one that does not exist (which is acknowledged, and silent)."""
    known = _ALL_SYMBOLS.get(text)
    if known is not None:
        return StreamName(text=text, topic=known[0], speed_ms=known[1])
    for window in ROLLING_WINDOWS:
        if text == f"!ticker_{window}@arr":
            return StreamName(text=text, topic=Topic.ROLLING_TICKER, interval=window, speed_ms=1000)
    found = _SYMBOL_STREAM.fullmatch(text)
    if found is None:
        return None
    symbol, kind, option = found[1].upper(), found[2], found[3] or ""
    plain = None if option else _PLAIN.get(kind)
    if plain is not None:
        return StreamName(text=text, topic=plain[0], symbol=symbol, speed_ms=plain[1])
    return _with_option(text, symbol, kind, option)


def _with_option(text: str, symbol: str, kind: str, option: str) -> StreamName | None:
    if kind.startswith("kline_") and not option and kind[6:] in KLINE_INTERVALS:
        return StreamName(text=text, topic=Topic.KLINE, symbol=symbol, interval=kind[6:])
    if kind.startswith("ticker_") and not option and kind[7:] in ROLLING_WINDOWS:
        return StreamName(text=text, topic=Topic.ROLLING_TICKER, symbol=symbol, interval=kind[7:], speed_ms=1000)
    if kind in ("depth", "depth5", "depth10", "depth20") and option in SPOT_DEPTH_SPEEDS_MS:
        levels = int(kind[5:] or 0)
        topic = Topic.PARTIAL_DEPTH if levels else Topic.DEPTH
        speed_ms = SPOT_DEPTH_SPEEDS_MS[option]
        return StreamName(text=text, topic=topic, symbol=symbol, levels=levels, speed_ms=speed_ms)
    return None

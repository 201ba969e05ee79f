"""Public market data from the wire: depth, quotes and trades of futures and of spot, in ticks and units of 1e-8.

The same strictness as `messages`: what is not known is counted in `Ignored`, what cannot be read is a MalformedAnswer.
Quantities are not in lots, since strangers' own need not be whole ones: 25.42618900 BTC has been seen where the lot is
0.00001. Spot's quotes carry neither an event type nor a time, and its depth has no `pu`; both are told by what they do
carry.
"""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from trio_grid.domain.instrument import Instrument, money_units
from trio_grid.exchange.protocol import wire
from trio_grid.exchange.protocol.messages import Ignored, build, decode, unwrap
from trio_grid.exchange.protocol.order_book import BookSnapshot, BookUpdate, Levels
from trio_grid.exchange.protocol.wire import Wire

_WireLevels = tuple[tuple[Decimal, Decimal], ...]
_PARTIAL_DEPTH = re.compile(r"@depth(5|10|20)(@|$)")


class MarketKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys by which a public frame without an event type is recognised."""

    u: msgspec.Raw = msgspec.Raw(b"")
    A: msgspec.Raw = msgspec.Raw(b"")
    last_update_id: msgspec.Raw = msgspec.field(default=msgspec.Raw(b""), name="lastUpdateId")


class WireQuote(Wire, frozen=True, kw_only=True):
    """`bookTicker`; spot's has no times."""

    symbol: str = msgspec.field(name="s")
    update_id: int = msgspec.field(name="u")
    bid: Decimal = msgspec.field(name="b")
    bid_quantity: Decimal = msgspec.field(name="B")
    ask: Decimal = msgspec.field(name="a")
    ask_quantity: Decimal = msgspec.field(name="A")
    time: int | None = msgspec.field(name="T", default=None)


class WireDepth(Wire, frozen=True, kw_only=True):
    """`depthUpdate`; spot's has neither `T` nor `pu`."""

    symbol: str = msgspec.field(name="s")
    event_time: int = msgspec.field(name="E")
    time: int | None = msgspec.field(name="T", default=None)
    first_id: int = msgspec.field(name="U")
    last_id: int = msgspec.field(name="u")
    previous_id: int | None = msgspec.field(name="pu", default=None)
    bids: _WireLevels = msgspec.field(name="b")
    asks: _WireLevels = msgspec.field(name="a")


class WireSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """GET depth, and spot's partial depth stream; spot's has no times."""

    last_id: int = msgspec.field(name="lastUpdateId")
    bids: _WireLevels
    asks: _WireLevels
    time: int | None = msgspec.field(name="T", default=None)


class WireTrade(Wire, frozen=True, kw_only=True):
    """`trade`, and `aggTrade`, whose id is `a`."""

    symbol: str = msgspec.field(name="s")
    trade_id: int | None = msgspec.field(name="t", default=None)
    agg_id: int | None = msgspec.field(name="a", default=None)
    price: Decimal = msgspec.field(name="p")
    quantity: Decimal = msgspec.field(name="q")
    time: int = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")


class BookQuote(msgspec.Struct, frozen=True, kw_only=True):
    """Best prices and quantities; `time_ms` is None on spot. A side that is empty has price and quantity 0."""

    update_id: int
    bid_ticks: int
    bid_units: int
    ask_ticks: int
    ask_units: int
    time_ms: int | None


class PublicTrade(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of the public tape. `aggregated`: `trade_id` counts aggregates."""

    trade_id: int
    price_ticks: int
    quantity_units: int
    buyer_is_maker: bool
    time_ms: int
    aggregated: bool


MarketData = BookQuote | BookUpdate | BookSnapshot | PublicTrade


def parse_market_data(frame: str | bytes, instrument: Instrument, ignored: Ignored) -> MarketData | None:
    """Return what a public frame says, or None for another event or symbol (counted).

    A snapshot, or a partial depth, is a `BookSnapshot`: it stands for itself. It names no symbol, so the caller must
    know that it is the instrument's.

    Raises:
        MalformedAnswer: the frame cannot be read.
    """
    kind, event = _recognised(frame)
    if kind == "snapshot":
        return _snapshot(decode(event, WireSnapshot, what="depth snapshot"), instrument)
    if kind == "bookTicker":
        quote = decode(event, WireQuote, what="bookTicker")
        return _quote(quote, instrument) if _is_ours(quote.symbol, instrument, ignored) else None
    if kind in ("depthUpdate", "partial depth"):
        depth = decode(event, WireDepth, what="depthUpdate")
        if not _is_ours(depth.symbol, instrument, ignored):
            return None
        return _update(depth, instrument) if kind == "depthUpdate" else _partial(depth, instrument)
    if kind in ("trade", "aggTrade"):
        trade = decode(event, WireTrade, what=kind)
        return _trade(trade, instrument, ignored) if _is_ours(trade.symbol, instrument, ignored) else None
    ignored[f"event {kind}" if kind else "no event type"] += 1
    return None


def parse_depth_snapshot(body: bytes | str | msgspec.Raw, instrument: Instrument) -> BookSnapshot:
    """Return the book of GET depth."""
    return _snapshot(decode(body, WireSnapshot, what="depth"), instrument)


class FrameFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a frame needs of an instrument; `time_ms` is 0 where it has none."""

    price_decimals: int = 0
    quantity_decimals: int = 0
    is_trade: bool = False
    time_ms: int = 0


def facts_of_frame(frame: str | bytes) -> FrameFacts:
    """Return how many decimals a frame's prices and a trade's quantity have, when it was, and whether it is a trade.

    Raises:
        MalformedAnswer: the frame cannot be read.
    """
    kind, event = _recognised(frame)
    prices: tuple[Decimal, ...] = ()
    time_ms: int | None = None
    if kind in ("trade", "aggTrade"):
        trade = decode(event, WireTrade, what=kind)
        return FrameFacts(
            price_decimals=_decimals(trade.price),
            quantity_decimals=_decimals(trade.quantity),
            is_trade=True,
            time_ms=trade.time,
        )
    if kind == "bookTicker":
        quote = decode(event, WireQuote, what=kind)
        prices, time_ms = (quote.bid, quote.ask), quote.time
    elif kind == "snapshot":
        snapshot = decode(event, WireSnapshot, what="depth snapshot")
        prices, time_ms = tuple(price for price, _ in (*snapshot.bids, *snapshot.asks)), snapshot.time
    elif kind in ("depthUpdate", "partial depth"):
        depth = decode(event, WireDepth, what="depthUpdate")
        prices, time_ms = tuple(price for price, _ in (*depth.bids, *depth.asks)), depth.event_time
    return FrameFacts(price_decimals=max(map(_decimals, prices), default=0), time_ms=time_ms or 0)


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _recognised(frame: str | bytes) -> tuple[str | None, str | bytes | msgspec.Raw]:
    kind, event = unwrap(frame)
    if kind == "depthUpdate" and event is not frame:
        stream = decode(frame, wire.EventHead, what="WebSocket frame").stream or ""
        return "partial depth" if _PARTIAL_DEPTH.search(stream) else kind, event
    if kind is not None:
        return kind, event
    keys = decode(event, MarketKeys, what="WebSocket frame")
    if bytes(keys.last_update_id):
        return "snapshot", event
    return "bookTicker" if bytes(keys.u) and bytes(keys.A) else None, event


def _is_ours(symbol: str, instrument: Instrument, ignored: Ignored) -> bool:
    if symbol == instrument.symbol:
        return True
    ignored["other symbol"] += 1
    return False


def _ticks(price: Decimal, instrument: Instrument) -> int:
    if price < 0:
        raise ValueError(f"price {price} is negative")
    return instrument.price_ticks(price)


def _units(quantity: Decimal) -> int:
    if quantity < 0:
        raise ValueError(f"quantity {quantity} is negative")
    return money_units(quantity)


def _levels(levels: _WireLevels, instrument: Instrument) -> Levels:
    return tuple((_ticks(price, instrument), _units(quantity)) for price, quantity in levels)


def _snapshot(snapshot: WireSnapshot, instrument: Instrument) -> BookSnapshot:
    return build(
        f"depth snapshot {snapshot.last_id}",
        lambda: BookSnapshot(
            last_id=snapshot.last_id,
            bids=_levels(snapshot.bids, instrument),
            asks=_levels(snapshot.asks, instrument),
            time_ms=snapshot.time,
        ),
    )


def _partial(depth: WireDepth, instrument: Instrument) -> BookSnapshot:
    return _snapshot(WireSnapshot(last_id=depth.last_id, bids=depth.bids, asks=depth.asks, time=depth.time), instrument)


def _update(depth: WireDepth, instrument: Instrument) -> BookUpdate:
    return build(
        f"depthUpdate {depth.last_id}",
        lambda: BookUpdate(
            first_id=depth.first_id,
            last_id=depth.last_id,
            previous_id=depth.previous_id,
            bids=_levels(depth.bids, instrument),
            asks=_levels(depth.asks, instrument),
            time_ms=depth.event_time if depth.time is None else depth.time,
        ),
    )


def _quote(quote: WireQuote, instrument: Instrument) -> BookQuote:
    return build(
        f"bookTicker {quote.update_id}",
        lambda: BookQuote(
            update_id=quote.update_id,
            bid_ticks=_ticks(quote.bid, instrument),
            bid_units=_units(quote.bid_quantity),
            ask_ticks=_ticks(quote.ask, instrument),
            ask_units=_units(quote.ask_quantity),
            time_ms=quote.time,
        ),
    )


def _trade(trade: WireTrade, instrument: Instrument, ignored: Ignored) -> PublicTrade | None:
    aggregated = trade.trade_id is None
    number = trade.agg_id if aggregated else trade.trade_id
    priced = build("trade", lambda: number is not None and trade.price != 0 and trade.quantity != 0)
    if number is None or not priced:
        # Transfers of the insurance fund and of ADL are on the tape without a price that anybody traded at.
        ignored["trade without a price"] += 1
        return None
    return build(
        f"trade {number}",
        lambda: PublicTrade(
            trade_id=number,
            price_ticks=_ticks(trade.price, instrument),
            quantity_units=_units(trade.quantity),
            buyer_is_maker=trade.buyer_is_maker,
            time_ms=trade.time,
            aggregated=aggregated,
        ),
    )

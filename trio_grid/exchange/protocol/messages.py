"""From the wire to the domain: frames and bodies become events and records, or a MalformedAnswer.

Tolerant to what Binance adds (keys, event types, status words: counted in `Ignored`), strict in what the bot needs: a
missing field, a number between two ticks or a trade without its price is an error, never a zero (S19). TRADE_LITE is
never booked: ORDER_TRADE_UPDATE reports the same trade.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

import msgspec

from trio_grid.domain.events import (
    AccountUpdate,
    BookTicker,
    Kline,
    OrderRecord,
    OrderUpdate,
    RecordStatus,
    Side,
    Trade,
)
from trio_grid.domain.instrument import Instrument, QuantityLots, money_units
from trio_grid.errors import ListenKeyGone, MalformedAnswer
from trio_grid.exchange.interface import UserStreamEvent
from trio_grid.exchange.protocol import wire

T = TypeVar("T")

Ignored = Counter[str]
"""What was tolerated, by a word for it: event types, status words, other symbols."""

KNOWN_USER_EVENTS = frozenset(
    {
        "TRADE_LITE",
        "ACCOUNT_CONFIG_UPDATE",
        "MARGIN_CALL",
        "ALGO_UPDATE",
        "STRATEGY_UPDATE",
        "GRID_UPDATE",
        "CONDITIONAL_ORDER_TRIGGER_REJECT",
    }
)
"""User events that are known and say nothing that the bot books; they are counted under their own name."""

KNOWN_EXECUTIONS = frozenset({"NEW", "TRADE", "CANCELED", "EXPIRED", "AMENDMENT", "CALCULATED", "REJECTED"})
"""Execution types that are known; only TRADE is read, others are counted: status and quantities say the rest."""

_SHOWN_BYTES = 200


def decode(data: bytes | str | msgspec.Raw, shape: type[T], *, what: str) -> T:
    """Decode JSON into a wire structure, leniently in the form of numbers, strictly in what must be there.

    Raises:
        MalformedAnswer: not JSON, or a mandatory field is missing or of the wrong kind.
    """
    try:
        return _decoder(shape).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raw = data.encode() if isinstance(data, str) else bytes(data)
        raise MalformedAnswer(f"{what}: {error}; it begins with {raw[:_SHOWN_BYTES]!r}") from None


_decoders: dict[object, msgspec.json.Decoder[object]] = {}


def _decoder(shape: type[T]) -> msgspec.json.Decoder[T]:
    decoder = _decoders.get(shape)
    if decoder is None:
        decoder = _decoders[shape] = msgspec.json.Decoder(shape, strict=False)
    return decoder  # type: ignore[return-value]


def build(what: str, make: Callable[[], T]) -> T:
    """Make a domain value; what the domain refuses (an odd tick, a negative id) is the exchange's malformed answer."""
    try:
        return make()
    except (ValueError, TypeError, ArithmeticError) as error:
        raise MalformedAnswer(f"{what}: {error}") from error


def unwrap(frame: str | bytes) -> tuple[str | None, str | bytes | msgspec.Raw]:
    """Return the frame's event type and the bytes of the event: `data` in a combined stream, else the frame itself.

    A list of events (the streams of all symbols send them) has the type "array".
    """
    head = _head(frame, "WebSocket frame")
    if head.stream is None or not bytes(head.data):
        return head.e, frame
    return _head(head.data, f"event of stream {head.stream}").e, head.data


def _head(data: str | bytes | msgspec.Raw, what: str) -> wire.EventHead:
    try:
        return decode(data, wire.EventHead, what=what)
    except MalformedAnswer:
        raw = data.encode() if isinstance(data, str) else bytes(data)
        if not raw.lstrip().startswith(b"[") or not decode(raw, tuple[wire.EventHead, ...], what=what):
            raise
        return wire.EventHead(e="array")


def side_of(word: str) -> Side:
    """Return the side of an order or trade.

    Raises:
        MalformedAnswer: neither BUY nor SELL.
    """
    try:
        return Side(word)
    except ValueError:
        raise MalformedAnswer(f"side {word!r} is neither BUY nor SELL") from None


def status_of(word: str, executed: Decimal, quantity: Decimal, ignored: Ignored) -> RecordStatus:
    """Return an order's status.

    A word that is not known (NEW_ADL has been one) is counted and read from the quantities: nothing proves such an
    order over unless all of it was executed.
    """
    try:
        return RecordStatus(word)
    except ValueError:
        ignored[f"status {word}"] += 1
    if executed == 0:
        return RecordStatus.NEW
    return RecordStatus.FILLED if executed >= quantity else RecordStatus.PARTIALLY_FILLED


def quantity_of(quantity: Decimal, executed: Decimal, instrument: Instrument, ignored: Ignored) -> QuantityLots:
    """Return an order's quantity in lots, at least what was executed of it.

    An amendment below the executed quantity ends a foreign order with less quantity than it traded; ours are never
    amended. It must not stop the stream that brings our own fills.
    """
    if quantity < executed:
        ignored["quantity below executed"] += 1
    return instrument.quantity_lots(max(quantity, executed))


def parse_user_event(frame: str | bytes, instrument: Instrument, ignored: Ignored) -> UserStreamEvent | None:
    """Return one event of the user stream, or None for one that the bot does not book (counted in `ignored`).

    Raises:
        ListenKeyGone: the stream's key expired; nothing more will arrive on it.
        MalformedAnswer: the event cannot be read, so what it said is not known.
    """
    kind, event = unwrap(frame)
    if kind == "ORDER_TRADE_UPDATE":
        order = decode(event, wire.WireOrderTradeUpdate, what="ORDER_TRADE_UPDATE").order
        if order.symbol == instrument.symbol:
            return UserStreamEvent(order=order_update(order, instrument, ignored))
        ignored["other symbol"] += 1
    elif kind == "ACCOUNT_UPDATE":
        update = decode(event, wire.WireAccountUpdate, what="ACCOUNT_UPDATE")
        return UserStreamEvent(account=account_update(update, instrument))
    elif kind == "listenKeyExpired":
        decode(event, wire.WireListenKeyExpired, what="listenKeyExpired")
        raise ListenKeyGone(-1125, "the listen key of the user stream expired")
    elif kind is None:
        ignored["no event type"] += 1
    else:
        ignored[kind if kind in KNOWN_USER_EVENTS else f"event {kind}"] += 1
    return None


def order_update(order: wire.WireOrderEvent, instrument: Instrument, ignored: Ignored) -> OrderUpdate:
    """Return an execution report, with its trade if it is a fill."""
    what = f"ORDER_TRADE_UPDATE of {order.client_order_id}"
    record = build(
        what,
        lambda: OrderRecord(
            client_order_id=order.client_order_id,
            order_id=order.order_id,
            side=side_of(order.side),
            price_ticks=instrument.price_ticks(order.price),
            quantity_lots=quantity_of(order.quantity, order.executed, instrument, ignored),
            executed_lots=instrument.quantity_lots(order.executed),
            status=status_of(order.status, order.executed, order.quantity, ignored),
            reduce_only=order.reduce_only,
            update_time_ms=order.transaction_time,
            expiry_reason=order.expiry_reason,
        ),
    )
    if order.execution not in KNOWN_EXECUTIONS:
        ignored[f"execution {order.execution}"] += 1
    has_trade = build(what, lambda: order.trade_id > 0 and order.last_quantity > 0)
    if order.execution == "TRADE" and not has_trade:
        raise MalformedAnswer(f"{what}: an execution of type TRADE without a trade")
    if not has_trade:
        return OrderUpdate(order=record)
    return OrderUpdate(order=record, trade=build(what, lambda: _stream_trade(order, instrument)))


def _stream_trade(order: wire.WireOrderEvent, instrument: Instrument) -> Trade:
    if (order.commission is None) != (order.commission_asset is None) and order.commission != 0:
        raise MalformedAnswer(f"trade {order.trade_id}: its fee comes without its asset, or the asset without the fee")
    return Trade(
        trade_id=order.trade_id,
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        side=side_of(order.side),
        price_ticks=instrument.price_ticks(order.last_price),
        quantity_lots=instrument.quantity_lots(order.last_quantity),
        realized_pnl_units=money_units(order.realized_pnl),
        # The documents: neither is pushed when nothing is charged.
        fee_units=money_units(order.commission or Decimal(0)),
        fee_asset=order.commission_asset or instrument.margin_asset,
        maker=order.maker,
        time_ms=order.transaction_time,
    )


def account_update(update: wire.WireAccountUpdate, instrument: Instrument) -> AccountUpdate:
    """Return a change of wallet or position; hedge-mode rows of the symbol are netted."""
    amounts = [row.amount for row in update.change.positions if row.symbol == instrument.symbol]
    return build(
        "ACCOUNT_UPDATE",
        lambda: AccountUpdate(
            reason=update.change.reason,
            position_lots=instrument.quantity_lots(sum(amounts, Decimal(0))) if amounts else None,
            time_ms=update.transaction_time,
        ),
    )


def parse_book_ticker(frame: str | bytes, instrument: Instrument, ignored: Ignored) -> BookTicker | None:
    """Return a best bid and ask, or None for another event or symbol (counted).

    Raises:
        MalformedAnswer: the event cannot be read.
    """
    kind, event = unwrap(frame)
    if kind != "bookTicker":
        ignored[f"event {kind}"] += 1
        return None
    ticker = decode(event, wire.WireBookTicker, what="bookTicker")
    if ticker.symbol != instrument.symbol:
        ignored["other symbol"] += 1
        return None
    if not build("bookTicker", lambda: ticker.bid > 0 and ticker.ask > 0):
        # One side of the book is empty: there is no price to decide by, and the watchdog sees the silence.
        ignored["one-sided book"] += 1
        return None
    return build(
        "bookTicker",
        lambda: BookTicker(
            bid_ticks=instrument.price_ticks(ticker.bid),
            ask_ticks=instrument.price_ticks(ticker.ask),
            time_ms=ticker.transaction_time,
        ),
    )


def parse_kline(frame: str | bytes, instrument: Instrument, ignored: Ignored) -> Kline | None:
    """Return a 1-minute kline, open or closed, or None for another event or symbol (counted).

    Raises:
        MalformedAnswer: the event cannot be read.
    """
    kind, event = unwrap(frame)
    if kind != "kline":
        ignored[f"event {kind}"] += 1
        return None
    kline = decode(event, wire.WireKlineEvent, what="kline").kline
    if kline.symbol != instrument.symbol or kline.interval != "1m":
        ignored["other symbol"] += 1
        return None
    return kline_of(kline, instrument, closed=kline.closed)


def kline_of(kline: wire.WireKline | wire.KlineRow, instrument: Instrument, *, closed: bool) -> Kline:
    """Return a kline; its volume is a statistic and is floored to the lot, its prices must be exact."""
    return build(
        f"kline at {kline.open_time}",
        lambda: Kline(
            open_time_ms=kline.open_time,
            open_ticks=instrument.price_ticks(kline.open),
            high_ticks=instrument.price_ticks(kline.high),
            low_ticks=instrument.price_ticks(kline.low),
            close_ticks=instrument.price_ticks(kline.close),
            volume_lots=instrument.floor_quantity_lots(kline.volume),
            closed=closed,
        ),
    )

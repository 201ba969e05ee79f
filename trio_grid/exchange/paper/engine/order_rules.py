"""Owns the rules that an order request must pass by itself: its parameters, the symbol's filters, the price band.

It must never look at accounts or the book (those rules are in `trading`). The order of checks is ours, the codes are
Binance's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from trio_grid.domain.events import Side
from trio_grid.domain.instrument import NotRepresentable
from trio_grid.exchange.paper.engine.records import PositionSide
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.engine.symbols import CONDITIONAL_TYPES, TIMES_IN_FORCE, PaperSymbol, decimals, plain

Params = Mapping[str, str]

STP_MODES = ("EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "NONE")
PRICE_MATCHES = ("NONE", "OPPONENT", "OPPONENT_5", "QUEUE", "QUEUE_5", "QUEUE_10", "QUEUE_20")
MIN_GOOD_TILL_MS = 600_000
_MAX_GOOD_TILL_MS = 253_402_300_799_000
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_DECIMAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")
_WHOLE = re.compile(r"[0-9]{1,19}")


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A placement whose parameters are well formed. `price_ticks` is 0 for MARKET, and while `price_match` rules."""

    side: Side
    order_type: str
    time_in_force: str
    price_ticks: int
    quantity_lots: int
    reduce_only: bool
    client_order_id: str | None
    wants_result: bool
    stp: str
    price_match: str
    good_till_ms: int
    position_side: PositionSide = PositionSide.BOTH


def text_of(params: Params, name: str) -> str:
    """Return a parameter that must be there; -1102 if it is missing or empty."""
    value = params.get(name, "")
    if not value:
        raise Refusal.MANDATORY.refuse(name)
    return value


def decimal_of(params: Params, name: str) -> Decimal:
    """Return a parameter as a decimal; -1102 if it is missing or malformed."""
    value = text_of(params, name)
    if _DECIMAL.fullmatch(value) is None:
        raise Refusal.MANDATORY.refuse(name)
    return Decimal(value)


def whole_of(params: Params, name: str, default: int | None = None) -> int | None:
    """Return a parameter as a whole number, `default` if it is absent; -1102 if it is malformed."""
    value = params.get(name)
    if value is None or value == "":
        return default
    if _WHOLE.fullmatch(value) is None:
        raise Refusal.MANDATORY.refuse(name)
    return int(value)


def flag_of(params: Params, name: str, default: bool = False) -> bool:
    """Return a parameter as true or false; -1102 if it is neither."""
    value = params.get(name)
    if value is None or value == "":
        return default
    if value.lower() not in ("true", "false"):
        raise Refusal.MANDATORY.refuse(name)
    return value.lower() == "true"


def position_side_of(params: Params) -> PositionSide:
    """Return the request's `positionSide`, BOTH if it says nothing; -4060 if there is no such side."""
    value = params.get("positionSide") or PositionSide.BOTH.value
    if value not in PositionSide.__members__:
        raise Refusal.BAD_POSITION_SIDE.refuse()
    return PositionSide(value)


def parse_position(params: Params, side: Side, *, hedge: bool) -> tuple[PositionSide, bool]:
    """Return which position an order is for, and whether it can only reduce it.

    In hedge mode the side says so by itself: a SELL of the LONG position closes, and `reduceOnly` may not be sent.

    Raises:
        PaperRefusal: -4060 for no such position side, -4061 where it does not fit the mode, -1106 for `reduceOnly` in
            hedge mode, -1102 where that is malformed.
    """
    position_side = position_side_of(params)
    if (position_side is PositionSide.BOTH) is hedge:
        raise Refusal.POSITION_SIDE.refuse()
    if not hedge:
        return position_side, flag_of(params, "reduceOnly")
    if params.get("reduceOnly"):
        raise Refusal.NOT_REQUIRED.refuse("reduceonly")
    return position_side, side is not position_side.opening_side


def limit_of(params: Params, default: int, maximum: int) -> int:
    """Return the request's `limit`; -1130 outside 1..maximum."""
    limit = whole_of(params, "limit", default)
    if limit is None or not 1 <= limit <= maximum:
        raise Refusal.BAD_PARAMETER.refuse("limit")
    return limit


def parse_order(params: Params, symbol: PaperSymbol, now_ms: int, *, hedge: bool = False) -> OrderRequest:
    """Return the placement that the parameters ask for; `hedge` is the account's position mode.

    Raises:
        PaperRefusal: a parameter is missing, malformed, not allowed here, or breaks a filter of the symbol.
    """
    side_text, order_type = text_of(params, "side"), text_of(params, "type")
    if side_text not in ("BUY", "SELL"):
        raise Refusal.BAD_SIDE.refuse()
    if order_type in CONDITIONAL_TYPES:
        raise Refusal.ALGO_ONLY.refuse()
    if order_type not in ("LIMIT", "MARKET"):
        raise Refusal.BAD_ORDER_TYPE.refuse()
    position_side, reduce_only = parse_position(params, Side(side_text), hedge=hedge)
    price_match = parse_price_match(params)
    stp = params.get("selfTradePreventionMode", "") or "EXPIRE_MAKER"
    if stp not in STP_MODES:
        raise Refusal.BAD_SELF_TRADE_PREVENTION.refuse()
    response = params.get("newOrderRespType", "") or "ACK"
    if response not in ("ACK", "RESULT"):
        raise Refusal.BAD_PARAMETER.refuse("newOrderRespType")
    time_in_force = _time_in_force(params, order_type)
    return OrderRequest(
        side=Side(side_text),
        order_type=order_type,
        time_in_force=time_in_force,
        price_ticks=_price(params, symbol, order_type, price_match),
        quantity_lots=parse_quantity(params, symbol, market=order_type == "MARKET"),
        reduce_only=reduce_only,
        client_order_id=parse_client_id(params),
        wants_result=response == "RESULT",
        stp=stp,
        price_match=price_match,
        good_till_ms=_good_till(params, time_in_force, now_ms),
        position_side=position_side,
    )


def parse_price_match(params: Params) -> str:
    """Return `priceMatch`, NONE if it is absent; -5037 if there is no such mode."""
    price_match = params.get("priceMatch", "NONE") or "NONE"
    if price_match not in PRICE_MATCHES:
        raise Refusal.BAD_PRICE_MATCH.refuse()
    return price_match


def _time_in_force(params: Params, order_type: str) -> str:
    value = params.get("timeInForce", "")
    if order_type == "MARKET":
        if value:
            raise Refusal.NOT_REQUIRED.refuse("timeinforce")
        return "GTC"
    if not value:
        raise Refusal.MANDATORY.refuse("timeInForce")
    if value not in TIMES_IN_FORCE:
        raise Refusal.BAD_TIME_IN_FORCE.refuse()
    return value


def _good_till(params: Params, time_in_force: str, now_ms: int) -> int:
    value = whole_of(params, "goodTillDate", 0) or 0
    if time_in_force != "GTD":
        if value:
            raise Refusal.NOT_REQUIRED.refuse("goodTillDate")
        return 0
    if not value:
        raise Refusal.MANDATORY.refuse("goodTillDate")
    whole_seconds = value // 1000 * 1000
    if not now_ms + MIN_GOOD_TILL_MS < whole_seconds <= _MAX_GOOD_TILL_MS:
        raise Refusal.BAD_GOOD_TILL_DATE.refuse()
    return whole_seconds


def parse_client_id(params: Params, name: str = "newClientOrderId") -> str | None:
    """Return the client's id for an order, None if it is absent; -4015 if it is malformed."""
    value = params.get(name)
    if value is None:
        return None
    if len(value) > 36:
        raise Refusal.LONG_CLIENT_ID.refuse()
    if _CLIENT_ID.fullmatch(value) is None:
        raise Refusal.BAD_CLIENT_ID.refuse()
    return value


def _price(params: Params, symbol: PaperSymbol, order_type: str, price_match: str) -> int:
    if order_type == "MARKET" and price_match != "NONE":
        raise Refusal.PRICE_MATCH_TYPE.refuse()
    if order_type == "MARKET" or price_match != "NONE":
        if params.get("price"):
            raise Refusal.NOT_REQUIRED.refuse("price")
        return 0
    return parse_price(params, symbol)


def parse_price(params: Params, symbol: PaperSymbol) -> int:
    """Return the request's price in ticks after precision and PRICE_FILTER."""
    item = symbol.instrument
    price = decimal_of(params, "price")
    if decimals(price) > symbol.price_digits:
        raise Refusal.PRECISION.refuse()
    if price <= 0:
        raise Refusal.PRICE_NOT_POSITIVE.refuse()
    if price > item.price(item.max_price_ticks):
        raise Refusal.PRICE_ABOVE_MAX.refuse()
    if price < item.price(item.min_price_ticks):
        raise Refusal.PRICE_BELOW_MIN.refuse()
    try:
        return item.price_ticks(price)
    except NotRepresentable:
        raise Refusal.PRICE_TICK.refuse() from None


def parse_quantity(params: Params, symbol: PaperSymbol, *, market: bool) -> int:
    """Return the request's quantity in lots after precision and LOT_SIZE or MARKET_LOT_SIZE."""
    item = symbol.instrument
    quantity = decimal_of(params, "quantity")
    if decimals(quantity) > symbol.quantity_digits:
        raise Refusal.PRECISION.refuse()
    if quantity <= 0:
        raise Refusal.QUANTITY_NOT_POSITIVE.refuse()
    largest = item.max_market_quantity_lots if market else item.max_quantity_lots
    if quantity > item.quantity(largest):
        raise Refusal.QUANTITY_ABOVE_MAX.refuse()
    if quantity < item.quantity(item.min_quantity_lots):
        raise Refusal.QUANTITY_BELOW_MIN.refuse()
    try:
        return item.quantity_lots(quantity)
    except NotRepresentable:
        raise Refusal.QUANTITY_STEP.refuse() from None


def check_band(symbol: PaperSymbol, side: Side, price_ticks: int, mark_half_ticks: int) -> None:
    """PERCENT_PRICE: a BUY may not be above mark x up (-4016), a SELL not below mark x down (-4024)."""
    item = symbol.instrument
    scaled = price_ticks * 2_000_000
    if side is Side.BUY and scaled > mark_half_ticks * item.price_band_up_ppm:
        bound = mark_half_ticks * item.price_band_up_ppm // 2_000_000
        raise Refusal.PRICE_ABOVE_BAND.refuse(plain(item.price(bound)))
    if side is Side.SELL and scaled < mark_half_ticks * item.price_band_down_ppm:
        bound = -(-mark_half_ticks * item.price_band_down_ppm // 2_000_000)
        raise Refusal.PRICE_BELOW_BAND.refuse(plain(item.price(bound)))


def check_notional(symbol: PaperSymbol, half_ticks: int, quantity_lots: int, refusal: Refusal) -> None:
    """MIN_NOTIONAL: price (in half ticks) x quantity must reach the filter."""
    smallest = symbol.instrument.min_notional_units
    if half_ticks * quantity_lots * symbol.unit < 2 * smallest:
        raise refusal.refuse(plain(Decimal(smallest).scaleb(-8)))

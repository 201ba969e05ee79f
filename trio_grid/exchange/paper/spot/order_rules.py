"""Owns the rules that a spot order must pass by itself: its parameters, the symbol's filters, the price band.

It must never look at wallets or the book (those rules are in `trading`). The order of checks is ours, the codes and
words are Binance's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from trio_grid.domain.events import Side
from trio_grid.domain.instrument import NotRepresentable, money_units
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.engine.symbols import decimals
from trio_grid.exchange.paper.spot.records import MARKET_TYPES, STOP_TYPES
from trio_grid.exchange.paper.spot.refusals import SpotRefusal
from trio_grid.exchange.paper.spot.symbols import (
    BAND_DOWN,
    BAND_UP,
    MAX_NOTIONAL,
    ORDER_TYPES,
    STP_DEFAULT,
    STP_MODES,
    TIMES_IN_FORCE,
    SpotSymbol,
)

Params = Mapping[str, str]

CLIENT_ID_RANGE = "^[a-zA-Z0-9-_]{1,36}$"
SYMBOL_RANGE = "^[A-Z0-9-_.]{1,20}$"
DECIMAL_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_CLIENT_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}")
_SYMBOL = re.compile(r"[A-Z0-9_.-]{1,20}")
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_MOST_DECIMALS = 8
_RESPONSES = ("ACK", "RESULT", "FULL")
_NOT_SERVED = {
    "icebergQty": SpotRefusal.NO_ICEBERG,
    "trailingDelta": SpotRefusal.NO_TRAILING,
    "pegPriceType": SpotRefusal.NO_PEGS,
    "pegOffsetValue": SpotRefusal.NO_PEGS,
    "pegOffsetType": SpotRefusal.NO_PEGS,
}
_LARGEST_QUANTITY = 10**18


class SpotRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A placement whose parameters are well formed; what does not belong to its type is 0.

    `response` is ACK, RESULT or FULL; `quote_units` is `quoteOrderQty` in units of the quote asset.
    """

    side: Side
    order_type: str
    time_in_force: str
    price_ticks: int
    stop_ticks: int
    quantity_lots: int
    quote_units: int
    client_order_id: str | None
    response: str
    stp: str
    strategy_id: int | None
    strategy_type: int | None


def required(params: Params, name: str) -> str:
    """Return a parameter that must be there: -1102 if it is missing, -1105 if it is empty."""
    value = params.get(name)
    if value is None:
        raise Refusal.MANDATORY.refuse(name)
    if not value:
        raise SpotRefusal.EMPTY.refuse(name)
    return value


def symbol_of(params: Params) -> str:
    """Return the name of the symbol that is asked for; -1100 for what can be no symbol."""
    name = required(params, "symbol")
    if _SYMBOL.fullmatch(name) is None:
        raise SpotRefusal.ILLEGAL.refuse("symbol", SYMBOL_RANGE)
    return name


def decimal_parameter(params: Params, name: str) -> Decimal:
    """Return a parameter as a decimal; -1100 if it is none, -1111 with more than eight decimals."""
    value = required(params, name)
    if _DECIMAL.fullmatch(value) is None:
        raise SpotRefusal.ILLEGAL.refuse(name, DECIMAL_RANGE)
    number = Decimal(value)
    if decimals(number) > _MOST_DECIMALS:
        raise SpotRefusal.PRECISION.refuse(name)
    return number


def client_id_of(params: Params, name: str) -> str | None:
    """Return a client order id, None where the exchange has to make one; -1100 for illegal ones."""
    value = params.get(name)
    if not value:
        return None
    if _CLIENT_ID.fullmatch(value) is None:
        raise SpotRefusal.ILLEGAL.refuse(name, CLIENT_ID_RANGE)
    return value


def parse_spot_order(params: Params, symbol: SpotSymbol) -> SpotRequest:
    """Return the placement that the parameters ask for.

    Raises:
        PaperRefusal: a parameter is missing, malformed, not allowed here, or breaks a filter of the symbol.
    """
    side_text, order_type = required(params, "side"), required(params, "type")
    if side_text not in ("BUY", "SELL"):
        raise Refusal.BAD_SIDE.refuse()
    if order_type not in ORDER_TYPES:
        raise Refusal.BAD_ORDER_TYPE.refuse()
    for name, refusal in _NOT_SERVED.items():
        if params.get(name) and Decimal(0) != _number_or_one(params[name]):
            raise refusal.refuse()
    market = order_type in MARKET_TYPES
    response = params.get("newOrderRespType") or ("FULL" if order_type in ("LIMIT", "MARKET") else "ACK")
    if response not in _RESPONSES:
        raise Refusal.BAD_PARAMETER.refuse("newOrderRespType")
    stp = params.get("selfTradePreventionMode") or STP_DEFAULT
    if stp not in STP_MODES:
        raise Refusal.BAD_PARAMETER.refuse("selfTradePreventionMode")
    time_in_force = _time_in_force(params, order_type)
    quantity_lots, quote_units = _quantities(params, symbol, order_type)
    return SpotRequest(
        side=Side(side_text),
        order_type=order_type,
        time_in_force=time_in_force,
        price_ticks=_no_price(params) if market else price_parameter(params, symbol, "price"),
        stop_ticks=price_parameter(params, symbol, "stopPrice") if order_type in STOP_TYPES else _no_stop(params),
        quantity_lots=quantity_lots,
        quote_units=quote_units,
        client_order_id=client_id_of(params, "newClientOrderId"),
        response=response,
        stp=stp,
        strategy_id=_whole(params, "strategyId"),
        strategy_type=_strategy_type(params),
    )


def _number_or_one(text: str) -> Decimal:
    return Decimal(text) if _DECIMAL.fullmatch(text) else Decimal(1)


def _whole(params: Params, name: str) -> int | None:
    text = params.get(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refusal.MANDATORY.refuse(name)
    return int(text)


def _strategy_type(params: Params) -> int | None:
    value = _whole(params, "strategyType")
    if value is not None and value < 1_000_000:
        raise Refusal.BAD_PARAMETER.refuse("strategyType")
    return value


def _no_price(params: Params) -> int:
    if params.get("price"):
        raise Refusal.NOT_REQUIRED.refuse("price")
    return 0


def _no_stop(params: Params) -> int:
    if params.get("stopPrice"):
        raise Refusal.NOT_REQUIRED.refuse("stopPrice")
    return 0


def _time_in_force(params: Params, order_type: str) -> str:
    value = params.get("timeInForce")
    if order_type in MARKET_TYPES or order_type == "LIMIT_MAKER":
        if value:
            raise Refusal.NOT_REQUIRED.refuse("timeInForce")
        return "GTC"
    if not value:
        raise Refusal.MANDATORY.refuse("timeInForce")
    if value not in TIMES_IN_FORCE:
        raise Refusal.BAD_TIME_IN_FORCE.refuse()
    return value


def _quantities(params: Params, symbol: SpotSymbol, order_type: str) -> tuple[int, int]:
    """Return (lots, quote units); one of them is 0."""
    by_quantity, by_quote = bool(params.get("quantity")), bool(params.get("quoteOrderQty"))
    if order_type == "MARKET":
        if by_quantity and by_quote:
            raise SpotRefusal.COMBINATION.refuse()
        if not by_quantity and not by_quote:
            raise SpotRefusal.EITHER.refuse("quantity", "quoteOrderQty")
        if by_quote:
            amount = decimal_parameter(params, "quoteOrderQty")
            if not 0 < amount < _LARGEST_QUANTITY:
                raise SpotRefusal.BAD_QUANTITY.refuse()
            return 0, money_units(amount)
    elif by_quote:
        raise Refusal.NOT_REQUIRED.refuse("quoteOrderQty")
    return quantity_parameter(params, symbol, "quantity", market=order_type in MARKET_TYPES), 0


def price_parameter(params: Params, symbol: SpotSymbol, name: str) -> int:
    """Return a price in ticks after PRICE_FILTER."""
    item, price = symbol.instrument, decimal_parameter(params, name)
    if price <= 0:
        raise SpotRefusal.BAD_PRICE.refuse()
    try:
        ticks = item.price_ticks(price)
    except NotRepresentable:
        raise SpotRefusal.FILTER.refuse("PRICE_FILTER") from None
    if not item.min_price_ticks <= ticks <= item.max_price_ticks:
        raise SpotRefusal.FILTER.refuse("PRICE_FILTER")
    return ticks


def quantity_parameter(params: Params, symbol: SpotSymbol, name: str, *, market: bool) -> int:
    """Return a quantity in lots after LOT_SIZE, and MARKET_LOT_SIZE for the types that take the market's price."""
    item, quantity = symbol.instrument, decimal_parameter(params, name)
    if quantity <= 0:
        raise SpotRefusal.BAD_QUANTITY.refuse()
    try:
        lots = item.quantity_lots(quantity)
    except NotRepresentable:
        raise SpotRefusal.FILTER.refuse("LOT_SIZE") from None
    if not item.min_quantity_lots <= lots <= item.max_quantity_lots:
        raise SpotRefusal.FILTER.refuse("LOT_SIZE")
    if market and lots > item.max_market_quantity_lots:
        raise SpotRefusal.FILTER.refuse("MARKET_LOT_SIZE")
    return lots


def check_filters(symbol: SpotSymbol, request: SpotRequest, average: tuple[int, int]) -> None:
    """Check PERCENT_PRICE_BY_SIDE and NOTIONAL; `average` is (ticks x lots, lots) of the average price."""
    cost, lots = average
    for ticks in (request.price_ticks, request.stop_ticks if request.order_type in MARKET_TYPES else 0):
        # Both sides of each comparison are times `lots`; the lower bound is also times 5.
        if ticks and (ticks * lots > BAND_UP * cost or 5 * ticks * lots < int(5 * BAND_DOWN) * cost):
            raise SpotRefusal.FILTER.refuse("PERCENT_PRICE_BY_SIDE")
    if request.quote_units:
        notional = request.quote_units
    elif request.price_ticks or request.stop_ticks:
        notional = (request.price_ticks or request.stop_ticks) * request.quantity_lots * symbol.unit
    else:
        notional = cost * request.quantity_lots * symbol.unit // lots
    check_notional(symbol, notional, market=request.order_type in MARKET_TYPES)


def check_notional(symbol: SpotSymbol, units: int, *, market: bool) -> None:
    """NOTIONAL: at least the minimum; at most the maximum where the order names its price."""
    if units < symbol.instrument.min_notional_units or (not market and units > money_units(MAX_NOTIONAL)):
        raise SpotRefusal.FILTER.refuse("NOTIONAL")

"""Owns what a conditional order is: its record, the rules that its parameters must pass by themselves, its trigger.

It must never look at accounts, the book or other orders (`conditional_orders` does). Prices that are compared are in
half ticks, so that mark prices are whole numbers too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

import msgspec
from msgspec.structs import replace as _replace

from trio_grid.domain.events import Side
from trio_grid.domain.instrument import NotRepresentable
from trio_grid.exchange.paper.engine.order_rules import (
    OrderRequest,
    check_notional,
    decimal_of,
    flag_of,
    parse_client_id,
    parse_order,
    text_of,
)
from trio_grid.exchange.paper.engine.records import PositionSide
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.engine.symbols import CONDITIONAL_TYPES, PaperSymbol, decimals, plain

Params = Mapping[str, str]

LIMIT_TYPES = ("STOP", "TAKE_PROFIT")
CLOSING_TYPES = ("STOP_MARKET", "TAKE_PROFIT_MARKET")
TRAILING = "TRAILING_STOP_MARKET"
WITH_POSITION = "GTE_GTC"
"""The time in force of an order that ends with the position that it protects; what it places is GTC."""
WORKING_TYPES = ("CONTRACT_PRICE", "MARK_PRICE")
CALLBACK_SCALE = 1_000
_CALLBACK = re.compile(r"[0-9]{1,2}(\.[0-9]0*)?")
_SMALLEST_CALLBACK, _LARGEST_CALLBACK = 1, 100


class ConditionalOrder(msgspec.Struct, kw_only=True, array_like=True):
    """One conditional order; `request` is what it places when it triggers.

    `trigger_ticks` is 0 for a trailing one, which has `callback` (tenths of a percent) and maybe `activate_ticks`;
    `extreme_half` is its best price since it was activated, 0 before. `executed_*` follow the order that it placed.
    """

    account: str
    symbol: str
    order_type: str
    request: OrderRequest
    time_in_force: str
    working_type: str
    trigger_ticks: int
    activate_ticks: int
    callback: int
    close_position: bool
    price_protect: bool
    client_algo_id: str
    create_ms: int
    update_ms: int
    algo_id: int = 0
    status: str = "NEW"
    extreme_half: int = 0
    trigger_ms: int = 0
    actual_order_id: int = 0
    executed_lots: int = 0
    executed_cost: int = 0
    reason: str = ""

    @property
    def waits(self) -> bool:
        """True while the order has not triggered and can still be cancelled."""
        return self.status == "NEW"

    @property
    def good_till_ms(self) -> int:
        """When a GTD order ends, 0 for any other."""
        return self.request.good_till_ms

    @property
    def direction(self) -> tuple[str, str, Side, PositionSide]:
        """What there may be one closing order of: symbol, type, side, position."""
        return self.symbol, self.order_type, self.request.side, self.request.position_side

    @property
    def triggers_upwards(self) -> bool:
        """True for the orders that trigger at a price at or above their trigger price."""
        return (self.request.side is Side.BUY) == self.order_type.startswith("STOP")

    def reached_by(self, half_ticks: int) -> bool:
        """Return whether a price triggers the order; a trailing one takes note of the price."""
        if self.order_type == TRAILING:
            return self._trailed_to(half_ticks)
        trigger = 2 * self.trigger_ticks
        return half_ticks >= trigger if self.triggers_upwards else half_ticks <= trigger

    def _trailed_to(self, half_ticks: int) -> bool:
        sells = self.request.side is Side.SELL
        if self.extreme_half == 0:
            activate = 2 * self.activate_ticks
            if half_ticks >= activate if sells else half_ticks <= activate:
                self.extreme_half = half_ticks
            return False
        if sells:
            self.extreme_half = max(self.extreme_half, half_ticks)
            return half_ticks * CALLBACK_SCALE <= self.extreme_half * (CALLBACK_SCALE - self.callback)
        self.extreme_half = min(self.extreme_half, half_ticks)
        return half_ticks * CALLBACK_SCALE >= self.extreme_half * (CALLBACK_SCALE + self.callback)

    def would_trigger_at(self, half_ticks: int) -> bool:
        """Return whether the order would trigger (a trailing one: be activated) at once at a price."""
        if self.order_type != TRAILING:
            return self.reached_by(half_ticks)
        if self.activate_ticks == 0:
            return False
        activate = 2 * self.activate_ticks
        return half_ticks >= activate if self.request.side is Side.SELL else half_ticks <= activate


def parse_conditional(
    params: Params, account: str, symbol: PaperSymbol, now_ms: int, *, hedge: bool = False
) -> ConditionalOrder:
    """Return the conditional order that the parameters ask for; `hedge` is the account's position mode.

    Raises:
        PaperRefusal: a parameter is missing, malformed, not allowed here, or breaks a filter of the symbol.
    """
    if text_of(params, "algoType") != "CONDITIONAL":
        raise Refusal.BAD_PARAMETER.refuse("algoType")
    order_type = text_of(params, "type")
    if order_type not in CONDITIONAL_TYPES:
        raise Refusal.BAD_ORDER_TYPE.refuse()
    working_type = params.get("workingType", "") or "CONTRACT_PRICE"
    if working_type not in WORKING_TYPES:
        raise Refusal.BAD_WORKING_TYPE.refuse(working_type)
    closes = _closes(params, order_type)
    time_in_force = WITH_POSITION if closes else params.get("timeInForce", "") or "GTC"
    request = _request(params, order_type, symbol, now_ms, closes=closes, time_in_force=time_in_force, hedge=hedge)
    trigger, activate, callback = _prices(params, order_type, symbol)
    if not request.reduce_only:
        # A trailing one has no price of its own yet: it is measured when it triggers.
        priced = request.price_ticks or trigger
        if priced:
            check_notional(symbol, 2 * priced, request.quantity_lots, Refusal.MIN_NOTIONAL)
    return ConditionalOrder(
        account=account,
        symbol=symbol.name,
        order_type=order_type,
        request=request,
        time_in_force=time_in_force,
        working_type=working_type,
        trigger_ticks=trigger,
        activate_ticks=activate,
        callback=callback,
        close_position=closes,
        price_protect=flag_of(params, "priceProtect"),
        client_algo_id=parse_client_id(params, "clientAlgoId") or "",
        create_ms=now_ms,
        update_ms=now_ms,
    )


def _closes(params: Params, order_type: str) -> bool:
    """Return whether the order closes the whole position, after the rules of `closePosition`."""
    if not flag_of(params, "closePosition"):
        return False
    if order_type not in CLOSING_TYPES:
        raise Refusal.CLOSE_TYPE.refuse(order_type, "true")
    if params.get("quantity") and Decimal(decimal_of(params, "quantity")) != 0:
        raise Refusal.CLOSE_QUANTITY.refuse()
    if flag_of(params, "reduceOnly"):
        raise Refusal.NOT_REQUIRED.refuse("reduceonly")
    return True


def _request(
    params: Params, order_type: str, symbol: PaperSymbol, now_ms: int, *, closes: bool, time_in_force: str, hedge: bool
) -> OrderRequest:
    """Return the order to place, by the rules of any order; one that closes a position gets its quantity later."""
    limit = order_type in LIMIT_TYPES
    placed = {name: value for name, value in params.items() if name not in ("timeInForce", "newClientOrderId")}
    placed["type"] = "LIMIT" if limit else "MARKET"
    if limit:
        placed["timeInForce"] = "GTC" if time_in_force == WITH_POSITION else time_in_force
    elif time_in_force not in ("GTC", WITH_POSITION):
        raise Refusal.BAD_TIME_IN_FORCE.refuse()
    if closes:
        placed["quantity"] = plain(symbol.instrument.quantity(symbol.instrument.min_quantity_lots))
    request = parse_order(placed, symbol, now_ms, hedge=hedge)
    return _replace(request, reduce_only=True, quantity_lots=0) if closes else request


def _prices(params: Params, order_type: str, symbol: PaperSymbol) -> tuple[int, int, int]:
    """Return (trigger price, activation price, callback rate) as the type wants them; the others are 0."""
    if order_type != TRAILING:
        for name in ("activatePrice", "callbackRate"):
            if params.get(name):
                raise Refusal.NOT_REQUIRED.refuse(name)
        return _trigger_price(params, "triggerPrice", symbol), 0, 0
    if params.get("triggerPrice"):
        raise Refusal.NOT_REQUIRED.refuse("triggerPrice")
    activate = _trigger_price(params, "activatePrice", symbol) if params.get("activatePrice") else 0
    text = text_of(params, "callbackRate")
    if _CALLBACK.fullmatch(text) is None:
        raise Refusal.BAD_CALLBACK_RATE.refuse()
    callback = int(Decimal(text) * 10)
    if not _SMALLEST_CALLBACK <= callback <= _LARGEST_CALLBACK:
        raise Refusal.BAD_CALLBACK_RATE.refuse()
    return 0, activate, callback


def _trigger_price(params: Params, name: str, symbol: PaperSymbol) -> int:
    item, price = symbol.instrument, decimal_of(params, name)
    if decimals(price) > symbol.price_digits:
        raise Refusal.PRECISION.refuse()
    if price <= 0:
        raise Refusal.TRIGGER_NOT_POSITIVE.refuse()
    if price > item.price(item.max_price_ticks):
        raise Refusal.TRIGGER_ABOVE_MAX.refuse()
    try:
        return item.price_ticks(price)
    except NotRepresentable:
        raise Refusal.PRICE_TICK.refuse() from None

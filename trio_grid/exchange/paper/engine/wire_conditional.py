"""Owns the texts of conditional orders: their REST bodies and their event, ALGO_UPDATE.

It must never decide or change anything. REST pads numbers to the symbol's precision, the event trims them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from trio_grid.exchange.paper.engine.conditional_rules import TRAILING, ConditionalOrder
from trio_grid.exchange.paper.engine.symbols import PaperSymbol, plain
from trio_grid.exchange.paper.engine.wire import average_price, average_text, price_text, quantity_text

Body = dict[str, Any]


def conditional_body(symbol: PaperSymbol, order: ConditionalOrder) -> Body:
    """Return a conditional order as the answer to its placement shows it."""
    request, trails = order.request, order.order_type == TRAILING
    return {
        "algoId": order.algo_id,
        "clientAlgoId": order.client_algo_id,
        "algoType": "CONDITIONAL",
        "orderType": order.order_type,
        "symbol": order.symbol,
        "side": request.side.value,
        "positionSide": request.position_side.value,
        "timeInForce": order.time_in_force,
        "quantity": quantity_text(symbol, request.quantity_lots),
        "algoStatus": order.status,
        "triggerPrice": price_text(symbol, order.trigger_ticks),
        "price": price_text(symbol, request.price_ticks),
        "icebergQuantity": None,
        "selfTradePreventionMode": request.stp,
        "workingType": order.working_type,
        "priceMatch": request.price_match,
        "closePosition": order.close_position,
        "priceProtect": order.price_protect,
        "reduceOnly": request.reduce_only,
        "activatePrice": price_text(symbol, order.activate_ticks) if trails and order.activate_ticks else "",
        "callbackRate": _callback_text(order) if trails else "",
        "createTime": order.create_ms,
        "updateTime": order.update_ms,
        "triggerTime": order.trigger_ms,
        "goodTillDate": order.good_till_ms,
    }


def queried_body(symbol: PaperSymbol, order: ConditionalOrder) -> Body:
    """Return a conditional order as the query of one shows it: also what became of the order that it placed.

    The names of a trailing order are left out of every other, as the exchange's documents have it: there are clients
    that take an empty rate for a number.
    """
    body = conditional_body(symbol, order)
    if order.order_type != TRAILING:
        del body["activatePrice"], body["callbackRate"]
    return body | {
        "actualOrderId": str(order.actual_order_id or ""),
        "actualPrice": average_text(symbol, order.executed_cost, order.executed_lots),
        "actualQty": quantity_text(symbol, order.executed_lots),
        "actualType": order.request.order_type if order.actual_order_id else "",
        "tpOrderType": "",
    }


def listed_body(symbol: PaperSymbol, order: ConditionalOrder) -> Body:
    """Return a conditional order as the lists show it; take-profit and stop-loss legs of other algorithms are 0."""
    legs = {name: price_text(symbol, 0) for name in ("tpTriggerPrice", "tpPrice", "slTriggerPrice", "slPrice")}
    return queried_body(symbol, order) | legs


def _callback_text(order: ConditionalOrder) -> str:
    return plain(Decimal(order.callback).scaleb(-1))


def algo_event(symbol: PaperSymbol, order: ConditionalOrder) -> Body:
    """Return an ALGO_UPDATE: the order as it is now; figures of the placed order once there is one."""
    item, request = symbol.instrument, order.request
    body: Body = {
        "caid": order.client_algo_id,
        "aid": order.algo_id,
        "at": "CONDITIONAL",
        "o": order.order_type,
        "s": order.symbol,
        "S": request.side.value,
        "ps": request.position_side.value,
        "f": order.time_in_force,
        "q": plain(item.lot_size * request.quantity_lots),
        "X": order.status,
        "ai": str(order.actual_order_id or ""),
    }
    if order.actual_order_id:
        body["ap"] = plain(average_price(symbol, order.executed_cost, order.executed_lots))
        body["aq"] = plain(item.lot_size * order.executed_lots)
        body["act"] = request.order_type
    body |= {
        "tp": plain(item.tick_size * order.trigger_ticks),
        "p": plain(item.tick_size * request.price_ticks),
        "V": request.stp,
        "wt": order.working_type,
        "pm": request.price_match,
        "cp": order.close_position,
        "pP": order.price_protect,
        "R": request.reduce_only,
        "tt": order.trigger_ms,
        "gtd": order.good_till_ms,
    }
    if order.reason:
        body["rm"] = order.reason
    body["ia"] = order.extreme_half > 0
    return {"e": "ALGO_UPDATE", "T": order.update_ms, "E": order.update_ms, "o": body}

"""What the server can do for spot beyond a plain query or command: weights, limits, and answers of its own.

Owns the meaning of spot's requests, as `operations` does for futures. It must never await or know a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from trio_grid.exchange.paper.server.operations import Call, Run, Weight, by_limit
from trio_grid.exchange.paper.server.request_limits import wire_limit
from trio_grid.exchange.paper.spot.exchange import SpotExchange
from trio_grid.exchange.paper.spot.refusals import SpotRefusal

Params = Mapping[str, str]


def public(query: Callable[[SpotExchange, Params, int], Any]) -> Run:
    """Return the call of a public query of spot."""
    return lambda call: query(call.exchange.spot, call.parameters, call.now_ms)


def private(command: Callable[..., Any]) -> Run:
    """Return the call of an account's query or command of spot."""
    return lambda call: command(call.exchange.spot, call.account, call.parameters, call.now_ms)


def exchange_info(call: Call) -> Any:
    """Tell the symbols, their filters and the limits."""
    return call.exchange.spot.exchange_info(call.limits.settings.wire(), call.parameters, call.now_ms)


def order_rate_limits(call: Call) -> Any:
    """Tell the account's order limits with its unfilled orders."""
    return [wire_limit(limit, count) for limit, count in call.limits.order_counts(call.account, call.now_ms)]


def no_order_list(kind: str) -> Run:
    """Return the call that refuses an order list: no symbol allows them."""

    def refuse(call: Call) -> Any:
        call.exchange.spot.desk_of(call.parameters)
        raise SpotRefusal.NO_LISTS.refuse(kind)

    return refuse


depth_weight = by_limit(100, (100, 5), (500, 25), (1000, 50), (5000, 250))


def _symbols_asked(parameters: Params) -> int | None:
    """Return how many symbols a request names; None for all."""
    if parameters.get("symbol"):
        return 1
    try:
        return len(msgspec.json.decode(parameters.get("symbols") or "null", type=list[str] | None) or ()) or None
    except (msgspec.DecodeError, UnicodeError):
        return 1


def several(one: int, more: int) -> Weight:
    """Return a weight that is higher for several symbols, and for all of them."""
    return lambda parameters: one if parameters.get("symbol") else more


def day_ticker_weight(parameters: Params) -> int:
    """Return the weight of the 24 h ticker: by the number of symbols."""
    count = _symbols_asked(parameters)
    if count is None or count > 100:
        return 80
    return 2 if count <= 20 else 40


def window_ticker_weight(parameters: Params) -> int:
    """Return the weight of the rolling and of the trading day's ticker: 4 a symbol, at most 200."""
    return min(200, 4 * (_symbols_asked(parameters) or 1))


def test_order_weight(parameters: Params) -> int:
    """Return the weight of a test order: more if it is to compute the commission."""
    return 20 if parameters.get("computeCommissionRates", "").lower() == "true" else 1


def trades_weight(parameters: Params) -> int:
    """Return the weight of myTrades: less for one order's."""
    return 5 if parameters.get("orderId") else 20


def prevented_weight(parameters: Params) -> int:
    """Return the weight of myPreventedMatches: less for a single one."""
    return 2 if parameters.get("preventedMatchId") else 20

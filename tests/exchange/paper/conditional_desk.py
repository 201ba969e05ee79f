"""Conditional orders as the tests of them speak: usual parameters, short ways to place and ask, the events by name."""

from __future__ import annotations

from typing import Any

from tests.exchange.paper.scripted_market import Trader
from trio_grid.exchange.paper.engine.exchange import PaperExchange, UserEvent

SYMBOL = {"symbol": "TESTUSDT"}
STOP = SYMBOL | {"algoType": "CONDITIONAL", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.060"}
STOP_AT = STOP | {"triggerPrice": "99.0"}
CLOSE = SYMBOL | {"algoType": "CONDITIONAL", "side": "SELL", "closePosition": "true"}


def place(trader: Trader, params: dict[str, str], **more: str) -> dict[str, Any]:
    return trader.exchange.place_conditional(trader.name, params | more, trader.exchange.now_ms)


def query(trader: Trader, order: dict[str, Any]) -> dict[str, Any]:
    return trader.exchange.query_conditional(trader.name, {"algoId": str(order["algoId"])}, trader.exchange.now_ms)


def statuses(exchange: PaperExchange, account: str = "ann") -> list[str]:
    """Take the events and name those of an account: ALGO_UPDATE by its status, orders by x/X, others by kind."""
    names = []
    for event in exchange.take_events():
        if isinstance(event, UserEvent) and event.account == account:
            order = event.payload.get("o", {})
            names.append(order["X"] if event.kind == "ALGO_UPDATE" else f"{order['x']}/{order['X']}" if order else "")
    return [name for name in names if name]

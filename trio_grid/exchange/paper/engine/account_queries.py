"""Owns the answers about what an account did: orders, trades, income, in Binance's bodies.

It must never change anything but time: every question first lets the market come to its moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from trio_grid.exchange.paper.engine.account import DAY_MS
from trio_grid.exchange.paper.engine.desk import Desk
from trio_grid.exchange.paper.engine.order_rules import limit_of, whole_of
from trio_grid.exchange.paper.engine.position_queries import PositionQueries
from trio_grid.exchange.paper.engine.records import PaperOrder, PaperTrade
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.engine.wire import income_body, order_body, trade_body

Params = Mapping[str, str]
Body = dict[str, Any]
_Row = TypeVar("_Row")

WINDOW_MS = 7 * DAY_MS
"""allOrders and userTrades answer for at most seven days in one request."""


def window(params: Params, now_ms: int) -> tuple[int, int]:
    """Return (startTime, endTime); either alone is completed to seven days, none means the last seven."""
    start, end = whole_of(params, "startTime"), whole_of(params, "endTime")
    if start is not None and end is not None and (end < start or end - start > WINDOW_MS):
        raise Refusal.BAD_PARAMETER.refuse("startTime")
    if start is None:
        end = now_ms if end is None else end
        return end - WINDOW_MS, end
    return start, start + WINDOW_MS if end is None else end


def income_window(params: Params, now_ms: int) -> tuple[int, int]:
    """Return (startTime, endTime) of an income request: a window as long as the memory of income, three months."""
    start, end = whole_of(params, "startTime"), whole_of(params, "endTime")
    if start is not None and end is not None and end < start:
        raise Refusal.BAD_PARAMETER.refuse("startTime")
    end = now_ms if end is None else end
    return (end - WINDOW_MS if start is None else start), end


class AccountQueries(PositionQueries):
    """Questions about orders, trades and income."""

    def query_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Return one order, open or not; -2013 if the exchange does not show it."""
        self.advance(now_ms)
        desk, order = self.find_order(account, params, Refusal.NO_SUCH_ORDER)
        return order_body(desk.symbol, order, with_time=True)

    def open_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Return one open order; -2013 if it is closed or unknown."""
        self.advance(now_ms)
        desk, order = self.find_order(account, params, Refusal.NO_SUCH_ORDER)
        if not order.is_open:
            raise Refusal.NO_SUCH_ORDER.refuse()
        return order_body(desk.symbol, order, with_time=True)

    def open_orders(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return the open orders of a symbol, or of all symbols, oldest first."""
        self.advance(now_ms)
        owner = self.account_of(account)
        return [
            order_body(desk.symbol, order, with_time=True)
            for desk in self.wanted(params)
            for order in owner.open_on(desk.name).values()
        ]

    def all_orders(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return orders by ascending id: from `orderId` on, or of a window of at most seven days."""
        self.advance(now_ms)
        owner, limit = self.account_of(account), limit_of(params, 500, 1000)
        first = whole_of(params, "orderId")
        start, end = window(params, self.now_ms)
        rows: list[tuple[Desk, PaperOrder]] = [
            (desk, order)
            for desk in self.wanted(params)
            for order in owner.orders.get(desk.name, {}).values()
            if (order.order_id >= first if first is not None else start <= order.time_ms <= end)
        ]
        oldest_first = first is not None or "startTime" in params
        bodies = [order_body(desk.symbol, order, with_time=True) for desk, order in page(rows, limit, oldest_first)]
        return [{**body, "pair": body["symbol"], "cumBase": body["executedQty"]} for body in bodies]

    def user_trades(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return trades by ascending id: from `fromId` on, of an order, or of a window of at most seven days."""
        self.advance(now_ms)
        desk = self.desk_of(params.get("symbol"))
        trades = self.account_of(account).trades.get(desk.name, ())
        limit, first = limit_of(params, 500, 1000), whole_of(params, "fromId")
        order_id = whole_of(params, "orderId")
        timed = params.get("startTime") or params.get("endTime")
        if first is not None and timed:
            raise Refusal.BAD_PARAMETER.refuse("fromId")
        start, end = window(params, self.now_ms)
        rows: list[PaperTrade] = [
            trade
            for trade in trades
            if (order_id is None or trade.order_id == order_id)
            and (first is None or trade.trade_id >= first)
            and (first is not None or (order_id is not None and not timed) or start <= trade.time_ms <= end)
        ]
        oldest_first = first is not None or "startTime" in params
        return [trade_body(desk.symbol, trade) for trade in page(rows, limit, oldest_first)]

    def income(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return income rows, ascending, from `startTime` to `endTime`; of the last seven days without either."""
        self.advance(now_ms)
        limit, kind, symbol = limit_of(params, 100, 1000), params.get("incomeType"), params.get("symbol")
        start, end = income_window(params, self.now_ms)
        rows = [
            row
            for row in self.account_of(account).income
            if start <= row.time_ms <= end and kind in (None, "", row.kind) and symbol in (None, "", row.symbol)
        ]
        chosen = page(rows, limit, "startTime" in params)
        return [income_body(row, self.margin_asset) for row in chosen]


def page(rows: Sequence[_Row], limit: int, oldest_first: bool) -> Sequence[_Row]:
    """Return one page: the first rows where the request says from where on, else the newest; ascending either way."""
    return rows[:limit] if oldest_first else rows[-limit:]

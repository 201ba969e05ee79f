"""Owns the answers about one spot wallet: orders, trades, balances, commissions, in Binance's bodies.

It must never change anything but time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from trio_grid.exchange.paper.engine.account import DAY_MS
from trio_grid.exchange.paper.engine.order_rules import flag_of, whole_of
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.spot import wire
from trio_grid.exchange.paper.spot.order_rules import Params
from trio_grid.exchange.paper.spot.refusals import SpotRefusal
from trio_grid.exchange.paper.spot.symbols import amount_text
from trio_grid.exchange.paper.spot.trading import SpotTrading

Body = dict[str, Any]
_Row = TypeVar("_Row")
LARGEST_PAGE = 1_000
COMMISSION = {"maker": "0.00100000", "taker": "0.00100000", "buyer": "0.00000000", "seller": "0.00000000"}
NO_COMMISSION = dict.fromkeys(COMMISSION, "0.00000000")


def page_size(params: Params, default: int = 500, largest: int = LARGEST_PAGE) -> int:
    """Return the request's `limit`, cut to the largest that is served; -1130 for 0."""
    limit = whole_of(params, "limit", default) or 0
    if limit < 1:
        raise Refusal.BAD_PARAMETER.refuse("limit")
    return min(limit, largest)


def time_window(params: Params) -> tuple[int | None, int | None]:
    """Return (startTime, endTime); together they may span 24 hours (-1127)."""
    start, end = whole_of(params, "startTime"), whole_of(params, "endTime")
    if start is not None and end is not None:
        if end < start:
            raise Refusal.BAD_PARAMETER.refuse("startTime")
        if end - start > DAY_MS:
            raise SpotRefusal.LONG_WINDOW.refuse(24)
    return start, end


def _within(time_ms: int, start: int | None, end: int | None) -> bool:
    return (start is None or time_ms >= start) and (end is None or time_ms <= end)


def _page(rows: Sequence[_Row], limit: int, from_start: bool) -> Sequence[_Row]:
    return rows[:limit] if from_start else rows[-limit:]


class SpotAccountQueries(SpotTrading):
    """Questions of a wallet."""

    def query_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Return one order, open or not; -2013 if the exchange does not show it."""
        self._come_to(now_ms)
        desk = self.desk_of(params)
        order = self.find_order(self.account_of(account), desk, params, Refusal.NO_SUCH_ORDER)
        return wire.order_body(desk.symbol, order)

    def open_orders(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return the open orders of a symbol, or of all symbols, oldest first."""
        self._come_to(now_ms)
        owner = self.account_of(account)
        desks = [self.desk_of(params)] if params.get("symbol") else list(self.desks.values())
        return [wire.order_body(desk.symbol, order) for desk in desks for order in owner.open_on(desk.name).values()]

    def all_orders(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return orders by ascending id: from `orderId` on, or of a window of at most 24 hours."""
        self._come_to(now_ms)
        desk, limit = self.desk_of(params), page_size(params)
        first, (start, end) = whole_of(params, "orderId"), time_window(params)
        orders = self.account_of(account).orders.get(desk.name, {})
        rows = [
            order
            for order in orders.values()
            if (first is None or order.order_id >= first) and _within(order.time_ms, start, end)
        ]
        chosen = _page(rows, limit, first is not None or start is not None)
        return [wire.order_body(desk.symbol, order) for order in chosen]

    def my_trades(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return trades by ascending id: of an order, from `fromId` on, or of a window of at most 24 hours."""
        self._come_to(now_ms)
        desk, limit = self.desk_of(params), page_size(params)
        order_id, first, (start, end) = whole_of(params, "orderId"), whole_of(params, "fromId"), time_window(params)
        if first is not None and (start is not None or end is not None):
            raise SpotRefusal.COMBINATION.refuse()
        rows = [
            trade
            for trade in self.account_of(account).trades.get(desk.name, ())
            if (order_id is None or trade.order_id == order_id)
            and (first is None or trade.trade_id >= first)
            and _within(trade.time_ms, start, end)
        ]
        return [wire.trade_body(desk.symbol, t) for t in _page(rows, limit, first is not None or start is not None)]

    def prevented_matches(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return the matches that self-trade prevention did not let happen: one by its id, or an order's."""
        self._come_to(now_ms)
        desk, limit = self.desk_of(params), page_size(params)
        match_id, order_id = whole_of(params, "preventedMatchId"), whole_of(params, "orderId")
        if match_id is None and order_id is None:
            raise SpotRefusal.EITHER.refuse("preventedMatchId", "orderId")
        first = whole_of(params, "fromPreventedMatchId", 0) or 0
        rows = [
            match
            for match in self.account_of(account).prevented.get(desk.name, ())
            if (match_id is None or match.match_id == match_id)
            and (order_id is None or order_id in (match.taker_order_id, match.maker_order_id))
            and match.match_id >= first
        ]
        return [wire.prevented_body(desk.symbol, match) for match in rows[:limit]]

    def order_amendments(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return the reductions of an order's quantity, oldest first."""
        self._come_to(now_ms)
        desk, limit = self.desk_of(params), page_size(params)
        order_id, first = whole_of(params, "orderId"), whole_of(params, "fromExecutionId", 0) or 0
        if order_id is None:
            raise Refusal.MANDATORY.refuse("orderId")
        rows = [
            change
            for change in self.account_of(account).amendments.get(desk.name, ())
            if change.order_id == order_id and change.execution_id >= first
        ]
        return [wire.amendment_body(desk.symbol, change) for change in rows[:limit]]

    def account_information(self, account: str, params: Params, now_ms: int) -> Body:
        """Return the wallet: every asset, or with `omitZeroBalances` those of which it has something."""
        self._come_to(now_ms)
        owner, omits = self.account_of(account), flag_of(params, "omitZeroBalances")
        assets = dict.fromkeys(asset for symbol in self.symbols.values() for asset in (symbol.base, symbol.quote))
        balances = []
        for asset in assets:
            balance = owner.balance(asset)
            if balance.free or balance.locked or not omits:
                free, locked = amount_text(balance.free), amount_text(balance.locked)
                balances.append({"asset": asset, "free": free, "locked": locked})
        return {
            "makerCommission": 10,
            "takerCommission": 10,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": dict(COMMISSION),
            "canTrade": True,
            "canWithdraw": False,
            "canDeposit": False,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": owner.update_time_ms,
            "accountType": "SPOT",
            "balances": balances,
            "permissions": ["SPOT"],
            "uid": owner.uid,
        }

    def trade_fees(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return the fees of one symbol, or of all."""
        self._come_to(now_ms)
        self.account_of(account)
        names = [self.desk_of(params).name] if params.get("symbol") else list(self.symbols)
        return [{"symbol": name, "makerCommission": "0.001", "takerCommission": "0.001"} for name in names]

    def commission(self, account: str, params: Params, now_ms: int) -> Body:
        """Return the commission rates of a symbol."""
        self._come_to(now_ms)
        self.account_of(account)
        desk = self.desk_of(params)
        return {
            "symbol": desk.name,
            "standardCommission": dict(COMMISSION),
            "specialCommission": dict(NO_COMMISSION),
            "taxCommission": dict(NO_COMMISSION),
            "discount": {
                "enabledForAccount": False,
                "enabledForSymbol": False,
                "discountAsset": "BNB",
                "discount": "0.25000000",
            },
        }

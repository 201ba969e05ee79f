"""Owns one spot wallet: free and locked balances by asset, its orders and trades.

It must never decide what an order costs. Every change of a balance goes through `lock`, `unlock`, `pay` and `receive`,
in whole units of 1e-8, so that nothing is lost by rounding.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from trio_grid.exchange.paper.engine.account import MEMORY_MS, MOST_ORDERS, MOST_TRADES
from trio_grid.exchange.paper.spot.records import Amendment, Balance, PreventedMatch, SpotOrder, SpotTrade


class SpotAccount:
    """The wallet, orders and trades of one account. `uid` is the number by which the exchange shows it."""

    def __init__(self, name: str, uid: int) -> None:
        self.name = name
        self.uid = uid
        self.balances: dict[str, Balance] = {}
        self.fees: dict[str, int] = {}
        self.orders: dict[str, dict[int, SpotOrder]] = {}
        self.open_orders: dict[str, dict[int, SpotOrder]] = {}
        self.trades: dict[str, deque[SpotTrade]] = {}
        self.prevented: dict[str, deque[PreventedMatch]] = {}
        self.amendments: dict[str, deque[Amendment]] = {}
        self.update_time_ms = 0

    def balance(self, asset: str) -> Balance:
        """Return the balance of an asset; it exists from the first question on."""
        found = self.balances.get(asset)
        if found is None:
            found = self.balances[asset] = Balance()
        return found

    def lock(self, asset: str, units: int) -> None:
        """Hold free units for an order.

        Raises:
            ValueError: there are not so many; the caller has to check before.
        """
        balance = self.balance(asset)
        if not 0 <= units <= balance.free:
            raise ValueError(f"cannot lock {units} of {balance.free} {asset}")
        balance.free -= units
        balance.locked += units

    def unlock(self, asset: str, units: int) -> None:
        """Give units that an order held back to the free ones (ValueError if no order holds so many)."""
        balance = self.balance(asset)
        if not 0 <= units <= balance.locked:
            raise ValueError(f"cannot unlock {units} of {balance.locked} {asset}")
        balance.locked -= units
        balance.free += units

    def pay(self, asset: str, units: int) -> None:
        """Take free units away (ValueError if there are not so many)."""
        balance = self.balance(asset)
        if not 0 <= units <= balance.free:
            raise ValueError(f"cannot pay {units} of {balance.free} {asset}")
        balance.free -= units

    def receive(self, asset: str, units: int, fee_units: int = 0) -> None:
        """Add free units, less a fee in the same asset."""
        self.balance(asset).free += units - fee_units
        self.fees[asset] = self.fees.get(asset, 0) + fee_units

    def open_on(self, symbol: str) -> dict[int, SpotOrder]:
        """Return the open orders on a symbol by order id, oldest first."""
        return self.open_orders.setdefault(symbol, {})

    def add_order(self, order: SpotOrder) -> None:
        """Take a new order into the books."""
        self.orders.setdefault(order.symbol, {})[order.order_id] = order
        self.open_on(order.symbol)[order.order_id] = order

    def close_order(self, order: SpotOrder) -> None:
        """Take a terminal order out of the open ones."""
        self.open_on(order.symbol).pop(order.order_id, None)

    def forget(self, now_ms: int) -> None:
        """Drop what the exchange no longer shows: everything that was closed 90 days ago."""
        for orders in self.orders.values():
            gone = [
                order.order_id
                for order in orders.values()
                if not order.is_open and now_ms - order.update_time_ms > MEMORY_MS
            ]
            closed = [order.order_id for order in orders.values() if not order.is_open]
            gone.extend(closed[: max(0, len(orders) - MOST_ORDERS)])
            for order_id in gone:
                orders.pop(order_id, None)
        tables: tuple[dict[str, deque[Any]], ...] = (self.trades, self.prevented, self.amendments)
        for table in tables:
            for rows in table.values():
                _forget_oldest(rows, now_ms)


def _forget_oldest(rows: deque[Any], now_ms: int) -> None:
    while rows and (len(rows) > MOST_TRADES or now_ms - rows[0].time_ms > MEMORY_MS):
        rows.popleft()

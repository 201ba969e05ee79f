"""A small honest exchange for tests of the domain: orders, trades with ids, a position. No clock, no matching.

The test says what happens (accept, refuse, fill, cancel, expire); the exchange keeps the records true. It asserts what
a real one would never let pass: a client order id used twice, or a fill beyond the order's quantity.
"""

from __future__ import annotations

import attrs

from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.events import (
    CancelAcknowledged,
    CancelRefused,
    OrderAcknowledged,
    OrderRecord,
    OrderUpdate,
    RecordStatus,
    Side,
    Trade,
)
from trio_grid.domain.inputs import PositionObserved, TradesWalked
from trio_grid.domain.instrument import MoneyUnits, PriceTicks, QuantityLots


@attrs.define
class Order:
    """One order as the exchange knows it."""

    action: PlaceOrder
    order_id: int
    status: RecordStatus = RecordStatus.NEW
    executed_lots: int = 0
    expiry_reason: int = 0

    @property
    def live(self) -> bool:
        return not self.status.is_terminal


class HonestExchange:
    """The exchange's truth; `position_lots` starts at a baseline."""

    def __init__(self, position_lots: int = 0, first_trade_id: int = 1) -> None:
        self.orders: dict[str, Order] = {}
        self.trades: list[Trade] = []
        self.position_lots = position_lots
        self.now_ms = 1
        self._next_trade_id = first_trade_id

    def accept(self, action: PlaceOrder) -> OrderAcknowledged:
        """Take an order; return the answer to its placement as of now."""
        assert action.client_order_id not in self.orders, "a client order id was used twice"
        self.orders[action.client_order_id] = Order(action=action, order_id=1_000 + len(self.orders))
        return OrderAcknowledged(order=self.record(action.client_order_id))

    def record(self, client_order_id: str) -> OrderRecord:
        """Return the order's record as a query would."""
        order = self.orders[client_order_id]
        return OrderRecord(
            client_order_id=client_order_id,
            order_id=order.order_id,
            side=order.action.side,
            price_ticks=PriceTicks(order.action.price_ticks or 0),
            quantity_lots=order.action.quantity_lots,
            executed_lots=QuantityLots(order.executed_lots),
            status=order.status,
            reduce_only=order.action.reduce_only,
            update_time_ms=self.now_ms,
            expiry_reason=order.expiry_reason,
        )

    def fill(self, client_order_id: str, lots: int | None = None, price_ticks: int | None = None) -> OrderUpdate:
        """Fill some or all of what is left; return the execution report. Reduce-only orders never cross zero."""
        order = self.orders[client_order_id]
        left = order.action.quantity_lots - order.executed_lots
        lots = left if lots is None else lots
        assert order.live
        assert 1 <= lots <= left
        side = order.action.side
        if order.action.reduce_only:
            assert self.position_lots * side.sign < 0, "a reduce-only order would not reduce"
            assert lots <= abs(self.position_lots), "a reduce-only order would cross zero"
        order.executed_lots += lots
        done = order.executed_lots == order.action.quantity_lots
        order.status = RecordStatus.FILLED if done else RecordStatus.PARTIALLY_FILLED
        trade = self._trade(side, lots, price_ticks or order.action.price_ticks or 600_000, client_order_id, order)
        return OrderUpdate(order=self.record(client_order_id), trade=trade)

    def foreign_trade(self, side: Side, lots: int, price_ticks: int = 600_000, name: str = "web_abc") -> Trade:
        """Let somebody else trade on the account; return the trade."""
        return self._trade(side, lots, price_ticks, name, None)

    def _trade(self, side: Side, lots: int, price_ticks: int, name: str, order: Order | None) -> Trade:
        trade = Trade(
            trade_id=self._next_trade_id,
            order_id=order.order_id if order else 5,
            client_order_id=name,
            side=side,
            price_ticks=PriceTicks(price_ticks),
            quantity_lots=QuantityLots(lots),
            realized_pnl_units=MoneyUnits(0),
            fee_units=MoneyUnits(lots * 100),
            fee_asset="USDT",
            maker=True,
            time_ms=self.now_ms,
        )
        self._next_trade_id += 1
        self.trades.append(trade)
        self.position_lots += side.sign * lots
        return trade

    def cancel(self, client_order_id: str) -> CancelAcknowledged | CancelRefused:
        """Cancel an order; return the answer."""
        order = self.orders.get(client_order_id)
        if order is None or not order.live:
            return CancelRefused(client_order_id=client_order_id, code=-2011, message="Unknown order sent.")
        order.status = RecordStatus.CANCELED
        return CancelAcknowledged(order=self.record(client_order_id))

    def end(self, client_order_id: str, status: RecordStatus, expiry_reason: int = 0) -> OrderUpdate:
        """End a live order by the exchange's own doing; return the execution report."""
        order = self.orders[client_order_id]
        assert order.live
        assert status.is_terminal
        order.status, order.expiry_reason = status, expiry_reason
        return OrderUpdate(order=self.record(client_order_id))

    def live_orders(self) -> list[str]:
        """Return the client order ids of the open orders, oldest first."""
        return [name for name, order in self.orders.items() if order.live]

    def walk(self, watermark: int) -> TradesWalked:
        """Return every trade above a watermark, as reconciliation would walk them."""
        trades = tuple(trade for trade in self.trades if trade.trade_id > watermark)
        return TradesWalked(trades=trades, watermark=max([watermark, *(trade.trade_id for trade in trades)]))

    def observe(self, fence: int) -> PositionObserved:
        """Return the position as read while the books were at `fence`."""
        return PositionObserved(position_lots=self.position_lots, fence=fence)

"""Owns the amendment of a resting order: a new price, a new total quantity, the same order id.

It must never leave an order half changed: it is refused as it was, amended, or gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trio_grid.domain.events import RecordStatus
from trio_grid.exchange.paper.engine.desk import Desk
from trio_grid.exchange.paper.engine.order_rules import (
    check_band,
    check_notional,
    flag_of,
    parse_price,
    parse_quantity,
    text_of,
)
from trio_grid.exchange.paper.engine.records import PaperOrder
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.engine.trading import Trading
from trio_grid.exchange.paper.engine.wire import order_body

Params = Mapping[str, str]

MAX_AMENDMENTS = 10_000


class Amendments(Trading):
    """PUT /fapi/v1/order."""

    def modify_order(self, account: str, params: Params, now_ms: int) -> dict[str, Any]:
        """Amend a resting LIMIT order and return its body; it goes behind everybody at its price.

        An order that is partly filled and would have nothing left is cancelled by the amendment, and so is a
        post-only order that would take at the new price.

        Raises:
            PaperRefusal: the amendment is not possible; the order is as it was.
        """
        self.advance(now_ms)
        desk, order = self.find_order(account, params, Refusal.NO_SUCH_ORDER)
        if not order.is_open:
            raise Refusal.NO_SUCH_ORDER.refuse()
        price, lots = self._amendment(desk, order, params)
        self._carry_out(desk, order, price, lots)
        self.publish_book(desk)
        return order_body(desk.symbol, order)

    def _amendment(self, desk: Desk, order: PaperOrder, params: Params) -> tuple[int, int]:
        """Return the new price and total quantity after every rule that may refuse them."""
        if text_of(params, "side") != order.side.value:
            raise Refusal.BAD_SIDE.refuse()
        if params.get("reduceOnly") and flag_of(params, "reduceOnly") != order.reduce_only:
            raise Refusal.AMEND_REDUCE_ONLY.refuse()
        price = parse_price(params, desk.symbol)
        lots = parse_quantity(params, desk.symbol, market=False)
        if (price, lots) == (order.price_ticks, order.quantity_lots):
            raise Refusal.AMEND_NOTHING.refuse()
        if order.amendments >= MAX_AMENDMENTS:
            raise Refusal.AMEND_TOO_OFTEN.refuse()
        check_band(desk.symbol, order.side, price, desk.mark_half_ticks)
        if order.reduce_only:
            self._check_reduction(order, lots)
        else:
            check_notional(desk.symbol, 2 * price, lots, Refusal.AMEND_NOTIONAL)
            self._check_amended_margin(desk, order, price, lots)
        return price, lots

    def _check_reduction(self, order: PaperOrder, lots: int) -> None:
        owner = self.account_of(order.account)
        others = sum(
            row.remaining_lots
            for row in owner.open_on(order.symbol).values()
            if row.reduce_only and row.side is order.side and row is not order
        )
        if others and others + lots - order.executed_lots > abs(owner.position(order.symbol).lots):
            raise Refusal.REDUCE_ONLY.refuse()

    def _check_amended_margin(self, desk: Desk, order: PaperOrder, price: int, lots: int) -> None:
        """Check the margin as if the order were placed anew: it is taken off the account while that is asked."""
        owner = self.account_of(order.account)
        resting = owner.open_on(order.symbol)
        if lots * price <= order.quantity_lots * order.price_ticks:
            return
        kept = dict(resting)
        del resting[order.order_id]
        try:
            self.check_margin(owner, desk, order.side, price, max(0, lots - order.executed_lots))
        finally:
            # Back in its old place: open orders are listed oldest first.
            resting.clear()
            resting.update(kept)

    def _carry_out(self, desk: Desk, order: PaperOrder, price: int, lots: int) -> None:
        now_ms, settlement = self.now_ms, self.settlement
        best = desk.book.best(order.side.opposite)
        takes = (price - best) * order.side.sign >= 0
        if lots <= order.executed_lots or (takes and order.time_in_force == "GTX"):
            settlement.end_order(order, RecordStatus.CANCELED, now_ms)
            return
        desk.book.remove(order)
        order.price_ticks, order.quantity_lots = price, lots
        order.sequence = desk.take_sequence()
        order.stp = "NONE"
        order.amendments += 1
        order.update_time_ms = now_ms
        settlement.tell_order(order, "AMENDMENT")
        self.match(desk, order)
        settlement.knock_out(self.account_of(order.account), desk.name, now_ms)

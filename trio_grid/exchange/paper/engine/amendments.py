"""Owns the amendment of a resting order: a new price, a new total quantity, the same order id; and what was amended.

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
    limit_of,
    parse_price,
    parse_price_match,
    parse_quantity,
    text_of,
    whole_of,
)
from trio_grid.exchange.paper.engine.records import Amendment, PaperOrder, PositionSide
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.engine.trading import Trading
from trio_grid.exchange.paper.engine.wire import amendment_body, order_body

Params = Mapping[str, str]

MAX_AMENDMENTS = 10_000


class Amendments(Trading):
    """PUT /fapi/v1/order and GET /fapi/v1/orderAmendment."""

    def modify_order(self, account: str, params: Params, now_ms: int) -> dict[str, Any]:
        """Amend a resting LIMIT order and return its body; it goes behind everybody at its price.

        An order that is partly filled and would have nothing left is cancelled by the amendment, and so is a
        post-only order that would take at the new price. Self-trade prevention is off from then on.

        Raises:
            PaperRefusal: the amendment is not possible; the order is as it was.
        """
        self.advance(now_ms)
        desk, order = self.find_order(account, params, Refusal.NO_SUCH_ORDER)
        if not order.is_open:
            raise Refusal.NO_SUCH_ORDER.refuse()
        modify_id = whole_of(params, "modifyId")
        price, lots = self._amendment(desk, order, params)
        self._carry_out(desk, order, price, lots, parse_price_match(params), modify_id)
        self.publish_book(desk)
        echoed = {} if modify_id is None else {"modifyId": modify_id}
        return {**order_body(desk.symbol, order), "pair": desk.name, **echoed}

    def order_amendments(self, account: str, params: Params, now_ms: int) -> list[dict[str, Any]]:
        """Return the amendments on a symbol that are remembered, newest first: of one order, of a window of time."""
        self.advance(now_ms)
        desk, limit = self.desk_of(params.get("symbol")), limit_of(params, 50, 100)
        start, end = whole_of(params, "startTime"), whole_of(params, "endTime")
        wanted: int | None = None
        if params.get("orderId") or params.get("origClientOrderId"):
            wanted = self.find_order(account, params, Refusal.NO_SUCH_ORDER)[1].order_id
        rows = [
            row
            for row in reversed(self.account_of(account).amendments)
            if row.symbol == desk.name
            and (wanted is None or row.order_id == wanted)
            and (start is None or row.time_ms >= start)
            and (end is None or row.time_ms <= end)
        ]
        return [amendment_body(desk.symbol, row) for row in rows[:limit]]

    def _amendment(self, desk: Desk, order: PaperOrder, params: Params) -> tuple[int, int]:
        """Return the new price and total quantity after every rule that may refuse them."""
        if text_of(params, "side") != order.side.value:
            raise Refusal.BAD_SIDE.refuse()
        said_reduce_only = flag_of(params, "reduceOnly")
        if said_reduce_only and not order.reduce_only:
            raise Refusal.AMEND_REDUCE_ONLY.refuse()
        price = self._amended_price(desk, order, params)
        lots = parse_quantity(params, desk.symbol, market=False)
        if (price, lots) == (order.price_ticks, order.quantity_lots):
            raise Refusal.AMEND_NOTHING.refuse()
        if order.amendments >= MAX_AMENDMENTS:
            raise Refusal.AMEND_TOO_OFTEN.refuse()
        check_band(desk.symbol, order.side, price, desk.mark_half_ticks)
        # Hedge mode does not let a closing order be named reduce-only: its side says so.
        if not said_reduce_only and not (order.reduce_only and order.position_side is not PositionSide.BOTH):
            check_notional(desk.symbol, 2 * price, lots, Refusal.AMEND_NOTIONAL)
        if order.reduce_only:
            owner, left = self.account_of(order.account), lots - order.executed_lots
            self.check_reduction(owner, desk.name, order.side, order.position_side, left, besides=order)
        else:
            self._check_amended_margin(desk, order, price, lots)
        return price, lots

    def _amended_price(self, desk: Desk, order: PaperOrder, params: Params) -> int:
        price_match = parse_price_match(params)
        if price_match == "NONE":
            return parse_price(params, desk.symbol)
        if params.get("price"):
            raise Refusal.NOT_REQUIRED.refuse("price")
        return self.matched_price(desk, order.side, price_match)

    def _check_amended_margin(self, desk: Desk, order: PaperOrder, price: int, lots: int) -> None:
        """Check the margin as if the order were placed anew: it is taken off the account while that is asked."""
        owner = self.account_of(order.account)
        resting = owner.open_on(order.symbol)
        if lots * price <= order.quantity_lots * order.price_ticks:
            return
        kept = dict(resting)
        del resting[order.order_id]
        try:
            left = max(0, lots - order.executed_lots)
            self.check_margin(owner, desk, order.side, price, left, order.position_side)
        finally:
            # Back in its old place: open orders are listed oldest first.
            resting.clear()
            resting.update(kept)

    def _carry_out(
        self, desk: Desk, order: PaperOrder, price: int, lots: int, price_match: str, modify_id: int | None
    ) -> None:
        now_ms, settlement = self.now_ms, self.settlement
        best = desk.book.best(order.side.opposite)
        takes = (price - best) * order.side.sign >= 0
        if lots <= order.executed_lots or (takes and order.time_in_force == "GTX"):
            settlement.end_order(order, RecordStatus.CANCELED, now_ms)
            return
        desk.book.remove(order)
        before = (order.price_ticks, order.quantity_lots)
        order.price_ticks, order.quantity_lots = price, lots
        order.sequence = desk.take_sequence()
        order.stp, order.price_match = "NONE", price_match
        order.amendments += 1
        order.update_time_ms = now_ms
        self._remember(order, before, modify_id)
        settlement.tell_order(order, "AMENDMENT")
        self.match(desk, order)
        settlement.knock_out(self.account_of(order.account), desk.name, now_ms)

    def _remember(self, order: PaperOrder, before: tuple[int, int], modify_id: int | None) -> None:
        rows = self.account_of(order.account).amendments
        row = Amendment(
            amendment_id=rows[-1].amendment_id + 1 if rows else 1,
            symbol=order.symbol,
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            time_ms=self.now_ms,
            price_before=before[0],
            price_after=order.price_ticks,
            lots_before=before[1],
            lots_after=order.quantity_lots,
            count=order.amendments,
            modify_id=modify_id,
        )
        rows.append(row)

"""Owns the conditional orders of all accounts: placing, cancelling, asking, and the moment in which each triggers.

It must never match or book anything: what triggers is placed like any order, and refused like any order. There is no
margin check before. They are looked at after each step of the market and after each trade of an account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace as _replace

from trio_grid.exchange.paper.engine.account import MEMORY_MS, UNFILLED_MEMORY_MS, PaperAccount
from trio_grid.exchange.paper.engine.account_queries import page, window
from trio_grid.exchange.paper.engine.amendments import Amendments
from trio_grid.exchange.paper.engine.conditional_rules import (
    TRAILING,
    WITH_POSITION,
    ConditionalOrder,
    parse_conditional,
)
from trio_grid.exchange.paper.engine.desk import Desk
from trio_grid.exchange.paper.engine.order_rules import limit_of, whole_of
from trio_grid.exchange.paper.engine.records import PaperOrder
from trio_grid.exchange.paper.engine.refusals import PaperRefusal, Refusal
from trio_grid.exchange.paper.engine.settlement import UserEvent
from trio_grid.exchange.paper.engine.symbols import TRIGGER_PROTECT_PPM
from trio_grid.exchange.paper.engine.wire_conditional import algo_event, conditional_body, listed_body, queried_body

Params = Mapping[str, str]
Body = dict[str, Any]

MOST_WAITING = 200
"""Conditional orders that an account may have waiting, over all symbols."""
MOST_CLOSED = 1_000
"""Closed ones that are remembered of an account; they are all in the exchange's file."""
FIRST_ALGO_ID = 3_000_001


class ConditionalOrders(Amendments):
    """The algo orders of type CONDITIONAL."""

    def __init__(self, *parts: Any, **options: Any) -> None:
        """Take what the venue takes."""
        super().__init__(*parts, **options)
        self.conditionals: dict[int, ConditionalOrder] = {}
        self.next_algo_id = FIRST_ALGO_ID
        self._waiting: dict[str, dict[int, ConditionalOrder]] = {name: {} for name in self.desks}
        self._placed: dict[tuple[str, int], ConditionalOrder] = {}
        self.settlement.order_followers.append(self._order_told)
        self.price_followers.append(self.trigger_reached)

    # commands --------------------------------------------------------------------------------------------------------

    def place_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Place an order as `Trading` does; its trades may trigger conditional orders."""
        body = super().place_order(account, params, now_ms)
        self.trigger_reached(self.desks[body["symbol"]])
        return body

    def modify_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Amend an order as `Amendments` does; its trades may trigger conditional orders."""
        body = super().modify_order(account, params, now_ms)
        self.trigger_reached(self.desks[body["symbol"]])
        return body

    def place_conditional(self, account: str, params: Params, now_ms: int) -> Body:
        """Take a conditional order and return its body; it waits for its price.

        Raises:
            PaperRefusal: the order was not taken; no record of it exists and no event was told.
        """
        self.advance(now_ms)
        owner, desk = self.account_of(account), self.desk_of(params.get("symbol"))
        order = parse_conditional(params, account, desk.symbol, self.now_ms, hedge=owner.hedge)
        self._check(owner, desk, order)
        order.algo_id, self.next_algo_id = self.next_algo_id, self.next_algo_id + 1
        order.client_algo_id = order.client_algo_id or f"paper_algo_{order.algo_id}"
        if order.order_type == TRAILING and not order.activate_ticks:
            order.extreme_half = self._latest(desk, order)
        self._keep(order)
        self._tell(order)
        return conditional_body(desk.symbol, order)

    def cancel_conditional(self, account: str, params: Params, now_ms: int) -> Body:
        """Cancel a waiting conditional order; -2011 if it is unknown, triggered or closed."""
        self.advance(now_ms)
        order = self._find(account, params, Refusal.CANCEL_REJECTED)
        if not order.waits:
            raise Refusal.CANCEL_REJECTED.refuse()
        self._end(order, "CANCELED")
        return {"algoId": order.algo_id, "clientAlgoId": order.client_algo_id, "code": "200", "msg": "success"}

    def cancel_all_conditionals(self, account: str, params: Params, now_ms: int) -> Body:
        """Cancel an account's waiting conditional orders on a symbol, oldest first."""
        self.advance(now_ms)
        desk = self.desk_of(params.get("symbol"))
        for order in list(self._waiting_of(account, desk.name)):
            self._end(order, "CANCELED")
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _check(self, owner: PaperAccount, desk: Desk, order: ConditionalOrder) -> None:
        """Check what depends on the account and on prices."""
        if not desk.has_quote:
            raise Refusal.MARKET_PRICE_BAND.refuse()
        waiting = [row for name in self._waiting for row in self._waiting_of(owner.name, name)]
        if order.client_algo_id and any(row.client_algo_id == order.client_algo_id for row in waiting):
            raise Refusal.DUPLICATE_CLIENT_ID.refuse()
        if len(waiting) >= MOST_WAITING:
            raise Refusal.MAX_CONDITIONAL_ORDERS.refuse()
        if order.time_in_force == WITH_POSITION and self._closable_lots(owner, order) == 0:
            raise Refusal.NO_POSITION_TO_CLOSE.refuse()
        if order.close_position and any(row.close_position and row.direction == order.direction for row in waiting):
            raise Refusal.CLOSE_EXISTS.refuse()
        if order.would_trigger_at(self._latest(desk, order)):
            raise Refusal.IMMEDIATE_TRIGGER.refuse()

    @staticmethod
    def _closable_lots(owner: PaperAccount, order: ConditionalOrder) -> int:
        """Return how much of the position the order's side closes."""
        held = owner.position(order.symbol, order.request.position_side).lots
        return max(0, -order.request.side.sign * held)

    @staticmethod
    def _latest(desk: Desk, order: ConditionalOrder) -> int:
        """Return the latest price that an order goes by, in half ticks; the mark price until something has traded."""
        contract = order.working_type == "CONTRACT_PRICE" and desk.last_ticks
        return 2 * desk.last_ticks if contract else desk.mark_half_ticks

    # questions -------------------------------------------------------------------------------------------------------

    def query_conditional(self, account: str, params: Params, now_ms: int) -> Body:
        """Return one conditional order, waiting or not; -2013 if the exchange does not show it."""
        self.advance(now_ms)
        order = self._find(account, params, Refusal.NO_SUCH_ORDER)
        return queried_body(self.desks[order.symbol].symbol, order)

    def open_conditionals(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return the waiting conditional orders of a symbol, or of all symbols, oldest first."""
        self.advance(now_ms)
        algo_id, algo_type = whole_of(params, "algoId"), params.get("algoType", "")
        names = [self.desk_of(params["symbol"]).name] if params.get("symbol") else list(self.desks)
        return [
            listed_body(self.desks[name].symbol, order)
            for name in names
            for order in self._waiting_of(account, name)
            if algo_id in (None, order.algo_id) and algo_type in ("", "CONDITIONAL")
        ]

    def all_conditionals(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return conditional orders by ascending id: from `algoId` on, or of a window of at most seven days."""
        self.advance(now_ms)
        limit, first = limit_of(params, 500, 1000), whole_of(params, "algoId")
        start, end = window(params, self.now_ms)
        symbol = self.desk_of(params["symbol"]).name if params.get("symbol") else None
        rows = [
            order
            for order in self.conditionals.values()
            if order.account == account
            and symbol in (None, order.symbol)
            and (order.algo_id >= first if first is not None else start <= order.create_ms <= end)
        ]
        chosen = page(rows, limit, first is not None or "startTime" in params)
        return [listed_body(self.desks[order.symbol].symbol, order) for order in chosen]

    def _find(self, account: str, params: Params, refusal: Refusal) -> ConditionalOrder:
        """Return the order of `algoId`, or else the newest of `clientAlgoId`."""
        algo_id = whole_of(params, "algoId")
        if algo_id is not None:
            order = self.conditionals.get(algo_id)
        else:
            client_id = params.get("clientAlgoId", "")
            if not client_id:
                raise Refusal.MANDATORY.refuse("algoId")
            mine = (row for row in reversed(self.conditionals.values()) if row.account == account)
            order = next((row for row in mine if row.client_algo_id == client_id), None)
        if order is None or order.account != account:
            raise refusal.refuse()
        return order

    def has_orders(self, owner: PaperAccount, symbol: str | None = None) -> bool:
        """Return whether anything of an account is open or waiting on a symbol, or on any."""
        waits = (self._waiting_of(owner.name, name) for name in self._waiting if symbol in (None, name))
        return super().has_orders(owner, symbol) or any(next(rows, None) for rows in waits)

    def _waiting_of(self, account: str, symbol: str) -> Iterator[ConditionalOrder]:
        return (order for order in self._waiting[symbol].values() if order.account == account)

    # triggering ------------------------------------------------------------------------------------------------------

    def trigger_reached(self, desk: Desk) -> None:
        """Trigger what the prices since the last look reached: trades in their order, then the mark price.

        What an order that triggers trades may trigger others.
        """
        waiting = self._waiting[desk.name]
        while True:
            prints, desk.prints = desk.prints, []
            for ticks in prints if waiting else ():
                self._look(desk, "CONTRACT_PRICE", 2 * ticks)
            if not desk.prints:
                break
        if waiting:
            self._look(desk, "MARK_PRICE", desk.mark_half_ticks)
            if desk.prints:
                self.trigger_reached(desk)

    def _look(self, desk: Desk, working_type: str, half_ticks: int) -> None:
        mark = desk.mark_half_ticks
        last = half_ticks if working_type == "CONTRACT_PRICE" else 2 * (desk.last_ticks or half_ticks // 2)
        held_back = abs(last - mark) * 1_000_000 > mark * TRIGGER_PROTECT_PPM
        for order in list(self._waiting[desk.name].values()):
            # An order before it may have ended this one.
            goes_by_it = order.waits and order.working_type == working_type
            if goes_by_it and order.reached_by(half_ticks) and not (order.price_protect and held_back):
                self._trigger(desk, order)

    def _trigger(self, desk: Desk, order: ConditionalOrder) -> None:
        """Place the order's order; the exchange's refusal ends it."""
        owner, now_ms = self.account_of(order.account), self.now_ms
        del self._waiting[desk.name][order.algo_id]
        order.status, order.trigger_ms, order.update_ms = "TRIGGERING", now_ms, now_ms
        self._tell(order)
        request = _replace(order.request, client_order_id=order.client_algo_id)
        try:
            if order.close_position:
                lots = self._closable_lots(owner, order)
                if lots == 0:
                    raise Refusal.REDUCE_ONLY.refuse()
                request = _replace(request, quantity_lots=lots)
            placed = self.accept(owner, desk, self.admitted(owner, desk, request, closes=order.close_position))
        except PaperRefusal as refusal:
            order.reason = refusal.message
            self._end(order, "REJECTED")
            return
        order.status, order.actual_order_id = "TRIGGERED", placed.order_id
        self._placed[desk.name, placed.order_id] = order
        self._tell(order)
        self.match(desk, placed)
        self.publish_book(desk)

    def _order_told(self, order: PaperOrder, execution: str) -> None:
        """Follow the orders that conditional ones placed, and the positions that others protect."""
        source = self._placed.get((order.symbol, order.order_id))
        if source is not None:
            source.executed_lots, source.executed_cost = order.executed_lots, order.executed_cost
            if not order.is_open:
                del self._placed[order.symbol, order.order_id]
                self._end(source, "FINISHED")
        if execution in ("TRADE", "CALCULATED") and self._waiting[order.symbol]:
            owner = self.account_of(order.account)
            for waiting in list(self._waiting_of(order.account, order.symbol)):
                bound = waiting.time_in_force == WITH_POSITION or execution == "CALCULATED"
                if bound and self._closable_lots(owner, waiting) == 0:
                    self._end(waiting, "EXPIRED")

    def _end(self, order: ConditionalOrder, status: str) -> None:
        self._waiting[order.symbol].pop(order.algo_id, None)
        order.status, order.update_ms = status, self.now_ms
        self._tell(order)

    def _tell(self, order: ConditionalOrder) -> None:
        payload = algo_event(self.desks[order.symbol].symbol, order)
        self.settlement.events.append(UserEvent(order.account, "ALGO_UPDATE", order.update_ms, payload))

    # time and memory -------------------------------------------------------------------------------------------------

    def _deadlines(self) -> list[tuple[int, Callable[[int], None]]]:
        rows = super()._deadlines()
        ends = [row.good_till_ms for orders in self._waiting.values() for row in orders.values() if row.good_till_ms]
        if ends:
            rows.append((min(ends), self._expire_conditionals))
        return rows

    def _expire_conditionals(self, now_ms: int) -> None:
        for orders in self._waiting.values():
            for order in list(orders.values()):
                if 0 < order.good_till_ms <= now_ms:
                    self._end(order, "EXPIRED")

    def _keep_house(self, now_ms: int) -> None:
        super()._keep_house(now_ms)
        closed: dict[str, int] = {}
        for order in reversed(list(self.conditionals.values())):
            if order.waits or order.status == "TRIGGERED":
                continue
            closed[order.account] = closed.get(order.account, 0) + 1
            memory_ms = MEMORY_MS if order.executed_lots else UNFILLED_MEMORY_MS
            if closed[order.account] > MOST_CLOSED or now_ms - order.update_ms > memory_ms:
                del self.conditionals[order.algo_id]

    def _keep(self, order: ConditionalOrder) -> None:
        self.conditionals[order.algo_id] = order
        if order.waits:
            self._waiting[order.symbol][order.algo_id] = order
        elif order.status == "TRIGGERED":
            self._placed[order.symbol, order.actual_order_id] = order

    def restore_conditionals(self, orders: Sequence[ConditionalOrder], next_algo_id: int) -> None:
        """Take saved conditional orders in place of all that there are."""
        self.conditionals.clear()
        self._placed.clear()
        for waiting in self._waiting.values():
            waiting.clear()
        for order in orders:
            self._keep(order)
        self.next_algo_id = max(next_algo_id, FIRST_ALGO_ID)

"""Owns spot's commands: placing, cancelling, replacing and reducing orders, in Binance's parameters and bodies.

It must never book money itself: `settlement` does. A refused command has changed nothing and told nobody, except for
the part of a cancel-replace that its answer says has happened.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from trio_grid.domain.events import RecordStatus, Side
from trio_grid.exchange.paper.engine.order_rules import flag_of, whole_of
from trio_grid.exchange.paper.engine.refusals import PaperRefusal, Refusal
from trio_grid.exchange.paper.spot import wire
from trio_grid.exchange.paper.spot.account import SpotAccount
from trio_grid.exchange.paper.spot.desk import SpotDesk
from trio_grid.exchange.paper.spot.order_rules import (
    Params,
    SpotRequest,
    check_filters,
    check_notional,
    client_id_of,
    parse_spot_order,
    quantity_parameter,
    required,
)
from trio_grid.exchange.paper.spot.records import STOP_TYPES, Amendment, SpotOrder
from trio_grid.exchange.paper.spot.refusals import DetailedRefusal, SpotRefusal
from trio_grid.exchange.paper.spot.symbols import MAX_AMENDMENTS, MAX_STOP_ORDERS
from trio_grid.exchange.paper.spot.venue import SpotVenue

Body = dict[str, Any]
_BOOK_DEPTHS = (100, 1_000, 10_000)


class SpotTrading(SpotVenue):
    """Orders."""

    # placing ---------------------------------------------------------------------------------------------------------

    def place_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Place an order and return its body as `newOrderRespType` asks: ACK, RESULT or FULL.

        Raises:
            PaperRefusal: the order was not accepted; no record of it exists and no event was told.
        """
        self._come_to(now_ms)
        owner, desk = self.account_of(account), self.desk_of(params)
        request = self._parsed(owner, desk, params)
        self._admit(owner, desk, request)
        return self._accept(owner, desk, request)

    def test_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Check an order as `place_order` does and do nothing; with `computeCommissionRates` tell the rates."""
        self._come_to(now_ms)
        owner, desk = self.account_of(account), self.desk_of(params)
        request = self._parsed(owner, desk, params)
        self._admit(owner, desk, request)
        if not flag_of(params, "computeCommissionRates"):
            return {}
        return {
            "standardCommissionForOrder": {"maker": "0.00100000", "taker": "0.00100000"},
            "specialCommissionForOrder": {"maker": "0.00000000", "taker": "0.00000000"},
            "taxCommissionForOrder": {"maker": "0.00000000", "taker": "0.00000000"},
            "discount": {
                "enabledForAccount": False,
                "enabledForSymbol": False,
                "discountAsset": "BNB",
                "discount": "0.25000000",
            },
        }

    def _parsed(self, owner: SpotAccount, desk: SpotDesk, params: Params) -> SpotRequest:
        """Return the request after everything that depends on parameters and filters alone."""
        if not desk.has_quote:
            raise Refusal.BAD_SYMBOL.refuse()
        request = parse_spot_order(params, desk.symbol)
        check_filters(desk.symbol, request, desk.average(self.now_ms))
        resting = owner.open_on(desk.name)
        if len(resting) >= desk.symbol.instrument.max_open_orders:
            raise SpotRefusal.FILTER.refuse("MAX_NUM_ORDERS")
        stops = sum(order.order_type in STOP_TYPES for order in resting.values())
        if request.order_type in STOP_TYPES and stops >= MAX_STOP_ORDERS:
            raise SpotRefusal.FILTER.refuse("MAX_NUM_ALGO_ORDERS")
        return request

    def _admit(self, owner: SpotAccount, desk: SpotDesk, request: SpotRequest) -> None:
        """Check what depends on wallet and book: duplicate id, stop price, post-only, balance."""
        if request.client_order_id is not None and any(
            order.client_order_id == request.client_order_id for order in owner.open_on(desk.name).values()
        ):
            raise SpotRefusal.DUPLICATE.refuse()
        side = request.side
        if request.order_type in STOP_TYPES and self.is_met(self._order(owner, desk, request), desk.last_ticks):
            raise SpotRefusal.WOULD_TRIGGER.refuse()
        if request.order_type == "LIMIT_MAKER":
            best = desk.book.best(side.opposite)
            if (request.price_ticks - best) * side.sign >= 0:
                raise SpotRefusal.WOULD_TAKE.refuse()
        asset = self.settlement.paid_asset(desk.symbol, side)
        if self._price_of(desk, request) > owner.balance(asset).free:
            raise SpotRefusal.INSUFFICIENT.refuse()

    def _price_of(self, desk: SpotDesk, request: SpotRequest) -> int:
        """Return the units that an account needs for an order: what it will hold, or spend at once."""
        symbol = desk.symbol
        if request.order_type == "MARKET":
            lots, cost = self._reach(desk, request)
            if lots == 0:
                raise SpotRefusal.THIN_BOOK.refuse()
            if request.side is Side.SELL:
                return (request.quantity_lots or lots) * symbol.lot_units
            return request.quote_units or cost * symbol.unit
        if request.side is Side.SELL:
            return request.quantity_lots * symbol.lot_units
        return (request.price_ticks or request.stop_ticks) * request.quantity_lots * symbol.unit

    def _reach(self, desk: SpotDesk, request: SpotRequest) -> tuple[int, int]:
        """Return (lots, ticks x lots) that a market order would trade in the book as it is."""
        limit, side = self.market_limit(desk, request.side), request.side
        lots = cost = 0
        for depth in _BOOK_DEPTHS:
            lots = cost = 0
            levels = desk.book.depth(side.opposite, depth)
            for price, offered in levels:
                if (price - limit) * side.sign > 0:
                    return lots, cost
                if request.quote_units:
                    most = (request.quote_units - cost * desk.symbol.unit) // (price * desk.symbol.unit)
                else:
                    most = request.quantity_lots - lots
                part = min(offered, most)
                lots, cost = lots + part, cost + price * part
                if part < offered or part == most:
                    return lots, cost
        return lots, cost

    def _order(self, owner: SpotAccount, desk: SpotDesk, request: SpotRequest) -> SpotOrder:
        """Return the order of a request; it has no id and is nowhere yet."""
        return SpotOrder(
            order_id=0,
            account=owner.name,
            symbol=desk.name,
            client_order_id=request.client_order_id or "",
            side=request.side,
            order_type=request.order_type,
            time_in_force=request.time_in_force,
            price_ticks=request.price_ticks,
            stop_ticks=request.stop_ticks,
            quantity_lots=request.quantity_lots,
            quote_units=request.quote_units,
            stp=request.stp,
            strategy_id=request.strategy_id,
            strategy_type=request.strategy_type,
            time_ms=self.now_ms,
            update_time_ms=self.now_ms,
            triggered_ms=0 if request.order_type in STOP_TYPES else self.now_ms,
            sequence=0,
        )

    def _accept(self, owner: SpotAccount, desk: SpotDesk, request: SpotRequest) -> Body:
        order = self._order(owner, desk, request)
        order.order_id, order.sequence = desk.take_order_id(), desk.take_sequence()
        order.client_order_id = order.client_order_id or f"paper_{desk.name}_{order.order_id}"
        if order.quote_units:
            order.quantity_lots = self._reach(desk, request)[0]
        owner.add_order(order)
        held = self.settlement.hold(order)
        self.settlement.tell(order, "NEW")
        if held:
            self.settlement.tell_balances(order)
        if not order.is_working:
            desk.stops[order.order_id] = order
            return wire.placed_body(desk.symbol, order, (), request.response)
        trades = self.match(desk, order)
        body = wire.placed_body(desk.symbol, order, trades, request.response)
        self.trigger_stops(desk, [trade.price_ticks for trade in trades])
        desk.publish_book(self.now_ms)
        return body

    # ending ----------------------------------------------------------------------------------------------------------

    def find_order(
        self, owner: SpotAccount, desk: SpotDesk, params: Params, refusal: Refusal,
        names: tuple[str, str] = ("orderId", "origClientOrderId"),
    ) -> SpotOrder:  # fmt: skip
        """Return the order of an id, or else the newest of a client id; both have to fit where both are sent.

        Raises:
            PaperRefusal: `refusal` if the exchange does not show such an order; -1102 without any id.
        """
        orders = owner.orders.get(desk.name, {})
        order_id, client_id = whole_of(params, names[0]), params.get(names[1], "")
        if order_id is None and not client_id:
            raise SpotRefusal.EITHER.refuse(names[1], names[0])
        if order_id is not None:
            order = orders.get(order_id)
            if order is not None and client_id and order.client_order_id != client_id:
                order = None
        else:
            order = next((row for row in reversed(orders.values()) if row.client_order_id == client_id), None)
        if order is None:
            raise refusal.refuse()
        return order

    def cancel_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Cancel an open order and return its final body; -2011 if it is unknown or closed."""
        self._come_to(now_ms)
        owner, desk = self.account_of(account), self.desk_of(params)
        order = self.find_order(owner, desk, params, Refusal.CANCEL_REJECTED)
        body = self._cancel(desk, order, params, client_id_of(params, "newClientOrderId"))
        desk.publish_book(self.now_ms)
        return body

    def _cancel(self, desk: SpotDesk, order: SpotOrder, params: Params, cancel_id: str | None) -> Body:
        if not order.is_open:
            raise Refusal.CANCEL_REJECTED.refuse()
        restriction = params.get("cancelRestrictions", "")
        if restriction not in ("", "ONLY_NEW", "ONLY_PARTIALLY_FILLED"):
            raise Refusal.BAD_PARAMETER.refuse("cancelRestrictions")
        if restriction and restriction.removeprefix("ONLY_") != order.status.value:
            raise SpotRefusal.CANCEL_RESTRICTED.refuse()
        cancel_id = cancel_id or f"cancel_{desk.name}_{order.order_id}"
        self.settlement.end_order(order, RecordStatus.CANCELED, self.now_ms, cancel_id=cancel_id)
        return wire.cancelled_body(desk.symbol, order, cancel_id)

    def cancel_all_orders(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Cancel all open orders of a symbol, oldest first; -2011 if there is none."""
        self._come_to(now_ms)
        owner, desk = self.account_of(account), self.desk_of(params)
        orders = list(owner.open_on(desk.name).values())
        if not orders:
            raise Refusal.CANCEL_REJECTED.refuse()
        bodies = [self._cancel(desk, order, {}, None) for order in orders]
        desk.publish_book(self.now_ms)
        return bodies

    def cancel_replace(self, account: str, params: Params, now_ms: int) -> Body:
        """Cancel an order and place another; the new one's filters are checked before either happens.

        Raises:
            DetailedRefusal: one part failed (409, -2021) or all that was tried did (400, -2022).
        """
        self._come_to(now_ms)
        owner, desk = self.account_of(account), self.desk_of(params)
        mode = required(params, "cancelReplaceMode")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise Refusal.BAD_PARAMETER.refuse("cancelReplaceMode")
        request = self._parsed(owner, desk, params)
        names = ("cancelOrderId", "cancelOrigClientOrderId")
        if not params.get(names[0]) and not params.get(names[1]):
            raise SpotRefusal.EITHER.refuse(names[1], names[0])
        data: Body = {"cancelResult": "SUCCESS", "newOrderResult": "SUCCESS"}
        try:
            old = self.find_order(owner, desk, params, Refusal.CANCEL_REJECTED, names)
            cancel_id = client_id_of(params, "cancelNewClientOrderId")
            data["cancelResponse"] = self._cancel(desk, old, params, cancel_id)
        except PaperRefusal as refusal:
            data |= {"cancelResult": "FAILURE", "cancelResponse": refusal.body()}
        if data["cancelResult"] == "FAILURE" and mode == "STOP_ON_FAILURE":
            data |= {"newOrderResult": "NOT_ATTEMPTED", "newOrderResponse": None}
        else:
            try:
                self._admit(owner, desk, request)
                data["newOrderResponse"] = self._accept(owner, desk, request)
            except PaperRefusal as refusal:
                data |= {"newOrderResult": "FAILURE", "newOrderResponse": refusal.body()}
        desk.publish_book(self.now_ms)
        results = (data["cancelResult"], data["newOrderResult"])
        if results == ("SUCCESS", "SUCCESS"):
            return data
        if "SUCCESS" in results:
            raise DetailedRefusal(-2021, "Order cancel-replace partially failed.", 409, data)
        raise DetailedRefusal(-2022, "Order cancel-replace failed.", 400, data)

    # reducing --------------------------------------------------------------------------------------------------------

    def amend_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Reduce an open order's quantity to `newQty`; it keeps its place in the book."""
        self._come_to(now_ms)
        owner, desk = self.account_of(account), self.desk_of(params)
        lots = quantity_parameter(params, desk.symbol, "newQty", market=False)
        new_id = client_id_of(params, "newClientOrderId")
        order = self.find_order(owner, desk, params, Refusal.NO_SUCH_ORDER)
        if not order.is_open:
            raise Refusal.NO_SUCH_ORDER.refuse()
        if lots > order.quantity_lots:
            raise SpotRefusal.AMEND_INCREASE.refuse()
        if lots == order.quantity_lots:
            raise SpotRefusal.AMEND_NOTHING.refuse()
        if lots <= order.executed_lots + order.prevented_lots:
            raise SpotRefusal.BAD_QUANTITY.refuse()
        check_notional(desk.symbol, (order.price_ticks or order.stop_ticks) * lots * desk.symbol.unit, market=False)
        if order.amendments >= MAX_AMENDMENTS:
            raise SpotRefusal.FILTER.refuse("MAX_NUM_ORDER_AMENDS")
        change = Amendment(
            order_id=order.order_id,
            execution_id=desk.next_execution_id,
            old_client_id=order.client_order_id,
            new_client_id=new_id or f"amend_{desk.name}_{order.order_id}_{order.amendments + 1}",
            old_lots=order.quantity_lots,
            new_lots=lots,
            time_ms=self.now_ms,
        )
        order.amendments += 1
        order.quantity_lots, order.client_order_id = lots, change.new_client_id
        order.update_time_ms = self.now_ms
        owner.amendments.setdefault(desk.name, deque()).append(change)
        self.settlement.hold(order)
        self.settlement.tell(order, "REPLACED", original_id=change.old_client_id)
        self.settlement.tell_balances(order)
        desk.publish_book(self.now_ms)
        return wire.amended_body(desk.symbol, order, change)

"""Owns the commands that place and end orders of an account, in Binance's parameters and bodies.

It must never book money itself: `settlement` does. A refused command has changed nothing and told nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec.structs import replace as _replace

from trio_grid.domain.events import RecordStatus, Side
from trio_grid.exchange.paper.engine.account import PaperAccount
from trio_grid.exchange.paper.engine.brackets import notional_cap_units
from trio_grid.exchange.paper.engine.desk import Desk
from trio_grid.exchange.paper.engine.margin import ExtraOrder
from trio_grid.exchange.paper.engine.order_rules import (
    OrderRequest,
    check_band,
    check_notional,
    parse_order,
    text_of,
    whole_of,
)
from trio_grid.exchange.paper.engine.records import PaperOrder, PositionSide
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.engine.settlement import ER_IOC, ER_MARKET
from trio_grid.exchange.paper.engine.symbols import plain
from trio_grid.exchange.paper.engine.venue import Venue
from trio_grid.exchange.paper.engine.wire import order_body

Params = Mapping[str, str]
Body = dict[str, Any]

MARKET_TAKE_BOUND_PPM = 50_000
"""How far from the mark price a MARKET order may trade: the symbol's `marketTakeBound`, 5 %."""
MAX_COUNTDOWN_MS = 7 * 86_400_000


class Trading(Venue):
    """Orders."""

    # placing ---------------------------------------------------------------------------------------------------------

    def place_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Place an order and return its body: as accepted (ACK), or as it is after matching (RESULT, where it ends).

        Raises:
            PaperRefusal: the order was not accepted; no record of it exists and no event was told.
        """
        self.advance(now_ms)
        owner, desk, request = self.checked(account, params)
        order = self.accept(owner, desk, request)
        accepted = order_body(desk.symbol, order)
        self.match(desk, order)
        self.publish_book(desk)
        ends = order.order_type == "MARKET" or order.time_in_force in ("IOC", "FOK")
        return order_body(desk.symbol, order) if request.wants_result and ends else accepted

    def accept(self, owner: PaperAccount, desk: Desk, request: OrderRequest) -> PaperOrder:
        """Take an order that `checked` let through into the books and tell it; the caller matches it."""
        order_id = desk.take_order_id()
        order = PaperOrder(
            order_id=order_id,
            account=owner.name,
            symbol=desk.name,
            client_order_id=request.client_order_id or f"paper_{desk.name}_{order_id}",
            side=request.side,
            order_type=request.order_type,
            time_in_force=request.time_in_force,
            price_ticks=request.price_ticks,
            quantity_lots=request.quantity_lots,
            reduce_only=request.reduce_only,
            stp=request.stp,
            price_match=request.price_match,
            good_till_ms=request.good_till_ms,
            time_ms=self.now_ms,
            update_time_ms=self.now_ms,
            sequence=desk.take_sequence(),
            position_side=request.position_side,
        )
        owner.add_order(order)
        self.settlement.tell_order(order, "NEW")
        return order

    def test_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Check an order as `place_order` does and do nothing."""
        self.advance(now_ms)
        self.checked(account, params)
        return {}

    def match(self, desk: Desk, order: PaperOrder) -> None:
        """Match an accepted order, then let it rest or expire as its type says."""
        now_ms, market = self.now_ms, order.order_type == "MARKET"
        limit = self._market_limit(desk, order.side) if market else order.price_ticks
        if order.time_in_force != "GTX":
            self.settlement.take(desk, order, limit, now_ms)
        if not order.is_open:
            return
        if market or order.time_in_force in ("IOC", "FOK"):
            self.settlement.end_order(order, RecordStatus.EXPIRED, now_ms, reason=ER_MARKET if market else ER_IOC)
            return
        desk.book.rest(order)
        if order.time_in_force == "GTD":
            self.good_till[desk.name, order.order_id] = order

    @staticmethod
    def _market_limit(desk: Desk, side: Side) -> int:
        half = desk.mark_half_ticks
        if side is Side.BUY:
            return half * (1_000_000 + MARKET_TAKE_BOUND_PPM) // 2_000_000
        return max(1, -(-half * (1_000_000 - MARKET_TAKE_BOUND_PPM) // 2_000_000))

    def checked(self, account: str, params: Params) -> tuple[PaperAccount, Desk, OrderRequest]:
        """Return owner, desk and request of a placement that may be accepted now.

        Raises:
            PaperRefusal: it may not.
        """
        owner, desk = self.account_of(account), self.desk_of(params.get("symbol"))
        return owner, desk, self.admitted(owner, desk, parse_order(params, desk.symbol, self.now_ms, hedge=owner.hedge))

    def admitted(self, owner: PaperAccount, desk: Desk, request: OrderRequest, *, closes: bool = False) -> OrderRequest:
        """Return a well formed request with its price, if account and book let it in now.

        `closes` is an order that closes the whole position: other reduce-only orders do not stand in its way, nor in
        that of a market order, which trades before all of them.

        Raises:
            PaperRefusal: they do not.
        """
        if not desk.has_quote:
            raise Refusal.MARKET_PRICE_BAND.refuse()
        if request.price_match != "NONE":
            request = _replace(request, price_ticks=self.matched_price(desk, request.side, request.price_match))
        market, side = request.order_type == "MARKET", request.side
        half = desk.mark_half_ticks
        if not market:
            check_band(desk.symbol, side, request.price_ticks, half)
        if not request.reduce_only:
            priced = half if market else 2 * request.price_ticks
            check_notional(desk.symbol, priced, request.quantity_lots, Refusal.MIN_NOTIONAL)
        self._check_account(owner, desk, request, closes)
        best = desk.book.best(side.opposite)
        if request.time_in_force == "GTX" and (request.price_ticks - best) * side.sign >= 0:
            raise Refusal.POST_ONLY.refuse()
        limit = self._market_limit(desk, side) if market else request.price_ticks
        if market and desk.book.next_offer(side, limit) is None:
            raise Refusal.MARKET_PRICE_BAND.refuse()
        if request.time_in_force == "FOK":
            found = self.settlement.fillable_lots(owner, desk, side, limit, request.quantity_lots)
            held = abs(owner.position(desk.name, request.position_side).lots)
            if found < request.quantity_lots or (request.reduce_only and found > held):
                raise Refusal.FOK_REJECTED.refuse()
        return request

    @staticmethod
    def matched_price(desk: Desk, side: Side, price_match: str) -> int:
        """Return the price in ticks that `priceMatch` means on a side now; -5041 where the book is empty."""
        name, _, depth = price_match.partition("_")
        levels = desk.book.depth(side.opposite if name == "OPPONENT" else side, int(depth or 1))
        if not levels:
            raise Refusal.NO_MATCHING_DEPTH.refuse()
        return levels[-1][0]

    def _check_account(self, owner: PaperAccount, desk: Desk, request: OrderRequest, closes: bool) -> None:
        """Check what depends on the account: duplicate id, reduce-only, number of orders, margin."""
        resting = owner.open_on(desk.name)
        if request.client_order_id is not None and any(
            order.client_order_id == request.client_order_id for order in resting.values()
        ):
            raise Refusal.DUPLICATE_CLIENT_ID.refuse()
        if request.reduce_only:
            place, lots = request.position_side, request.quantity_lots
            first = closes or request.order_type == "MARKET"
            self.check_reduction(owner, desk.name, request.side, place, lots, closes=first)
        if len(resting) >= desk.symbol.instrument.max_open_orders:
            raise Refusal.MAX_OPEN_ORDERS.refuse()
        if not request.reduce_only:
            self._check_margin(owner, desk, request)

    def has_orders(self, owner: PaperAccount, symbol: str | None = None) -> bool:
        """Return whether anything of an account is open on a symbol, or on any."""
        return any(rows for name, rows in owner.open_orders.items() if symbol in (None, name))

    @staticmethod
    def check_reduction(
        owner: PaperAccount, symbol: str, side: Side, place: PositionSide, lots: int,
        besides: PaperOrder | None = None, *, closes: bool = False,
    ) -> None:  # fmt: skip
        """Refuse a reduce-only order of `lots` where it has nothing to reduce, or others leave too little (-2022).

        Others that rest do not count for one that `closes` before them, nor does the order `besides`.

        A single one may be larger than a one-way position, since it is cut when it trades; in hedge mode it may not.
        """
        held = owner.position(symbol, place).lots
        if held * side.sign >= 0:
            raise Refusal.REDUCE_ONLY.refuse()
        others = sum(
            row.remaining_lots
            for row in owner.open_on(symbol).values()
            if row.reduce_only and (row.side, row.position_side) == (side, place) and row is not besides and not closes
        )
        if (others or owner.hedge) and others + lots > abs(held):
            raise Refusal.REDUCE_ONLY.refuse()

    def _check_margin(self, owner: PaperAccount, desk: Desk, request: OrderRequest) -> None:
        side = request.side
        price = request.price_ticks if request.order_type == "LIMIT" else desk.book.best(side.opposite)
        self.check_margin(owner, desk, side, price, request.quantity_lots, request.position_side)

    def check_margin(
        self, owner: PaperAccount, desk: Desk, side: Side, price: int, lots: int,
        place: PositionSide = PositionSide.BOTH,
    ) -> None:  # fmt: skip
        """Refuse `lots` more on a side at a price if the margin (-2019) or the leverage (-2027) does not carry them.

        What does not raise the initial margin is never refused: it reduces.
        """
        unit = desk.symbol.unit
        before = self.settlement.margin(owner)
        after = self.settlement.margin(owner, ExtraOrder(desk.name, place, side, price * lots * unit))
        if after.initial_units <= before.initial_units:
            return
        row, setting = after.rows[desk.name, place], owner.setting(desk.name)
        worst = abs(row.notional_units + (row.bid_units if side is Side.BUY else -row.ask_units))
        if worst > notional_cap_units(desk.symbol.brackets, setting.leverage):
            raise Refusal.MAX_POSITION.refuse()
        # A buy above the mark (a sell below it) loses the difference at once.
        loss = max(0, (2 * price - desk.mark_half_ticks) * side.sign) * lots * unit // 2
        free = after.free_units
        if setting.isolated:
            # What a position takes for itself is money: the profit of cross positions cannot be given to it.
            free = min(free, after.cross_wallet_units - after.isolated_order_units)
        if free - loss < 0:
            raise Refusal.MARGIN_INSUFFICIENT.refuse()

    # ending ----------------------------------------------------------------------------------------------------------

    def find_order(self, account: str, params: Params, refusal: Refusal) -> tuple[Desk, PaperOrder]:
        """Return the order of `orderId`, or else the newest of `origClientOrderId`.

        Raises:
            PaperRefusal: `refusal` if the exchange does not show such an order; -1102 without any id.
        """
        desk = self.desk_of(params.get("symbol"))
        orders = self.account_of(account).orders.get(desk.name, {})
        order_id = whole_of(params, "orderId")
        if order_id is not None:
            order = orders.get(order_id)
        else:
            client_id = params.get("origClientOrderId", "")
            if not client_id:
                raise Refusal.MANDATORY.refuse("orderId")
            order = next((row for row in reversed(orders.values()) if row.client_order_id == client_id), None)
        if order is None:
            raise refusal.refuse()
        return desk, order

    def cancel_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Cancel an open order and return its final body; -2011 if it is unknown or closed."""
        self.advance(now_ms)
        desk, order = self.find_order(account, params, Refusal.CANCEL_REJECTED)
        if not order.is_open:
            raise Refusal.CANCEL_REJECTED.refuse()
        self.settlement.end_order(order, RecordStatus.CANCELED, self.now_ms)
        self.publish_book(desk)
        return order_body(desk.symbol, order)

    def cancel_all_orders(self, account: str, params: Params, now_ms: int) -> Body:
        """Cancel all open orders of a symbol."""
        self.advance(now_ms)
        desk = self.desk_of(params.get("symbol"))
        self.cancel_everything(self.account_of(account), desk.name, self.now_ms)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def countdown_cancel_all(self, account: str, params: Params, now_ms: int) -> Body:
        """Arm (or with 0 disarm) the dead-man switch of a symbol."""
        self.advance(now_ms)
        desk = self.desk_of(params.get("symbol"))
        text_of(params, "countdownTime")
        countdown = whole_of(params, "countdownTime") or 0
        if countdown > MAX_COUNTDOWN_MS:
            raise Refusal.BAD_PARAMETER.refuse("countdownTime")
        if countdown:
            self.countdowns[account, desk.name] = self.now_ms + countdown
        else:
            self.countdowns.pop((account, desk.name), None)
        return {"symbol": desk.name, "countdownTime": str(countdown)}


def plain_units(units: int) -> str:
    """Return money units as a plain amount."""
    return plain(Decimal(units).scaleb(-8))

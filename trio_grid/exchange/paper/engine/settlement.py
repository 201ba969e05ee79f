"""Owns the booking of what happens to accounts: fills, expiries, reduce-only knock-outs, funding.

It must never decide who trades with whom. Every change gives its user events, in the exchange's order: for a fill
TRADE_LITE, ACCOUNT_UPDATE, ORDER_TRADE_UPDATE, as recorded on the real exchange.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from trio_grid.domain.events import RecordStatus, Side
from trio_grid.domain.instrument import RATE_SCALE
from trio_grid.exchange.paper.engine import wire
from trio_grid.exchange.paper.engine.account import PaperAccount, fee_units, round_half_even
from trio_grid.exchange.paper.engine.desk import Desk, MarketEvent
from trio_grid.exchange.paper.engine.isolated import settle_trade
from trio_grid.exchange.paper.engine.margin import (
    AccountMargin,
    ExtraOrder,
    Marks,
    Place,
    account_margin,
    notional_at_mark,
    position_margin,
    unrealized_units,
)
from trio_grid.exchange.paper.engine.records import Income, PaperOrder, PaperTrade, PositionSide
from trio_grid.exchange.paper.market.interface import TapeRow

ER_SELF_TRADE, ER_IOC, ER_IOC_SELF_TRADE, ER_REDUCE_ONLY, ER_LIQUIDATED, ER_MARKET = 1, 2, 3, 4, 5, 9


class UserEvent(msgspec.Struct, frozen=True):
    """One event of an account's user stream, JSON-ready; kind is its `e`."""

    account: str
    kind: str
    time_ms: int
    payload: dict[str, Any]


PaperEvent = MarketEvent | UserEvent


class Settlement:
    """Books what happens into the accounts and writes the events down."""

    def __init__(self, desks: dict[str, Desk]) -> None:
        self.desks = desks
        self.accounts: dict[str, PaperAccount] = {}
        self.events: list[PaperEvent] = []
        self.order_followers: list[Callable[[PaperOrder, str], None]] = []
        self.next_income_id = 1

    def marks(self) -> dict[str, Marks]:
        """Return every symbol that has a price, with its mark."""
        return {name: desk.marks for name, desk in self.desks.items() if desk.has_quote}

    def margin(self, account: PaperAccount, extra: ExtraOrder | None = None) -> AccountMargin:
        """Return the account's margin at the marks, with an extra order thought to be open."""
        return account_margin(account, self.marks(), extra=extra)

    # orders ----------------------------------------------------------------------------------------------------------

    def tell_order(self, order: PaperOrder, execution: str, trade: PaperTrade | None = None) -> None:
        """Write down an ORDER_TRADE_UPDATE and let the followers know; they may tell more, and change no order."""
        account, desk = self.accounts[order.account], self.desks[order.symbol]
        payload = wire.order_event(desk.symbol, account, order, execution, trade)
        self.events.append(UserEvent(account.name, "ORDER_TRADE_UPDATE", order.update_time_ms, payload))
        for follow in self.order_followers:
            follow(order, execution)

    def end_order(
        self, order: PaperOrder, status: RecordStatus, now_ms: int, *, reason: int = 0, execution: str | None = None
    ) -> None:
        """Cancel or expire an open order; its executed part stays."""
        order.status = status
        order.expiry_reason = reason
        order.update_time_ms = now_ms
        self.desks[order.symbol].book.remove(order)
        self.accounts[order.account].close_order(order)
        self.tell_order(order, execution or status.value)

    def reducible_lots(self, order: PaperOrder) -> int:
        """Return how many lots a reduce-only order may still take: never beyond the position."""
        held = self.accounts[order.account].position(order.symbol, order.position_side).lots
        return max(0, -held if order.side is Side.BUY else held)

    def fill(
        self, order: PaperOrder, price_ticks: int, lots: int, now_ms: int, *, maker: bool, trade_id: int,
        execution: str = "TRADE",
    ) -> None:  # fmt: skip
        """Book one trade of an order at a price; `lots` must be within its remaining quantity.

        The caller calls `knock_out` when both sides of the trade are booked.
        """
        if not 0 < lots <= order.remaining_lots:
            raise ValueError(f"order {order.order_id}: {lots} lots of {order.remaining_lots}")
        account, desk = self.accounts[order.account], self.desks[order.symbol]
        symbol = desk.symbol
        realized = account.apply_trade(symbol, order.side.sign * lots, price_ticks, now_ms, order.position_side)
        rate = symbol.instrument.maker_fee_rate if maker else symbol.instrument.taker_fee_rate
        fee = fee_units(price_ticks * lots * symbol.unit, rate)
        order.executed_lots += lots
        order.executed_cost += price_ticks * lots
        order.update_time_ms = now_ms
        order.status = RecordStatus.FILLED if order.remaining_lots == 0 else RecordStatus.PARTIALLY_FILLED
        if order.status is RecordStatus.FILLED:
            desk.book.remove(order)
            account.close_order(order)
        trade = PaperTrade(
            trade_id=trade_id, order_id=order.order_id, side=order.side, price_ticks=price_ticks, quantity_lots=lots,
            realized_units=realized, fee_units=fee, maker=maker, time_ms=now_ms, position_side=order.position_side,
        )  # fmt: skip
        account.trades.setdefault(symbol.name, deque()).append(trade)
        if realized:
            self.book(account, symbol.name, "REALIZED_PNL", realized, now_ms, trade_id)
        if fee:
            self.book(account, symbol.name, "COMMISSION", -fee, now_ms, trade_id)
        settle_trade(account, symbol, trade)
        self.events.append(UserEvent(account.name, "TRADE_LITE", now_ms, wire.trade_lite_event(symbol, order, trade)))
        self.tell_account(account, "ORDER", 0, now_ms, (symbol.name,))
        self.tell_order(order, execution, trade)

    def knock_out(self, account: PaperAccount, symbol: str, now_ms: int) -> None:
        """Expire the reduce-only orders for which nothing of the position would be left (er 4).

        Priority among them is the book's: best price first, then oldest. An order that the position covers in part
        stays; what it may trade is cut when it trades.
        """
        resting = [order for order in account.open_on(symbol).values() if order.reduce_only]
        for place in account.sides if resting else ():
            position = account.position(symbol, place).lots
            for side in (Side.BUY, Side.SELL):
                rows = [order for order in resting if order.side is side and order.position_side is place]
                rows.sort(key=lambda order: (-order.side.sign * order.price_ticks, order.sequence))
                left = max(0, -side.sign * position)
                for order in rows:
                    if left == 0:
                        self.end_order(order, RecordStatus.EXPIRED, now_ms, reason=ER_REDUCE_ONLY)
                    left = max(0, left - order.remaining_lots)

    # money -----------------------------------------------------------------------------------------------------------

    def deposit(self, account: PaperAccount, units: int, now_ms: int) -> None:
        """Put money into the wallet."""
        self.book(account, "", "TRANSFER", units, now_ms)

    def book(
        self, account: PaperAccount, symbol: str, kind: str, units: int, now_ms: int, trade_id: int | None = None
    ) -> None:
        """Change an account's wallet, with the income row that says why."""
        info = kind if trade_id is None else str(trade_id)
        record_id, self.next_income_id = self.next_income_id, self.next_income_id + 1
        account.book_income(
            Income(
                record_id=record_id,
                symbol=symbol,
                kind=kind,
                units=units,
                info=info,
                time_ms=now_ms,
                trade_id=trade_id,
            )
        )

    def tell_account(
        self, account: PaperAccount, reason: str, change_units: int, now_ms: int, symbols: tuple[str, ...] = (),
        cause: str = "",
    ) -> None:  # fmt: skip
        """Write down an ACCOUNT_UPDATE with the positions of some symbols; `cause` is the symbol of a funding fee."""
        rows = []
        for name in symbols:
            desk, isolated = self.desks[name], account.setting(name).isolated
            for side in account.sides:
                position = account.position(name, side)
                profit = unrealized_units(position, desk.marks)
                rows.append(wire.position_event_row(desk.symbol, position, side, profit, isolated=isolated))
        payload = wire.account_event(account, reason, change_units, now_ms, rows, cause)
        self.events.append(UserEvent(account.name, "ACCOUNT_UPDATE", now_ms, payload))

    def tell_margin_call(self, account: PaperAccount, places: list[Place], now_ms: int) -> None:
        """Write down a MARGIN_CALL for the positions of one wallet."""
        isolated, rows = account.setting(places[0][0]).isolated, []
        for name, side in places:
            desk, position = self.desks[name], account.position(name, side)
            margin = position_margin(account, desk.marks, side)
            amounts = (desk.mark_half_ticks, margin.unrealized_units, margin.maintenance_units)
            rows.append(wire.margin_call_row(desk.symbol, position, side, *amounts, isolated=isolated))
        payload = wire.margin_call_event(account, rows, now_ms, cross=not isolated)
        self.events.append(UserEvent(account.name, "MARGIN_CALL", now_ms, payload))

    def pay_funding(self, desk: Desk, now_ms: int) -> None:
        """Pay -position x mark x rate to every account with a position; nothing before the market's first price.

        An isolated position pays from its own wallet, and only then the event has the position.
        """
        if not desk.has_quote:
            return
        symbol = desk.symbol
        for account in self.accounts.values():
            isolated = account.setting(symbol.name).isolated
            for side in account.sides:
                position = account.position(symbol.name, side)
                value = notional_at_mark(symbol, position.lots, desk.mark_half_ticks)
                amount = round_half_even(value * symbol.funding_rate, RATE_SCALE)
                payment = -amount if position.lots > 0 else amount
                if payment:
                    self.book(account, symbol.name, "FUNDING_FEE", payment, now_ms)
                    position.isolated_units += payment if isolated else 0
                    shown = (symbol.name,) if isolated else ()
                    self.tell_account(account, "FUNDING_FEE", payment, now_ms, shown, symbol.name)

    # taking ----------------------------------------------------------------------------------------------------------

    def take(self, desk: Desk, order: PaperOrder, limit_ticks: int, now_ms: int, *, execution: str = "TRADE") -> None:
        """Match an accepted order against the book up to a limit price; price-time priority, partial fills.

        It ends when the order is done, nothing within the limit is left, or self-trade prevention expires it.
        """
        start: int | None = None
        while order.is_open:
            offer = desk.book.next_offer(order.side, limit_ticks, start)
            if offer is None:
                return
            maker = offer.order
            if maker is not None and maker.account == order.account and self._prevent(order, maker, now_ms):
                continue
            lots = min(order.remaining_lots, offer.lots)
            if order.reduce_only:
                lots = min(lots, self.reducible_lots(order))
            if maker is not None and maker.reduce_only:
                allowed = self.reducible_lots(maker)
                if allowed == 0:
                    self.end_order(maker, RecordStatus.EXPIRED, now_ms, reason=ER_REDUCE_ONLY)
                    continue
                lots = min(lots, allowed)
            if lots == 0:
                self.end_order(order, RecordStatus.EXPIRED, now_ms, reason=ER_REDUCE_ONLY)
                return
            trade_id = desk.next_trade_id
            desk.print_row(TapeRow(offer.price_ticks, lots, order.side is Side.SELL), now_ms, self.events)
            if maker is None:
                desk.book.eat_strangers(order.side.opposite, offer.price_ticks, lots)
                start = offer.price_ticks
            else:
                self.fill(maker, offer.price_ticks, lots, now_ms, maker=True, trade_id=trade_id)
                start = None
                if maker.account == order.account:
                    # Where prevention is off both sides are booked, and an account's trade ids stay unique.
                    trade_id = desk.take_trade_id()
            self.fill(order, offer.price_ticks, lots, now_ms, maker=False, trade_id=trade_id, execution=execution)
            if maker is not None:
                self.knock_out(self.accounts[maker.account], desk.name, now_ms)
            self.knock_out(self.accounts[order.account], desk.name, now_ms)

    def fillable_lots(self, taker: PaperAccount, desk: Desk, side: Side, limit_ticks: int, wanted_lots: int) -> int:
        """Return how much of `wanted_lots` could surely trade at once within a limit (FOK).

        Reduce-only orders count as far as their accounts' positions reach, the taker's own not at all.
        """
        found = 0
        left: dict[tuple[str, PositionSide], int] = {}
        for offer in desk.book.offers(side, limit_ticks):
            lots, order = offer.lots, offer.order
            if order is not None and order.reduce_only:
                place = (order.account, order.position_side)
                reach = left.get(place, 0 if order.account == taker.name else self.reducible_lots(order))
                lots = min(lots, reach)
                left[place] = reach - lots
            found += lots
            if found >= wanted_lots:
                break
        return min(found, wanted_lots)

    def _prevent(self, taker: PaperOrder, maker: PaperOrder, now_ms: int) -> bool:
        """Self-trade prevention by the taker's mode (not for FOK); True if an order was expired by it."""
        if taker.stp == "NONE" or taker.time_in_force == "FOK":
            return False
        if taker.stp in ("EXPIRE_MAKER", "EXPIRE_BOTH"):
            self.end_order(maker, RecordStatus.EXPIRED_IN_MATCH, now_ms, reason=ER_SELF_TRADE, execution="EXPIRED")
        if taker.stp in ("EXPIRE_TAKER", "EXPIRE_BOTH"):
            reason = ER_IOC_SELF_TRADE if taker.time_in_force == "IOC" else ER_SELF_TRADE
            self.end_order(taker, RecordStatus.EXPIRED_IN_MATCH, now_ms, reason=reason, execution="EXPIRED")
        return True

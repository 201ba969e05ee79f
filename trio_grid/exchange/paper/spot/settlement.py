"""Owns the booking of what happens to spot wallets: holds, fills, fees, ends of orders, and their user events.

It must never decide who trades with whom beyond the book's order. An order holds exactly what it may still pay: price
times remaining quantity of the quote asset for a buy, the remaining quantity of the base asset for a sell. The fee is
taken from what is received.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from trio_grid.domain.events import RecordStatus, Side
from trio_grid.exchange.paper.engine.account import fee_units
from trio_grid.exchange.paper.engine.settlement import UserEvent
from trio_grid.exchange.paper.market.interface import TapeRow
from trio_grid.exchange.paper.spot import wire
from trio_grid.exchange.paper.spot.account import SpotAccount
from trio_grid.exchange.paper.spot.desk import SpotDesk
from trio_grid.exchange.paper.spot.records import PreventedMatch, SpotOrder, SpotTrade
from trio_grid.exchange.paper.spot.symbols import SpotSymbol


class SpotUserEvent(UserEvent, frozen=True):
    """One event of an account's spot user stream, JSON-ready.

    `fills` is True for the first trade of an order: from then on it counts as filled.
    """

    fills: bool = False


class SpotSettlement:
    """Books what happens into the wallets and writes the events down."""

    def __init__(self, events: list[Any]) -> None:
        self.desks: dict[str, SpotDesk] = {}
        self.accounts: dict[str, SpotAccount] = {}
        self.events = events

    # holds -----------------------------------------------------------------------------------------------------------

    @staticmethod
    def paid_asset(symbol: SpotSymbol, side: Side) -> str:
        """Return the asset that an order of a side pays with."""
        return symbol.quote if side is Side.BUY else symbol.base

    @staticmethod
    def need(symbol: SpotSymbol, order: SpotOrder) -> int:
        """Return the units that an order has to hold now; one that takes the market's price holds while it waits."""
        if not order.is_open or (order.takes_market_price and order.is_working):
            return 0
        if order.side is Side.SELL:
            return order.remaining_lots * symbol.lot_units
        return (order.price_ticks or order.stop_ticks) * order.remaining_lots * symbol.unit

    def hold(self, order: SpotOrder) -> bool:
        """Bring what an order holds to what it needs; True if that changed anything."""
        symbol, account = self.desks[order.symbol].symbol, self.accounts[order.account]
        change = self.need(symbol, order) - order.locked_units
        asset = self.paid_asset(symbol, order.side)
        if change > 0:
            account.lock(asset, change)
        elif change < 0:
            account.unlock(asset, -change)
        order.locked_units += change
        return change != 0

    # events ----------------------------------------------------------------------------------------------------------

    def tell(self, order: SpotOrder, execution: str, extra: dict[str, Any] | None = None, **more: Any) -> None:
        """Write an executionReport down; the options are those of `wire.execution_report`."""
        desk, trade = self.desks[order.symbol], more.get("trade")
        payload = wire.execution_report(desk.symbol, order, execution, desk.take_execution_id(), **more)
        payload |= extra or {}
        first = trade is not None and order.executed_lots == trade.quantity_lots
        self.events.append(SpotUserEvent(order.account, "executionReport", order.update_time_ms, payload, fills=first))

    def tell_balances(self, order: SpotOrder) -> None:
        """Write the balances down that an order can have changed."""
        symbol, account = self.desks[order.symbol].symbol, self.accounts[order.account]
        now_ms = order.update_time_ms
        account.update_time_ms = now_ms
        payload = wire.position_event(account, (symbol.base, symbol.quote), now_ms)
        self.events.append(SpotUserEvent(account.name, "outboundAccountPosition", now_ms, payload))

    def deposit(self, account: SpotAccount, asset: str, units: int, now_ms: int) -> None:
        """Put an amount into a wallet."""
        account.receive(asset, units)
        account.update_time_ms = now_ms
        payload = wire.balance_event(asset, units, now_ms)
        self.events.append(SpotUserEvent(account.name, "balanceUpdate", now_ms, payload))

    # orders ----------------------------------------------------------------------------------------------------------

    def end_order(
        self, order: SpotOrder, status: RecordStatus, now_ms: int, *, cancel_id: str | None = None,
        execution: str | None = None, extra: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Cancel or expire an open order; its executed part stays, what it held is free again."""
        desk, account = self.desks[order.symbol], self.accounts[order.account]
        order.status = status
        order.update_time_ms = now_ms
        desk.book.remove(order)
        desk.stops.pop(order.order_id, None)
        account.close_order(order)
        held = self.hold(order)
        original = order.client_order_id if cancel_id is not None else ""
        self.tell(order, execution or status.value, extra, client_id=cancel_id, original_id=original)
        if held:
            self.tell_balances(order)

    def fill(
        self, order: SpotOrder, price_ticks: int, lots: int, now_ms: int, *, maker: bool, trade_id: int
    ) -> SpotTrade:
        """Book one trade of an order at a price; `lots` must be within its remaining quantity."""
        if not 0 < lots <= order.remaining_lots:
            raise ValueError(f"order {order.order_id}: {lots} lots of {order.remaining_lots}")
        desk, account = self.desks[order.symbol], self.accounts[order.account]
        symbol = desk.symbol
        buys = order.side is Side.BUY
        cost, quantity = price_ticks * lots * symbol.unit, lots * symbol.lot_units
        paid, received = (cost, quantity) if buys else (quantity, cost)
        asset = symbol.base if buys else symbol.quote
        rate = symbol.instrument.maker_fee_rate if maker else symbol.instrument.taker_fee_rate
        trade = SpotTrade(
            trade_id=trade_id, order_id=order.order_id, side=order.side, price_ticks=price_ticks, quantity_lots=lots,
            fee_units=fee_units(received, rate), fee_asset=asset, maker=maker, time_ms=now_ms,
        )  # fmt: skip
        order.executed_lots += lots
        order.executed_cost += price_ticks * lots
        order.update_time_ms = now_ms
        done = order.remaining_lots == 0
        order.status = RecordStatus.FILLED if done else RecordStatus.PARTIALLY_FILLED
        if done:
            desk.book.remove(order)
            account.close_order(order)
        self.hold(order)
        account.pay(self.paid_asset(symbol, order.side), paid)
        account.receive(asset, received, trade.fee_units)
        account.trades.setdefault(symbol.name, deque()).append(trade)
        self.tell(order, "TRADE", trade=trade)
        self.tell_balances(order)
        return trade

    # taking ----------------------------------------------------------------------------------------------------------

    def take(self, desk: SpotDesk, order: SpotOrder, limit_ticks: int, now_ms: int) -> list[SpotTrade]:
        """Match an accepted order against the book up to a limit price; return its trades.

        It ends when the order is done, nothing within the limit is left, the money is spent, or self-trade prevention
        ends it.
        """
        trades: list[SpotTrade] = []
        start: int | None = None
        while order.is_open and order.remaining_lots > 0:
            offer = desk.book.next_offer(order.side, limit_ticks, start)
            if offer is None:
                break
            maker = offer.order
            if maker is not None and maker.account == order.account and order.stp != "NONE":
                self._prevent(desk, order, maker, now_ms)
                start = None
                continue
            lots = min(order.remaining_lots, offer.lots, self._affordable(desk.symbol, order, offer.price_ticks))
            if lots == 0:
                break
            trade_id = desk.next_trade_id
            desk.print_row(TapeRow(offer.price_ticks, lots, order.side is Side.SELL), now_ms)
            if maker is None:
                desk.book.eat_strangers(order.side.opposite, offer.price_ticks, lots)
                start = offer.price_ticks
            else:
                self.fill(maker, offer.price_ticks, lots, now_ms, maker=True, trade_id=trade_id)
                start = None
                if maker.account == order.account:
                    # Where prevention is off both sides are booked, and an account's trade ids stay unique.
                    trade_id = desk.take_trade_id()
            trades.append(self.fill(order, offer.price_ticks, lots, now_ms, maker=False, trade_id=trade_id))
        return trades

    def _affordable(self, symbol: SpotSymbol, order: SpotOrder, price_ticks: int) -> int:
        """Return how many lots an order can pay at a price from what it holds, or from what is free if it holds none.

        A market order was checked against the book at its acceptance, but prevention of self-trades may have taken the
        offers away that it was checked against.
        """
        if order.locked_units:
            return order.remaining_lots
        free = self.accounts[order.account].balance(self.paid_asset(symbol, order.side)).free
        return free // (price_ticks * symbol.unit if order.side is Side.BUY else symbol.lot_units)

    def _prevent(self, desk: SpotDesk, taker: SpotOrder, maker: SpotOrder, now_ms: int) -> None:
        """Prevent a trade of an account with itself by the taker's mode."""
        lots, match_id = min(taker.remaining_lots, maker.remaining_lots), desk.take_match_id()
        decrement = taker.stp == "DECREMENT"
        ends_taker = taker.stp in ("EXPIRE_TAKER", "EXPIRE_BOTH") or (decrement and taker.remaining_lots == lots)
        ends_maker = taker.stp in ("EXPIRE_MAKER", "EXPIRE_BOTH") or (decrement and maker.remaining_lots == lots)
        taker_lots = lots if decrement else taker.remaining_lots if ends_taker else 0
        maker_lots = lots if decrement else maker.remaining_lots if ends_maker else 0
        self.accounts[taker.account].prevented.setdefault(desk.name, deque()).append(
            PreventedMatch(
                match_id=match_id, taker_order_id=taker.order_id, maker_order_id=maker.order_id, mode=taker.stp,
                price_ticks=maker.price_ticks, taker_lots=taker_lots, maker_lots=maker_lots, time_ms=now_ms,
            )
        )  # fmt: skip
        for order, other, prevented, ends in (
            (maker, taker, maker_lots, ends_maker),
            (taker, maker, taker_lots, ends_taker),
        ):
            order.prevented_lots += prevented
            extra = wire.prevention_fields(desk.symbol, order, other, match_id, prevented)
            if ends:
                self.end_order(order, RecordStatus.EXPIRED_IN_MATCH, now_ms, execution="TRADE_PREVENTION", extra=extra)
            elif prevented:
                order.update_time_ms = now_ms
                held = self.hold(order)
                self.tell(order, "TRADE_PREVENTION", extra)
                if held:
                    self.tell_balances(order)

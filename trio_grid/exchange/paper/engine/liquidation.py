"""Owns liquidation: when a wallet is close to its end, when it no longer carries its positions, and what follows.

It must never touch what is still carried: an isolated position falls alone, the cross wallet with all that is cross.
"""

from __future__ import annotations

from trio_grid.domain.events import RecordStatus, Side
from trio_grid.exchange.paper.engine import wire
from trio_grid.exchange.paper.engine.account import PaperAccount, fee_units
from trio_grid.exchange.paper.engine.deleveraging import bankruptcy_ticks, deleverage
from trio_grid.exchange.paper.engine.desk import Desk, MarketEvent
from trio_grid.exchange.paper.engine.margin import Health, Place, health
from trio_grid.exchange.paper.engine.records import PaperOrder
from trio_grid.exchange.paper.engine.settlement import ER_LIQUIDATED, Settlement
from trio_grid.exchange.paper.engine.wire_market import force_order_event

MARGIN_CALL_PERCENT = 80
"""A wallet is warned when its maintenance margin comes to this part of its balance."""
CROSS = "cross"
LIQUIDATION_FEE_RATE = 1_250_000
"""Parts of 1e-8 of the liquidated notional that go to the insurance fund: 1.25 %, the symbol's `liquidationFee`."""


def liquidate_if_due(settlement: Settlement, account: PaperAccount, now_ms: int) -> None:
    """Take over every position whose wallet, with its unrealized PnL, is below its maintenance margin."""
    if next(account.held(), None) is None:
        account.margin_calls.clear()
        return
    state = health(account, settlement.marks())
    _warn(settlement, account, state, now_ms)
    for place, (balance, maintenance) in state.isolated.items():
        if balance < maintenance:
            _liquidate_isolated(settlement, account, place, now_ms)
    balance, maintenance = state.cross
    if maintenance and balance < maintenance:
        _liquidate_cross(settlement, account, now_ms)


def _warn(settlement: Settlement, account: PaperAccount, state: Health, now_ms: int) -> None:
    """Tell a MARGIN_CALL for each wallet that has come close to its end, once until it is well again."""
    wallets: dict[str, tuple[tuple[int, int], list[Place]]] = {
        f"{name} {side.value}": (amounts, [(name, side)]) for (name, side), amounts in state.isolated.items()
    }
    crossed = [(name, side) for name, side, _ in account.held() if (name, side) not in state.isolated]
    wallets[CROSS] = (state.cross, crossed)
    account.margin_calls &= wallets.keys()
    for key, ((balance, maintenance), places) in wallets.items():
        if maintenance == 0 or maintenance * 100 < balance * MARGIN_CALL_PERCENT:
            account.margin_calls.discard(key)
        elif balance >= maintenance and key not in account.margin_calls:
            account.margin_calls.add(key)
            settlement.tell_margin_call(account, places, now_ms)


def _liquidate_isolated(settlement: Settlement, account: PaperAccount, place: Place, now_ms: int) -> None:
    """Close one position. The cross wallet is left as it was, but for what the position's wallet has over."""
    name = place[0]
    for order in list(account.open_on(name).values()):
        settlement.end_order(order, RecordStatus.EXPIRED, now_ms, reason=ER_LIQUIDATED)
    before = account.cross_units
    order = _close_by_force(settlement, account, place, now_ms)
    left = account.cross_units - before
    if left < 0:
        settlement.book(account, name, "INSURANCE_CLEAR", -left, now_ms)
        settlement.tell_account(account, "INSURANCE_CLEAR", -left, now_ms, (name,))
    else:
        _take_fee(settlement, account, order, left, now_ms)


def _liquidate_cross(settlement: Settlement, account: PaperAccount, now_ms: int) -> None:
    for orders in list(account.open_orders.values()):
        for order in list(orders.values()):
            settlement.end_order(order, RecordStatus.EXPIRED, now_ms, reason=ER_LIQUIDATED)
    for name, side, _ in list(account.held()):
        if not account.setting(name).isolated:
            order = _close_by_force(settlement, account, (name, side), now_ms)
            _take_fee(settlement, account, order, max(0, account.cross_units), now_ms)
    if account.cross_units < 0:
        paid = -account.cross_units
        settlement.book(account, "", "INSURANCE_CLEAR", paid, now_ms)
        settlement.tell_account(account, "INSURANCE_CLEAR", paid, now_ms)


def _take_fee(settlement: Settlement, account: PaperAccount, order: PaperOrder, most_units: int, now_ms: int) -> None:
    """Take the liquidation fee, `most_units` at most, to the insurance fund."""
    notional = order.executed_cost * settlement.desks[order.symbol].symbol.unit
    fee = min(fee_units(notional, LIQUIDATION_FEE_RATE), most_units)
    if fee:
        settlement.book(account, order.symbol, "INSURANCE_CLEAR", -fee, now_ms)
        settlement.tell_account(account, "INSURANCE_CLEAR", -fee, now_ms)


def _close_by_force(settlement: Settlement, account: PaperAccount, place: Place, now_ms: int) -> PaperOrder:
    """Close a position in the book with an `autoclose-` order and return that order, filled."""
    desk, lots = settlement.desks[place[0]], account.position(*place).lots
    side = Side.SELL if lots > 0 else Side.BUY
    bankruptcy = bankruptcy_ticks(settlement, account, place)
    order_id = desk.take_order_id()
    limit = 1 if side is Side.SELL else desk.symbol.instrument.max_price_ticks
    order = PaperOrder(
        order_id=order_id, account=account.name, symbol=desk.name, client_order_id=f"autoclose-{now_ms}{order_id}",
        side=side, order_type="LIMIT", time_in_force="IOC", price_ticks=desk.book.best(side.opposite),
        quantity_lots=abs(lots), reduce_only=True, stp="NONE", price_match="NONE", good_till_ms=0, time_ms=now_ms,
        update_time_ms=now_ms, sequence=desk.take_sequence(), position_side=place[1],
    )  # fmt: skip
    account.add_order(order)
    settlement.tell_order(order, "NEW")
    settlement.take(desk, order, limit, now_ms, execution="CALCULATED")
    if order.is_open:
        # Nobody is left in the book: those who won by the move give it up, beginning with the largest winner.
        deleverage(settlement, order, bankruptcy, now_ms)
    if order.is_open:
        # Nobody is left at all: the insurance fund takes the rest over at the last price.
        settlement.fill(order, desk.last_ticks, order.remaining_lots, now_ms, maker=False,
                        trade_id=desk.take_trade_id(), execution="CALCULATED")  # fmt: skip
        settlement.knock_out(account, desk.name, now_ms)
    _tell_public(settlement, desk, order, now_ms)
    return order


def _tell_public(settlement: Settlement, desk: Desk, order: PaperOrder, now_ms: int) -> None:
    symbol, side, price = desk.symbol, order.side.value, wire.price_text(desk.symbol, order.price_ticks)
    average = wire.average_text(symbol, order.executed_cost, order.executed_lots)
    quantity = wire.quantity_text(symbol, order.executed_lots)
    settlement.events.append(
        MarketEvent(
            "forceOrder", desk.name, now_ms, lambda: force_order_event(symbol, side, price, average, quantity, now_ms)
        )
    )

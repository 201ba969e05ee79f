"""Owns auto-deleveraging: who stands where in its queue, and the closing of others' positions when a book is empty.

It must never choose by anything but the ranking: profit x leverage, the highest first, then the account opened first.
"""

from __future__ import annotations

from fractions import Fraction

from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.account import PaperAccount
from trio_grid.exchange.paper.engine.desk import Desk
from trio_grid.exchange.paper.engine.margin import Place, health, notional_at_mark, unrealized_units
from trio_grid.exchange.paper.engine.records import PaperOrder, PositionSide
from trio_grid.exchange.paper.engine.settlement import Settlement

ADL_CLIENT_ID = "adl_autoclose"
QUANTILES = 5
_Rank = tuple[Fraction, PaperAccount, PositionSide]


def bankruptcy_ticks(settlement: Settlement, account: PaperAccount, place: Place) -> int:
    """Return the price at which closing a position leaves its wallet with nothing, within the symbol's prices.

    A cross position's wallet is the cross wallet with the unrealized PnL of all other cross positions.
    """
    desk, position = settlement.desks[place[0]], account.position(*place)
    cash = position.isolated_units
    if not account.setting(desk.name).isolated:
        cash = health(account, settlement.marks()).cross[0] - unrealized_units(position, desk.marks)
    cost = position.cost_units if position.lots > 0 else -position.cost_units
    ticks = round(Fraction(cost - cash, position.lots * desk.symbol.unit))
    return min(max(1, ticks), desk.symbol.instrument.max_price_ticks)


def deleverage(settlement: Settlement, order: PaperOrder, price_ticks: int, now_ms: int) -> None:
    """Fill what is left of a liquidation order against the positions of the other direction, in their ranking."""
    desk = settlement.desks[order.symbol]
    for _, account, side in ranking(settlement, desk, order.side.sign):
        if not order.is_open:
            return
        if account.name == order.account:
            continue
        lots = min(order.remaining_lots, abs(account.position(desk.name, side).lots))
        other = _closing_order(desk, account, side, order.side.opposite, price_ticks, lots, now_ms)
        account.add_order(other)
        settlement.tell_order(other, "NEW")
        trade_id = desk.take_trade_id()
        for filled, maker in ((other, True), (order, False)):
            settlement.fill(filled, price_ticks, lots, now_ms, maker=maker, trade_id=trade_id, execution="CALCULATED")
        for name in (account.name, order.account):
            settlement.knock_out(settlement.accounts[name], desk.name, now_ms)


def _closing_order(
    desk: Desk, account: PaperAccount, place: PositionSide, side: Side, price_ticks: int, lots: int, now_ms: int
) -> PaperOrder:
    return PaperOrder(
        order_id=desk.take_order_id(), account=account.name, symbol=desk.name, client_order_id=ADL_CLIENT_ID,
        side=side, order_type="LIMIT", time_in_force="IOC", price_ticks=price_ticks, quantity_lots=lots,
        reduce_only=True, stp="NONE", price_match="NONE", good_till_ms=0, time_ms=now_ms, update_time_ms=now_ms,
        sequence=desk.take_sequence(), position_side=place,
    )  # fmt: skip


def ranking(settlement: Settlement, desk: Desk, direction: int) -> list[_Rank]:
    """Return the positions of a direction (+1 long, -1 short) on a symbol, the first to be deleveraged first."""
    rows = [
        (_score(settlement, account, (symbol, side)), account, side)
        for account in settlement.accounts.values()
        for symbol, side, position in account.held()
        if symbol == desk.name and position.lots * direction > 0
    ]
    return sorted(rows, key=lambda row: -row[0])


def _score(settlement: Settlement, account: PaperAccount, place: Place) -> Fraction:
    """Return profit / cost x effective leverage; a loss is divided by the leverage instead."""
    desk, position = settlement.desks[place[0]], account.position(*place)
    profit = unrealized_units(position, desk.marks)
    state = health(account, settlement.marks())
    balance = state.isolated[place][0] if place in state.isolated else state.cross[0]
    value = notional_at_mark(desk.symbol, position.lots, desk.mark_half_ticks)
    # A position may have cost nothing: one that a drill put into the account, by no trade.
    share, leverage = Fraction(profit, max(1, position.cost_units)), Fraction(max(1, value), max(1, balance))
    return share * leverage if profit > 0 else share / leverage


def quantile(settlement: Settlement, desk: Desk, account: PaperAccount, side: PositionSide) -> int:
    """Return a position's place in its queue, 0 (the last fifth) to 4 (the first); 0 when flat."""
    lots = account.position(desk.name, side).lots
    if lots == 0:
        return 0
    rows = ranking(settlement, desk, 1 if lots > 0 else -1)
    place = next(index for index, row in enumerate(rows) if row[1] is account and row[2] is side)
    return QUANTILES * (len(rows) - 1 - place) // len(rows)

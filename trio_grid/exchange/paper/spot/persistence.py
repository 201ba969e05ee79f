"""Owns the spot side as one part of the exchange's document, and its way back: wallets, orders, symbols that are awake.

It must never touch a file. The markets' places are not part of it: they are the exchange's own.
"""

from __future__ import annotations

from collections import deque

import msgspec

from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.candles import Candle
from trio_grid.exchange.paper.engine.desk import PublicTrade
from trio_grid.exchange.paper.spot.account import SpotAccount
from trio_grid.exchange.paper.spot.desk import SpotDesk
from trio_grid.exchange.paper.spot.exchange import SpotExchange
from trio_grid.exchange.paper.spot.records import Amendment, Balance, PreventedMatch, SpotOrder, SpotTrade

KEPT_CLOSED_ORDERS, KEPT_TRADES, KEPT_RECORDS = 2_000, 5_000, 1_000
"""How much of an account's past a document keeps by symbol, since it is written after every fill."""


class SpotAccountState(msgspec.Struct, frozen=True, kw_only=True):
    """One wallet with its past."""

    name: str
    uid: int
    update_time_ms: int
    balances: dict[str, Balance]
    fees: dict[str, int]
    orders: dict[str, list[SpotOrder]]
    trades: dict[str, list[SpotTrade]]
    prevented: dict[str, list[PreventedMatch]]
    amendments: dict[str, list[Amendment]]


class SpotDeskState(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol that is awake."""

    tick_size: str
    lot_size: str
    closed: list[Candle]
    current: Candle | None
    seconds: list[Candle]
    tape: list[PublicTrade]
    last_ticks: int
    bid_ticks: int
    ask_ticks: int
    quote_lots: tuple[int, int]
    taken: list[tuple[Side, int, int]]
    update_id: int
    next_order_id: int
    next_trade_id: int
    next_agg_id: int
    next_execution_id: int
    next_sequence: int
    next_match_id: int
    book_time_ms: int
    candle_told_ms: int
    told_best: tuple[int, int, int, int]


class SpotState(msgspec.Struct, frozen=True, kw_only=True):
    """The spot side."""

    now_ms: int
    accounts: list[SpotAccountState]
    desks: dict[str, SpotDeskState]


def spot_state(spot: SpotExchange) -> SpotState:
    """Return the complete state of the spot side."""
    return SpotState(
        now_ms=spot.now_ms,
        accounts=[_account_state(account) for account in spot.settlement.accounts.values()],
        desks={name: _desk_state(desk) for name, desk in spot.desks.items()},
    )


def _account_state(account: SpotAccount) -> SpotAccountState:
    return SpotAccountState(
        name=account.name,
        uid=account.uid,
        update_time_ms=account.update_time_ms,
        balances=account.balances,
        fees=account.fees,
        orders={symbol: _kept_orders(orders) for symbol, orders in account.orders.items()},
        trades={symbol: list(rows)[-KEPT_TRADES:] for symbol, rows in account.trades.items()},
        prevented={symbol: list(rows)[-KEPT_RECORDS:] for symbol, rows in account.prevented.items()},
        amendments={symbol: list(rows)[-KEPT_RECORDS:] for symbol, rows in account.amendments.items()},
    )


def _kept_orders(orders: dict[int, SpotOrder]) -> list[SpotOrder]:
    closed = [order.order_id for order in orders.values() if not order.is_open]
    dropped = set(closed[:-KEPT_CLOSED_ORDERS])
    return [order for order in orders.values() if order.order_id not in dropped]


def _desk_state(desk: SpotDesk) -> SpotDeskState:
    return SpotDeskState(
        tick_size=str(desk.symbol.instrument.tick_size),
        lot_size=str(desk.symbol.instrument.lot_size),
        closed=list(desk.candles.closed),
        current=desk.candles.current,
        seconds=list(desk.seconds.rows),
        tape=list(desk.tape),
        last_ticks=desk.last_ticks,
        bid_ticks=desk.book.bid_ticks,
        ask_ticks=desk.book.ask_ticks,
        quote_lots=desk.quote_lots,
        taken=desk.book.taken(),
        update_id=desk.update_id,
        next_order_id=desk.next_order_id,
        next_trade_id=desk.next_trade_id,
        next_agg_id=desk.next_agg_id,
        next_execution_id=desk.next_execution_id,
        next_sequence=desk.next_sequence,
        next_match_id=desk.next_match_id,
        book_time_ms=desk.book_time_ms,
        candle_told_ms=desk.candle_told_ms,
        told_best=desk.told_best,
    )


def restore_spot(spot: SpotExchange, state: SpotState) -> None:
    """Bring a freshly built spot side to the saved state, after its markets were brought to theirs.

    Accounts that the state does not know stay as they were opened.

    Raises:
        ValueError: the state belongs to other symbols.
    """
    for name, desk_state in state.desks.items():
        item = spot.symbols[name].instrument if name in spot.symbols else None
        if item is None or (desk_state.tick_size, desk_state.lot_size) != (str(item.tick_size), str(item.lot_size)):
            raise ValueError(f"the saved spot symbol {name} is not the one that this exchange has")
    spot.now_ms = state.now_ms
    for account_state in state.accounts:
        _restore_account(spot, account_state)
    for name, desk_state in state.desks.items():
        desk = spot.asleep(name)
        _restore_desk(desk, desk_state)
        for account in spot.settlement.accounts.values():
            for order in account.open_on(name).values():
                if order.is_working:
                    desk.book.rest_again(order)
                else:
                    desk.stops[order.order_id] = order


def _restore_desk(desk: SpotDesk, state: SpotDeskState) -> None:
    desk.candles.closed.extend(state.closed)
    desk.candles.current = state.current
    desk.seconds.restore(state.seconds)
    desk.tape.extend(state.tape)
    desk.last_ticks, desk.quote_lots = state.last_ticks, state.quote_lots
    desk.book.set_quote(state.bid_ticks, state.ask_ticks)
    for side, price_ticks, lots in state.taken:
        desk.book.eat_strangers(side, price_ticks, lots)
    desk.update_id, desk.next_order_id = state.update_id, state.next_order_id
    desk.next_trade_id, desk.next_agg_id = state.next_trade_id, state.next_agg_id
    desk.next_execution_id, desk.next_sequence = state.next_execution_id, state.next_sequence
    desk.next_match_id, desk.book_time_ms = state.next_match_id, state.book_time_ms
    desk.candle_told_ms, desk.told_best = state.candle_told_ms, state.told_best


def _restore_account(spot: SpotExchange, state: SpotAccountState) -> None:
    account = SpotAccount(state.name, state.uid)
    account.update_time_ms = state.update_time_ms
    account.balances, account.fees = state.balances, state.fees
    for symbol, orders in state.orders.items():
        account.orders[symbol] = {order.order_id: order for order in orders}
        account.open_orders[symbol] = {order.order_id: order for order in orders if order.is_open}
    account.trades = {symbol: deque(rows) for symbol, rows in state.trades.items()}
    account.prevented = {symbol: deque(rows) for symbol, rows in state.prevented.items()}
    account.amendments = {symbol: deque(rows) for symbol, rows in state.amendments.items()}
    spot.settlement.accounts[state.name] = account

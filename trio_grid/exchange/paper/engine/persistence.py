"""Owns the whole exchange as one JSON document, and its way back: accounts, orders, trades, the place in the market.

It must never touch a file (`state_file` does). A restored exchange goes on exactly as the saved one would have; with a
clock that went on meanwhile, its first `advance` walks the market through the pause, and orders that rested are met on
the way. Rule of that walk: a synthetic market takes its normal steps for up to an hour of pause; a longer pause is
walked in 14,400 steps or in steps of a minute, whichever are more. A replay stands still while nobody runs it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Reversible
from itertools import islice
from typing import Any, TypeVar

import msgspec

from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.account import PaperAccount
from trio_grid.exchange.paper.engine.candles import Candle
from trio_grid.exchange.paper.engine.conditional_rules import ConditionalOrder
from trio_grid.exchange.paper.engine.desk import Desk, PublicTrade
from trio_grid.exchange.paper.engine.exchange import PaperExchange
from trio_grid.exchange.paper.engine.mark_candles import MarkCandle
from trio_grid.exchange.paper.engine.records import (
    Amendment,
    Income,
    MarginMove,
    PaperOrder,
    PaperTrade,
    Position,
    PositionSide,
    SymbolSetting,
)
from trio_grid.exchange.paper.spot.persistence import SpotState, restore_spot, spot_state

FORMAT = "trio_grid paper exchange 6"

KEPT_CLOSED_ORDERS, KEPT_TRADES, KEPT_INCOME, KEPT_MOVES = 500, 1_000, 2_000, 500
"""How much of an account's past a document keeps by symbol (income and margin moves by account): it is written before
any client learns of an account's event, so that neither it nor the work of making it may grow with the run. Open orders
are all kept. What is older, the running exchange still shows; a new run does not."""


RowT = TypeVar("RowT")


class _AccountState(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    asset: str
    leverage: int
    hedge: bool = False
    multi_assets: bool = False
    margin_calls: list[str] = []
    fee_burn: bool = False
    wallet_units: int
    update_time_ms: int
    settings: dict[str, SymbolSetting]
    positions: dict[str, dict[PositionSide, Position]]
    orders: dict[str, list[PaperOrder]]
    trades: dict[str, list[PaperTrade]]
    income: list[Income]
    amendments: list[Amendment] = []
    moves: list[MarginMove] = []


class _DeskState(msgspec.Struct, frozen=True, kw_only=True):
    tick_size: str
    lot_size: str
    market: dict[str, Any]
    closed: list[Candle]
    current: Candle | None
    tape: list[PublicTrade]
    last_ticks: int
    bid_ticks: int
    ask_ticks: int
    quote_lots: tuple[int, int]
    taken: list[tuple[Side, int, int]]
    update_id: int
    next_order_id: int
    next_trade_id: int
    next_sequence: int
    next_agg_id: int
    book_time_ms: int
    marked_second: int
    candle_told_ms: int
    told_best: tuple[int, int, int, int]
    marks: list[MarkCandle] = []


class _State(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    start_ms: int
    now_ms: int
    next_funding_ms: int
    next_housekeeping_ms: int
    next_income_id: int
    countdowns: list[tuple[str, str, int]]
    accounts: list[_AccountState]
    desks: dict[str, _DeskState]
    conditionals: list[ConditionalOrder] = []
    next_algo_id: int = 0
    spot: SpotState


def exchange_document(exchange: PaperExchange) -> bytes:
    """Return the exchange's complete state as JSON. Events that nobody has taken yet are not part of it."""
    state = _State(
        format=FORMAT,
        start_ms=exchange.start_ms,
        now_ms=exchange.now_ms,
        next_funding_ms=exchange.next_funding_ms,
        next_housekeeping_ms=exchange.next_housekeeping_ms,
        next_income_id=exchange.settlement.next_income_id,
        countdowns=[(name, symbol, time_ms) for (name, symbol), time_ms in exchange.countdowns.items()],
        accounts=[_account_state(account) for account in exchange.settlement.accounts.values()],
        desks={name: _desk_state(desk) for name, desk in exchange.desks.items()},
        spot=spot_state(exchange.spot),
        conditionals=list(exchange.conditionals.values()),
        next_algo_id=exchange.next_algo_id,
    )
    return msgspec.json.encode(state)


def _account_state(account: PaperAccount) -> _AccountState:
    return _AccountState(
        name=account.name,
        asset=account.asset,
        leverage=account.leverage,
        hedge=account.hedge,
        multi_assets=account.multi_assets,
        margin_calls=sorted(account.margin_calls),
        fee_burn=account.fee_burn,
        wallet_units=account.wallet_units,
        update_time_ms=account.update_time_ms,
        settings=account.settings,
        positions=account.positions,
        orders={
            symbol: kept_orders(orders, account.open_orders.get(symbol, {}))
            for symbol, orders in account.orders.items()
        },
        trades={symbol: newest(trades, KEPT_TRADES) for symbol, trades in account.trades.items()},
        income=newest(account.income, KEPT_INCOME),
        amendments=list(account.amendments),
        moves=newest(account.moves, KEPT_MOVES),
    )


def newest(rows: Reversible[RowT], count: int) -> list[RowT]:
    """Return the last rows, oldest first, without a look at the others."""
    return list(islice(reversed(rows), count))[::-1]


def kept_orders(orders: dict[int, PaperOrder], open_orders: Mapping[int, PaperOrder]) -> list[PaperOrder]:
    """Return the open orders and the newest closed ones, in the order of their ids, without a look at the others."""
    kept = dict(open_orders)
    closed = 0
    for order_id in reversed(orders):
        order = orders[order_id]
        if not order.is_open:
            closed += 1
            if closed > KEPT_CLOSED_ORDERS:
                break
            kept[order_id] = order
    return [kept[order_id] for order_id in sorted(kept)]


def _desk_state(desk: Desk) -> _DeskState:
    return _DeskState(
        tick_size=str(desk.symbol.instrument.tick_size),
        lot_size=str(desk.symbol.instrument.lot_size),
        market=desk.market.state(),
        closed=list(desk.candles.closed),
        current=desk.candles.current,
        tape=list(desk.tape),
        last_ticks=desk.last_ticks,
        bid_ticks=desk.book.bid_ticks,
        ask_ticks=desk.book.ask_ticks,
        quote_lots=desk.quote_lots,
        taken=desk.book.taken(),
        update_id=desk.update_id,
        next_order_id=desk.next_order_id,
        next_trade_id=desk.next_trade_id,
        next_sequence=desk.next_sequence,
        next_agg_id=desk.next_agg_id,
        book_time_ms=desk.book_time_ms,
        marked_second=desk.marked_second,
        candle_told_ms=desk.candle_told_ms,
        told_best=desk.told_best,
        marks=list(desk.mark_candles.minutes),
    )


def restore_exchange(exchange: PaperExchange, document: bytes) -> None:
    """Bring a freshly built exchange with the same markets to the saved state.

    Accounts that the document does not know stay as they were opened.

    Raises:
        ValueError: the document is damaged, or belongs to other markets.
    """
    try:
        state = msgspec.json.decode(document, type=_State)
    except msgspec.MsgspecError as error:
        raise ValueError(f"the saved paper exchange cannot be read: {error}") from error
    if state.format != FORMAT:
        raise ValueError(f"the saved paper exchange has the format {state.format!r}, {FORMAT!r} is needed")
    if set(state.desks) != set(exchange.desks):
        raise ValueError(f"the saved paper exchange has {sorted(state.desks)}, not {sorted(exchange.desks)}")
    for name, desk_state in state.desks.items():
        _check_units(exchange.desks[name], desk_state)
    exchange.start_ms, exchange.now_ms = state.start_ms, state.now_ms
    exchange.next_funding_ms, exchange.next_housekeeping_ms = state.next_funding_ms, state.next_housekeeping_ms
    exchange.settlement.next_income_id = max(state.next_income_id, exchange.settlement.next_income_id)
    exchange.countdowns = {(name, symbol): time_ms for name, symbol, time_ms in state.countdowns}
    for name, desk_state in state.desks.items():
        _restore_desk(exchange.desks[name], desk_state)
    for account_state in state.accounts:
        _restore_account(exchange, account_state)
    exchange.restore_conditionals(state.conditionals, state.next_algo_id)
    for desk in exchange.desks.values():
        for account in exchange.settlement.accounts.values():
            for order in account.open_on(desk.name).values():
                desk.book.rest_again(order)
                if order.time_in_force == "GTD":
                    exchange.good_till[desk.name, order.order_id] = order
    restore_spot(exchange.spot, state.spot)


def _check_units(desk: Desk, state: _DeskState) -> None:
    item = desk.symbol.instrument
    if (state.tick_size, state.lot_size) != (str(item.tick_size), str(item.lot_size)):
        raise ValueError(
            f"{desk.name} was saved with tick {state.tick_size} and lot {state.lot_size}, "
            f"it now has {item.tick_size} and {item.lot_size}"
        )


def _restore_desk(desk: Desk, state: _DeskState) -> None:
    desk.market.restore(state.market)
    desk.candles.closed.clear()
    desk.candles.closed.extend(state.closed)
    desk.candles.current = state.current
    desk.tape.clear()
    desk.tape.extend(state.tape)
    desk.last_ticks, desk.quote_lots = state.last_ticks, state.quote_lots
    desk.book.set_quote(state.bid_ticks, state.ask_ticks)
    for side, price_ticks, lots in state.taken:
        desk.book.eat_strangers(side, price_ticks, lots)
    desk.update_id, desk.next_order_id = state.update_id, state.next_order_id
    desk.next_trade_id, desk.next_agg_id = state.next_trade_id, state.next_agg_id
    desk.book_time_ms, desk.marked_second = state.book_time_ms, state.marked_second
    desk.candle_told_ms, desk.next_sequence = state.candle_told_ms, state.next_sequence
    desk.told_best = state.told_best
    desk.mark_candles.minutes.clear()
    desk.mark_candles.minutes.extend(state.marks)


def _restore_account(exchange: PaperExchange, state: _AccountState) -> None:
    account = PaperAccount(state.name, state.asset, state.leverage)
    account.wallet_units, account.update_time_ms = state.wallet_units, state.update_time_ms
    account.margin_calls.update(state.margin_calls)
    account.hedge, account.multi_assets, account.fee_burn = state.hedge, state.multi_assets, state.fee_burn
    account.settings, account.positions = state.settings, state.positions
    for symbol, orders in state.orders.items():
        account.orders[symbol] = {order.order_id: order for order in orders}
        account.open_orders[symbol] = {order.order_id: order for order in orders if order.is_open}
    account.trades = {symbol: deque(trades) for symbol, trades in state.trades.items()}
    account.amendments.extend(state.amendments)
    account.income, account.moves = deque(state.income), deque(state.moves)
    exchange.settlement.accounts[state.name] = account

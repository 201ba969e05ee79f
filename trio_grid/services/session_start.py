"""Owns the checks before a session: the account's mode, other people's orders, a position that nobody explains.

Nothing is placed here. Only `--cancel-strays` cancels, each order by its own id; foreign orders that are not of another
trio_grid bot are never touched (R12).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from trio_grid.config.schema import AccountConfig
from trio_grid.domain.actions import CancelOrder
from trio_grid.domain.client_order_id import decode
from trio_grid.domain.events import CancelAcknowledged, OrderRecord
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import PositionAccepted, TradingState, TradingStateChanged
from trio_grid.domain.instrument import Instrument
from trio_grid.domain.lattice import Lattice
from trio_grid.domain.settings import LatticeSettings, Mode
from trio_grid.domain.slot import Use
from trio_grid.errors import StartRefused, UnexplainedHoldings
from trio_grid.exchange.interface import AccountSettings, Execution
from trio_grid.manager import PositionManager
from trio_grid.services.desk import Desk
from trio_grid.services.exchange_check import TRADE_HISTORY_MS
from trio_grid.services.log_line import line
from trio_grid.services.status_board import ReconciliationSummary

log = logging.getLogger(__name__)


async def check_account(execution: Execution, instrument: Instrument, wanted: AccountConfig) -> AccountSettings:
    """Return how the account trades the symbol; set leverage and margin type if configured and the symbol is flat.

    Raises:
        StartRefused: the account is in hedge mode, or a setting has to change while a position or orders exist.
        ExchangeError: a question was not answered.
    """
    account = await execution.settings(instrument)
    if account.hedge_mode:
        raise StartRefused(
            "the account is in hedge mode, and a grid needs one-way mode. Close all positions, then switch it: on the"
            " exchange under Preferences > Position Mode > One-way, or POST /fapi/v1/positionSide/dual"
            " dualSidePosition=false"
        )
    changes = _changes(account, wanted)
    if changes:
        if (await execution.position(instrument)).position_lots or await execution.open_orders(instrument):
            raise StartRefused(
                f"{' and '.join(changes)} can only be set while {instrument.symbol} is flat with no open orders:"
                " close them, or remove the setting from [account]"
            )
        if wanted.margin_type is not None and wanted.margin_type.value != account.margin_type:
            await execution.set_margin_type(instrument, wanted.margin_type.value)
        if wanted.leverage is not None and wanted.leverage != account.leverage:
            await execution.set_leverage(instrument, wanted.leverage)
        account = await execution.settings(instrument)
    log.info(
        line(
            "account",
            symbol=instrument.symbol,
            leverage=account.leverage,
            margin_type=account.margin_type,
            position_mode="one-way",
        )
    )
    return account


def _changes(account: AccountSettings, wanted: AccountConfig) -> list[str]:
    changes: list[str] = []
    if wanted.leverage is not None and wanted.leverage != account.leverage:
        changes.append(f"leverage {wanted.leverage} (now {account.leverage})")
    if wanted.margin_type is not None and wanted.margin_type.value != account.margin_type:
        changes.append(f"margin type {wanted.margin_type.value} (now {account.margin_type})")
    return changes


def refuse_mode(state: GridState | None, mode: Mode) -> None:
    """Raise StartRefused if slots are in use that the mode does not have.

    In long mode a closing is reduce-only and sells; what a short slot holds could never be bought back beside it.
    """
    wrong = {Mode.LONG: Use.SHORT, Mode.SHORT: Use.LONG}.get(mode)
    slots = () if state is None else state.grid.book.in_order()
    kept = [slot for slot in slots if slot.use is wrong and slot.occupied]
    if kept:
        raise StartRefused(
            f"grid.mode is {mode.value}, and {len(kept)} slots of the journal are used {wrong}: "
            + ", ".join(str(slot.rung) for slot in kept)
            + f". Go on with the mode that opened them, or `{Mode.NEUTRAL.value}`, until they are closed; or stop it"
            " once with --set exit.policy=flatten"
        )


async def highest_session(execution: Execution, instrument: Instrument, bot_id: str) -> int:
    """Return the highest session in this bot's orders of the last seven days on the exchange, 0 for none (R3)."""
    records = await execution.orders_since(instrument, execution.now_ms() - TRADE_HISTORY_MS)
    sessions = (
        parts.session
        for record in records
        if (parts := decode(record.client_order_id)) is not None and parts.bot == bot_id
    )
    return max(sessions, default=0)


async def newest_trade_id(execution: Execution, instrument: Instrument) -> int:
    """Return the account's newest trade id on the symbol in the last seven days, 0 for none."""
    # A minute less than a whole window: the window then ends after now, so one request is all.
    trades = await execution.trades(instrument, start_ms=execution.now_ms() - TRADE_HISTORY_MS + 60_000)
    return max((trade.trade_id for trade in trades), default=0)


async def settle_strays(execution: Execution, instrument: Instrument, bot_id: str, *, cancel: bool) -> None:
    """Refuse to start beside another trio_grid bot's open orders, or cancel each of them by its id.

    Raises:
        UnexplainedHoldings: there are such orders, and they were not to be cancelled or would not go.
    """
    strays = _of_other_bots(await execution.open_orders(instrument), bot_id)
    if strays and cancel:
        for record in strays:
            log.warning(line("cancelling an order of another bot", id=record.client_order_id, order=record.order_id))
        results = await execution.cancel(
            instrument, [CancelOrder(client_order_id=record.client_order_id) for record in strays]
        )
        log.info(line("strays cancelled", count=sum(isinstance(result, CancelAcknowledged) for result in results)))
        strays = _of_other_bots(await execution.open_orders(instrument), bot_id)
    if strays:
        raise UnexplainedHoldings(
            f"{len(strays)} open orders of another trio_grid bot rest on {instrument.symbol}:\n"
            + "\n".join(describe(record, instrument) for record in strays)
            + "\nOne grid per symbol: stop that bot, start with its journal, or start with --cancel-strays"
        )


def _of_other_bots(records: Sequence[OrderRecord], bot_id: str) -> list[OrderRecord]:
    return [
        record for record in records if (parts := decode(record.client_order_id)) is not None and parts.bot != bot_id
    ]


def describe(record: OrderRecord, instrument: Instrument) -> str:
    """Return an order in one line."""
    return (
        f"  {record.client_order_id} {record.side} {instrument.quantity(record.quantity_lots - record.executed_lots)}"
        f" at {instrument.price(record.price_ticks)}"
    )


def refuse_position(instrument: Instrument, position_lots: int, expected_lots: int) -> UnexplainedHoldings:
    """Return the refusal for a position that no slot explains."""
    return UnexplainedHoldings(
        f"the account holds {instrument.quantity(position_lots)} {instrument.base_asset} on {instrument.symbol}, and"
        f" the books explain {instrument.quantity(expected_lots)}: the difference of"
        f" {instrument.quantity(position_lots - expected_lots)} belongs to no slot. Close it by hand, or start with"
        " --allow-foreign-position: it is then left alone and counted as foreign"
    )


async def baseline(execution: Execution, instrument: Instrument, *, allowed: bool) -> tuple[int, int]:
    """Return the position at the journal's first start, in lots, and the newest trade id that is part of it.

    Raises:
        UnexplainedHoldings: there is a position and it was not allowed.
    """
    while True:
        watermark = await newest_trade_id(execution, instrument)
        record = await execution.position(instrument)
        if await newest_trade_id(execution, instrument) == watermark:
            break
    if record.position_lots and not allowed:
        raise refuse_position(instrument, record.position_lots, 0)
    return record.position_lots, watermark


def refuse_narrow_cells(manager: PositionManager, settings: LatticeSettings) -> None:
    """Raise StartRefused if any cell of the first window cannot earn its fees (F13)."""
    snapshot = manager.snapshot()
    if snapshot.anchor_ticks is None:
        return
    lattice = Lattice(settings, snapshot.anchor_ticks)
    window = [row for row in manager.ladder() if row.in_window]
    rate = snapshot.instrument.maker_fee_rate
    narrow = [row for row in window if not lattice.cell_is_viable(row.rung, row.stride, rate)]
    if narrow:
        raise StartRefused(
            f"{len(narrow)} of the {len(window)} cells of the first window are not wider than one tick plus the fees of"
            " a round trip: they cannot earn their fees. Widen grid.interval; `trio-grid check` shows the whole ladder"
        )


def explain_position(desk: Desk, summary: ReconciliationSummary, *, allowed: bool) -> None:
    """Take a position that no slot explains as foreign if the operator allowed that (R12).

    Raises:
        UnexplainedHoldings: it was not allowed.
    """
    if summary.agrees:
        return
    if not allowed:
        expected_lots = summary.position_lots - summary.difference_lots
        raise refuse_position(desk.instrument, summary.position_lots, expected_lots)
    words = "started with --allow-foreign-position"
    for change in (
        PositionAccepted(difference_lots=summary.difference_lots, words=words),
        TradingStateChanged(state=TradingState.ACTIVE, reason=words),
    ):
        desk.dispatcher.carry_out(desk.manager.set_trading_state(change))

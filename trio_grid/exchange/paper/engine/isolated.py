"""Owns the rules of isolated margin: what a position's own wallet gets, gives back, and how much may be moved by hand.

It must never change what an account owns: money only moves between the cross wallet and a position. Amounts are money
units of 1e-8.
"""

from __future__ import annotations

from collections.abc import Mapping

from trio_grid.exchange.paper.engine.account import PaperAccount, round_half_even
from trio_grid.exchange.paper.engine.margin import Marks, account_margin, position_margin
from trio_grid.exchange.paper.engine.records import MarginMove, PaperTrade, PositionSide
from trio_grid.exchange.paper.engine.symbols import PaperSymbol


def settle_trade(account: PaperAccount, symbol: PaperSymbol, trade: PaperTrade) -> None:
    """Move margin after a trade whose realized PnL and fee are booked already.

    What opens takes notional / leverage into the position, as far as the cross wallet reaches. What closes gives its
    share of the position's wallet back, together with what it won or lost; a loss beyond the share is borne by the rest
    of the position's wallet, then by the cross wallet. The cross wallet pays the fee, and the position what it lacks.
    """
    if not account.setting(symbol.name).isolated:
        return
    position = account.position(symbol.name, trade.position_side)
    signed = trade.side.sign * trade.quantity_lots
    before, held = position.isolated_units, position.lots - signed
    closing = min(abs(held), abs(signed)) if held * signed < 0 else 0
    if closing:
        share = round_half_even(before * closing, abs(held))
        loss = min(0, share + trade.realized_units)
        position.isolated_units = 0 if closing == abs(held) else max(0, before - share + loss)
    opening = abs(signed) - closing
    if opening:
        wanted = -(-opening * trade.price_ticks * symbol.unit // account.setting(symbol.name).leverage)
        position.isolated_units += min(wanted, max(0, account.cross_units))
    lacking = min(trade.fee_units, -account.cross_units, position.isolated_units)
    position.isolated_units -= max(0, lacking)
    note_move(account, symbol.name, trade.position_side, position.isolated_units - before, "TRADE", trade.time_ms)


def note_move(account: PaperAccount, symbol: str, side: PositionSide, units: int, cause: str, time_ms: int) -> None:
    """Write a movement into the account's history, unless nothing moved."""
    if units:
        account.moves.append(MarginMove(symbol=symbol, position_side=side, units=units, cause=cause, time_ms=time_ms))


def addable_units(account: PaperAccount, marks: Mapping[str, Marks]) -> int:
    """Return how much of the cross wallet may be given to a position.

    Not what isolated orders wait for, nor what cross positions need: their maintenance margin, and their initial margin
    as far as their own profit does not carry it.
    """
    margin = account_margin(account, marks)
    spare = margin.cross_wallet_units - margin.isolated_order_units - margin.cross_maintenance_units
    return max(0, min(spare, margin.free_units))


def removable_units(account: PaperAccount, marks: Marks, side: PositionSide) -> int:
    """Return how much a position may give back: its initial margin at the mark price has to stay."""
    position, row = account.position(marks.symbol.name, side), position_margin(account, marks, side)
    beyond_initial = position.isolated_units + row.unrealized_units - row.position_initial_units
    return max(0, min(position.isolated_units - row.maintenance_units, beyond_initial))

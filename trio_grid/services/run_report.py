"""Owns what a run came to: counts, money, what rests, and whether the books tie out to the exchange's own account.

Exact integers throughout. It must never raise for what the exchange does not answer: a report is never skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import attrs

from trio_grid.domain.instrument import Instrument, money_decimal
from trio_grid.domain.snapshot import PositionSnapshot
from trio_grid.services.desk import Desk
from trio_grid.services.exchange_check import ExchangeCheck
from trio_grid.services.exit_policy import ExitResult

log = logging.getLogger(__name__)

MOST_TRIES = 5


@attrs.frozen
class AccountMark:
    """Books and account at one moment between two trades."""

    wallet_units: int
    newest_trade_id: int
    snapshot: PositionSnapshot


@attrs.frozen
class TieOut:
    """Whether the books' change equals the account's change; one line for each difference."""

    checked: bool
    differences: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """Return `yes`, or why not."""
        if not self.checked:
            return "not checked: the exchange was not asked"
        return "yes" if not self.differences else "no: " + "; ".join(self.differences)


@attrs.frozen(kw_only=True)
class RunReport:
    """One run, from its start to the end of its exit policy."""

    instrument: Instrument
    session: int
    stop_reason: str
    duration_s: float
    before: PositionSnapshot
    after: PositionSnapshot
    exit: ExitResult
    tie_out: TieOut


async def take_mark(desk: Desk, check: ExchangeCheck) -> AccountMark | None:
    """Read the wallet while the books and the account show the same trades; None if the account never held still.

    Raises:
        ExchangeError: a question was not answered.
    """
    for _ in range(MOST_TRIES):
        await check.walk_trades()
        before = desk.manager.snapshot()
        wallet_units = await desk.execution.wallet(desk.instrument)
        await check.walk_trades()
        await check.book_funding()
        after = desk.manager.snapshot()
        if after.ledger == before.ledger:
            return AccountMark(wallet_units=wallet_units, newest_trade_id=check.newest_trade_id, snapshot=after)
    return None


async def tie_out(desk: Desk, check: ExchangeCheck, start: AccountMark | None) -> TieOut:
    """Compare the run's change of the books with the account's: wallet, position, every trade since the start.

    Raises:
        ExchangeError: a question was not answered.
    """
    end = await take_mark(desk, check)
    if start is None or end is None:
        return TieOut(checked=False)
    instrument = desk.instrument
    differences: list[str] = []
    position = await desk.execution.position(instrument)
    expected = end.snapshot.position_lots
    if position.position_lots != expected:
        differences.append(
            f"position is {instrument.quantity(position.position_lots)}, the books say {instrument.quantity(expected)}"
        )
    differences.extend(_wallet(instrument, start, end))
    differences.extend(await _trades(desk, start, end))
    return TieOut(checked=True, differences=tuple(differences))


def _wallet(instrument: Instrument, start: AccountMark, end: AccountMark) -> list[str]:
    asset = instrument.margin_asset
    booked = end.snapshot.ledger.wallet_change_units(asset) - start.snapshot.ledger.wallet_change_units(asset)
    changed = end.wallet_units - start.wallet_units
    if booked == changed:
        return []
    return [f"the wallet changed by {money_decimal(changed)} {asset}, the books by {money_decimal(booked)}"]


async def _trades(desk: Desk, start: AccountMark, end: AccountMark) -> list[str]:
    """Compare count, realized PnL and fees with the account's own trade records since the start."""
    before, after = start.snapshot.ledger, end.snapshot.ledger
    trades = await desk.execution.trades(desk.instrument, from_id=start.newest_trade_id + 1)
    fees: dict[str, int] = {}
    for trade in trades:
        fees[trade.fee_asset] = fees.get(trade.fee_asset, 0) + trade.fee_units
    theirs: dict[str, object] = {
        "number of trades": len(trades),
        "realized PnL": money_decimal(sum(trade.realized_pnl_units for trade in trades)),
        "fees": {asset: str(money_decimal(units)) for asset, units in sorted(fees.items()) if units},
    }
    ours: dict[str, object] = {
        "number of trades": after.trades - before.trades,
        "realized PnL": money_decimal(after.exchange_realized_units - before.exchange_realized_units),
        "fees": {asset: str(money_decimal(units)) for asset, units in _change(dict(before.fees), dict(after.fees))},
    }
    return [
        f"{name}: the account has {theirs[name]}, the books {ours[name]}" for name in ours if ours[name] != theirs[name]
    ]


def _change(before: Mapping[str, int], after: Mapping[str, int]) -> list[tuple[str, int]]:
    changes = {asset: after.get(asset, 0) - before.get(asset, 0) for asset in {*before, *after}}
    return [(asset, units) for asset, units in sorted(changes.items()) if units]

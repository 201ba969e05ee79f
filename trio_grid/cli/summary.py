"""Owns the text of the final summary: what a run came to, from its report. It must never round money."""

from __future__ import annotations

from decimal import Decimal

from trio_grid.domain.client_order_id import decode
from trio_grid.domain.instrument import money_decimal
from trio_grid.services.exit_policy import ExitResult
from trio_grid.services.run_report import RunReport


def summary_lines(report: RunReport) -> list[str]:
    """Return the summary, one `name: value` per line; `fills:` and `ties out:` are among them."""
    instrument, before, after = report.instrument, report.before, report.after
    asset = instrument.margin_asset
    old, new = before.ledger, after.ledger
    resting = report.exit.resting
    openings = sum((parts := decode(order.client_order_id)) is not None and parts.role == "o" for order in resting)
    fees = _fees(report)
    lines = [
        f"--- {instrument.symbol} session {report.session}, {report.duration_s:.1f} s, stopped by {report.stop_reason}",
        f"orders: {after.counters.orders_placed - before.counters.orders_placed}",
        f"fills: {after.counters.fills - before.counters.fills}",
        f"round trips: {new.round_trips - old.round_trips}",
        f"fees: {fees}",
        f"realized PnL: {signed(money_decimal(after.realized_units - before.realized_units))} {asset}"
        " (round trips less fees plus funding)",
        f"unrealized PnL: {signed(money_decimal(after.unrealized_units))} {asset}",
        f"account PnL: {signed(money_decimal(new.wallet_change_units(asset) - old.wallet_change_units(asset)))} {asset}"
        " (the wallet's change by the exchange's own records)",
        f"position: {instrument.quantity(after.position_lots)} {instrument.base_asset}"
        f" (slots {instrument.quantity(after.net_lots)}, foreign {instrument.quantity(after.foreign_lots)},"
        f" at first start {instrument.quantity(after.baseline_lots)})",
        f"resting: {len(resting)} {'order' if len(resting) == 1 else 'orders'}"
        f" ({openings} to open, {len(resting) - openings} to close)"
        if report.exit.asked
        else "resting: not known, the exchange did not answer",
    ]
    lines += [
        f"  {order.side} {instrument.quantity(order.quantity_lots - order.executed_lots)}"
        f" at {instrument.price(order.price_ticks)} {order.client_order_id}"
        for order in sorted(resting, key=lambda order: -order.price_ticks)
    ]
    unknown = [slot.order.client_order_id for slot in after.slots if slot.order and slot.status == "UNKNOWN"]
    lines += [f"  outcome unknown: {name}" for name in unknown]
    lines.append(f"exit policy: {report.exit.policy.value}, {_exit_words(report.exit)}")
    if after.trading_state != "ACTIVE":
        lines.append(f"trading state: {after.trading_state} ({after.state_reason})")
    lines.append(f"ties out: {report.tie_out.words}")
    return lines


def signed(amount: Decimal) -> str:
    """Return an amount with its sign."""
    return f"{amount:+f}" if amount else f"{amount:f}"


def _exit_words(result: ExitResult) -> str:
    if not result.confirmed:
        return f"NOT CONFIRMED: {result.detail}"
    return "confirmed by the exchange" if result.asked else "nothing was cancelled; the exchange did not answer"


def _fees(report: RunReport) -> str:
    before, after = dict(report.before.ledger.fees), dict(report.after.ledger.fees)
    changes = {asset: after.get(asset, 0) - before.get(asset, 0) for asset in {**before, **after}}
    paid = [f"{money_decimal(units):f} {asset}" for asset, units in sorted(changes.items()) if units]
    return ", ".join(paid) or f"0 {report.instrument.margin_asset}"

"""Why the grid would or would not act at a price, slot by slot, in the operator's words."""

from __future__ import annotations

import msgspec

from trio_grid.domain.grid import Grid
from trio_grid.domain.snapshot import LadderRow, ladder, why_nothing_rests

EXPLAINED_EACH_WAY = 3
"""Slots shown on each side of the price that was asked about."""


class SlotExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """One slot near a price: what it would do there, and the rule that stops it (empty: nothing does)."""

    row: LadderRow
    would: str
    stopped_by: str


def explain(grid: Grid, price_ticks: int) -> tuple[SlotExplanation, ...]:
    """Return the slots nearest to a price in ticks, from the highest opening price down."""
    rows = ladder(grid)
    nearest = sorted(rows, key=lambda row: (abs(row.open_price_ticks - price_ticks), row.rung))
    chosen = {row.rung for row in nearest[: 2 * EXPLAINED_EACH_WAY]}
    return tuple(_explain_row(grid, row, price_ticks) for row in rows if row.rung in chosen)


def _explain_row(grid: Grid, row: LadderRow, price_ticks: int) -> SlotExplanation:
    price = grid.instrument.price
    if row.order_id is not None:
        would = f"its order {row.order_id} is {row.status}"
        return SlotExplanation(row=row, would=would, stopped_by="")
    slot = grid.book.get(row.rung) or grid.new_slot(row.rung, row.stride, row.use)
    stopped = why_nothing_rests(grid, slot)
    if row.inventory_lots:
        would = f"close {grid.instrument.quantity(row.inventory_lots)} at {price(row.exit_price_ticks)}"
        return SlotExplanation(row=row, would=would, stopped_by=stopped)
    would = f"open {row.use} at {price(row.open_price_ticks)}, exit at {price(row.exit_price_ticks)}"
    return SlotExplanation(row=row, would=would, stopped_by=stopped or _price_or_limit(grid, row, price_ticks))


def _price_or_limit(grid: Grid, row: LadderRow, price_ticks: int) -> str:
    lots = grid.level_lots(row.open_price_ticks)
    settings = grid.settings
    if (price_ticks - row.open_price_ticks) * row.use.sign * 10 < abs(row.exit_price_ticks - row.open_price_ticks):
        return "the price is on the wrong side of it, or nearer than a tenth of the interval"
    most = settings.max_inventory_lots
    if most is not None and grid.worst_lots(row.use) + lots > most:
        return "limits.max_inventory: the worst case would exceed it"
    if settings.max_notional_units is not None:
        value = (grid.open_value(row.use) + row.open_price_ticks * lots) * grid.instrument.tick_lot_units
        if value > settings.max_notional_units:
            return "limits.max_notional: inventory and openings would exceed it"
    if grid.position_missing:
        return "position missing: foreign trades took part of what the slots hold"
    if grid.fields.flatten:
        return "flattening"
    if not row.in_window:
        return "outside the window"
    return ""

"""Changed filters: all prices and quantities are rescaled exactly, or the change is refused."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trio_grid.domain.grid import Grid
from trio_grid.domain.inputs import Condition
from trio_grid.domain.instrument import Instrument
from trio_grid.domain.settings import GridSettings, Spacing
from trio_grid.domain.slot import InventorySlot, SlotOrder
from trio_grid.errors import InvariantBroken

replace = msgspec.structs.replace


def factor(old: Decimal, new: Decimal) -> int | None:
    """Return how many new units one old unit has; None if that is not a whole number."""
    numerator, denominator = (old / new).as_integer_ratio()
    return numerator if denominator == 1 and new * numerator == old else None


def rescale(grid: Grid, instrument: Instrument) -> None:
    """Express the whole state in an instrument's new units.

    Raises:
        InvariantBroken: the new tick or lot does not divide the old one, or the symbol is another.
    """
    old = grid.instrument
    ticks, lots = factor(old.tick_size, instrument.tick_size), factor(old.lot_size, instrument.lot_size)
    if ticks is None or lots is None or old.symbol != instrument.symbol:
        raise InvariantBroken(
            f"{instrument.symbol}: tick {instrument.tick_size} and lot {instrument.lot_size} do not divide"
            f" {old.symbol}'s {old.tick_size} and {old.lot_size}"
        )
    fields = grid.fields
    slots = [_slot(slot, ticks, lots) for slot in grid.book.in_order()]
    grid.update(
        instrument=instrument,
        settings=_settings(grid.settings, ticks, lots),
        anchor_ticks=None if fields.anchor_ticks is None else fields.anchor_ticks * ticks,
        cash_ticks_lots=fields.cash_ticks_lots * ticks * lots,
        ledger=fields.ledger.rescale(ticks * lots),
        baseline_lots=fields.baseline_lots * lots,
        foreign_lots=fields.foreign_lots * lots,
        suspicion=None,
        conditions=tuple(sorted({*fields.conditions, Condition.FILTERS_CHANGED})),
        reading=None if fields.reading is None else replace(fields.reading, atr_ticks=fields.reading.atr_ticks * ticks),
    )
    grid.strays = {name: booked * lots for name, booked in grid.strays.items()}
    grid.reload(())
    for slot in slots:
        grid.put(slot)


def _slot(slot: InventorySlot, ticks: int, lots: int) -> InventorySlot:
    return replace(
        slot,
        open_price_ticks=slot.open_price_ticks * ticks,
        exit_price_ticks=slot.exit_price_ticks * ticks,
        inventory_lots=slot.inventory_lots * lots,
        entry_value=slot.entry_value * ticks * lots,
        exit_value=slot.exit_value * ticks * lots,
        reprice_ticks=slot.reprice_ticks * ticks,
        order=None if slot.order is None else _order(slot.order, ticks, lots),
    )


def _order(order: SlotOrder, ticks: int, lots: int) -> SlotOrder:
    return replace(
        order,
        price_ticks=None if order.price_ticks is None else order.price_ticks * ticks,
        quantity_lots=order.quantity_lots * lots,
        executed_lots=order.executed_lots * lots,
        booked_lots=order.booked_lots * lots,
    )


def _settings(settings: GridSettings, ticks: int, lots: int) -> GridSettings:
    lattice = settings.lattice
    if lattice.spacing is Spacing.ARITHMETIC:
        lattice = replace(lattice, interval_ticks=lattice.interval_ticks * ticks)
    if lattice.anchor_ticks is not None:
        lattice = replace(lattice, anchor_ticks=lattice.anchor_ticks * ticks)
    scaled: dict[str, int | None] = {}
    for name in ("stop_loss_ticks", "take_profit_ticks", "trigger_ticks"):
        value = getattr(settings, name)
        scaled[name] = None if value is None else value * ticks
    for name in ("base_per_level_lots", "max_inventory_lots"):
        value = getattr(settings, name)
        scaled[name] = None if value is None else value * lots
    return replace(settings, lattice=lattice, **scaled)

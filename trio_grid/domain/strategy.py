"""What the grid wants next: one intent at a time, as a function of the books, a Probe and the order budget.

`GridStrategy.plan` is asked again after each intent was marked, until it wants nothing more; the questions of that last
plan are the quiet band. Every step looks at the ends of sorted lists and at sums, so a plan costs what changed and not
what there is. Steps come in the order in which money is at risk: limits, cancels, exits, and openings last.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from trio_grid.domain.grid import Grid, Trigger
from trio_grid.domain.inputs import TradingState
from trio_grid.domain.instrument import QuantityLots
from trio_grid.domain.intents import (
    ArmTrigger,
    CancelSlot,
    FireTrigger,
    HitLimit,
    Intent,
    MoveCentre,
    OpenSlot,
)
from trio_grid.domain.lattice import Lattice
from trio_grid.domain.quiet_band import OrdersLeft, Probe
from trio_grid.domain.settings import Mode, OnLimit, Trailing
from trio_grid.domain.slot import InventorySlot, Use
from trio_grid.domain.slot_book import STRIDE_WEIGHT
from trio_grid.domain.strategy_exits import next_exit

NEAREST_OPENING_TENTHS = 1
"""A new opening keeps this many tenths of its interval from the price."""


class Strategy(Protocol):
    """Anything that can say what the grid wants next. It must be a function of its three arguments alone."""

    def plan(self, grid: Grid, probe: Probe, budget: OrdersLeft) -> Intent | None:
        """Return the next intent, or None when the books are as they should be at the probe's price and time."""
        ...


class GridStrategy:
    """The ladder: openings in a window around the price, each filled one closed one interval away."""

    def plan(self, grid: Grid, probe: Probe, budget: OrdersLeft) -> Intent | None:
        """Return the next intent, or None."""
        if grid.lattice is None:
            return None
        return (
            next_limit(grid, probe)
            or next_centre(grid, probe)
            or next_cancel(grid, probe)
            or next_exit(grid, probe, budget)
            or next_opening(grid, probe, budget)
        )


# Limits --------------------------------------------------------------------------------------------------------------


def next_limit(grid: Grid, probe: Probe) -> Intent | None:
    """Return the limit that is hit at this price, if it asks for more than what is already being done."""
    fields, settings = grid.fields, grid.settings
    if fields.trading_state is TradingState.HALTED or fields.flatten:
        return None
    active = fields.trading_state is TradingState.ACTIVE
    flattens = settings.on_stop_loss is OnLimit.FLATTEN
    stop = settings.stop_loss_ticks if active or flattens else None
    if stop is not None and _reached(probe, stop, _loses_below(grid, stop)):
        return HitLimit("stop-loss", flattens)
    if not active and settings.on_limit is not OnLimit.FLATTEN:
        return None
    flatten = settings.on_limit is OnLimit.FLATTEN
    target = settings.take_profit_ticks
    if target is not None and _reached(probe, target, _profits_below(grid, target)):
        return HitLimit("take-profit", flatten)
    bound = grid.drawdown_bound()
    if bound is not None:
        below, threshold = bound
        if probe.below(threshold) is below:
            return HitLimit("drawdown", flatten)
    return _next_trigger(grid, probe)


def _loses_below(grid: Grid, threshold_ticks: int) -> bool:
    """Return whether a stop-loss is reached by a falling price: long does, short does not, neutral has one either way.

    A neutral grid's threshold lies on the side of the anchor on which it was set.
    """
    mode = grid.settings.mode
    return mode is Mode.LONG or (mode is Mode.NEUTRAL and threshold_ticks < (grid.fields.anchor_ticks or 0))


def _profits_below(grid: Grid, threshold_ticks: int) -> bool:
    """Return whether a take-profit is reached by a falling price."""
    mode = grid.settings.mode
    return mode is Mode.SHORT or (mode is Mode.NEUTRAL and threshold_ticks < (grid.fields.anchor_ticks or 0))


def _reached(probe: Probe, threshold_ticks: int, from_above: bool) -> bool:
    """Return whether the price is at the threshold or beyond it."""
    if from_above:
        return probe.below(2 * threshold_ticks + 1)
    return not probe.below(2 * threshold_ticks)


def _next_trigger(grid: Grid, probe: Probe) -> Intent | None:
    threshold = grid.settings.trigger_ticks
    if threshold is None or grid.fields.trigger is Trigger.FIRED:
        return None
    if grid.fields.trigger is Trigger.WAITING:
        return ArmTrigger(above=not probe.below(2 * threshold))
    if _reached(probe, threshold, grid.fields.trigger is Trigger.ARMED_ABOVE):
        return FireTrigger()
    return None


# Window --------------------------------------------------------------------------------------------------------------


def skew_offset(grid: Grid, interval_half_ticks: int) -> int:
    """Return what is taken from the price to get the reference: skew x interval x net / maximum inventory, clamped.

    All in half ticks; rounded towards zero, so that a flat book has no skew. Without a maximum inventory there is none.
    """
    settings = grid.settings
    most = settings.max_inventory_lots
    if not most or not settings.skew_milli:
        return 0
    net = max(-most, min(most, grid.net_lots))
    size = settings.skew_milli * interval_half_ticks * abs(net) // (1_000 * most)
    return size if net > 0 else -size


def next_centre(grid: Grid, probe: Probe) -> Intent | None:
    """Return where the centre has to move: to the rung nearest the reference price, with hysteresis.

    The reference is price - skew x interval x net / maximum inventory: long inventory lowers it.
    """
    lattice, stride, centre = grid.lattice, grid.fields.stride, grid.fields.centre
    if lattice is None:
        return None
    if centre is None:
        return MoveCentre(probe.cell(0, stride))
    offset = _offset(grid, lattice, centre)
    trailing = grid.settings.trailing
    moves_up = trailing in (Trailing.BOTH, Trailing.UP) and centre + stride <= lattice.highest_rung
    moves_down = trailing in (Trailing.BOTH, Trailing.DOWN) and centre - stride >= lattice.lowest_rung
    goes_up = moves_up and _is_above(grid, probe, lattice, centre)
    if not goes_up and not (moves_down and _is_below(grid, probe, lattice, centre)):
        return None
    target = probe.cell(offset, stride)
    if target == centre:
        # Rungs that share a tick: another one of them is no other centre.
        return None
    if abs(target - centre) == stride:
        # The skew is a share of the cell's own width: where widths differ much, the next cell may want to come back.
        comes_back = _is_below if goes_up else _is_above
        if comes_back(grid, probe, lattice, target):
            return None
    return MoveCentre(target)


def _offset(grid: Grid, lattice: Lattice, centre: int) -> int:
    return skew_offset(grid, 2 * lattice.cell_width(centre, grid.fields.stride))


def _hysteresis(grid: Grid, lattice: Lattice, centre: int) -> int:
    return grid.settings.centre_hysteresis_milli * 2 * lattice.cell_width(centre, grid.fields.stride) // 1_000


def _is_above(grid: Grid, probe: Probe, lattice: Lattice, centre: int) -> bool:
    """Return whether the reference is nearer to the next rung up than to this one, by more than the hysteresis."""
    middle = lattice.price(centre) + lattice.price(centre + grid.fields.stride)
    return not probe.below(middle + 1 + _offset(grid, lattice, centre) + _hysteresis(grid, lattice, centre))


def _is_below(grid: Grid, probe: Probe, lattice: Lattice, centre: int) -> bool:
    """Return whether the reference is nearer to the next rung down than to this one, by more than the hysteresis."""
    middle = lattice.price(centre) + lattice.price(centre - grid.fields.stride)
    return probe.below(middle + 1 + _offset(grid, lattice, centre) - _hysteresis(grid, lattice, centre))


# Cancels -------------------------------------------------------------------------------------------------------------


def next_cancel(grid: Grid, probe: Probe) -> Intent | None:
    """Return the next opening that must not rest any longer."""
    for use in Use:
        if not grid.book.resting_opens[use]:
            continue
        found = _stopped(grid, use) or _misplaced(grid, use) or _half_way(grid, probe, use)
        if found is not None:
            return found
    return None


def _stopped(grid: Grid, use: Use) -> Intent | None:
    if use not in grid.permissions.cancels_openings and not (grid.position_missing or grid.fields.flatten):
        return None
    key = grid.book.resting_opens[use].first()
    reason = ", ".join(grid.permissions.reasons) or "position missing"
    return None if key is None else CancelSlot(key[1], reason)


def _misplaced(grid: Grid, use: Use) -> Intent | None:
    """Return an opening outside the window: of another stride, or beyond an end of its use's cells."""
    window = grid.candidates.window
    if window is None:
        return None
    for key in (grid.book.resting_opens[use].first(), grid.book.resting_opens[use].last()):
        if key is not None and not window.keeps(key[1], (key[0] - key[1]) // STRIDE_WEIGHT, use):
            return CancelSlot(key[1], "the window left it")
    return None


def _half_way(grid: Grid, probe: Probe, use: Use) -> Intent | None:
    """Return a partly filled opening from which the price has gone half way to the exit."""
    if use is Use.LONG:
        key = grid.book.half_way[use].first()
        passed = key is not None and not probe.below(key[0])
    else:
        key = grid.book.half_way[use].last()
        passed = key is not None and probe.below(key[0] + 1)
    return CancelSlot(key[1], "partly filled, and the price is half way to the exit") if key and passed else None


# Openings ------------------------------------------------------------------------------------------------------------


def next_opening(grid: Grid, probe: Probe, budget: OrdersLeft) -> Intent | None:
    """Return the next opening: nearest to the centre first, both sides in turn."""
    if grid.fields.flatten or grid.position_missing or not _trigger_allows(grid):
        return None
    if any(len(keys) for keys in grid.book.waiting_exits.values()):
        # Exits come first: as long as one waits for room or for the position, nothing new is opened.
        return None
    found = [opening for use in Use if (opening := _nearest_opening(grid, probe, use)) is not None]
    if not found or not budget.covers_one(probe):
        return None
    centre = grid.fields.centre or 0
    best = min(found, key=lambda opening: (_distance(opening, centre), opening.use))
    if grid.sum("unsettled") < grid.order_capacity():
        return best
    return None if grid.sum("cancelling") else _make_room(grid, best, centre)


def _trigger_allows(grid: Grid) -> bool:
    return grid.settings.trigger_ticks is None or grid.fields.trigger is Trigger.FIRED


def _distance(opening: OpenSlot, centre: int) -> int:
    """Return how many rungs a cell's opening price lies from the centre."""
    return centre - opening.rung if opening.use is Use.LONG else opening.rung + opening.stride - centre


def _nearest_opening(grid: Grid, probe: Probe, use: Use) -> OpenSlot | None:
    """Return the opening nearest to the centre that nothing forbids.

    The nearest one decides: if it does not fit the limits, a farther one must not jump the queue.
    """
    if not grid.permissions.may_open(use) or grid.candidates.window is None:
        return None
    waiting = _nearest_waiting_cell(grid, probe, use, grid.candidates.window.stride)
    cooled = _nearest_cooled_cell(grid, probe, use, waiting)
    nearest = waiting if cooled is None else cooled
    return None if nearest is None else _fitted(grid, nearest)


def _nearest_cooled_cell(grid: Grid, probe: Probe, use: Use, waiting: InventorySlot | None) -> InventorySlot | None:
    """Return the nearest cell whose pause after a refusal is over, if it lies nearer than the one that waits."""
    nearest: InventorySlot | None = None
    ahead_of = None if waiting is None else waiting.rung * use.sign
    for retry_at_ms, rung in grid.book.cooling:
        if not probe.due(retry_at_ms):
            break
        cooled = grid.book.get(rung)
        if cooled is None or cooled.use is not use or not grid.worth_opening(rung, cooled.stride, use):
            continue
        if ahead_of is not None and rung * use.sign <= ahead_of:
            continue
        cooled = _aimed(grid, cooled)
        occupant = grid.book.occupant(rung, cooled.stride)
        free = occupant is None or grid.book.reopens(occupant, rung, cooled.stride, use)
        if free and _keeps_its_distance(probe, cooled):
            nearest, ahead_of = cooled, rung * use.sign
    return nearest


def _nearest_waiting_cell(grid: Grid, probe: Probe, use: Use, stride: int) -> InventorySlot | None:
    """Return the cell nearest to the centre that waits for an opening and lies on the right side of the price.

    Usually that is the first one. If the price has come nearer than the centre, or has left the window, the cell of the
    price says where to look: there, or one further out.
    """
    waiting = grid.candidates.waiting[use]
    key = waiting.last() if use is Use.LONG else waiting.first()
    for attempt in range(3):
        if key is None:
            return None
        slot = _aimed(grid, grid.book.get(key[1]) or grid.new_slot(key[1], stride, use))
        if _keeps_its_distance(probe, slot):
            return slot
        if use is Use.LONG:
            key = waiting.last_below((probe.cell(0, stride) + 1) if attempt == 0 else key[0])
        else:
            key = waiting.first_from((probe.cell(0, stride) - stride) if attempt == 0 else key[0] + 1)
    return None


def _aimed(grid: Grid, slot: InventorySlot) -> InventorySlot:
    """Return the slot with the price at which it opens next: the lattice's, one tick further off per refusal."""
    price = grid.open_price_ticks(slot.rung, slot.stride, slot.use) - slot.use.sign * slot.reprice_ticks
    price = max(grid.instrument.min_price_ticks, min(grid.instrument.max_price_ticks, price))
    return msgspec.structs.replace(slot, open_price_ticks=price)


def _keeps_its_distance(probe: Probe, slot: InventorySlot) -> bool:
    """Return whether the price is on the right side of the opening, a tenth of the interval away."""
    width_half_ticks = 2 * abs(slot.exit_price_ticks - slot.open_price_ticks)
    distance = max(1, width_half_ticks * NEAREST_OPENING_TENTHS // 10)
    if slot.use is Use.LONG:
        return not probe.below(2 * slot.open_price_ticks + distance)
    return probe.below(2 * slot.open_price_ticks - distance + 1)


def _fitted(grid: Grid, slot: InventorySlot) -> OpenSlot | None:
    """Return the opening if the worst case stays within every limit with it, None otherwise (F4)."""
    settings, use = grid.settings, slot.use
    price = slot.open_price_ticks
    lots = grid.level_lots(price)
    units = grid.instrument
    if lots < units.min_quantity_lots or units.notional_units(price, lots) < units.min_notional_units:
        # Compounding took back what it gave; the next reading lists the cells anew.
        return None
    if settings.max_inventory_lots is not None and grid.worst_lots(use) + lots > settings.max_inventory_lots:
        return None
    if settings.max_notional_units is not None:
        value = (grid.open_value(use) + price * lots) * grid.instrument.tick_lot_units
        if value > settings.max_notional_units:
            return None
    return OpenSlot(
        rung=slot.rung,
        stride=slot.stride,
        use=use,
        open_price_ticks=price,
        exit_price_ticks=slot.exit_price_ticks,
        quantity_lots=QuantityLots(lots),
    )


def _make_room(grid: Grid, wanted: OpenSlot, centre: int) -> Intent | None:
    """Return the cancel of the farthest resting opening if that lies at least two cells farther out."""
    lowest, highest = grid.book.resting_opens[Use.LONG].first(), grid.book.resting_opens[Use.SHORT].last()
    far = [(centre - lowest[1], lowest[1])] if lowest else []
    far += [(highest[1] + wanted.stride - centre, highest[1])] if highest else []
    if not far:
        return None
    distance, rung = max(far)
    if distance < _distance(wanted, centre) + 2 * wanted.stride:
        return None
    return CancelSlot(rung, "makes room for an opening nearer to the price")

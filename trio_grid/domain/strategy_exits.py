"""The exits: which inventory gets its closing order next, at which price, and what makes room for it.

Of two LONG exits the lower one is the nearer, of two SHORT exits the higher: an order that no price can change. Only
between the two uses does the price decide, and only when not everything fits.
"""

from __future__ import annotations

from trio_grid.domain.grid import Grid
from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.domain.intents import CancelSlot, CloseSlot, Intent
from trio_grid.domain.quiet_band import OrdersLeft, Probe
from trio_grid.domain.settings import Mode
from trio_grid.domain.slot import InventorySlot, Use
from trio_grid.domain.slot_book import Key, SortedKeys


def next_exit(grid: Grid, probe: Probe, budget: OrdersLeft) -> Intent | None:
    """Return the next closing, or the cancel that makes room for it. No filter is asked (R10)."""
    if not grid.permissions.closes:
        return None
    if grid.fields.flatten:
        return _next_flatten(grid, probe, budget)
    slot = _next_in_line(grid, probe) or _coverable_small(grid)
    if slot is None or _waits_for_the_position(grid, slot):
        return None
    closing = _closing(grid, probe, slot)
    if closing is None or grid.sum("unsettled") >= grid.order_capacity():
        if grid.sum("cancelling"):
            # Somebody is leaving already; cancelling more before that is settled would clear the whole ladder.
            return None
        return _hand_over_position(grid, slot) if closing is None else _make_room(grid, probe, slot)
    return closing if budget.covers_one(probe) else None


def is_marketable_priority(use: Use) -> bool:
    """Return whether the nearest exit of a use is the one with the lowest price."""
    return use is Use.LONG


def _nearest(keys: SortedKeys, use: Use) -> Key | None:
    return keys.first() if is_marketable_priority(use) else keys.last()


def _farthest(keys: SortedKeys, use: Use) -> Key | None:
    return keys.last() if is_marketable_priority(use) else keys.first()


def _nearest_waiting(grid: Grid, probe: Probe) -> InventorySlot | None:
    """Return the slot whose exit is nearest to the price among those that have no order."""
    long_key = _nearest(grid.book.waiting_exits[Use.LONG], Use.LONG)
    short_key = _nearest(grid.book.waiting_exits[Use.SHORT], Use.SHORT)
    if long_key is None or short_key is None:
        key = long_key or short_key
    elif _everything_fits(grid):
        key = long_key
    else:
        # exit_long - price <= price - exit_short, in half ticks.
        key = short_key if probe.below(long_key[0] + short_key[0]) else long_key
    return None if key is None else grid.book.get(key[1])


def _next_in_line(grid: Grid, probe: Probe) -> InventorySlot | None:
    """Return the nearest exit of those that wait for the first time and the one whose pause after a refusal is over.

    Both have to be compared: if a farther exit went first, the nearer one would take its place again, for ever.
    """
    waiting, due = _nearest_waiting(grid, probe), _due_again(grid, probe)
    if waiting is None or due is None:
        return waiting or due
    if waiting.use is due.use:
        return due if _is_nearer(due, waiting.exit_price_ticks) else waiting
    long, short = (waiting, due) if waiting.use is Use.LONG else (due, waiting)
    return short if probe.below(long.exit_price_ticks + short.exit_price_ticks) else long


def _everything_fits(grid: Grid) -> bool:
    waiting = sum(len(keys) for keys in grid.book.waiting_exits.values())
    return grid.sum("unsettled") + waiting <= grid.order_capacity()


def _due_again(grid: Grid, probe: Probe) -> InventorySlot | None:
    """Return the slot whose closing was refused longest ago, once its wait is over.

    In neutral mode one that only a reduce-only order may close is passed over while the position does not cover it:
    plain exits behind it need no position.
    """
    for retry_at_ms, rung in grid.book.delayed_exits:
        if not probe.due(retry_at_ms):
            return None
        slot = grid.book.get(rung)
        if slot is None or (grid.settings.mode is Mode.NEUTRAL and not _is_covered(grid, slot)):
            continue
        return slot
    return None


def _is_covered(grid: Grid, slot: InventorySlot) -> bool:
    """Return whether a closing of the slot is plain, or the position is known and covers a reduce-only one."""
    if not _is_reduce_only(grid, slot):
        return True
    return not grid.fields.position_question and grid.reducible_lots(slot.use) >= slot.inventory_lots


def _waits_for_the_position(grid: Grid, slot: InventorySlot) -> bool:
    """Return whether the slot's closing is reduce-only and the position has to be read first (F15)."""
    return grid.fields.position_question and _is_reduce_only(grid, slot)


def _coverable_small(grid: Grid) -> InventorySlot | None:
    """Return inventory below the minimum notional that the net position lets a reduce-only order close."""
    for use in Use:
        key = grid.book.small_exits[use].first()
        if key is not None and grid.reducible_lots(use) >= key[0]:
            return grid.book.get(key[1])
    return None


def _is_reduce_only(grid: Grid, slot: InventorySlot) -> bool:
    """Return whether the slot's closing is reduce-only: always but in neutral mode, there only below the notional."""
    if grid.settings.mode is not Mode.NEUTRAL:
        return True
    notional = grid.instrument.notional_units(slot.exit_price_ticks, slot.inventory_lots)
    return notional < grid.instrument.min_notional_units


def _closing(grid: Grid, probe: Probe, slot: InventorySlot) -> CloseSlot | None:
    """Return the closing of all the slot holds; None if the position does not cover a reduce-only one."""
    reduce_only = _is_reduce_only(grid, slot)
    lots = _closable_lots(grid, slot, grid.instrument.max_quantity_lots, reduce_only)
    if lots is None:
        return None
    price: int = slot.exit_price_ticks
    if grid.settings.closings_post_only:
        price = _passive_price(probe, slot.use, price) + slot.use.sign * slot.reprice_ticks
        price = max(grid.instrument.min_price_ticks, min(grid.instrument.max_price_ticks, price))
    return CloseSlot(
        rung=slot.rung,
        price_ticks=PriceTicks(price),
        quantity_lots=QuantityLots(lots),
        reduce_only=reduce_only,
        post_only=grid.settings.closings_post_only,
    )


def _passive_price(probe: Probe, use: Use, price_ticks: int) -> int:
    """Return the price, or the nearest one beyond it at which a closing would not take, if the market is past it."""

    def passive(candidate: int) -> bool:
        if use is Use.LONG:
            return probe.below(2 * candidate)
        return not probe.below(2 * candidate + 1)

    if passive(price_ticks):
        return price_ticks
    taking, resting, step = price_ticks, price_ticks + use.sign, 1
    while not passive(resting):
        step *= 2
        taking, resting = resting, resting + use.sign * step
    while abs(resting - taking) > 1:
        middle = (resting + taking) // 2
        taking, resting = (taking, middle) if passive(middle) else (middle, resting)
    return resting


def _closable_lots(grid: Grid, slot: InventorySlot, most_lots: int, reduce_only: bool) -> int | None:
    """Return how many lots the slot's next closing may have; None if it has to wait for the position.

    Foreign trades may have left less than this slot holds: then that much is closed, but only when no other
    reduce-only closing of this use is under way, since the nearest exit goes first.
    """
    lots = min(slot.inventory_lots, most_lots)
    if not reduce_only or grid.reducible_lots(slot.use) >= lots:
        return lots
    if grid.settings.mode is Mode.NEUTRAL or grid.reduce_only_lots(slot.use):
        return None
    left = grid.reducible_lots(slot.use)
    return left if left >= grid.instrument.min_quantity_lots else None


def _hand_over_position(grid: Grid, slot: InventorySlot) -> Intent | None:
    """Return the cancel of a farther reduce-only closing, so that the nearest one gets what position there is."""
    key = _farthest(grid.book.resting_exits[slot.use], slot.use)
    if key is None or not _is_nearer(slot, key[0]):
        return None
    return CancelSlot(key[1], "the position covers only nearer exits")


def _is_nearer(slot: InventorySlot, exit_price_ticks: int) -> bool:
    """Return whether a slot's exit comes before another exit of its use."""
    if is_marketable_priority(slot.use):
        return slot.exit_price_ticks < exit_price_ticks
    return slot.exit_price_ticks > exit_price_ticks


def _make_room(grid: Grid, probe: Probe, slot: InventorySlot) -> Intent | None:
    """Return the cancel that makes room for an exit: the farthest opening, else the farthest exit that lies beyond."""
    lowest = grid.book.resting_opens[Use.LONG].first()
    highest = grid.book.resting_opens[Use.SHORT].last()
    centre = grid.fields.centre or 0
    openings = [(abs(key[1] - centre), key[1]) for key in (lowest, highest) if key is not None]
    if openings:
        return CancelSlot(max(openings)[1], "makes room for an exit")
    own = _farthest(grid.book.resting_exits[slot.use], slot.use)
    if own is not None and _is_nearer(slot, own[0]):
        return CancelSlot(own[1], "makes room for a nearer exit")
    return _swap_with_other_use(grid, probe, slot)


def _swap_with_other_use(grid: Grid, probe: Probe, slot: InventorySlot) -> Intent | None:
    """Compare with the farthest exit of the other use: there the price decides, with the cell's width as hysteresis."""
    other = Use.SHORT if slot.use is Use.LONG else Use.LONG
    key = _farthest(grid.book.resting_exits[other], other)
    if key is None:
        return None
    width = abs(slot.exit_price_ticks - slot.open_price_ticks)
    middle = slot.exit_price_ticks + key[0]
    past_above = slot.use is Use.LONG and not probe.below(middle + width + 1)
    nearer = past_above or (slot.use is Use.SHORT and probe.below(middle - width))
    return CancelSlot(key[1], "makes room for a nearer exit") if nearer else None


def _next_flatten(grid: Grid, probe: Probe, budget: OrdersLeft) -> Intent | None:
    """Close everything at market: each resting closing is cancelled and settled first, then its slot is closed."""
    for use in Use:
        resting = grid.book.resting_exits[use].first()
        if resting is not None:
            return CancelSlot(resting[1], "flatten")
    key = next((keys.first() for keys in grid.book.waiting_exits.values() if len(keys)), None)
    slot = _due_again(grid, probe) if key is None else grid.book.get(key[1])
    slot = slot or _coverable_small(grid)
    if slot is None:
        return None
    reduce_only = _is_reduce_only(grid, slot)
    lots = _closable_lots(grid, slot, grid.instrument.max_market_quantity_lots, reduce_only)
    if lots is None or _waits_for_the_position(grid, slot) or not budget.covers_one(probe):
        return None
    return CloseSlot(rung=slot.rung, price_ticks=None, quantity_lots=QuantityLots(lots), reduce_only=reduce_only)

"""The slots in use, with the sorted indices and sums that let a plan cost what changed and not what there is.

Everything here is derived from the slots alone: `put` takes a slot's old contributions out and the new ones in. A plan
looks at the ends of sorted lists and at sums, so its cost does not depend on the number of slots.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator

from trio_grid.domain.slot import InventorySlot, OrderStatus, Role, Use

Key = tuple[int, int]


STRIDE_WEIGHT = 2**24
"""Openings are sorted by stride x this + rung: the list's ends show a misfit stride, else the outermost rung."""


class ExitKind(enum.Enum):
    """How inventory without an order can be closed."""

    PLAIN = "plain"
    SMALL = "small"
    """Below the minimum notional: only a reduce-only order may close it."""
    DUST = "dust"
    """Below the minimum quantity: no order may close it."""


class SortedKeys:
    """A sorted list of (order, rung) pairs. Insertion and removal are one bisection and one memory move each."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys: list[Key] = []

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    def add(self, key: Key) -> None:
        """Insert a key that is not there yet."""
        insort(self._keys, key)

    def discard(self, key: Key) -> None:
        """Remove a key that is there."""
        del self._keys[bisect_left(self._keys, key)]

    def first(self) -> Key | None:
        """Return the smallest key."""
        return self._keys[0] if self._keys else None

    def last(self) -> Key | None:
        """Return the largest key."""
        return self._keys[-1] if self._keys else None

    def last_below(self, order: int) -> Key | None:
        """Return the largest key whose order is below a value."""
        position = bisect_left(self._keys, (order,))
        return self._keys[position - 1] if position else None

    def first_from(self, order: int) -> Key | None:
        """Return the smallest key whose order is at or above a value."""
        position = bisect_left(self._keys, (order,))
        return self._keys[position] if position < len(self._keys) else None


SUM_NAMES = (
    "inventory_long",
    "inventory_short",
    "entry_long",
    "entry_short",
    "opening_lots_long",
    "opening_lots_short",
    "opening_value_long",
    "opening_value_short",
    "buy_lots",
    "sell_lots",
    "reduce_only_buy_lots",
    "reduce_only_sell_lots",
    "unsettled",
    "cancelling",
    "unbooked",
)


class SlotBook:
    """All slots that are not pristine, by rung.

    Sorted indices, each entry (order, rung):
        occupied             by rung: cells that hold inventory or an unsettled order
        waiting_exits[use]   by exit price: inventory without an order
        small_exits[use]     by inventory: the same, but below the minimum notional
        delayed_exits        by retry time: the same, after a refusal
        resting_exits[use]   by exit price: live closing orders with a limit price; a MARKET order never rests
        resting_opens[use]   by stride and rung: live opening orders
        half_way[use]        by twice the middle of the cell: live openings that are partly filled
        cooling              by retry time: slots without an order, empty or with dust, that remember a refusal

    `exit_kind` says how the inventory of a slot can be closed; it depends on the instrument and the mode alone.
    """

    def __init__(self, exit_kind: Callable[[InventorySlot], ExitKind]) -> None:
        self._exit_kind = exit_kind
        self._slots: dict[int, InventorySlot] = {}
        self.occupied = SortedKeys()
        self.waiting_exits = {use: SortedKeys() for use in Use}
        self.small_exits = {use: SortedKeys() for use in Use}
        self.delayed_exits = SortedKeys()
        self.resting_exits = {use: SortedKeys() for use in Use}
        self.resting_opens = {use: SortedKeys() for use in Use}
        self.half_way = {use: SortedKeys() for use in Use}
        self.cooling = SortedKeys()
        self.sums = dict.fromkeys(SUM_NAMES, 0)
        # How many occupied slots there are of each stride.
        self._strides: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def get(self, rung: int) -> InventorySlot | None:
        """Return the slot of a rung, or None if nothing is known of it."""
        return self._slots.get(rung)

    def in_order(self) -> tuple[InventorySlot, ...]:
        """Return all slots, ascending by rung."""
        return tuple(self._slots[rung] for rung in sorted(self._slots))

    def put(self, rung: int, slot: InventorySlot | None) -> None:
        """Replace a slot; None, or a pristine one, is forgotten."""
        old = self._slots.get(rung)
        if old is not None:
            self._count(old, -1)
        if slot is None or slot.pristine:
            self._slots.pop(rung, None)
            return
        self._slots[rung] = slot
        self._count(slot, 1)

    def _count(self, slot: InventorySlot, sign: int) -> None:
        for index, key in self._keys_of(slot):
            if sign > 0:
                index.add(key)
            else:
                index.discard(key)
        for name, amount in _amounts_of(slot):
            self.sums[name] += sign * amount
        if slot.occupied:
            count = self._strides.get(slot.stride, 0) + sign
            if count:
                self._strides[slot.stride] = count
            else:
                del self._strides[slot.stride]

    def _keys_of(self, slot: InventorySlot) -> Iterator[tuple[SortedKeys, Key]]:
        rung, order = slot.rung, slot.order
        if not slot.occupied:
            yield self.cooling, (slot.retry_at_ms, rung)
            return
        yield self.occupied, (rung, rung)
        if order is None:
            yield from self._exit_keys_of(slot)
        elif order.status is OrderStatus.LOCKED:
            if order.role is Role.CLOSE:
                if order.price_ticks is not None:
                    yield self.resting_exits[slot.use], (slot.exit_price_ticks, rung)
                return
            yield self.resting_opens[slot.use], (slot.stride * STRIDE_WEIGHT + rung, rung)
            if order.executed_lots:
                # In half ticks the middle of the cell is the plain sum of its two prices.
                yield self.half_way[slot.use], (slot.open_price_ticks + slot.exit_price_ticks, rung)

    def _exit_keys_of(self, slot: InventorySlot) -> Iterator[tuple[SortedKeys, Key]]:
        kind = self._exit_kind(slot)
        if kind is ExitKind.DUST:
            if slot.retries:
                yield self.cooling, (slot.retry_at_ms, slot.rung)
            return
        if slot.retries:
            yield self.delayed_exits, (slot.retry_at_ms, slot.rung)
        elif kind is ExitKind.SMALL:
            yield self.small_exits[slot.use], (slot.inventory_lots, slot.rung)
        else:
            yield self.waiting_exits[slot.use], (slot.exit_price_ticks, slot.rung)

    def overlaps(self, rung: int, stride: int) -> bool:
        """Return whether the cell rung..rung+stride overlaps an occupied one."""
        return self.occupant(rung, stride) is not None

    def occupant(self, rung: int, stride: int) -> InventorySlot | None:
        """Return the highest occupied slot that overlaps the cell rung..rung+stride."""
        # The last one that begins before the cell's end is the first candidate. Occupied cells are disjoint unless a
        # late trade came for a cell of another stride: then a wider one may begin below it and reach further.
        widest = max(self._strides, default=0)
        below = rung + stride
        while (key := self.occupied.last_below(below)) is not None and key[1] + widest > rung:
            slot = self._slots[key[1]]
            if slot.rung + slot.stride > rung:
                return slot
            below = slot.rung
        return None

    def reopens(self, slot: InventorySlot, rung: int, stride: int, use: Use) -> bool:
        """Return whether an occupied slot may get another opening: it is this cell, and no order may close it.

        Inventory below the minimum notional gets its closing first if the position covers one: exits come before
        openings in every plan.
        """
        same_cell = (slot.rung, slot.stride, slot.use) == (rung, stride, use)
        return same_cell and slot.order is None and self._exit_kind(slot) is not ExitKind.PLAIN


def _amounts_of(slot: InventorySlot) -> Iterator[tuple[str, int]]:
    long = slot.use is Use.LONG
    yield ("inventory_long" if long else "inventory_short"), slot.inventory_lots
    yield ("entry_long" if long else "entry_short"), slot.inventory_lots * slot.open_price_ticks
    order = slot.order
    if order is None:
        return
    yield "unsettled", 1
    yield "cancelling", int(order.status is OrderStatus.CANCELLING)
    yield "unbooked", order.executed_lots - order.booked_lots
    remaining = order.remaining_lots
    side = "buy_lots" if order.side.sign > 0 else "sell_lots"
    yield (f"reduce_only_{side}" if order.reduce_only else side), remaining
    if order.role is Role.OPEN:
        yield ("opening_lots_long" if long else "opening_lots_short"), remaining
        yield ("opening_value_long" if long else "opening_value_short"), remaining * slot.open_price_ticks

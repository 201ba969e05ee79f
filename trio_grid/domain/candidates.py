"""Which cells of the window could get an opening: kept up to date cell by cell, never searched.

Derived from centre, stride, sizes and occupied slots. A change of one slot looks at the cells that overlap it; a move
of the centre looks at the cells that entered or left; only a change of stride, size or settings looks at all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from trio_grid.domain.lattice import Lattice
from trio_grid.domain.settings import GridSettings, Mode
from trio_grid.domain.slot import InventorySlot, Use
from trio_grid.domain.slot_book import SlotBook, SortedKeys


class Window(msgspec.Struct, frozen=True, gc=False):
    """The window's cells as rungs: LONG ones `low`..`centre`, SHORT ones `centre`..`high`, in steps of `stride`.

    All four are multiples of the stride; a mode that has no cells on a side has low or high equal to centre.
    """

    low: int
    centre: int
    high: int
    stride: int

    def cells(self, use: Use) -> range:
        """Return the rungs of a use's cells, ascending."""
        if use is Use.LONG:
            return range(self.low, self.centre, self.stride)
        return range(self.centre, self.high, self.stride)

    def use_of(self, rung: int) -> Use | None:
        """Return the use that the window gives to a cell, None outside it or between its cells."""
        if rung % self.stride or not self.low <= rung < self.high:
            return None
        return Use.LONG if rung < self.centre else Use.SHORT

    def keeps(self, rung: int, stride: int, use: Use) -> bool:
        """Return whether an opening that rests may stay.

        On the centre's side it may lie one cell further in than new ones do: the centre follows the price, and reaches
        the opening's rung before the price does. To cancel it then would mean that nothing is ever filled.
        """
        if stride != self.stride or rung % stride:
            return False
        if use is Use.LONG:
            return self.low <= rung <= self.centre
        return self.centre - stride <= rung < self.high


def window_at(centre: int, stride: int, settings: GridSettings, lattice: Lattice) -> Window:
    """Return the window around a centre that is a multiple of stride, clipped to the lattice's range."""
    below = 0 if settings.mode is Mode.SHORT else settings.levels_below
    above = 0 if settings.mode is Mode.LONG else settings.levels_above
    lowest = -(-lattice.lowest_rung // stride) * stride
    highest = lattice.highest_rung // stride * stride
    low = min(centre, max(lowest, centre - below * stride))
    high = max(centre, min(highest, centre + above * stride))
    return Window(low=low, centre=centre, high=high, stride=stride)


class Candidates:
    """The cells that may open and wait for nothing but price, exposure, capacity and budget.

    `waiting[use]` holds their rungs.
    """

    def __init__(self, book: SlotBook) -> None:
        self._book = book
        self.window: Window | None = None
        self.waiting = {use: SortedKeys() for use in Use}
        self._listed: dict[int, Use] = {}
        self._opens: Callable[[int, int, Use], bool] = lambda rung, stride, use: False

    def rebuild(self, window: Window | None, opens: Callable[[int, int, Use], bool]) -> None:
        """Start over: another stride, size or setting. `opens` says whether a cell (rung, stride, use) is worth it."""
        for rung in list(self._listed):
            self._unlist(rung)
        self._opens = opens
        self.window = None
        if window is not None:
            self.move(window)

    def move(self, window: Window) -> None:
        """Move to a window of the same stride: only cells that entered, left or changed their use are looked at."""
        old, self.window = self.window, window
        for use in Use:
            for rung in _difference(None if old is None else old.cells(use), window.cells(use)):
                if self._listed.get(rung) is use:
                    self._unlist(rung)
        for use in Use:
            for rung in _difference(window.cells(use), None if old is None else old.cells(use)):
                self.refresh_cell(rung)

    def touched(self, slot: InventorySlot) -> None:
        """Look again at the cells of the window that overlap a slot that changed."""
        window = self.window
        if window is None:
            return
        stride = window.stride
        first = -(-(slot.rung - stride + 1) // stride) * stride
        for rung in range(max(first, window.low), min(slot.rung + slot.stride, window.high), stride):
            self.refresh_cell(rung)

    def refresh_cell(self, rung: int) -> None:
        """List or unlist one cell by what is known now."""
        window = self.window
        use = None if window is None else window.use_of(rung)
        eligible = window is not None and use is not None and self._eligible(rung, window.stride, use)
        if rung in self._listed and not (eligible and self._listed[rung] is use):
            self._unlist(rung)
        if eligible and use is not None and rung not in self._listed:
            self._listed[rung] = use
            self.waiting[use].add((rung, rung))

    def _eligible(self, rung: int, stride: int, use: Use) -> bool:
        slot = self._book.get(rung)
        if slot is not None and slot.retries:
            # A refusal is remembered here: the slot waits in the book's cooling index instead.
            return False
        if not self._opens(rung, stride, use):
            return False
        occupant = self._book.occupant(rung, stride)
        return occupant is None or self._book.reopens(occupant, rung, stride, use)

    def _unlist(self, rung: int) -> None:
        self.waiting[self._listed.pop(rung)].discard((rung, rung))


def _difference(cells: range | None, without: range | None) -> list[int]:
    """Return the members of one run of cells that are not in another of the same stride: the ends that stick out."""
    if cells is None:
        return []
    if without is None or not len(without) or not len(cells):
        return list(cells)
    step = cells.step
    left = range(cells.start, min(cells.stop, without.start), step)
    right = range(max(cells.start, without.stop), cells.stop, step)
    return [*left, *right]

"""What a strategy may want: one step at a time, in terms of slots. The reducer marks it and makes the action of it."""

from __future__ import annotations

import msgspec

from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.domain.slot import Use


class OpenSlot(msgspec.Struct, frozen=True):
    """Place the opening order of a cell: use, both prices and quantity are fixed here for the life of the opening."""

    rung: int
    stride: int
    use: Use
    open_price_ticks: PriceTicks
    exit_price_ticks: PriceTicks
    quantity_lots: QuantityLots


class CloseSlot(msgspec.Struct, frozen=True):
    """Place a closing order for a slot's inventory; without a price it is a MARKET order."""

    rung: int
    price_ticks: PriceTicks | None
    quantity_lots: QuantityLots
    reduce_only: bool
    post_only: bool = False


class CancelSlot(msgspec.Struct, frozen=True):
    """Cancel the slot's live order."""

    rung: int
    reason: str


class MoveCentre(msgspec.Struct, frozen=True):
    """Move the window's centre to another rung."""

    centre: int


class ArmTrigger(msgspec.Struct, frozen=True):
    """Remember on which side of the trigger price the market stood when the grid first looked."""

    above: bool


class FireTrigger(msgspec.Struct, frozen=True):
    """The trigger price was reached: openings may begin."""


class HitLimit(msgspec.Struct, frozen=True):
    """A limit was hit: openings end, and what is held is reduced or flattened."""

    reason: str
    flatten: bool


Intent = OpenSlot | CloseSlot | CancelSlot | MoveCentre | ArmTrigger | FireTrigger | HitLimit

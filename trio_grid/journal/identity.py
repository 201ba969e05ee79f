"""Who a journal speaks for, and what must stay as it was when the journal was made.

Owns the comparison of a journal's identity with what the configuration asks for. Lattice lengths are compared in
quote units, because the exchange may change the tick size during a journal's life. It must never adapt a journal to
a configuration: a second lattice beside resting orders is the founding defect S15.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

import msgspec

from trio_grid.domain.settings import LatticeSettings
from trio_grid.domain.slot import InventorySlot
from trio_grid.errors import StartRefused


class JournalIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A journal's bot, market and lattice. Lattice lengths are in ticks of `tick_size`; `created_ms` is epoch time."""

    bot_id: str
    venue: str
    symbol: str
    tick_size: Decimal
    lattice: LatticeSettings
    created_ms: int


def check_market(identity: JournalIdentity, venue: str, symbol: str) -> None:
    """Refuse to use a journal for another market than its own.

    Raises:
        StartRefused: another symbol or venue; both are named.
    """
    for name, own, wanted in (("symbol", identity.symbol, symbol), ("venue", identity.venue, venue)):
        if own != wanted:
            raise StartRefused(
                f"the journal belongs to {name} {own}, and the configuration asks for {wanted}: "
                "give each market a journal of its own"
            )


def lattice_differences(
    identity: JournalIdentity, wanted: LatticeSettings, tick_size: Decimal, anchor: Decimal | None = None
) -> tuple[str, ...]:
    """Return one line for each lattice setting that is not the journal's; lengths are in quote units.

    `anchor` is the price at which the journal's lattice really is anchored, where that is known. A configuration
    without an anchor accepts the journal's.
    """
    own = _shape(identity.lattice, identity.tick_size)
    new = _shape(wanted, tick_size)
    lines = [_line(name, own[name], new[name]) for name in own if own[name] != new[name]]
    if wanted.anchor_ticks is not None:
        wanted_anchor = tick_size * wanted.anchor_ticks
        if anchor is None and identity.lattice.anchor_ticks is not None:
            anchor = identity.tick_size * identity.lattice.anchor_ticks
        if anchor is not None and anchor != wanted_anchor:
            lines.append(_line("anchor", f"{anchor.normalize():f}", f"{wanted_anchor.normalize():f}"))
    return tuple(lines)


def refuse_other_lattice(differences: tuple[str, ...]) -> None:
    """Raise StartRefused if there are differences, with both ways out."""
    if differences:
        raise StartRefused(
            "the lattice is fixed for the life of a journal, and the configuration has another one:\n  "
            + "\n  ".join(differences)
            + "\nGive the old values back, or begin anew with `run --new-lattice`, which needs an empty book: "
            "no slot with inventory and no order of ours on the exchange."
        )


def refuse_full_book(slots: Iterable[InventorySlot]) -> None:
    """Raise StartRefused, naming the slots, unless none of them holds inventory or an order."""
    lines = []
    for slot in slots:
        if slot.occupied:
            order = "" if slot.order is None else f", order {slot.order.client_order_id} {slot.order.status}"
            lines.append(f"slot {slot.rung}: {slot.use} {slot.inventory_lots} lots{order}")
    if lines:
        raise StartRefused(
            "--new-lattice needs an empty book, and these slots are not empty:\n  "
            + "\n  ".join(lines)
            + "\nRun the bot on the old lattice until they are closed, or stop it with the exit policy `flatten`."
        )


def _shape(lattice: LatticeSettings, tick_size: Decimal) -> dict[str, str]:
    interval = Fraction(tick_size) * Fraction(lattice.interval_ticks, lattice.interval_divisor)
    return {
        "spacing": str(lattice.spacing),
        "interval": _number(interval),
        "ratio (ppm)": str(lattice.ratio_ppm),
        "lowest rung": _bound(lattice.lowest_rung),
        "highest rung": _bound(lattice.highest_rung),
    }


def _number(value: Fraction) -> str:
    """Write a length exactly: as a decimal where it is one, else as a fraction."""
    decimal = Decimal(value.numerator) / Decimal(value.denominator)
    return f"{decimal.normalize():f}" if Fraction(decimal) == value else str(value)


def _bound(rung: int | None) -> str:
    return "none" if rung is None else str(rung)


def _line(name: str, own: str, new: str) -> str:
    return f"{name}: the journal has {own}, the configuration {new}"

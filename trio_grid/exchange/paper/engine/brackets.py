"""Owns the leverage brackets: how much margin a notional needs, and how much leverage it may have.

It must never know accounts. Rates are whole parts of 1e-8, amounts units of 1e-8 of the margin asset. A bracket's
`cum` makes maintenance margin continuous from one bracket to the next, so it is derived here instead of typed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from trio_grid.domain.instrument import MONEY_UNITS_PER_ASSET, RATE_SCALE


class Bracket(msgspec.Struct, frozen=True):
    """One row of the table: notionals above `floor_units` up to and including `cap_units`."""

    number: int
    max_leverage: int
    floor_units: int
    cap_units: int
    maintenance_rate: int
    cum_units: int


def _table(rows: Sequence[tuple[int, int, str]]) -> tuple[Bracket, ...]:
    """Build a table from (leverage, notional cap in the quote asset, maintenance rate) rows."""
    brackets: list[Bracket] = []
    floor, cum, last_rate = 0, 0, 0
    for number, (leverage, cap, rate_text) in enumerate(rows, start=1):
        rate = int(Decimal(rate_text) * RATE_SCALE)
        cum += floor * (rate - last_rate) // RATE_SCALE
        brackets.append(Bracket(number, leverage, floor, cap * MONEY_UNITS_PER_ASSET, rate, cum))
        floor, last_rate = cap * MONEY_UNITS_PER_ASSET, rate
    return tuple(brackets)


_MAJOR_HEAD: tuple[tuple[int, int, str], ...] = (
    (125, 50_000, "0.004"),
    (100, 600_000, "0.005"),
    (75, 3_000_000, "0.0065"),
    (50, 12_000_000, "0.01"),
)

BRACKETS: dict[str, tuple[Bracket, ...]] = {
    "BTCUSDT": _table(
        (
            *_MAJOR_HEAD,
            (25, 70_000_000, "0.02"),
            (20, 100_000_000, "0.025"),
            (10, 230_000_000, "0.05"),
            (5, 480_000_000, "0.1"),
            (4, 600_000_000, "0.125"),
            (3, 800_000_000, "0.15"),
            (2, 1_200_000_000, "0.25"),
            (1, 1_800_000_000, "0.5"),
        )
    ),
    "ETHUSDT": _table(
        (
            *_MAJOR_HEAD,
            (25, 50_000_000, "0.02"),
            (20, 65_000_000, "0.025"),
            (10, 150_000_000, "0.05"),
            (5, 320_000_000, "0.1"),
            (4, 400_000_000, "0.125"),
            (3, 530_000_000, "0.15"),
            (2, 800_000_000, "0.25"),
            (1, 1_200_000_000, "0.5"),
        )
    ),
}

DEFAULT_BRACKETS: tuple[Bracket, ...] = _table(
    (
        (75, 10_000, "0.01"),
        (50, 50_000, "0.015"),
        (25, 200_000, "0.02"),
        (20, 500_000, "0.025"),
        (10, 2_000_000, "0.05"),
        (5, 5_000_000, "0.1"),
        (4, 6_000_000, "0.125"),
        (2, 10_000_000, "0.25"),
        (1, 20_000_000, "0.5"),
    )
)
"""For every other symbol: cautious values of the size that smaller perpetuals have on the exchange."""


def brackets_of(symbol: str) -> tuple[Bracket, ...]:
    """Return the symbol's own table, or the cautious default."""
    return BRACKETS.get(symbol, DEFAULT_BRACKETS)


def bracket_at(brackets: Sequence[Bracket], notional_units: int) -> Bracket:
    """Return the bracket of a notional; beyond the last cap the last bracket goes on."""
    for bracket in brackets:
        if notional_units <= bracket.cap_units:
            return bracket
    return brackets[-1]


def maintenance_units(brackets: Sequence[Bracket], notional_units: int) -> int:
    """Return notional x rate - cum, rounded up to the unit (the account's disadvantage)."""
    if notional_units == 0:
        return 0
    bracket = bracket_at(brackets, notional_units)
    return -(-notional_units * bracket.maintenance_rate // RATE_SCALE) - bracket.cum_units


def notional_cap_units(brackets: Sequence[Bracket], leverage: int) -> int:
    """Return the largest notional that a position may have at a leverage."""
    caps = [bracket.cap_units for bracket in brackets if bracket.max_leverage >= leverage]
    return caps[-1] if caps else 0

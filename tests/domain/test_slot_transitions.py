"""The transition table over the whole product of statuses and signals, and what a slot's values refuse to be."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from trio_grid.domain.events import Side
from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.domain.slot import (
    TRANSITIONS,
    InventorySlot,
    OrderStatus,
    Role,
    Signal,
    SlotOrder,
    Use,
    next_status,
    use_of,
)
from trio_grid.errors import InvariantBroken

S = OrderStatus

# Written out a second time, on purpose: one row per status, one column per signal of the header, "." is forbidden.
HEADER = """
            PLACE CANCEL WORKING TERMINAL REFUSED NOT_SENT OUTCOME_LOST CANCEL_REFUSED CANCEL_LOST NEW_SESSION
            PROVED_ABSENT SETTLED
"""
ROWS = """
FREE        PENDING .          LOCKED     SETTLING .        .        .          .        .        FREE     .    .
PENDING     .       .          LOCKED     SETTLING FREE     FREE     UNKNOWN    .        .        UNKNOWN  .    .
LOCKED      .       CANCELLING LOCKED     SETTLING UNKNOWN  UNKNOWN  LOCKED     UNKNOWN  UNKNOWN  LOCKED   .    .
CANCELLING  .       CANCELLING CANCELLING SETTLING UNKNOWN  UNKNOWN  CANCELLING UNKNOWN  UNKNOWN  UNKNOWN  .    .
UNKNOWN     .       .          LOCKED     SETTLING UNKNOWN  UNKNOWN  UNKNOWN    UNKNOWN  UNKNOWN  UNKNOWN  FREE .
SETTLING    .       .          SETTLING   SETTLING SETTLING SETTLING SETTLING   SETTLING SETTLING SETTLING .    FREE
"""


def expected_table() -> dict[tuple[OrderStatus, Signal], OrderStatus | None]:
    signals = [Signal(name) for name in HEADER.split()]
    table: dict[tuple[OrderStatus, Signal], OrderStatus | None] = {}
    for row in ROWS.strip().splitlines():
        status, *following = row.split()
        for signal, name in zip(signals, following, strict=True):
            table[S(status), signal] = None if name == "." else S(name)
    return table


def test_the_expected_table_names_every_pair() -> None:
    assert set(expected_table()) == set(itertools.product(OrderStatus, Signal))


@pytest.mark.parametrize(("status", "signal"), list(itertools.product(OrderStatus, Signal)))
def test_every_pair_of_status_and_signal(status: OrderStatus, signal: Signal) -> None:
    expected = expected_table()[status, signal]
    if expected is None:
        assert (status, signal) not in TRANSITIONS
        with pytest.raises(InvariantBroken, match=f"{status} cannot meet {signal}"):
            next_status(status, signal)
    else:
        assert next_status(status, signal) is expected


@pytest.mark.parametrize("signal", list(Signal))
def test_a_terminal_order_never_lives_again(signal: Signal) -> None:
    """R8, S12: from SETTLING only the settlement leads out, and it leads to no order at all."""
    after = TRANSITIONS.get((S.SETTLING, signal))
    assert after in (None, S.SETTLING) or (after is S.FREE and signal is Signal.SETTLED)


@pytest.mark.parametrize("status", [S.LOCKED, S.CANCELLING, S.UNKNOWN])
@pytest.mark.parametrize("signal", list(Signal))
def test_an_order_that_may_live_is_freed_only_by_proof(status: OrderStatus, signal: Signal) -> None:
    """R4, S10: no error after sending frees a slot whose order may live."""
    if signal is not Signal.PROVED_ABSENT:
        assert TRANSITIONS.get((status, signal)) is not S.FREE


@pytest.mark.parametrize(
    ("use", "role", "side"),
    [
        (Use.LONG, Role.OPEN, Side.BUY),
        (Use.LONG, Role.CLOSE, Side.SELL),
        (Use.SHORT, Role.OPEN, Side.SELL),
        (Use.SHORT, Role.CLOSE, Side.BUY),
    ],
)
def test_use_role_and_side_name_each_other(use: Use, role: Role, side: Side) -> None:
    assert use.side(role) is side
    assert use_of(side, role) is use


def order(**changes: Any) -> SlotOrder:
    base = SlotOrder(
        client_order_id="x",
        role=Role.OPEN,
        side=Side.BUY,
        price_ticks=PriceTicks(100),
        quantity_lots=QuantityLots(10),
        reduce_only=False,
        status=S.LOCKED,
        sent_at_ms=1,
    )
    return msgspec.structs.replace(base, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"booked_lots": 1},
        {"executed_lots": 11},
        {"executed_lots": 5, "booked_lots": 6},
        {"booked_lots": -1},
    ],
)
def test_booked_executed_and_quantity_follow_each_other(changes: dict[str, int]) -> None:
    with pytest.raises(InvariantBroken, match="do not follow each other"):
        order(**changes)


@pytest.mark.parametrize(
    ("status", "executed", "booked", "remaining"),
    [(S.LOCKED, 0, 0, 10), (S.LOCKED, 6, 4, 6), (S.UNKNOWN, 6, 6, 4), (S.CANCELLING, 3, 0, 10), (S.SETTLING, 6, 4, 2)],
)
def test_remaining_lots_are_all_that_can_still_change_the_books(
    status: OrderStatus, executed: int, booked: int, remaining: int
) -> None:
    assert order(status=status, executed_lots=executed, booked_lots=booked).remaining_lots == remaining


def test_a_slot_refuses_negative_inventory_and_a_stride_below_one() -> None:
    slot = InventorySlot(
        rung=1, stride=1, use=Use.LONG, open_price_ticks=PriceTicks(100), exit_price_ticks=PriceTicks(110)
    )
    with pytest.raises(InvariantBroken, match="negative"):
        msgspec.structs.replace(slot, inventory_lots=-1)
    with pytest.raises(InvariantBroken, match="stride"):
        msgspec.structs.replace(slot, stride=0)

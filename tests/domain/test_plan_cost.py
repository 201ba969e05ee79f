"""A plan costs what changed: the same number of function calls at 10 and at 10,000 slots."""

from __future__ import annotations

import gc
import sys
from types import FrameType
from typing import Any

import pytest

from tests.domain.grid_bench import Bench, instrument, reading, settings
from trio_grid.domain.events import RecordStatus
from trio_grid.domain.grid import SETTLED_REMEMBERED
from trio_grid.domain.inputs import Condition, ConditionChanged, Input
from trio_grid.domain.instrument import MoneyUnits, PriceTicks
from trio_grid.domain.settings import LatticeSettings, Mode, Spacing, Trailing

NARROW = LatticeSettings(spacing=Spacing.ARITHMETIC, interval_ticks=500)
FAR = 20_000_000
"""An anchor so high that 10,000 cells fit below it."""
FEW, MANY = 10, 10_000


def calls_of(bench: Bench, *entries: Input, half: int | None = None, concludes: bool = True) -> int:
    """Return how many functions, of Python and of C, one apply and decide call."""
    count = 0

    def counting(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    # What is remembered of settled orders is bounded; it is full in a grid that has lived.
    bench.state.grid.settled = {f"old-{number}": number for number in range(SETTLED_REMEMBERED)}
    gc.collect()
    gc.disable()
    state = bench.state
    sys.setprofile(counting)
    try:
        for entry in entries:
            state.apply(entry, bench.now_ms)
        row = state.decide(half or bench.half or 0, bench.now_ms, bench.orders, bench.refill_at_ms)
    finally:
        sys.setprofile(None)
        gc.enable()
    assert (row is not None) is concludes, "the decision is there to conclude something"
    return count


def cheap_fees(**changes: Any) -> Any:
    return instrument(
        max_open_orders=1_000_000,
        min_notional_units=MoneyUnits(1),
        max_price_ticks=PriceTicks(10**9),
        maker_fee_rate=0,
        **changes,
    )


def ladder(slots: int, **changes: Any) -> Bench:
    """Return a grid with this many resting openings below a high anchor."""
    chosen = settings(levels_below=slots, max_open_orders=100_000, lattice=NARROW, **changes)
    bench = Bench(chosen, cheap_fees(), orders=1_000_000)
    bench.ladder(FAR)
    assert len(bench.resting()) == slots
    return bench


def one_fill(slots: int) -> int:
    bench = ladder(slots)
    return calls_of(bench, bench.fill_silently(-1))


def one_move(slots: int) -> int:
    bench = ladder(slots)
    assert bench.half is not None
    return calls_of(bench, half=bench.half + 2 * 500)


def one_refusal_over(slots: int) -> int:
    bench = ladder(slots)
    end = bench.exchange.end(bench.order(-slots).client_order_id, RecordStatus.CANCELED)
    return calls_of(bench, end)


def parked_inventories(slots: int) -> int:
    """All slots hold inventory, three closings rest, and the nearest of them fills."""
    chosen = settings(
        levels_below=slots, max_open_orders=100_000, lattice=NARROW, trailing=Trailing.NONE, mode=Mode.LONG
    )
    bench = Bench(chosen, cheap_fees(), orders=1_000_000)
    bench.open_door(FAR)
    bench.deliver()
    bench.tell(ConditionChanged(condition=Condition.USER_STREAM_DOWN, active=True))
    for name in bench.exchange.live_orders():
        bench.rows.append(bench.state.apply(bench.exchange.fill(name), bench.now_ms))
    bench.restart(
        settings(levels_below=slots, max_open_orders=3, lattice=NARROW, trailing=Trailing.NONE, mode=Mode.LONG)
    )
    bench.ladder(FAR - slots * 500)
    assert bench.state.grid.sum("unsettled") == 3
    assert len(bench.state.grid.book) == slots
    return calls_of(bench, bench.fill_silently(-slots))


def price_far_outside(slots: int) -> int:
    """The price has left a window that does not trail: every cell is on the wrong side of it."""
    chosen = settings(levels_below=slots, lattice=NARROW, trailing=Trailing.NONE, max_open_orders=100_000)
    bench = Bench(chosen, cheap_fees(), orders=1_000_000)
    bench.open_door(FAR, stale=True)
    bench.price(FAR - (slots + 5) * 500)
    assert bench.actions == []
    return calls_of(bench, reading(), concludes=False)


@pytest.mark.parametrize("case", [one_fill, one_move, one_refusal_over, parked_inventories, price_far_outside])
def test_a_plan_costs_the_same_with_a_thousand_times_the_slots(case: Any) -> None:
    case(FEW)  # whatever is computed once and cached is so now
    few, many = case(FEW), case(MANY)
    assert few == many
    assert few < 3_000


def test_the_measure_sees_a_loop_over_all_slots() -> None:
    """Not vacuous: a plan that walks the slots costs more with more of them."""
    small, large = ladder(10), ladder(100)

    def walking(bench: Bench) -> int:
        count = 0

        def counting(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(counting)
        try:
            [slot.status for slot in bench.state.grid.book.in_order()]
        finally:
            sys.setprofile(None)
        return count

    assert walking(large) > walking(small) + 80

"""Openings that do not all fit: limits, order budget, room on the exchange."""

from __future__ import annotations

import pytest

from tests.domain.grid_bench import (
    LEVEL_LOTS,
    Bench,
    cancelled,
    instrument,
    parts_of,
    placed,
    rung_price,
    settings,
)
from trio_grid.domain.actions import CancelOrder
from trio_grid.domain.events import OrderRefused, RejectReason
from trio_grid.domain.inputs import Condition, ConditionChanged
from trio_grid.domain.instrument import MoneyUnits, QuantityLots
from trio_grid.domain.settings import Mode
from trio_grid.domain.slot import OrderStatus, Role

# Limits --------------------------------------------------------------------------------------------------------------


def test_f4_maximum_inventory_counts_everything_in_flight() -> None:
    bench = Bench(settings(levels_below=5, max_inventory_lots=25))
    bench.ladder()
    assert set(bench.resting()) == {-1, -2}
    bench.fill(-1)
    bench.settle()
    assert set(bench.resting()) == {-2}, "inventory and openings together stay below the limit"
    bench.check_books()


def test_f4_an_unknown_order_is_exposure_too() -> None:
    bench = Bench(settings(levels_below=5, max_inventory_lots=25))
    actions = bench.open_door()
    assert len(actions) == 2
    bench.tell(ConditionChanged(condition=Condition.USER_STREAM_DOWN, active=True))
    bench.restart()
    bench.open_door()
    assert [bench.status(-1), bench.status(-2)] == [OrderStatus.UNKNOWN] * 2
    assert bench.all_actions == actions, "nothing is placed beside orders whose fate is unknown"


def test_f4_inventory_without_a_closing_is_no_room_for_the_other_use() -> None:
    """Neutral: a part of a LONG opening lowers the worst short case today, and its own closing takes that back."""
    bench = Bench(settings(Mode.NEUTRAL, levels_below=1, levels_above=4, max_inventory_lots=25))
    bench.ladder()
    assert set(bench.resting()) == {-1, 0, 1}
    bench.price(rung_price(-1) + 1)
    bench.settle()
    bench.fill(-1, 9)
    bench.settle()
    bench.fill(-1)
    bench.settle()
    grid = bench.state.grid
    assert grid.exposure().worst_short_lots <= 25
    assert grid.exposure().worst_long_lots <= 25


def test_maximum_notional_counts_inventory_at_entry_and_openings_at_their_limit() -> None:
    value = LEVEL_LOTS * sum(rung_price(rung) for rung in (-1, -2)) * bench_unit()
    exactly = Bench(settings(levels_below=5, max_notional_units=MoneyUnits(value)))
    assert set(placed(exactly.open_door())) == {-1, -2}
    less = Bench(settings(levels_below=5, max_notional_units=MoneyUnits(value - 1)))
    assert set(placed(less.open_door())) == {-1}


def bench_unit() -> int:
    return instrument().tick_lot_units


def test_the_order_budget_cuts_a_plan_and_the_refill_resumes_it() -> None:
    bench = Bench(orders=2)
    bench.refill_at_ms = bench.now_ms + 5_000
    assert set(placed(bench.open_door())) == {-1, -2}
    band = bench.state.band
    assert band is not None
    assert band.wake_at_ms == bench.refill_at_ms, "whatever the budget does not cover is looked at again"
    assert set(placed(bench.pass_time(5_000))) == {-3}


def test_cancels_need_no_budget() -> None:
    bench = Bench()
    bench.ladder()
    bench.orders = 0
    assert cancelled(bench.tell(ConditionChanged(condition=Condition.PAUSED, active=True))) == [-3, -2, -1]


@pytest.mark.parametrize(("mode", "rungs"), [(Mode.LONG, (-1, -2, -3)), (Mode.SHORT, (0, 1, 2))])
def test_of_two_refused_cells_the_nearer_one_is_tried_first(mode: Mode, rungs: tuple[int, int, int]) -> None:
    """The limit leaves room for two: the farthest took a place while both nearer ones had to pause."""
    bench = Bench(settings(mode, max_inventory_lots=QuantityLots(2 * LEVEL_LOTS)))
    refused = bench.open_door()
    assert [parts_of(action).rung for action in refused] == [*rungs[:2]]
    for action in refused:
        bench.tell(
            OrderRefused(client_order_id=action.client_order_id, reason=RejectReason.MARGIN, code=-2019, message="no")
        )
    assert bench.status(rungs[2]) is OrderStatus.PENDING
    assert [parts_of(action).rung for action in bench.pass_time(250)] == [rungs[0]]


# Room ----------------------------------------------------------------------------------------------------------------


def test_at_most_max_open_orders_rest_and_the_nearest_come_first() -> None:
    bench = Bench(settings(Mode.NEUTRAL, levels_below=10, levels_above=10, max_open_orders=6))
    bench.ladder()
    assert set(bench.resting()) == {-3, -2, -1, 0, 1, 2}


def test_the_reserve_below_the_exchanges_limit_is_kept() -> None:
    bench = Bench(settings(levels_below=30, max_open_orders=30), instrument(max_open_orders=20))
    bench.ladder()
    assert len(bench.resting()) == 18


def test_a_far_opening_makes_room_for_nearer_ones_without_a_cascade() -> None:
    bench = Bench(settings(levels_below=8, max_open_orders=3))
    bench.ladder()
    assert set(bench.resting()) == {-3, -2, -1}
    # The centre trails upwards by two: the nearest cells are now -1+2 and so on.
    actions = bench.price(rung_price(2))
    assert cancelled(actions) == [-3], "one cancel at a time"
    assert placed(actions) == {}
    bench.settle()
    assert len(bench.resting()) == 3
    assert max(bench.resting()) == 1
    assert bench.resting(Role.OPEN).keys() <= set(range(-3, 2))
    cancels = [action for action in bench.all_actions if isinstance(action, CancelOrder)]
    assert len(cancels) <= 3

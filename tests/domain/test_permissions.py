"""The permission table, cell by cell, and that doors only ever take away."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from tests.domain.grid_bench import READING, SETTINGS, reading
from trio_grid.domain.events import Liquidity, RegimeReading, Trend, Volatility
from trio_grid.domain.inputs import Condition, TradingState
from trio_grid.domain.risk import Permissions, permissions
from trio_grid.domain.slot import Use

BOTH, NONE = (Use.LONG, Use.SHORT), ()
LONG, SHORT = (Use.LONG,), (Use.SHORT,)

ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED

# (row, state, conditions, reading, opens, closes, resting openings that are cancelled)
TABLE: list[tuple[str, TradingState, list[Condition], RegimeReading | None, Any, bool, Any]] = [
    ("nothing", ACTIVE, [], READING, BOTH, True, NONE),
    ("starting", ACTIVE, [Condition.STARTING], READING, NONE, False, NONE),
    ("starting, no reading yet", ACTIVE, [Condition.STARTING], None, NONE, False, NONE),
    ("user stream down", ACTIVE, [Condition.USER_STREAM_DOWN], READING, NONE, False, NONE),
    ("user stream silent", ACTIVE, [Condition.USER_STREAM_SILENT], READING, NONE, True, BOTH),
    ("price silent", ACTIVE, [Condition.PRICE_STALE], READING, NONE, True, BOTH),
    ("klines silent", ACTIVE, [Condition.KLINES_STALE], READING, NONE, True, BOTH),
    ("reading with a hole", ACTIVE, [], reading(stale=True), NONE, True, BOTH),
    ("bull", ACTIVE, [], reading(trend=Trend.BULL), LONG, True, SHORT),
    ("bear", ACTIVE, [], reading(trend=Trend.BEAR), SHORT, True, LONG),
    ("thin market", ACTIVE, [], reading(liquidity=Liquidity.THIN), NONE, True, BOTH),
    ("anomaly brake", ACTIVE, [], reading(brake=True), SHORT, True, LONG),
    ("high volatility", ACTIVE, [], reading(volatility=Volatility.HIGH), BOTH, True, NONE),
    ("paused", ACTIVE, [Condition.PAUSED], READING, NONE, True, BOTH),
    ("no reading yet", ACTIVE, [], None, NONE, True, NONE),
    ("stopping", ACTIVE, [Condition.STOPPING], READING, NONE, True, NONE),
    ("filters changed", ACTIVE, [Condition.FILTERS_CHANGED], READING, NONE, True, BOTH),
    ("reducing", REDUCING, [], READING, NONE, True, BOTH),
    ("halted", HALTED, [], READING, NONE, False, NONE),
]


def permitted(
    state: TradingState, conditions: list[Condition], current: RegimeReading | None, **changes: Any
) -> Permissions:
    return permissions(state, conditions, current, msgspec.structs.replace(SETTINGS, **changes))


@pytest.mark.parametrize(("row", "state", "conditions", "current", "opens", "closes", "cancels"), TABLE)
class TestTable:
    """One test per cell: openings, closings, resting openings."""

    def test_openings(
        self,
        row: str,
        state: TradingState,
        conditions: list[Condition],
        current: RegimeReading | None,
        opens: tuple[Use, ...],
        closes: bool,
        cancels: tuple[Use, ...],
    ) -> None:
        table = permitted(state, conditions, current)
        assert table.opens == opens, row
        assert [table.may_open(use) for use in Use] == [use in opens for use in Use]

    def test_closings(
        self,
        row: str,
        state: TradingState,
        conditions: list[Condition],
        current: RegimeReading | None,
        opens: tuple[Use, ...],
        closes: bool,
        cancels: tuple[Use, ...],
    ) -> None:
        assert permitted(state, conditions, current).closes is closes, row

    def test_cancels_of_resting_openings(
        self,
        row: str,
        state: TradingState,
        conditions: list[Condition],
        current: RegimeReading | None,
        opens: tuple[Use, ...],
        closes: bool,
        cancels: tuple[Use, ...],
    ) -> None:
        assert permitted(state, conditions, current).cancels_openings == cancels, row


def test_every_condition_has_a_row() -> None:
    assert {condition for row in TABLE for condition in row[2]} == set(Condition)


@pytest.mark.parametrize("condition", list(Condition))
def test_a_closed_door_is_named(condition: Condition) -> None:
    assert permitted(ACTIVE, [condition], READING).reasons


def test_s13_no_reading_of_the_market_ever_stops_a_closing() -> None:
    """S13, R10: the whole product of readings leaves closings open, in every state that has them."""
    for state, trend, volatility, liquidity, brake, stale in itertools.product(
        (ACTIVE, REDUCING), Trend, Volatility, Liquidity, (True, False), (True, False)
    ):
        current = reading(trend=trend, volatility=volatility, liquidity=liquidity, brake=brake, stale=stale)
        assert permitted(state, [], current).closes
    assert permitted(ACTIVE, [], None).closes


@pytest.mark.parametrize(
    ("switch", "current"),
    [
        ("use_trend_filter", reading(trend=Trend.BULL)),
        ("use_trend_filter", reading(trend=Trend.BEAR)),
        ("use_liquidity_filter", reading(liquidity=Liquidity.THIN)),
        ("use_anomaly_brake", reading(brake=True)),
    ],
)
def test_a_filter_that_is_switched_off_stops_nothing(switch: str, current: RegimeReading) -> None:
    assert permitted(ACTIVE, [], current).opens != BOTH
    off = permitted(ACTIVE, [], current, **{switch: False})
    assert (off.opens, off.cancels_openings) == (BOTH, NONE)


def test_doors_add_up_and_only_take_away() -> None:
    pairs = itertools.product(Condition, Condition)
    for first, second in pairs:
        one, two = permitted(ACTIVE, [first], READING), permitted(ACTIVE, [second], READING)
        both = permitted(ACTIVE, [first, second], READING)
        assert set(both.opens) == set(one.opens) & set(two.opens)
        assert both.closes == (one.closes and two.closes)
        assert set(both.cancels_openings) == set(one.cancels_openings) | set(two.cancels_openings)

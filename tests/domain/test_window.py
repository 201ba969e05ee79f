"""The window: trailing, hysteresis, skew, fixed range, stride, size."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.domain.grid_bench import (
    ANCHOR,
    INTERVAL,
    LEVEL_LOTS,
    Bench,
    cancelled,
    instrument,
    placed,
    reading,
    rung_price,
    settings,
)
from trio_grid.domain.events import FundingRecord, Volatility
from trio_grid.domain.inputs import Condition, ConditionChanged, TradingState
from trio_grid.domain.instrument import MoneyUnits, QuantityLots
from trio_grid.domain.settings import LatticeSettings, Mode, Spacing, Trailing
from trio_grid.domain.slot import OrderStatus, Role

UNIT = instrument().tick_lot_units


def centre(bench: Bench) -> int:
    value = bench.state.grid.fields.centre
    assert value is not None
    return value


# The centre ----------------------------------------------------------------------------------------------------------


def test_an_opening_rests_until_the_price_reaches_it() -> None:
    """The centre follows the price and reaches the opening's rung first: the opening stays all the same."""
    bench = Bench(settings(Mode.NEUTRAL))
    bench.ladder()
    for rung, direction in ((-1, -1), (0, 1)):
        names = {rung: bench.order(rung).client_order_id for rung in bench.resting()}
        opened = rung_price(-1 if direction < 0 else 1)
        for distance in range(INTERVAL, -1, -10):
            bench.price(opened - direction * distance)
            bench.settle()
            assert bench.order(rung).client_order_id == names[rung]
            assert bench.status(rung) is OrderStatus.LOCKED
        bench.price(ANCHOR)
        bench.settle()


def test_the_centre_moves_only_beyond_half_an_interval_and_the_hysteresis() -> None:
    bench = Bench(settings(centre_hysteresis_milli=100))
    bench.ladder()
    edge = ANCHOR + INTERVAL // 2 + INTERVAL // 10
    bench.price(edge)
    assert centre(bench) == 0
    bench.price(edge + 0.5)
    assert centre(bench) == 1
    edge = rung_price(1) - INTERVAL // 2 - INTERVAL // 10
    bench.price(edge + 0.5)
    assert centre(bench) == 1
    bench.price(edge)
    assert centre(bench) == 0


def test_a_jump_moves_the_centre_to_the_nearest_rung_at_once() -> None:
    bench = Bench()
    bench.ladder()
    bench.price(rung_price(17) + 30)
    assert centre(bench) == 17
    bench.settle()
    assert set(bench.resting()) == {14, 15, 16}
    bench.price(rung_price(-40) - 240)
    assert centre(bench) == -40


@pytest.mark.parametrize(
    ("trailing", "up", "down"),
    [(Trailing.BOTH, 5, -5), (Trailing.UP, 5, 5), (Trailing.DOWN, 0, -5), (Trailing.NONE, 0, 0)],
)
def test_trailing_follows_the_ways_it_is_told(trailing: Trailing, up: int, down: int) -> None:
    bench = Bench(settings(trailing=trailing))
    bench.ladder()
    bench.price(rung_price(5))
    assert centre(bench) == up
    bench.price(rung_price(-5))
    assert centre(bench) == down


def test_the_window_leaves_openings_and_keeps_inventory() -> None:
    bench = Bench()
    bench.ladder()
    bench.fill(-1)
    bench.settle()
    assert cancelled(bench.price(rung_price(6))) == [-3, -2]
    bench.settle()
    assert set(bench.resting()) == {3, 4, 5}
    assert bench.resting(Role.CLOSE) == {-1: ANCHOR}
    bench.check_books()


def test_skew_lowers_the_reference_of_a_long_book() -> None:
    """Full inventory at skew 500 lowers the reference by half an interval."""
    bench = Bench(settings(skew_milli=500, max_inventory_lots=QuantityLots(2 * LEVEL_LOTS), centre_hysteresis_milli=0))
    bench.ladder()
    bench.price(ANCHOR + INTERVAL // 2)
    assert centre(bench) == 0
    bench.fill(-1)
    bench.settle()
    # Half of the maximum: the reference lies a quarter of an interval below the price.
    bench.price(ANCHOR + 3 * INTERVAL // 4)
    assert centre(bench) == 0
    bench.price(ANCHOR + 3 * INTERVAL // 4 + 0.5)
    assert centre(bench) == 1
    bench.price(ANCHOR - INTERVAL // 4)
    assert centre(bench) == -1 or centre(bench) == 0


@pytest.mark.parametrize(("mode", "rung"), [(Mode.LONG, -1), (Mode.SHORT, 0)])
def test_skew_has_the_sign_of_the_inventory_and_is_clamped(mode: Mode, rung: int) -> None:
    bench = Bench(settings(mode, skew_milli=400, max_inventory_lots=QuantityLots(LEVEL_LOTS)))
    bench.ladder()
    bench.fill(rung)
    bench.settle()
    sign = 1 if mode is Mode.LONG else -1
    threshold = INTERVAL * (500 + 400 + 150) // 1_000
    bench.price(ANCHOR + sign * (threshold - 0.5))
    assert centre(bench) == 0
    bench.price(ANCHOR + sign * (threshold + 0.5))
    assert centre(bench) == sign


def test_a_fixed_range_has_no_cell_outside_its_bounds() -> None:
    lattice = LatticeSettings(
        spacing=Spacing.ARITHMETIC, interval_ticks=INTERVAL, anchor_ticks=None, lowest_rung=-2, highest_rung=3
    )
    bench = Bench(settings(Mode.NEUTRAL, lattice=lattice, levels_below=10, levels_above=10))
    bench.ladder()
    assert set(bench.resting()) == {-2, -1, 0, 1, 2}
    for rung in (50, -50, 1):
        bench.price(rung_price(rung))
        bench.settle()
        assert set(bench.resting()) <= {-2, -1, 0, 1, 2}
        assert -2 <= centre(bench) <= 3
        assert bench.trading_state() is TradingState.ACTIVE


@pytest.mark.parametrize("stride", [1, 3])
def test_a_price_at_which_rungs_share_ticks_moves_the_centre_and_opens_nothing(stride: int) -> None:
    """After a collapse the geometric cells are narrower than a tick: nothing is opened, and the grid comes to rest."""
    lattice = LatticeSettings(spacing=Spacing.GEOMETRIC, ratio_ppm=900)
    bench = Bench(settings(Mode.NEUTRAL, lattice=lattice, volatility_scale_milli=1_000, stride_dwell_ms=0))
    bench.ladder(atr_ticks=100 if stride == 1 else 1_500)
    assert bench.state.grid.fields.stride == stride
    for ticks in (1_000, 300, 299.5, 300, 301, 40, 39, 41, 300):
        before = bench.state.plans
        bench.price(ticks)
        bench.settle()
        assert bench.resting() == {}
        assert bench.state.plans - before < 50
    assert bench.trading_state() is TradingState.ACTIVE


@pytest.mark.parametrize("mode", [Mode.LONG, Mode.SHORT])
@pytest.mark.parametrize("hysteresis_milli", [0, 150])
def test_a_skewed_centre_never_goes_to_and_fro_at_one_price(mode: Mode, hysteresis_milli: int) -> None:
    """Cells of very different widths, full skew: each price has an end."""
    lattice = LatticeSettings(spacing=Spacing.GEOMETRIC, ratio_ppm=60_000)
    chosen = settings(
        mode,
        lattice=lattice,
        skew_milli=1_000,
        max_inventory_lots=QuantityLots(LEVEL_LOTS),
        centre_hysteresis_milli=hysteresis_milli,
    )
    bench = Bench(chosen)
    bench.ladder()
    bench.fill_and_settle(-1 if mode is Mode.LONG else 0)
    for step in range(400):
        before = bench.state.plans
        bench.price(400_000 + step * 1_501.5)
        assert bench.state.plans - before < 30
    assert bench.trading_state() is TradingState.ACTIVE


def test_a_geometric_ladder_lies_on_the_lattice() -> None:
    lattice = LatticeSettings(spacing=Spacing.GEOMETRIC, ratio_ppm=2_000)
    bench = Bench(settings(Mode.NEUTRAL, lattice=lattice))
    orders = placed(bench.open_door())
    lattice_of = bench.state.grid.lattice
    assert lattice_of is not None
    assert orders[-2].price_ticks == lattice_of.price(-2)
    assert orders[1].price_ticks == lattice_of.price(2)
    assert orders[1].price_ticks != orders[0].price_ticks


# Stride --------------------------------------------------------------------------------------------------------------

CALM, WILD = reading(atr_ticks=100), reading(atr_ticks=1_200)


def strided(**changes: Any) -> Bench:
    """Return a bench whose wanted interval is the ATR, after the first dwell."""
    bench = Bench(settings(volatility_scale_milli=1_000, **changes))
    bench.ladder(atr_ticks=100)
    bench.now_ms += 1_000_000
    return bench


def test_the_stride_follows_volatility_and_slots_keep_their_prices() -> None:
    bench = strided()
    bench.fill(-1)
    bench.settle()
    actions = bench.tell(WILD)
    assert bench.state.grid.fields.stride == 3
    assert cancelled(actions) == [-3, -2], "openings of another stride leave"
    bench.settle()
    held = bench.slot(-1)
    assert (held.stride, held.exit_price_ticks) == (1, ANCHOR)
    openings = bench.resting()
    assert openings
    assert all(rung % 3 == 0 for rung in openings)
    # The cell -3..0 overlaps the inventory of slot -1, so it is not opened.
    assert -3 not in openings
    for rung in openings:
        assert bench.slot(rung).exit_price_ticks == rung_price(rung + 3)
    bench.check_books()


@pytest.mark.parametrize(
    ("atr", "volatility", "stride"),
    [
        (500, Volatility.NORMAL, 1),
        (1_000, Volatility.NORMAL, 2),
        (1_001, Volatility.NORMAL, 3),
        (500, Volatility.HIGH, 2),
        (1_000, Volatility.HIGH, 3),
        (100_000, Volatility.NORMAL, 16),
    ],
)
def test_the_stride_is_the_wanted_interval_over_the_base_rounded_up(
    atr: int, volatility: Volatility, stride: int
) -> None:
    bench = strided()
    bench.tell(reading(atr_ticks=atr, volatility=volatility))
    assert bench.state.grid.fields.stride == stride


def test_the_stride_changes_only_a_tenth_past_the_step_and_after_the_dwell() -> None:
    bench = strided()
    bench.tell(reading(atr_ticks=550))
    assert bench.state.grid.fields.stride == 1, "not a tenth past the step"
    bench.tell(reading(atr_ticks=551))
    assert bench.state.grid.fields.stride == 2
    bench.tell(reading(atr_ticks=100))
    assert bench.state.grid.fields.stride == 2, "the dwell"
    bench.now_ms += bench.settings.stride_dwell_ms
    bench.tell(reading(atr_ticks=451))
    assert bench.state.grid.fields.stride == 2
    bench.tell(reading(atr_ticks=450))
    assert bench.state.grid.fields.stride == 1


def test_a_stale_reading_changes_no_stride() -> None:
    bench = strided()
    bench.tell(msgspec.structs.replace(WILD, stale=True))
    assert bench.state.grid.fields.stride == 1


def test_the_centre_of_a_stride_is_one_of_its_multiples() -> None:
    bench = strided()
    bench.price(rung_price(4))
    bench.settle()
    bench.tell(WILD)
    assert centre(bench) % 3 == 0
    bench.settle()
    assert all(rung % 3 == 0 for rung in bench.resting())


# Size ----------------------------------------------------------------------------------------------------------------


def test_the_size_factor_shrinks_levels_and_is_fixed_in_the_intent() -> None:
    bench = Bench(settings(size_by_volatility=True))
    bench.open_door(size_factor_milli=1_000)
    bench.settle()
    bench.tell(reading(size_factor_milli=390))
    assert bench.order(-1).quantity_lots == LEVEL_LOTS, "what rests keeps its size"
    bench.fill(-1)
    bench.settle()
    bench.fill(-1)
    bench.settle()
    assert bench.order(-1).quantity_lots == 3, "0.39 x 10, floored"


def test_a_level_that_shrank_below_the_minimum_comes_back_with_its_size() -> None:
    bench = Bench(settings(size_by_volatility=True, levels_below=1, base_per_level_lots=QuantityLots(1)))
    assert placed(bench.open_door(size_factor_milli=500)) == {}
    assert set(placed(bench.tell(reading(size_factor_milli=1_000)))) == {-1}


def test_a_quote_amount_buys_what_it_buys_at_the_levels_own_price() -> None:
    quote = MoneyUnits(600 * 10**8)
    bench = Bench(settings(base_per_level_lots=None, quote_per_level_units=quote))
    for rung, order in placed(bench.open_door()).items():
        unit = bench.state.grid.instrument.tick_lot_units
        assert order.quantity_lots == quote // (rung_price(rung) * unit)


def test_compounding_adds_its_share_of_the_realized_profit() -> None:
    quote = MoneyUnits(655 * 10**8)
    chosen = settings(base_per_level_lots=None, quote_per_level_units=quote, compounding_milli=500, levels_above=0)
    bench = Bench(chosen)
    bench.ladder()
    grid = bench.state.grid
    assert grid.level_lots(rung_price(-1)) == 10
    for _ in range(200):
        bench.fill(-1)
        bench.settle()
        bench.fill(-1)
        bench.settle()
    realized = grid.realized_units
    assert realized > 0
    units = quote + realized * 500 // (1_000 * 3)
    assert grid.level_lots(rung_price(-1)) == units // (rung_price(-1) * grid.instrument.tick_lot_units) > 10
    assert bench.order(-1).quantity_lots == grid.level_lots(rung_price(-1))


def test_profit_that_fees_and_funding_took_back_leaves_no_order_below_the_minimum() -> None:
    """One lot more by compounding lifts the level over the minimum; a funding payment takes it away again."""
    quote = MoneyUnits(rung_price(-1) * 2 * UNIT - 10**8)
    chosen = settings(
        base_per_level_lots=None, quote_per_level_units=quote, compounding_milli=1_000, levels_below=1, levels_above=0
    )
    bench = Bench(chosen, instrument(min_quantity_lots=QuantityLots(2)))
    assert placed(bench.open_door()) == {}
    gain = FundingRecord(record_id=1, amount_units=MoneyUnits(2 * 10**8), asset="USDT", time_ms=bench.now_ms)
    bench.tell(gain)
    bench.tell(ConditionChanged(condition=Condition.PAUSED, active=True))
    assert placed(bench.tell(reading())) == {}
    bench.tell(FundingRecord(record_id=2, amount_units=MoneyUnits(-(10**8) - 1), asset="USDT", time_ms=bench.now_ms))
    assert placed(bench.tell(ConditionChanged(condition=Condition.PAUSED, active=False))) == {}
    bench.tell(FundingRecord(record_id=3, amount_units=MoneyUnits(1), asset="USDT", time_ms=bench.now_ms))
    assert placed(bench.actions)[-1].quantity_lots == 2

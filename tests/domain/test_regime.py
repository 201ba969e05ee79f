"""The regime: Wilder's indicators as TA-Lib has them, and readings that depend on the last 100 klines alone."""

from __future__ import annotations

import csv
import gzip
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_grid.domain.events import Kline, Liquidity, RegimeReading, Trend, Volatility
from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.domain.regime import (
    MINUTE_MS,
    WINDOW_KLINES,
    KlineWindow,
    RegimeSettings,
    anomaly_brake,
    classify,
    wilder_atr,
    wilder_rsi,
)

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data"
START_MS = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS
OUTAGE_MS = 1_679_661_600_000  # 2023-03-24 12:40 UTC; the first kline after it is 14:00


def kline(minute: int, close: int, volume: int = 1_000, spread: int = 0, start_ms: int = START_MS) -> Kline:
    """A kline whose range is `spread` ticks on both sides of its close."""
    return Kline(
        open_time_ms=start_ms + minute * MINUTE_MS,
        open_ticks=PriceTicks(close),
        high_ticks=PriceTicks(close + spread),
        low_ticks=PriceTicks(close - spread),
        close_ticks=PriceTicks(close),
        volume_lots=QuantityLots(volume),
        closed=True,
    )


def random_klines(seed: int, count: int, volatility: int = 40) -> list[Kline]:
    """A seeded random walk with quiet and wild stretches, and volumes with heavy tails."""
    randomly = random.Random(seed)
    price, klines = 100_000, []
    for minute in range(count):
        wild = 6 if (minute // 37) % 4 == 3 else 1
        move = round(randomly.gauss(0, volatility * wild))
        opened, price = price, max(price + move, 1_000)
        reach = abs(round(randomly.gauss(0, volatility * wild)))
        klines.append(
            Kline(
                open_time_ms=START_MS + minute * MINUTE_MS,
                open_ticks=PriceTicks(opened),
                high_ticks=PriceTicks(max(opened, price) + reach),
                low_ticks=PriceTicks(min(opened, price) - reach // 2),
                close_ticks=PriceTicks(price),
                volume_lots=QuantityLots(round(randomly.lognormvariate(6, 1.3)) * wild),
                closed=True,
            )
        )
    return klines


def recorded_rows(name: str) -> list[list[str]]:
    with gzip.open(RECORDED / name, "rt") as file:
        return [row for row in csv.reader(file) if row[0].isdigit()]


def recorded_klines(name: str, tick: str, lot: str) -> list[Kline]:
    def units(text: str, unit: str) -> int:
        return int(Decimal(text) / Decimal(unit))

    return [
        Kline(
            open_time_ms=int(row[0]),
            open_ticks=PriceTicks(units(row[1], tick)),
            high_ticks=PriceTicks(units(row[2], tick)),
            low_ticks=PriceTicks(units(row[3], tick)),
            close_ticks=PriceTicks(units(row[4], tick)),
            volume_lots=QuantityLots(units(row[5], lot)),
            closed=True,
        )
        for row in recorded_rows(name)
    ]


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (RECORDED / name).exists(), reason=f"no recorded {name}")


# Wilder's indicators against TA-Lib ----------------------------------------------------------------------------------


def largest_difference(ours: Sequence[float | None], theirs: Sequence[float]) -> float:
    assert len(ours) == len(theirs)
    assert [value is None for value in ours] == [bool(np.isnan(value)) for value in theirs]
    return max((abs(a - float(b)) for a, b in zip(ours, theirs, strict=True) if a is not None), default=0.0)


def assert_equals_talib(highs: list[float], lows: list[float], closes: list[float], period: int) -> None:
    high, low, close = (np.array(values, dtype=float) for values in (highs, lows, closes))
    assert largest_difference(wilder_rsi(closes, period), talib.RSI(close, period).tolist()) < 1e-9
    assert (
        largest_difference(wilder_atr(highs, lows, closes, period), talib.ATR(high, low, close, period).tolist()) < 1e-9
    )


@pytest.mark.parametrize("period", [2, 3, 14, 50])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rsi_and_atr_equal_talib_on_generated_klines(seed: int, period: int) -> None:
    klines = random_klines(seed, 3_000)
    assert_equals_talib(
        [k.high_ticks / 10 for k in klines],
        [k.low_ticks / 10 for k in klines],
        [k.close_ticks / 10 for k in klines],
        period,
    )


@pytest.mark.recorded
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=needs(name))
        for name in (
            "usdm_1m/BTCUSDT-um-1m-2023-07.csv.gz",
            "spot_1m/BTCUSDT-1m-2022-11.csv.gz",
            "spot_1m/ETHUSDT-1m-2022-05.csv.gz",
            "spot_1m/SOLUSDT-1m-2022-01.csv.gz",
        )
    ],
)
def test_rsi_and_atr_equal_talib_on_recorded_klines(name: str) -> None:
    rows = recorded_rows(name)
    assert len(rows) > 40_000
    highs, lows, closes = ([float(row[column]) for row in rows] for column in (2, 3, 4))
    assert_equals_talib(highs, lows, closes, 14)


@given(st.lists(st.integers(1, 1_000), max_size=60), st.integers(1, 20))
def test_indicators_have_one_value_per_close_and_stay_in_range(closes: list[int], period: int) -> None:
    rsi = wilder_rsi(closes, period)
    atr = wilder_atr(closes, closes, closes, period)
    first = min(period, len(closes))
    assert (
        [value is None for value in rsi] == [value is None for value in atr] == [i < first for i in range(len(closes))]
    )
    assert all(0 <= value <= 100 for value in rsi if value is not None)
    assert all(value >= 0 for value in atr if value is not None)


def test_indicators_refuse_what_they_cannot_use() -> None:
    with pytest.raises(ValueError, match="2 highs, 1 lows, 2 closes; allowed: as many of each"):
        wilder_atr([2, 2], [1], [1, 2])
    for period in (0, -1):
        with pytest.raises(ValueError, match=f"period is {period}; allowed: at least 1"):
            wilder_rsi([1, 2, 3], period)


# Trend ---------------------------------------------------------------------------------------------------------------


def test_s14_a_flat_market_is_range() -> None:
    assert wilder_rsi([500] * 30)[14:] == [50.0] * 16
    reading = classify([kline(minute, 500) for minute in range(100)])
    assert (reading.trend, reading.rsi_milli, reading.stale) == (Trend.RANGE, 50_000, False)
    assert (reading.atr_ticks, reading.size_factor_milli, reading.volatility) == (0, 1_000, Volatility.NORMAL)


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("moved_at", [1, 20, 60, 90])
def test_s14_one_tick_long_ago_makes_no_trend(step: int, moved_at: int) -> None:
    klines = [kline(minute, 500 if minute < moved_at else 500 + step) for minute in range(100)]
    reading = classify(klines)
    assert reading.rsi_milli == (100_000 if step > 0 else 0)
    assert reading.trend is Trend.RANGE


def test_trend_follows_rsi_beyond_its_thresholds() -> None:
    up = [kline(minute, 10_000 + 3 * minute + (minute % 3)) for minute in range(100)]
    down = [kline(minute, 10_000 - 3 * minute - (minute % 3)) for minute in range(100)]
    level = [kline(minute, 10_000 + 5 * (minute % 2)) for minute in range(100)]
    assert [classify(klines).trend for klines in (up, down, level)] == [Trend.BULL, Trend.BEAR, Trend.RANGE]
    rsi = classify(up).rsi_milli
    at_the_threshold = RegimeSettings(bull_above_rsi=-(-rsi // 1_000))
    assert classify(up, at_the_threshold).trend is Trend.RANGE


# Volatility, liquidity, size -----------------------------------------------------------------------------------------


def spread_klines(spreads: Sequence[int]) -> list[Kline]:
    return [kline(minute, 100_000, spread=spread) for minute, spread in enumerate(spreads)]


def walk_volatility(spreads: Sequence[int], regime: RegimeSettings | None = None) -> str:
    """One letter per minute from the hundredth on: the reading that a window ending there gives."""
    klines = spread_klines(spreads)
    return "".join(classify(klines[end - 100 : end], regime).volatility[0] for end in range(100, len(klines) + 1))


def test_volatility_rises_with_atr_and_falls_back_with_hysteresis() -> None:
    path = walk_volatility([10] * 100 + [60] * 8 + [10] * 60)
    assert path.startswith("N")
    assert path.endswith("N")
    high = path.strip("N")
    assert set(high) == {"H"}
    # ATR crosses 1.5 x its mean after two wild minutes; it is below 1.2 x only well after they ended.
    assert path.index("H") == 2
    assert 10 <= len(high) <= 30


def test_a_volatility_between_the_two_thresholds_keeps_what_it_had() -> None:
    one_threshold = RegimeSettings(high_leave_milli=1_500)
    spreads = [10] * 100 + [60] * 8 + [10] * 60
    assert walk_volatility(spreads).count("H") > walk_volatility(spreads, one_threshold).count("H") > 0


def test_a_state_lasts_for_its_dwell() -> None:
    spreads = [10] * 100 + [200] + [10] * 60
    quick = RegimeSettings(dwell_klines=1, high_leave_milli=1_500)
    slow = RegimeSettings(dwell_klines=25, high_leave_milli=1_500)
    assert walk_volatility(spreads, slow).count("H") == 25 > walk_volatility(spreads, quick).count("H") > 0


def walk_liquidity(volumes: Sequence[int]) -> str:
    klines = [kline(minute, 100_000, volume=volume) for minute, volume in enumerate(volumes)]
    return "".join(classify(klines[end - 100 : end]).liquidity[0] for end in range(100, len(klines) + 1))


def test_liquidity_is_thin_while_the_volume_is_gone() -> None:
    path = walk_liquidity([1_000] * 100 + [50] * 10 + [1_000] * 20)
    # Five minutes of 50 are needed to bring the mean of five below 0.2 x the mean of fifty; two of 1,000 end it.
    assert path == "N" * 5 + "T" * 7 + "N" * 19


def test_a_market_without_any_volume_is_thin() -> None:
    assert classify([kline(minute, 100_000, volume=0) for minute in range(100)]).liquidity is Liquidity.THIN


@pytest.mark.parametrize(
    ("spread", "atr", "factor"),
    [
        (0, 0, 1_000),
        (1, 2, 999),
        (50, 100, 950),
        (500, 1_000, 500),
        (899, 1_798, 101),
        (900, 1_800, 100),
        (9_000, 18_000, 100),
    ],
)
def test_the_size_factor_falls_with_volatility_down_to_a_tenth(spread: int, atr: int, factor: int) -> None:
    reading = classify(spread_klines([spread] * 100))
    assert (reading.atr_ticks, reading.size_factor_milli) == (atr, factor)


def test_the_smallest_size_can_be_set() -> None:
    reading = classify(spread_klines([9_000] * 100), RegimeSettings(smallest_size_milli=250))
    assert reading.size_factor_milli == 250


# The anomaly brake ---------------------------------------------------------------------------------------------------


def crash(at: int, count: int = 100, close: int = 95_000, volume: int = 20_000) -> list[Kline]:
    """A level market with one kline of falling price on heavy volume."""
    return [
        kline(minute, close if minute == at else 100_000, volume=volume if minute == at else 1_000)
        for minute in range(count)
    ]


def test_the_brake_goes_on_with_a_fall_on_heavy_volume_and_off_after_five_calm_klines() -> None:
    assert [anomaly_brake([crash(at)]) for at in (99, 98, 96, 95, 94, 50)] == [True, True, True, True, False, False]
    assert classify(crash(99)).brake
    assert not classify(crash(94)).brake


def test_the_brake_needs_both_the_fall_and_the_volume() -> None:
    assert not anomaly_brake([crash(99, close=100_000)])
    assert not anomaly_brake([crash(99, close=105_000)])
    assert not anomaly_brake([crash(99, volume=1_000)])
    # The kline's own volume is part of the mean: v > 3 x (19,000 + v) / 20.
    at_the_threshold = 57_000 // 17
    assert not anomaly_brake([crash(99, volume=at_the_threshold)])
    assert anomaly_brake([crash(99, volume=at_the_threshold + 1)])


def test_the_brake_needs_a_majority_of_the_watched_symbols() -> None:
    falling, level = crash(99), crash(200)
    assert not anomaly_brake([falling, level])
    assert anomaly_brake([falling, falling, level])
    assert anomaly_brake([level, falling, falling])
    assert not anomaly_brake([falling, falling, level, level])
    assert classify(level, watched=[falling, falling]).brake


def test_a_symbol_without_the_klines_has_no_vote() -> None:
    falling, level = crash(99), crash(200)
    with_a_hole = [kline for kline in level if kline.open_time_ms != START_MS + 90 * MINUTE_MS]
    assert anomaly_brake([falling, with_a_hole])
    assert not anomaly_brake([falling, level[:95] + level[95:]])
    assert anomaly_brake([falling, level[:50], []])
    assert not anomaly_brake([])
    assert not anomaly_brake([[], falling])


# A function of the last 100 klines alone -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(100, 260))
def test_a_restart_changes_no_reading(seed: int, count: int) -> None:
    klines = random_klines(seed, count)
    window = KlineWindow()
    for number, one in enumerate(klines, start=1):
        window.add(one)
        if number >= 100 and number % 7 == 0:
            restarted = KlineWindow()
            for other in klines[number - 100 : number]:
                restarted.add(other)
            assert classify(window.klines()) == classify(restarted.klines()) == classify(klines[:number])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_order_and_repetition_of_klines_change_no_reading(seed: int, randomly: random.Random) -> None:
    klines = random_klines(seed, 130)
    shuffled = klines + randomly.choices(klines, k=40)
    randomly.shuffle(shuffled)
    window = KlineWindow()
    for one in shuffled:
        window.add(one)
    assert window.klines() == tuple(klines[-100:])
    assert classify(window.klines()) == classify(klines)


def test_readings_visit_every_state() -> None:
    klines = random_klines(5, 2_500)
    readings = [classify(klines[end - 100 : end]) for end in range(100, len(klines), 5)]
    assert {reading.trend for reading in readings} == set(Trend)
    assert {reading.volatility for reading in readings} == set(Volatility)
    assert {reading.brake for reading in readings} == {True, False}


def test_a_reading_holds_no_float() -> None:
    reading = classify(random_klines(6, 100))
    assert all(not isinstance(getattr(reading, name), float) for name in reading.__struct_fields__)
    assert msgspec.json.decode(msgspec.json.encode(reading), type=RegimeReading) == reading


def test_only_the_last_100_klines_count() -> None:
    klines = random_klines(7, 150)
    strange = [kline(minute, 5, volume=0) for minute in range(50)]
    assert classify(strange + klines[50:]) == classify(klines)


# Stale readings and the window ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("klines", [[], random_klines(1, 1), random_klines(1, 99)], ids=["none", "one", "99"])
def test_too_short_a_run_is_stale_and_neutral(klines: list[Kline]) -> None:
    reading = classify(klines)
    assert reading.stale
    assert (reading.trend, reading.volatility, reading.liquidity) == (Trend.RANGE, Volatility.NORMAL, Liquidity.NORMAL)
    assert (reading.brake, reading.atr_ticks, reading.size_factor_milli) == (False, 0, 1_000)
    assert reading.close_time_ms == (klines[-1].open_time_ms + 59_999 if klines else 0)


@pytest.mark.parametrize("hole", [1, 50, 99])
def test_a_hole_is_stale_until_it_is_filled(hole: int) -> None:
    klines = random_klines(8, 101)
    window = KlineWindow()
    for number, one in enumerate(klines):
        if number != hole:
            window.add(one)
    assert (window.gapless, window.missing_minutes()) == (False, (klines[hole].open_time_ms,))
    assert classify(window.klines()).stale
    assert window.add(klines[hole])
    assert (window.gapless, window.missing_minutes()) == (True, ())
    assert classify(window.klines()) == classify(klines)
    assert not classify(klines).stale


def test_a_run_with_a_hole_or_out_of_order_is_stale() -> None:
    klines = random_klines(9, 102)
    assert classify(klines[:50] + klines[51:]).stale
    assert classify(klines[::-1]).stale
    assert classify([*klines[:60], klines[59], *klines[60:]]).stale


def test_an_open_kline_is_refused() -> None:
    still_open = msgspec.structs.replace(kline(100, 500), closed=False)
    with pytest.raises(ValueError, match="still open was given; allowed: closed klines"):
        classify([*(kline(minute, 500) for minute in range(100)), still_open])
    with pytest.raises(ValueError, match="allowed: closed 1-minute klines"):
        KlineWindow().add(still_open)
    with pytest.raises(ValueError, match="allowed: closed 1-minute klines"):
        KlineWindow().add(msgspec.structs.replace(kline(0, 500), open_time_ms=START_MS + 1))


def test_the_window_says_what_is_missing_and_what_changed_it() -> None:
    window = KlineWindow()
    assert (window.klines(), window.missing_minutes(), window.gapless) == ((), (), False)
    assert window.add(kline(0, 500))
    assert not window.add(kline(0, 500))
    assert window.add(kline(0, 501))
    assert [one.close_ticks for one in window.klines()] == [501]
    assert len(window.missing_minutes()) == 99
    assert repr(window) == "<KlineWindow klines=1 missing=99>"
    assert window.add(kline(99, 500))
    assert window.missing_minutes() == tuple(START_MS + minute * MINUTE_MS for minute in range(1, 99))
    assert window.add(kline(100, 500))
    assert not window.add(kline(0, 500))
    assert [one.open_time_ms for one in window.klines()] == [START_MS + 99 * MINUTE_MS, START_MS + 100 * MINUTE_MS]


def test_a_leap_far_ahead_leaves_only_what_is_near() -> None:
    window = KlineWindow()
    for one in random_klines(3, 100):
        window.add(one)
    window.add(kline(5_000, 500))
    assert len(window.klines()) == 1
    assert len(window.missing_minutes()) == WINDOW_KLINES - 1


OUTAGE = "spot_1m/BTCUSDT-1m-2023-03.csv.gz"


@pytest.mark.recorded
@needs(OUTAGE)
def test_the_outage_of_2023_03_24_is_stale_until_100_minutes_are_whole_again() -> None:
    klines = recorded_klines(OUTAGE, "0.01", "0.00001")
    near = [one for one in klines if abs(one.open_time_ms - OUTAGE_MS) <= 6 * 3_600_000]
    window, stale = KlineWindow(), []
    for one in near:
        window.add(one)
        reading = classify(window.klines())
        assert reading.stale is not window.gapless
        if one.open_time_ms >= near[99].open_time_ms and reading.stale:
            stale.append(one.open_time_ms)
    first_after = OUTAGE_MS + 80 * MINUTE_MS
    assert stale == [first_after + minute * MINUTE_MS for minute in range(99)]


@pytest.mark.recorded
@needs(OUTAGE)
def test_the_outage_of_2023_03_24_backfilled_is_whole_at_once() -> None:
    klines = [
        one for one in recorded_klines(OUTAGE, "0.01", "0.00001") if one.open_time_ms <= OUTAGE_MS + 85 * MINUTE_MS
    ]
    window = KlineWindow()
    for one in klines[-150:]:
        window.add(one)
    missing = window.missing_minutes()
    assert missing == tuple(OUTAGE_MS + minute * MINUTE_MS for minute in range(80))
    last = klines[-7]
    for minute in missing:
        window.add(msgspec.structs.replace(last, open_time_ms=minute))
    assert window.gapless
    assert not classify(window.klines()).stale


@pytest.mark.recorded
@needs("usdm_1m/BTCUSDT-um-1m-2023-07.csv.gz")
def test_recorded_klines_read_the_same_after_a_restart_and_are_mostly_calm() -> None:
    klines = recorded_klines("usdm_1m/BTCUSDT-um-1m-2023-07.csv.gz", "0.1", "0.001")[:6_000]
    window, readings = KlineWindow(), []
    for number, one in enumerate(klines, start=1):
        window.add(one)
        if number >= 100 and number % 10 == 0:
            readings.append(classify(window.klines()))
            assert readings[-1] == classify(klines[number - 100 : number])
    assert {reading.trend for reading in readings} == set(Trend)
    share = {
        "trend": sum(reading.trend is not Trend.RANGE for reading in readings) / len(readings),
        "high": sum(reading.volatility is Volatility.HIGH for reading in readings) / len(readings),
        "thin": sum(reading.liquidity is Liquidity.THIN for reading in readings) / len(readings),
        "brake": sum(reading.brake for reading in readings) / len(readings),
    }
    assert all(0 < value < 0.25 for value in share.values()), share


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rsi_period": 0}, "RegimeSettings.rsi_period is 0; allowed: a whole number of at least 1"),
        ({"brake_volume_milli": 3.0}, "RegimeSettings.brake_volume_milli is 3.0; allowed: a whole number"),
        ({"rsi_period": 100}, "rsi_period is 100: 101 klines are needed; allowed: at most 100"),
        ({"atr_period": 51}, "atr_period is 51: 101 klines are needed; allowed: at most 100"),
        ({"brake_klines": 101}, "brake_klines is 101: 101 klines are needed; allowed: at most 100"),
        ({"bear_below_rsi": 71}, "bear_below_rsi is 71, bull_above_rsi 70; allowed: bear_below_rsi <= bull_above_rsi"),
        ({"bull_above_rsi": 101}, "and bull_above_rsi at most 100"),
        ({"high_leave_milli": 1_501}, "high_leave_milli <= high_enter_milli"),
        ({"thin_enter_milli": 351}, "thin_enter_milli <= thin_leave_milli"),
        ({"volume_klines": 51}, "volume_klines <= average_klines"),
        ({"smallest_size_milli": 1_001}, "smallest_size_milli at most 1000"),
    ],
)
def test_settings_that_leave_nothing_to_judge_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        msgspec.structs.replace(RegimeSettings(), **changes)

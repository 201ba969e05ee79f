"""The regime: readings that depend on the last 100 klines alone, their thresholds, hysteresis and dwell."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.kline_samples import START_MS, kline, needs, random_klines, recorded_klines
from trio_grid.domain.events import Kline, Liquidity, RegimeReading, Trend, Volatility
from trio_grid.domain.regime import (
    MINUTE_MS,
    KlineWindow,
    RegimeSettings,
    anomaly_brake,
    classify,
    has_vote,
    wilder_rsi,
)

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


@pytest.mark.parametrize("spare", [0, 10])
def test_where_a_watched_window_begins_and_ends_changes_no_reading(spare: int) -> None:
    # Ten minutes before the traded symbol's window and two after it; the early fall is seen only with the ten.
    traded = crash(200)[:100]
    watched = [kline(minute, 100_000) for minute in range(-10, 0)] + crash(12, 102)
    slow_release = RegimeSettings(brake_release_klines=99)
    assert not classify(traded, slow_release, watched=[watched[10 - spare :]]).brake


def test_a_vote_needs_the_klines_up_to_the_traded_symbol_s_last_close() -> None:
    traded, watched = KlineWindow(), KlineWindow(spare=10)
    assert not has_vote(traded, watched)
    for one in crash(90):
        traded.add(one)
    for minute, one in enumerate(crash(90, 101)):
        if minute != 85:
            watched.add(one)
        assert has_vote(traded, watched) is False
    watched.add(crash(90)[85])
    assert has_vote(traded, watched)


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

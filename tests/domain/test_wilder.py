"""Wilder's RSI and ATR have TA-Lib's values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.domain.kline_samples import needs, random_klines, recorded_rows
from trio_grid.domain.regime import wilder_atr, wilder_rsi


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


@settings(deadline=None)
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

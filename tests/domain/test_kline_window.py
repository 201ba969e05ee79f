"""The window of klines: which minutes are there, which are missing, and that a hole makes the reading stale."""

from __future__ import annotations

import msgspec
import pytest

from tests.domain.kline_samples import START_MS, kline, needs, random_klines, recorded_klines
from trio_grid.domain.events import Kline, Liquidity, Trend, Volatility
from trio_grid.domain.regime import MINUTE_MS, WINDOW_KLINES, KlineWindow, classify

OUTAGE_MS = 1_679_661_600_000  # 2023-03-24 12:40 UTC; the first kline after it is 14:00


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

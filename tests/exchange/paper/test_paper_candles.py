"""Klines: built from trades, closed on time, added up to every interval, told on the stream."""

from __future__ import annotations

import pytest

from tests.exchange.paper.scripted_market import START_MS, quote, scripted
from trio_grid.exchange.paper.engine.candles import INTERVALS, MINUTE_MS, Candles, close_time_of, open_time_of
from trio_grid.exchange.paper.engine.desk import KlineEvent
from trio_grid.exchange.paper.engine.exchange import MarketEvent, PaperExchange
from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.market.interface import TapeRow

MINUTE = START_MS // MINUTE_MS * MINUTE_MS
DAY_MS = 86_400_000


def filled(minutes: int, *, start_ms: int = 0) -> Candles:
    candles = Candles(fills_quiet_minutes=True)
    for minute in range(minutes):
        time_ms = start_ms + minute * MINUTE_MS
        for price in (100 + minute, 110 + minute, 95 + minute, 101 + minute):
            candles.add(TapeRow(price, 3, price % 2 == 0), time_ms, minute * 4, minute * 4)
        if minute < minutes - 1:
            candles.close()
    return candles


@pytest.mark.parametrize(
    ("interval", "time_ms", "opening", "closing"),
    [
        ("1m", 61_000, 60_000, 119_999),
        ("1d", DAY_MS + 5, DAY_MS, 2 * DAY_MS - 1),
        # 2026-11-22 is a Sunday; its week began on Monday the 16th.
        ("1w", 1_795_305_600_000, 1_794_787_200_000, 1_795_391_999_999),
        ("1M", 1_795_305_600_000, 1_793_491_200_000, 1_796_083_199_999),
        ("1M", 1_798_000_000_000, 1_796_083_200_000, 1_798_761_599_999),
    ],
)
def test_klines_open_and_close_at_the_exchanges_times(interval: str, time_ms: int, opening: int, closing: int) -> None:
    assert open_time_of(interval, time_ms) == opening
    assert close_time_of(interval, opening) == closing


def test_a_candle_adds_up_its_trades() -> None:
    candle = filled(1).current
    assert candle is not None
    assert (candle.open_ticks, candle.high_ticks, candle.low_ticks, candle.close_ticks) == (100, 110, 95, 101)
    assert (candle.volume_lots, candle.quote, candle.trades) == (12, 3 * (100 + 110 + 95 + 101), 4)
    assert (candle.taker_lots, candle.taker_quote) == (6, 3 * (95 + 101))


def test_longer_intervals_are_the_sum_of_their_minutes() -> None:
    candles = filled(12)
    rows = candles.select("5m", limit=10)
    assert [(row.open_time_ms, row.open_ticks, row.close_ticks) for row in rows] == [
        (0, 100, 105),
        (300_000, 105, 110),
        (600_000, 110, 112),
    ]
    assert [row.volume_lots for row in rows] == [60, 60, 24]
    assert (rows[0].high_ticks, rows[0].low_ticks, rows[0].trades) == (114, 95, 20)
    assert candles.select("5m", limit=10) == rows, "adding up does not change the minutes"


def test_selection_by_start_end_and_limit() -> None:
    candles = filled(10)

    def times(**question: int) -> list[int]:
        return [row.open_time_ms // MINUTE_MS for row in candles.select("1m", **question)]

    assert times(limit=3) == [7, 8, 9]
    assert times(limit=3, start_ms=2 * MINUTE_MS) == [2, 3, 4]
    assert times(limit=3, end_ms=5 * MINUTE_MS) == [3, 4, 5]
    assert times(limit=9, start_ms=2 * MINUTE_MS + 1, end_ms=5 * MINUTE_MS - 1) == [3, 4]


def klines_told(exchange: PaperExchange) -> list[tuple[int, bool, str]]:
    return [
        (event.payload["k"]["t"] - MINUTE, event.payload["k"]["x"], event.payload["k"]["c"])
        for event in exchange.take_events()
        if isinstance(event, MarketEvent) and event.kind == "kline"
    ]


def test_a_kline_closes_on_time_even_without_a_trade_and_quiet_minutes_are_flat() -> None:
    left = MINUTE + MINUTE_MS - START_MS
    exchange, market, _, _ = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    market.add(quote(left + 2 * MINUTE_MS + 10, 1001, 1002, (1002, 5, False)))
    exchange.advance(START_MS + left - 1)
    assert klines_told(exchange) == []
    exchange.advance(START_MS + left)
    assert klines_told(exchange) == [(0, True, "100.0")]
    exchange.advance(START_MS + left + 3 * MINUTE_MS)
    assert klines_told(exchange) == [
        (MINUTE_MS, True, "100.0"),
        (2 * MINUTE_MS, True, "100.0"),
        (3 * MINUTE_MS, False, "100.2"),
        (3 * MINUTE_MS, True, "100.2"),
    ]
    rows = exchange.klines({"symbol": "TESTUSDT", "interval": "1m"}, START_MS)
    assert [row[5] for row in rows[:4]] == ["0.005", "0.000", "0.000", "0.005"]
    assert rows[1][1:5] == ["100.0"] * 4


def test_other_intervals_are_told_after_each_minute_and_closed_with_their_last() -> None:
    exchange, market, _, _ = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    for minute in range(1, 12):
        market.add(quote(minute * MINUTE_MS, 1000 + minute, 1001 + minute, (1000 + minute, 5, True)))
    told: list[tuple[int, bool]] = []
    for minute in range(12):
        exchange.advance(START_MS + minute * MINUTE_MS)
        for event in exchange.take_events():
            if isinstance(event, KlineEvent):
                payload = exchange.kline_payload(event, "5m")
                told.append(((payload["k"]["t"] - open_time_of("5m", START_MS)) // MINUTE_MS, payload["k"]["x"]))
    closings = [start for start, closed in told if closed]
    assert closings == sorted(set(closings))
    assert closings[0] == 0
    assert [start for start, _ in told] == sorted(start for start, _ in told)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"interval": "1m"}, -1102),
        ({"symbol": "TESTUSDT"}, -1102),
        ({"symbol": "TESTUSDT", "interval": "7m"}, -1120),
        ({"symbol": "NOPEUSDT", "interval": "1m"}, -1121),
        ({"symbol": "TESTUSDT", "interval": "1m", "limit": "1501"}, -1130),
        ({"symbol": "TESTUSDT", "interval": "1m", "limit": "0"}, -1130),
        ({"symbol": "TESTUSDT", "interval": "1m", "limit": "many"}, -1102),
        ({"symbol": "TESTUSDT", "interval": "1m", "startTime": "-1"}, -1102),
    ],
)
def test_bad_kline_requests_are_refused(params: dict[str, str], code: int) -> None:
    exchange, _, _, _ = scripted()
    with pytest.raises(PaperRefusal) as caught:
        exchange.klines(params, START_MS)
    assert caught.value.code == code


def test_every_interval_is_served() -> None:
    exchange, market, _, _ = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    market.add(quote(500, 1000))
    exchange.advance(START_MS + 500)
    told = next(event for event in exchange.take_events() if isinstance(event, KlineEvent))
    for interval in INTERVALS:
        payload = exchange.kline_payload(told, interval)
        assert (payload["k"]["i"], payload["k"]["x"]) == (interval, False)
        rows = exchange.klines({"symbol": "TESTUSDT", "interval": interval}, START_MS)
        assert rows[-1][0] <= START_MS <= rows[-1][6]

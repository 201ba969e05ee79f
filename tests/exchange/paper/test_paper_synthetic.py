"""The synthetic market: seeded, lively, with a history, and walked through a pause in bounded steps."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from tests.exchange.paper.scripted_market import START_MS
from trio_grid.domain.events import Side
from trio_grid.exchange.paper.build import build_exchange
from trio_grid.exchange.paper.engine.exchange import AccountSpec, MarketEvent, PaperExchange
from trio_grid.exchange.paper.engine.symbols import default_instrument
from trio_grid.exchange.paper.market.synthetic import CATCH_UP_STEPS, SyntheticMarket

SYMBOL = {"symbol": "BTCUSDT"}
HOUR_MS = 3_600_000


def steps_of(seed: int, count: int, *, start_ms: int = START_MS) -> list[Any]:
    market = SyntheticMarket(default_instrument("BTCUSDT"), start_ms=start_ms, seed=seed, history_minutes=0)
    return [market.step() for _ in range(count)]


def test_the_seed_fixes_every_step() -> None:
    assert steps_of(7, 2_000) == steps_of(7, 2_000)
    assert steps_of(7, 50) != steps_of(8, 50)


def test_steps_are_whole_ordered_and_never_crossed() -> None:
    last = 0
    for step in steps_of(3, 20_000):
        assert step.time_ms > last
        last = step.time_ms
        assert 0 < step.bid_ticks < step.ask_ticks
        assert step.bid_lots > 0
        assert step.ask_lots > 0
        assert all(row.quantity_lots > 0 and row.price_ticks > 0 for row in step.trades)
        assert all(type(value) is int for value in (step.bid_ticks, step.ask_ticks, step.bid_lots, step.ask_lots))


def test_returns_have_fat_tails_and_clustered_volatility() -> None:
    exchange = build_exchange(start_ms=START_MS, seed=5, history_minutes=1_400)
    rows = exchange.klines({**SYMBOL, "interval": "1m", "limit": "1500"}, START_MS)
    closes = [float(row[4]) for row in rows]
    moves = [after - before for before, after in pairwise(closes)]
    mean = sum(moves) / len(moves)
    second = sum((move - mean) ** 2 for move in moves) / len(moves)
    fourth = sum((move - mean) ** 4 for move in moves) / len(moves)
    assert fourth / second**2 > 3.3, "thicker tails than a normal distribution's 3"
    ranges = [float(row[2]) - float(row[3]) for row in rows]
    average = sum(ranges) / len(ranges)
    lagged = sum((a - average) * (b - average) for a, b in zip(ranges, ranges[3:], strict=False))
    assert lagged / sum((a - average) ** 2 for a in ranges) > 0.05, "a wide minute is followed by wide minutes"


def crossings(exchange: PaperExchange, interval_ticks: int) -> int:
    """How often the bid moves by a whole interval: each is a fill of a grid with that interval."""
    last, count = 0, 0
    for event in exchange.take_events():
        if isinstance(event, MarketEvent) and event.kind == "bookTicker":
            bid = int(Decimal(event.payload["b"]) * 10)
            last = last or bid
            while abs(bid - last) >= interval_ticks:
                last += interval_ticks if bid > last else -interval_ticks
                count += 1
    return count


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_the_default_market_is_lively_enough_for_a_grid(seed: int) -> None:
    exchange = build_exchange(start_ms=START_MS, seed=seed)
    exchange.take_events()
    exchange.advance(START_MS + 5 * 60_000)
    assert crossings(exchange, 300) >= 25
    last = Decimal(exchange.ticker_price(SYMBOL, START_MS)["price"])  # type: ignore[call-overload]
    assert 54_000 < last < 66_000


def test_a_ladder_of_a_real_minute_fills_and_some_fills_are_parts() -> None:
    parts = fills = 0
    for seed in range(1, 7):
        exchange = build_exchange(start_ms=START_MS, seed=seed, accounts=[AccountSpec(name="ann")])
        bid = int(Decimal(exchange.book_ticker(SYMBOL, START_MS)["bidPrice"]) * 10)  # type: ignore[call-overload]
        for rung in range(1, 11):
            for side, price in (("BUY", bid - 200 * rung), ("SELL", bid + 200 * rung)):
                params = {"side": side, "type": "LIMIT", "timeInForce": "GTX", "quantity": "0.004"}
                exchange.place_order("ann", SYMBOL | params | {"price": f"{Decimal(price) / 10}"}, START_MS)
        exchange.advance(START_MS + 60_000)
        trades = exchange.user_trades("ann", SYMBOL, START_MS)
        fills += len({row["orderId"] for row in trades})
        parts += sum(Decimal(row["qty"]) < Decimal("0.004") for row in trades)
    assert fills >= 18
    assert parts >= 1


def test_history_reaches_back_far_enough_and_resembles_what_follows() -> None:
    exchange = build_exchange(start_ms=START_MS, seed=1)
    before = exchange.klines({**SYMBOL, "interval": "1m", "limit": "181"}, START_MS)
    assert len(before) == 181
    assert before[-1][6] >= START_MS
    assert all(later[0] - row[0] == 60_000 for row, later in pairwise(before))
    exchange.advance(START_MS + 50 * 60_000)
    after = exchange.klines({**SYMBOL, "interval": "1m", "limit": "51"}, START_MS)[:-1]

    def mean(rows: list[list[Any]], value: Any) -> float:
        return float(sum(value(row) for row in rows)) / len(rows)

    for value in (lambda row: float(row[5]), lambda row: float(row[2]) - float(row[3])):
        assert 0.5 < mean(before[:-1], value) / mean(after, value) < 2


def test_one_long_advance_equals_many_short_ones() -> None:
    span = 15 * 60_000
    whole, stepped = (build_exchange(start_ms=START_MS, seed=4) for _ in range(2))
    whole.advance(START_MS + span)
    now = START_MS
    while now < START_MS + span:
        now = min(START_MS + span, max(now + 1, stepped.next_event_ms()))
        stepped.advance(now)
    events = [
        [(event.kind, event.time_ms, event.payload) for event in exchange.take_events()]
        for exchange in (whole, stepped)
    ]
    assert events[0] == events[1]


def test_advance_stops_after_max_steps_and_goes_on() -> None:
    whole, chunked = (build_exchange(start_ms=START_MS, seed=4) for _ in range(2))
    whole.advance(START_MS + 60_000)
    calls = 0
    while not chunked.advance(START_MS + 60_000, max_steps=10):
        calls += 1
    assert calls > 10
    assert [e.payload for e in whole.take_events()] == [e.payload for e in chunked.take_events()]


@pytest.mark.parametrize("pause_ms", [6 * HOUR_MS, 12 * 24 * HOUR_MS])
def test_a_long_pause_is_walked_in_bounded_steps_and_resting_orders_are_met(pause_ms: int) -> None:
    exchange = build_exchange(start_ms=START_MS, seed=2, accounts=[AccountSpec(name="ann")])
    bid = int(Decimal(exchange.book_ticker(SYMBOL, START_MS)["bidPrice"]) * 10)  # type: ignore[call-overload]
    params = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "quantity": "0.004"}
    order = exchange.place_order("ann", SYMBOL | params | {"price": f"{Decimal(bid - 500) / 10}"}, START_MS)
    steps = 0
    while not exchange.advance(START_MS + pause_ms, max_steps=1_000):
        steps += 1_000
        exchange.take_events()
    # Candles close and the hours pass besides the market's own steps.
    assert steps < 1.1 * max(CATCH_UP_STEPS, pause_ms // 60_000) + pause_ms // 60_000
    found = exchange.query_order("ann", SYMBOL | {"orderId": str(order["orderId"])}, START_MS)
    assert found["status"] == "FILLED"
    rows = exchange.klines({**SYMBOL, "interval": "1m", "limit": "1500"}, START_MS)
    assert all(later[0] - row[0] == 60_000 for row, later in pairwise(rows))


def test_the_book_is_a_fixed_function_that_thickens_outwards() -> None:
    market = SyntheticMarket(default_instrument("BTCUSDT"), start_ms=START_MS, seed=1, history_minutes=1)
    step = market.step()
    near = [market.level_lots(Side.BUY, step.bid_ticks - distance) for distance in range(1, 20)]
    far = [market.level_lots(Side.BUY, step.bid_ticks - distance) for distance in range(300, 320)]
    assert near == [market.level_lots(Side.BUY, step.bid_ticks - distance) for distance in range(1, 20)]
    assert min(near) >= 1
    assert sum(far) > 5 * sum(near)
    assert market.level_lots(Side.BUY, step.bid_ticks + 1) == 0

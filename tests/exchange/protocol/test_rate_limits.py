"""Windows aligned to the exchange's clock, headers, and the order budget."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trio_grid.exchange.interface import OrderBudget
from trio_grid.exchange.protocol.rate_limits import (
    FUTURES_LIMITS,
    ORDERS,
    REQUEST_WEIGHT,
    RateLimit,
    RateLimits,
    UsedLimit,
    WindowCounter,
    parse_headers,
    retry_after_s,
)

MINUTE = 60_000
START = 1_700_000_000_000 // MINUTE * MINUTE


def test_headers_are_matched_in_any_case_and_minus_one_is_left_out() -> None:
    headers = [
        ("X-MBX-USED-WEIGHT-1M", "17"),
        ("x-mbx-order-count-10s", "2"),
        ("X-Mbx-Order-Count-1D", "9"),
        ("x-mbx-used-weight-1m", "-1"),
        ("x-mbx-used-weight", "5"),
        ("content-type", "application/json"),
    ]
    assert parse_headers(headers) == (
        UsedLimit(REQUEST_WEIGHT, MINUTE, 17),
        UsedLimit(ORDERS, 10_000, 2),
        UsedLimit(ORDERS, 86_400_000, 9),
    )


def test_retry_after_is_seconds_or_nothing() -> None:
    assert retry_after_s({"retry-after": "12"}) == 12.0
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) is None
    assert retry_after_s({}) is None


def test_a_window_starts_over_at_the_edge_of_the_wall_clock() -> None:
    window = WindowCounter(10_000, 300)
    assert window.add(5, START + 9_999) == 5
    assert window.count(START + 10_000) == 0
    assert window.next_window_ms(START + 9_999) == START + 10_000
    window.observe(3, START + 10_000)
    window.observe(2, START + 10_001)
    assert window.count(START + 10_002) == 3


def test_the_budget_keeps_a_fifth_of_each_window_in_reserve() -> None:
    limits = RateLimits()
    assert limits.order_budget(START).orders == 240
    limits.spend(ORDERS, 240, START + 1_000)
    assert limits.order_budget(START + 1_000) == OrderBudget(orders=0, refill_at_ms=START + 10_050)
    assert limits.order_budget(START + 10_050).orders == 240


def test_the_minute_window_ends_the_pacing_of_the_ten_second_windows() -> None:
    limits = RateLimits()
    for window in range(4):
        limits.spend(ORDERS, 240, START + window * 10_000)
    assert limits.order_budget(START + 45_000) == OrderBudget(orders=0, refill_at_ms=START + 60_050)


def test_a_budget_that_is_cut_says_when_the_tightest_window_starts_over() -> None:
    limits = RateLimits()
    limits.spend(ORDERS, 238, START + 2_000)
    assert limits.order_budget(START + 2_000) == OrderBudget(orders=2, refill_at_ms=START + 10_050)


def test_what_others_spend_from_the_same_windows_is_seen_in_the_answers() -> None:
    limits = RateLimits()
    limits.spend(ORDERS, 10, START)
    limits.observe([UsedLimit(ORDERS, 10_000, 200), UsedLimit(ORDERS, 10_000, 3)], START + 10)
    assert limits.order_budget(START + 10).orders == 40


def test_the_venues_own_limits_replace_the_defaults_and_keep_the_counts() -> None:
    limits = RateLimits()
    limits.spend(ORDERS, 10, START)
    limits.learn([RateLimit(ORDERS, "SECOND", 10, 100), RateLimit(ORDERS, "FORTNIGHT", 1, 1)])
    assert limits.order_budget(START).orders == 70


def test_a_block_stops_everything_until_it_ends_and_a_ban_is_told_apart() -> None:
    limits = RateLimits()
    limits.block(START + 5_000, banned=True)
    limits.block(START + 1_000, banned=False)
    assert limits.order_budget(START) == OrderBudget(orders=0, refill_at_ms=START + 5_000)
    assert limits.blocked_until(START + 4_999) == START + 5_000
    assert limits.banned(START)
    assert limits.blocked_until(START + 5_000) is None
    assert not limits.banned(START + 5_000)
    assert limits.order_budget(START + 5_000).orders == 240


def test_weight_waits_for_the_next_minute_and_urgent_requests_use_the_reserve() -> None:
    limits = RateLimits()
    limits.spend(REQUEST_WEIGHT, 1_915, START + 1_000)
    assert limits.weight_wait_ms(5, START + 1_000) == 0
    assert limits.weight_wait_ms(6, START + 1_000) == 59_050
    assert limits.weight_wait_ms(6, START + 1_000, urgent=True) == 0


def test_a_limit_names_its_header_and_reads_from_json() -> None:
    text = b'{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300,"count":4}'
    limit = msgspec.json.decode(text, type=RateLimit)
    assert (limit.header, limit.interval_ms, limit.count) == ("X-MBX-ORDER-COUNT-10S", 10_000, 4)
    assert msgspec.json.decode(msgspec.json.encode(FUTURES_LIMITS[0])) == {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": 2400,
    }


@given(st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 300)), max_size=40))
def test_spending_within_the_budget_never_reaches_a_limit(steps: list[tuple[int, int]]) -> None:
    limits, now, sent = RateLimits(), START, []
    for delay, wanted in steps:
        now += delay
        amount = min(wanted, limits.order_budget(now).orders)
        limits.spend(ORDERS, amount, now)
        sent.append((now, amount))
    for interval, limit in ((10_000, 300), (MINUTE, 1_200)):
        windows: dict[int, int] = {}
        for time, amount in sent:
            windows[time // interval] = windows.get(time // interval, 0) + amount
        assert max(windows.values(), default=0) <= limit * 80 // 100

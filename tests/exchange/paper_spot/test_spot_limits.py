"""Spot's own limits: weight, raw requests, unfilled orders; futures have theirs beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.exchange.paper_server.raw_client import SYMBOL, RawRest, raw_rest
from tests.exchange.paper_spot.spot_rest import listed, place_resting, resting_order
from trio_grid.exchange.paper.build import build_exchange
from trio_grid.exchange.paper.engine.exchange import AccountSpec
from trio_grid.exchange.paper.server.request_limits import SPOT_SETTINGS, LimitRefusal, LimitSettings, RequestLimits
from trio_grid.exchange.protocol.rate_limits import RateLimit
from trio_grid.testing.paper import START_MS, PaperHandle, open_paper_exchange

WEIGHTS: list[tuple[str, dict[str, object], int]] = [
    ("/api/v3/ping", {}, 1), ("/api/v3/exchangeInfo", {}, 20),
    ("/api/v3/klines", {"symbol": SYMBOL, "interval": "1m"}, 2),
    ("/api/v3/depth", {"symbol": SYMBOL}, 5), ("/api/v3/depth", {"symbol": SYMBOL, "limit": 101}, 25),
    ("/api/v3/depth", {"symbol": SYMBOL, "limit": 501}, 50), ("/api/v3/depth", {"symbol": SYMBOL, "limit": 5000}, 250),
    ("/api/v3/trades", {"symbol": SYMBOL}, 25), ("/api/v3/aggTrades", {"symbol": SYMBOL}, 4),
    ("/api/v3/ticker/24hr", {"symbol": SYMBOL}, 2), ("/api/v3/ticker/24hr", {}, 80),
    ("/api/v3/ticker/24hr", {"symbols": listed(SYMBOL)}, 2), ("/api/v3/ticker", {"symbol": SYMBOL}, 4),
    ("/api/v3/ticker/price", {"symbol": SYMBOL}, 2), ("/api/v3/ticker/price", {}, 4),
]  # fmt: skip
SIGNED_WEIGHTS: list[tuple[str, dict[str, object], int]] = [
    ("/api/v3/account", {}, 20), ("/api/v3/openOrders", {"symbol": SYMBOL}, 6), ("/api/v3/openOrders", {}, 80),
    ("/api/v3/allOrders", {"symbol": SYMBOL}, 20), ("/api/v3/myTrades", {"symbol": SYMBOL}, 20),
    ("/api/v3/myTrades", {"symbol": SYMBOL, "orderId": 1}, 5), ("/api/v3/rateLimit/order", {}, 40),
    ("/api/v3/myPreventedMatches", {"symbol": SYMBOL, "orderId": 1}, 20),
    ("/api/v3/myPreventedMatches", {"symbol": SYMBOL, "preventedMatchId": 1}, 2),
]  # fmt: skip


async def unfilled(rest: RawRest) -> list[int]:
    return [row["count"] for row in await rest.ask("GET", "/api/v3/rateLimit/order")]


async def test_each_request_has_its_weight_on_a_counter_of_spots_own(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        futures = await rest.http.get("/fapi/v1/ping")
        used = 0
        for path, params, weight in WEIGHTS:
            query = "&".join(f"{name}={value}" for name, value in params.items())
            answer = await rest.http.get(f"{path}?{query}")
            used += weight
            assert (answer.status_code, answer.headers["x-mbx-used-weight-1m"]) == (200, str(used)), path
            assert answer.headers["x-mbx-used-weight"] == str(used)
        for path, params, weight in SIGNED_WEIGHTS:
            answer = await rest.send("GET", path, **params)
            used += weight
            assert (answer.status_code, answer.headers["x-mbx-used-weight-1m"]) == (200, str(used)), path
        again = await rest.http.get("/fapi/v1/ping")
    assert int(again.headers["x-mbx-used-weight-1m"]) == int(futures.headers["x-mbx-used-weight-1m"]) + 1
    assert "x-mbx-used-weight" not in again.headers


async def test_an_order_counts_until_it_trades_and_not_when_it_is_refused(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        order = await resting_order(rest)
        first = await rest.send("POST", "/api/v3/order", **order)
        assert [first.headers[f"x-mbx-order-count-{window}"] for window in ("10s", "1d")] == ["1", "1"]
        refused = await rest.send("POST", "/api/v3/order", **order | {"quantity": "0"})
        assert (refused.status_code, await unfilled(rest)) == (400, [1, 1])
        market = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.5", "newOrderRespType": "FULL"}
        poor = await rest.send("POST", "/api/v3/order", **market)
        assert (poor.json()["code"], await unfilled(rest)) == (-2010, [1, 1])
        taken = await rest.send("POST", "/api/v3/order", **market | {"quantity": "0.15"})
        assert len(taken.json()["fills"]) > 1, "several trades of one order count once"
        assert await unfilled(rest) == [1, 1]
        # What was not tried for the sake of the other part still counts.
        replace = {**order, "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": 1}
        assert (await rest.send("POST", "/api/v3/order/cancelReplace", **replace)).status_code == 400
        assert await unfilled(rest) == [2, 2]


async def test_too_many_unfilled_orders_are_refused(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        order = await resting_order(rest)
        limits = paper_exchange.server.spot_limits
        now_ms = paper_exchange.now_ms()
        limits.spend_orders("testkey", (99, 99), now_ms)
        assert (await rest.send("POST", "/api/v3/order", **order)).status_code == 200
        over = await rest.send("POST", "/api/v3/order", **order)
    assert over.status_code == 429
    assert over.json() == {"code": -1015, "msg": "Too many new orders; current limit is 100 orders per 10 SECOND."}
    assert 1 <= int(over.headers["retry-after"]) <= 10


def limits_of(**changes: Any) -> RequestLimits:
    return RequestLimits(msgspec.structs.replace(SPOT_SETTINGS, **changes))


def refusal(limits: RequestLimits, now_ms: int) -> LimitRefusal:
    with pytest.raises(LimitRefusal) as caught:
        limits.spend_weight("here", 1, now_ms)
    return caught.value


def test_the_words_of_a_spent_weight_are_spots() -> None:
    limits = limits_of(weight=RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 2), refusals_before_ban=1)
    for _ in range(2):
        limits.spend_weight("here", 1, 60_000)
    over = refusal(limits, 60_001)
    assert (over.status, over.message.partition(".")[0], over.retry_after_s) == (
        429, "Too much request weight used; current limit is 2 request weight per 1 MINUTE", 60,
    )  # fmt: skip
    banned = refusal(limits, 60_002)
    assert (banned.status, banned.message.partition(".")[0]) == (
        418, "Way too much request weight used; IP banned until 180002",
    )  # fmt: skip


def test_requests_of_no_weight_count_too() -> None:
    limits = limits_of(raw=RateLimit("RAW_REQUESTS", "MINUTE", 5, 3))
    for _ in range(3):
        limits.spend_weight("here", 0, 300_000)
    over = refusal(limits, 300_001)
    assert (over.status, over.message) == (429, "Too many requests; current limit is 3 requests per 5 MINUTE.")
    assert over.retry_after_s == 300
    assert limits.spend_weight("there", 1, 300_001) == 1
    assert limits.spend_weight("here", 1, 600_000) == 1


def test_limits_of_futures_are_as_they_were() -> None:
    limits = RequestLimits(LimitSettings())
    assert [row["rateLimitType"] for row in limits.settings.wire()] == ["REQUEST_WEIGHT", "ORDERS", "ORDERS"]


@asynccontextmanager
async def two_orders(handle: PaperHandle) -> AsyncIterator[RawRest]:
    async with raw_rest(handle) as rest:
        await place_resting(rest)
        await place_resting(rest, "SELL")
        yield rest


async def test_each_market_of_an_exchange_has_its_spot_symbol(autojump_clock: object) -> None:
    exchange = build_exchange(
        start_ms=START_MS, accounts=[AccountSpec(name="testkey")], history_minutes=2, further=["ETHUSDT"]
    )
    async with open_paper_exchange(exchange) as handle, two_orders(handle) as rest:
        info = await rest.get("/api/v3/exchangeInfo")
        prices = await rest.get("/api/v3/ticker/price", symbols=listed("ETHUSDT", "BTCUSDT"))
        account = await rest.ask("GET", "/api/v3/account")
        order = {"symbol": "ETHUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.5"}
        sold = await rest.ask("POST", "/api/v3/order", **order)
        opened = await rest.ask("GET", "/api/v3/openOrders")
    assert [row["symbol"] for row in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    assert [row["symbol"] for row in prices] == ["ETHUSDT", "BTCUSDT"]
    assert {row["asset"]: row["free"] for row in account["balances"] if row["asset"] != "USDT"} == {
        "BTC": "0.99900000",
        "ETH": "1.00000000",
    }
    assert (sold["status"], {row["symbol"] for row in opened}) == ("FILLED", {"BTCUSDT"})

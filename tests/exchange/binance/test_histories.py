"""Histories: pages follow each other with nothing missed and nothing doubled."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.exchange.binance.scripted_exchange import (
    START_MS,
    Fault,
    Http,
    HttpRequest,
    ScriptedExchange,
    bitcoin,
    client_of,
    order_body,
)

BITCOIN = bitcoin()
DAY_MS = 86_400_000


def trade(trade_id: int, time: int, order_id: int = 1) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT",
        "id": trade_id,
        "orderId": order_id,
        "side": "BUY",
        "price": "60000.0",
        "qty": "0.001",
        "realizedPnl": "0",
        "commission": "0.012",
        "commissionAsset": "USDT",
        "time": time,
        "maker": True,
    }


class Books:
    """Answers history requests as the exchange does: windows, ids, limits, ascending."""

    def __init__(self, exchange: ScriptedExchange) -> None:
        self.exchange = exchange
        self.trades: list[dict[str, Any]] = []
        self.orders: list[dict[str, Any]] = []
        self.income: list[dict[str, Any]] = []

    def __call__(self, request: HttpRequest) -> Http | Fault:
        params = request.params
        start, end = int(params.get("startTime", 0)), int(params.get("endTime", 2**62))
        limit = int(params.get("limit", 500))
        if "startTime" in params and "endTime" in params:
            assert end - start < 7 * DAY_MS
        if request.path == "/fapi/v1/userTrades":
            assert ("fromId" in params) + ("startTime" in params) + ("orderId" in params) <= 1
            rows = [
                row
                for row in self.trades
                if start <= row["time"] <= end
                and row["id"] >= int(params.get("fromId", 0))
                and params.get("orderId") in (None, str(row["orderId"]))
            ]
            return Http(rows[:limit])
        if request.path == "/fapi/v1/allOrders":
            first = int(params.get("orderId", 0))
            rows = [row for row in self.orders if start <= row["updateTime"] <= end and row["orderId"] >= first]
            return Http(rows[:limit])
        if request.path == "/fapi/v1/income":
            return Http([row for row in self.income if row["time"] >= start][:limit])
        return self.exchange.plain_rest(request)


@pytest.fixture
def books(autojump_clock: trio.testing.MockClock) -> Books:
    return Books.__new__(Books)


def scripted(books: Books) -> ScriptedExchange:
    exchange = ScriptedExchange()
    books.__init__(exchange)  # type: ignore[misc]
    exchange.rest = books
    return exchange


@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_001, 2_500])
async def test_trades_from_an_id_follow_all_pages(books: Books, count: int) -> None:
    exchange = scripted(books)
    books.trades = [trade(number, START_MS) for number in range(10, 10 + count)]
    async with client_of(exchange) as client:
        trades = await client.trades(BITCOIN, from_id=5)
    assert [item.trade_id for item in trades] == list(range(10, 10 + count))


@pytest.mark.parametrize("age_days", [0.5, 6.5, 8, 20, 80])
async def test_trades_since_a_time_are_found_however_long_ago(books: Books, age_days: float) -> None:
    exchange = scripted(books)
    first = START_MS - int(age_days * DAY_MS)
    times = [first + number * int(age_days * DAY_MS) // 1_500 for number in range(1_500)]
    books.trades = [trade(number, time) for number, time in enumerate(times)]
    async with client_of(exchange) as client:
        trades = await client.trades(BITCOIN, start_ms=START_MS - 85 * DAY_MS)
        late = await client.trades(BITCOIN, start_ms=times[700])
    assert [item.trade_id for item in trades] == list(range(1_500))
    assert [item.trade_id for item in late] == list(range(700, 1_500))


async def test_no_trades_since_a_time_is_an_answer(books: Books) -> None:
    exchange = scripted(books)
    async with client_of(exchange) as client:
        assert await client.trades(BITCOIN, start_ms=START_MS - 30 * DAY_MS) == ()


async def test_trades_of_one_order(books: Books) -> None:
    exchange = scripted(books)
    books.trades = [trade(number, START_MS, order_id=number % 3) for number in range(30)]
    async with client_of(exchange) as client:
        trades = await client.trades(BITCOIN, order_id=2)
        assert [item.trade_id for item in trades] == list(range(2, 30, 3))
        with pytest.raises(ValueError, match="at most one"):
            await client.trades(BITCOIN, order_id=2, from_id=1)


@pytest.mark.parametrize("count", [0, 3, 1_000, 2_300])
async def test_orders_since_a_time_follow_all_pages(books: Books, count: int) -> None:
    exchange = scripted(books)
    books.orders = [order_body(orderId=number, updateTime=START_MS - 1_000) for number in range(1, count + 1)]
    async with client_of(exchange) as client:
        orders = await client.orders_since(BITCOIN, START_MS - 30 * DAY_MS)
    assert [order.order_id for order in orders] == list(range(1, count + 1))


def funding(number: int, time: int, symbol: str = "BTCUSDT") -> dict[str, Any]:
    return {
        "symbol": symbol,
        "incomeType": "FUNDING_FEE",
        "income": "-0.01",
        "asset": "USDT",
        "time": time,
        "tranId": number,
        "tradeId": "",
    }


@pytest.mark.parametrize("count", [0, 5, 1_000, 2_200])
async def test_funding_follows_all_pages_and_counts_each_record_once(books: Books, count: int) -> None:
    exchange = scripted(books)
    books.income = [funding(number, START_MS - 10_000 + number // 3) for number in range(count)]
    async with client_of(exchange) as client:
        records = await client.funding(BITCOIN, START_MS - 20_000)
    assert [record.record_id for record in records] == list(range(count))


async def test_klines_ask_for_what_is_wanted(books: Books) -> None:
    exchange = ScriptedExchange()
    row = [START_MS, "1.0", "3.0", "0.5", "2.0", "9.001", START_MS + 59_999, "0", 1, "0", "0", "0"]
    exchange.rest = lambda request: Http([row]) if request.path.endswith("klines") else exchange.plain_rest(request)
    async with client_of(exchange) as client:
        (kline,) = await client.klines(BITCOIN, limit=2_000, start_ms=START_MS, end_ms=START_MS + 1)
        assert not kline.closed
        await client.klines(BITCOIN, limit=0)
    first, second = exchange.seen("/fapi/v1/klines")
    assert first.params == {
        "symbol": "BTCUSDT",
        "interval": "1m",
        "limit": "1500",
        "startTime": str(START_MS),
        "endTime": str(START_MS + 1),
    }
    assert second.params == {"symbol": "BTCUSDT", "interval": "1m", "limit": "1"}

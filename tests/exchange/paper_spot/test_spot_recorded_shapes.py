"""Spot's answers and streams against the exchange's own examples: names and types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.exchange.paper_server.raw_client import SYMBOL, raw_rest, raw_socket
from tests.exchange.paper_spot.spot_rest import API, place_resting, resting_order, with_hmac
from trio_grid.testing.paper import PaperHandle

EXAMPLES = Path(__file__).parents[4] / "shared/payloads/official_examples/spot"
RECORDED = EXAMPLES.parents[1] / "recorded_user_stream.jsonl"

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the recorded examples are not part of the repository"),
]

# What an order has only when it uses it: pegs, smart order routing, trailing stops, icebergs, strategies, prevention.
OPTIONAL = {
    "expiryReason", "icebergQty", "listStatus", "pegOffsetType", "pegOffsetValue", "pegPriceType", "peggedPrice",
    "preventedMatchId", "preventedQuantity", "stopPrice", "strategyId", "strategyType", "trailingDelta", "trailingTime",
    "usedSor", "workingFloor", "sors",
}  # fmt: skip
READS: dict[str, tuple[str, dict[str, object]]] = {
    "agg_trades": ("aggTrades", {}), "avg_price": ("avgPrice", {}), "depth": ("depth", {}),
    "get_trades": ("trades", {}), "historical_trades": ("historicalTrades", {}), "ticker": ("ticker", {}),
    "ticker24hr": ("ticker/24hr", {}), "ticker_book_ticker": ("ticker/bookTicker", {}),
    "ticker_price": ("ticker/price", {}), "ticker_trading_day": ("ticker/tradingDay", {}),
}  # fmt: skip
STREAMS = {
    "agg_trade": "btcusdt@aggTrade", "avg_price": "btcusdt@avgPrice", "book_ticker": "btcusdt@bookTicker",
    "diff_book_depth": "btcusdt@depth@100ms", "kline": "btcusdt@kline_1m", "mini_ticker": "btcusdt@miniTicker",
    "partial_book_depth": "btcusdt@depth5", "rolling_window_ticker": "btcusdt@ticker_1h", "ticker": "btcusdt@ticker",
    "trade": "btcusdt@trade", "all_mini_ticker": "!miniTicker@arr",
}  # fmt: skip


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}_success.json").read_text())["response"]


def differences(own: Any, theirs: Any, place: str = "") -> list[str]:
    """What the example has and ours has not, or has of another type. The examples leave out many texts."""
    if isinstance(theirs, dict):
        if not isinstance(own, dict):
            return [f"{place} is no object"]
        missing = [f"{place}.{name}" for name in theirs if name not in own and name not in OPTIONAL]
        inner = [differences(own[name], theirs[name], f"{place}.{name}") for name in theirs if name in own]
        return missing + [one for found in inner for one in found]
    if isinstance(theirs, list):
        if not isinstance(own, list):
            return [f"{place} is no list"]
        return differences(own[0], theirs[0], f"{place}[]") if own and theirs else []
    return [] if type(own) is type(theirs) else [f"{place} is {type(own).__name__}"]


@pytest.mark.parametrize("name", READS)
async def test_public_answers_have_the_examples_names_and_types(
    autojump_clock: object, paper_exchange: PaperHandle, name: str
) -> None:
    path, params = READS[name]
    async with raw_rest(paper_exchange) as rest:
        body = await rest.get(f"/api/v3/{path}", symbol=SYMBOL, **params)
    assert differences(body, example(f"rest_api__{name}")) == []


async def test_private_answers_have_the_examples_names_and_types(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    found: dict[str, Any] = {}
    async with raw_rest(paper_exchange) as rest:
        market = {"symbol": SYMBOL, "side": "SELL", "type": "MARKET", "quantity": "0.01"}
        found["new_order"] = await rest.ask("POST", "/api/v3/order", **market)
        one = {"symbol": SYMBOL, "orderId": (await place_resting(rest))["orderId"]}
        found["get_order"] = await rest.ask("GET", "/api/v3/order", **one)
        found["get_open_orders"] = await rest.ask("GET", "/api/v3/openOrders")
        found["order_amend_keep_priority"] = await rest.ask(
            "PUT", "/api/v3/order/amend/keepPriority", **one, newQty="0.0009"
        )
        found["order_amendments"] = await rest.ask("GET", "/api/v3/order/amendments", **one)
        new = await resting_order(rest, cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=one["orderId"])
        found["order_cancel_replace"] = await rest.ask("POST", "/api/v3/order/cancelReplace", **new)
        found["delete_open_orders"] = await rest.ask("DELETE", "/api/v3/openOrders", symbol=SYMBOL)
        again = await place_resting(rest)
        found["delete_order"] = await rest.ask("DELETE", "/api/v3/order", symbol=SYMBOL, orderId=again["orderId"])
        found["all_orders"] = await rest.ask("GET", "/api/v3/allOrders", symbol=SYMBOL)
        found["my_trades"] = await rest.ask("GET", "/api/v3/myTrades", symbol=SYMBOL)
        found["get_account"] = await rest.ask("GET", "/api/v3/account")
        found["account_commission"] = await rest.ask("GET", "/api/v3/account/commission", symbol=SYMBOL)
        found["rate_limit_order"] = await rest.ask("GET", "/api/v3/rateLimit/order")
    faults = {name: differences(body, example(f"rest_api__{name}")) for name, body in found.items()}
    assert {name: rows for name, rows in faults.items() if rows} == {}


@pytest.mark.parametrize("name", STREAMS)
async def test_streams_have_the_examples_names_and_types(
    autojump_clock: object, paper_exchange: PaperHandle, name: str
) -> None:
    async with raw_socket(paper_exchange, f"/spot/ws/{STREAMS[name]}") as socket:
        with trio.fail_after(60):
            payload = await socket.receive()
    assert differences(payload, example(f"websocket_streams__{name}")) == []


async def test_a_report_has_the_recorded_ones_names_in_their_order(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    recorded = next(
        row["event"]["event"]
        for row in map(json.loads, RECORDED.read_text().splitlines())
        if row["event"].get("event", {}).get("e") == "executionReport"
    )
    async with raw_rest(paper_exchange) as rest, raw_socket(paper_exchange, API) as socket:
        params = with_hmac({"timestamp": paper_exchange.now_ms()})
        await socket.request({"id": 1, "method": "userDataStream.subscribe.signature", "params": params})
        await rest.ask("POST", "/api/v3/order", symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.001")
        with trio.fail_after(10):
            while (report := (await socket.receive())["event"])["x"] != "TRADE":
                pass
    assert list(report) == list(recorded)
    assert differences(report, recorded) == []

"""Placing and cancelling: what reaches the wire, and what each answer becomes."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
import trio
import trio_websocket

from tests.exchange.binance.order_scripts import BITCOIN, WsApi, accepted, assert_signed, limit, refusal
from tests.exchange.binance.scripted_exchange import (
    Fault,
    Http,
    HttpRequest,
    ScriptedExchange,
    client_of,
    order_body,
)
from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.events import (
    CancelAcknowledged,
    CancelOutcomeLost,
    CancelRefused,
    OrderAcknowledged,
    OrderRefused,
    RejectReason,
    Side,
)

FLAGS = [
    pytest.param(
        limit(),
        {"side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "price": "60000", "reduceOnly": "false"},
        id="post-only opening",
    ),
    pytest.param(
        limit(side=Side.SELL, post_only=False, reduce_only=True, price_ticks=600_001),
        {"side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "price": "60000.1", "reduceOnly": "true"},
        id="reduce-only closing",
    ),
    pytest.param(
        limit(side=Side.SELL, reduce_only=True),
        {"side": "SELL", "type": "LIMIT", "timeInForce": "GTX", "price": "60000", "reduceOnly": "true"},
        id="post-only and reduce-only closing",
    ),
    pytest.param(
        limit(post_only=False),
        {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "60000", "reduceOnly": "false"},
        id="plain",
    ),
    pytest.param(
        limit(side=Side.SELL, price_ticks=None, post_only=False, reduce_only=True),
        {"side": "SELL", "type": "MARKET", "reduceOnly": "true", "newOrderRespType": "RESULT"},
        id="market",
    ),
]


@pytest.mark.parametrize(("order", "expected"), FLAGS)
async def test_s18_every_flag_of_an_order_reaches_the_websocket(
    autojump_clock: trio.testing.MockClock, order: PlaceOrder, expected: dict[str, str]
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = WsApi(accepted)
    async with client_of(exchange) as client:
        (result,) = await client.place(BITCOIN, [order])
    assert isinstance(result, OrderAcknowledged)
    (request,) = server.requests
    params = request["params"]
    assert request["method"] == "order.place"
    assert_signed(params)
    sent = {key: params[key] for key in params if key not in ("apiKey", "signature", "timestamp", "recvWindow")}
    assert sent == {
        "symbol": "BTCUSDT",
        "quantity": "0.002",
        "newClientOrderId": "id-1",
        "newOrderRespType": "ACK",
        **expected,
    }
    assert (params["recvWindow"], type(params["timestamp"])) == (5_000, int)


@pytest.mark.parametrize(("order", "expected"), FLAGS)
async def test_s18_every_flag_of_an_order_reaches_the_wire_by_rest(
    autojump_clock: trio.testing.MockClock, order: PlaceOrder, expected: dict[str, str]
) -> None:
    exchange = ScriptedExchange()

    def rest(request: HttpRequest) -> Http | Fault:
        return Http(order_body()) if request.method == "POST" else exchange.plain_rest(request)

    exchange.rest = rest
    async with client_of(exchange, wait=False) as client:
        # Nothing has run yet, so the WebSocket API is not connected: the orders of this decision are new intents.
        (result,) = await client.place(BITCOIN, [order])
    assert isinstance(result, OrderAcknowledged)
    (request,) = exchange.seen("/fapi/v1/order")
    query, _, signature = request.target.partition("?")[2].rpartition("&signature=")
    assert signature == hmac.new(b"testsecret", query.encode(), hashlib.sha256).hexdigest()
    assert request.headers["x-mbx-apikey"] == "testkey"
    own = {"signature", "timestamp", "recvWindow"}
    assert {key: value for key, value in request.params.items() if key not in own} == {
        "symbol": "BTCUSDT",
        "quantity": "0.002",
        "newClientOrderId": "id-1",
        "newOrderRespType": "ACK",
        **expected,
    }


async def test_all_orders_of_a_decision_leave_in_one_write_and_answers_may_come_in_any_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    waiting: list[dict[str, Any]] = []

    async def backwards(connection: trio_websocket.WebSocketConnection, path: str) -> None:
        while True:
            waiting.append(json.loads(await connection.get_message()))
            if len(waiting) == 40:
                for request in reversed(waiting):
                    await connection.send_message(json.dumps({"id": request["id"], **accepted(request)}))

    exchange.websocket = backwards
    async with client_of(exchange) as client:
        (stream,) = [stream for stream in exchange.streams if b"upgrade: websocket" in stream.writes[0].lower()]
        writes = len(stream.writes)
        results = await client.place(BITCOIN, [limit(f"id-{number}") for number in range(40)])
        assert len(stream.writes) == writes + 1
    assert [result.order.client_order_id for result in results if isinstance(result, OrderAcknowledged)] == [
        f"id-{number}" for number in range(40)
    ]


@pytest.mark.parametrize(
    ("answer", "reason", "code"),
    [
        (refusal(400, -5022, "would take"), RejectReason.POST_ONLY, -5022),
        (refusal(400, -2022, "ReduceOnly Order is rejected."), RejectReason.REDUCE_ONLY, -2022),
        (refusal(400, -4118, "ReduceOnly Order Failed."), RejectReason.REDUCE_ONLY, -4118),
        (refusal(400, -2019, "Margin is insufficient."), RejectReason.MARGIN, -2019),
        (refusal(400, -4164, "notional"), RejectReason.FILTER, -4164),
        (refusal(400, -2025, "Reach max open order limit."), RejectReason.OPEN_ORDERS, -2025),
        (
            refusal(429, -1015, "Too many new orders; current limit is 300 orders per 10 SECOND."),
            RejectReason.RATE,
            -1015,
        ),
        (refusal(503, -1008, "Request throttled by system-level protection."), RejectReason.OVERLOAD, -1008),
        (refusal(503, -1001, "Internal error; unable to process your request."), RejectReason.OVERLOAD, -1001),
        (refusal(400, -4061, "position side"), RejectReason.MODE, -4061),
        (refusal(400, -4120, "algo"), RejectReason.OTHER, -4120),
    ],
)
async def test_a_refusal_is_typed(
    autojump_clock: trio.testing.MockClock, answer: dict[str, Any], reason: RejectReason, code: int
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = WsApi(lambda request: answer)
    async with client_of(exchange) as client:
        (result,) = await client.place(BITCOIN, [limit()])
    assert isinstance(result, OrderRefused)
    assert (result.client_order_id, result.reason, result.code) == ("id-1", reason, code)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refusal(400, -2011, "Unknown order sent."), CancelRefused),
        (refusal(400, -4061, "anything else"), CancelRefused),
        (refusal(503, -1008, "throttled"), CancelOutcomeLost),
        (refusal(503, -1000, "Unknown error, please check your request or try again later."), CancelOutcomeLost),
        (refusal(429, -1003, "Too many requests"), CancelOutcomeLost),
        (refusal(400, -1021, "Timestamp"), CancelOutcomeLost),
        ({"status": 200, "result": {}}, CancelOutcomeLost),
        (None, CancelOutcomeLost),
    ],
    ids=lambda value: str(value)[:50],
)
@pytest.mark.parametrize("by_rest", [False, True], ids=["websocket", "rest"])
async def test_f7_answers_to_a_cancel(
    autojump_clock: trio.testing.MockClock, answer: dict[str, Any] | None, expected: type, by_rest: bool
) -> None:
    exchange = ScriptedExchange()

    def rest(request: HttpRequest) -> Http | Fault:
        if request.method != "DELETE":
            return exchange.plain_rest(request)
        if answer is None:
            return Fault.HANG
        return Http(answer.get("error", answer.get("result")), answer["status"])

    exchange.rest, exchange.websocket = rest, WsApi(lambda request: answer)
    async with client_of(exchange, wait=not by_rest) as client:
        (result,) = await client.cancel(BITCOIN, [CancelOrder(client_order_id="id-1")])
    assert type(result) is expected
    assert not isinstance(result, CancelAcknowledged)
    assert result.client_order_id == "id-1"
    assert bool(exchange.seen("/fapi/v1/order")) is by_rest


@pytest.mark.parametrize("by_rest", [False, True], ids=["websocket", "rest"])
async def test_a_cancel_brings_the_exchanges_last_record(autojump_clock: trio.testing.MockClock, by_rest: bool) -> None:
    exchange = ScriptedExchange()
    final = order_body(status="CANCELED", executedQty="0.001")

    def rest(request: HttpRequest) -> Http | Fault:
        return Http(final) if request.method == "DELETE" else exchange.plain_rest(request)

    exchange.rest, exchange.websocket = rest, WsApi(lambda request: {"status": 200, "result": final})
    async with client_of(exchange, wait=not by_rest) as client:
        (result,) = await client.cancel(BITCOIN, [CancelOrder(client_order_id="id-1")])
    assert isinstance(result, CancelAcknowledged)
    assert (result.order.executed_lots, result.order.quantity_lots) == (1, 2)
    assert result.order.status.is_terminal


async def test_cancels_and_new_orders_of_a_decision_leave_in_one_write_cancels_first(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = WsApi(accepted)
    cancels = [CancelOrder(client_order_id=f"old-{number}") for number in range(7)]
    orders = [limit(f"new-{number}") for number in range(7)]
    async with client_of(exchange) as client:
        (stream,) = [stream for stream in exchange.streams if b"upgrade: websocket" in stream.writes[0].lower()]
        before = len(stream.writes)
        cancelled, placed = await client.send(BITCOIN, cancels, orders)
        assert len(stream.writes) == before + 1
    assert [type(result) for result in cancelled] == [CancelAcknowledged] * 7
    assert [type(result) for result in placed] == [OrderAcknowledged] * 7
    names = [result.order.client_order_id for result in cancelled if isinstance(result, CancelAcknowledged)]
    names += [result.order.client_order_id for result in placed if isinstance(result, OrderAcknowledged)]
    assert names == [*(f"old-{number}" for number in range(7)), *(f"new-{number}" for number in range(7))]
    assert [request["method"] for request in server.requests] == ["order.cancel"] * 7 + ["order.place"] * 7


async def test_cancels_and_new_orders_by_rest_go_cancels_first(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()

    def rest(request: HttpRequest) -> Http | Fault:
        if request.path != "/fapi/v1/order":
            return exchange.plain_rest(request)
        name = request.params.get("newClientOrderId") or request.params["origClientOrderId"]
        return Http(order_body(clientOrderId=name, status="NEW" if request.method == "POST" else "CANCELED"))

    exchange.rest = rest
    cancels = [CancelOrder(client_order_id=f"old-{number}") for number in range(5)]
    async with client_of(exchange, wait=False) as client:
        cancelled, placed = await client.send(BITCOIN, cancels, [limit("new")])
    assert [type(result) for result in cancelled] == [CancelAcknowledged] * 5
    assert [type(result) for result in placed] == [OrderAcknowledged]
    assert [request.method for request in exchange.seen("/fapi/v1/order")] == ["DELETE"] * 5 + ["POST"]

"""Placing and cancelling: what reaches the wire, and what each answer, or its absence, becomes."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio_websocket

from tests.exchange.binance.scripted_exchange import (
    Fault,
    Http,
    HttpRequest,
    ScriptedExchange,
    bitcoin,
    client_of,
    order_body,
)
from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.events import (
    CancelAcknowledged,
    CancelOutcomeLost,
    CancelRefused,
    OrderAcknowledged,
    OrderNotSent,
    OrderOutcomeLost,
    OrderRefused,
    RejectReason,
    Side,
)
from trio_grid.errors import Banned, CredentialsRefused, RateLimited
from trio_grid.testing.memory_network import Direction

BITCOIN = bitcoin()
REFUSED_FLAG = (-2022, "ReduceOnly Order is rejected.")


def limit(name: str = "id-1", **changes: Any) -> PlaceOrder:
    fields: dict[str, Any] = {
        "client_order_id": name,
        "side": Side.BUY,
        "quantity_lots": 2,
        "price_ticks": 600_000,
        "post_only": True,
        "reduce_only": False,
    }
    return PlaceOrder(**{**fields, **changes})


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


class WsApi:
    """The server's side of the WebSocket API in a test: keeps each request, answers by a function of it."""

    def __init__(self, answer: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
        self.answer = answer
        self.requests: list[dict[str, Any]] = []

    async def __call__(self, connection: trio_websocket.WebSocketConnection, path: str) -> None:
        while True:
            request = json.loads(await connection.get_message())
            self.requests.append(request)
            answer = self.answer(request)
            if answer is not None:
                await connection.send_message(json.dumps({"id": request["id"], **answer}))


def accepted(request: dict[str, Any]) -> dict[str, Any]:
    params = request["params"]
    name = params.get("newClientOrderId") or params["origClientOrderId"]
    status = "NEW" if request["method"] == "order.place" else "CANCELED"
    return {"status": 200, "result": order_body(clientOrderId=name, status=status)}


def refusal(status: int, code: int, message: str, **data: Any) -> dict[str, Any]:
    return {"status": status, "error": {"code": code, "msg": message, **({"data": data} if data else {})}}


def assert_signed(params: dict[str, Any]) -> None:
    payload = "&".join(f"{key}={params[key]}" for key in sorted(params) if key != "signature")
    assert params["signature"] == hmac.new(b"testsecret", payload.encode(), hashlib.sha256).hexdigest()
    assert params["apiKey"] == "testkey"


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
        (refusal(400, *REFUSED_FLAG), RejectReason.REDUCE_ONLY, -2022),
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
    "answer",
    [
        refusal(503, -1000, "Unknown error, please check your request or try again later."),
        refusal(408, -1007, "Timeout waiting for response from backend server."),
        refusal(400, -1006, "An unexpected response was received from the message bus."),
        refusal(500, -1000, "An unknown error occurred while processing the request."),
        refusal(400, -4116, "ClientOrderId is duplicated."),
        {"status": 200, "result": {"symbol": "BTCUSDT"}},
        {"status": 200},
        {"status": 502},
        {"result": None},
    ],
    ids=lambda answer: json.dumps(answer)[:60],
)
async def test_f1_an_answer_that_proves_nothing_leaves_the_outcome_open(
    autojump_clock: trio.testing.MockClock, answer: dict[str, Any]
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = WsApi(lambda request: answer)
    async with client_of(exchange) as client:
        (result,) = await client.place(BITCOIN, [limit()])
    assert isinstance(result, OrderOutcomeLost)
    assert result.request_time_ms == server.requests[0]["params"]["timestamp"]
    assert result.recv_window_ms == 5_000
    assert len(server.requests) == 1
    assert exchange.seen("/fapi/v1/order") == []


async def test_f1_a_timeout_is_unknown_and_is_not_repeated_by_rest(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = WsApi(
        lambda request: accepted(request) if request["params"]["newClientOrderId"] == "id-1" else None
    )
    async with client_of(exchange) as client:
        started = trio.current_time()
        first, second = await client.place(BITCOIN, [limit("id-1"), limit("id-2")])
        assert trio.current_time() - started == pytest.approx(5.0)
        assert isinstance(first, OrderAcknowledged)
        assert isinstance(second, OrderOutcomeLost)
        assert second.request_time_ms == server.requests[1]["params"]["timestamp"]
        assert exchange.seen("/fapi/v1/order") == []


async def test_r4_a_lost_connection_makes_everything_in_flight_unknown_and_new_intents_go_by_rest(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()

    async def dies(connection: trio_websocket.WebSocketConnection, path: str) -> None:
        await connection.get_message()

    def rest(request: HttpRequest) -> Http | Fault:
        if request.method == "POST":
            return Http(order_body(clientOrderId=request.params["newClientOrderId"]))
        return exchange.plain_rest(request)

    exchange.websocket, exchange.rest = dies, rest
    async with client_of(exchange) as client:
        lost = await client.place(BITCOIN, [limit("id-1"), limit("id-2")])
        assert [type(result) for result in lost] == [OrderOutcomeLost, OrderOutcomeLost]
        assert exchange.seen("/fapi/v1/order") == []
        (fresh,) = await client.place(BITCOIN, [limit("id-3")])
        assert isinstance(fresh, OrderAcknowledged)
        assert [request.params["newClientOrderId"] for request in exchange.seen("/fapi/v1/order")] == ["id-3"]


async def test_the_websocket_api_reconnects_by_itself(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = WsApi(accepted)
    async with client_of(exchange) as client:
        exchange.network.cut("client")
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(1)
        await client.wait_order_entry()
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderAcknowledged)
        assert exchange.seen("/fapi/v1/order") == []
    assert exchange.websocket_paths == ["/ws-fapi/v1", "/ws-fapi/v1"]


async def test_without_any_connection_nothing_is_sent_and_the_result_says_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    async with client_of(exchange) as client:
        exchange.network.refuse("client")
        exchange.network.cut("client")
        await trio.testing.wait_all_tasks_blocked()
        placed = await client.place(BITCOIN, [limit("id-1"), limit("id-2")])
        cancelled = await client.cancel(BITCOIN, [CancelOrder(client_order_id="id-3")])
    assert [type(result) for result in placed] == [OrderNotSent, OrderNotSent]
    assert [type(result) for result in cancelled] == [CancelOutcomeLost]


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.CUT, Fault.HALF])
async def test_f1_a_rest_order_without_an_answer_is_unknown(
    autojump_clock: trio.testing.MockClock, fault: Fault
) -> None:
    exchange = ScriptedExchange()

    def rest(request: HttpRequest) -> Http | Fault:
        return fault if request.method == "POST" else exchange.plain_rest(request)

    exchange.rest = rest
    async with client_of(exchange, wait=False) as client:
        (result,) = await client.place(BITCOIN, [limit()])
    assert isinstance(result, OrderOutcomeLost)
    assert str(result.request_time_ms) == exchange.seen("/fapi/v1/order")[0].params["timestamp"]
    assert len(exchange.seen("/fapi/v1/order")) == 1


async def test_a_late_answer_is_counted_and_disturbs_nobody(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()

    async def late(connection: trio_websocket.WebSocketConnection, path: str) -> None:
        first = json.loads(await connection.get_message())
        second = json.loads(await connection.get_message())
        await connection.send_message("not json")
        for request in (first, second):
            await connection.send_message(json.dumps({"id": request["id"], **accepted(request)}))
        await trio.sleep_forever()

    exchange.websocket = late
    async with client_of(exchange) as client:
        (lost,) = await client.place(BITCOIN, [limit("id-1")])
        (placed,) = await client.place(BITCOIN, [limit("id-2")])
    assert isinstance(lost, OrderOutcomeLost)
    assert isinstance(placed, OrderAcknowledged)
    assert placed.order.client_order_id == "id-2"
    assert client.ignored == {"malformed answer": 1, "answer to no open request": 1}


async def test_f10_a_ban_is_raised_and_then_nothing_is_sent_until_it_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    ban = refusal(418, -1003, f"Way too many requests; IP banned until {exchange.now_ms() + 90_000}.")
    exchange.websocket = server = WsApi(lambda request: ban)
    async with client_of(exchange) as client:
        with pytest.raises(Banned) as caught:
            await client.place(BITCOIN, [limit()])
        assert caught.value.retry_after_s == pytest.approx(90, abs=0.1)
        assert client.order_budget().orders == 0
        server.answer = accepted
        requests = len(exchange.requests)
        (held,) = await client.place(BITCOIN, [limit("id-2")])
        (cancel,) = await client.cancel(BITCOIN, [CancelOrder(client_order_id="id-3")])
        with pytest.raises(Banned):
            await client.open_orders(BITCOIN)
        assert isinstance(held, OrderNotSent)
        assert isinstance(cancel, CancelOutcomeLost)
        assert (len(server.requests), len(exchange.requests)) == (1, requests)
        await trio.sleep(90)
        (placed,) = await client.place(BITCOIN, [limit("id-4")])
        assert isinstance(placed, OrderAcknowledged)


async def test_f11_too_many_orders_stops_orders_until_the_window_ends_and_lets_cancels_go(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    refused = refusal(429, -1015, "Too many new orders; current limit is 300 orders per 10 SECOND.")
    exchange.websocket = server = WsApi(
        lambda request: refused if request["method"] == "order.place" else accepted(request)
    )
    async with client_of(exchange) as client:
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderRefused)
        assert result.reason is RejectReason.RATE
        budget = client.order_budget()
        assert (budget.orders, budget.refill_at_ms) == (0, (client.now_ms() // 10_000 + 1) * 10_000)
        (cancelled,) = await client.cancel(BITCOIN, [CancelOrder(client_order_id="id-9")])
        assert isinstance(cancelled, CancelAcknowledged)
        assert server.requests[-1]["params"]["origClientOrderId"] == "id-9"


async def test_what_the_answer_says_about_when_to_come_back_counts(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    now_ms = exchange.now_ms()
    limited = refusal(429, -1003, "Too many requests", serverTime=now_ms, retryAfter=now_ms + 7_000)
    exchange.websocket = WsApi(lambda request: limited)
    async with client_of(exchange) as client:
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderRefused)
        assert client.order_budget().refill_at_ms == pytest.approx(client.now_ms() + 7_000, abs=5)


async def test_a_refused_key_is_raised(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = WsApi(lambda request: refusal(401, -2015, "Invalid API-key, IP, or permissions for action"))
    async with client_of(exchange) as client:
        with pytest.raises(CredentialsRefused, match="allowed addresses"):
            await client.place(BITCOIN, [limit()])
        with pytest.raises(CredentialsRefused):
            await client.cancel(BITCOIN, [CancelOrder(client_order_id="id-1")])


async def test_f9_a_clock_error_refuses_the_order_and_reads_the_clock_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = WsApi(lambda request: refusal(400, -1021, "Timestamp outside of the recvWindow."))
    async with client_of(exchange) as client:
        readings = len(exchange.seen("/fapi/v1/time"))
        exchange.clock_error_ms = 30_000
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderRefused)
        assert (result.reason, result.code) == (RejectReason.OVERLOAD, -1021)
        assert len(server.requests) == 1
        assert len(exchange.seen("/fapi/v1/time")) > readings
        assert client.now_ms() == exchange.now_ms()


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


async def test_orders_sent_count_against_the_budget_at_once(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    limits = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300, "count": 100}]
    exchange.websocket = WsApi(lambda request: {**accepted(request), "rateLimits": limits})
    async with client_of(exchange) as client:
        assert client.order_budget().orders == 240
        await client.place(BITCOIN, [limit("id-1"), limit("id-2")])
        assert client.order_budget().orders == 140


@pytest.mark.parametrize("counts", [None, [], [{"rateLimitType": "ORDERS"}], {"x": 1}, [7]])
async def test_counts_that_cannot_be_read_do_not_spoil_the_answer(
    autojump_clock: trio.testing.MockClock, counts: Any
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = WsApi(lambda request: {**accepted(request), "rateLimits": counts})
    async with client_of(exchange) as client:
        (result,) = await client.place(BITCOIN, [limit()])
    assert isinstance(result, OrderAcknowledged)
    assert client.ignored == ({} if counts == [] else {"malformed rateLimits": 1})


async def test_a_write_that_was_cut_off_ends_the_connection_for_what_follows(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = WsApi(accepted)
    async with client_of(exchange) as client:
        links = zip(exchange.network.links("client"), exchange.streams, strict=True)
        (link,) = [link for link, stream in links if b"upgrade: websocket" in stream.writes[0].lower()]
        link.stall(Direction.TO_SERVER)
        many = [limit(f"id-{number}") for number in range(2_000)]
        results = await client.place(BITCOIN, many)
        assert {type(result) for result in results} == {OrderOutcomeLost}
        await trio.sleep(2)
        await client.wait_order_entry()
        (result,) = await client.place(BITCOIN, [limit("id-after")])
        assert isinstance(result, OrderAcknowledged)


@pytest.mark.parametrize(
    ("answer", "expected", "reason"),
    [
        (Http({"code": -5022, "msg": "would take"}, 400), OrderRefused, RejectReason.POST_ONLY),
        (Http({"code": -1008, "msg": "Request throttled by system-level protection."}, 503), OrderRefused, "OVERLOAD"),
        (Http({"code": -1000, "msg": "Service Unavailable."}, 503), OrderRefused, "OVERLOAD"),
        (Http({"code": -1021, "msg": "Timestamp"}, 400), OrderRefused, "OVERLOAD"),
        (Http({"code": -1015, "msg": "Too many new orders; 1200 per 1 MINUTE."}, 429), OrderRefused, "RATE"),
        (Http({"code": -4116, "msg": "ClientOrderId is duplicated."}, 400), OrderOutcomeLost, None),
        (Http({"msg": "Unknown error, please check your request or try again later."}, 503), OrderOutcomeLost, None),
        (Http(b"<html>", 502), OrderOutcomeLost, None),
        (Http(b"", 504), OrderOutcomeLost, None),
        (Http({"orderId": 1}), OrderOutcomeLost, None),
    ],
)  # fmt: skip
async def test_what_rest_answers_to_an_order(
    autojump_clock: trio.testing.MockClock, answer: Http, expected: type, reason: str | None
) -> None:
    exchange = ScriptedExchange()

    def rest(request: HttpRequest) -> Http | Fault:
        return answer if request.method == "POST" else exchange.plain_rest(request)

    exchange.rest = rest
    async with client_of(exchange, wait=False) as client:
        (result,) = await client.place(BITCOIN, [limit()])
    assert type(result) is expected
    assert getattr(result, "reason", None) == reason
    assert len(exchange.seen("/fapi/v1/order")) == 1


async def test_one_order_of_many_by_rest_may_fail_alone(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()

    def rest(request: HttpRequest) -> Http | Fault:
        if request.method != "POST":
            return exchange.plain_rest(request)
        name = request.params["newClientOrderId"]
        return Fault.HANG if name == "id-3" else Http(order_body(clientOrderId=name))

    exchange.rest = rest
    async with client_of(exchange, wait=False) as client:
        results = await client.place(BITCOIN, [limit(f"id-{number}") for number in range(12)])
    lost = [number for number, result in enumerate(results) if isinstance(result, OrderOutcomeLost)]
    assert lost == [3]
    assert all(isinstance(result, OrderAcknowledged) for number, result in enumerate(results) if number != 3)
    assert len(exchange.seen("/fapi/v1/order")) == 12


async def test_f9_a_clock_that_cannot_be_read_again_does_not_hide_the_results(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = WsApi(lambda request: refusal(400, -1021, "Timestamp"))
    async with client_of(exchange) as client:
        exchange.rest = lambda request: Fault.CUT
        (result,) = await client.place(BITCOIN, [limit()])
    assert isinstance(result, OrderRefused)
    assert result.code == -1021


@pytest.mark.parametrize("data", [{"retryAfter": "soon"}, {"retryAfter": 5}, [1, 2], None])
async def test_f10_a_limit_without_a_readable_time_lasts_until_the_window_ends(
    autojump_clock: trio.testing.MockClock, data: Any
) -> None:
    exchange = ScriptedExchange()
    error = {"code": -1003, "msg": "Too many requests; current limit is 2400 requests per minute.", "data": data}
    exchange.websocket = WsApi(lambda request: {"status": 429, "error": error})
    async with client_of(exchange) as client:
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderRefused)
        assert client.order_budget().refill_at_ms == (client.now_ms() // 60_000 + 1) * 60_000


async def test_an_order_while_requests_are_blocked_is_certainly_not_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()

    def rest(request: HttpRequest) -> Http | Fault:
        if request.path.endswith("openOrders"):
            return Http({"code": -1003, "msg": "Too many requests"}, 429, {"Retry-After": "9"})
        return exchange.plain_rest(request)

    exchange.rest, exchange.websocket = rest, WsApi(accepted)
    async with client_of(exchange) as client:
        with pytest.raises(RateLimited):
            await client.open_orders(BITCOIN)
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderNotSent)
        await trio.sleep(9)
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderAcknowledged)

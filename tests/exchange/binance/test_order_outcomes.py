"""Order entry when answers fail: what is unknown stays unknown, and what was not sent is known not to be."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio
import trio_websocket

from tests.exchange.binance.order_scripts import BITCOIN, WsApi, accepted, limit, refusal
from tests.exchange.binance.scripted_exchange import (
    Fault,
    Http,
    HttpRequest,
    ScriptedExchange,
    client_of,
    order_body,
)
from trio_grid.domain.actions import CancelOrder
from trio_grid.domain.events import (
    CancelAcknowledged,
    CancelOutcomeLost,
    OrderAcknowledged,
    OrderNotSent,
    OrderOutcomeLost,
    OrderRefused,
    RejectReason,
)
from trio_grid.testing.memory_network import Direction


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


async def test_r4_an_unknown_outcome_is_not_repeated_by_rest_when_the_connection_breaks_afterwards(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Neither at once nor later: REST sends new intents alone, and the cancel of the unknown order."""
    exchange = ScriptedExchange()

    def rest(request: HttpRequest) -> Http | Fault:
        if request.path != "/fapi/v1/order":
            return exchange.plain_rest(request)
        name = request.params.get("newClientOrderId") or request.params["origClientOrderId"]
        return Http(order_body(clientOrderId=name, status="NEW" if request.method == "POST" else "CANCELED"))

    exchange.rest, exchange.websocket = rest, WsApi(lambda request: None)
    async with client_of(exchange) as client:
        (lost,) = await client.place(BITCOIN, [limit("id-lost")])
        exchange.network.cut("client")
        await trio.testing.wait_all_tasks_blocked()
        cancelled, placed = await client.send(BITCOIN, [CancelOrder(client_order_id="id-lost")], [limit("id-new")])
        await trio.sleep(120)
    assert isinstance(lost, OrderOutcomeLost)
    assert [type(result) for result in (*cancelled, *placed)] == [CancelAcknowledged, OrderAcknowledged]
    sent = [(request.method, request.params.get("newClientOrderId")) for request in exchange.seen("/fapi/v1/order")]
    assert sent == [("DELETE", None), ("POST", "id-new")]


async def test_the_websocket_api_is_pinged_far_less_than_five_times_a_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = WsApi(accepted)
    async with client_of(exchange) as client:
        (stream,) = [stream for stream in exchange.streams if b"upgrade: websocket" in stream.writes[0].lower()]
        for number in range(60):
            await client.place(BITCOIN, [limit(f"id-{number}")])
            await trio.sleep(10)
        control_frames = [data for data in stream.writes if data[0] in (0x89, 0x8A)]
    assert 25 < len(control_frames) < 35, "one each 20 s in ten minutes"

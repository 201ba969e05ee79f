"""Ed25519 keys open a session on the WebSocket API: one logon for each connection, requests without a signature."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import pytest
import trio
import trio_websocket
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.exchange.binance.order_scripts import BITCOIN, accepted, limit, refusal
from tests.exchange.binance.scripted_exchange import Fault, Http, HttpRequest, ScriptedExchange, client_of, order_body
from trio_grid.domain.actions import CancelOrder
from trio_grid.domain.events import CancelAcknowledged, OrderAcknowledged
from trio_grid.errors import CredentialsRefused, LogonRefused
from trio_grid.exchange.binance import ws_api
from trio_grid.exchange.protocol.signing import Ed25519Signer, websocket_payload

PRIVATE = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
SIGNER = Ed25519Signer("edkey", PEM)


class LogonApi:
    """A WebSocket API with sessions; `answers` are those to the next logons, then all are accepted."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.connections: list[list[dict[str, Any]]] = []

    async def __call__(self, connection: trio_websocket.WebSocketConnection, path: str) -> None:
        requests: list[dict[str, Any]] = []
        self.connections.append(requests)
        while True:
            request = json.loads(await connection.get_message())
            requests.append(request)
            if request["method"] == "session.logon":
                answer = self.answers.pop(0) if self.answers else {"status": 200, "result": {"apiKey": "edkey"}}
            else:
                answer = accepted(request)
            await connection.send_message(json.dumps({"id": request["id"], **answer}))


async def test_each_connection_logs_on_once_and_requests_carry_no_key_and_no_signature(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = LogonApi()
    async with client_of(exchange, signer=SIGNER) as client:
        for round_number in range(2):
            (placed,) = await client.place(BITCOIN, [limit(f"id-{round_number}")])
            (gone,) = await client.cancel(BITCOIN, [CancelOrder(client_order_id=f"id-{round_number}")])
            assert isinstance(placed, OrderAcknowledged)
            assert isinstance(gone, CancelAcknowledged)
            if round_number == 0:
                for link in exchange.network.links("client", "/ws-fapi"):
                    link.cut()
                await trio.sleep(1)
                await client.wait_order_entry()
    assert [[request["method"] for request in requests] for requests in server.connections] == [
        ["session.logon", "order.place", "order.cancel"]
    ] * 2
    for requests in server.connections:
        logon, *others = (request["params"] for request in requests)
        assert set(logon) == {"apiKey", "timestamp", "recvWindow", "signature"}
        PRIVATE.public_key().verify(base64.b64decode(logon["signature"]), websocket_payload(logon))
        for params in others:
            assert not {"apiKey", "signature"} & set(params)
            assert (params["recvWindow"], type(params["timestamp"])) == (5_000, int)


async def test_a_renewed_connection_is_logged_on_before_orders_take_it(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ws_api, "RENEW_AFTER_S", 100.0)
    exchange = ScriptedExchange()
    exchange.websocket = server = LogonApi()
    async with client_of(exchange, signer=SIGNER) as client:
        for number in range(250):
            (placed,) = await client.place(BITCOIN, [limit(f"id-{number}")])
            assert isinstance(placed, OrderAcknowledged)
            await trio.sleep(1)
    assert [requests[0]["method"] for requests in server.connections] == ["session.logon"] * 3
    names = [request["params"]["newClientOrderId"] for requests in server.connections for request in requests[1:]]
    assert names == [f"id-{number}" for number in range(250)]
    assert exchange.seen("/fapi/v1/order") == []


async def test_the_logon_waits_for_the_exchanges_clock(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = LogonApi()
    exchange.clock_error_ms = 0
    async with client_of(exchange, signer=SIGNER, wait=False) as client:
        await trio.sleep(5)
        assert server.connections == [[]]
        exchange.clock_error_ms = 700_000
        await client.synchronize_clock()
        await client.wait_order_entry()
    (logon,) = server.connections[0]
    assert logon["params"]["timestamp"] == pytest.approx(exchange.now_ms(), abs=1_000)


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (400, -4056, "HMAC_SHA256 API key is not supported."),
        (401, -2015, "Invalid API-key, IP, or permissions for action."),
        (400, -1022, "Signature for this request is not valid."),
    ],
)
async def test_a_refused_logon_is_typed_and_says_what_to_do(
    autojump_clock: trio.testing.MockClock, status: int, code: int, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "trio_grid")
    exchange = ScriptedExchange()
    exchange.websocket = server = LogonApi(*[refusal(status, code, message)] * 8)

    def rest(request: HttpRequest) -> Http | Fault:
        return Http(order_body(status="CANCELED")) if request.method == "DELETE" else exchange.plain_rest(request)

    exchange.rest = rest
    async with client_of(exchange, signer=SIGNER, wait=False) as client:
        await client.synchronize_clock()
        with pytest.raises(LogonRefused, match="made as an Ed25519 key from the public half") as caught:
            await client.wait_order_entry()
        assert (caught.value.code, caught.value.message) == (code, message)
        with pytest.raises(CredentialsRefused, match="key_type"):
            await client.place(BITCOIN, [limit()])
        assert exchange.seen("/fapi/v1/order") == []
        # What rests can still be cancelled: REST signs each request.
        (gone,) = await client.cancel(BITCOIN, [CancelOrder(client_order_id="id-1")])
        assert isinstance(gone, CancelAcknowledged)
        await trio.sleep(60)
        assert len(caplog.records) == 1
        assert 2 < len(server.connections) < 8, "it asks again, seldom: the key may be repaired at the exchange"
        # And once the exchange accepts the key, orders go out.
        await trio.sleep(120)
        (placed,) = await client.place(BITCOIN, [limit()])
        assert isinstance(placed, OrderAcknowledged)


async def test_f9_a_logon_refused_for_its_time_reads_the_clock_and_is_repeated(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    skew = refusal(400, -1021, "Timestamp for this request is outside of the recvWindow.")
    exchange.websocket = server = LogonApi(skew)
    async with client_of(exchange, signer=SIGNER):
        assert len(exchange.seen("/fapi/v1/time")) == 4
    assert [[request["method"] for request in requests] for requests in server.connections] == [["session.logon"]] * 2


@pytest.mark.parametrize(
    "answer",
    [
        refusal(503, -1000, "Service Unavailable."),
        refusal(503, -1000, "Unknown error, please check your request or try again later."),
        refusal(500, -1000, "An unknown error occurred."),
        {"status": 200, "error": {"code": -1000, "msg": "odd"}},
    ],
)
async def test_a_logon_that_failed_for_now_is_tried_again(
    autojump_clock: trio.testing.MockClock, answer: dict[str, Any]
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = LogonApi(answer)
    async with client_of(exchange, signer=SIGNER) as client:
        (placed,) = await client.place(BITCOIN, [limit()])
        assert isinstance(placed, OrderAcknowledged)
    assert len(server.connections) == 2


async def test_f10_a_logon_over_the_limit_waits_as_long_as_it_is_told(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    now = exchange.now_ms()
    exchange.websocket = server = LogonApi(refusal(429, -1003, "Too many", serverTime=now, retryAfter=now + 30_000))
    async with client_of(exchange, signer=SIGNER):
        assert 30 <= trio.current_time() < 35
    assert len(server.connections) == 2


async def test_a_logon_that_is_not_answered_ends_by_its_deadline(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    asked = 0

    async def deaf(connection: trio_websocket.WebSocketConnection, path: str) -> None:
        nonlocal asked
        while True:
            await connection.get_message()
            asked += 1

    exchange.websocket = deaf
    async with client_of(exchange, signer=SIGNER, wait=False) as client:
        await client.synchronize_clock()
        await trio.sleep(35)
        assert asked == 4
        exchange.websocket = LogonApi()
        await client.wait_order_entry()

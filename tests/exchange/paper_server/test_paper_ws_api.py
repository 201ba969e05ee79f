import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import trio
import trio_websocket
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.exchange.paper_server.raw_client import KEY, SECRET, SYMBOL, RawSocket, hmac_hex, raw_rest, raw_socket
from trio_grid.exchange.paper.server.authentication import ApiKey
from trio_grid.testing.paper import START_MS, PaperHandle, default_exchange, open_paper_exchange

API = "/ws-fapi/v1"
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def literal(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def joined(params: dict[str, Any]) -> str:
    return "&".join(f"{name}={literal(params[name])}" for name in sorted(params))


def with_hmac(params: dict[str, Any]) -> dict[str, Any]:
    params = {**params, "apiKey": KEY}
    return {**params, "signature": hmac_hex(SECRET, joined(params))}


def with_ed25519(params: dict[str, Any]) -> dict[str, Any]:
    params = {**params, "apiKey": "edkey"}
    return {**params, "signature": base64.b64encode(PRIVATE_KEY.sign(joined(params).encode())).decode()}


@pytest.fixture
async def handle(autojump_clock: object) -> AsyncIterator[PaperHandle]:
    exchange = default_exchange(history_minutes=10)
    pem = PRIVATE_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    keys = [
        ApiKey(key=KEY, account=KEY, secret=SECRET),
        ApiKey(key="edkey", account=KEY, public_key_pem=pem),
    ]
    async with open_paper_exchange(exchange, keys=keys) as running:
        yield running


@pytest.fixture
async def socket(handle: PaperHandle) -> AsyncIterator[RawSocket]:
    async with raw_socket(handle, API) as opened:
        yield opened


async def limit_order(handle: PaperHandle) -> dict[str, Any]:
    async with raw_rest(handle) as rest:
        price = await rest.resting_price()
    return {
        "symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.002", "price": price,
        "timestamp": handle.now_ms(),
    }  # fmt: skip


async def test_order_is_placed_queried_and_cancelled_with_hmac(handle: PaperHandle, socket: RawSocket) -> None:
    order = await limit_order(handle)
    placed = await socket.request({"id": "one", "method": "order.place", "params": with_hmac(order)})
    assert (placed["id"], placed["status"], placed["result"]["status"]) == ("one", 200, "NEW")
    assert placed["rateLimits"] == [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300, "count": 1},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200, "count": 1},
    ]
    # An id as text, as some clients send it.
    one = {"symbol": SYMBOL, "orderId": str(placed["result"]["orderId"]), "timestamp": handle.now_ms()}
    queried = await socket.request({"id": 2, "method": "order.status", "params": with_hmac(one)})
    assert queried["result"]["orderId"] == placed["result"]["orderId"]
    cancelled = await socket.request({"id": 3, "method": "order.cancel", "params": with_hmac(one)})
    assert cancelled["result"]["status"] == "CANCELED"
    again = await socket.request({"id": 4, "method": "order.cancel", "params": with_hmac(one)})
    assert (again["status"], again["error"]) == (400, {"code": -2011, "msg": "Unknown order sent."})


async def test_values_are_signed_as_they_are_written(handle: PaperHandle, socket: RawSocket) -> None:
    order = await limit_order(handle)
    params = {**order, "quantity": 0.002, "reduceOnly": False, "newClientOrderId": "größe", "returnRateLimits": False}
    refused = await socket.request({"id": 1, "method": "order.place", "params": with_hmac(params)})
    # The signature holds; it is the id that is refused.
    assert refused["error"]["code"] == -4015
    assert "rateLimits" not in refused
    params["newClientOrderId"] = "plain"
    assert (await socket.request({"id": 2, "method": "order.place", "params": with_hmac(params)}))["status"] == 200


async def test_frames_sent_in_one_go_are_answered_in_their_order(handle: PaperHandle, socket: RawSocket) -> None:
    order = await limit_order(handle)
    for number in range(40):
        params = with_hmac({**order, "newClientOrderId": f"n{number}"})
        await socket.send({"id": number, "method": "order.place", "params": params})
    answers = [await socket.receive() for _ in range(40)]
    assert [answer["id"] for answer in answers] == list(range(40))
    assert {answer["status"] for answer in answers} == {200}
    assert answers[-1]["rateLimits"][0]["count"] == 40


async def test_session_logs_on_with_ed25519_only(handle: PaperHandle, socket: RawSocket) -> None:
    status = await socket.request({"id": 1, "method": "session.status"})
    assert (status["result"]["apiKey"], status["result"]["authorizedSince"]) == (None, None)
    by_hmac = await socket.request(
        {"id": 2, "method": "session.logon", "params": with_hmac({"timestamp": handle.now_ms()})}
    )
    assert (by_hmac["status"], by_hmac["error"]["code"]) == (400, -4056)
    signed_ms = handle.now_ms()
    wrong = with_ed25519({"timestamp": signed_ms}) | {"timestamp": signed_ms - 1}
    assert (await socket.request({"id": 3, "method": "session.logon", "params": wrong}))["error"]["code"] == -1022
    logged_on = await socket.request(
        {"id": 4, "method": "session.logon", "params": with_ed25519({"timestamp": handle.now_ms()})}
    )
    assert logged_on["result"]["apiKey"] == "edkey"
    assert START_MS <= logged_on["result"]["authorizedSince"] <= handle.now_ms()
    order = await limit_order(handle)
    assert (await socket.request({"id": 5, "method": "order.place", "params": order}))["status"] == 200
    del order["timestamp"]
    assert (await socket.request({"id": 6, "method": "order.place", "params": order}))["error"]["code"] == -1102
    # A request with its own key and signature speaks for itself, session or not.
    own = with_hmac({"timestamp": handle.now_ms()}) | {"signature": "00"}
    assert (await socket.request({"id": 7, "method": "account.status", "params": own}))["error"]["code"] == -1022
    assert (await socket.request({"id": 8, "method": "session.logout"}))["result"]["apiKey"] is None
    order["timestamp"] = handle.now_ms()
    assert (await socket.request({"id": 9, "method": "order.place", "params": order}))["status"] == 401


async def test_a_percent_encoded_signature_is_taken_too(handle: PaperHandle, socket: RawSocket) -> None:
    """python-binance signs with Ed25519 as if the signature went into an address."""
    params = with_ed25519({"timestamp": handle.now_ms()})
    encoded = params | {"signature": quote(params["signature"], safe="")}
    assert encoded != params
    assert (await socket.request({"id": 1, "method": "account.status", "params": encoded}))["status"] == 200
    wrong = encoded | {"timestamp": params["timestamp"] - 1}
    assert (await socket.request({"id": 2, "method": "account.status", "params": wrong}))["error"]["code"] == -1022


@pytest.mark.parametrize(
    ("method", "key"),
    [("account.status", "assets"), ("v2/account.status", "assets"), ("account.balance", None),
     ("v2/account.balance", None), ("account.position", None), ("v2/account.position", None)],
)  # fmt: skip
async def test_account_methods(handle: PaperHandle, socket: RawSocket, method: str, key: str | None) -> None:
    params = with_hmac({"timestamp": handle.now_ms()})
    answer = await socket.request({"id": 1, "method": method, "params": params})
    assert answer["status"] == 200, answer
    assert (key in answer["result"]) if key else isinstance(answer["result"], list)
    assert answer["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"


@pytest.mark.parametrize(
    ("method", "params"),
    [("ticker.price", {"symbol": SYMBOL}), ("ticker.book", {"symbol": SYMBOL}), ("ticker.price", {}), ("ping", None),
     ("depth", {"symbol": SYMBOL, "limit": 5}), ("time", None), ("exchangeInfo", None)],
)  # fmt: skip
async def test_public_methods(socket: RawSocket, method: str, params: object) -> None:
    message = {"id": 1, "method": method} | ({} if params is None else {"params": params})
    answer = await socket.request(message)
    assert answer["status"] == 200, answer


async def test_user_stream_is_started_here_and_flows_on_its_own_route(handle: PaperHandle, socket: RawSocket) -> None:
    started = await socket.request({"id": 1, "method": "userDataStream.start", "params": {"apiKey": KEY}})
    key = started["result"]["listenKey"]
    async with raw_socket(handle, f"/private/ws?listenKey={key}") as events:
        await socket.request({"id": 2, "method": "order.place", "params": with_hmac(await limit_order(handle))})
        with trio.fail_after(5):
            await events.event("ORDER_TRADE_UPDATE")
    pinged = await socket.request({"id": 3, "method": "userDataStream.ping", "params": {"apiKey": KEY}})
    assert pinged["result"] == {"listenKey": key}
    stopped = await socket.request({"id": 4, "method": "userDataStream.stop", "params": {"apiKey": KEY}})
    assert stopped["result"] == {}
    gone = await socket.request({"id": 5, "method": "userDataStream.ping", "params": {"apiKey": KEY}})
    assert gone["error"]["code"] == -1125


@pytest.mark.parametrize(
    "message",
    ["garbage", "", b"\x00\x01", "[]", "null", "7", '"text"', '{"id":{},"method":"ping"}', '{"id":1.5,"method":"ping"}',
     '{"id":1,"method":7}', '{"id":1,"method":"ping","params":[]}', "{" * 10_000, '{"id":1,"method":"no.such"}',
     '{"id":1}', '{"method":"order.place","params":{"apiKey":null}}', '{"id":1,"method":"order.place","params":{}}',
     '{"id":1,"method":"order.place","params":{"apiKey":"testkey","timestamp":{"a":[1]}}}'],
)  # fmt: skip
async def test_bad_requests_are_answered_and_the_connection_lives_on(socket: RawSocket, message: str | bytes) -> None:
    await socket.send(message)
    answer = await socket.receive()
    assert answer["status"] in (400, 401), answer
    assert answer["error"]["code"] < 0
    assert (await socket.request({"id": 9, "method": "ping"}))["result"] == {}


async def test_a_message_beyond_all_measure_ends_the_connection_alone(handle: PaperHandle) -> None:
    async with raw_socket(handle, API) as big, raw_socket(handle, API) as other:
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            await big.send('{"id":1,"method":"' + "x" * 2_000_000 + '"}')
        assert await big.until_closed() == (1009, [])
        assert (await other.request({"id": 1, "method": "ping"}))["status"] == 200


async def test_rate_limits_may_be_hidden_for_the_connection(handle: PaperHandle) -> None:
    async with raw_socket(handle, f"{API}?returnRateLimits=false") as socket:
        assert "rateLimits" not in await socket.request({"id": 1, "method": "ping"})


async def test_ids_come_back_as_they_were(socket: RawSocket) -> None:
    for request_id in (0, 12345678901234567890, "uuid-4", None):
        assert (await socket.request({"id": request_id, "method": "ping"}))["id"] == request_id


async def test_cancel_of_the_request_leaves_the_accepted_order(handle: PaperHandle) -> None:
    params = with_hmac(await limit_order(handle) | {"newClientOrderId": "kept"})
    async with raw_socket(handle, API, owner="leaver") as socket:
        await socket.send({"id": 1, "method": "order.place", "params": params})
        assert handle.network is not None
        for link in handle.network.links("leaver"):
            link.close_server_end()
    async with raw_rest(handle) as rest:
        orders = await rest.ask("GET", "/fapi/v1/openOrders", symbol=SYMBOL)
    # The request either arrived whole, and then counts, or was lost with the link: never anything between.
    assert [order["clientOrderId"] for order in orders] in ([], ["kept"])

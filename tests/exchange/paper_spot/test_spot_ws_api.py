"""Spot's WebSocket API: requests, sessions, and the user data streams that flow on the same connection."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.exchange.paper_server.raw_client import KEY, SECRET, SYMBOL, RawSocket, raw_rest, raw_socket
from tests.exchange.paper_spot.spot_rest import API, joined, place_resting, resting_order, with_hmac
from trio_grid.exchange.paper.server.authentication import ApiKey
from trio_grid.exchange.paper.server.spot_tables import SPOT_METHODS
from trio_grid.exchange.paper.server.spot_ws_api import CONNECTION_METHODS
from trio_grid.testing.paper import PaperHandle, default_exchange, open_paper_exchange

PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC: dict[str, dict[str, Any]] = {
    "ping": {}, "time": {}, "exchangeInfo": {"symbols": [SYMBOL]}, "depth": {"symbol": SYMBOL, "limit": 5},
    "trades.recent": {"symbol": SYMBOL}, "trades.historical": {"symbol": SYMBOL},
    "trades.aggregate": {"symbol": SYMBOL}, "klines": {"symbol": SYMBOL, "interval": "1h"},
    "uiKlines": {"symbol": SYMBOL, "interval": "1s"}, "avgPrice": {"symbol": SYMBOL}, "ticker": {"symbol": SYMBOL},
    "ticker.24hr": {"symbols": [SYMBOL], "type": "MINI"}, "ticker.tradingDay": {"symbol": SYMBOL},
    "ticker.price": {}, "ticker.book": {"symbol": SYMBOL},
}  # fmt: skip
PRIVATE: dict[str, dict[str, Any]] = {
    "order.amendments": {"symbol": SYMBOL, "orderId": 1}, "openOrders.status": {}, "allOrders": {"symbol": SYMBOL},
    "myTrades": {"symbol": SYMBOL}, "myPreventedMatches": {"symbol": SYMBOL, "orderId": 1}, "account.status": {},
    "account.commission": {"symbol": SYMBOL}, "account.rateLimits.orders": {}, "myAllocations": {"symbol": SYMBOL},
    "openOrderLists.status": {}, "allOrderLists": {},
}  # fmt: skip
LISTS = ("orderList.place.oco", "orderList.place.oto", "orderList.place.otoco")
TRADING = {
    "order.place", "order.test", "order.cancel", "order.cancelReplace", "order.amend.keepPriority", "order.status",
    "openOrders.cancelAll",
}  # fmt: skip


def with_ed25519(params: dict[str, Any]) -> dict[str, Any]:
    params = {**params, "apiKey": "edkey"}
    return {**params, "signature": base64.b64encode(PRIVATE_KEY.sign(joined(params).encode())).decode()}


@pytest.fixture
async def handle(autojump_clock: object) -> AsyncIterator[PaperHandle]:
    pem = PRIVATE_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    keys = [
        ApiKey(key=KEY, account=KEY, secret=SECRET),
        ApiKey(key="edkey", account=KEY, public_key_pem=pem),
    ]
    async with open_paper_exchange(default_exchange(history_minutes=10), keys=keys) as running:
        yield running


@pytest.fixture
async def socket(handle: PaperHandle) -> AsyncIterator[RawSocket]:
    async with raw_socket(handle, API) as opened:
        yield opened


async def ask(handle: PaperHandle, socket: RawSocket, method: str, **params: Any) -> Any:
    """Send a signed request and return its answer; events that come before it are passed over."""
    signed = with_hmac({**params, "timestamp": handle.now_ms()})
    return await socket.request({"id": method, "method": method, "params": signed})


async def event(socket: RawSocket) -> tuple[int, Any]:
    """Return the next event with its subscription."""
    while True:
        message = await socket.receive()
        if "event" in message:
            return message["subscriptionId"], message["event"]


@pytest.mark.parametrize("method", PUBLIC)
async def test_public_methods(socket: RawSocket, method: str) -> None:
    answer = await socket.request({"id": 1, "method": method, "params": PUBLIC[method]})
    assert (answer["status"], answer["rateLimits"][0]["limit"]) == (200, 6000), answer


@pytest.mark.parametrize("method", PRIVATE)
async def test_private_methods(handle: PaperHandle, socket: RawSocket, method: str) -> None:
    assert (await ask(handle, socket, method, **PRIVATE[method]))["status"] == 200
    unsigned = await socket.request({"id": 1, "method": method, "params": PRIVATE[method]})
    assert (unsigned["status"], unsigned["error"]["code"]) == (401, -2014)


@pytest.mark.parametrize("method", LISTS)
async def test_order_lists_are_refused(handle: PaperHandle, socket: RawSocket, method: str) -> None:
    answer = await ask(handle, socket, method, symbol=SYMBOL)
    assert (answer["status"], answer["error"]["code"]) == (400, -2010)


def test_every_method_is_asked_here() -> None:
    assert set(SPOT_METHODS) == {*PUBLIC, *PRIVATE, *LISTS} | TRADING


async def test_orders_are_placed_reduced_replaced_and_cancelled(handle: PaperHandle, socket: RawSocket) -> None:
    async with raw_rest(handle) as rest:
        order = await resting_order(rest)
    placed = await ask(handle, socket, "order.place", **order)
    assert placed["rateLimits"] == [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000, "count": 5},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100, "count": 1},
        {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000, "count": 1},
    ]
    one = {"symbol": SYMBOL, "orderId": placed["result"]["orderId"]}
    reduced = await ask(handle, socket, "order.amend.keepPriority", **one, newQty="0.0009")
    assert reduced["result"]["amendedOrder"]["qty"] == "0.00090000"
    replace = {**order, "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": one["orderId"]}
    replaced = await ask(handle, socket, "order.cancelReplace", **replace)
    assert replaced["result"]["newOrderResult"] == "SUCCESS"
    failed = await ask(handle, socket, "order.cancelReplace", **replace)
    assert (failed["status"], failed["error"]["code"]) == (400, -2022)
    assert failed["error"]["data"]["newOrderResult"] == "NOT_ATTEMPTED"
    assert (await ask(handle, socket, "order.status", **one))["result"]["status"] == "CANCELED"
    present = {"symbol": SYMBOL, "orderId": replaced["result"]["newOrderResponse"]["orderId"]}
    assert (await ask(handle, socket, "order.cancel", **present))["result"]["status"] == "CANCELED"
    assert (await ask(handle, socket, "order.test", **order))["result"] == {}
    await ask(handle, socket, "order.place", **order)
    cancelled = await ask(handle, socket, "openOrders.cancelAll", symbol=SYMBOL)
    assert [row["status"] for row in cancelled["result"]] == ["CANCELED"]


async def test_user_data_flow_on_the_connection_that_asked(handle: PaperHandle, socket: RawSocket) -> None:
    subscribed = await ask(handle, socket, "userDataStream.subscribe.signature")
    assert subscribed["result"] == {"subscriptionId": 0}
    async with raw_rest(handle) as rest, raw_socket(handle, API) as other:
        placed = await place_resting(rest, newClientOrderId="mine")
        with trio.fail_after(5):
            first, second = await event(socket), await event(socket)
        assert first[1]["e"] == "executionReport"
        assert (first[0], first[1]["x"], first[1]["i"], first[1]["t"]) == (0, "NEW", placed["orderId"], -1)
        assert second[1]["e"] == "outboundAccountPosition"
        assert [row["a"] for row in second[1]["B"]] == ["BTC", "USDT"]
        await rest.ask("DELETE", "/api/v3/order", symbol=SYMBOL, origClientOrderId="mine", newClientOrderId="out")
        with trio.fail_after(5):
            _, cancelled = await event(socket)
        assert (cancelled["x"], cancelled["C"], cancelled["c"]) == ("CANCELED", "mine", "out")
        assert await other.is_silent_for(1)
        listed = await socket.request({"id": 5, "method": "session.subscriptions"})
        assert listed["result"] == [{"subscriptionId": 0}]
        await socket.send({"id": 6, "method": "userDataStream.unsubscribe"})
        with trio.fail_after(5):
            assert (await event(socket))[1]["e"] == "eventStreamTerminated"
            assert (await socket.receive())["result"] == {}
        await place_resting(rest)
        assert await socket.is_silent_for(1)
        wrong = {"subscriptionId": 0}
        answer = await socket.request({"id": 7, "method": "userDataStream.unsubscribe", "params": wrong})
        assert answer["error"]["code"] == -1130


async def test_a_session_subscribes_without_a_signature(handle: PaperHandle, socket: RawSocket) -> None:
    early = await socket.request({"id": 1, "method": "userDataStream.subscribe"})
    assert (early["status"], early["error"]["code"]) == (401, -2014)
    by_hmac = await ask(handle, socket, "session.logon")
    assert by_hmac["status"] == 400
    params = with_ed25519({"timestamp": handle.now_ms()})
    logged_on = await socket.request({"id": 2, "method": "session.logon", "params": params})
    assert (logged_on["result"]["apiKey"], logged_on["result"]["userDataStream"]) == ("edkey", False)
    subscribed = await socket.request({"id": 3, "method": "userDataStream.subscribe"})
    assert subscribed["result"] == {"subscriptionId": 0}
    again = await ask(handle, socket, "userDataStream.subscribe.signature")
    assert again["result"] == {"subscriptionId": 1}
    assert (await socket.request({"id": 4, "method": "session.status"}))["result"]["userDataStream"] is True
    async with raw_rest(handle) as rest:
        await place_resting(rest)
    with trio.fail_after(5):
        assert [(await event(socket))[0] for _ in range(4)] == [0, 1, 0, 1]
    await socket.send({"id": 5, "method": "session.logout"})
    with trio.fail_after(5):
        ended = await event(socket)
        assert (ended[0], ended[1]["e"]) == (0, "eventStreamTerminated")
        gone = await socket.receive()
    assert (gone["result"]["apiKey"], gone["result"]["userDataStream"]) == (None, True)
    left = await socket.request({"id": 6, "method": "session.subscriptions"})
    assert left["result"] == [{"subscriptionId": 1}], "what was signed for stands by itself"


async def test_events_may_come_in_microseconds(handle: PaperHandle) -> None:
    async with raw_rest(handle) as rest, raw_socket(handle, f"{API}?timeUnit=MICROSECOND") as socket:
        await ask(handle, socket, "userDataStream.subscribe.signature")
        placed = await place_resting(rest)
        with trio.fail_after(5):
            _, report = await event(socket)
        micros = placed["transactTime"] * 1000
        assert [report[name] for name in "ETOW"] == [micros] * 4
        time = await socket.request({"id": 1, "method": "time"})
        assert time["result"]["serverTime"] >= micros


async def test_the_connection_hears_that_the_server_stops(handle: PaperHandle, socket: RawSocket) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(handle.server.close_websockets)
        code, received = await socket.until_closed()
    assert code == 1001
    assert [message["event"]["e"] for message in received] == ["serverShutdown"]


def test_the_connections_own_methods_are_listed() -> None:
    assert not set(CONNECTION_METHODS) & set(SPOT_METHODS)

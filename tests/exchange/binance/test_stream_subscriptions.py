"""Subscriptions: confirmed before they are given, and one error for every way in which they can end."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio_websocket

from tests.exchange.binance.scripted_exchange import (
    SIGNER,
    Fault,
    Http,
    HttpRequest,
    ScriptedExchange,
    bitcoin,
    client_of,
)
from trio_grid.domain.events import BookTicker
from trio_grid.errors import ExchangeUnreachable, ListenKeyGone, MalformedAnswer, RateLimited, RequestRefused
from trio_grid.exchange.binance.connector import background_nursery
from trio_grid.exchange.binance.usdm_futures import Endpoints, open_usdm_futures
from trio_grid.testing.memory_network import Direction

BITCOIN = bitcoin()
Connection = trio_websocket.WebSocketConnection


def ticker(bid: str = "60000.0", ask: str = "60000.1", **changes: Any) -> str:
    event = {
        "e": "bookTicker",
        "u": 1,
        "E": 1_750_000_000_001,
        "T": 1_750_000_000_000,
        "s": "BTCUSDT",
        "b": bid,
        "B": "1",
        "a": ask,
        "A": "1",
    }
    return json.dumps({**event, **changes})


def confirming(*frames: str, then: Callable[[Connection], Awaitable[object]] | None = None) -> Any:
    """Return a stream server that confirms the subscription, sends frames, then does something or holds on."""

    async def serve(connection: Connection, path: str) -> None:
        if path == "/ws-fapi/v1":
            await trio.sleep_forever()
        request = json.loads(await connection.get_message())
        assert request["method"] == "SUBSCRIBE"
        serve.subscribed.append((path, *request["params"]))  # type: ignore[attr-defined]
        await connection.send_message(json.dumps({"result": None, "id": request["id"]}))
        for frame in frames:
            await connection.send_message(frame)
        if then is not None:
            await then(connection)
        else:
            await trio.sleep_forever()

    serve.subscribed = []  # type: ignore[attr-defined]
    return serve


async def test_streams_are_routed_by_kind_and_confirmed(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = confirming()
    async with client_of(exchange) as client, client.book_tickers(BITCOIN), client.kline_stream(BITCOIN):
        assert server.subscribed == [("/public/ws", "btcusdt@bookTicker"), ("/market/ws", "btcusdt@kline_1m")]


async def test_old_test_servers_can_be_asked_without_routes(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = confirming()
    async with exchange.serve() as routed:
        endpoints = Endpoints(routed.rest_url, routed.ws_url, routed.ws_api_url, routed=False)
        async with (
            open_usdm_futures(endpoints, None, connect=exchange.connect) as client,
            client.book_tickers(BITCOIN),
        ):
            assert server.subscribed == [("/ws", "btcusdt@bookTicker")]


async def test_events_come_in_order_those_before_the_confirmation_too(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()

    async def early(connection: Connection, path: str) -> None:
        if path != "/ws-fapi/v1":
            await connection.get_message()
            await connection.send_message(ticker("60000.0"))
            await connection.send_message('{"result": null, "id": 1}')
            await connection.send_message(ticker(e="somethingNew"))
            await connection.send_message(ticker("59999.9"))
        await trio.sleep_forever()

    exchange.websocket = early
    async with client_of(exchange) as client, client.book_tickers(BITCOIN) as tickers:
        bids = [(await tickers.__anext__()).bid_ticks for _ in range(2)]
        assert bids == [600_000, 599_999]
        assert client.ignored == {"event somethingNew": 1}


async def test_a_subscription_that_is_not_confirmed_in_time_is_not_given(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    async with client_of(exchange) as client:
        started = trio.current_time()
        with pytest.raises(ExchangeUnreachable, match="not confirmed in 10 s"):
            async with client.book_tickers(BITCOIN):
                raise AssertionError("it was given")
        assert trio.current_time() - started == pytest.approx(10)


async def test_a_refused_subscription_is_told_in_the_exchanges_words(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()

    async def refuse(connection: Connection, path: str) -> None:
        await connection.get_message()
        await connection.send_message('{"error": {"code": 2, "msg": "Invalid request: unknown"}, "id": 1}')
        await trio.sleep_forever()

    async with client_of(exchange) as client:
        exchange.websocket = refuse
        with pytest.raises(RequestRefused, match="Invalid request"):
            async with client.book_tickers(BITCOIN):
                raise AssertionError("it was given")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", b"", b"nonsense\r\n\r\n"])
async def test_a_handshake_that_is_refused_or_broken_is_unreachable(
    autojump_clock: trio.testing.MockClock, answer: bytes
) -> None:
    exchange = ScriptedExchange()
    listener = exchange.network.listen()

    async def refuse(stream: trio.abc.Stream) -> None:
        async with stream:
            await stream.receive_some(4096)
            await stream.send_all(answer)

    host, port = listener.address
    endpoints = Endpoints(f"http://{host}:{port}", f"ws://{host}:{port}", f"ws://{host}:{port}/ws")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, refuse, [listener])
        async with open_usdm_futures(endpoints, None, connect=exchange.connect) as client:
            with pytest.raises(ExchangeUnreachable, match="handshake"):
                async with client.book_tickers(BITCOIN):
                    raise AssertionError("it opened")
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"418 I'm a teapot"])
async def test_f10_a_limit_met_at_the_door_holds_back_everything_until_it_ends(
    autojump_clock: trio.testing.MockClock, status: bytes
) -> None:
    exchange = ScriptedExchange()
    listener = exchange.network.listen()
    heads: list[bytes] = []

    async def refuse(stream: trio.abc.Stream) -> None:
        async with stream:
            heads.append(bytes(await stream.receive_some(4096)))
            await stream.send_all(b"HTTP/1.1 " + status + b"\r\nRetry-After: 40\r\ncontent-length: 0\r\n\r\n")

    host, port = listener.address
    endpoints = Endpoints(f"http://{host}:{port}", f"ws://{host}:{port}", f"ws://{host}:{port}/ws-fapi/v1")
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, refuse, [listener])
        async with open_usdm_futures(endpoints, SIGNER, connect=exchange.connect) as client:
            await trio.sleep(39)
            assert client.order_budget().orders == 0
            with pytest.raises(ExchangeUnreachable, match="held back") as caught:
                async with client.book_tickers(BITCOIN):
                    raise AssertionError("it opened")
            assert caught.value.retry_after_s == pytest.approx(1.0, abs=0.1)
            with pytest.raises(RateLimited):
                await client.synchronize_clock()
            assert len(heads) == 1
            await trio.sleep(2)
            assert len(heads) == 2
        nursery.cancel_scope.cancel()


async def test_a_handshake_that_is_never_answered_ends_by_its_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    async with client_of(exchange) as client:
        for link in exchange.network.links("client"):
            link.stall(Direction.TO_CLIENT)
        listener_stall = exchange.network.links

        async def stalled(host: str, port: int, tls: bool) -> trio.abc.Stream:
            stream = await exchange.connect(host, port, tls)
            list(listener_stall("client"))[-1].stall(Direction.TO_CLIENT)
            return stream

        client._connect = stalled
        with pytest.raises(ExchangeUnreachable, match="not answered"):
            async with client.book_tickers(BITCOIN):
                raise AssertionError("it opened")
        assert trio.current_time() == pytest.approx(10, abs=0.1)


async def test_nobody_listening_is_unreachable(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    async with client_of(exchange) as client:
        exchange.network.refuse("client")
        with pytest.raises(ExchangeUnreachable, match="cannot connect"):
            async with client.book_tickers(BITCOIN):
                raise AssertionError("it opened")


async def closed_in_order(connection: Connection) -> None:
    await connection.aclose(1001, "maintenance")


@pytest.mark.parametrize("how", ["close frame", "cut"])
async def test_the_end_of_a_connection_is_one_error_and_arrives_ungrouped(
    autojump_clock: trio.testing.MockClock, how: str
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = confirming(ticker(), then=closed_in_order if how == "close frame" else None)
    async with client_of(exchange) as client:
        got: list[BookTicker] = []

        async def follow() -> None:
            async with client.book_tickers(BITCOIN) as tickers:
                async for event in tickers:
                    got.append(event)
                    if how == "cut":
                        exchange.network.cut("client")

        with pytest.raises(ExchangeUnreachable, match="1001 maintenance" if how == "close frame" else "1006"):
            await follow()
        assert len(got) == 1


async def test_what_the_owner_raises_leaves_the_subscription_as_it_is(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = confirming()
    with pytest.RaisesGroup(trio.TooSlowError, flatten_subgroups=True):  # the scripted server's own nursery wraps it
        async with client_of(exchange) as client:
            with pytest.raises(KeyError, match="owner"):
                async with client.book_tickers(BITCOIN):
                    raise KeyError("owner")
            async with client.book_tickers(BITCOIN) as tickers:
                with trio.fail_after(5):
                    await tickers.__anext__()


async def test_a_malformed_event_is_an_error_of_its_own(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = confirming(ticker(bid="zero"))
    async with client_of(exchange) as client:
        with pytest.raises(MalformedAnswer):
            async with client.book_tickers(BITCOIN) as tickers:
                await tickers.__anext__()


async def test_f6_a_dead_link_is_noticed_by_its_missing_pong(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = confirming()
    async with client_of(exchange, signer=None) as client:

        async def follow() -> None:
            async with client.book_tickers(BITCOIN) as tickers:
                for link in exchange.network.links("client"):
                    link.stall(Direction.TO_SERVER)
                await tickers.__anext__()

        with pytest.raises(ExchangeUnreachable, match="no answer to a ping"):
            await follow()
        assert trio.current_time() == pytest.approx(30, abs=0.1)


async def test_the_servers_pings_are_answered_while_the_owner_is_slow(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    answered: list[float] = []

    async def pings(connection: Connection) -> None:
        started = trio.current_time()
        await connection.ping(b"1750000000000")
        answered.append(trio.current_time() - started)
        await trio.sleep_forever()

    exchange.websocket = confirming(*[ticker() for _ in range(40)], then=pings)
    async with client_of(exchange, signer=None) as client, client.book_tickers(BITCOIN):
        await trio.sleep(5)
        assert answered == [0]


async def test_background_helpers_that_crash_are_not_hidden() -> None:
    async def crash() -> None:
        await trio.lowlevel.checkpoint()
        raise OSError("bug")

    with pytest.RaisesGroup(OSError):
        async with background_nursery() as nursery:
            nursery.start_soon(crash)
            await trio.sleep_forever()


# User stream


class Account:
    """The REST side of a user stream, scripted: every answer to the key requests may be replaced."""

    def __init__(self, exchange: ScriptedExchange) -> None:
        self.exchange = exchange
        self.created: Http | Fault = Http({"listenKey": "abcKEY"})
        self.kept: Http | Fault = Http({})

    def __call__(self, request: HttpRequest) -> Http | Fault:
        if request.path != "/fapi/v1/listenKey":
            return self.exchange.plain_rest(request)
        return self.created if request.method == "POST" else self.kept


async def test_f5_the_user_stream_has_a_key_and_keeps_it_alive(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.rest = Account(exchange)
    exchange.websocket = server = confirming()
    async with client_of(exchange) as client:
        async with client.user_stream(BITCOIN):
            assert server.subscribed == [("/private/stream", "abcKEY")]
            await trio.sleep(95 * 60)
        methods = [request.method for request in exchange.seen("/fapi/v1/listenKey")]
        assert methods == ["POST", "PUT", "PUT", "PUT"]
        request = exchange.seen("/fapi/v1/listenKey")[0]
        assert request.headers["x-mbx-apikey"] == "testkey"
        assert request.params == {}


async def test_f5_a_keepalive_that_fails_is_tried_again_within_the_hour(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.rest = account = Account(exchange)
    exchange.websocket = confirming()
    async with client_of(exchange) as client, client.user_stream(BITCOIN):
        account.kept = Fault.HANG
        await trio.sleep(35 * 60)
        tried = len(exchange.seen("/fapi/v1/listenKey", "PUT"))
        assert tried > 3
        account.kept = Http({})
        await trio.sleep(29 * 60)
        assert len(exchange.seen("/fapi/v1/listenKey", "PUT")) == tried + 1


async def test_f5_a_key_that_has_gone_ends_the_stream_with_its_own_error(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.rest = account = Account(exchange)
    exchange.websocket = confirming()
    async with client_of(exchange) as client:
        account.kept = Http({"code": -1125, "msg": "This listenKey does not exist."}, 400)
        with pytest.raises(ListenKeyGone):
            async with client.user_stream(BITCOIN) as events:
                await events.__anext__()
        assert trio.current_time() == pytest.approx(30 * 60, abs=1)


async def test_f5_the_exchanges_own_notice_of_expiry_ends_the_stream(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.rest = Account(exchange)
    notice = {"stream": "abcKEY", "data": {"e": "listenKeyExpired", "E": "1693427319838", "listenKey": "abcKEY"}}
    exchange.websocket = confirming(json.dumps(notice))
    async with client_of(exchange) as client:
        with pytest.raises(ListenKeyGone, match="new key"):
            async with client.user_stream(BITCOIN) as events:
                await events.__anext__()


async def test_a_key_that_cannot_be_had_is_transient(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.rest = account = Account(exchange)
    account.created = Fault.CUT
    async with client_of(exchange) as client:
        with pytest.raises(ExchangeUnreachable):
            async with client.user_stream(BITCOIN):
                raise AssertionError("it opened")

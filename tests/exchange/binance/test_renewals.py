"""A connection is renewed before the exchange cuts it: the second one is confirmed first, and no event is lost."""

from __future__ import annotations

import contextlib
import json
from itertools import count
from typing import Any

import pytest
import trio
import trio_websocket

from tests.exchange.binance.order_scripts import BITCOIN, accepted, limit
from tests.exchange.binance.scripted_exchange import Fault, Http, HttpRequest, ScriptedExchange, client_of
from trio_grid.domain.events import OrderAcknowledged, OrderOutcomeLost
from trio_grid.errors import ExchangeUnreachable
from trio_grid.exchange.binance import streams, subscriptions, ws_api
from trio_grid.exchange.binance.usdm_futures import UsdmFutures
from trio_grid.testing.memory_network import Direction, Link

RENEW_S, LIFE_S = 230.0, 245.0
"""No multiple of the interval of pings: the test's server cannot answer one while it closes."""

Connection = trio_websocket.WebSocketConnection


@pytest.fixture(autouse=True)
def _short_days(monkeypatch: pytest.MonkeyPatch) -> None:
    assert streams.RENEW_AFTER_S == 23 * 3600
    monkeypatch.setattr(subscriptions, "RENEW_AFTER_S", RENEW_S)
    monkeypatch.setattr(ws_api, "RENEW_AFTER_S", RENEW_S)


class Broadcast:
    """Sends each published ticker to every subscribed connection, and cuts each at the end of its short day."""

    def __init__(self) -> None:
        self.open: dict[Connection, None] = {}
        self.subscribed = 0
        self.confirms = True

    async def __call__(self, connection: Connection, path: str) -> None:
        if path == "/ws-fapi/v1":
            await trio.sleep_forever()
        request = json.loads(await connection.get_message())
        if not self.confirms:
            await connection.aclose(1001, "not now")
            return
        self.subscribed += 1
        await connection.send_message(json.dumps({"result": None, "id": request["id"]}))
        self.open[connection] = None
        try:
            with trio.move_on_after(LIFE_S):
                await connection.get_message()
            await connection.aclose(1001, "24 h")
        finally:
            del self.open[connection]

    async def publish(self, number: int) -> None:
        event = {"e": "bookTicker", "u": number, "s": "BTCUSDT", "b": "60000", "B": "1", "a": "60000.1", "A": "1"}
        frame = json.dumps({**event, "T": number, "E": number})
        for connection in list(self.open):
            with contextlib.suppress(trio_websocket.ConnectionClosed):
                await connection.send_message(frame)


class Follower:
    """Follows the tickers of a client and keeps their numbers."""

    def __init__(self, client: UsdmFutures) -> None:
        self.client = client
        self.seen: list[int] = []
        self.waits = trio.Event()
        self.waits.set()
        self.error: Exception | None = None
        self.over = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            async with self.client.book_tickers(BITCOIN) as tickers:
                task_status.started()
                async for ticker in tickers:
                    self.seen.append(ticker.time_ms)
                    await self.waits.wait()
        except ExchangeUnreachable as error:
            self.error = error
        self.over.set()


def stream_links(exchange: ScriptedExchange) -> list[Link]:
    return [link for link in exchange.network.links("client", "/public") if link.open]


async def test_every_event_comes_once_and_in_order_through_days(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = Broadcast()
    numbers = count(1)
    async with client_of(exchange, signer=None) as client, trio.open_nursery() as nursery:
        follower = Follower(client)
        await nursery.start(follower.run)
        open_at_once = 0
        while trio.current_time() < 5 * LIFE_S:
            await server.publish(next(numbers))
            open_at_once = max(open_at_once, len(server.open))
            await trio.sleep(0.7)
        assert follower.error is None
        assert follower.seen == list(range(1, next(numbers)))
        assert (server.subscribed, open_at_once, len(server.open)) == (6, 2, 1)
        nursery.cancel_scope.cancel()


async def test_a_silent_stream_is_renewed_too(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = Broadcast()
    async with client_of(exchange, signer=None) as client, trio.open_nursery() as nursery:
        follower = Follower(client)
        await nursery.start(follower.run)
        await trio.sleep(3 * LIFE_S)
        await server.publish(1)
        await trio.testing.wait_all_tasks_blocked()
        assert (follower.error, follower.seen, server.subscribed) == (None, [1], 4)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("what", ["the old lags", "the old breaks", "the owner is slow"])
async def test_nothing_is_lost_or_doubled_when_the_overlap_goes_badly(
    autojump_clock: trio.testing.MockClock, what: str
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = Broadcast()
    async with client_of(exchange, signer=None) as client, trio.open_nursery() as nursery:
        follower = Follower(client)
        await nursery.start(follower.run)
        await trio.sleep(RENEW_S - 1)
        (old,) = stream_links(exchange)
        if what == "the owner is slow":
            follower.waits = trio.Event()
        for number in range(1, 21):
            await server.publish(number)
            if number == 9:
                assert len(server.open) == 2
                if what == "the old lags":
                    old.stall(Direction.TO_CLIENT)
                elif what == "the old breaks":
                    old.cut()
            await trio.sleep(0.25)
        follower.waits.set()
        await trio.sleep(5)
        assert not old.open
        assert follower.error is None
        assert follower.seen == list(range(1, 21))
        assert server.subscribed == 2
        nursery.cancel_scope.cancel()


async def test_a_second_connection_that_cannot_be_had_is_tried_again_and_the_first_goes_on(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "RENEWAL_RETRY_S", 3.0)
    exchange = ScriptedExchange()
    exchange.websocket = server = Broadcast()
    async with client_of(exchange, signer=None) as client, trio.open_nursery() as nursery:
        follower = Follower(client)
        await nursery.start(follower.run)
        server.confirms = False
        await trio.sleep(RENEW_S + 2)
        await server.publish(1)
        server.confirms = True
        await trio.sleep(LIFE_S - RENEW_S)
        await server.publish(2)
        await trio.testing.wait_all_tasks_blocked()
        assert (follower.error, follower.seen) == (None, [1, 2])
        assert server.subscribed == 2
        nursery.cancel_scope.cancel()


async def test_a_second_connection_that_breaks_in_the_overlap_leaves_the_first_in_charge(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "RENEWAL_RETRY_S", 3.0)
    exchange = ScriptedExchange()
    exchange.websocket = server = Broadcast()
    async with client_of(exchange, signer=None) as client, trio.open_nursery() as nursery:
        follower = Follower(client)
        await nursery.start(follower.run)
        await trio.sleep(RENEW_S + 1)
        old, new = stream_links(exchange)
        await server.publish(1)
        await trio.testing.wait_all_tasks_blocked()
        new.cut()
        await trio.sleep(1)
        assert stream_links(exchange) == [old]
        await server.publish(2)
        await trio.sleep(LIFE_S - RENEW_S)
        await server.publish(3)
        await trio.testing.wait_all_tasks_blocked()
        assert (follower.error, follower.seen, server.subscribed) == (None, [1, 2, 3], 3)
        nursery.cancel_scope.cancel()


async def test_a_stream_whose_renewals_all_fail_ends_as_the_exchange_ends_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = Broadcast()
    async with client_of(exchange, signer=None) as client, trio.open_nursery() as nursery:
        follower = Follower(client)
        await nursery.start(follower.run)
        server.confirms = False
        with trio.fail_after(LIFE_S + 1):
            await follower.over.wait()
        assert "1001 24 h" in str(follower.error)


async def test_f5_the_renewed_user_stream_has_the_same_key_and_its_own_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = Broadcast()

    def rest(request: HttpRequest) -> Http | Fault:
        return Http({"listenKey": "abc"}) if "listenKey" in request.path else exchange.plain_rest(request)

    exchange.rest = rest
    async with client_of(exchange) as client:
        async with client.user_stream(BITCOIN) as events:
            with trio.move_on_after(3 * LIFE_S):
                await events.__anext__()
            assert server.subscribed == 4
            assert len(exchange.seen("/fapi/v1/listenKey", "POST")) == 4
        await trio.testing.wait_all_tasks_blocked()
        assert len(server.open) == 0


class SlowApi:
    """A WebSocket API that answers after a pause and cuts each connection at the end of its short day."""

    def __init__(self, answers_after_s: float) -> None:
        self.answers_after_s = answers_after_s
        self.by_connection: list[list[str]] = []
        self.open = 0

    async def __call__(self, connection: Connection, path: str) -> None:
        names: list[str] = []
        self.by_connection.append(names)
        self.open += 1
        try:
            with trio.move_on_after(LIFE_S):
                async with trio.open_nursery() as nursery:
                    with contextlib.suppress(trio_websocket.ConnectionClosed):
                        while True:
                            request = json.loads(await connection.get_message())
                            names.append(request["params"]["newClientOrderId"])
                            nursery.start_soon(self._answer, connection, request)
                    nursery.cancel_scope.cancel()
        finally:
            self.open -= 1

    async def _answer(self, connection: Connection, request: dict[str, Any]) -> None:
        await trio.sleep(self.answers_after_s)
        with contextlib.suppress(trio_websocket.ConnectionClosed):
            await connection.send_message(json.dumps({"id": request["id"], **accepted(request)}))


async def test_r4_requests_in_flight_are_awaited_on_the_old_connection_and_new_ones_take_the_new(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = SlowApi(answers_after_s=2.0)
    kinds: dict[str, type] = {}

    async def place(client: UsdmFutures, name: str) -> None:
        (result,) = await client.place(BITCOIN, [limit(name)])
        kinds[name] = type(result)

    async with client_of(exchange) as client, trio.open_nursery() as nursery:
        began = trio.current_time()
        for number in range(int(3 * LIFE_S)):
            nursery.start_soon(place, client, f"id-{number}")
            await trio.sleep_until(began + number + 1)
        await trio.sleep(5)
        assert server.open == 1
    assert set(kinds.values()) == {OrderAcknowledged}
    assert len(kinds) == int(3 * LIFE_S)
    assert exchange.seen("/fapi/v1/order") == []
    assert len(server.by_connection) == 4
    sent = [name for names in server.by_connection for name in names]
    assert sent == [f"id-{number}" for number in range(len(sent))], "one connection after the other, each order once"


async def test_r4_a_request_that_is_never_answered_does_not_keep_the_old_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = SlowApi(answers_after_s=1_000.0)
    async with client_of(exchange) as client:
        await trio.sleep(RENEW_S - 1)
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderOutcomeLost)
        await trio.sleep(1)
        assert (server.open, len(server.by_connection)) == (1, 2)

"""Spot's market streams: their names, their forms, and how they share the port with those of futures."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.exchange.paper.scripted_market import ScriptedMarket, plain_instrument, quote
from tests.exchange.paper_server.raw_client import SYMBOL, RawSocket, raw_rest, raw_socket
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange
from trio_grid.exchange.paper.engine.symbols import paper_symbol
from trio_grid.exchange.paper.server.spot_stream_names import parse_spot_stream_name
from trio_grid.testing.memory_network import Direction
from trio_grid.testing.paper import PaperHandle, open_paper_exchange

NAMES = {
    "btcusdt@bookTicker": {"u", "s", "b", "B", "a", "A"},
    "btcusdt@trade": {"e", "E", "s", "t", "p", "q", "T", "m", "M"},
    "btcusdt@aggTrade": {"e", "E", "s", "a", "p", "q", "f", "l", "T", "m", "M"},
    "btcusdt@kline_1m": {"e", "E", "s", "k"},
    "btcusdt@kline_1s": {"e", "E", "s", "k"},
    "btcusdt@kline_1h": {"e", "E", "s", "k"},
    "btcusdt@miniTicker": {"e", "E", "s", "c", "o", "h", "l", "v", "q"},
    "btcusdt@ticker": set("eEspPwxcQbBaAohlvqOCFLn"),
    "btcusdt@ticker_1h": set("eEspPwcohlvqOCFLn"),
    "btcusdt@avgPrice": {"e", "E", "s", "i", "w", "T"},
    "btcusdt@depth": {"e", "E", "s", "U", "u", "b", "a"},
    "btcusdt@depth@100ms": {"e", "E", "s", "U", "u", "b", "a"},
    "btcusdt@depth5": {"lastUpdateId", "bids", "asks"},
    "btcusdt@depth20@100ms": {"lastUpdateId", "bids", "asks"},
}
LISTS = ("!ticker@arr", "!miniTicker@arr", "!ticker_4h@arr")


async def next_of(socket: RawSocket, seconds: float = 20) -> Any:
    with trio.fail_after(seconds):
        return await socket.receive()


@pytest.mark.parametrize("name", NAMES)
async def test_each_stream_has_its_names(autojump_clock: object, paper_exchange: PaperHandle, name: str) -> None:
    async with raw_socket(paper_exchange, f"/spot/ws/{name}") as socket:
        payload = await next_of(socket)
    assert set(payload) == NAMES[name]
    assert payload.get("s", SYMBOL) == SYMBOL


@pytest.mark.parametrize("name", LISTS)
async def test_streams_of_all_symbols_are_lists(autojump_clock: object, paper_exchange: PaperHandle, name: str) -> None:
    async with raw_socket(paper_exchange, f"/spot/stream?streams={name}") as socket:
        message = await next_of(socket)
    assert message["stream"] == name
    assert [row["s"] for row in message["data"]] == [SYMBOL]


@pytest.mark.parametrize(
    "name", ["btcusdt@markPrice", "btcusdt@depth@250ms", "btcusdt@kline_9m", "nonsense", "!ticker_2h@arr"]
)
def test_what_only_futures_have_or_nobody_is_no_stream(name: str) -> None:
    assert parse_spot_stream_name(name) is None


async def test_both_markets_have_the_same_names_on_paths_of_their_own(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with (
        raw_socket(paper_exchange, "/spot/ws/btcusdt@bookTicker") as spot,
        raw_socket(paper_exchange, "/ws/btcusdt@bookTicker") as futures,
        raw_socket(paper_exchange, "/spot/ws/btcusdt@markPrice") as wrong,
    ):
        own, other = await next_of(spot), await next_of(futures)
        assert await wrong.is_silent_for(5)
    assert "e" not in own
    assert other["e"] == "bookTicker"
    assert (len(own["b"].partition(".")[2]), len(own["B"].partition(".")[2])) == (8, 8)


async def test_streams_are_subscribed_listed_and_given_up(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_socket(paper_exchange, "/spot/stream") as socket:
        asked = {"id": 1, "method": "SUBSCRIBE", "params": ["btcusdt@trade", "btcusdt@nothing"]}
        assert await socket.request(asked) == {"result": None, "id": 1}
        listed = await socket.request({"id": 2, "method": "LIST_SUBSCRIPTIONS"})
        assert listed["result"] == ["btcusdt@trade", "btcusdt@nothing"]
        assert (await next_of(socket))["stream"] == "btcusdt@trade"
        await socket.request({"id": 3, "method": "UNSUBSCRIBE", "params": ["btcusdt@trade"]})
        assert await socket.is_silent_for(5)


async def test_a_sixth_request_in_a_second_ends_the_connection(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_socket(paper_exchange, "/spot/ws") as socket:
        for number in range(6):
            await socket.send({"id": number, "method": "LIST_SUBSCRIPTIONS"})
        code, received = await socket.until_closed()
    # Answers that still wait when the connection is closed may be lost.
    assert (code, [answer["id"] for answer in received]) in [(1008, list(range(some))) for some in range(6)]


async def test_times_may_come_in_microseconds(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    path = "/spot/stream?streams=btcusdt@trade/btcusdt@kline_1s"
    async with (
        raw_socket(paper_exchange, f"{path}&timeUnit=MICROSECOND") as fine,
        raw_socket(paper_exchange, path) as usual,
    ):
        seen: dict[str, tuple[Any, Any]] = {}
        for place, socket in enumerate((fine, usual)):
            for _ in range(60):
                data = (await next_of(socket))["data"]
                key = f"{data['e']} {data.get('t') or data['k']['f']}"
                seen[key] = (data, seen[key][0]) if place and key in seen else (data, None)
    pairs = [(usual_one, fine_one) for usual_one, fine_one in seen.values() if fine_one is not None]
    assert {one["e"] for one, _ in pairs} == {"trade", "kline"}
    for one, other in pairs:
        assert other["E"] == one["E"] * 1000
        if one["e"] == "trade":
            assert (other["T"], other["t"]) == (one["T"] * 1000, one["t"])
        else:
            assert (other["k"]["t"], other["k"]["T"]) == (one["k"]["t"] * 1000, one["k"]["T"] * 1000)


async def test_the_documented_procedure_keeps_a_book_equal_to_the_exchanges(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest, raw_socket(paper_exchange, "/spot/ws/btcusdt@depth@100ms") as socket:
        first = await next_of(socket)
        snapshot = await rest.get("/api/v3/depth", symbol=SYMBOL, limit=1000)
        sides: dict[str, dict[str, str]] = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
        known = snapshot["lastUpdateId"]
        updates = [first] + [await next_of(socket) for _ in range(8)]
        last = 0
        for update in updates:
            assert last in (0, update["U"] - 1), "updates connect"
            last = update["u"]
            if update["u"] <= known:
                continue
            assert update["U"] <= known + 1
            known = update["u"]
            for side, levels in sides.items():
                for price, quantity in update[side]:
                    levels.pop(price, None)
                    if float(quantity):
                        levels[price] = quantity
        now = await rest.get("/api/v3/depth", symbol=SYMBOL, limit=20)
    assert known == now["lastUpdateId"]
    for side, name in (("b", "bids"), ("a", "asks")):
        best = sorted(sides[side].items(), key=lambda level: float(level[0]), reverse=side == "b")[:20]
        assert [list(level) for level in best] == now[name]


@pytest.mark.parametrize("path", ["/spot/ws", "/ws-api/v3"])
async def test_a_connection_without_a_pong_ends_a_minute_after_the_first_ping(
    autojump_clock: object, paper_exchange: PaperHandle, path: str
) -> None:
    assert paper_exchange.network is not None
    async with raw_socket(paper_exchange, path, owner="mute") as mute, raw_socket(paper_exchange, path) as other:
        [link] = paper_exchange.network.links("mute")
        began = trio.current_time()
        link.stall(Direction.TO_SERVER)
        assert await mute.until_closed() == (1006, [])
        assert trio.current_time() - began == pytest.approx(20 + 60, abs=1)
        answer = await other.request({"id": 1, "method": "ping"})
    assert answer["id"] == 1, "who answers its pings lives on"


async def test_receivers_hear_that_the_server_stops(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with (
        raw_socket(paper_exchange, "/spot/ws") as raw,
        raw_socket(paper_exchange, "/spot/stream") as combined,
        raw_socket(paper_exchange, "/ws") as futures,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(paper_exchange.server.close_websockets)
        told = [await socket.until_closed() for socket in (raw, combined, futures)]
    assert [code for code, _ in told] == [1001] * 3
    assert [message["e"] for message in told[0][1]] == ["serverShutdown"]
    assert [(one["stream"], one["data"]["e"]) for one in told[1][1]] == [("!serverShutdown", "serverShutdown")]
    assert told[2][1] == []


async def test_streams_wait_for_a_market_that_has_not_spoken_yet(autojump_clock: object) -> None:
    market = ScriptedMarket([quote(3000, 1000, 1001, (1000, 5, True))])
    account = AccountSpec(name="testkey")
    exchange = PaperExchange([(paper_symbol(plain_instrument()), market)], accounts=[account])
    names = ("testusdt@avgPrice", "testusdt@ticker", "!miniTicker@arr", "testusdt@ticker_1h", "testusdt@kline_1s")
    async with (
        open_paper_exchange(exchange) as handle,
        raw_socket(handle, f"/spot/stream?streams={'/'.join(names)}") as socket,
        raw_socket(handle, "/stream?streams=testusdt@ticker/!miniTicker@arr/testusdt@depth/testusdt@depth5") as futures,
        raw_rest(handle) as rest,
    ):
        early = await rest.http.get("/api/v3/ticker/24hr?symbol=TESTUSDT")
        messages = [await next_of(socket) for _ in range(10)]
        of_futures = {(await next_of(futures))["stream"] for _ in range(12)}
    assert early.json()["code"] == -1121
    assert {message["stream"] for message in messages} == set(names)
    assert {"testusdt@ticker", "!miniTicker@arr"} <= of_futures

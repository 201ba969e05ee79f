from typing import Any

import pytest
import trio
import trio_websocket

from tests.exchange.paper_server.raw_client import RawSocket, raw_rest, raw_socket
from trio_grid.exchange.paper.server.stream_names import Route, Topic, parse_stream_name
from trio_grid.testing.paper import PaperHandle, open_paper_exchange

BOOK, KLINE, MARK = "btcusdt@bookTicker", "btcusdt@kline_1m", "btcusdt@markPrice@1s"


async def kinds_within(socket: RawSocket, seconds: float) -> set[str]:
    kinds: set[str] = set()
    with trio.move_on_after(seconds):
        while True:
            message = await socket.receive()
            payload = message.get("data", message) if isinstance(message, dict) else message[0]
            kinds.add(payload["e"])
    return kinds


async def test_raw_stream_gives_plain_payloads(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_socket(paper_exchange, f"/ws/{BOOK}") as socket:
        first, second = await socket.event("bookTicker"), await socket.event("bookTicker")
    assert first["s"] == "BTCUSDT"
    assert float(first["b"]) < float(first["a"])
    assert first["u"] < second["u"]
    assert first["T"] <= second["T"]


async def test_combined_stream_wraps_and_carries_several(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_socket(paper_exchange, f"/stream?streams={BOOK}/{KLINE}/{MARK}") as socket:
        seen: dict[str, str] = {}
        with trio.fail_after(30):
            while len(seen) < 3:
                message = await socket.receive()
                assert set(message) == {"stream", "data"}
                seen[message["stream"]] = message["data"]["e"]
    assert seen == {BOOK: "bookTicker", KLINE: "kline", MARK: "markPriceUpdate"}


async def test_subscriptions_are_driven_by_requests(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_socket(paper_exchange, "/ws") as socket:
        assert await socket.is_silent_for(5)
        assert await socket.request({"method": "SUBSCRIBE", "params": [KLINE, BOOK], "id": 1}) == {
            "result": None, "id": 1,
        }  # fmt: skip
        assert (await socket.event("kline"))["k"]["i"] == "1m"
        listed = await socket.request({"method": "LIST_SUBSCRIPTIONS", "id": "uuid-like"})
        assert listed == {"result": [KLINE, BOOK], "id": "uuid-like"}
        await socket.request({"method": "UNSUBSCRIBE", "params": [BOOK], "id": None})
        assert await kinds_within(socket, 5) == {"kline"}
        assert await socket.request({"method": "GET_PROPERTY", "params": ["combined"], "id": 4}) == {
            "result": False, "id": 4,
        }  # fmt: skip
        await trio.sleep(1)
        await socket.request({"method": "SET_PROPERTY", "params": ["combined", True], "id": 5})
        with trio.fail_after(5):
            while "stream" not in await socket.receive():
                pass


@pytest.mark.parametrize(
    ("message", "code"),
    [("garbage", 3), (b"\x00\xff", 3), ("[]", 2), ("{}", 2), ('{"method":"DANCE","id":1}', 2),
     ('{"method":"SUBSCRIBE","params":"btc","id":1}', 2), ('{"method":"SUBSCRIBE","params":[1],"id":1}', 2),
     ('{"method":"SUBSCRIBE","params":[],"id":{}}', 2), ('{"method":"SET_PROPERTY","params":["x"],"id":1}', 2),
     ('{"method":5,"id":1}', 2), ("null", 2), ("[" * 5000, 2), ('{"method":"SUBSCRIBE","id":1.5}', 2)],
)  # fmt: skip
async def test_bad_requests_are_answered_and_the_connection_lives_on(
    autojump_clock: object, paper_exchange: PaperHandle, message: str | bytes, code: int
) -> None:
    async with raw_socket(paper_exchange, "/ws") as socket:
        await socket.send(message)
        assert (await socket.receive())["error"]["code"] == code
        assert (await socket.request({"method": "SUBSCRIBE", "params": [BOOK], "id": 1}))["result"] is None
        assert (await socket.event("bookTicker"))["s"] == "BTCUSDT"


@pytest.mark.parametrize("name", ["btcusdt@nothing", "BTCUSDT@bookTicker", "nopeusdt@bookTicker", "@", "!", "btcusdt@"])
async def test_a_stream_that_does_not_exist_is_acknowledged_and_silent(
    autojump_clock: object, paper_exchange: PaperHandle, name: str
) -> None:
    async with raw_socket(paper_exchange, "/ws") as socket:
        assert (await socket.request({"method": "SUBSCRIBE", "params": [name], "id": 1}))["result"] is None
        assert await socket.is_silent_for(10)


ALL = f"{BOOK}/{KLINE}"


@pytest.mark.parametrize(
    ("path", "strict", "kinds"),
    [
        (f"/stream?streams={ALL}", False, {"bookTicker", "kline"}),
        (f"/stream?streams={ALL}", True, {"bookTicker"}),
        (f"/public/stream?streams={ALL}", True, {"bookTicker"}),
        (f"/market/stream?streams={ALL}", True, {"kline"}),
        (f"/market/stream?streams={ALL}", False, {"bookTicker", "kline"}),
        (f"/private/stream?streams={ALL}", True, set()),
        # A path segment that is a plain counter, as one well-known client sends.
        (f"/market/ws/{KLINE}/0", True, {"kline"}),
    ],
)
async def test_routes_deliver_their_part(autojump_clock: object, path: str, strict: bool, kinds: set[str]) -> None:
    async with (
        open_paper_exchange(history_minutes=10, strict_routing=strict) as handle,
        raw_socket(handle, path) as socket,
    ):
        assert await kinds_within(socket, 10) == kinds


async def test_partial_depth_and_other_derived_streams(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    names = [
        "btcusdt@depth5@100ms", "btcusdt_perpetual@continuousKline_1m", "btcusdt@kline_5m", "btcusdt@miniTicker",
        "btcusdt@ticker", "!markPrice@arr@1s",
    ]  # fmt: skip
    seen: dict[str, object] = {}
    async with raw_socket(paper_exchange, "/stream?streams=" + "/".join(names)) as socket:
        with trio.fail_after(60):
            while len(seen) < len(names):
                message = await socket.receive()
                seen.setdefault(message["stream"], message["data"])
    depth = seen["btcusdt@depth5@100ms"]
    assert isinstance(depth, dict)
    assert (len(depth["b"]), len(depth["a"])) == (5, 5)
    assert float(depth["b"][0][0]) < float(depth["a"][0][0])
    continuous, five = seen["btcusdt_perpetual@continuousKline_1m"], seen["btcusdt@kline_5m"]
    assert isinstance(continuous, dict)
    assert isinstance(five, dict)
    assert (continuous["e"], continuous["ps"], "s" in continuous["k"]) == ("continuous_kline", "BTCUSDT", False)
    assert (five["k"]["i"], five["k"]["t"] % 300_000) == ("5m", 0)


async def test_book_kept_by_the_documented_procedure_equals_the_exchanges_own(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest, raw_socket(paper_exchange, "/ws/btcusdt@depth@100ms") as socket:
        await trio.sleep(1)
        snapshot = await rest.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
        sides = {side: dict(snapshot[side]) for side in ("bids", "asks")}
        last, applied = snapshot["lastUpdateId"], 0
        with trio.fail_after(60):
            while applied < 50:
                event = await socket.event("depthUpdate")
                if applied == 0:
                    if event["u"] < last:
                        continue
                    assert event["U"] <= last <= event["u"] or event["pu"] == last
                else:
                    assert event["pu"] == last
                last, applied = event["u"], applied + 1
                for side, changes in (("bids", event["b"]), ("asks", event["a"])):
                    for price, quantity in changes:
                        if float(quantity) == 0:
                            sides[side].pop(price, None)
                        else:
                            sides[side][price] = quantity
        fresh = await rest.get("/fapi/v1/depth", symbol="BTCUSDT", limit=5)
        if fresh["lastUpdateId"] == last:
            assert max(map(float, sides["bids"])) == float(fresh["bids"][0][0])
            assert min(map(float, sides["asks"])) == float(fresh["asks"][0][0])
        assert max(map(float, sides["bids"])) < min(map(float, sides["asks"]))


async def test_closed_klines_equal_the_rest_klines(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest, raw_socket(paper_exchange, f"/ws/{KLINE}") as socket:
        closed: list[dict[str, Any]] = []
        with trio.fail_after(300):
            while len(closed) < 2:
                kline = (await socket.event("kline"))["k"]
                if kline["x"]:
                    closed.append(kline)
        assert closed[1]["t"] == closed[0]["t"] + 60_000
        rows = await rest.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", startTime=closed[0]["t"], limit=2)
        assert [row[0:6] for row in rows] == [[k["t"], k["o"], k["h"], k["l"], k["c"], k["v"]] for k in closed]


async def test_too_many_requests_in_a_second_end_the_connection(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_socket(paper_exchange, "/ws") as socket:
        for number in range(11):
            await socket.send({"method": "LIST_SUBSCRIPTIONS", "id": number})
        code, answers = await socket.until_closed()
        assert code == 1008
        assert len(answers) <= 10


async def test_more_than_1024_streams_are_refused(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_socket(paper_exchange, "/ws") as socket:
        names = [f"coin{number}usdt@trade" for number in range(1024)]
        assert (await socket.request({"method": "SUBSCRIBE", "params": names, "id": 1}))["result"] is None
        refused = await socket.request({"method": "SUBSCRIBE", "params": ["one@trade"], "id": 2})
        assert refused["error"]["code"] == 2


async def test_unknown_paths_are_refused_at_the_handshake(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    with pytest.RaisesGroup(trio_websocket.ConnectionRejected, flatten_subgroups=True, allow_unwrapped=True) as refused:
        async with raw_socket(paper_exchange, "/nowhere"):
            pass
    assert "404" in repr(refused.value)


def test_stream_names_are_understood() -> None:
    name = parse_stream_name("btcusdt@depth20@100ms")
    assert name is not None
    assert (name.topic, name.symbol, name.levels, name.speed_ms) == (Topic.PARTIAL_DEPTH, "BTCUSDT", 20, 100)
    key = parse_stream_name("AbC123")
    assert key is not None
    assert key.topic is Topic.USER
    assert key.delivered_on(Route.PRIVATE, strict=True)
    assert not key.delivered_on(Route.MARKET, strict=False)
    for unknown in ("", "btcusdt@kline_7m", "btcusdt@bookTicker@100ms", "!bookTicker@1s", "btcusdt@depth7"):
        assert parse_stream_name(unknown) is None

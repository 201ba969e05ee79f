"""Requests that are wrong, and clients that go away: the exchange answers, and goes on."""

from email.utils import parsedate_to_datetime

import httpx
import pytest
import trio
import trio.testing

from tests.exchange.paper_server.raw_client import KEY, SYMBOL, raw_rest, signed
from trio_grid.exchange.paper.server.request_gate import RequestGate
from trio_grid.testing.paper import PaperHandle


async def test_unknown_routes_and_methods_get_the_exchanges_answer(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with paper_exchange.http() as http:
        unknown = await http.get("/fapi/v1/nothing")
        assert (unknown.status_code, unknown.json()["code"]) == (404, -5000)
        wrong = await http.patch("/fapi/v1/order")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "DELETE, GET, POST, PUT")
        assert (await http.head("/fapi/v1/time")).status_code == 405


@pytest.mark.parametrize("path", ["/fapi/v1/order/", "/api/v3/order/"])
async def test_a_path_with_a_slash_behind_it_is_unknown_and_places_nothing(
    autojump_clock: object, paper_exchange: PaperHandle, path: str
) -> None:
    async with raw_rest(paper_exchange) as rest:
        answer = await rest.send("POST", path, symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.002")
    assert (answer.status_code, answer.json()) == (
        404,
        {"code": -5000, "msg": f"Path {path}, Method POST is invalid"},
    )


async def test_every_answer_has_the_date_of_the_exchanges_time(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with paper_exchange.http() as http:
        for path, status in [("/fapi/v1/time", 200), ("/api/v3/depth", 400), ("/nothing", 404)]:
            await trio.sleep(2)
            before_s = paper_exchange.now_ms() // 1000
            answer = await http.get(path)
            assert answer.status_code == status
            told_s = parsedate_to_datetime(answer.headers["date"]).timestamp()
            assert before_s <= told_s <= paper_exchange.now_ms() // 1000


BROKEN_QUERIES = [
    "symbol=", "symbol=%ff%fe", "symbol=NOPE", "symbol=BTCUSDT&limit=abc", "symbol=BTCUSDT&limit=-1",
    "symbol=BTCUSDT&limit=99999999999999999999", "symbol=BTCUSDT&startTime=1e99", "symbol[]=BTCUSDT", "&&&===", "%",
    "symbol=BTCUSDT&interval=1m&limit=1501", "symbol=BTCUSDT&interval=7m", "symbol=BTCUSDT&startTime=\u0661",
]  # fmt: skip


@pytest.mark.parametrize("path", ["/fapi/v1/klines", "/fapi/v1/depth", "/fapi/v1/aggTrades", "/fapi/v1/premiumIndex"])
async def test_bad_queries_are_refused_with_a_code_and_the_server_goes_on(
    autojump_clock: object, paper_exchange: PaperHandle, path: str
) -> None:
    async with paper_exchange.http() as http:
        for query in BROKEN_QUERIES:
            answer = await http.get(f"{path}?{query}")
            assert answer.status_code in (200, 400), (query, answer.text)
            if answer.status_code == 400:
                assert answer.json()["code"] < 0, query
        assert (await http.get("/fapi/v1/ping")).json() == {}


BROKEN_ORDERS: list[dict[str, object]] = [
    {}, {"symbol": SYMBOL}, {"symbol": SYMBOL, "side": "BUY"}, {"side": "BUY", "type": "LIMIT"},
    {"quantity": "abc"}, {"quantity": "-1"}, {"quantity": "NaN"}, {"quantity": "1e400"}, {"quantity": "0.0001"},
    {"price": "Infinity"}, {"price": "1e-400"}, {"price": "60000.05"}, {"price": ""}, {"side": "HOLD"},
    {"type": "STOP_MARKET"}, {"type": "LOTTERY"}, {"timeInForce": "NOW"}, {"timeInForce": ""}, {"reduceOnly": "maybe"},
    {"newClientOrderId": "x" * 37}, {"newClientOrderId": "spaces are not allowed"}, {"positionSide": "LONG"},
    {"newOrderRespType": "FULLER"}, {"selfTradePreventionMode": "PRAY"}, {"priceMatch": "HIGHEST"},
    {"symbol": "ETHBTC"}, {"quantity": "\u0663"}, {"goodTillDate": "soon"},
]  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN_ORDERS, ids=repr)
async def test_bad_orders_are_refused_with_a_code_and_leave_no_order(
    autojump_clock: object, paper_exchange: PaperHandle, fault: dict[str, object]
) -> None:
    async with raw_rest(paper_exchange) as rest:
        order: dict[str, object] = {
            "symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.002",
            "price": await rest.resting_price(),
        }  # fmt: skip
        # The first four are all that is sent; the others spoil one field of a good order.
        sent = fault if fault in BROKEN_ORDERS[:4] else order | fault
        answer = await rest.send("POST", "/fapi/v1/order", **sent)
        assert answer.status_code == 400, answer.text
        assert answer.json()["code"] < 0
        assert await rest.ask("GET", "/fapi/v1/openOrders", symbol=SYMBOL) == []


async def test_a_huge_body_is_refused_and_the_server_goes_on(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with paper_exchange.http() as http:
        answer = await http.post("/fapi/v1/order", content=b"x" * 2_000_000, headers={"X-MBX-APIKEY": KEY})
        assert answer.status_code == 413
        assert answer.json()["code"] == -1101
        assert (await http.get("/fapi/v1/ping")).json() == {}


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET\r\n\r\n", b"\x00" * 100, b"A" * 70_000, b""]
)
async def test_bytes_that_are_no_http_end_their_own_connection_only(
    autojump_clock: object, paper_exchange: PaperHandle, noise: bytes
) -> None:
    port = int(paper_exchange.urls.rest_url.rsplit(":", 1)[1])
    async with await paper_exchange.connector()("127.0.0.1", port, False) as stream:
        await stream.send_all(noise or b"\r")
        received = b""
        with trio.fail_after(30):
            while data := await stream.receive_some():
                received += data
        assert received == b"" or received.startswith(b"HTTP/1.1 4")
    async with paper_exchange.http() as http:
        assert (await http.get("/fapi/v1/ping")).status_code == 200


async def test_a_client_that_goes_away_does_not_undo_its_order(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        price = await rest.resting_price()
        query = signed(
            paper_exchange,
            symbol=SYMBOL,
            side="BUY",
            type="LIMIT",
            timeInForce="GTC",
            quantity="0.002",
            price=price,
            newClientOrderId="gone",
        )
        port = int(paper_exchange.urls.rest_url.rsplit(":", 1)[1])
        stream = await paper_exchange.connector()("127.0.0.1", port, False)
        head = f"POST /fapi/v1/order?{query} HTTP/1.1\r\nhost: x\r\nx-mbx-apikey: {KEY}\r\ncontent-length: 0\r\n\r\n"
        await stream.send_all(head.encode())
        await trio.aclose_forcefully(stream)
        await trio.testing.wait_all_tasks_blocked()
        found = await rest.ask("GET", "/fapi/v1/order", symbol=SYMBOL, origClientOrderId="gone")
    assert found["status"] == "NEW"


async def test_one_connection_serves_many_requests(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    assert paper_exchange.network is not None
    async with paper_exchange.http("reader") as http:
        for _ in range(50):
            answer: httpx.Response = await http.get("/fapi/v1/ping")
            assert answer.status_code == 200
        await trio.sleep(60)
        assert (await http.get("/fapi/v1/ping")).status_code == 200
    assert len(list(paper_exchange.network.links("reader"))) == 1


async def test_a_fault_of_the_exchange_is_answered_logged_and_survived(
    autojump_clock: object, paper_exchange: PaperHandle, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("a fault for this test")

    async with raw_rest(paper_exchange) as rest:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RequestGate, "admit", broken)
            answer = await rest.http.get("/fapi/v1/ping")
        assert (answer.status_code, answer.json()["code"]) == (500, -1000)
        assert "a fault for this test" in caplog.text
        assert (await rest.http.get("/fapi/v1/ping")).json() == {}

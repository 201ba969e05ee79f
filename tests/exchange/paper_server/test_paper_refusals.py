"""Single codes, routes and streams that the other tests meet in passing only."""

from __future__ import annotations

import trio

from tests.exchange.paper.scripted_market import quote, scripted
from tests.exchange.paper_server.raw_client import KEY, SYMBOL, raw_rest, raw_socket
from trio_grid.exchange.paper.server.authentication import ApiKey
from trio_grid.testing.paper import PaperHandle, open_paper_exchange


async def test_bytes_that_are_no_text_are_illegal_characters(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with paper_exchange.http() as http:
        answer = await http.get("/fapi/v1/klines?symbol=%ff%fe&interval=1m")
    assert (answer.status_code, answer.json()["code"]) == (400, -1100)


async def test_a_body_that_ends_early_is_refused_and_nothing_is_placed(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    port = int(paper_exchange.urls.rest_url.rsplit(":", 1)[1])
    head = (
        f"POST /fapi/v1/order HTTP/1.1\r\nhost: x\r\nx-mbx-apikey: {KEY}\r\ncontent-length: 100\r\n\r\nsymbol={SYMBOL}"
    )
    received = b""
    async with await paper_exchange.connector()("127.0.0.1", port, False) as stream:
        await stream.send_all(head.encode())
        await stream.send_eof()
        while data := await stream.receive_some():
            received += data
    assert received.startswith(b"HTTP/1.1 400 ")
    async with raw_rest(paper_exchange) as rest:
        assert await rest.ask("GET", "/fapi/v1/openOrders") == []


async def test_a_test_order_is_judged_and_leaves_nothing(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    order = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.002"}
    async with raw_rest(paper_exchange) as rest:
        price = await rest.resting_price()
        accepted = await rest.send("POST", "/fapi/v1/order/test", **order, price=price)
        refused = await rest.send("POST", "/fapi/v1/order/test", **order, price="0")
        assert (accepted.status_code, refused.json()["code"]) == (200, -4001)
        assert await rest.ask("GET", "/fapi/v1/allOrders", symbol=SYMBOL) == []


async def test_all_open_orders_of_a_symbol_are_cancelled(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        placed = {(await rest.place_resting(side))["orderId"] for side in ("BUY", "BUY", "SELL")}
        answer = await rest.ask("DELETE", "/fapi/v1/allOpenOrders", symbol=SYMBOL)
        assert answer == {"code": 200, "msg": "The operation of cancel all open order is done."}
        assert await rest.ask("GET", "/fapi/v1/openOrders") == []
        orders = await rest.ask("GET", "/fapi/v1/allOrders", symbol=SYMBOL)
    assert {(order["orderId"], order["status"]) for order in orders} == {(order, "CANCELED") for order in placed}


async def test_the_websocket_api_refuses_what_it_does_not_know(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_socket(paper_exchange, "/ws-fapi/v1") as socket:
        unknown = await socket.request({"id": 1, "method": "order.wish"})
        assert (unknown["status"], unknown["error"]["code"]) == (400, -1104)
        broken = await socket.request('{"id": 2, "method": ')
        assert (broken["id"], broken["status"], broken["error"]["code"]) == (None, 400, -1135)
        assert (await socket.request({"id": 3, "method": "ping"}))["status"] == 200


async def test_partial_depth_has_its_levels_and_tickers_their_events(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    seen: dict[str, dict[str, object]] = {}
    names = ("btcusdt@depth10@100ms", "btcusdt@ticker", "btcusdt@miniTicker")
    async with raw_socket(paper_exchange, "/stream?streams=" + "/".join(names)) as socket:
        while len(seen) < len(names):
            message = await socket.receive()
            seen.setdefault(message["stream"], message["data"])
    assert [len(seen[names[0]][side]) for side in ("b", "a")] == [10, 10]  # type: ignore[arg-type]
    assert [seen[name]["e"] for name in names[1:]] == ["24hrTicker", "24hrMiniTicker"]
    assert {"p", "P", "w", "Q", "O", "C", "F", "L", "n"} == set(seen[names[1]]) - set(seen[names[2]])


async def test_a_liquidation_is_told_on_the_force_order_streams(autojump_clock: object) -> None:
    exchange, market, ann, _ = scripted(quote(0, 999, 1001), depth_lots=1_000_000, balance=100)
    ann.market("BUY", 15_000)
    exchange.take_events()
    async with (
        open_paper_exchange(exchange, keys=[ApiKey(key=KEY, account="ann", secret="s")]) as handle,
        raw_socket(handle, "/ws/testusdt@forceOrder") as own,
        raw_socket(handle, "/ws/!forceOrder@arr") as every,
    ):
        await trio.sleep(1)
        market.add(quote(2_000, 500, 502))
        told = [await socket.event("forceOrder") for socket in (own, every)]
    assert told[0] == told[1]
    assert (told[0]["o"]["s"], told[0]["o"]["S"], told[0]["o"]["X"]) == ("TESTUSDT", "SELL", "FILLED")
    assert ann.lots == 0

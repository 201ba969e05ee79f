import pytest
import trio

from tests.exchange.paper_server.raw_client import SYMBOL, RawSocket, raw_rest, raw_socket
from trio_grid.testing.paper import PaperHandle, open_paper_exchange

FORMS = {
    "docs": "/private/ws?listenKey={key}",
    "docs with events": "/private/ws?listenKey={key}&events=ORDER_TRADE_UPDATE/ACCOUNT_UPDATE",
    "legacy path": "/ws/{key}",
    "private path": "/private/ws/{key}",
    "legacy combined": "/stream?streams={key}",
    "private combined": "/private/stream?streams={key}",
}


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_of_the_url_delivers_order_events(
    autojump_clock: object, paper_exchange: PaperHandle, form: str
) -> None:
    async with raw_rest(paper_exchange) as rest:
        key = await rest.listen_key()
        async with raw_socket(paper_exchange, FORMS[form].format(key=key)) as socket:
            placed = await rest.place_resting(newClientOrderId="mine")
            with trio.fail_after(5):
                event = await socket.event("ORDER_TRADE_UPDATE")
    assert (event["o"]["x"], event["o"]["X"], event["o"]["i"], event["o"]["c"]) == (
        "NEW", "NEW", placed["orderId"], "mine",
    )  # fmt: skip


@pytest.mark.parametrize("path", ["/private/stream", "/private/ws", "/ws", "/stream"])
async def test_the_key_may_be_subscribed_to(autojump_clock: object, paper_exchange: PaperHandle, path: str) -> None:
    async with raw_rest(paper_exchange) as rest, raw_socket(paper_exchange, path) as socket:
        key = await rest.listen_key()
        assert (await socket.request({"method": "SUBSCRIBE", "params": [key], "id": 1}))["result"] is None
        await rest.place_resting()
        with trio.fail_after(5):
            message = await socket.receive()
        if path.endswith("stream"):
            assert message["stream"] == key
            message = message["data"]
        assert message["e"] == "ORDER_TRADE_UPDATE"


async def test_a_fill_tells_trade_account_and_order_in_this_order(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        key = await rest.listen_key()
        async with raw_socket(paper_exchange, f"/private/ws?listenKey={key}") as socket:
            await rest.buy_at_market()
            kinds = []
            with trio.move_on_after(2):
                while True:
                    event = await socket.receive()
                    kinds.append(event["e"] + (":" + event["o"]["x"] if "o" in event else ""))
    assert kinds[0] == "ORDER_TRADE_UPDATE:NEW"
    assert kinds[1:4] == ["TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE:TRADE"]
    assert kinds.count("TRADE_LITE") == kinds.count("ORDER_TRADE_UPDATE:TRADE")


async def test_events_narrow_what_comes(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        key = await rest.listen_key()
        async with raw_socket(paper_exchange, f"/private/ws?listenKey={key}&events=ACCOUNT_UPDATE") as socket:
            await rest.buy_at_market()
            with trio.fail_after(5):
                assert (await socket.receive())["e"] == "ACCOUNT_UPDATE"


async def test_user_data_comes_on_its_own_routes_only(autojump_clock: object) -> None:
    async with open_paper_exchange(history_minutes=10, strict_routing=True) as handle, raw_rest(handle) as rest:
        key = await rest.listen_key()
        async with (
            raw_socket(handle, f"/ws/{key}") as unrouted,
            raw_socket(handle, f"/market/ws/{key}") as market,
            raw_socket(handle, f"/private/ws/{key}") as private,
        ):
            await rest.place_resting()
            with trio.fail_after(5):
                await private.event("ORDER_TRADE_UPDATE")
            assert await unrouted.is_silent_for(3)
            assert await market.is_silent_for(3)


async def test_a_key_lives_an_hour_and_expires_with_an_event(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        key = await rest.listen_key()
        assert await rest.listen_key() == key
        async with raw_socket(paper_exchange, f"/private/ws?listenKey={key}") as socket:
            await trio.sleep(1800)
            renewed = await rest.http.put("/fapi/v1/listenKey", headers=rest.headers)
            assert renewed.json() == {"listenKey": key}
            began = trio.current_time()
            with trio.fail_after(3700):
                event = await socket.event("listenKeyExpired")
            assert trio.current_time() - began == pytest.approx(3600, abs=2)
            assert (event["listenKey"], type(event["E"])) == (key, int)
            gone = await rest.http.put("/fapi/v1/listenKey", headers=rest.headers)
            assert (gone.status_code, gone.json()["code"]) == (400, -1125)
            await rest.place_resting()
            assert await socket.is_silent_for(5)
            fresh = await rest.listen_key()
            assert fresh != key
            await socket.request({"method": "SUBSCRIBE", "params": [fresh], "id": 1})
            await rest.place_resting(side="SELL")
            await socket.event("ORDER_TRADE_UPDATE")


async def test_a_closed_key_says_nothing_more(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        key = await rest.listen_key()
        async with raw_socket(paper_exchange, f"/private/ws?listenKey={key}") as socket:
            closed = await rest.http.request("DELETE", "/fapi/v1/listenKey", headers=rest.headers)
            assert (closed.status_code, closed.json()) == (200, {})
            await rest.place_resting()
            assert await socket.is_silent_for(5)
        again = await rest.http.request("DELETE", "/fapi/v1/listenKey", headers=rest.headers)
        assert again.json()["code"] == -1125


async def test_listen_keys_need_an_api_key(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with paper_exchange.http() as http:
        assert (await http.post("/fapi/v1/listenKey")).json()["code"] == -2014
        stranger = await http.post("/fapi/v1/listenKey", headers={"X-MBX-APIKEY": "stranger"})
        assert (stranger.status_code, stranger.json()["code"]) == (401, -2015)


async def test_leverage_change_is_told(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        key = await rest.listen_key()
        async with raw_socket(paper_exchange, f"/private/ws?listenKey={key}") as socket:
            await rest.ask("POST", "/fapi/v1/leverage", symbol=SYMBOL, leverage=3)
            with trio.fail_after(5):
                event = await socket.event("ACCOUNT_CONFIG_UPDATE")
    assert event["ac"] == {"s": SYMBOL, "l": 3}


async def test_two_streams_of_one_account_tell_the_same(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async def first_two(socket: RawSocket) -> list[int]:
        return [(await socket.event("ORDER_TRADE_UPDATE"))["o"]["i"] for _ in range(2)]

    async with raw_rest(paper_exchange) as rest:
        key = await rest.listen_key()
        async with raw_socket(paper_exchange, f"/ws/{key}") as one, raw_socket(paper_exchange, f"/ws/{key}") as other:
            await rest.place_resting()
            await rest.place_resting(side="SELL")
            with trio.fail_after(5):
                assert await first_two(one) == await first_two(other)

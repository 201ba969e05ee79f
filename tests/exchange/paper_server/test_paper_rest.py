import json

import pytest
import trio
import trio.testing

from tests.exchange.paper_server.raw_client import SYMBOL, form, hmac_hex, raw_rest, signed
from trio_grid.exchange.paper.server.api_tables import REST_ROUTES
from trio_grid.testing.paper import START_MS, PaperHandle, open_paper_exchange

PUBLIC_READS: dict[str, dict[str, object]] = {
    "/fapi/v1/ping": {},
    "/fapi/v1/time": {},
    "/fapi/v1/exchangeInfo": {},
    "/fapi/v1/klines": {"symbol": SYMBOL, "interval": "1m", "limit": 5},
    "/fapi/v1/continuousKlines": {"pair": SYMBOL, "contractType": "PERPETUAL", "interval": "1m", "limit": 5},
    "/fapi/v1/depth": {"symbol": SYMBOL, "limit": 5},
    "/fapi/v1/trades": {"symbol": SYMBOL},
    "/fapi/v1/aggTrades": {"symbol": SYMBOL},
    "/fapi/v1/premiumIndex": {"symbol": SYMBOL},
    "/fapi/v1/markPriceKlines": {"symbol": SYMBOL, "interval": "1m", "limit": 5},
    "/fapi/v1/indexPriceKlines": {"pair": SYMBOL, "interval": "5m"},
    "/fapi/v1/premiumIndexKlines": {"symbol": SYMBOL, "interval": "1m"},
    "/fapi/v1/openInterest": {"symbol": SYMBOL},
    "/fapi/v1/symbolAdlRisk": {},
    "/fapi/v1/fundingRate": {"symbol": SYMBOL},
    "/fapi/v1/fundingInfo": {},
    "/fapi/v1/ticker/24hr": {"symbol": SYMBOL},
    "/fapi/v1/ticker/price": {"symbol": SYMBOL},
    "/fapi/v2/ticker/price": {},
    "/fapi/v1/ticker/bookTicker": {},
}
PRIVATE_READS: dict[str, dict[str, object]] = {
    "/fapi/v1/openOrders": {"symbol": SYMBOL},
    "/fapi/v1/allOrders": {"symbol": SYMBOL},
    "/fapi/v1/userTrades": {"symbol": SYMBOL},
    "/fapi/v1/forceOrders": {"symbol": SYMBOL},
    "/fapi/v1/adlQuantile": {},
    "/fapi/v2/account": {},
    "/fapi/v3/account": {},
    "/fapi/v2/balance": {},
    "/fapi/v3/balance": {},
    "/fapi/v2/positionRisk": {},
    "/fapi/v3/positionRisk": {"symbol": SYMBOL},
    "/fapi/v1/symbolConfig": {},
    "/fapi/v1/accountConfig": {},
    "/fapi/v1/leverageBracket": {"symbol": SYMBOL},
    "/fapi/v1/commissionRate": {"symbol": SYMBOL},
    "/fapi/v1/income": {},
    "/fapi/v1/positionSide/dual": {},
    "/fapi/v1/positionMargin/history": {"symbol": SYMBOL},
    "/fapi/v1/multiAssetsMargin": {},
    "/fapi/v1/rateLimit/order": {},
    "/fapi/v1/feeBurn": {},
    "/fapi/v1/apiTradingStatus": {},
    "/fapi/v1/orderAmendment": {"symbol": SYMBOL},
    "/fapi/v1/openAlgoOrders": {},
    "/fapi/v1/allAlgoOrders": {},
}


@pytest.mark.parametrize("path", PUBLIC_READS)
async def test_public_reads_answer_without_a_key(
    autojump_clock: object, paper_exchange: PaperHandle, path: str
) -> None:
    async with paper_exchange.http() as http:
        answer = await http.get(f"{path}?{form(**PUBLIC_READS[path])}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["x-mbx-used-weight-1m"]) >= 0
    assert "server" not in answer.headers


@pytest.mark.parametrize("path", PRIVATE_READS)
async def test_private_reads_answer_to_a_signed_request(
    autojump_clock: object, paper_exchange: PaperHandle, path: str
) -> None:
    async with raw_rest(paper_exchange) as rest:
        unsigned = await rest.http.get(f"{path}?{form(**PRIVATE_READS[path])}", headers=rest.headers)
        answer = await rest.send("GET", path, **PRIVATE_READS[path])
    assert unsigned.status_code == 400
    assert unsigned.json()["code"] == -1102
    assert answer.status_code == 200, answer.text


OTHER_PLACES = [
    "/sapi/v1/capital/config/getall",
    "/sapi/v1/margin/allPairs",
    "/sapi/v1/margin/isolated/allPairs",
]


@pytest.mark.parametrize("path", OTHER_PLACES)
async def test_what_this_exchange_does_not_have_is_told_as_empty(
    autojump_clock: object, paper_exchange: PaperHandle, path: str
) -> None:
    async with raw_rest(paper_exchange) as rest:
        assert await rest.ask("GET", path) == []
        assert (await rest.http.get(path)).status_code == 401


async def test_older_trades_are_told_to_whoever_has_a_key(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    path = "/fapi/v1/historicalTrades"
    async with raw_rest(paper_exchange) as rest:
        assert (await rest.http.get(f"{path}?symbol={SYMBOL}")).status_code == 401
        newest = (await rest.http.get(f"{path}?symbol={SYMBOL}&limit=20", headers=rest.headers)).json()
        recent = {row["id"]: row for row in await rest.get("/fapi/v1/trades", symbol=SYMBOL, limit=100)}
        assert newest == [recent[row["id"]] for row in newest]
        from_id = newest[5]["id"]
        older = await rest.http.get(f"{path}?symbol={SYMBOL}&fromId={from_id}&limit=3", headers=rest.headers)
        assert older.json() == newest[5:8]
        # Three such requests, the refused one too, and one for the newest trades.
        assert older.headers["x-mbx-used-weight-1m"] == "605"


def test_every_get_route_is_read_by_the_tests_above() -> None:
    known = {*PUBLIC_READS, *PRIVATE_READS, *OTHER_PLACES, "/fapi/v1/order", "/fapi/v1/openOrder", "/fapi/v1/algoOrder"}
    known.add("/fapi/v1/historicalTrades")
    assert {path for path, methods in REST_ROUTES.items() if "GET" in methods} == known


async def test_server_time_is_the_injected_clock(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        before = (await rest.get("/fapi/v1/time"))["serverTime"]
        await trio.sleep(1.5)
        assert (await rest.get("/fapi/v1/time"))["serverTime"] == before + 1500


async def test_exchange_info_carries_the_limits_and_the_filters(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        info = await rest.get("/fapi/v1/exchangeInfo")
    assert {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300} in info["rateLimits"]
    filters = {one["filterType"]: one for one in info["symbols"][0]["filters"]}
    assert {"PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "MIN_NOTIONAL", "PERCENT_PRICE", "MAX_NUM_ORDERS"} <= set(
        filters
    )


async def test_order_is_placed_queried_listed_and_cancelled(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        placed = await rest.place_resting(newClientOrderId="my-order-1")
        assert (placed["status"], placed["clientOrderId"]) == ("NEW", "my-order-1")
        queried = await rest.ask("GET", "/fapi/v1/order", symbol=SYMBOL, origClientOrderId="my-order-1")
        assert queried["orderId"] == placed["orderId"]
        opened = await rest.ask("GET", "/fapi/v1/openOrder", symbol=SYMBOL, orderId=placed["orderId"])
        assert opened["clientOrderId"] == "my-order-1"
        assert [o["orderId"] for o in await rest.ask("GET", "/fapi/v1/openOrders", symbol=SYMBOL)] == [
            placed["orderId"]
        ]
        cancelled = await rest.ask("DELETE", "/fapi/v1/order", symbol=SYMBOL, orderId=placed["orderId"])
        assert cancelled["status"] == "CANCELED"
        assert await rest.ask("GET", "/fapi/v1/openOrders", symbol=SYMBOL) == []
        again = await rest.send("DELETE", "/fapi/v1/order", symbol=SYMBOL, orderId=placed["orderId"])
        assert (again.status_code, again.json()) == (400, {"code": -2011, "msg": "Unknown order sent."})
        unknown = await rest.send("GET", "/fapi/v1/order", symbol=SYMBOL, origClientOrderId="never-sent")
        assert (unknown.status_code, unknown.json()) == (400, {"code": -2013, "msg": "Order does not exist."})


async def test_market_order_fills_and_its_trades_are_listed(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        filled = await rest.buy_at_market(newOrderRespType="RESULT")
        assert (filled["status"], filled["executedQty"]) == ("FILLED", "0.002")
        trades = await rest.ask("GET", "/fapi/v1/userTrades", symbol=SYMBOL)
        assert sum(float(trade["qty"]) for trade in trades) == pytest.approx(0.002)
        assert {trade["orderId"] for trade in trades} == {filled["orderId"]}
        [position] = await rest.ask("GET", "/fapi/v3/positionRisk", symbol=SYMBOL)
        assert (position["positionSide"], position["positionAmt"]) == ("BOTH", "0.002")


async def test_order_headers_count_orders_and_hide_the_weight(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        price = await rest.resting_price()
        for count in (1, 2):
            answer = await rest.send(
                "POST",
                "/fapi/v1/order",
                symbol=SYMBOL,
                side="BUY",
                type="LIMIT",
                timeInForce="GTC",
                quantity="0.002",
                price=price,
            )
            assert answer.headers["x-mbx-order-count-10s"] == str(count)
            assert answer.headers["x-mbx-order-count-1m"] == str(count)
            assert answer.headers["x-mbx-used-weight-1m"] == "-1"


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "application/json", None])
async def test_parameters_may_come_in_the_body_whatever_its_content_type(
    autojump_clock: object, paper_exchange: PaperHandle, content_type: str | None
) -> None:
    async with raw_rest(paper_exchange) as rest:
        placed = await rest.place_resting()
        body = signed(paper_exchange, symbol=SYMBOL, orderId=placed["orderId"])
        headers = dict(rest.headers)
        if content_type is not None:
            headers["content-type"] = content_type
        request = rest.http.build_request("DELETE", "/fapi/v1/order", content=body, headers=headers)
        answer = await rest.http.send(request)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "CANCELED"


async def test_signature_covers_query_and_body_joined_by_nothing_and_the_query_wins(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        placed = await rest.place_resting()
        query = form(symbol=SYMBOL, orderId=placed["orderId"])
        body = form(orderId=1, timestamp=paper_exchange.now_ms())
        url = f"/fapi/v1/order?{query}&signature={hmac_hex('testsecret', query + body)}"
        answer = await rest.http.request("DELETE", url, content=body, headers=rest.headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["orderId"] == placed["orderId"]


async def test_batch_answers_each_item_in_its_order(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        price = await rest.resting_price()
        good = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.002"}
        items = [{**good, "price": price}, {**good, "price": "0"}, {**good, "quantity": 0.003, "price": price}]
        # Raw JSON in the form body, as one well-known client sends it.
        text = f"batchOrders={json.dumps(items)}&timestamp={paper_exchange.now_ms()}"
        answer = await rest.http.post(
            "/fapi/v1/batchOrders", content=f"{text}&signature={hmac_hex('testsecret', text)}", headers=rest.headers
        )
        assert answer.status_code == 200, answer.text
        first, second, third = answer.json()
        assert (first["status"], third["status"], third["origQty"]) == ("NEW", "NEW", "0.003")
        assert second["code"] < 0
        assert "msg" in second
        cancelled = await rest.ask(
            "DELETE", "/fapi/v1/batchOrders", symbol=SYMBOL, orderidlist=json.dumps([first["orderId"], 1])
        )
        assert cancelled[0]["status"] == "CANCELED"
        assert cancelled[1] == {"code": -2011, "msg": "Unknown order sent."}
        too_many = await rest.send("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps([items[0]] * 6))
        assert (too_many.status_code, too_many.json()["code"]) == (400, -4082)
        for broken in ("[", "{}", "[]", "[1]", '"x"'):
            refused = await rest.send("POST", "/fapi/v1/batchOrders", batchOrders=broken)
            assert (refused.status_code, refused.json()["code"]) == (400, -1130)


async def test_funding_rates_are_told_of_one_symbol_or_all(autojump_clock: object) -> None:
    eight_hours_ms = 8 * 3_600_000
    shortly_before = (START_MS // eight_hours_ms + 1) * eight_hours_ms - 2_000
    async with open_paper_exchange(start_ms=shortly_before, history_minutes=10) as handle, raw_rest(handle) as rest:
        await trio.sleep(5)
        one = await rest.get("/fapi/v1/fundingRate", symbol=SYMBOL)
        assert await rest.get("/fapi/v1/fundingRate") == one
        assert [(row["symbol"], row["fundingTime"] // 1000 * 1000) for row in one] == [(SYMBOL, shortly_before + 2_000)]
        unknown = await rest.http.get("/fapi/v1/fundingRate?symbol=NOPE")
        assert unknown.json()["code"] == -1121


async def test_settings_are_changed_and_said_when_already_so(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        changed = await rest.ask("POST", "/fapi/v1/leverage", symbol=SYMBOL, leverage=7)
        assert (changed["leverage"], changed["symbol"]) == (7, SYMBOL)
        same = await rest.send("POST", "/fapi/v1/marginType", symbol=SYMBOL, marginType="CROSSED")
        assert same.json()["code"] == -4046
        mode = await rest.send("POST", "/fapi/v1/positionSide/dual", dualSidePosition="false")
        assert mode.json()["code"] == -4059


async def test_countdown_cancels_when_it_is_not_renewed(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        await rest.place_resting()
        answer = await rest.ask("POST", "/fapi/v1/countdownCancelAll", symbol=SYMBOL, countdownTime=2000)
        assert (answer["symbol"], str(answer["countdownTime"])) == (SYMBOL, "2000")
        await trio.sleep(1.9)
        assert len(await rest.ask("GET", "/fapi/v1/openOrders", symbol=SYMBOL)) == 1
        await trio.sleep(0.2)
        assert await rest.ask("GET", "/fapi/v1/openOrders", symbol=SYMBOL) == []

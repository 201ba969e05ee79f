"""Spot over REST: every route, its form and its answers."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from tests.exchange.paper_server.raw_client import SYMBOL, form, hmac_hex, raw_rest
from tests.exchange.paper_spot.spot_rest import listed, place_resting, resting_order
from trio_grid.exchange.paper.server.spot_tables import REMOVED_ROUTES, SPOT_ROUTES
from trio_grid.testing.paper import PaperHandle

EIGHT = 8
PUBLIC: dict[str, dict[str, object]] = {
    "/api/v3/ping": {},
    "/api/v3/time": {},
    "/api/v3/exchangeInfo": {"symbol": SYMBOL},
    "/api/v3/depth": {"symbol": SYMBOL, "limit": 5},
    "/api/v3/trades": {"symbol": SYMBOL, "limit": 3},
    "/api/v3/historicalTrades": {"symbol": SYMBOL, "limit": 3, "fromId": 5},
    "/api/v3/aggTrades": {"symbol": SYMBOL, "limit": 3},
    "/api/v3/klines": {"symbol": SYMBOL, "interval": "1m", "limit": 3},
    "/api/v3/uiKlines": {"symbol": SYMBOL, "interval": "1s", "limit": 3},
    "/api/v3/avgPrice": {"symbol": SYMBOL},
    "/api/v3/ticker/24hr": {"symbol": SYMBOL},
    "/api/v3/ticker/tradingDay": {"symbol": SYMBOL, "timeZone": "+5:30"},
    "/api/v3/ticker/price": {"symbol": SYMBOL},
    "/api/v3/ticker/bookTicker": {"symbol": SYMBOL},
    "/api/v3/ticker": {"symbol": SYMBOL, "windowSize": "2h"},
}
PRIVATE: dict[str, dict[str, object]] = {
    "/sapi/v1/asset/tradeFee": {},
    "/api/v3/openOrders": {},
    "/api/v3/allOrders": {"symbol": SYMBOL},
    "/api/v3/myTrades": {"symbol": SYMBOL},
    "/api/v3/myPreventedMatches": {"symbol": SYMBOL, "orderId": 1},
    "/api/v3/order/amendments": {"symbol": SYMBOL, "orderId": 1},
    "/api/v3/account": {},
    "/api/v3/account/commission": {"symbol": SYMBOL},
    "/api/v3/rateLimit/order": {},
    "/api/v3/myAllocations": {"symbol": SYMBOL},
    "/api/v3/openOrderList": {},
    "/api/v3/allOrderList": {},
}
LISTS = ("/api/v3/order/oco", "/api/v3/orderList/oco", "/api/v3/orderList/oto", "/api/v3/orderList/otoco")


def decimals_of(body: Any) -> set[int]:
    """How many decimals the prices and quantities of a body have."""
    if isinstance(body, dict):
        return {n for name, value in body.items() if "ercent" not in name for n in decimals_of(value)}
    if isinstance(body, list):
        return {n for value in body for n in decimals_of(value)}
    return {len(body.partition(".")[2])} if isinstance(body, str) and "." in body else set()


@pytest.mark.parametrize("path", PUBLIC)
async def test_public_reads_answer_without_a_key(
    autojump_clock: object, paper_exchange: PaperHandle, path: str
) -> None:
    async with raw_rest(paper_exchange) as rest:
        body = await rest.get(path, **PUBLIC[path])
    assert decimals_of(body if "Info" not in path else {}) <= {EIGHT}
    assert isinstance(body, dict | list)


@pytest.mark.parametrize("path", PRIVATE)
async def test_private_reads_answer_to_a_signed_request_alone(
    autojump_clock: object, paper_exchange: PaperHandle, path: str
) -> None:
    async with raw_rest(paper_exchange) as rest:
        await rest.ask("GET", path, **PRIVATE[path])
        assert (await rest.http.get(path)).status_code == 401


def test_every_read_is_read_above() -> None:
    known = {*PUBLIC, *PRIVATE, "/api/v3/order"}
    assert {path for path, methods in SPOT_ROUTES.items() if "GET" in methods} == known


async def test_exchange_info_says_what_is_allowed(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        info = await rest.get("/api/v3/exchangeInfo")
        one = await rest.get("/api/v3/exchangeInfo", symbols=listed(SYMBOL))
        none = await rest.get("/api/v3/exchangeInfo", symbolStatus="BREAK")
        margin = await rest.get("/api/v3/exchangeInfo", permissions="MARGIN")
        unknown = await rest.http.get("/api/v3/exchangeInfo?symbol=NOPE")
        both = await rest.http.get(f"/api/v3/exchangeInfo?symbol={SYMBOL}&{form(symbols=listed(SYMBOL))}")
    assert [tuple(row.values()) for row in info["rateLimits"]] == [
        ("REQUEST_WEIGHT", "MINUTE", 1, 6000), ("ORDERS", "SECOND", 10, 100), ("ORDERS", "DAY", 1, 200000),
        ("RAW_REQUESTS", "MINUTE", 5, 61000),
    ]  # fmt: skip
    row = info["symbols"][0]
    filters = {one["filterType"]: one for one in row["filters"]}
    assert (filters["PRICE_FILTER"]["tickSize"], filters["LOT_SIZE"]["stepSize"]) == ("0.01000000", "0.00001000")
    assert filters["NOTIONAL"]["minNotional"] == "5.00000000"
    assert {"PERCENT_PRICE_BY_SIDE", "MARKET_LOT_SIZE", "MAX_NUM_ORDERS"} <= set(filters)
    assert (row["permissionSets"], row["icebergAllowed"], row["ocoAllowed"]) == ([["SPOT"]], False, False)
    assert one["symbols"] == info["symbols"]
    assert (none["symbols"], margin["symbols"]) == ([], [])
    assert (unknown.json()["code"], both.json()["code"]) == (-1121, -1128)


async def test_an_order_is_placed_queried_listed_reduced_and_cancelled(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        placed = await place_resting(rest, newClientOrderId="mine")
        one = {"symbol": SYMBOL, "orderId": placed["orderId"]}
        queried = await rest.ask("GET", "/api/v3/order", **one)
        account = await rest.ask("GET", "/api/v3/account", omitZeroBalances="true")
        reduced = await rest.ask("PUT", "/api/v3/order/amend/keepPriority", **one, newQty="0.0009")
        listed_open = await rest.ask("GET", "/api/v3/openOrders")
        cancelled = await rest.ask("DELETE", "/api/v3/order", **one)
        again = await rest.send("DELETE", "/api/v3/order", **one)
        await place_resting(rest)
        all_cancelled = await rest.ask("DELETE", "/api/v3/openOrders", symbol=SYMBOL)
    assert (placed["status"], placed["clientOrderId"], placed["fills"]) == ("NEW", "mine", [])
    assert queried["isWorking"] is True
    assert queried["time"] == queried["workingTime"] == placed["transactTime"]
    held = Decimal(placed["price"]) * Decimal("0.001")
    balances = {row["asset"]: row for row in account["balances"]}
    assert (Decimal(balances["USDT"]["locked"]), Decimal(balances["USDT"]["free"])) == (held, 10_000 - held)
    assert balances["BTC"] == {"asset": "BTC", "free": "1.00000000", "locked": "0.00000000"}
    assert reduced["amendedOrder"]["qty"] == listed_open[0]["origQty"] == "0.00090000"
    assert (cancelled["status"], cancelled["origClientOrderId"]) == ("CANCELED", listed_open[0]["clientOrderId"])
    assert (again.status_code, again.json()) == (400, {"code": -2011, "msg": "Unknown order sent."})
    assert [row["status"] for row in all_cancelled] == ["CANCELED"]


async def test_a_market_order_fills_with_its_fee_in_what_is_received(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        order = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.002"}
        bought = await rest.ask("POST", "/api/v3/order", **order)
        trades = await rest.ask("GET", "/api/v3/myTrades", symbol=SYMBOL, orderId=bought["orderId"])
        tested = await rest.ask("POST", "/api/v3/order/test", **order)
        rates = await rest.ask("POST", "/api/v3/order/test", **order, computeCommissionRates="true")
        account = await rest.ask("GET", "/api/v3/account")
    assert bought["status"] == "FILLED"
    assert sum(Decimal(fill["commission"]) for fill in bought["fills"]) == Decimal("0.000002")
    assert [row["commissionAsset"] for row in trades] == ["BTC"] * len(bought["fills"])
    assert tested == {}
    assert rates["standardCommissionForOrder"]["taker"] == "0.00100000"
    balances = {row["asset"]: Decimal(row["free"]) for row in account["balances"]}
    assert balances == {"BTC": Decimal("1.001998"), "USDT": 10_000 - Decimal(bought["cummulativeQuoteQty"])}


async def test_cancel_and_replace_says_what_became_of_each_part(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        old = await place_resting(rest)
        new = await resting_order(rest, cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=old["orderId"])
        done = await rest.ask("POST", "/api/v3/order/cancelReplace", **new)
        failed = await rest.send("POST", "/api/v3/order/cancelReplace", **new)
        partly = await rest.send("POST", "/api/v3/order/cancelReplace", **new | {"cancelReplaceMode": "ALLOW_FAILURE"})
    assert (done["cancelResponse"]["status"], done["newOrderResponse"]["status"]) == ("CANCELED", "NEW")
    body = failed.json()
    assert (failed.status_code, body["code"], body["msg"]) == (400, -2022, "Order cancel-replace failed.")
    assert body["data"] == {
        "cancelResult": "FAILURE",
        "cancelResponse": {"code": -2011, "msg": "Unknown order sent."},
        "newOrderResult": "NOT_ATTEMPTED",
        "newOrderResponse": None,
    }
    assert (partly.status_code, partly.json()["code"]) == (409, -2021)
    assert partly.json()["data"]["newOrderResponse"]["status"] == "NEW"


@pytest.mark.parametrize("path", LISTS)
async def test_order_lists_are_refused(autojump_clock: object, paper_exchange: PaperHandle, path: str) -> None:
    async with raw_rest(paper_exchange) as rest:
        answer = await rest.send("POST", path, symbol=SYMBOL)
    assert (answer.status_code, answer.json()["code"]) == (400, -2010)


@pytest.mark.parametrize(("path", "method"), [(path, m) for path, methods in REMOVED_ROUTES.items() for m in methods])
async def test_listen_keys_are_gone(
    autojump_clock: object, paper_exchange: PaperHandle, path: str, method: str
) -> None:
    async with raw_rest(paper_exchange) as rest:
        answer = await rest.http.request(method, path, headers=rest.headers)
    assert (path, answer.status_code) == ("/api/v3/userDataStream", 410)
    assert "410 Gone" in answer.text


async def test_times_may_be_in_microseconds(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:

        async def asked(timestamp: object, window: str) -> tuple[int, int]:
            text = form(timestamp=timestamp, recvWindow=window)
            url = f"/api/v3/account?{text}&signature={hmac_hex(rest.secret, text)}"
            answer = await rest.http.get(url, headers=rest.headers)
            return answer.status_code, answer.json().get("code", 0)

        now_ms = paper_exchange.now_ms()
        assert await asked(now_ms * 1000, "5000.346") == (200, 0)
        assert await asked((now_ms - 6000) * 1000, "5000") == (400, -1021)
        assert await asked(now_ms, "5000.3461") == (400, -1102)
        answer = await rest.http.get("/api/v3/time", headers={"X-MBX-TIME-UNIT": "MICROSECOND"})
        assert answer.json()["serverTime"] > now_ms * 1000 - 1
        rows = await rest.http.get(
            f"/api/v3/klines?symbol={SYMBOL}&interval=1m&limit=1", headers={"X-MBX-TIME-UNIT": "microsecond"}
        )
        [row] = rows.json()
        assert row[6] - row[0] == 59_999_000


async def test_klines_of_seconds_have_no_gaps(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        rows = await rest.get("/api/v3/klines", symbol=SYMBOL, interval="1s", limit=50)
        first = rows[10][0]
        some = await rest.get("/api/v3/klines", symbol=SYMBOL, interval="1s", startTime=first, limit=5)
        minutes = await rest.get("/api/v3/klines", symbol=SYMBOL, interval="1m", limit=5000)
        bad = await rest.http.get(f"/api/v3/klines?symbol={SYMBOL}&interval=1x")
    assert [row[0] - rows[0][0] for row in rows] == [1000 * place for place in range(50)]
    assert all(row[6] - row[0] == 999 for row in rows)
    assert all(late[1] == early[4] for early, late in pairwise(rows) if late[8] == 0)
    assert some == rows[10:15]
    assert 10 <= len(minutes) <= 1000
    assert bad.json()["code"] == -1120

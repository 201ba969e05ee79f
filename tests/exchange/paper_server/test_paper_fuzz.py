"""Nonsense on every route and method: each answer is one of the exchange's, never a fault, and the books stay whole."""

import random
from typing import Any

import pytest

from tests.exchange.paper_server.raw_client import KEY, SYMBOL, RawRest, raw_rest, raw_socket
from tests.exchange.paper_server.test_paper_ws_api import with_hmac
from trio_grid.exchange.paper.server.api_tables import REST_ROUTES, WEBSOCKET_METHODS
from trio_grid.exchange.paper.server.request_limits import LimitSettings
from trio_grid.exchange.protocol.rate_limits import ORDERS, REQUEST_WEIGHT, RateLimit
from trio_grid.testing.paper import PaperHandle, open_paper_exchange

NAMES = [
    "symbol", "side", "type", "timeInForce", "quantity", "price", "reduceOnly", "newClientOrderId", "positionSide",
    "newOrderRespType", "orderId", "origClientOrderId", "limit", "startTime", "endTime", "fromId", "interval", "pair",
    "leverage", "marginType", "dualSidePosition", "multiAssetsMargin", "countdownTime", "batchOrders", "orderIdList",
    "origClientOrderIdList", "incomeType", "contractType", "priceMatch", "selfTradePreventionMode", "goodTillDate",
    "stopPrice", "closePosition", "activationPrice", "algoType", "triggerPrice", "workingType", "priceProtect",
    "callbackRate", "activatePrice", "clientAlgoId", "algoId", "modifyId",
]  # fmt: skip
VALUES = [
    SYMBOL, "", " ", "0", "-1", "1", "0.002", "60000", "60000.1", "1e5", "1E-9", "NaN", "Infinity", "-0", "0x10", "٣",
    "9" * 40, "true", "false", "null", "BUY", "SELL", "LIMIT", "MARKET", "GTC", "IOC", "FOK", "GTX", "GTD", "BOTH",
    "1m", "1M", "1500", "1750000000000", "-9223372036854775809", "[]", "[1]", "{}", "[{}]",
    '[{"symbol":"BTCUSDT"}]', '["a"]',
    "STOP_MARKET", "TAKE_PROFIT", "TRAILING_STOP_MARKET", "CONDITIONAL", "MARK_PRICE", "0.1", "59000",
    "a" * 36, "a" * 37, "CROSSED", "ISOLATED", "RESULT", "ACK", "QUEUE", "PERPETUAL", "\x00", "\ud7ff", "💥", "..",
    "1 ",
]  # fmt: skip
UNLIMITED = LimitSettings(
    weight=RateLimit(REQUEST_WEIGHT, "MINUTE", 1, 10**9), orders=(RateLimit(ORDERS, "SECOND", 10, 10**9),) * 2
)


def nonsense(chance: random.Random, now_ms: int) -> dict[str, str]:
    params = {"symbol": SYMBOL} if chance.random() < 0.8 else {}
    if chance.random() < 0.5:
        # Most of a good order, so that the fault is met behind the first checks.
        params |= {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.002", "price": "59000"}
        params |= {"interval": "1m", "orderId": "1", "leverage": "5", "countdownTime": "0", "pair": SYMBOL}
        params |= {"algoType": "CONDITIONAL"}
    for _ in range(chance.randint(0, 5)):
        params[chance.choice(NAMES)] = chance.choice([*VALUES, str(now_ms - 1000)])
    return params


async def books_are_whole(rest: RawRest) -> None:
    account = await rest.ask("GET", "/fapi/v3/account")
    income = await rest.ask("GET", "/fapi/v1/income", limit=1000)
    wallet = sum(round(float(row["income"]) * 10**8) for row in income)
    assert wallet == round(float(account["totalWalletBalance"]) * 10**8)


@pytest.mark.parametrize("seed", range(4))
async def test_nonsense_over_rest_is_refused_in_the_exchanges_words(autojump_clock: object, seed: int) -> None:
    chance = random.Random(seed)
    routes = [(method, path) for path, methods in sorted(REST_ROUTES.items()) for method in sorted(methods)]
    async with (
        open_paper_exchange(history_minutes=10, limits=UNLIMITED) as handle,
        raw_rest(handle) as rest,
    ):
        for _ in range(6):
            for method, path in routes:
                params: dict[str, Any] = nonsense(chance, handle.now_ms())
                answer = await rest.send(method, path, **params)
                assert answer.status_code in (200, 400), (method, path, params, answer.text)
                if answer.status_code == 400:
                    assert answer.json()["code"] < 0
                    assert answer.json()["msg"]
        await books_are_whole(rest)


@pytest.mark.parametrize("seed", range(2))
async def test_nonsense_over_the_websocket_api_is_refused_in_the_exchanges_words(
    autojump_clock: object, seed: int
) -> None:
    chance = random.Random(seed)
    async with (
        open_paper_exchange(history_minutes=10, limits=UNLIMITED) as handle,
        raw_rest(handle) as rest,
        raw_socket(handle, "/ws-fapi/v1") as socket,
    ):
        for number in range(400):
            method = chance.choice(sorted(WEBSOCKET_METHODS))
            params = with_hmac({**nonsense(chance, handle.now_ms()), "timestamp": handle.now_ms()})
            answer = await socket.request({"id": number, "method": method, "params": params})
            assert answer["id"] == number
            assert answer["status"] in (200, 400), (method, params, answer)
        await books_are_whole(rest)


async def test_noise_on_a_stream_connection_ends_no_other(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    chance = random.Random(1)
    port = int(paper_exchange.urls.rest_url.rsplit(":", 1)[1])
    head = (
        b"GET /ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with raw_socket(paper_exchange, "/ws/btcusdt@bookTicker") as good:
        for spoiled in range(40):
            stream = await paper_exchange.connector()("127.0.0.1", port, False)
            async with stream:
                start = head if spoiled % 4 else head.replace(b"13", b"%d" % chance.randint(0, 99))
                await stream.send_all(start + chance.randbytes(chance.randint(1, 300)))
                await stream.receive_some()
        assert (await good.event("bookTicker"))["s"] == SYMBOL
    async with paper_exchange.http() as http:
        assert (await http.get("/fapi/v1/ping", headers={"X-MBX-APIKEY": KEY})).status_code == 200

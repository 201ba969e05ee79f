"""REST: signing, deadlines, what each failure becomes, clock errors and limits."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from typing import Any

import pytest
import trio

from tests.exchange.binance.scripted_exchange import (
    START_MS,
    Fault,
    Http,
    HttpRequest,
    ScriptedExchange,
    bitcoin,
    client_of,
    exchange_info,
    order_body,
)
from trio_grid.errors import (
    Banned,
    ClockSkew,
    ConfigError,
    CredentialsRefused,
    ExchangeUnreachable,
    MalformedAnswer,
    OrderNotFound,
    RateLimited,
    RequestRefused,
)
from trio_grid.exchange.binance.usdm_futures import Endpoints, open_usdm_futures

BITCOIN = bitcoin()
SKEW = {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}


def answering(exchange: ScriptedExchange, *answers: Http | Fault) -> list[Http | Fault]:
    """Answer the signed requests with these, one after the other, the last for ever; returns what is left."""
    left = list(answers)

    def rest(request: HttpRequest) -> Http | Fault:
        if "signature" not in request.params:
            return exchange.plain_rest(request)
        return left.pop(0) if len(left) > 1 else left[0]

    exchange.rest = rest
    return left


async def test_a_signed_read_carries_key_time_window_and_a_signature_over_its_own_bytes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    answering(exchange, Http([]))
    async with client_of(exchange) as client:
        assert await client.open_orders(BITCOIN) == ()
    (request,) = exchange.seen("/fapi/v1/openOrders")
    query, _, signature = request.target.partition("?")[2].rpartition("&signature=")
    assert query == f"symbol=BTCUSDT&recvWindow=5000&timestamp={START_MS}"
    assert signature == hmac.new(b"testsecret", query.encode(), hashlib.sha256).hexdigest()
    assert request.headers["x-mbx-apikey"] == "testkey"
    assert request.headers["host"] == "127.0.0.1:40000"


async def test_strange_ids_reach_the_exchange_as_they_were_signed(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    answering(exchange, Http(order_body(clientOrderId="a/b:c+d é&x=1")))
    async with client_of(exchange) as client:
        await client.order(BITCOIN, client_order_id="a/b:c+d é&x=1")
    (request,) = exchange.seen("/fapi/v1/order")
    query, _, signature = request.target.partition("?")[2].rpartition("&signature=")
    assert request.params["origClientOrderId"] == "a/b:c+d é&x=1"
    assert signature == hmac.new(b"testsecret", query.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.CUT, Fault.HALF])
async def test_a_read_without_an_answer_is_unreachable_within_its_deadline(
    autojump_clock: trio.testing.MockClock, fault: Fault
) -> None:
    exchange = ScriptedExchange()
    answering(exchange, fault)
    async with client_of(exchange) as client:
        started = trio.current_time()
        with pytest.raises(ExchangeUnreachable, match="openOrders"):
            await client.open_orders(BITCOIN)
        assert trio.current_time() - started <= 10.01
        assert len(exchange.seen("/fapi/v1/openOrders")) == 1


async def test_a_connection_that_never_opens_is_unreachable_within_the_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def never(host: str, port: int, tls: bool) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    endpoints = Endpoints("http://127.0.0.1:1", "ws://127.0.0.1:1", "ws://127.0.0.1:1/ws-fapi/v1")
    async with open_usdm_futures(endpoints, None, connect=never) as client:
        with pytest.raises(ExchangeUnreachable, match="nothing was sent"):
            await client.synchronize_clock()
        assert trio.current_time() == pytest.approx(10, abs=0.01)


@pytest.mark.parametrize(
    "answer",
    [
        Http({"code": -1000, "msg": "Unknown error, please check your request or try again later."}, 503),
        Http({"code": -1008, "msg": "Request throttled by system-level protection."}, 503),
        Http(b"<html>bad gateway</html>", 502),
        Http({"code": -1007, "msg": "Timeout"}, 408),
    ],
)
async def test_a_read_that_a_server_in_trouble_refuses_is_transient(
    autojump_clock: trio.testing.MockClock, answer: Http
) -> None:
    exchange = ScriptedExchange()
    answering(exchange, answer)
    async with client_of(exchange) as client:
        with pytest.raises(ExchangeUnreachable):
            await client.position(BITCOIN)


async def test_a_definite_refusal_keeps_its_type_and_its_words(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    answering(exchange, Http({"code": -2013, "msg": "Order does not exist."}, 400))
    async with client_of(exchange) as client:
        with pytest.raises(OrderNotFound, match=r"Order does not exist\. \(code -2013\)"):
            await client.order(BITCOIN, order_id=5)
        with pytest.raises(ValueError, match="exactly one"):
            await client.order(BITCOIN)


async def test_an_answer_that_is_not_what_was_asked_is_malformed(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    answering(exchange, Http({"orders": "none"}))
    async with client_of(exchange) as client:
        with pytest.raises(MalformedAnswer):
            await client.open_orders(BITCOIN)


async def test_f9_a_read_is_repeated_once_after_the_clock_was_read_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    answering(exchange, Http(SKEW, 400), Http([]))
    async with client_of(exchange) as client:
        exchange.clock_error_ms = 20_000
        assert await client.open_orders(BITCOIN) == ()
    first, second = exchange.seen("/fapi/v1/openOrders")
    assert int(second.params["timestamp"]) - int(first.params["timestamp"]) == 20_000


async def test_f9_a_clock_error_that_stays_is_raised_after_one_repetition(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    answering(exchange, Http(SKEW, 400))
    async with client_of(exchange) as client:
        with pytest.raises(ClockSkew, match="check this machine's clock"):
            await client.open_orders(BITCOIN)
    assert len(exchange.seen("/fapi/v1/openOrders")) == 2


async def test_the_first_signed_request_reads_the_clock_by_itself(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    answering(exchange, Http([]))
    async with client_of(exchange, wait=False) as client:
        await client.open_orders(BITCOIN)
    assert [request.path for request in exchange.requests] == ["/fapi/v1/time", "/fapi/v1/time", "/fapi/v1/openOrders"]


async def test_f10_a_rate_limit_stops_every_request_until_it_ends(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    body = {"code": -1003, "msg": "Too many requests; current limit is 2400 requests per minute."}
    answering(exchange, Http(body, 429, {"Retry-After": "30"}), Http([]))
    async with client_of(exchange) as client:
        with pytest.raises(RateLimited) as caught:
            await client.open_orders(BITCOIN)
        assert caught.value.retry_after_s == 30
        count = len(exchange.requests)
        await trio.sleep(29.9)
        with pytest.raises(RateLimited, match="held back"):
            await client.synchronize_clock()
        assert len(exchange.requests) == count
        assert client.order_budget().orders == 0
        await trio.sleep(0.2)
        assert await client.open_orders(BITCOIN) == ()


@pytest.mark.parametrize("headers", [{"Retry-After": "120"}, {}])
async def test_f10_a_ban_is_told_apart_and_obeyed(
    autojump_clock: trio.testing.MockClock, headers: dict[str, str]
) -> None:
    exchange = ScriptedExchange()
    until = START_MS + 120_000
    body = {"code": -1003, "msg": f"Way too many requests; IP banned until {until}."}
    answering(exchange, Http(body, 418, headers), Http([]))
    async with client_of(exchange) as client:
        with pytest.raises(Banned) as caught:
            await client.open_orders(BITCOIN)
        assert caught.value.retry_after_s == pytest.approx(120, abs=0.1)
        await trio.sleep(119)
        with pytest.raises(Banned):
            await client.open_orders(BITCOIN)
        await trio.sleep(1.5)
        assert await client.open_orders(BITCOIN) == ()


async def test_f10_the_weight_in_the_answers_stops_reads_at_four_fifths(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    answering(exchange, Http([], headers={"X-MBX-USED-WEIGHT-1M": "1919"}))
    async with client_of(exchange) as client:
        await client.open_orders(BITCOIN)
        await client.open_orders(BITCOIN)
        with pytest.raises(RateLimited, match="request weight") as caught:
            await client.open_orders(BITCOIN)
        assert caught.value.retry_after_s is not None
        await trio.sleep(caught.value.retry_after_s)
        await client.open_orders(BITCOIN)
    assert len(exchange.seen("/fapi/v1/openOrders")) == 3


async def test_idle_connections_that_the_server_closed_are_not_used_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    answering(exchange, Http([]))
    async with client_of(exchange) as client:
        await client.open_orders(BITCOIN)
        for link in exchange.network.links("client"):
            link.close_server_end()
        await trio.testing.wait_all_tasks_blocked()
        assert await client.open_orders(BITCOIN) == ()
    assert len(exchange.seen("/fapi/v1/openOrders")) == 2


async def test_connections_are_kept_between_requests(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    answering(exchange, Http([]))
    async with client_of(exchange) as client:
        for _ in range(5):
            await client.open_orders(BITCOIN)
        assert len(exchange.streams) == 2  # one of REST, one of the WebSocket API


async def test_without_a_key_market_data_works_and_the_account_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()

    def rest(request: HttpRequest) -> Http | Fault:
        return Http(exchange_info()) if request.path.endswith("exchangeInfo") else exchange.plain_rest(request)

    exchange.rest = rest
    async with client_of(exchange, signer=None) as client:
        assert (await client.instrument("BTCUSDT")).maker_fee_rate == 20_000
        with pytest.raises(RequestRefused):
            await client.instrument("NOSUCH")
        with pytest.raises(CredentialsRefused, match="needs an API key"):
            await client.open_orders(BITCOIN)


async def test_the_instrument_has_the_accounts_fees_and_teaches_the_limits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    fees = {"symbol": "BTCUSDT", "makerCommissionRate": "0.00015", "takerCommissionRate": "0.0004"}
    info = exchange_info()
    info["rateLimits"] = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50}]

    def rest(request: HttpRequest) -> Http | Fault:
        if request.path.endswith("exchangeInfo"):
            return Http(info)
        return Http(fees) if request.path.endswith("commissionRate") else exchange.plain_rest(request)

    exchange.rest = rest
    async with client_of(exchange) as client:
        instrument = await client.instrument("BTCUSDT")
        assert (instrument.maker_fee_rate, instrument.taker_fee_rate) == (15_000, 40_000)
        assert client.order_budget().orders == 40


@pytest.mark.parametrize(
    ("margin_type", "answer", "raises"),
    [
        ("cross", Http({"code": 200, "msg": "success"}), None),
        ("isolated", Http({"code": -4046, "msg": "No need to change margin type."}, 400), None),
        ("cross", Http({"code": -4048, "msg": "there exists position"}, 400), RequestRefused),
        ("both", Http({}), ValueError),
    ],
)
async def test_margin_type(
    autojump_clock: trio.testing.MockClock, margin_type: str, answer: Http, raises: type[Exception] | None
) -> None:
    exchange = ScriptedExchange()
    answering(exchange, answer)
    async with client_of(exchange) as client:
        if raises is None:
            await client.set_margin_type(BITCOIN, margin_type)
            (request,) = exchange.seen("/fapi/v1/marginType", "POST")
            assert request.params["marginType"] == {"cross": "CROSSED", "isolated": "ISOLATED"}[margin_type]
        else:
            with pytest.raises(raises):
                await client.set_margin_type(BITCOIN, margin_type)


async def test_leverage_is_set_and_a_lost_answer_to_it_is_transient(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    answering(exchange, Http({"leverage": 7, "symbol": "BTCUSDT", "maxNotionalValue": "1"}), Fault.CUT)
    async with client_of(exchange) as client:
        await client.set_leverage(BITCOIN, 7)
        assert exchange.seen("/fapi/v1/leverage", "POST")[0].params["leverage"] == "7"
        with pytest.raises(ExchangeUnreachable):
            await client.set_leverage(BITCOIN, 8)


async def test_plain_text_to_another_machine_is_refused_before_anything_is_sent() -> None:
    for endpoints in (
        Endpoints("http://fapi.example.com", "wss://x", "wss://x"),
        Endpoints("ftp://127.0.0.1", "wss://x", "wss://x"),
        Endpoints("https://", "wss://x", "wss://x"),
        Endpoints("https://x", "ws://stream.example.com", "wss://x"),
        Endpoints("https://x", "wss://x", "ws://api.example.com"),
    ):
        with pytest.raises(ConfigError):
            async with open_usdm_futures(endpoints, None):
                raise AssertionError("it opened")


async def test_no_log_line_shows_a_signature_or_a_key(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    exchange = ScriptedExchange()
    answering(exchange, Http([]))
    async with client_of(exchange) as client:
        await client.open_orders(BITCOIN)
    assert "signature" not in caplog.text
    assert "testsecret" not in repr(client) + json.dumps(_headers(exchange))


def _headers(exchange: ScriptedExchange) -> list[dict[str, Any]]:
    return [dict(request.headers) for request in exchange.requests]

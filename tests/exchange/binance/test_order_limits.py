"""Order entry under limits, bans, a clock that is off and a refused key."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.exchange.binance.order_scripts import BITCOIN, WsApi, accepted, limit, refusal
from tests.exchange.binance.scripted_exchange import (
    Fault,
    Http,
    HttpRequest,
    ScriptedExchange,
    client_of,
)
from trio_grid.domain.actions import CancelOrder
from trio_grid.domain.events import (
    CancelAcknowledged,
    CancelOutcomeLost,
    OrderAcknowledged,
    OrderNotSent,
    OrderRefused,
    RejectReason,
)
from trio_grid.errors import Banned, CredentialsRefused, RateLimited


async def test_f10_a_ban_is_raised_and_then_nothing_is_sent_until_it_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    ban = refusal(418, -1003, f"Way too many requests; IP banned until {exchange.now_ms() + 90_000}.")
    exchange.websocket = server = WsApi(lambda request: ban)
    async with client_of(exchange) as client:
        with pytest.raises(Banned) as caught:
            await client.place(BITCOIN, [limit()])
        assert caught.value.retry_after_s == pytest.approx(90, abs=0.1)
        assert client.order_budget().orders == 0
        server.answer = accepted
        requests = len(exchange.requests)
        (held,) = await client.place(BITCOIN, [limit("id-2")])
        (cancel,) = await client.cancel(BITCOIN, [CancelOrder(client_order_id="id-3")])
        with pytest.raises(Banned):
            await client.open_orders(BITCOIN)
        assert isinstance(held, OrderNotSent)
        assert isinstance(cancel, CancelOutcomeLost)
        assert (len(server.requests), len(exchange.requests)) == (1, requests)
        await trio.sleep(90)
        (placed,) = await client.place(BITCOIN, [limit("id-4")])
        assert isinstance(placed, OrderAcknowledged)


async def test_f11_too_many_orders_stops_orders_until_the_window_ends_and_lets_cancels_go(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    refused = refusal(429, -1015, "Too many new orders; current limit is 300 orders per 10 SECOND.")
    exchange.websocket = server = WsApi(
        lambda request: refused if request["method"] == "order.place" else accepted(request)
    )
    async with client_of(exchange) as client:
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderRefused)
        assert result.reason is RejectReason.RATE
        budget = client.order_budget()
        assert (budget.orders, budget.refill_at_ms) == (0, (client.now_ms() // 10_000 + 1) * 10_000)
        (cancelled,) = await client.cancel(BITCOIN, [CancelOrder(client_order_id="id-9")])
        assert isinstance(cancelled, CancelAcknowledged)
        assert server.requests[-1]["params"]["origClientOrderId"] == "id-9"


async def test_what_the_answer_says_about_when_to_come_back_counts(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    now_ms = exchange.now_ms()
    limited = refusal(429, -1003, "Too many requests", serverTime=now_ms, retryAfter=now_ms + 7_000)
    exchange.websocket = WsApi(lambda request: limited)
    async with client_of(exchange) as client:
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderRefused)
        assert client.order_budget().refill_at_ms == pytest.approx(client.now_ms() + 7_000, abs=5)


async def test_a_refused_key_is_raised(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = WsApi(lambda request: refusal(401, -2015, "Invalid API-key, IP, or permissions for action"))
    async with client_of(exchange) as client:
        with pytest.raises(CredentialsRefused, match="allowed addresses"):
            await client.place(BITCOIN, [limit()])
        with pytest.raises(CredentialsRefused):
            await client.cancel(BITCOIN, [CancelOrder(client_order_id="id-1")])


async def test_f9_a_clock_error_refuses_the_order_and_reads_the_clock_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = server = WsApi(lambda request: refusal(400, -1021, "Timestamp outside of the recvWindow."))
    async with client_of(exchange) as client:
        readings = len(exchange.seen("/fapi/v1/time"))
        exchange.clock_error_ms = 30_000
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderRefused)
        assert (result.reason, result.code) == (RejectReason.OVERLOAD, -1021)
        assert len(server.requests) == 1
        assert len(exchange.seen("/fapi/v1/time")) > readings
        assert client.now_ms() == exchange.now_ms()


async def test_orders_sent_count_against_the_budget_at_once(autojump_clock: trio.testing.MockClock) -> None:
    exchange = ScriptedExchange()
    limits = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300, "count": 100}]
    exchange.websocket = WsApi(lambda request: {**accepted(request), "rateLimits": limits})
    async with client_of(exchange) as client:
        assert client.order_budget().orders == 240
        await client.place(BITCOIN, [limit("id-1"), limit("id-2")])
        assert client.order_budget().orders == 140


@pytest.mark.parametrize("counts", [None, [], [{"rateLimitType": "ORDERS"}], {"x": 1}, [7]])
async def test_counts_that_cannot_be_read_do_not_spoil_the_answer(
    autojump_clock: trio.testing.MockClock, counts: Any
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = WsApi(lambda request: {**accepted(request), "rateLimits": counts})
    async with client_of(exchange) as client:
        (result,) = await client.place(BITCOIN, [limit()])
    assert isinstance(result, OrderAcknowledged)
    assert client.ignored == ({} if counts == [] else {"malformed rateLimits": 1})


async def test_f9_a_clock_that_cannot_be_read_again_does_not_hide_the_results(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()
    exchange.websocket = WsApi(lambda request: refusal(400, -1021, "Timestamp"))
    async with client_of(exchange) as client:
        exchange.rest = lambda request: Fault.CUT
        (result,) = await client.place(BITCOIN, [limit()])
    assert isinstance(result, OrderRefused)
    assert result.code == -1021


@pytest.mark.parametrize("data", [{"retryAfter": "soon"}, {"retryAfter": 5}, [1, 2], None])
async def test_f10_a_limit_without_a_readable_time_lasts_until_the_window_ends(
    autojump_clock: trio.testing.MockClock, data: Any
) -> None:
    exchange = ScriptedExchange()
    error = {"code": -1003, "msg": "Too many requests; current limit is 2400 requests per minute.", "data": data}
    exchange.websocket = WsApi(lambda request: {"status": 429, "error": error})
    async with client_of(exchange) as client:
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderRefused)
        assert client.order_budget().refill_at_ms == (client.now_ms() // 60_000 + 1) * 60_000


async def test_an_order_while_requests_are_blocked_is_certainly_not_sent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    exchange = ScriptedExchange()

    def rest(request: HttpRequest) -> Http | Fault:
        if request.path.endswith("openOrders"):
            return Http({"code": -1003, "msg": "Too many requests"}, 429, {"Retry-After": "9"})
        return exchange.plain_rest(request)

    exchange.rest, exchange.websocket = rest, WsApi(accepted)
    async with client_of(exchange) as client:
        with pytest.raises(RateLimited):
            await client.open_orders(BITCOIN)
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderNotSent)
        await trio.sleep(9)
        (result,) = await client.place(BITCOIN, [limit()])
        assert isinstance(result, OrderAcknowledged)

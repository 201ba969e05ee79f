import pytest
import trio

from tests.exchange.paper_server.raw_client import SYMBOL, raw_rest, raw_socket
from trio_grid.exchange.paper.server.request_limits import LimitRefusal, LimitSettings, RequestLimits
from trio_grid.exchange.protocol.rate_limits import ORDERS, REQUEST_WEIGHT, RateLimit
from trio_grid.testing.paper import START_MS, PaperHandle, open_paper_exchange

MINUTE = 60_000
NARROW = LimitSettings(
    weight=RateLimit(REQUEST_WEIGHT, "MINUTE", 1, 10),
    orders=(RateLimit(ORDERS, "SECOND", 10, 2), RateLimit(ORDERS, "MINUTE", 1, 3)),
    refusals_before_ban=2,
)


def test_weight_starts_over_at_the_full_minute() -> None:
    limits = RequestLimits(NARROW)
    start = START_MS // MINUTE * MINUTE
    assert limits.spend_weight("a", 9, start + 59_000) == 9
    with pytest.raises(LimitRefusal) as refused:
        limits.spend_weight("a", 2, start + 59_500)
    assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (429, -1003, 1)
    assert limits.spend_weight("b", 1, start + 59_500) == 1
    assert limits.spend_weight("a", 1, start + MINUTE) == 1


def refusal_of(limits: RequestLimits, now_ms: int) -> LimitRefusal:
    with pytest.raises(LimitRefusal) as refused:
        limits.spend_weight("a", 1, now_ms)
    return refused.value


def test_whoever_goes_on_is_banned_and_longer_each_time() -> None:
    limits = RequestLimits(NARROW)
    now = START_MS // MINUTE * MINUTE
    lengths = []
    for _ in range(2):
        limits.spend_weight("a", 10, now)
        refusals = [refusal_of(limits, now) for _ in range(4)]
        assert [refusal.status for refusal in refusals] == [429, 429, 418, 418]
        until_ms = refusals[-1].retry_at_ms
        assert f"IP banned until {until_ms}." in refusals[-1].message
        lengths.append(until_ms - now)
        assert refusal_of(limits, until_ms - 1).status == 418
        now = until_ms
        now += MINUTE - now % MINUTE
    assert lengths == [120_000, 480_000]


def test_order_counts_are_kept_per_account_and_a_refused_order_counts_nothing() -> None:
    limits = RequestLimits(NARROW)
    now = START_MS // MINUTE * MINUTE
    limits.spend_orders("a", (1, 1), now)
    limits.spend_orders("a", (1, 1), now)
    with pytest.raises(LimitRefusal) as refused:
        limits.spend_orders("a", (1, 1), now)
    assert (refused.value.status, refused.value.code) == (429, -1015)
    assert refused.value.message == "Too many new orders; current limit is 2 orders per 10 SECOND."
    assert [count for _, count in limits.order_counts("a", now)] == [2, 2]
    limits.spend_orders("b", (1, 1), now)
    limits.spend_orders("a", (1, 1), now + 10_000)
    with pytest.raises(LimitRefusal, match="3 orders per 1 MINUTE"):
        limits.spend_orders("a", (1, 1), now + 20_000)
    assert [count for _, count in limits.order_counts("a", now + MINUTE)] == [0, 0]


async def test_over_the_weight_limit_rest_answers_429_then_418(autojump_clock: object) -> None:
    async with open_paper_exchange(history_minutes=10, limits=NARROW) as handle, handle.http() as http:
        for used in range(1, 11):
            answer = await http.get("/fapi/v1/ping")
            assert (answer.status_code, answer.headers["x-mbx-used-weight-1m"]) == (200, str(used))
        statuses = [(await http.get("/fapi/v1/ping")).status_code for _ in range(4)]
        assert statuses == [429, 429, 418, 418]
        banned = await http.get("/fapi/v1/ping")
        assert banned.json()["code"] == -1003
        assert 100 < int(banned.headers["retry-after"]) <= 120
        await trio.sleep(int(banned.headers["retry-after"]))
        assert (await http.get("/fapi/v1/ping")).status_code == 200


async def test_over_the_order_limit_both_transports_refuse_and_share_the_count(autojump_clock: object) -> None:
    generous = LimitSettings(orders=NARROW.orders)
    async with open_paper_exchange(history_minutes=10, limits=generous) as handle, raw_rest(handle) as rest:
        await rest.place_resting()
        await rest.place_resting(side="SELL")
        third = await rest.send(
            "POST",
            "/fapi/v1/order",
            symbol=SYMBOL,
            side="BUY",
            type="LIMIT",
            timeInForce="GTC",
            quantity="0.002",
            price=await rest.resting_price(),
        )
        assert (third.status_code, third.json()["code"]) == (429, -1015)
        assert int(third.headers["retry-after"]) >= 1
        assert "x-mbx-order-count-10s" not in third.headers
        assert len(await rest.ask("GET", "/fapi/v1/openOrders", symbol=SYMBOL)) == 2
        async with raw_socket(handle, "/ws-fapi/v1") as socket:
            answer = await socket.request({"id": 1, "method": "order.place", "params": {"apiKey": "testkey"}})
            # Key, time and signature come before the order count.
            assert (answer["status"], answer["error"]["code"]) == (400, -1102)


async def test_limits_in_exchange_info_are_the_servers_own(autojump_clock: object) -> None:
    async with open_paper_exchange(history_minutes=10, limits=NARROW) as handle, raw_rest(handle) as rest:
        info = await rest.get("/fapi/v1/exchangeInfo")
    assert [(one["rateLimitType"], one["limit"]) for one in info["rateLimits"]] == [
        ("REQUEST_WEIGHT", 10), ("ORDERS", 2), ("ORDERS", 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "weight"),
    [("/fapi/v1/depth?symbol=BTCUSDT&limit=1000", 20), ("/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1500", 10),
     ("/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=99", 1), ("/fapi/v1/klines?symbol=BTCUSDT&interval=1m", 5),
     ("/fapi/v1/ticker/24hr", 40), ("/fapi/v1/aggTrades?symbol=BTCUSDT", 20)],
)  # fmt: skip
async def test_weights(autojump_clock: object, paper_exchange: PaperHandle, path: str, weight: int) -> None:
    async with paper_exchange.http() as http:
        answer = await http.get(path)
    assert answer.headers["x-mbx-used-weight-1m"] == str(weight)

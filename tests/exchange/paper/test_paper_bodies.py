"""Bodies and payloads: the keys of the official examples, the key order and number forms of real events."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.paper.scripted_market import START_MS, quote, scripted
from trio_grid.exchange.paper.engine.exchange import MarketEvent, PaperExchange, UserEvent
from trio_grid.exchange.paper.engine.refusals import PaperRefusal

PAYLOADS = Path(__file__).parents[4] / "shared/payloads"
EXAMPLES = PAYLOADS / "official_examples/derivatives_trading_usds_futures"
SYMBOL = {"symbol": "TESTUSDT"}


def eventful() -> PaperExchange:
    """An exchange after fills, with a position and resting orders."""
    exchange, market, ann, _ = scripted(quote(0, 1000, 1001, (1000, 7, True)))
    market.add(quote(1_000, 1020, 1021, (1020, 500, False)))
    ann.market("BUY", 100)
    ann.limit("SELL", 1010, 50)
    ann.limit("BUY", 990, 100)
    exchange.advance(START_MS + 1_000)
    return exchange


def example(name: str) -> Any:
    body = json.loads((EXAMPLES / f"{name}_success.json").read_text())["response"]
    return body[0] if isinstance(body, list) else body


def answers(exchange: PaperExchange) -> dict[str, Any]:
    now = exchange.now_ms
    order = {"orderId": str(exchange.all_orders("ann", SYMBOL, now)[0]["orderId"])}
    return {
        "rest_api__account_information_v3": exchange.account_information("ann", {}, now),
        "rest_api__account_information_v2": exchange.account_information("ann", {}, now, version=2),
        "rest_api__futures_account_balance_v3": exchange.balances("ann", {}, now),
        "rest_api__position_information_v3": exchange.position_risk("ann", {}, now),
        "rest_api__position_information_v2": exchange.position_risk("ann", {}, now, version=2),
        "rest_api__user_commission_rate": exchange.commission_rate("ann", SYMBOL, now),
        "rest_api__notional_and_leverage_brackets": exchange.leverage_brackets("ann", SYMBOL, now),
        "rest_api__query_order": exchange.query_order("ann", SYMBOL | order, now),
        "rest_api__current_all_open_orders": exchange.open_orders("ann", {}, now),
        "rest_api__all_orders": exchange.all_orders("ann", SYMBOL, now),
        "rest_api__account_trade_list": exchange.user_trades("ann", SYMBOL, now),
        "rest_api__get_income_history": exchange.income("ann", {}, now),
        "rest_api__symbol_configuration": exchange.symbol_config("ann", {}, now),
        "rest_api__futures_account_configuration": exchange.account_config("ann", {}, now),
        "rest_api__exchange_information": exchange.exchange_info([], now),
        "rest_api__mark_price": exchange.premium_index(SYMBOL, now),
        "rest_api__symbol_order_book_ticker": exchange.book_ticker(SYMBOL, now),
        "rest_api__symbol_price_ticker": exchange.ticker_price(SYMBOL, now),
        "rest_api__order_book": exchange.depth(SYMBOL, now),
        "rest_api__recent_trades_list": exchange.recent_trades(SYMBOL, now),
        "rest_api__compressed_aggregate_trades_list": exchange.agg_trades(SYMBOL, now),
        "rest_api__ticker24hr_price_change_statistics": exchange.ticker_24h(SYMBOL, now),
        "rest_api__auto_cancel_all_open_orders": exchange.countdown_cancel_all(
            "ann", SYMBOL | {"countdownTime": "0"}, now
        ),
        "rest_api__change_initial_leverage": exchange.change_leverage("ann", SYMBOL | {"leverage": "19"}, now),
    }


# Conditional orders only; a key of other margin modes; keys of products that are not served.
NOT_SERVED = {
    "rest_api__query_order": {"activatePrice", "priceRate"},
    "rest_api__current_all_open_orders": {"activatePrice", "priceRate"},
    "rest_api__all_orders": {"activatePrice", "priceRate"},
}


def same_kind(ours: Any, theirs: Any, path: str) -> None:
    """Every key of the example is there with the same JSON type; further keys are allowed."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict), path
        for key, value in theirs.items():
            assert key in ours, f"{path}.{key}"
            same_kind(ours[key], value, f"{path}.{key}")
    elif isinstance(theirs, list):
        assert isinstance(ours, list), path
        if theirs and ours and not path.endswith(("filters", "exchangeFilters")):
            same_kind(ours[0], theirs[0], f"{path}[0]")
    elif isinstance(theirs, bool) or isinstance(ours, bool):
        assert type(ours) is type(theirs), path
    elif isinstance(theirs, int | float):
        assert isinstance(ours, int | float), path
    else:
        assert type(ours) is type(theirs), path


@pytest.mark.recorded
@pytest.mark.skipif(not EXAMPLES.exists(), reason="no recorded payloads here")
def test_bodies_have_the_official_examples_keys_and_types() -> None:
    checked = 0
    for name, body in answers(eventful()).items():
        theirs = example(name)
        if isinstance(theirs, dict):
            theirs = {key: value for key, value in theirs.items() if key not in NOT_SERVED.get(name, set())}
        ours = body[-1] if isinstance(body, list) else body
        same_kind(ours, theirs, name)
        checked += 1
    assert checked == 24


@pytest.mark.recorded
@pytest.mark.skipif(not PAYLOADS.exists(), reason="no recorded payloads here")
def test_user_events_have_the_recorded_events_keys_in_their_order() -> None:
    recorded: dict[str, dict[str, Any]] = {}
    for line in (PAYLOADS / "recorded_user_stream.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if "2026-04" in entry["source"]:
            event = entry["event"]
            name = event["e"] if event["e"] != "ACCOUNT_UPDATE" else f"{event['e']} {event['a']['m']}"
            recorded[name] = event
    exchange = eventful()
    seen = set()
    for event in exchange.take_events():
        if not isinstance(event, UserEvent):
            continue
        name = event.kind if event.kind != "ACCOUNT_UPDATE" else f"{event.kind} {event.payload['a']['m']}"
        theirs = recorded[name]
        assert list(event.payload) == list(theirs)
        if event.kind == "ORDER_TRADE_UPDATE":
            assert list(event.payload["o"]) == list(theirs["o"])
            same_kind(event.payload["o"], theirs["o"], name)
        elif event.kind == "ACCOUNT_UPDATE":
            ours, others = event.payload["a"], theirs["a"]
            assert [list(row) for row in ours["B"]] == [list(row) for row in others["B"]]
            assert [list(row) for row in ours["P"]] == [list(row) for row in others["P"]]
        seen.add(name)
    assert seen == {"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE ORDER", "TRADE_LITE"}


def test_rest_pads_order_updates_trim_and_trade_lite_pads() -> None:
    exchange, _, ann, _ = scripted()
    body = ann.market("BUY", 100)
    assert (body["origQty"], body["price"], body["avgPrice"], body["cumQuote"]) == ("0.100", "0.0", "100.15", "10.0150")
    events = [event for event in exchange.take_events() if isinstance(event, UserEvent)]
    lite = next(event.payload for event in events if event.kind == "TRADE_LITE")
    assert (lite["q"], lite["l"], lite["L"], lite["p"]) == ("0.100", "0.050", "100.1", "0.0")
    last = events[-1].payload["o"]
    assert (last["q"], last["l"], last["ap"], last["n"], last["z"]) == ("0.1", "0.05", "100.15", "0.002505", "0.1")
    trimmed = re.compile(r"-?\d+(\.\d*[1-9])?")
    for event in events:
        if event.kind == "ORDER_TRADE_UPDATE":
            order = event.payload["o"]
            for key in ("q", "p", "ap", "l", "z", "L", "n", "b", "a", "rp"):
                assert trimmed.fullmatch(order[key]), (key, order[key])


def test_open_notionals_of_the_account_are_in_each_order_update() -> None:
    exchange, _, ann, _ = scripted()
    ann.limit("BUY", 990, 100)
    ann.limit("SELL", 1010, 60)
    updates = [event.payload["o"] for event in exchange.take_events() if event.kind == "ORDER_TRADE_UPDATE"]
    assert [(row["b"], row["a"]) for row in updates] == [("9.9", "0"), ("9.9", "6.06")]


def test_market_events_have_their_streams_keys() -> None:
    exchange = eventful()
    kinds = {event.kind: event.payload for event in exchange.take_events() if isinstance(event, MarketEvent)}
    assert set(kinds) == {"bookTicker", "aggTrade", "trade", "kline", "markPrice"}
    assert {"e", "u", "s", "b", "B", "a", "A", "T", "E"} <= set(kinds["bookTicker"])
    assert {"e", "E", "s", "p", "i", "P", "r", "ap", "T"} <= set(kinds["markPrice"])
    assert {"e", "E", "T", "s", "t", "p", "q", "X", "m"} == set(kinds["trade"])
    assert {"e", "E", "s", "a", "p", "q", "nq", "f", "l", "T", "m"} <= set(kinds["aggTrade"])
    json.dumps(kinds)


def test_lists_page_by_id_time_and_limit() -> None:
    exchange, market, ann, _ = scripted()
    for second in range(1, 6):
        market.add(quote(second * 1_000, 1000))
        exchange.advance(START_MS + second * 1_000)
        ann.market("BUY", 50)
    now = exchange.now_ms
    trades = exchange.user_trades("ann", SYMBOL, now)
    ids = [row["id"] for row in trades]

    def found(**question: str) -> list[int]:
        return [row["id"] for row in exchange.user_trades("ann", SYMBOL | question, now)]

    assert found(limit="2") == ids[-2:]
    assert found(fromId=str(ids[1]), limit="2") == ids[1:3]
    assert found(startTime=str(START_MS + 2_000), limit="2") == ids[1:3]
    assert found(endTime=str(START_MS + 2_000)) == ids[:2]
    assert found(orderId=str(trades[3]["orderId"])) == [ids[3]]
    orders = [row["orderId"] for row in exchange.all_orders("ann", SYMBOL, now)]
    page = exchange.all_orders("ann", SYMBOL | {"orderId": str(orders[2])}, now)
    assert [row["orderId"] for row in page] == orders[2:]
    week = 7 * 86_400_000
    for call, bad in (
        (exchange.user_trades, {"fromId": "1", "startTime": "1"}),
        (exchange.user_trades, {"startTime": "1", "endTime": str(2 + week)}),
        (exchange.all_orders, {"startTime": "5", "endTime": "4"}),
        (exchange.income, {"limit": "1001"}),
    ):
        with pytest.raises(PaperRefusal) as caught:
            call("ann", SYMBOL | bad, now)
        assert caught.value.code == -1130


def test_exchange_info_shows_filters_and_the_servers_limits() -> None:
    exchange, _, _, _ = scripted()
    limits = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300}]
    body = exchange.exchange_info(limits, START_MS)
    assert body["rateLimits"] == limits
    filters = {row["filterType"]: row for row in body["symbols"][0]["filters"]}
    assert filters["PRICE_FILTER"] == {
        "filterType": "PRICE_FILTER",
        "minPrice": "1",
        "maxPrice": "100000",
        "tickSize": "0.1",
    }
    assert (filters["LOT_SIZE"]["stepSize"], filters["MARKET_LOT_SIZE"]["maxQty"]) == ("0.001", "120")
    assert (filters["MIN_NOTIONAL"]["notional"], filters["MAX_NUM_ORDERS"]["limit"]) == ("5", 200)
    band = filters["PERCENT_PRICE"]
    assert (band["multiplierUp"], band["multiplierDown"]) == ("1.0500", "0.9500")

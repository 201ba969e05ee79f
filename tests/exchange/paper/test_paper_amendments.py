"""Amendments: refused as it was, amended behind the others, or gone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exchange.paper.scripted_market import START_MS, Trader, quote, scripted, user_kinds
from trio_grid.exchange.paper.engine.amendments import MAX_AMENDMENTS
from trio_grid.exchange.paper.engine.refusals import PaperRefusal


def amend(trader: Trader, order: dict[str, Any], price: str, quantity: str, **extra: str) -> dict[str, Any]:
    params = {"symbol": "TESTUSDT", "orderId": str(order["orderId"]), "side": order["side"]}
    return trader.exchange.modify_order(
        trader.name, params | {"price": price, "quantity": quantity} | extra, trader.exchange.now_ms
    )


def test_an_amended_order_keeps_its_id_and_loses_its_place() -> None:
    exchange, market, ann, bob = scripted(depth_lots=0)
    market.add(quote(100, 1000, 1001, (1000, 60, True)))
    first, second = ann.limit("BUY", 1000, 100), bob.limit("BUY", 1000, 60)
    exchange.take_events()
    body = amend(ann, first, "99.9", "0.200")
    assert (body["orderId"], body["price"], body["origQty"], body["status"]) == (
        first["orderId"],
        "99.9",
        "0.200",
        "NEW",
    )
    assert body["selfTradePreventionMode"] == "NONE"
    amend(ann, first, "100.0", "0.200")
    assert user_kinds(exchange, "ann") == ["AMENDMENT/NEW", "AMENDMENT/NEW"]
    exchange.advance(START_MS + 100)
    assert bob.order(second["orderId"])["status"] == "FILLED"
    assert ann.order(first["orderId"])["executedQty"] == "0.000"


def test_an_amendment_may_take() -> None:
    _, _, ann, _ = scripted()
    order = ann.limit("BUY", 990, 100)
    assert amend(ann, order, "100.2", "0.100")["status"] == "FILLED"
    assert ann.lots == 100


def test_a_post_only_order_that_would_take_and_a_used_up_one_are_gone() -> None:
    exchange, market, ann, _ = scripted(depth_lots=0)
    market.add(quote(100, 990, 1001, (990, 60, True)))
    part = ann.limit("BUY", 990, 100)
    exchange.advance(START_MS + 100)
    assert ann.order(part["orderId"])["executedQty"] == "0.060"
    assert amend(ann, part, "99.0", "0.060")["status"] == "CANCELED"
    post = ann.limit("BUY", 980, 100, "GTX")
    assert amend(ann, post, "100.1", "0.100")["status"] == "CANCELED"
    assert ann.lots == 60


@pytest.mark.parametrize(
    ("price", "quantity", "extra", "code"),
    [
        ("99.0", "0.100", {}, -5027),
        ("99.0", "0.050", {}, -5029),
        ("99.05", "0.100", {}, -1111),
        ("200.0", "0.100", {}, -4016),
        ("99.0", "0.200", {"reduceOnly": "true"}, -5047),
        ("99.0", "0.200", {"side": "SELL"}, -1117),
        ("99.0", "0.200", {"orderId": "5"}, -2013),
        ("100.0", "900", {}, -2019),
    ],
)
def test_a_refused_amendment_leaves_the_order_as_it_was(
    price: str, quantity: str, extra: dict[str, str], code: int
) -> None:
    exchange, _, ann, _ = scripted(balance=1_000)
    order, other = ann.limit("BUY", 990, 100), ann.limit("BUY", 980, 100)
    exchange.take_events()
    with pytest.raises(PaperRefusal) as caught:
        amend(ann, order, price, quantity, **extra)
    assert caught.value.code == code
    assert exchange.take_events() == []
    assert [row["orderId"] for row in exchange.open_orders("ann", {}, START_MS)] == [order["orderId"], other["orderId"]]
    assert ann.order(order["orderId"])["origQty"] == "0.100"


def test_a_closed_order_cannot_be_amended() -> None:
    _, _, ann, _ = scripted()
    order = ann.limit("BUY", 990, 100)
    ann.cancel(order["orderId"])
    with pytest.raises(PaperRefusal) as caught:
        amend(ann, order, "98.0", "0.100")
    assert caught.value.code == -2013


def test_an_order_is_amended_ten_thousand_times_at_most() -> None:
    exchange, _, ann, _ = scripted()
    order = ann.limit("BUY", 990, 100)
    exchange.account_of("ann").orders["TESTUSDT"][order["orderId"]].amendments = MAX_AMENDMENTS - 1
    assert amend(ann, order, "98.0", "0.100")["price"] == "98.0"
    with pytest.raises(PaperRefusal) as caught:
        amend(ann, order, "97.0", "0.100")
    assert caught.value.code == -5026
    assert ann.order(order["orderId"])["price"] == "98.0"


def test_the_amendments_of_an_order_are_told_newest_first() -> None:
    exchange, _, ann, _ = scripted()
    order, other = ann.limit("BUY", 990, 100), ann.limit("BUY", 980, 100)
    assert amend(ann, order, "98.5", "0.100", modifyId="77")["modifyId"] == 77
    assert "modifyId" not in amend(ann, order, "98.5", "0.120")
    amend(ann, other, "97.0", "0.100")
    rows = exchange.order_amendments("ann", {"symbol": "TESTUSDT", "orderId": str(order["orderId"])}, START_MS)
    assert [row["amendment"] for row in rows] == [
        {"price": {"before": "98.5", "after": "98.5"}, "origQty": {"before": "0.100", "after": "0.120"}, "count": 2},
        {
            "price": {"before": "99.0", "after": "98.5"},
            "origQty": {"before": "0.100", "after": "0.100"},
            "count": 1,
            "modifyId": 77,
        },
    ]
    every = exchange.order_amendments("ann", {"symbol": "TESTUSDT"}, START_MS)
    assert [row["amendmentId"] for row in every] == [3, 2, 1]
    assert exchange.order_amendments("ann", {"symbol": "TESTUSDT", "limit": "1"}, START_MS) == every[:1]
    assert exchange.order_amendments("ann", {"symbol": "TESTUSDT", "startTime": str(START_MS + 1)}, START_MS) == []
    exchange.advance(START_MS + 91 * 86_400_000)
    assert exchange.order_amendments("ann", {"symbol": "TESTUSDT"}, exchange.now_ms) == []


def test_an_amendments_price_may_be_matched() -> None:
    exchange, _, ann, _ = scripted()
    order = ann.limit("BUY", 990, 100)
    params = {"symbol": "TESTUSDT", "orderId": str(order["orderId"]), "side": "BUY", "quantity": "0.100"}
    body = exchange.modify_order("ann", params | {"priceMatch": "QUEUE_5"}, START_MS)
    assert (body["price"], body["priceMatch"]) == ("99.6", "QUEUE_5")
    with pytest.raises(PaperRefusal) as caught:
        exchange.modify_order("ann", params | {"priceMatch": "QUEUE", "price": "99.0"}, START_MS)
    assert caught.value.code == -1106
    assert amend(ann, order, "99.0", "0.100")["priceMatch"] == "NONE"


def test_a_reduce_only_amendment_may_be_small_only_if_it_says_so() -> None:
    exchange, _, ann, _ = scripted()
    ann.market("BUY", 100)
    order = ann.limit("SELL", 1010, 100, reduceOnly="true")
    with pytest.raises(PaperRefusal) as caught:
        amend(ann, order, "101.0", "0.010")
    assert caught.value.code == -5029
    assert amend(ann, order, "101.0", "0.010", reduceOnly="true")["origQty"] == "0.010"
    assert exchange.query_order("ann", {"symbol": "TESTUSDT", "orderId": str(order["orderId"])}, 0)["reduceOnly"]

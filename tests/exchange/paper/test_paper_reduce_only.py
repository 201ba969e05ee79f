"""Reduce-only orders: refused where they would not reduce, cut where they trade, knocked out where nothing is left."""

from __future__ import annotations

import pytest

from tests.exchange.paper.scripted_market import START_MS, quote, scripted
from trio_grid.exchange.paper.engine.refusals import PaperRefusal


def test_reduce_only_is_refused_when_it_would_not_reduce() -> None:
    _, _, ann, _ = scripted()
    ann.market("BUY", 100)
    with pytest.raises(PaperRefusal) as caught:
        ann.limit("BUY", 990, 100, reduceOnly="true")
    assert caught.value.code == -2022
    ann.limit("SELL", 1010, 60, reduceOnly="true")
    with pytest.raises(PaperRefusal) as caught:
        ann.limit("SELL", 1011, 60, reduceOnly="true")
    assert caught.value.code == -2022
    assert ann.limit("SELL", 1011, 40, reduceOnly="true")["reduceOnly"] is True


def test_a_market_order_reduces_before_the_orders_that_rest() -> None:
    _, _, ann, _ = scripted()
    ann.market("BUY", 100)
    resting = ann.limit("SELL", 1010, 100, reduceOnly="true")
    body = ann.market("SELL", 60, reduceOnly="true")
    assert (body["status"], ann.lots, ann.order(resting["orderId"])["status"]) == ("FILLED", 40, "NEW")
    ann.market("SELL", 40, reduceOnly="true")
    assert (ann.lots, ann.order(resting["orderId"])["status"]) == (0, "EXPIRED")


def test_reduce_only_needs_no_minimum_notional() -> None:
    _, _, ann, _ = scripted()
    ann.market("BUY", 100)
    assert ann.limit("SELL", 1010, 1, reduceOnly="true")["status"] == "NEW"


def test_a_reduce_only_order_never_reverses_the_position() -> None:
    exchange, _, ann, _ = scripted()
    ann.market("BUY", 60)
    body = ann.market("SELL", 100, reduceOnly="true")
    assert (body["status"], body["executedQty"], ann.lots) == ("EXPIRED", "0.060", 0)
    assert exchange.account_of("ann").orders["TESTUSDT"][body["orderId"]].expiry_reason == 4


def test_resting_reduce_only_orders_are_knocked_out_when_the_position_is_gone() -> None:
    exchange, _, ann, _ = scripted()
    ann.market("BUY", 100)
    near, far = (ann.limit("SELL", price, 50, reduceOnly="true") for price in (1010, 1020))
    exchange.take_events()
    ann.market("SELL", 60)
    assert ann.order(near["orderId"])["status"] == "NEW"
    assert ann.order(far["orderId"])["status"] == "EXPIRED"
    assert exchange.account_of("ann").orders["TESTUSDT"][far["orderId"]].expiry_reason == 4
    ann.market("SELL", 60)
    assert ann.order(near["orderId"])["status"] == "EXPIRED"
    assert ann.lots == -20


def test_a_reduce_only_order_that_the_position_covers_in_part_is_cut_when_it_trades() -> None:
    exchange, market, ann, _ = scripted()
    market.add(quote(100, 1020, 1021, (1020, 500, False)))
    ann.market("BUY", 100)
    closing = ann.limit("SELL", 1010, 100, reduceOnly="true")
    ann.market("SELL", 60)
    exchange.advance(START_MS + 100)
    found = ann.order(closing["orderId"])
    assert (found["status"], found["executedQty"], ann.lots) == ("EXPIRED", "0.040", 0)

"""What a conditional order is bound to and what ends it: positions, cancelling, dates, liquidations, limits."""

from __future__ import annotations

import pytest

from tests.exchange.paper.conditional_desk import CLOSE, STOP, STOP_AT, SYMBOL, place, query
from tests.exchange.paper.scripted_market import START_MS, quote, scripted, user_kinds
from trio_grid.exchange.paper.engine import conditional_orders
from trio_grid.exchange.paper.engine.refusals import PaperRefusal


def test_closing_orders_close_the_whole_position_and_end_with_it() -> None:
    exchange, market, ann, _ = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    market.add(quote(100, 989, 990, (990, 5, True)))
    ann.market("BUY", 120)
    resting = ann.limit("SELL", 1040, 120, reduceOnly="true")
    stop = place(ann, CLOSE, type="STOP_MARKET", triggerPrice="99.0")
    profit = place(ann, CLOSE, type="TAKE_PROFIT_MARKET", triggerPrice="103.0")
    assert (stop["timeInForce"], stop["reduceOnly"], stop["quantity"]) == ("GTE_GTC", True, "0.000")
    with pytest.raises(PaperRefusal) as caught:
        place(ann, CLOSE, type="STOP_MARKET", triggerPrice="98.0")
    assert caught.value.code == -4130
    exchange.take_events()
    exchange.advance(START_MS + 100)
    assert ann.lots == 0
    assert (query(ann, stop)["algoStatus"], query(ann, stop)["actualQty"]) == ("FINISHED", "0.120")
    assert query(ann, profit)["algoStatus"] == "EXPIRED"
    assert ann.order(resting["orderId"])["status"] == "EXPIRED"


def test_a_closing_order_is_for_the_other_side_of_the_position_only() -> None:
    exchange, _, ann, _ = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    ann.market("BUY", 120)
    with pytest.raises(PaperRefusal) as caught:
        place(ann, CLOSE, type="STOP_MARKET", side="BUY", triggerPrice="103.0")
    assert caught.value.code == -4509
    place(ann, CLOSE, type="STOP_MARKET", triggerPrice="99.0")
    ann.market("SELL", 120)
    assert exchange.open_conditionals("ann", {}, START_MS) == []


def test_a_stop_reduces_although_a_take_profit_rests() -> None:
    exchange, market, ann, _ = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    market.add(quote(100, 989, 990, (990, 5, True)))
    ann.market("BUY", 100)
    profit = ann.limit("SELL", 1010, 100, reduceOnly="true")
    stop = place(ann, STOP_AT, quantity="0.100", reduceOnly="true")
    exchange.advance(START_MS + 100)
    assert (query(ann, stop)["algoStatus"], ann.lots) == ("FINISHED", 0)
    assert ann.order(profit["orderId"])["status"] == "EXPIRED"


def test_in_hedge_mode_an_order_closes_its_own_side() -> None:
    exchange, market, ann, _ = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    market.add(quote(100, 989, 990, (990, 5, True)))
    exchange.change_position_mode("ann", {"dualSidePosition": "true"}, START_MS)
    ann.market("BUY", 80, positionSide="LONG")
    ann.market("SELL", 60, positionSide="SHORT")
    with pytest.raises(PaperRefusal) as caught:
        place(ann, CLOSE, type="STOP_MARKET", triggerPrice="99.0")
    assert caught.value.code == -4061
    long = place(ann, CLOSE, type="STOP_MARKET", triggerPrice="99.0", positionSide="LONG")
    short = place(ann, CLOSE, type="STOP_MARKET", side="BUY", triggerPrice="102.0", positionSide="SHORT")
    assert (long["positionSide"], short["positionSide"]) == ("LONG", "SHORT")
    exchange.advance(START_MS + 100)
    assert (query(ann, long)["algoStatus"], query(ann, short)["algoStatus"]) == ("FINISHED", "NEW")
    rows = exchange.position_risk("ann", SYMBOL, exchange.now_ms)
    assert {row["positionSide"]: row["positionAmt"] for row in rows} == {"SHORT": "-0.060"}


def test_an_order_is_finished_when_the_order_that_it_placed_is_cancelled() -> None:
    exchange, market, ann, _ = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    market.add(quote(100, 989, 990, (990, 5, True)))
    order = place(ann, STOP_AT, type="STOP", price="101.0")
    exchange.advance(START_MS + 100)
    found = query(ann, order)
    assert found["algoStatus"] == "TRIGGERED"
    with pytest.raises(PaperRefusal) as caught:
        exchange.cancel_conditional("ann", {"algoId": str(order["algoId"])}, exchange.now_ms)
    assert caught.value.code == -2011
    ann.cancel(int(found["actualOrderId"]))
    assert (query(ann, order)["algoStatus"], query(ann, order)["actualQty"]) == ("FINISHED", "0.000")


def test_an_order_may_be_bound_to_the_position_without_closing_all_of_it() -> None:
    _, _, ann, _ = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    ann.market("BUY", 120)
    bound = place(ann, STOP_AT, timeInForce="GTE_GTC", reduceOnly="true")
    free = place(ann, STOP_AT)
    ann.market("SELL", 60)
    assert (bound["timeInForce"], query(ann, bound)["algoStatus"]) == ("GTE_GTC", "NEW")
    ann.market("SELL", 60)
    assert (query(ann, bound)["algoStatus"], query(ann, free)["algoStatus"]) == ("EXPIRED", "NEW")


def test_a_liquidation_ends_the_accounts_conditional_orders_there() -> None:
    exchange, market, ann, _ = scripted(quote(0, 999, 1001, (1000, 5, True)), depth_lots=1_000_000, balance=100)
    ann.market("BUY", 15_000)
    order = place(ann, STOP, side="BUY", triggerPrice="110.0")
    market.add(quote(100, 500, 502))
    exchange.advance(START_MS + 100)
    assert ann.lots == 0
    assert query(ann, order)["algoStatus"] == "EXPIRED"


def test_orders_are_cancelled_one_by_one_and_all_at_once() -> None:
    exchange, _, ann, bob = scripted()
    first, second, third = (place(ann, STOP_AT, clientAlgoId=name) for name in ("a", "b", "c"))
    other = place(bob, STOP_AT, clientAlgoId="a")
    with pytest.raises(PaperRefusal) as caught:
        place(ann, STOP_AT, clientAlgoId="b")
    assert caught.value.code == -4116
    answer = exchange.cancel_conditional("ann", {"clientAlgoId": "b"}, START_MS)
    assert answer == {"algoId": second["algoId"], "clientAlgoId": "b", "code": "200", "msg": "success"}
    for params in ({"clientAlgoId": "b"}, {"algoId": "1"}, {"algoId": str(other["algoId"])}):
        with pytest.raises(PaperRefusal) as caught:
            exchange.cancel_conditional("ann", params, START_MS)
        assert caught.value.code == -2011
    with pytest.raises(PaperRefusal) as caught:
        exchange.query_conditional("ann", {"clientAlgoId": "zzz"}, START_MS)
    assert caught.value.code == -2013
    listed = exchange.open_conditionals("ann", SYMBOL, START_MS)
    assert [row["algoId"] for row in listed] == [first["algoId"], third["algoId"]]
    assert exchange.open_conditionals("ann", {"algoType": "VP"}, START_MS) == []
    exchange.cancel_all_conditionals("ann", SYMBOL, START_MS)
    assert exchange.open_conditionals("ann", {}, START_MS) == []
    assert query(bob, other)["algoStatus"] == "NEW"
    every = exchange.all_conditionals("ann", SYMBOL | {"algoId": str(second["algoId"])}, START_MS)
    assert [(row["clientAlgoId"], row["algoStatus"]) for row in every] == [("b", "CANCELED"), ("c", "CANCELED")]
    # The regular orders' cancel-all leaves conditional ones alone, and the other way round.
    ann.limit("BUY", 990, 60)
    kept = place(ann, STOP_AT)
    exchange.cancel_all_orders("ann", SYMBOL, START_MS)
    assert query(ann, kept)["algoStatus"] == "NEW"


def test_two_hundred_wait_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    assert conditional_orders.MOST_WAITING == 200
    monkeypatch.setattr(conditional_orders, "MOST_WAITING", 2)
    exchange, _, ann, bob = scripted()
    place(ann, STOP_AT)
    last = place(ann, STOP_AT)
    place(bob, STOP_AT)
    with pytest.raises(PaperRefusal) as caught:
        place(ann, STOP_AT)
    assert caught.value.code == -4045
    exchange.cancel_conditional("ann", {"algoId": str(last["algoId"])}, START_MS)
    assert place(ann, STOP_AT)["algoStatus"] == "NEW"


def test_an_order_with_a_date_ends_on_it_and_closed_ones_are_forgotten() -> None:
    exchange, _, ann, _ = scripted()
    limit = {"type": "STOP", "price": "98.0", "triggerPrice": "99.0"}
    dated = place(ann, STOP | limit, timeInForce="GTD", goodTillDate=str(START_MS + 900_000))
    plain = place(ann, STOP_AT)
    exchange.take_events()
    exchange.advance(START_MS + 899_999)
    assert user_kinds(exchange, "ann") == []
    exchange.advance(START_MS + 900_000)
    assert query(ann, dated)["algoStatus"] == "EXPIRED"
    exchange.advance(START_MS + 4 * 86_400_000)
    with pytest.raises(PaperRefusal):
        query(ann, dated)
    assert query(ann, plain)["algoStatus"] == "NEW"

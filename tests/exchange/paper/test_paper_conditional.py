"""Conditional orders: what is taken, when each type triggers, what it places, and what ends it."""

from __future__ import annotations

import pytest

from tests.exchange.paper.conditional_desk import STOP, STOP_AT, SYMBOL, place, query, statuses
from tests.exchange.paper.scripted_market import START_MS, quote, scripted
from trio_grid.exchange.paper.engine.exchange import UserEvent
from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.market.interface import MarketStep


@pytest.mark.parametrize(
    ("order_type", "side", "trigger", "calm", "reached"),
    [
        ("STOP_MARKET", "SELL", "99.0", 991, 990),
        ("STOP_MARKET", "BUY", "101.0", 1009, 1010),
        ("TAKE_PROFIT_MARKET", "SELL", "101.0", 1009, 1010),
        ("TAKE_PROFIT_MARKET", "BUY", "99.0", 991, 990),
        ("STOP", "SELL", "99.0", 991, 990),
        ("TAKE_PROFIT", "BUY", "99.0", 991, 990),
    ],
)
@pytest.mark.parametrize("working_type", ["CONTRACT_PRICE", "MARK_PRICE"])
def test_an_order_triggers_when_its_price_reaches_it(
    order_type: str, side: str, trigger: str, calm: int, reached: int, working_type: str
) -> None:
    def step(time_ms: int, ticks: int) -> MarketStep:
        # The one kind of price comes to the trigger, the other stays away from it.
        if working_type == "MARK_PRICE":
            return quote(time_ms, ticks - 1, ticks + 1, (1000, 5, False))
        return quote(time_ms, 1000, 1001, (ticks, 5, False))

    exchange, _, ann, _ = scripted(step(0, 1000), step(100, calm), step(200, reached))
    limit = {"price": trigger} if order_type in ("STOP", "TAKE_PROFIT") else {}
    order = place(ann, STOP, side=side, type=order_type, triggerPrice=trigger, workingType=working_type, **limit)
    assert (order["algoStatus"], order["triggerPrice"], order["orderType"]) == ("NEW", trigger, order_type)
    exchange.advance(START_MS + 100)
    assert query(ann, order)["algoStatus"] == "NEW"
    exchange.advance(START_MS + 200)
    found = query(ann, order)
    assert (found["triggerTime"], found["actualType"]) == (START_MS + 200, "LIMIT" if limit else "MARKET")
    placed = ann.order(int(found["actualOrderId"]))
    assert (placed["clientOrderId"], placed["side"]) == (order["clientAlgoId"], side)
    if limit:
        assert (placed["type"], placed["price"], placed["timeInForce"]) == ("LIMIT", trigger, "GTC")
    else:
        assert (placed["status"], found["algoStatus"]) == ("FILLED", "FINISHED")
        assert (found["actualPrice"], found["actualQty"]) == (placed["avgPrice"], "0.060")


def test_the_events_of_an_order_that_triggers_and_fills() -> None:
    exchange, market, ann, _ = scripted()
    market.add(quote(100, 989, 990, (990, 5, True)))
    order = place(ann, STOP_AT)
    assert statuses(exchange) == ["NEW"]
    exchange.advance(START_MS + 100)
    events = [e.payload for e in exchange.take_events() if isinstance(e, UserEvent) and e.kind == "ALGO_UPDATE"]
    assert [e["o"]["X"] for e in events] == ["TRIGGERING", "TRIGGERED", "FINISHED"]
    triggering, triggered, finished = (e["o"] for e in events)
    assert (triggering["ai"], triggering["tt"], triggering["aid"]) == ("", START_MS + 100, order["algoId"])
    assert (triggered["ap"], triggered["aq"], triggered["act"]) == ("0", "0", "MARKET")
    assert (finished["aq"], finished["ai"]) == ("0.06", query(ann, order)["actualOrderId"])
    assert (finished["tp"], finished["q"], finished["p"], finished["ia"]) == ("99", "0.06", "0", False)


def test_the_placed_orders_events_come_between() -> None:
    exchange, market, ann, _ = scripted()
    market.add(quote(100, 989, 990, (990, 5, True)))
    place(ann, STOP_AT, quantity="0.051")
    exchange.take_events()
    exchange.advance(START_MS + 100)
    # Fifty lots stand at the best bid: two trades.
    assert statuses(exchange) == [
        "TRIGGERING", "NEW/NEW", "TRIGGERED", "TRADE/PARTIALLY_FILLED", "TRADE/FILLED", "FINISHED",
    ]  # fmt: skip


def test_an_accounts_own_trade_triggers_too_and_one_order_may_set_off_the_next() -> None:
    exchange, _, ann, bob = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    place(ann, STOP, side="BUY", triggerPrice="100.1", quantity="0.150")
    place(bob, STOP, side="BUY", triggerPrice="100.4", quantity="0.060")
    bob.market("BUY", 51)
    assert (ann.lots, bob.lots) == (150, 111)
    assert statuses(exchange)[-1] == "FINISHED"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, -1102),
        ({"algoType": "VP", "triggerPrice": "99.0"}, -1130),
        ({"type": "LIMIT", "triggerPrice": "99.0"}, -1116),
        ({"type": "MARKET", "triggerPrice": "99.0"}, -1116),
        ({"triggerPrice": "0"}, -4006),
        ({"triggerPrice": "100000.1"}, -4007),
        ({"triggerPrice": "99.05"}, -1111),
        ({"triggerPrice": "100.0"}, -2021),
        ({"type": "TAKE_PROFIT_MARKET", "triggerPrice": "99.0"}, -2021),
        ({"triggerPrice": "101.0", "side": "BUY", "type": "TAKE_PROFIT_MARKET"}, -2021),
        ({"triggerPrice": "99.0", "workingType": "INDEX"}, -4031),
        ({"triggerPrice": "99.0", "clientAlgoId": "has space"}, -4015),
        ({"triggerPrice": "99.0", "quantity": "0.050"}, -4164),
        ({"triggerPrice": "99.0", "quantity": "0"}, -4003),
        ({"triggerPrice": "99.0", "quantity": ""}, -1102),
        ({"triggerPrice": "99.0", "price": "99.0"}, -1106),
        ({"triggerPrice": "99.0", "timeInForce": "IOC"}, -1115),
        ({"triggerPrice": "99.0", "callbackRate": "1"}, -1106),
        ({"triggerPrice": "99.0", "type": "STOP"}, -1102),
        ({"triggerPrice": "99.0", "type": "STOP", "price": "99.0", "timeInForce": "SOON"}, -1115),
        ({"triggerPrice": "99.0", "closePosition": "true"}, -4137),
        ({"triggerPrice": "99.0", "closePosition": "true", "quantity": "", "reduceOnly": "true"}, -1106),
        ({"triggerPrice": "99.0", "closePosition": "true", "quantity": ""}, -4509),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "1", "closePosition": "true"}, -4136),
        ({"type": "TRAILING_STOP_MARKET"}, -1102),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "0"}, -2007),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "10.1"}, -2007),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "1.25"}, -2007),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "1", "triggerPrice": "99.0"}, -1106),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "1", "activatePrice": "100.0"}, -2021),
    ],
)
def test_a_refused_conditional_order_has_its_code_and_leaves_no_trace(params: dict[str, str], code: int) -> None:
    exchange, _, ann, _ = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    exchange.take_events()
    with pytest.raises(PaperRefusal) as caught:
        place(ann, STOP, **params)
    assert caught.value.code == code
    assert exchange.take_events() == []
    assert exchange.all_conditionals("ann", {}, START_MS) == []


@pytest.mark.parametrize("order_type", ["STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"])
def test_the_order_endpoint_sends_conditional_types_to_the_algo_endpoint(order_type: str) -> None:
    exchange, _, ann, _ = scripted()
    with pytest.raises(PaperRefusal) as caught:
        exchange.place_order("ann", ann.params("SELL", 990, 60, type=order_type, stopPrice="99"), START_MS)
    assert caught.value.code == -4120


def test_a_trailing_order_follows_the_best_price_and_triggers_behind_it() -> None:
    steps = [
        quote(100 * n, ticks - 1, ticks, (ticks, 5, False)) for n, ticks in enumerate((1000, 1010, 1050, 1040, 1039))
    ]
    exchange, _, ann, _ = scripted(*steps)
    trailing = STOP | {"type": "TRAILING_STOP_MARKET", "callbackRate": "1.0"}
    now, later = place(ann, trailing), place(ann, trailing, activatePrice="105.0")
    assert (now["callbackRate"], now["activatePrice"], later["activatePrice"]) == ("1", "", "105.0")
    exchange.advance(START_MS + 300)
    # 1 % below 105.0 is 103.95: 104.0 is not yet there, 103.9 is.
    assert (query(ann, now)["algoStatus"], query(ann, later)["algoStatus"]) == ("NEW", "NEW")
    exchange.advance(START_MS + 400)
    assert (query(ann, now)["algoStatus"], query(ann, later)["algoStatus"]) == ("FINISHED", "FINISHED")
    assert ann.lots == -120


def test_queries_name_rate_and_activation_of_trailing_orders_only() -> None:
    exchange, _, ann, _ = scripted()
    names = ("callbackRate", "activatePrice")
    stop = place(ann, STOP_AT)
    trailing = place(ann, STOP, type="TRAILING_STOP_MARKET", callbackRate="1", activatePrice="105.0")
    assert [stop[name] for name in names] == ["", ""]
    listed = exchange.open_conditionals("ann", SYMBOL, exchange.now_ms)
    for shown in ([query(ann, stop), query(ann, trailing)], listed):
        assert [[body.get(name) for name in names] for body in shown] == [[None, None], ["1", "105.0"]]
        assert not any(name in shown[0] for name in names)


def test_a_trailing_buy_waits_for_its_activation() -> None:
    # Activated at 98.0, lowest at 97.0: 1 % above that is 97.97.
    path = (1000, 990, 1000, 980, 970, 979, 980)
    steps = [quote(100 * n, ticks, ticks + 1, (ticks, 5, True)) for n, ticks in enumerate(path)]
    exchange, _, ann, _ = scripted(*steps)
    order = place(ann, STOP, side="BUY", type="TRAILING_STOP_MARKET", callbackRate="1", activatePrice="98.0")
    exchange.advance(START_MS + 500)
    assert query(ann, order)["algoStatus"] == "NEW"
    exchange.advance(START_MS + 600)
    assert query(ann, order)["algoStatus"] == "FINISHED"


def test_a_trailing_order_begins_at_the_price_of_its_placement() -> None:
    exchange, market, ann, _ = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    market.add(quote(100, 989, 990, (990, 5, True)))
    order = place(ann, STOP, type="TRAILING_STOP_MARKET", callbackRate="1")
    exchange.advance(START_MS + 100)
    assert query(ann, order)["algoStatus"] == "FINISHED"


def test_every_trade_of_a_step_counts_not_the_last_alone() -> None:
    exchange, market, ann, _ = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    market.add(quote(100, 1000, 1001, (1000, 5, True), (990, 5, True), (1001, 5, False)))
    order = place(ann, STOP_AT)
    exchange.advance(START_MS + 100)
    assert query(ann, order)["algoStatus"] == "FINISHED"


def test_the_trades_of_a_liquidation_trigger_at_once() -> None:
    exchange, market, ann, bob = scripted(quote(0, 999, 1001, (1000, 5, True)), depth_lots=1_000, balance=100)
    ann.market("BUY", 15_000)
    order = place(bob, STOP_AT, triggerPrice="94.8")
    # The market comes to 95.0 only; what is liquidated there eats fifteen levels more.
    market.add(quote(100, 950, 952, (950, 5, True)))
    exchange.advance(START_MS + 100)
    assert ann.lots == 0
    found = query(bob, order)
    assert (found["algoStatus"], found["triggerTime"]) == ("FINISHED", START_MS + 100)


def test_an_order_that_the_exchange_refuses_when_it_triggers_is_rejected_with_the_reason() -> None:
    exchange, market, ann, _ = scripted()
    market.add(quote(100, 989, 990, (990, 5, True)))
    order = place(ann, STOP_AT, reduceOnly="true")
    exchange.take_events()
    exchange.advance(START_MS + 100)
    told = [e.payload["o"] for e in exchange.take_events() if isinstance(e, UserEvent)]
    assert [row["X"] for row in told] == ["TRIGGERING", "REJECTED"]
    assert told[1]["rm"] == "ReduceOnly Order is rejected."
    assert query(ann, order)["algoStatus"] == "REJECTED"
    assert exchange.all_orders("ann", SYMBOL, exchange.now_ms) == []


def test_there_is_no_margin_check_before_the_trigger() -> None:
    exchange, market, ann, _ = scripted(balance=1)
    market.add(quote(100, 989, 990, (990, 5, True)))
    order = place(ann, STOP_AT, quantity="100")
    exchange.advance(START_MS + 100)
    assert query(ann, order)["algoStatus"] == "REJECTED"
    assert ann.lots == 0


def test_price_protection_holds_an_order_back_while_last_and_mark_are_apart() -> None:
    exchange, market, ann, _ = scripted(quote(0, 1000, 1001, (1000, 5, True)))
    market.add(quote(100, 1000, 1001, (940, 5, True)), quote(200, 941, 943, (940, 5, True)))
    open_one, held = place(ann, STOP_AT), place(ann, STOP_AT, priceProtect="true")
    exchange.advance(START_MS + 100)
    assert (query(ann, open_one)["algoStatus"], query(ann, held)["algoStatus"]) == ("FINISHED", "NEW")
    exchange.advance(START_MS + 200)
    assert query(ann, held)["algoStatus"] == "FINISHED"

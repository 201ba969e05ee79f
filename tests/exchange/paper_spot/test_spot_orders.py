"""Orders on spot: what they hold, how they trade, what they pay, how they end."""

from decimal import Decimal
from typing import Any

import pytest

from tests.exchange.paper_spot.spot_trader import SYMBOL, amount, go_on, priced, quote, reports, spot_market, told
from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.spot.refusals import DetailedRefusal

D = Decimal
MARKET = {"type": "MARKET", "price": "", "timeInForce": ""}


def refused(command: Any, *parts: Any, **params: Any) -> tuple[int, str]:
    with pytest.raises(PaperRefusal) as caught:
        command(*parts, **params)
    return caught.value.code, caught.value.message


def test_an_order_holds_what_it_would_pay_until_it_ends() -> None:
    exchange, _, ann, _ = spot_market()
    placed = ann.limit("BUY", 900, 500)
    assert (placed["status"], placed["fills"], placed["orderListId"]) == ("NEW", [], -1)
    assert ann.balances()["USDT"] == (D(9955), D(45))
    selling = ann.limit("SELL", 1100, 250)
    assert ann.balances()["TEST"] == (D("0.75"), D("0.25"))
    assert reports(exchange, "ann") == ["NEW/NEW", "outboundAccountPosition"] * 2
    for order in (placed, selling):
        ann.ask("cancel_order", orderId=order["orderId"])
    assert ann.balances() == {"TEST": (D(1), D(0)), "USDT": (D(10000), D(0))}


def test_the_fee_is_taken_from_what_is_received() -> None:
    exchange, _, ann, _ = spot_market(quote(0, 1000, 1001))
    bought = ann.market("BUY", 50)
    assert bought["status"] == "FILLED"
    assert bought["fills"] == [
        {
            "price": "100.10000000",
            "qty": "0.05000000",
            "commission": "0.00005000",
            "commissionAsset": "TEST",
            "tradeId": 1,
        }
    ]
    assert ann.balances() == {"TEST": (D("1.04995"), D(0)), "USDT": (D("10000") - D("5.005"), D(0))}
    sold = ann.market("SELL", 50)
    assert (sold["fills"][0]["commission"], sold["fills"][0]["commissionAsset"]) == ("0.00500000", "USDT")
    assert ann.free("USDT") == D("10000") - D("5.005") + D("5") - D("0.005")
    rows = ann.ask("my_trades")
    assert [(row["isBuyer"], row["isMaker"], row["quoteQty"]) for row in rows] == [
        (True, False, "5.00500000"),
        (False, False, "5.00000000"),
    ]
    assert exchange.spot.settlement.accounts["ann"].fees == {"TEST": 5_000, "USDT": 500_000}


def test_a_taker_gets_the_better_price_and_the_difference_back() -> None:
    _, _, ann, _ = spot_market(quote(0, 1000, 1001))
    body = ann.limit("BUY", 1010, 80, newOrderRespType="FULL")
    assert [(fill["price"], fill["qty"]) for fill in body["fills"]] == [
        ("100.10000000", "0.05000000"),
        ("100.20000000", "0.03000000"),
    ]
    assert ann.balances()["USDT"] == (D(10000) - D("5.005") - D("3.006"), D(0))
    assert body["cummulativeQuoteQty"] == "8.01100000"


def test_the_tape_fills_a_resting_order_as_maker() -> None:
    exchange, market, ann, _ = spot_market()
    order = ann.limit("SELL", 1005, 100)
    exchange.take_events()
    go_on(exchange, market, quote(1000, 1004, 1005, (1005, 30, False)))
    # The strangers who stood at the price before are served first: nothing is left of 30 lots.
    assert ann.order(order["orderId"])["executedQty"] == "0.00000000"
    go_on(exchange, market, quote(2000, 1004, 1005, (1005, 60, False)))
    assert ann.order(order["orderId"])["executedQty"] == "0.04000000"
    assert ann.locked("TEST") == D("0.06")
    go_on(exchange, market, quote(3000, 1008, 1009, (1007, 200, False)))
    filled = ann.order(order["orderId"])
    assert (filled["status"], filled["cummulativeQuoteQty"]) == ("FILLED", "10.05000000")
    events = told(exchange, "ann")
    trades = [one for one in events if one["e"] == "executionReport"]
    assert [(one["x"], one["X"], one["m"], one["l"], one["z"]) for one in trades] == [
        ("TRADE", "PARTIALLY_FILLED", True, "0.04000000", "0.04000000"),
        ("TRADE", "FILLED", True, "0.06000000", "0.10000000"),
    ]
    assert events[-1]["B"] == [
        {"a": "TEST", "f": "0.90000000", "l": "0.00000000"},
        {"a": "USDT", "f": "10010.03995000", "l": "0.00000000"},
    ]


def test_two_accounts_trade_with_each_other_at_the_resting_price() -> None:
    exchange, _, ann, bob = spot_market(quote(0, 1000, 1010))
    resting = ann.limit("SELL", 1005, 100)
    taken = bob.market("BUY", 100)
    assert [fill["price"] for fill in taken["fills"]] == ["100.50000000"]
    assert ann.order(resting["orderId"])["status"] == "FILLED"
    assert ann.ask("my_trades")[0]["id"] == bob.ask("my_trades")[0]["id"]
    assert reports(exchange, "bob")[-2:] == ["TRADE/FILLED", "outboundAccountPosition"]


def test_a_market_order_by_quote_amount_spends_no_more_than_that() -> None:
    _, _, ann, _ = spot_market(quote(0, 1000, 1001))
    body = ann.place("BUY", "MARKET", quoteOrderQty="12.34")
    assert (body["status"], body["origQuoteOrderQty"]) == ("FILLED", "12.34000000")
    spent = D(body["cummulativeQuoteQty"])
    assert D("12.34") - D("0.11") < spent <= D("12.34")
    assert ann.free("USDT") == 10_000 - spent
    sold = ann.place("SELL", "MARKET", quoteOrderQty="20")
    assert D("19.89") < D(sold["cummulativeQuoteQty"]) <= 20


@pytest.mark.parametrize(("tif", "price", "lots", "status", "executed"), [
    ("IOC", 1001, 80, "EXPIRED", "0.05000000"), ("FOK", 1001, 80, "EXPIRED", "0.00000000"),
    ("FOK", 1002, 80, "FILLED", "0.08000000"), ("GTC", 1001, 80, "PARTIALLY_FILLED", "0.05000000"),
])  # fmt: skip
def test_time_in_force(tif: str, price: int, lots: int, status: str, executed: str) -> None:
    _, _, ann, _ = spot_market(quote(0, 1000, 1001))
    body = ann.limit("BUY", price, lots, tif)
    assert (body["status"], body["executedQty"]) == (status, executed)
    held = D("0.03") * D("100.1") if status == "PARTIALLY_FILLED" else 0
    assert ann.locked("USDT") == held


def test_post_only_rests_or_is_refused() -> None:
    exchange, _, ann, _ = spot_market(quote(0, 1000, 1001))
    crossing = refused(ann.place, "BUY", "LIMIT_MAKER", **priced(1001, 60))
    assert crossing == (-2010, "Order would immediately match and take.")
    assert exchange.take_events() == []
    body = ann.place("BUY", "LIMIT_MAKER", **priced(1000, 60))
    assert set(body) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}, "ACK is its default"
    assert ann.order(body["orderId"])["type"] == "LIMIT_MAKER"


def test_answers_are_as_long_as_they_were_asked_for() -> None:
    _, _, ann, _ = spot_market()
    assert "status" not in ann.limit("BUY", 900, 100, newOrderRespType="ACK")
    assert "fills" not in ann.limit("BUY", 900, 100, newOrderRespType="RESULT")
    assert "fills" in ann.limit("BUY", 900, 100)


@pytest.mark.parametrize(("changes", "code", "message"), [
    ({"quantity": "0.0001"}, -1013, "Filter failure: LOT_SIZE"),
    ({"quantity": "2000000"}, -1013, "Filter failure: LOT_SIZE"),
    (MARKET | {"quantity": "100001"}, -1013, "Filter failure: MARKET_LOT_SIZE"),
    ({"price": "99.95"}, -1013, "Filter failure: PRICE_FILTER"),
    ({"price": "501"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    ({"price": "19.9"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    ({"quantity": "0.05", "price": "99.9"}, -1013, "Filter failure: NOTIONAL"),
    ({"type": "MARKET", "quantity": "0.04", "price": "", "timeInForce": ""}, -1013, "Filter failure: NOTIONAL"),
    ({"quantity": "0"}, -1013, "Invalid quantity."), ({"price": "0"}, -1013, "Invalid price."),
    ({"quantity": "-1"}, -1100, None), ({"price": "1e3"}, -1100, None), ({"newClientOrderId": "a b"}, -1100, None),
    ({"symbol": "TEST/USDT"}, -1100, None), ({"price": ""}, -1105, "Parameter 'price' was empty."),
    ({"side": ""}, -1105, None), ({"timeInForce": ""}, -1102, None),
    ({"quantity": "0.123456789"}, -1111, "Parameter 'quantity' has too much precision."),
    ({"timeInForce": "GTX"}, -1115, None), ({"type": "OCO"}, -1116, None), ({"side": "LONG"}, -1117, None),
    ({"symbol": "NOPE"}, -1121, None), ({"newOrderRespType": "ALL"}, -1130, None),
    ({"selfTradePreventionMode": "TRANSFER"}, -1130, None), ({"stopPrice": "90"}, -1106, None),
    ({"type": "MARKET", "timeInForce": "", "price": "100"}, -1106, None),
    ({"type": "MARKET", "timeInForce": "", "price": "", "quoteOrderQty": "10"}, -1128, None),
    ({"type": "MARKET", "timeInForce": "", "price": "", "quantity": ""}, -1102, None),
    ({"quantity": "101"}, -2010, "Account has insufficient balance for requested action."),
    ({"side": "SELL", "quantity": "1.001"}, -2010, "Account has insufficient balance for requested action."),
    ({"icebergQty": "0.1"}, -2010, "Iceberg orders are not supported for this symbol."),
    ({"newClientOrderId": "taken"}, -2010, "Duplicate order sent."),
    ({"type": "STOP_LOSS_LIMIT", "stopPrice": "99"}, -2010, "Stop price would trigger immediately."),
])  # fmt: skip
def test_a_refused_order_has_its_code_and_leaves_no_trace(
    changes: dict[str, str], code: int, message: str | None
) -> None:
    exchange, _, ann, _ = spot_market(quote(0, 1000, 1001, (1000, 1, True)))
    ann.limit("BUY", 500, 100, newClientOrderId="taken")
    before = ann.balances()
    exchange.take_events()
    params = {"type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1", "price": "100", "symbol": SYMBOL} | changes
    side = params.pop("side", "BUY")
    # An empty text is "not sent" for what the type does not have, and "empty" for what it needs.
    found = refused(ann.place, side, params.pop("type"), **params)
    assert found[0] == code
    assert message is None or found[1] == message
    assert exchange.take_events() == []
    assert (ann.balances(), len(ann.ask("open_orders"))) == (before, 1)


def test_the_number_of_open_orders_is_limited() -> None:
    _, _, ann, _ = spot_market()
    for _ in range(200):
        ann.limit("BUY", 500, 100)
    assert refused(ann.limit, "BUY", 500, 100) == (-1013, "Filter failure: MAX_NUM_ORDERS")


def test_stop_orders_wait_for_their_price() -> None:
    exchange, market, ann, _ = spot_market(quote(0, 1000, 1001, (1000, 1, True)))
    stop = ann.place("SELL", "STOP_LOSS_LIMIT", timeInForce="GTC", stopPrice="98.0", **priced(970, 100))
    take = ann.place("SELL", "TAKE_PROFIT", stopPrice="103.0", quantity=amount(100))
    waiting = ann.order(stop["orderId"])
    assert (waiting["isWorking"], waiting["workingTime"], waiting["stopPrice"]) == (False, -1, "98.00000000")
    assert ann.locked("TEST") == D("0.2")
    exchange.take_events()
    go_on(exchange, market, quote(1000, 1029, 1030, (1030, 1, False)))
    assert ann.order(take["orderId"])["status"] == "FILLED"
    assert reports(exchange, "ann")[:3] == ["NEW/NEW", "outboundAccountPosition", "TRADE/PARTIALLY_FILLED"]
    go_on(exchange, market, quote(2000, 979, 981, (980, 1, True)))
    worked = ann.order(stop["orderId"])
    assert (worked["isWorking"], worked["status"], worked["executedQty"]) == (True, "FILLED", "0.10000000")
    assert ann.locked("TEST") == 0


@pytest.mark.parametrize(("mode", "taker", "maker"), [
    ("EXPIRE_MAKER", "FILLED", "EXPIRED_IN_MATCH"), ("EXPIRE_TAKER", "EXPIRED_IN_MATCH", "NEW"),
    ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"), ("NONE", "FILLED", "FILLED"),
    ("DECREMENT", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
])  # fmt: skip
def test_self_trades_are_prevented_by_the_takers_mode(mode: str, taker: str, maker: str) -> None:
    exchange, _, ann, _ = spot_market(quote(0, 1000, 1010))
    resting = ann.limit("SELL", 1005, 100)["orderId"]
    exchange.take_events()
    taking = ann.limit("BUY", 1020, 100, selfTradePreventionMode=mode)
    assert (ann.order(taking["orderId"])["status"], ann.order(resting)["status"]) == (taker, maker)
    matches = ann.ask("prevented_matches", orderId=resting)
    assert [row["selfTradePreventionMode"] for row in matches] == ([] if mode == "NONE" else [mode])
    prevented = [one for one in told(exchange, "ann") if one.get("x") == "TRADE_PREVENTION"]
    assert {one["X"] for one in prevented} == (set() if mode == "NONE" else {"EXPIRED_IN_MATCH"})
    assert ann.locked("USDT") == 0


def test_cancel_and_query_of_unknown_and_closed_orders() -> None:
    exchange, _, ann, _ = spot_market()
    order = ann.limit("BUY", 900, 100, newClientOrderId="mine")
    exchange.take_events()
    body = ann.ask("cancel_order", origClientOrderId="mine", newClientOrderId="the-cancel")
    assert (body["origClientOrderId"], body["clientOrderId"], body["status"]) == ("mine", "the-cancel", "CANCELED")
    report = told(exchange, "ann")[0]
    assert (report["C"], report["c"], report["x"], report["t"]) == ("mine", "the-cancel", "CANCELED", -1)
    assert ann.order(order["orderId"])["clientOrderId"] == "mine"
    assert refused(ann.ask, "cancel_order", orderId=order["orderId"]) == (-2011, "Unknown order sent.")
    assert refused(ann.ask, "cancel_order", orderId=77) == (-2011, "Unknown order sent.")
    assert refused(ann.ask, "query_order", orderId=77) == (-2013, "Order does not exist.")
    assert refused(ann.ask, "query_order")[0] == -1102
    assert refused(ann.ask, "cancel_all_orders") == (-2011, "Unknown order sent.")
    again = ann.limit("BUY", 900, 100, newClientOrderId="mine")
    wrong = refused(ann.ask, "cancel_order", orderId=again["orderId"], cancelRestrictions="ONLY_PARTIALLY_FILLED")
    assert wrong == (-2011, "Order was not canceled due to cancel restrictions.")
    assert [row["status"] for row in ann.ask("cancel_all_orders")] == ["CANCELED"]
    assert [row["status"] for row in ann.ask("all_orders")] == ["CANCELED", "CANCELED"]


def test_an_order_is_replaced_whole_in_part_or_not_at_all() -> None:
    exchange, _, ann, _ = spot_market(quote(0, 1000, 1001))
    old = ann.limit("BUY", 900, 100)["orderId"]
    new = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1", "price": "91"}

    def replace(mode: str, **params: object) -> Any:
        return ann.ask("cancel_replace", cancelReplaceMode=mode, **(new | params))

    def failed(mode: str, **params: object) -> tuple[int, int, Any]:
        with pytest.raises(DetailedRefusal) as caught:
            replace(mode, **params)
        error, data = caught.value, caught.value.data
        return error.http_status, error.code, (data["cancelResult"], data["newOrderResult"])

    body = replace("STOP_ON_FAILURE", cancelOrderId=old)
    assert (body["cancelResponse"]["orderId"], body["newOrderResponse"]["status"]) == (old, "NEW")
    assert failed("STOP_ON_FAILURE", cancelOrderId=old) == (400, -2022, ("FAILURE", "NOT_ATTEMPTED"))
    assert failed("ALLOW_FAILURE", cancelOrderId=old) == (409, -2021, ("FAILURE", "SUCCESS"))
    assert failed("ALLOW_FAILURE", cancelOrderId=old, quantity="900") == (400, -2022, ("FAILURE", "FAILURE"))
    present = body["newOrderResponse"]["orderId"]
    assert failed("STOP_ON_FAILURE", cancelOrderId=present, quantity="900") == (409, -2021, ("SUCCESS", "FAILURE"))
    exchange.take_events()
    left = [row["orderId"] for row in ann.ask("open_orders")]
    # A filter is looked at before anything happens.
    assert refused(replace, "ALLOW_FAILURE", cancelOrderId=left[0], price="0.05")[0] == -1013
    assert refused(replace, "NEVER", cancelOrderId=left[0])[0] == -1130
    assert refused(replace, "ALLOW_FAILURE")[0] == -1102
    assert (exchange.take_events(), [row["orderId"] for row in ann.ask("open_orders")]) == ([], left)


def test_a_reduced_order_keeps_its_place() -> None:
    exchange, market, ann, bob = spot_market(quote(0, 1000, 1001))
    first = ann.limit("BUY", 1000, 200, newClientOrderId="first")["orderId"]
    second = bob.limit("BUY", 1000, 100)["orderId"]
    exchange.take_events()
    body = ann.ask("amend_order", orderId=first, newQty=amount(100), newClientOrderId="smaller")
    assert (body["amendedOrder"]["qty"], body["amendedOrder"]["clientOrderId"]) == ("0.10000000", "smaller")
    report = told(exchange, "ann")[0]
    assert (report["x"], report["C"], report["c"], report["q"]) == ("REPLACED", "first", "smaller", "0.10000000")
    assert ann.locked("USDT") == 10
    go_on(exchange, market, quote(1000, 1000, 1001, (1000, 150, True)))
    assert ann.order(first)["status"] == "FILLED", "fifty lots went to the strangers in front"
    assert bob.order(second)["executedQty"] == "0.00000000", "bob came later"
    other = ann.limit("BUY", 900, 100)["orderId"]
    for quantity, code in (("0.2", -2038), ("0.1", -2038), ("0.001", -1013), ("0", -1013)):
        assert refused(ann.ask, "amend_order", orderId=other, newQty=quantity)[0] == code
    assert refused(ann.ask, "amend_order", orderId=first, newQty="0.05")[0] == -2013
    rows = ann.ask("order_amendments", orderId=first)
    assert [(row["origQty"], row["newQty"]) for row in rows] == [("0.20000000", "0.10000000")]


def test_windows_of_more_than_a_day_are_refused() -> None:
    exchange, _, ann, _ = spot_market()
    day = 86_400_000
    start = exchange.now_ms - day
    assert ann.ask("all_orders", startTime=start, endTime=start + day) == []
    assert refused(ann.ask, "all_orders", startTime=start, endTime=start + day + 1)[0] == -1127
    assert refused(ann.ask, "my_trades", startTime=start, endTime=start + day + 1)[0] == -1127
    assert refused(ann.ask, "my_trades", startTime=start, fromId=1)[0] == -1128

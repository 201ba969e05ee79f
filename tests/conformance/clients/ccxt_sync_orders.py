"""ccxt over REST: orders of every type, one by one and in batches, and the lists of them."""

from typing import Any

from ccxt_desk import SYMBOL, Desk
from harness import Suite

suite = Suite()


@suite.operation("LIMIT GTC")
def limit_gtc(desk: Desk) -> None:
    order = desk.rest()
    assert order["status"] == "open"
    assert order["timeInForce"] == "GTC"
    assert order["remaining"] == 0.01
    assert desk.client.cancel_order(order["id"], SYMBOL)["status"] == "canceled"
    crossing = desk.client.create_order(SYMBOL, "limit", "buy", 0.01, desk.taking_price("buy"))
    assert desk.client.fetch_order(crossing["id"], SYMBOL)["status"] == "closed"
    desk.market("sell")


@suite.operation("LIMIT IOC")
def limit_ioc(desk: Desk) -> None:
    killed = desk.rest(timeInForce="IOC")
    assert killed["status"] == "expired"
    assert killed["filled"] == 0
    filled = desk.client.create_order(SYMBOL, "limit", "buy", 0.01, desk.taking_price("buy"), {"timeInForce": "IOC"})
    assert (filled["status"], filled["filled"]) == ("closed", 0.01)
    desk.market("sell")


@suite.operation("LIMIT FOK")
def limit_fok(desk: Desk) -> None:
    filled = desk.client.create_order(SYMBOL, "limit", "buy", 0.01, desk.taking_price("buy"), {"timeInForce": "FOK"})
    assert (filled["status"], filled["filled"]) == ("closed", 0.01)
    desk.market("sell")


@suite.operation("LIMIT GTX")
def limit_gtx(desk: Desk) -> None:
    order = desk.rest(postOnly=True)
    assert (order["status"], order["postOnly"], order["timeInForce"]) == ("open", True, "PO")
    desk.client.cancel_order(order["id"], SYMBOL)


@suite.operation("LIMIT GTD")
def limit_gtd(desk: Desk) -> None:
    until = desk.client.fetch_time() // 1000 * 1000 + 3_600_000
    order = desk.rest(timeInForce="GTD", goodTillDate=until)
    assert order["status"] == "open"
    assert order["info"]["goodTillDate"] in (until, str(until))
    desk.client.cancel_order(order["id"], SYMBOL)


@suite.operation("MARKET")
def market_order(desk: Desk) -> None:
    bought = desk.market("buy")
    assert (bought["status"], bought["filled"]) == ("closed", 0.01)
    assert bought["average"] > 0
    assert bought["cost"] > 0
    assert desk.market("sell")["status"] == "closed"


@suite.operation("reduce-only")
def reduce_only(desk: Desk) -> None:
    desk.market("buy", 0.02)
    resting = desk.rest("sell", 0.01, reduceOnly=True)
    assert resting["reduceOnly"] is True
    desk.client.cancel_order(resting["id"], SYMBOL)
    assert desk.market("sell", 0.02, reduceOnly=True)["status"] == "closed"
    assert desk.position() == 0


@suite.operation("price match")
def price_match(desk: Desk) -> None:
    order = desk.client.create_order(SYMBOL, "limit", "buy", 0.01, None, {"priceMatch": "QUEUE_5"})
    assert order["status"] == "open"
    assert order["price"] > 0
    desk.flatten()


@suite.operation("test order")
def test_order(desk: Desk) -> None:
    answer = desk.client.fapiPrivatePostOrderTest(
        {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01",
         "price": desk.client.price_to_precision(SYMBOL, desk.price("buy"))}
    )  # fmt: skip
    assert isinstance(answer, dict)
    assert desk.client.fetch_open_orders(SYMBOL) == []


@suite.operation("query order")
def query_order(desk: Desk) -> None:
    placed = desk.rest(clientOrderId="conformance-query")
    for found in (
        desk.client.fetch_order(placed["id"], SYMBOL),
        desk.client.fetch_order(None, SYMBOL, {"clientOrderId": "conformance-query"}),
        desk.client.fetch_open_order(placed["id"], SYMBOL),
    ):
        assert (found["id"], found["clientOrderId"]) == (placed["id"], "conformance-query")
        assert found["price"] == placed["price"]
    desk.client.cancel_order(None, SYMBOL, {"clientOrderId": "conformance-query"})
    assert desk.client.fetch_order(placed["id"], SYMBOL)["status"] == "canceled"


@suite.operation("cancel order")
def cancel_order(desk: Desk) -> None:
    order = desk.rest()
    cancelled = desk.client.cancel_order(order["id"], SYMBOL)
    assert (cancelled["id"], cancelled["status"]) == (order["id"], "canceled")


@suite.operation("amend order")
def amend_order(desk: Desk) -> None:
    order = desk.rest()
    price = desk.price("buy", 0.03)
    amended = desk.client.edit_order(order["id"], SYMBOL, "limit", "buy", 0.02, price)
    assert (amended["id"], amended["amount"], amended["price"]) == (order["id"], 0.02, price)
    found = desk.client.fetch_order(order["id"], SYMBOL)
    assert (found["status"], found["amount"], found["price"]) == ("open", 0.02, price)
    desk.client.cancel_order(order["id"], SYMBOL)


@suite.operation("amend batch")
def amend_batch(desk: Desk) -> None:
    orders = desk.client.create_orders([_leg(desk), _leg(desk)])
    amended = desk.client.edit_orders([_leg(desk, amount=0.02, id=order["id"]) for order in orders])
    assert {order["id"]: order["amount"] for order in amended} == {order["id"]: 0.02 for order in orders}
    desk.client.cancel_all_orders(SYMBOL)


def _leg(desk: Desk, amount: float = 0.01, distance: float = 0.02, **more: Any) -> dict[str, Any]:
    price = desk.price("buy", distance)
    return {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": amount, "price": price, **more}


@suite.operation("place batch")
def place_batch(desk: Desk) -> None:
    orders = desk.client.create_orders([_leg(desk), _leg(desk, distance=0.03), _leg(desk, amount=900.0)])
    desk.client.cancel_all_orders(SYMBOL)
    # The client sorts them by time, and a refused one has none.
    assert sorted(order["status"] for order in orders) == ["open", "open", "rejected"]
    assert {int(order["info"].get("code", 0)) for order in orders} == {0, -2019}


@suite.operation("cancel batch")
def cancel_batch(desk: Desk) -> None:
    orders = desk.client.create_orders([_leg(desk), _leg(desk)])
    cancelled = desk.client.cancel_orders([order["id"] for order in orders], SYMBOL)
    assert [order["status"] for order in cancelled] == ["canceled", "canceled"]


@suite.operation("open orders")
def open_orders(desk: Desk) -> None:
    order = desk.rest()
    assert [found["id"] for found in desk.client.fetch_open_orders(SYMBOL)] == [order["id"]]
    assert [found["id"] for found in desk.client.fetch_open_orders()] == [order["id"]]
    desk.client.cancel_order(order["id"], SYMBOL)
    assert desk.client.fetch_open_orders(SYMBOL) == []


@suite.operation("all orders")
def all_orders(desk: Desk) -> None:
    order = desk.rest()
    desk.client.cancel_order(order["id"], SYMBOL)
    assert order["id"] in [found["id"] for found in desk.client.fetch_orders(SYMBOL)]
    assert order["id"] in [found["id"] for found in desk.client.fetch_canceled_orders(SYMBOL)]
    assert order["id"] not in [found["id"] for found in desk.client.fetch_closed_orders(SYMBOL)]


@suite.operation("cancel all orders")
def cancel_all_orders(desk: Desk) -> None:
    desk.rest()
    desk.rest("sell")
    desk.client.cancel_all_orders(SYMBOL)
    assert desk.client.fetch_open_orders(SYMBOL) == []


@suite.operation("countdown cancel all")
def countdown(desk: Desk) -> None:
    answer = desk.client.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 120_000})
    assert answer["symbol"] == "BTCUSDT"
    desk.client.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 0})

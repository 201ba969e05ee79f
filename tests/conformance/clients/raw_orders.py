"""Orders of every type, one by one and in batches, asked for in Binance's own words: see `raw_desk`."""

from decimal import Decimal
from typing import Any

from harness import Suite
from raw_desk import SYMBOL, RawDesk

suite = Suite()


def _state(order: Any) -> tuple[str, float]:
    return order["status"], float(order["executedQty"])


@suite.operation("LIMIT GTC")
def limit_gtc(desk: RawDesk) -> None:
    order = desk.limit()
    assert _state(order) == ("NEW", 0)
    assert _state(desk.cancel(order)) == ("CANCELED", 0)
    crossing = desk.limit(price=desk.taking_price("BUY"))
    assert _state(desk.query(crossing)) == ("FILLED", 0.01)
    desk.market("SELL")


@suite.operation("LIMIT IOC")
def limit_ioc(desk: RawDesk) -> None:
    assert _state(desk.limit(timeInForce="IOC", newOrderRespType="RESULT")) == ("EXPIRED", 0)
    filled = desk.limit(timeInForce="IOC", newOrderRespType="RESULT", price=desk.taking_price("BUY"))
    assert _state(filled) == ("FILLED", 0.01)
    desk.market("SELL")


@suite.operation("LIMIT FOK")
def limit_fok(desk: RawDesk) -> None:
    filled = desk.limit(timeInForce="FOK", newOrderRespType="RESULT", price=desk.taking_price("BUY"))
    assert _state(filled) == ("FILLED", 0.01)
    desk.market("SELL")


@suite.operation("LIMIT GTX")
def limit_gtx(desk: RawDesk) -> None:
    order = desk.limit(timeInForce="GTX")
    assert (order["status"], order["timeInForce"]) == ("NEW", "GTX")
    desk.cancel(order)


@suite.operation("LIMIT GTD")
def limit_gtd(desk: RawDesk) -> None:
    until = desk.ask("GET time")["serverTime"] // 1000 * 1000 + 3_600_000
    order = desk.limit(timeInForce="GTD", goodTillDate=until)
    assert (order["status"], int(order["goodTillDate"])) == ("NEW", until)
    desk.cancel(order)


@suite.operation("MARKET")
def market(desk: RawDesk) -> None:
    assert _state(desk.market("BUY")) == ("FILLED", 0.01)
    accepted = desk.ask("POST order", symbol=SYMBOL, side="SELL", type="MARKET", quantity="0.010")
    assert accepted["status"] == "NEW"
    assert _state(desk.query(accepted)) == ("FILLED", 0.01)


@suite.operation("reduce-only")
def reduce_only(desk: RawDesk) -> None:
    desk.market("BUY", "0.020")
    resting = desk.limit("SELL", reduceOnly="true")
    assert resting["reduceOnly"] is True
    desk.cancel(resting)
    assert desk.market("SELL", "0.020", reduceOnly="true")["status"] == "FILLED"
    assert desk.position() == 0


@suite.operation("price match")
def price_match(desk: RawDesk) -> None:
    order = desk.limit(priceMatch="QUEUE_5")
    assert (order["status"], order["priceMatch"]) == ("NEW", "QUEUE_5")
    assert Decimal(order["price"]) > 0
    desk.flatten()


@suite.operation("test order")
def test_order(desk: RawDesk) -> None:
    desk.ask("POST order/test", **desk.leg())
    assert desk.ask("GET openOrders", symbol=SYMBOL) == []


@suite.operation("query order")
def query_order(desk: RawDesk) -> None:
    placed = desk.limit(newClientOrderId="conformance-query")
    for found in (
        desk.query(placed),
        desk.ask("GET order", symbol=SYMBOL, origClientOrderId="conformance-query"),
        desk.ask("GET openOrder", symbol=SYMBOL, orderId=placed["orderId"]),
    ):
        assert (found["orderId"], found["clientOrderId"]) == (placed["orderId"], "conformance-query")
    desk.ask("DELETE order", symbol=SYMBOL, origClientOrderId="conformance-query")
    assert desk.query(placed)["status"] == "CANCELED"


@suite.operation("cancel order")
def cancel_order(desk: RawDesk) -> None:
    order = desk.limit()
    cancelled = desk.cancel(order)
    assert (cancelled["orderId"], cancelled["status"]) == (order["orderId"], "CANCELED")


@suite.operation("amend order")
def amend_order(desk: RawDesk) -> None:
    order = desk.limit()
    price = desk.price("BUY", "0.03")
    change = {"symbol": SYMBOL, "side": "BUY", "quantity": "0.020", "price": price}
    amended = desk.ask("PUT order", orderId=order["orderId"], **change)
    assert (amended["orderId"], Decimal(amended["origQty"])) == (order["orderId"], Decimal("0.02"))
    found = desk.query(order)
    assert (found["status"], Decimal(found["price"])) == ("NEW", Decimal(price))
    desk.cancel(order)


@suite.operation("place batch")
def place_batch(desk: RawDesk) -> None:
    legs = [desk.leg(), desk.leg("SELL"), desk.leg(quantity="900")]
    placed = desk.ask("POST batchOrders", batchOrders=legs)
    desk.cancel_all()
    assert [order.get("side") for order in placed[:2]] == ["BUY", "SELL"]
    assert placed[2]["code"] == -2019


@suite.operation("amend batch")
def amend_batch(desk: RawDesk) -> None:
    placed = desk.ask("POST batchOrders", batchOrders=[desk.leg(), desk.leg()])
    price = desk.price("BUY", "0.03")
    changes = [
        {"symbol": SYMBOL, "side": "BUY", "orderId": order["orderId"], "quantity": "0.020", "price": price}
        for order in placed
    ]
    try:
        amended = desk.ask("PUT batchOrders", batchOrders=changes)
    finally:
        desk.cancel_all()
    assert [Decimal(order["origQty"]) for order in amended] == [Decimal("0.02")] * 2


@suite.operation("cancel batch")
def cancel_batch(desk: RawDesk) -> None:
    placed = desk.ask("POST batchOrders", batchOrders=[desk.leg(), desk.leg()])
    cancelled = desk.ask("DELETE batchOrders", symbol=SYMBOL, orderIdList=[order["orderId"] for order in placed])
    assert [order["status"] for order in cancelled] == ["CANCELED", "CANCELED"]


@suite.operation("open orders")
def open_orders(desk: RawDesk) -> None:
    order = desk.limit()
    for rows in (desk.ask("GET openOrders", symbol=SYMBOL), desk.ask("GET openOrders")):
        assert [row["orderId"] for row in rows] == [order["orderId"]]
    desk.cancel(order)


@suite.operation("all orders")
def all_orders(desk: RawDesk) -> None:
    order = desk.limit()
    desk.cancel(order)
    rows = desk.ask("GET allOrders", symbol=SYMBOL, orderId=order["orderId"])
    assert (rows[0]["orderId"], rows[0]["status"]) == (order["orderId"], "CANCELED")


@suite.operation("cancel all orders")
def cancel_all_orders(desk: RawDesk) -> None:
    desk.limit()
    desk.limit("SELL")
    assert desk.cancel_all()["code"] in (200, "200")
    assert desk.ask("GET openOrders", symbol=SYMBOL) == []


@suite.operation("countdown cancel all")
def countdown(desk: RawDesk) -> None:
    answer = desk.ask("POST countdownCancelAll", symbol=SYMBOL, countdownTime=120_000)
    assert (answer["symbol"], int(answer["countdownTime"])) == (SYMBOL, 120_000)
    desk.ask("POST countdownCancelAll", symbol=SYMBOL, countdownTime=0)

"""Conditional orders and the account's modes, asked for in Binance's own words: see `raw_desk`."""

from decimal import Decimal
from typing import Any

from harness import Suite
from raw_desk import SYMBOL, RawDesk

suite = Suite()


def _place(desk: RawDesk, kind: str, side: str, **parameters: Any) -> Any:
    order = {"algoType": "CONDITIONAL", "symbol": SYMBOL, "side": side, "type": kind, "quantity": "0.010"}
    return desk.ask("POST algoOrder", **order, **parameters)


def conditional(desk: RawDesk) -> dict[str, Any]:
    """Return the parameters of a conditional order that rests."""
    order = {"algoType": "CONDITIONAL", "symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "quantity": "0.010"}
    return {**order, "triggerPrice": desk.price("BUY")}


def _rests(desk: RawDesk, order: Any) -> None:
    """Assert that the order rests among the conditional ones, and cancel it."""
    assert order["algoStatus"] == "NEW"
    assert [row["algoId"] for row in desk.ask("GET openAlgoOrders", symbol=SYMBOL)] == [order["algoId"]]
    found = desk.ask("GET algoOrder", algoId=order["algoId"])
    assert (found["algoId"], found["orderType"]) == (order["algoId"], order["orderType"])
    assert desk.ask("DELETE algoOrder", algoId=order["algoId"])["algoId"] == order["algoId"]
    assert desk.ask("GET openAlgoOrders", symbol=SYMBOL) == []


@suite.operation("STOP_MARKET")
def stop_market(desk: RawDesk) -> None:
    _rests(desk, _place(desk, "STOP_MARKET", "SELL", triggerPrice=desk.price("BUY")))


@suite.operation("TAKE_PROFIT_MARKET")
def take_profit_market(desk: RawDesk) -> None:
    _rests(desk, _place(desk, "TAKE_PROFIT_MARKET", "SELL", triggerPrice=desk.price("SELL")))


@suite.operation("STOP")
def stop(desk: RawDesk) -> None:
    price = desk.price("SELL")
    _rests(desk, _place(desk, "STOP", "BUY", triggerPrice=price, price=price, timeInForce="GTC"))


@suite.operation("TAKE_PROFIT")
def take_profit(desk: RawDesk) -> None:
    price = desk.price("BUY")
    _rests(desk, _place(desk, "TAKE_PROFIT", "BUY", triggerPrice=price, price=price, timeInForce="GTC"))


@suite.operation("TRAILING_STOP_MARKET")
def trailing_stop_market(desk: RawDesk) -> None:
    _rests(desk, _place(desk, "TRAILING_STOP_MARKET", "SELL", activatePrice=desk.price("SELL"), callbackRate="1"))


@suite.operation("conditional orders: history")
def conditional_history(desk: RawDesk) -> None:
    order = _place(desk, "STOP_MARKET", "SELL", triggerPrice=desk.price("BUY"))
    desk.ask("DELETE algoOrder", algoId=order["algoId"])
    rows = desk.ask("GET allAlgoOrders", symbol=SYMBOL)
    assert [row["algoStatus"] for row in rows if row["algoId"] == order["algoId"]] == ["CANCELED"]


@suite.operation("conditional orders: cancel all")
def cancel_all_conditional(desk: RawDesk) -> None:
    _place(desk, "STOP_MARKET", "SELL", triggerPrice=desk.price("BUY"))
    _place(desk, "STOP_MARKET", "BUY", triggerPrice=desk.price("SELL"))
    assert len(desk.ask("GET openAlgoOrders", symbol=SYMBOL)) == 2
    desk.ask("DELETE algoOpenOrders", symbol=SYMBOL)
    assert desk.ask("GET openAlgoOrders", symbol=SYMBOL) == []


@suite.operation("error: would trigger at once")
def would_trigger_at_once(desk: RawDesk) -> None:
    desk.refused(-2021, "POST algoOrder", **{**conditional(desk), "triggerPrice": desk.price("SELL")})


@suite.operation("amendment history")
def amendment_history(desk: RawDesk) -> None:
    desk.needs("GET orderAmendment")
    order = desk.limit()
    change = {"symbol": SYMBOL, "side": "BUY", "quantity": "0.020", "price": order["price"]}
    desk.ask("PUT order", orderId=order["orderId"], **change)
    (row,) = desk.ask("GET orderAmendment", symbol=SYMBOL, orderId=order["orderId"])
    assert Decimal(row["amendment"]["origQty"]["after"]) == Decimal("0.02")
    desk.cancel(order)


@suite.operation("isolated margin")
def isolated_margin(desk: RawDesk) -> None:
    desk.ask("POST marginType", symbol=SYMBOL, marginType="ISOLATED")
    try:
        assert desk.ask("GET symbolConfig", symbol=SYMBOL)[0]["marginType"] == "ISOLATED"
        desk.market("BUY")
        desk.ask("POST positionMargin", symbol=SYMBOL, amount="10", type=1)
        (row,) = desk.ask("GET positionRisk", symbol=SYMBOL)
        assert Decimal(row["isolatedMargin"]) > 10
        desk.ask("POST positionMargin", symbol=SYMBOL, amount="5", type=2)
        changes = desk.ask("GET positionMargin/history", symbol=SYMBOL)
        assert {(change["type"], Decimal(change["amount"])) for change in changes} >= {(1, 10), (2, 5)}
    finally:
        desk.flatten()
        desk.ask("POST marginType", symbol=SYMBOL, marginType="CROSSED")


@suite.operation("hedge mode")
def hedge_mode(desk: RawDesk) -> None:
    desk.ask("POST positionSide/dual", dualSidePosition="true")
    try:
        assert desk.ask("GET positionSide/dual")["dualSidePosition"] is True
        desk.market("BUY", positionSide="LONG")
        desk.market("SELL", positionSide="SHORT")
        rows = desk.ask("GET positionRisk", symbol=SYMBOL)
        sides = {row["positionSide"]: Decimal(row["positionAmt"]) for row in rows}
        assert sides == {"LONG": Decimal("0.01"), "SHORT": Decimal("-0.01")}
        desk.market("SELL", positionSide="LONG")
        desk.market("BUY", positionSide="SHORT")
    finally:
        desk.ask("POST positionSide/dual", dualSidePosition="false")


@suite.operation("multi-assets mode")
def multi_assets_mode(desk: RawDesk) -> None:
    for wanted in (True, False):
        desk.ask("POST multiAssetsMargin", multiAssetsMargin=str(wanted).lower())
        assert desk.ask("GET multiAssetsMargin")["multiAssetsMargin"] is wanted


@suite.operation("fee burn")
def fee_burn(desk: RawDesk) -> None:
    assert desk.ask("GET feeBurn")["feeBurn"] in (True, False)


@suite.operation("forced orders and deleveraging")
def forced_orders(desk: RawDesk) -> None:
    assert desk.ask("GET forceOrders", symbol=SYMBOL) == []
    desk.ask("GET adlQuantile", symbol=SYMBOL)


@suite.operation("mark and index klines")
def mark_klines(desk: RawDesk) -> None:
    for route, name in (("GET markPriceKlines", "symbol"), ("GET indexPriceKlines", "pair")):
        rows = desk.ask(route, interval="1m", limit=10, **{name: SYMBOL})
        assert [row[0] - rows[0][0] for row in rows] == [60_000 * number for number in range(10)]


@suite.operation("open interest")
def open_interest(desk: RawDesk) -> None:
    row = desk.ask("GET openInterest", symbol=SYMBOL)
    assert (row["symbol"], Decimal(row["openInterest"]) >= 0) == (SYMBOL, True)


@suite.operation("historical trades")
def historical_trades(desk: RawDesk) -> None:
    rows = desk.ask("GET historicalTrades", symbol=SYMBOL, limit=20)
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert len(rows) == 20

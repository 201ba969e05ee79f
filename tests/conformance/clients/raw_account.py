"""The account and its settings, and every refusal, asked for in Binance's own words: see `raw_desk`."""

import time
from decimal import Decimal
from unittest.mock import patch

from harness import NotOffered, Suite
from raw_desk import SYMBOL, RawDesk

suite = Suite()
UNKNOWN_ID = 123_456_789


@suite.operation("balances")
def balances(desk: RawDesk) -> None:
    (row,) = [row for row in desk.ask("GET balance") if row["asset"] == "USDT"]
    assert Decimal(row["balance"]) >= Decimal(row["availableBalance"]) > 0


@suite.operation("account information")
def account_information(desk: RawDesk) -> None:
    assert Decimal(desk.ask("GET account")["totalWalletBalance"]) > 0


@suite.operation("positions")
def positions(desk: RawDesk) -> None:
    desk.market("BUY", "0.020")
    (row,) = desk.ask("GET positionRisk", symbol=SYMBOL)
    assert (row["positionSide"], Decimal(row["positionAmt"])) == ("BOTH", Decimal("0.02"))
    assert Decimal(row["entryPrice"]) > 0
    desk.market("SELL", "0.020")
    assert desk.position() == 0


@suite.operation("my trades")
def my_trades(desk: RawDesk) -> None:
    order = desk.market("BUY")
    desk.market("SELL")
    rows = desk.ask("GET userTrades", symbol=SYMBOL, orderId=order["orderId"])
    assert sum(Decimal(row["qty"]) for row in rows) == Decimal("0.01")
    assert all(row["buyer"] and not row["maker"] and Decimal(row["commission"]) > 0 for row in rows)


@suite.operation("income")
def income(desk: RawDesk) -> None:
    for kind in ("TRANSFER", "COMMISSION"):
        assert {row["incomeType"] for row in desk.ask("GET income", incomeType=kind)} == {kind}


@suite.operation("commission rate")
def commission_rate(desk: RawDesk) -> None:
    row = desk.ask("GET commissionRate", symbol=SYMBOL)
    rates = (Decimal(row["makerCommissionRate"]), Decimal(row["takerCommissionRate"]))
    assert rates == (Decimal("0.0002"), Decimal("0.0005"))


@suite.operation("leverage brackets")
def leverage_brackets(desk: RawDesk) -> None:
    answer = desk.ask("GET leverageBracket", symbol=SYMBOL)
    row = answer[0] if isinstance(answer, list) else answer
    assert row["brackets"][0]["initialLeverage"] == 125


@suite.operation("change leverage")
def change_leverage(desk: RawDesk) -> None:
    for leverage in (7, 20):
        assert desk.ask("POST leverage", symbol=SYMBOL, leverage=leverage)["leverage"] == leverage


@suite.operation("symbol configuration")
def symbol_configuration(desk: RawDesk) -> None:
    (row,) = desk.ask("GET symbolConfig", symbol=SYMBOL)
    assert (row["symbol"], row["marginType"]) == (SYMBOL, "CROSSED")


@suite.operation("position mode")
def position_mode(desk: RawDesk) -> None:
    assert desk.ask("GET positionSide/dual")["dualSidePosition"] is False


@suite.operation("order rate limits")
def order_rate_limits(desk: RawDesk) -> None:
    assert {limit["rateLimitType"] for limit in desk.ask("GET rateLimit/order")} == {"ORDERS"}


@suite.operation("error: insufficient margin")
def insufficient_margin(desk: RawDesk) -> None:
    desk.refused(-2019, "POST order", **desk.leg(quantity="100"))


@suite.operation("error: filters")
def filters(desk: RawDesk) -> None:
    price = desk.price("BUY")
    wrong = [
        (-1111, {"price": f"{price}0001"}),
        (-4014, {"price": f"{price}5"}),
        (-4005, {"price": price, "quantity": "5000"}),
        (-4016, {"price": str(Decimal(price) * 2)}),
        (-4015, {"price": price, "newClientOrderId": "x" * 37}),
        (-4164, {"price": "40000.0", "quantity": "0.001"}),
        (-1115, {"price": price, "timeInForce": "EVER"}),
    ]
    for code, parameters in wrong:
        desk.refused(code, "POST order", **desk.leg(**parameters))


@suite.operation("error: unknown order")
def unknown_order(desk: RawDesk) -> None:
    desk.refused(-2011, "DELETE order", symbol=SYMBOL, orderId=UNKNOWN_ID)
    desk.refused(-2013, "GET order", symbol=SYMBOL, orderId=UNKNOWN_ID)


@suite.operation("error: bad symbol")
def bad_symbol(desk: RawDesk) -> None:
    desk.refused(-1121, "GET depth", symbol="NOSUCHUSDT")
    desk.refused(-1121, "GET openOrders", symbol="NOSUCHUSDT")


@suite.operation("error: bad parameter")
def bad_parameter(desk: RawDesk) -> None:
    desk.refused(-1130, "GET trades", symbol=SYMBOL, limit=5000)
    desk.refused(-1120, "GET klines", symbol=SYMBOL, interval="7m")


@suite.operation("error: authentication")
def authentication(desk: RawDesk) -> None:
    desk.stranger(key="nobody").refused(-2015, "GET balance")
    desk.stranger(secret="wrong").refused(-1022, "GET balance")


@suite.operation("error: timestamp")
def timestamp(desk: RawDesk) -> None:
    """The client's machine goes wrong by 20 seconds, to either side."""
    now = time.time
    for seconds in (-20.0, 20.0):
        with patch("time.time", lambda seconds=seconds: now() + seconds):
            desk.refused(-1021, "GET balance")


@suite.operation("error: post-only would take")
def post_only_would_take(desk: RawDesk) -> None:
    desk.refused(-5022, "POST order", **desk.leg(timeInForce="GTX", price=desk.taking_price("BUY")))


@suite.operation("error: fill or kill")
def fill_or_kill(desk: RawDesk) -> None:
    desk.refused(-5021, "POST order", **desk.leg(timeInForce="FOK"))


@suite.operation("error: duplicate id")
def duplicate_id(desk: RawDesk) -> None:
    order = desk.limit(newClientOrderId="conformance-twice")
    desk.refused(-4116, "POST order", **desk.leg(newClientOrderId="conformance-twice"))
    desk.cancel(order)


@suite.operation("error: reduce-only")
def reduce_only(desk: RawDesk) -> None:
    desk.refused(-2022, "POST order", **desk.leg(reduceOnly="true"))


@suite.operation("error: conditional type on the order endpoint")
def conditional_type(desk: RawDesk) -> None:
    order = {"symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "quantity": "0.01"}
    desk.refused(-4120, "POST order", **order)


@suite.operation("error: no change")
def no_change(desk: RawDesk) -> None:
    desk.refused(-4046, "POST marginType", symbol=SYMBOL, marginType="CROSSED")
    desk.refused(-4059, "POST positionSide/dual", dualSidePosition="false")


@suite.operation("error: too many open orders")
def too_many_open_orders(desk: RawDesk) -> None:
    """On the other account: 200 placements are too near to the first one's limit of 300."""
    other = desk.stranger(key=desk.target.second_key, secret=desk.target.second_secret)
    leg = other.leg(quantity="0.002")
    for _ in range(40):
        placed = other.ask("POST batchOrders", batchOrders=[dict(leg) for _ in range(5)])
        assert {order["status"] for order in placed} == {"NEW"}
    other.refused(-2025, "POST order", **leg)
    other.cancel_all()


@suite.operation("error: unknown route")
def unknown_route(desk: RawDesk) -> None:
    raise NotOffered("every method of the client names a route that exists")


@suite.operation("error: too many orders")
def too_many_orders(desk: RawDesk) -> None:
    """Passes 300 orders in ten seconds; the exchange counts refused ones too."""
    code, begun = 0, time.monotonic()
    leg = desk.leg(price="1")
    while code != -1015 and time.monotonic() - begun < 150:
        try:
            desk.ask("POST batchOrders", batchOrders=[dict(leg) for _ in range(5)])
        except Exception as error:
            code = desk.code_of(error)
    assert code == -1015


@suite.operation("error: too much weight")
def too_much_weight(desk: RawDesk) -> None:
    """The last one: after it the address may send nothing for the rest of the minute."""
    code = 0
    for _ in range(200):
        try:
            desk.ask("GET income")
        except Exception as error:
            code = desk.code_of(error)
            break
    assert code == -1003

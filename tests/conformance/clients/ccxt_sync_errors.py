"""ccxt over REST: each refusal of the exchange becomes the class of ccxt's own exceptions that it becomes on Binance.

ccxt picks the class by the beginning of the address (`https://fapi.`) as well as by the code. So this client keeps its
own addresses, and its session carries every request to the loopback address: see `ccxt_desk.LoopbackAdapter`.
"""

import time
from functools import partial
from typing import Any

import ccxt
from ccxt_desk import SYMBOL, Desk
from harness import Suite, refused

suite = Suite()
UNKNOWN_ID = "123456789"


@suite.operation("error: insufficient margin")
def insufficient_margin(desk: Desk) -> None:
    refused(ccxt.InsufficientFunds, lambda: desk.rest(client=desk.binance, amount=100), code=-2019)


@suite.operation("error: filters")
def filters(desk: Desk) -> None:
    price = desk.price("buy")
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010"}
    too_small = {**order, "price": str(price), "quantity": "0.0001"}
    wrong: list[tuple[dict[str, Any], type[ccxt.BaseError], int]] = [
        ({**order, "price": str(price), "quantity": "0.001", "newClientOrderId": "no blanks"}, ccxt.BadRequest, -4015),
        ({**order, "price": f"{price + 0.05:.2f}"}, ccxt.BadRequest, -4014),
        ({**order, "price": f"{price:.1f}0001"}, ccxt.BadRequest, -1111),
        ({**order, "price": str(price), "quantity": "5000"}, ccxt.BadRequest, -4005),
        ({**order, "price": f"{price * 1.5:.1f}"}, ccxt.BadRequest, -4016),
        ({**order, "price": f"{price * 1.5:.1f}", "side": "UP"}, ccxt.BadRequest, -1117),
        ({**order, "price": str(price), "type": "SOMETHING"}, ccxt.BadRequest, -1116),
        ({**order, "price": str(price), "timeInForce": "EVER"}, ccxt.BadRequest, -1115),
        ({**order, "price": ""}, ccxt.BadRequest, -1102),
        (too_small, ccxt.BadRequest, -1111),
    ]
    for parameters, kind, code in wrong:
        refused(kind, partial(desk.binance.fapiPrivatePostOrder, parameters), code=code)
    refused(ccxt.InvalidOrder, lambda: desk.binance.create_order(SYMBOL, "limit", "buy", 0.001, 40_000.0), code=-4164)


@suite.operation("error: unknown order")
def unknown_order(desk: Desk) -> None:
    refused(ccxt.OrderNotFound, lambda: desk.binance.cancel_order(UNKNOWN_ID, SYMBOL), code=-2011)
    refused(ccxt.OrderNotFound, lambda: desk.binance.fetch_order(UNKNOWN_ID, SYMBOL), code=-2013)
    refused(ccxt.OrderNotFound, lambda: desk.binance.fetch_open_order(UNKNOWN_ID, SYMBOL), code=-2013)


@suite.operation("error: bad symbol")
def bad_symbol(desk: Desk) -> None:
    refused(ccxt.BadSymbol, lambda: desk.binance.fapiPublicGetDepth({"symbol": "NOSUCHUSDT"}), code=-1121)
    refused(ccxt.BadSymbol, lambda: desk.binance.fapiPrivateGetOpenOrders({"symbol": "NOSUCHUSDT"}), code=-1121)


@suite.operation("error: bad parameter")
def bad_parameter(desk: Desk) -> None:
    trades = {"symbol": "BTCUSDT", "limit": 5000}
    refused(ccxt.BadRequest, lambda: desk.binance.fapiPublicGetTrades(trades), code=-1130)
    refused(ccxt.BadRequest, lambda: desk.binance.fapiPublicGetKlines({"symbol": "BTCUSDT"}), code=-1102)
    refused(
        ccxt.BadRequest, lambda: desk.binance.fapiPublicGetKlines({"symbol": "BTCUSDT", "interval": "7m"}), code=-1120
    )


@suite.operation("error: authentication")
def authentication(desk: Desk) -> None:
    for options, code in (({"apiKey": "nobody"}, -2015), ({"secret": "wrong"}, -1022)):
        stranger = desk.connect_as_binance(**options)
        refused(ccxt.AuthenticationError, stranger.fetch_balance, code=code)


@suite.operation("error: timestamp")
def timestamp(desk: Desk) -> None:
    late = desk.connect_as_binance()
    for milliseconds in (20_000, -20_000):
        late.options["timeDifference"] = milliseconds
        refused(ccxt.InvalidNonce, late.fetch_balance, code=-1021)
    late.load_time_difference()
    assert late.fetch_balance()["USDT"]["total"] > 0


@suite.operation("error: post-only would take")
def post_only_would_take(desk: Desk) -> None:
    price = desk.taking_price("buy")
    refused(
        ccxt.OrderNotFillable,
        lambda: desk.binance.create_order(SYMBOL, "limit", "buy", 0.01, price, {"postOnly": True}),
        code=-5022,
    )


@suite.operation("error: fill or kill")
def fill_or_kill(desk: Desk) -> None:
    price = desk.price("buy")
    refused(
        ccxt.OrderNotFillable,
        lambda: desk.binance.create_order(SYMBOL, "limit", "buy", 0.01, price, {"timeInForce": "FOK"}),
        code=-5021,
    )


@suite.operation("error: duplicate id")
def duplicate_id(desk: Desk) -> None:
    order = desk.rest(clientOrderId="conformance-twice")
    refused(ccxt.InvalidOrder, lambda: desk.rest(client=desk.binance, clientOrderId="conformance-twice"), code=-4116)
    desk.client.cancel_order(order["id"], SYMBOL)


@suite.operation("error: reduce-only")
def reduce_only(desk: Desk) -> None:
    refused(ccxt.InvalidOrder, lambda: desk.rest(client=desk.binance, reduceOnly=True), code=-2022)


@suite.operation("error: conditional type on the order endpoint")
def conditional_type(desk: Desk) -> None:
    order = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.01", "stopPrice": "50000"}
    refused(ccxt.InvalidOrder, lambda: desk.binance.fapiPrivatePostOrder(order), code=-4120)


@suite.operation("error: no change")
def no_change(desk: Desk) -> None:
    refused(ccxt.MarginModeAlreadySet, lambda: desk.binance.set_margin_mode("cross", SYMBOL), code=-4046)
    refused(ccxt.OperationRejected, lambda: desk.binance.set_position_mode(False), code=-4059)


@suite.operation("error: too many open orders")
def too_many_open_orders(desk: Desk) -> None:
    """On the other account: 200 placements are too near to the first one's limit of 300."""
    leg = {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.002, "price": desk.price("buy")}
    for _ in range(40):
        assert {order["status"] for order in desk.second.create_orders([leg] * 5)} == {"open"}
    other = desk.connect_as_binance(apiKey=desk.target.second_key, secret=desk.target.second_secret)
    refused(ccxt.OperationRejected, lambda: other.create_order(*leg.values()), code=-2025)
    desk.second.cancel_all_orders(SYMBOL)
    assert desk.second.fetch_open_orders(SYMBOL) == []


@suite.operation("error: unknown route")
def unknown_route(desk: Desk) -> None:
    refused(ccxt.ExchangeError, lambda: desk.binance.request("noSuchRoute", ["fapiPublic"]), code=-5000)


@suite.operation("error: too many orders")
def too_many_orders(desk: Desk) -> None:
    """Passes 300 orders in ten seconds or 1,200 in a minute, in whichever window; refused ones count too."""
    error: BaseException | None = None
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    begun = time.monotonic()
    while error is None and time.monotonic() - begun < 150:
        try:
            desk.binance.fapiPrivatePostBatchOrders({"batchOrders": [{**order, "price": "1"}] * 5})
        except ccxt.BaseError as raised:
            error = raised
    assert type(error) is ccxt.DDoSProtection, error
    assert "-1015" in str(error)


@suite.operation("error: too much weight")
def too_much_weight(desk: Desk) -> None:
    """The last one: after it the address may send nothing for the rest of the minute."""
    error: BaseException | None = None
    for _ in range(200):
        try:
            desk.binance.fapiPrivateGetIncome()
        except ccxt.BaseError as raised:
            error = raised
            break
    assert type(error) is ccxt.DDoSProtection, error
    assert "-1003" in str(error)
    assert "429" in str(error)

"""ccxt over REST: conditional orders of every type, and what fits around them."""

from typing import Any

import ccxt
from ccxt_desk import SYMBOL, Desk
from harness import Suite, refused

suite = Suite()
CONDITIONAL = {"trigger": True}


def _place(desk: Desk, kind: str, side: str, price: float | None = None, **params: Any) -> Any:
    return desk.client.create_order(SYMBOL, kind, side, 0.01, price, params)


def _rests(desk: Desk, order: Any) -> None:
    """Assert that the order rests among the conditional ones, and cancel it."""
    assert order["status"] == "open"
    opened = desk.client.fetch_open_orders(SYMBOL, params=CONDITIONAL)
    assert [found["id"] for found in opened] == [order["id"]]
    found = desk.client.fetch_order(order["id"], SYMBOL, CONDITIONAL)
    assert (found["status"], found["triggerPrice"]) == ("open", order["triggerPrice"])
    desk.client.cancel_order(order["id"], SYMBOL, CONDITIONAL)
    assert desk.client.fetch_open_orders(SYMBOL, params=CONDITIONAL) == []


@suite.operation("STOP_MARKET")
def stop_market(desk: Desk) -> None:
    _rests(desk, _place(desk, "market", "sell", stopLossPrice=desk.price("buy")))


@suite.operation("TAKE_PROFIT_MARKET")
def take_profit_market(desk: Desk) -> None:
    _rests(desk, _place(desk, "market", "sell", takeProfitPrice=desk.price("sell")))


@suite.operation("STOP")
def stop(desk: Desk) -> None:
    price = desk.price("sell")
    _rests(desk, _place(desk, "limit", "buy", price, stopLossPrice=price))


@suite.operation("TAKE_PROFIT")
def take_profit(desk: Desk) -> None:
    price = desk.price("buy")
    _rests(desk, _place(desk, "limit", "buy", price, takeProfitPrice=price))


@suite.operation("TRAILING_STOP_MARKET")
def trailing_stop_market(desk: Desk) -> None:
    order = _place(desk, "market", "sell", trailingPercent=1, trailingTriggerPrice=desk.price("sell"))
    assert order["status"] == "open"
    desk.client.cancel_order(order["id"], SYMBOL, CONDITIONAL)


@suite.operation("conditional orders: history")
def conditional_history(desk: Desk) -> None:
    order = _place(desk, "market", "sell", stopLossPrice=desk.price("buy"))
    desk.client.cancel_order(order["id"], SYMBOL, CONDITIONAL)
    rows = desk.client.fetch_orders(SYMBOL, params=CONDITIONAL)
    assert [row["status"] for row in rows if row["id"] == order["id"]] == ["canceled"]


@suite.operation("conditional orders: cancel all")
def cancel_all_conditional(desk: Desk) -> None:
    for side, price in (("sell", desk.price("buy")), ("buy", desk.price("sell"))):
        _place(desk, "market", side, stopLossPrice=price)
    assert len(desk.client.fetch_open_orders(SYMBOL, params=CONDITIONAL)) == 2
    desk.client.cancel_all_orders(SYMBOL, CONDITIONAL)
    assert desk.client.fetch_open_orders(SYMBOL, params=CONDITIONAL) == []


@suite.operation("error: would trigger at once")
def would_trigger_at_once(desk: Desk) -> None:
    price = desk.price("sell")
    refused(
        ccxt.OrderImmediatelyFillable,
        lambda: desk.binance.create_order(SYMBOL, "market", "sell", 0.01, None, {"stopLossPrice": price}),
        code=-2021,
    )


@suite.operation("amendment history")
def amendment_history(desk: Desk) -> None:
    order = desk.rest()
    desk.client.edit_order(order["id"], SYMBOL, "limit", "buy", 0.02, order["price"])
    (row,) = desk.client.fapiPrivateGetOrderAmendment({"symbol": "BTCUSDT", "orderId": order["id"]})
    assert float(row["amendment"]["origQty"]["after"]) == 0.02
    desk.client.cancel_order(order["id"], SYMBOL)


@suite.operation("isolated margin")
def isolated_margin(desk: Desk) -> None:
    desk.client.set_margin_mode("isolated", SYMBOL)
    try:
        assert desk.client.fetch_margin_mode(SYMBOL)["marginMode"] == "isolated"
        desk.market("buy")
        desk.client.add_margin(SYMBOL, 10)
        (row,) = desk.client.fetch_positions([SYMBOL])
        assert row["marginMode"] == "isolated"
        assert row["liquidationPrice"] > 0
        desk.client.reduce_margin(SYMBOL, 5)
        changes = desk.client.fetch_margin_adjustment_history(SYMBOL)
        assert {(change["type"], change["amount"]) for change in changes} >= {("add", 10), ("reduce", 5)}
    finally:
        desk.flatten()
        desk.client.set_margin_mode("cross", SYMBOL)


@suite.operation("hedge mode")
def hedge_mode(desk: Desk) -> None:
    desk.client.set_position_mode(True)
    try:
        assert desk.client.fetch_position_mode()["hedged"] is True
        desk.market("buy", positionSide="LONG")
        desk.market("sell", positionSide="SHORT")
        rows = desk.client.fetch_positions([SYMBOL])
        assert {(row["side"], row["contracts"], row["hedged"]) for row in rows} == {
            ("long", 0.01, True),
            ("short", 0.01, True),
        }
        desk.market("sell", positionSide="LONG")
        desk.market("buy", positionSide="SHORT")
    finally:
        desk.client.set_position_mode(False)


@suite.operation("multi-assets mode")
def multi_assets_mode(desk: Desk) -> None:
    for wanted in (True, False):
        desk.client.fapiPrivatePostMultiAssetsMargin({"multiAssetsMargin": str(wanted).lower()})
        assert desk.client.fapiPrivateGetMultiAssetsMargin()["multiAssetsMargin"] is wanted


@suite.operation("fee burn")
def fee_burn(desk: Desk) -> None:
    assert desk.client.fapiPrivateGetFeeBurn()["feeBurn"] in (True, False)


@suite.operation("forced orders and deleveraging")
def forced_orders(desk: Desk) -> None:
    assert desk.client.fetch_my_liquidations(SYMBOL) == []
    assert isinstance(desk.client.fetch_positions_adl_rank([SYMBOL]), list)


@suite.operation("mark and index klines")
def mark_klines(desk: Desk) -> None:
    for kind in ("mark", "index"):
        rows = desk.client.fetch_ohlcv(SYMBOL, "1m", None, 10, {"price": kind})
        assert len(rows) == 10
        assert rows[-1][0] - rows[0][0] == 9 * 60_000


@suite.operation("open interest")
def open_interest(desk: Desk) -> None:
    assert desk.client.fetch_open_interest(SYMBOL)["openInterestAmount"] >= 0


@suite.operation("historical trades")
def historical_trades(desk: Desk) -> None:
    trades = desk.client.fetch_trades(SYMBOL, None, 20, {"fetchTradesMethod": "fapiPublicGetHistoricalTrades"})
    assert len(trades) == 20

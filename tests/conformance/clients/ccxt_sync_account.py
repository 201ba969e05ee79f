"""ccxt over REST: balances, positions, trades, income, fees, leverage and margin settings."""

from ccxt_desk import SYMBOL, Desk
from harness import Suite

suite = Suite()


@suite.operation("balances")
def balances(desk: Desk) -> None:
    order = desk.rest()
    row = desk.client.fetch_balance()["USDT"]
    assert row["total"] > row["free"] > 0
    assert row["used"] > 0
    desk.client.cancel_order(order["id"], SYMBOL)
    by_balance = desk.client.fetch_balance({"useV2": True})["USDT"]
    assert abs(by_balance["total"] - row["total"]) < row["total"] * 0.01


@suite.operation("account information")
def account_information(desk: Desk) -> None:
    answer = desk.client.fapiPrivateV3GetAccount()
    assert float(answer["totalWalletBalance"]) > 0
    assert float(desk.client.fapiPrivateV2GetAccount()["totalWalletBalance"]) > 0
    assert desk.client.fapiPrivateGetAccountConfig()["canTrade"] is True


@suite.operation("positions")
def positions(desk: Desk) -> None:
    desk.market("buy", 0.02)
    for rows in (desk.client.fetch_positions([SYMBOL]), desk.client.fetch_positions([SYMBOL], {"useV2": True})):
        (row,) = rows
        assert (row["side"], row["contracts"], row["marginMode"]) == ("long", 0.02, "cross")
        assert row["entryPrice"] > 0
        assert row["markPrice"] > 0
        assert row["notional"] > 0
        assert row["initialMargin"] > row["maintenanceMargin"] > 0
    (row,) = desk.client.fetch_account_positions([SYMBOL])
    assert row["contracts"] == 0.02
    desk.market("sell", 0.02)
    assert desk.position() == 0


@suite.operation("my trades")
def my_trades(desk: Desk) -> None:
    order = desk.market("buy")
    desk.market("sell")
    trades = desk.client.fetch_my_trades(SYMBOL)
    of_order = [trade for trade in trades if trade["order"] == order["id"]]
    assert round(sum(trade["amount"] for trade in of_order), 8) == 0.01
    assert all(trade["takerOrMaker"] == "taker" and trade["side"] == "buy" for trade in of_order)
    assert all(trade["fee"]["cost"] > 0 and trade["fee"]["currency"] == "USDT" for trade in of_order)
    later = desk.client.fetch_my_trades(SYMBOL, None, None, {"fromId": int(of_order[0]["id"])})
    assert later[0]["id"] == of_order[0]["id"]


@suite.operation("income")
def income(desk: Desk) -> None:
    for kind in ("transfer", "commission"):
        rows = desk.client.fetch_ledger("USDT", params={"incomeType": kind.upper()})
        assert {(row["type"], row["currency"]) for row in rows} == {(kind, "USDT")}
    assert isinstance(desk.client.fetch_funding_history(SYMBOL), list)


@suite.operation("commission rate")
def commission_rate(desk: Desk) -> None:
    fee = desk.client.fetch_trading_fee(SYMBOL)
    assert (fee["maker"], fee["taker"]) == (0.0002, 0.0005)


@suite.operation("leverage brackets")
def leverage_brackets(desk: Desk) -> None:
    tiers = desk.client.fetch_leverage_tiers([SYMBOL])[SYMBOL]
    assert (tiers[0]["minNotional"], tiers[0]["maxLeverage"], tiers[0]["maintenanceMarginRate"]) == (0, 125, 0.004)
    assert [tier["maxLeverage"] for tier in tiers] == sorted((tier["maxLeverage"] for tier in tiers), reverse=True)


@suite.operation("change leverage")
def change_leverage(desk: Desk) -> None:
    for leverage in (7, 20):
        desk.client.set_leverage(leverage, SYMBOL)
        assert desk.client.fetch_leverage(SYMBOL)["longLeverage"] == leverage


@suite.operation("symbol configuration")
def symbol_configuration(desk: Desk) -> None:
    assert desk.client.fetch_margin_mode(SYMBOL)["marginMode"] == "cross"


@suite.operation("position mode")
def position_mode(desk: Desk) -> None:
    assert desk.client.fetch_position_mode()["hedged"] is False


@suite.operation("order rate limits")
def order_rate_limits(desk: Desk) -> None:
    limits = desk.client.fapiPrivateGetRateLimitOrder()
    assert {limit["rateLimitType"] for limit in limits} == {"ORDERS"}

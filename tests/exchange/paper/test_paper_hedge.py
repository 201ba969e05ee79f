"""Hedge mode: a long and a short position of one symbol, each with its own entry, margin, orders and end."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.exchange.paper.scripted_market import START_MS, ScriptedMarket, Trader, quote, scripted
from trio_grid.domain.instrument import money_units
from trio_grid.exchange.paper.engine.exchange import PaperExchange, UserEvent
from trio_grid.exchange.paper.engine.margin import health, liquidation_price
from trio_grid.exchange.paper.engine.persistence import exchange_document, restore_exchange
from trio_grid.exchange.paper.engine.records import PositionSide
from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.engine.symbols import FUNDING_INTERVAL_MS

SYMBOL = {"symbol": "TESTUSDT"}
LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


def hedged(balance: int = 10_000) -> tuple[PaperExchange, ScriptedMarket, Trader]:
    """An exchange whose account "ann" is in hedge mode, with deep strangers around 100.0."""
    exchange, market, ann, _ = scripted(quote(0, 999, 1001), depth_lots=1_000_000, balance=balance)
    assert exchange.change_position_mode("ann", {"dualSidePosition": "true"}, START_MS)["code"] == 200
    return exchange, market, ann


def code_of(call: Any, *arguments: Any, **more: Any) -> int:
    with pytest.raises(PaperRefusal) as caught:
        call(*arguments, **more)
    return caught.value.code


def lots_of(exchange: PaperExchange) -> tuple[int, int]:
    account = exchange.account_of("ann")
    return account.position("TESTUSDT", LONG).lots, account.position("TESTUSDT", SHORT).lots


def both_sides(ann: Trader, lots: int = 100) -> None:
    ann.market("BUY", lots, positionSide="LONG")
    ann.market("SELL", lots, positionSide="SHORT")


def test_the_mode_is_changed_only_where_nothing_is_held_or_open() -> None:
    exchange, _, ann, _ = scripted(quote(0, 999, 1001), depth_lots=1_000)
    switch = exchange.change_position_mode
    assert code_of(switch, "ann", {"dualSidePosition": "false"}, START_MS) == -4059
    assert code_of(switch, "ann", {"dualSidePosition": "yes"}, START_MS) == -1102
    order = ann.limit("BUY", 990, 100)
    assert code_of(switch, "ann", {"dualSidePosition": "true"}, START_MS) == -4067
    ann.cancel(order["orderId"])
    ann.market("BUY", 100)
    assert code_of(switch, "ann", {"dualSidePosition": "true"}, START_MS) == -4068
    ann.market("SELL", 100)
    assert switch("ann", {"dualSidePosition": "true"}, START_MS) == {"code": 200, "msg": "success"}
    assert exchange.position_mode("ann", {}, START_MS) == {"dualSidePosition": True}
    assert exchange.account_config("ann", {}, START_MS)["dualSidePosition"] is True
    assert exchange.position_mode("bob", {}, START_MS) == {"dualSidePosition": False}
    assert code_of(switch, "ann", {"dualSidePosition": "true"}, START_MS) == -4059
    ann.market("BUY", 100, positionSide="LONG")
    assert code_of(switch, "ann", {"dualSidePosition": "false"}, START_MS) == -4068


def test_every_order_names_its_position_and_none_says_reduce_only() -> None:
    exchange, _, ann = hedged()
    ann.market("BUY", 100, positionSide="LONG")
    assert code_of(ann.market, "BUY", 100) == -4061
    assert code_of(ann.market, "BUY", 100, positionSide="BOTH") == -4061
    assert code_of(ann.market, "BUY", 100, positionSide="MIDDLE") == -4060
    for value in ("true", "false"):
        assert code_of(ann.limit, "SELL", 1010, 100, positionSide="LONG", reduceOnly=value) == -1106
    bob = {"symbol": "TESTUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1", "positionSide": "LONG"}
    assert code_of(exchange.place_order, "bob", bob, START_MS) == -4061


def test_long_and_short_live_beside_each_other() -> None:
    exchange, market, ann = hedged()
    both_sides(ann)
    assert lots_of(exchange) == (100, -100)
    rows = exchange.position_risk("ann", {}, START_MS)
    assert [(row["positionSide"], row["positionAmt"], row["entryPrice"]) for row in rows] == [
        ("LONG", "0.100", "100.1"),
        ("SHORT", "-0.100", "99.9"),
    ]
    assert [Decimal(row["positionInitialMargin"]) for row in rows] == [Decimal("0.5"), Decimal("0.5")]
    market.add(quote(100, 1049, 1051))
    exchange.advance(START_MS + 100)
    rows = exchange.position_risk("ann", {}, exchange.now_ms)
    assert [Decimal(row["unRealizedProfit"]) for row in rows] == [Decimal("0.49"), Decimal("-0.51")]
    exchange.take_events()
    ann.market("SELL", 40, positionSide="LONG")
    assert lots_of(exchange) == (60, -100)
    events = [event for event in exchange.take_events() if isinstance(event, UserEvent)]
    fill = events[-1].payload["o"]
    assert (fill["ps"], fill["R"], fill["X"], fill["rp"]) == ("LONG", True, "FILLED", "0.192")
    update = next(event.payload["a"] for event in events if event.kind == "ACCOUNT_UPDATE")
    assert [(row["ps"], row["pa"], row["cr"]) for row in update["P"]] == [
        ("LONG", "0.06", "0.192"),
        ("SHORT", "-0.1", "0"),
    ]
    trades = exchange.user_trades("ann", SYMBOL, exchange.now_ms)
    assert [trade["positionSide"] for trade in trades] == ["LONG", "SHORT", "LONG"]
    v2 = exchange.account_information("ann", {}, exchange.now_ms, version=2)["positions"]
    assert [row["positionSide"] for row in v2] == ["LONG", "SHORT"]


def test_a_closing_order_is_reduce_only_and_no_larger_than_what_is_left_to_close() -> None:
    exchange, market, ann = hedged()
    assert code_of(ann.limit, "SELL", 1010, 50, positionSide="LONG") == -2022
    both_sides(ann)
    assert code_of(ann.limit, "SELL", 1010, 101, positionSide="LONG") == -2022
    first = ann.limit("SELL", 1010, 60, positionSide="LONG")
    assert (first["reduceOnly"], first["positionSide"]) == (True, "LONG")
    assert code_of(ann.limit, "SELL", 1020, 41, positionSide="LONG") == -2022
    second = ann.limit("SELL", 1020, 40, positionSide="LONG")
    # The short position's orders are another matter.
    third = ann.limit("BUY", 980, 100, positionSide="SHORT")
    body = exchange.account_information("ann", {}, START_MS)
    assert Decimal(body["totalOpenOrderInitialMargin"]) == 0, "closing needs no margin"
    changed = {"symbol": "TESTUSDT", "orderId": str(second["orderId"]), "side": "SELL", "price": "102.5"}
    assert code_of(exchange.modify_order, "ann", changed | {"quantity": "0.041"}, START_MS) == -2022
    assert exchange.modify_order("ann", changed | {"quantity": "0.03"}, START_MS)["origQty"] == "0.030"
    ann.market("SELL", 10, positionSide="LONG")
    market.add(quote(100, 1015, 1017))
    exchange.advance(START_MS + 100)
    assert ann.order(first["orderId"])["status"] == "FILLED"
    assert lots_of(exchange) == (30, -100)
    market.add(quote(200, 1030, 1032))
    exchange.advance(START_MS + 200)
    assert lots_of(exchange) == (0, -100)
    assert ann.order(third["orderId"])["status"] == "NEW"


def test_a_closing_order_without_anything_left_to_close_is_knocked_out() -> None:
    _, _, ann = hedged()
    both_sides(ann)
    order = ann.limit("SELL", 1010, 100, positionSide="LONG")
    other = ann.limit("BUY", 980, 100, positionSide="SHORT")
    # A limit order beside it is one too many, a market order trades before it.
    assert code_of(ann.limit, "SELL", 1020, 100, positionSide="LONG") == -2022
    assert ann.market("SELL", 100, positionSide="LONG")["status"] == "FILLED"
    assert ann.order(order["orderId"])["status"] == "EXPIRED"
    assert ann.order(other["orderId"])["status"] == "NEW"


def test_margin_is_counted_for_each_side() -> None:
    exchange, _, ann = hedged(balance=100)
    both_sides(ann, 1_000)
    ann.limit("BUY", 990, 1_000, positionSide="LONG")
    ann.limit("SELL", 1010, 2_000, positionSide="SHORT")
    rows = {row["positionSide"]: row for row in exchange.position_risk("ann", {}, START_MS)}
    assert Decimal(rows["LONG"]["openOrderInitialMargin"]) == Decimal("99") / 20
    assert Decimal(rows["SHORT"]["openOrderInitialMargin"]) == Decimal("202") / 20
    assert (rows["LONG"]["askNotional"], rows["SHORT"]["bidNotional"]) == ("0.00000000", "0.00000000")
    body = exchange.account_information("ann", {}, START_MS)
    assert Decimal(body["totalInitialMargin"]) == (Decimal(200) + 99 + 202) / 20
    assert code_of(ann.market, "BUY", 16_000, positionSide="LONG") == -2019


def test_one_price_of_liquidation_for_both_cross_sides() -> None:
    exchange, market, ann = hedged(balance=100)
    ann.market("BUY", 14_000, positionSide="LONG")
    ann.market("SELL", 4_000, positionSide="SHORT")
    owner = exchange.account_of("ann")
    prices = [liquidation_price(owner, exchange.settlement.marks(), "TESTUSDT", side) for side in (LONG, SHORT)]
    assert prices[0] == prices[1] > 0
    ticks = int(prices[0] * 10)
    market.add(quote(100, ticks, ticks + 2), quote(200, ticks - 1, ticks + 1))
    exchange.advance(START_MS + 100)
    balance, maintenance = health(owner, exchange.settlement.marks()).cross
    assert 0 <= balance - maintenance < money_units(Decimal(2))
    assert lots_of(exchange) == (14_000, -4_000)
    exchange.advance(START_MS + 200)
    assert lots_of(exchange) == (0, 0)
    orders = exchange.all_orders("ann", SYMBOL, exchange.now_ms)
    assert [order["positionSide"] for order in orders if order["clientOrderId"].startswith("autoclose-")] == [
        "LONG",
        "SHORT",
    ]
    assert sum(row.units for row in owner.income) == ann.wallet >= 0


def test_isolated_sides_have_wallets_of_their_own_and_fall_alone() -> None:
    exchange, market, ann = hedged()
    exchange.change_margin_type("ann", SYMBOL | {"marginType": "ISOLATED"}, START_MS)
    both_sides(ann, 1_000)
    wallets = [Decimal(row["isolatedWallet"]) for row in exchange.position_risk("ann", {}, START_MS)]
    assert wallets == [Decimal("100.1") / 20, Decimal("99.9") / 20]
    adding = SYMBOL | {"amount": "1", "type": "1"}
    assert code_of(exchange.change_position_margin, "ann", adding, START_MS) == -4061
    exchange.change_position_margin("ann", adding | {"positionSide": "SHORT"}, START_MS)
    prices = [Decimal(row["liquidationPrice"]) for row in exchange.position_risk("ann", {}, START_MS)]
    assert prices[0] < 100 < prices[1]
    market.add(quote(100, 940, 942))
    exchange.advance(START_MS + 100)
    assert lots_of(exchange) == (0, -1_000)
    [row] = exchange.position_risk("ann", {}, exchange.now_ms)
    assert (row["positionSide"], Decimal(row["isolatedWallet"])) == ("SHORT", wallets[1] + 1)


def test_funding_is_paid_by_each_side() -> None:
    exchange, market, ann = hedged()
    due = (START_MS // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS
    market.add(quote(due - START_MS + 1, 999, 1001))
    ann.market("BUY", 300, positionSide="LONG")
    ann.market("SELL", 100, positionSide="SHORT")
    exchange.advance(due)
    rows = exchange.income("ann", {"incomeType": "FUNDING_FEE"}, due)
    assert [row["income"] for row in rows] == ["-0.00300000", "0.00100000"]


def test_hedge_mode_survives_a_restart() -> None:
    exchange, _, ann = hedged()
    both_sides(ann)
    ann.limit("SELL", 1010, 60, positionSide="LONG")
    document = exchange_document(exchange)
    other, _, _, _ = scripted(quote(0, 999, 1001), depth_lots=1_000_000)
    restore_exchange(other, document)
    assert exchange_document(other) == document
    assert other.position_mode("ann", {}, START_MS) == {"dualSidePosition": True}
    assert other.position_risk("ann", {}, START_MS) == exchange.position_risk("ann", {}, START_MS)


def test_a_conditional_order_closes_its_own_side_and_holds_the_mode() -> None:
    exchange, market, ann = hedged()
    both_sides(ann)
    stop = SYMBOL | {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "workingType": "MARK_PRICE"}
    closing = stop | {"side": "SELL", "closePosition": "true", "triggerPrice": "97.0"}
    assert code_of(exchange.place_conditional, "ann", closing, START_MS) == -4061
    exchange.place_conditional("ann", closing | {"positionSide": "LONG"}, START_MS)
    market.add(quote(100, 968, 970))
    exchange.advance(START_MS + 100)
    assert lots_of(exchange) == (0, -100)
    ann.market("BUY", 100, positionSide="SHORT")
    exchange.place_conditional("ann", stop | {"side": "BUY", "quantity": "0.1", "positionSide": "LONG",
                                              "triggerPrice": "120"}, exchange.now_ms)  # fmt: skip
    assert code_of(exchange.change_position_mode, "ann", {"dualSidePosition": "false"}, exchange.now_ms) == -4067
    isolated = SYMBOL | {"marginType": "ISOLATED"}
    assert code_of(exchange.change_margin_type, "ann", isolated, exchange.now_ms) == -4047

"""Isolated margin: what a position's own wallet gets, gives back and stands for, and that it stands alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.exchange.paper.scripted_market import (
    START_MS,
    UNIT,
    ScriptedMarket,
    Trader,
    plain_instrument,
    quote,
    scripted,
    user_kinds,
)
from trio_grid.domain.instrument import money_units
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange, UserEvent
from trio_grid.exchange.paper.engine.isolated import addable_units, removable_units
from trio_grid.exchange.paper.engine.margin import liquidation_price
from trio_grid.exchange.paper.engine.persistence import exchange_document, restore_exchange
from trio_grid.exchange.paper.engine.records import PositionSide
from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.engine.symbols import FUNDING_INTERVAL_MS, paper_symbol

SYMBOL = {"symbol": "TESTUSDT"}


def isolated(*steps: Any, balance: int = 10_000) -> tuple[PaperExchange, ScriptedMarket, Trader]:
    """An exchange whose account "ann" is isolated on the symbol, with deep strangers around 100.0."""
    exchange, market, ann, _ = scripted(*(steps or (quote(0, 999, 1001),)), depth_lots=1_000_000, balance=balance)
    assert exchange.change_margin_type("ann", SYMBOL | {"marginType": "ISOLATED"}, START_MS)["code"] == 200
    exchange.take_events()
    return exchange, market, ann


def code_of(call: Any, *arguments: Any) -> int:
    with pytest.raises(PaperRefusal) as caught:
        call(*arguments)
    return caught.value.code


def position_of(exchange: PaperExchange) -> dict[str, Any]:
    [row] = exchange.position_risk("ann", SYMBOL, exchange.now_ms)
    return row


def wallet_of(exchange: PaperExchange) -> Decimal:
    return Decimal(position_of(exchange)["isolatedWallet"])


def move(exchange: PaperExchange, amount: str, kind: int) -> Any:
    return exchange.change_position_margin("ann", SYMBOL | {"amount": amount, "type": str(kind)}, exchange.now_ms)


def test_the_margin_type_is_changed_told_and_shown_everywhere() -> None:
    exchange, _, ann, _ = scripted(quote(0, 999, 1001))
    assert exchange.change_margin_type("ann", SYMBOL | {"marginType": "ISOLATED"}, START_MS) == {
        "code": 200,
        "msg": "success",
    }
    [event] = [event for event in exchange.take_events() if isinstance(event, UserEvent)]
    assert (event.kind, event.payload["a"]["m"]) == ("ACCOUNT_UPDATE", "MARGIN_TYPE_CHANGE")
    assert [(row["s"], row["mt"], row["iw"]) for row in event.payload["a"]["P"]] == [("TESTUSDT", "isolated", "0")]
    assert exchange.symbol_config("ann", {}, START_MS)[0]["marginType"] == "ISOLATED"
    risk = exchange.position_risk("ann", {}, START_MS, version=2)[0]
    assert (risk["marginType"], risk["isolated"], risk["isAutoAddMargin"]) == ("isolated", True, "false")
    assert exchange.account_information("ann", {}, START_MS, version=2)["positions"][0]["isolated"] is True
    assert exchange.symbol_config("bob", {}, START_MS)[0]["marginType"] == "CROSSED"
    assert code_of(exchange.change_margin_type, "ann", SYMBOL | {"marginType": "ISOLATED"}, START_MS) == -4046
    order = ann.limit("BUY", 990, 100)
    assert code_of(exchange.change_margin_type, "ann", SYMBOL | {"marginType": "CROSSED"}, START_MS) == -4047
    ann.cancel(order["orderId"])
    ann.market("BUY", 50)
    assert code_of(exchange.change_margin_type, "ann", SYMBOL | {"marginType": "CROSSED"}, START_MS) == -4048


def test_opening_takes_the_initial_margin_and_reducing_gives_its_share_back() -> None:
    exchange, market, ann = isolated()
    ann.market("BUY", 100)
    margin = Decimal("100.1") * Decimal("0.1") / 20
    assert wallet_of(exchange) == margin
    fee = Decimal("100.1") * Decimal("0.1") * Decimal("0.0005")
    body = exchange.account_information("ann", {}, START_MS)
    assert Decimal(body["totalWalletBalance"]) == 10_000 - fee
    assert Decimal(body["totalCrossWalletBalance"]) == 10_000 - fee - margin
    assert Decimal(body["totalCrossUnPnl"]) == 0
    assert Decimal(body["availableBalance"]) == 10_000 - fee - margin
    row = position_of(exchange)
    assert Decimal(row["isolatedMargin"]) == margin + Decimal(row["unRealizedProfit"])
    update = next(e.payload["a"] for e in exchange.take_events() if getattr(e, "kind", "") == "ACCOUNT_UPDATE")
    assert (Decimal(update["P"][0]["iw"]), update["P"][0]["mt"]) == (margin, "isolated")
    assert Decimal(update["B"][0]["wb"]) - Decimal(update["B"][0]["cw"]) == margin
    market.add(quote(100, 1101, 1103))
    exchange.advance(START_MS + 100)
    ann.market("SELL", 25, reduceOnly="true")
    assert wallet_of(exchange) == margin * 3 / 4
    ann.market("SELL", 75)
    assert exchange.position_risk("ann", SYMBOL, START_MS + 100) == []
    assert exchange.account_of("ann").cross_units == ann.wallet
    moves = exchange.position_margin_history("ann", SYMBOL, START_MS + 100)
    assert [(row["type"], row["deltaType"], Decimal(row["amount"]) / margin) for row in moves] == [
        (1, "TRADE", 1),
        (2, "TRADE", Decimal("0.25")),
        (2, "TRADE", Decimal("0.75")),
    ]


def test_a_loss_is_borne_by_its_share_then_by_the_rest_of_the_positions_wallet() -> None:
    exchange, market, ann = isolated()
    exchange.change_leverage("ann", SYMBOL | {"leverage": "25"}, START_MS)
    ann.market("BUY", 100)
    market.add(quote(100, 970, 1030))
    exchange.advance(START_MS + 100)
    before = exchange.account_of("ann").cross_units
    # Half of it is sold at 97.0: its share of 0.2002 meets a loss of 0.155, and the fee is the cross wallet's.
    ann.market("SELL", 50, reduceOnly="true")
    share, loss, fee = Decimal("0.2002"), Decimal("0.155"), Decimal("97.0") * Decimal("0.05") * Decimal("0.0005")
    assert wallet_of(exchange) == share
    assert exchange.account_of("ann").cross_units - before == money_units(share - loss - fee)
    market.add(quote(200, 951, 1049))
    exchange.advance(START_MS + 200)
    before = exchange.account_of("ann").cross_units
    # Now the loss of a lot is larger than its margin: what the share cannot bear the rest does.
    ann.market("SELL", 40, reduceOnly="true")
    fee = Decimal("95.1") * Decimal("0.04") * Decimal("0.0005")
    assert wallet_of(exchange) == share - (Decimal("100.1") - Decimal("95.1")) * Decimal("0.04") == Decimal("0.0002")
    assert exchange.account_of("ann").cross_units - before == -money_units(fee)


def test_a_reversal_ends_one_wallet_and_begins_another() -> None:
    exchange, _, ann = isolated()
    ann.market("BUY", 100)
    ann.market("SELL", 160)
    assert (ann.lots, wallet_of(exchange)) == (-60, Decimal("99.9") * Decimal("0.06") / 20)


def test_margin_is_added_and_removed_within_its_bounds() -> None:
    exchange, _, ann = isolated(balance=100)
    owner, marks = exchange.account_of("ann"), exchange.settlement.marks()
    assert code_of(move, exchange, "1", 1) == -4054
    ann.market("BUY", 1_000)
    exchange.take_events()
    before = wallet_of(exchange)
    answer = move(exchange, "2.5", 1)
    assert answer == {"amount": 2.5, "code": 200, "msg": "Successfully modify position margin.", "type": 1}
    assert wallet_of(exchange) == before + Decimal("2.5")
    [event] = [event for event in exchange.take_events() if isinstance(event, UserEvent)]
    assert (event.payload["a"]["m"], event.payload["a"]["B"][0]["bc"]) == ("MARGIN_TRANSFER", "0")
    most = removable_units(owner, marks["TESTUSDT"], PositionSide.BOTH)
    assert code_of(move, exchange, str(Decimal(most + 1).scaleb(-8)), 2) == -4051
    assert move(exchange, str(Decimal(most).scaleb(-8)), 2)["type"] == 2
    assert removable_units(owner, marks["TESTUSDT"], PositionSide.BOTH) == 0
    # An order that waits holds its margin back in the cross wallet.
    ann.limit("BUY", 990, 5_000)
    most = addable_units(owner, marks)
    assert most == owner.cross_units - money_units(99 * Decimal(5) / 20)
    assert code_of(move, exchange, str(Decimal(most + 1).scaleb(-8)), 1) == -4050
    assert move(exchange, str(Decimal(most).scaleb(-8)), 1)["code"] == 200
    adjusted = exchange.position_margin_history("ann", SYMBOL | {"type": "2"}, exchange.now_ms)
    assert [(row["deltaType"], row["positionSide"]) for row in adjusted] == [("USER_ADJUST", "BOTH")]


def test_bad_margin_movements_are_refused() -> None:
    exchange, _, ann = isolated()
    ann.market("BUY", 100)
    good = SYMBOL | {"amount": "0.1", "type": "1"}
    for change, code in (
        ({"amount": ""}, -1102),
        ({"amount": "x"}, -1102),
        ({"amount": "0"}, -4055),
        ({"amount": "-1"}, -4055),
        ({"amount": "0.000000001"}, -1111),
        ({"type": ""}, -1102),
        ({"type": "3"}, -1130),
        ({"symbol": "NOPE"}, -1121),
        ({"positionSide": "LONG"}, -4061),
        ({"positionSide": "UP"}, -4060),
    ):
        assert code_of(exchange.change_position_margin, "ann", good | change, START_MS) == code, change
    assert code_of(exchange.change_position_margin, "bob", good, START_MS) == -4049
    for change, code in (({"type": "3"}, -1130), ({"limit": "0"}, -1130), ({"startTime": "5", "endTime": "4"}, -1130)):
        assert code_of(exchange.position_margin_history, "ann", SYMBOL | change, START_MS) == code, change


def test_an_isolated_position_falls_alone_at_its_liquidation_price() -> None:
    exchange, market, ann = isolated()
    ann.market("BUY", 1_000)
    ann.limit("SELL", 1100, 50)
    price = liquidation_price(exchange.account_of("ann"), exchange.settlement.marks(), "TESTUSDT")
    assert Decimal(position_of(exchange)["liquidationPrice"]) == price
    # A wallet of one unit held: wallet + P - entry = P x 1 %.
    assert 0 <= price - (Decimal("100.1") - wallet_of(exchange)) / Decimal("0.99") < Decimal("0.00000001")
    ticks = int(price * 10) + 1
    market.add(quote(100, ticks - 1, ticks + 1), quote(200, ticks - 2, ticks))
    exchange.advance(START_MS + 100)
    assert ann.lots == 1_000
    owner = exchange.account_of("ann")
    cross = owner.cross_units
    exchange.take_events()
    exchange.advance(START_MS + 200)
    assert (ann.lots, owner.positions["TESTUSDT"][PositionSide.BOTH].isolated_units) == (0, 0)
    assert owner.cross_units >= cross, "the cross wallet has lost nothing"
    assert user_kinds(exchange, "ann")[:2] == ["EXPIRED/EXPIRED", "NEW/NEW"]
    assert exchange.all_orders("ann", SYMBOL, exchange.now_ms)[-1]["clientOrderId"].startswith("autoclose-")


def test_a_gap_through_the_liquidation_price_is_the_insurance_funds_loss() -> None:
    exchange, market, ann = isolated()
    ann.market("BUY", 1_000)
    cross = exchange.account_of("ann").cross_units
    market.add(quote(100, 500, 502))
    exchange.advance(START_MS + 100)
    assert (ann.lots, ann.wallet) == (0, cross)
    rows = exchange.income("ann", {"limit": "1000"}, exchange.now_ms)
    assert rows[-1]["incomeType"] == "INSURANCE_CLEAR"
    assert sum(money_units(Decimal(row["income"])) for row in rows) == ann.wallet


def test_a_cross_position_falls_without_the_isolated_one_beside_it() -> None:
    names = ("TESTUSDT", "MOREUSDT")
    markets = {name: ScriptedMarket([quote(0, 999, 1001)], symbol=name, depth_lots=1_000_000) for name in names}
    items = {name: plain_instrument(name) for name in names}
    exchange = PaperExchange(
        [(paper_symbol(items[name]), markets[name]) for name in names],
        accounts=[AccountSpec(name="ann", balance_units=100 * UNIT)],
    )
    exchange.advance(START_MS)
    exchange.change_margin_type("ann", SYMBOL | {"marginType": "ISOLATED"}, START_MS)
    alone, shared = (Trader(exchange, "ann", items[name]) for name in names)
    alone.market("BUY", 1_000)
    shared.market("BUY", 15_000)
    own = wallet_of(exchange)
    markets["TESTUSDT"].add(quote(100, 999, 1001))
    markets["MOREUSDT"].add(quote(100, 900, 902))
    exchange.advance(START_MS + 100)
    assert (alone.lots, shared.lots, wallet_of(exchange)) == (1_000, 0, own)
    assert exchange.account_of("ann").cross_units == 0
    assert sum(row.units for row in exchange.account_of("ann").income) == alone.wallet == money_units(own)


def test_funding_of_an_isolated_position_is_paid_from_its_wallet() -> None:
    exchange, market, ann = isolated()
    due = (START_MS // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS
    market.add(quote(due - START_MS + 1, 999, 1001))
    ann.market("BUY", 100)
    before, cross = wallet_of(exchange), exchange.account_of("ann").cross_units
    exchange.take_events()
    exchange.advance(due)
    assert before - wallet_of(exchange) == Decimal("100.0") * Decimal("0.1") * Decimal("0.0001")
    assert exchange.account_of("ann").cross_units == cross
    [event] = [event for event in exchange.take_events() if isinstance(event, UserEvent)]
    assert [row["s"] for row in event.payload["a"]["P"]] == ["TESTUSDT"]
    assert (event.payload["a"]["m"], event.payload["a"]["S"]) == ("FUNDING_FEE", "TESTUSDT")


def test_less_leverage_is_refused_while_an_isolated_position_is_held() -> None:
    exchange, _, ann = isolated()
    ann.market("BUY", 100)
    assert code_of(exchange.change_leverage, "ann", SYMBOL | {"leverage": "10"}, START_MS) == -4161
    assert exchange.change_leverage("ann", SYMBOL | {"leverage": "25"}, START_MS)["leverage"] == 25
    ann.market("SELL", 100)
    assert exchange.change_leverage("ann", SYMBOL | {"leverage": "10"}, START_MS)["leverage"] == 10


def test_the_profit_of_a_cross_position_does_not_open_an_isolated_one() -> None:
    names = ("TESTUSDT", "MOREUSDT")
    markets = {name: ScriptedMarket([quote(0, 999, 1001)], symbol=name, depth_lots=1_000_000) for name in names}
    items = {name: plain_instrument(name) for name in names}
    exchange = PaperExchange(
        [(paper_symbol(items[name]), markets[name]) for name in names],
        accounts=[AccountSpec(name="ann", balance_units=100 * UNIT)],
    )
    exchange.advance(START_MS)
    exchange.change_margin_type("ann", SYMBOL | {"marginType": "ISOLATED"}, START_MS)
    alone, shared = (Trader(exchange, "ann", items[name]) for name in names)
    shared.market("BUY", 10_000)
    markets["MOREUSDT"].add(quote(100, 1200, 1202))
    exchange.advance(START_MS + 100)
    available = Decimal(exchange.balances("ann", {}, exchange.now_ms)[0]["availableBalance"])
    assert available > 200
    assert code_of(alone.limit, "BUY", 1000, 30_000) == -2019
    assert alone.limit("BUY", 990, 15_000)["status"] == "NEW"
    # Nor is it given to one by hand: the cross wallet, less what waits for the order and what the cross position needs.
    owner, marks = exchange.account_of("ann"), exchange.settlement.marks()
    waits, needed = money_units(Decimal("99.0") * 15 / 20), money_units(Decimal("120.1") * 10 / 100)
    assert addable_units(owner, marks) == owner.cross_units - waits - needed


def test_isolated_margin_survives_a_restart() -> None:
    exchange, _, ann = isolated()
    ann.market("BUY", 100)
    move(exchange, "1", 1)
    document = exchange_document(exchange)
    other, _, _, _ = scripted(quote(0, 999, 1001), depth_lots=1_000_000)
    restore_exchange(other, document)
    assert exchange_document(other) == document
    assert position_of(other) == position_of(exchange)
    assert len(other.position_margin_history("ann", SYMBOL, START_MS)) == 2


ACT = st.one_of(
    st.tuples(st.just("trade"), st.sampled_from(["BUY", "SELL"]), st.integers(60, 3_000)),
    st.tuples(st.just("price"), st.integers(-60, 60), st.integers(1, 30)),
    st.tuples(st.just("margin"), st.integers(1, 2), st.integers(1, 5 * UNIT)),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(ACT, min_size=5, max_size=40))
def test_money_only_moves_between_the_wallets(acts: list[tuple[Any, ...]]) -> None:
    exchange, market, ann = isolated(balance=40)
    owner, bid, time_ms = exchange.account_of("ann"), 999, 0
    for act in acts:
        cross = owner.cross_units
        try:
            if act[0] == "trade":
                ann.market(act[1], act[2])
            elif act[0] == "margin":
                move(exchange, str(Decimal(act[2]).scaleb(-8)), act[1])
        except PaperRefusal:
            assert owner.cross_units == cross
        if act[0] == "price":
            time_ms, bid = time_ms + 100, max(500, min(1500, bid + act[1]))
            market.add(quote(time_ms, bid, bid + act[2]))
            exchange.advance(START_MS + time_ms)
            assert owner.cross_units >= cross, "the market takes nothing from the cross wallet"
        position = owner.position("TESTUSDT")
        assert sum(row.units for row in owner.income) == owner.wallet_units
        assert owner.cross_units >= 0
        assert position.isolated_units >= 0
        assert position.lots or position.isolated_units == 0
        assert sum(row.units for row in owner.moves) == position.isolated_units

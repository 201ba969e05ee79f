"""What comes before and after a liquidation: the margin call, and the deleveraging of those who won."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.exchange.paper.scripted_market import START_MS, UNIT, Trader, quote, scripted, user_kinds
from trio_grid.domain.instrument import money_units
from trio_grid.exchange.paper.engine.deleveraging import bankruptcy_ticks, quantile
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange, UserEvent
from trio_grid.exchange.paper.engine.margin import health
from trio_grid.exchange.paper.engine.persistence import exchange_document, restore_exchange
from trio_grid.exchange.paper.engine.records import PositionSide

SYMBOL = {"symbol": "TESTUSDT"}
BOTH = PositionSide.BOTH


def calls(exchange: PaperExchange, name: str = "ann") -> list[dict[str, Any]]:
    """Take the events and return an account's margin calls."""
    events = [event for event in exchange.take_events() if isinstance(event, UserEvent) and event.account == name]
    return [event.payload for event in events if event.kind == "MARGIN_CALL"]


def test_a_margin_call_comes_once_until_the_wallet_is_well_again() -> None:
    exchange, market, ann, _ = scripted(quote(0, 999, 1001), depth_lots=1_000_000, balance=100)
    ann.market("BUY", 15_000)
    owner, marks = exchange.account_of("ann"), exchange.settlement.marks
    exchange.take_events()
    prices = [960, 946, 945, 946, 990, 946]
    told = []
    for index, price in enumerate(prices, start=1):
        market.add(quote(index * 100, price - 1, price + 1))
        exchange.advance(START_MS + index * 100)
        balance, maintenance = health(owner, marks()).cross
        assert maintenance <= balance, "nothing is liquidated here"
        close = maintenance * 100 >= balance * 80
        told.append((close, len(calls(exchange))))
    assert told == [(False, 0), (True, 1), (True, 0), (True, 0), (False, 0), (True, 1)]
    # A restored exchange does not call again for what it has called already.
    other, again, _, _ = scripted(quote(0, 999, 1001), depth_lots=1_000_000, balance=100)
    for index, price in enumerate(prices, start=1):
        again.add(quote(index * 100, price - 1, price + 1))
    again.add(quote(700, 944, 946))
    restore_exchange(other, exchange_document(exchange))
    other.advance(START_MS + 700)
    assert calls(other) == []


def test_a_margin_call_tells_its_wallet_and_positions() -> None:
    for isolated, price in ((False, 946), (True, 961)):
        exchange, market, ann, _ = scripted(quote(0, 999, 1001), depth_lots=1_000_000, balance=100)
        if isolated:
            exchange.change_margin_type("ann", SYMBOL | {"marginType": "ISOLATED"}, START_MS)
        ann.market("BUY", 15_000)
        exchange.take_events()
        market.add(quote(100, price - 1, price + 1))
        exchange.advance(START_MS + 100)
        [call] = calls(exchange)
        [row] = exchange.position_risk("ann", SYMBOL, START_MS + 100)
        wallet = exchange.account_of("ann").cross_units
        assert ("cw" in call) is not isolated
        assert isolated or money_units(Decimal(call["cw"])) == wallet
        assert call["p"] == [
            {
                "s": "TESTUSDT",
                "ps": "BOTH",
                "pa": "15",
                "mt": "ISOLATED" if isolated else "CROSSED",
                "iw": f"{Decimal(row['isolatedWallet']).normalize():f}",
                "mp": f"{price / 10}",
                "up": f"{Decimal(row['unRealizedProfit']).normalize():f}",
                "mm": f"{Decimal(row['maintMargin']).normalize():f}",
            }
        ]


def test_the_queue_of_deleveraging_goes_by_profit_and_leverage() -> None:
    exchange, market, ann, bob = scripted(quote(0, 999, 1001), depth_lots=1_000_000, balance=1_000)
    exchange.open_account(AccountSpec(name="cid", balance_units=1_000 * UNIT))
    cid = Trader(exchange, "cid", ann.instrument)
    for trader, lots in ((ann, 1_000), (bob, 5_000)):
        trader.market("SELL", lots)
    market.add(quote(100, 899, 901))
    exchange.advance(START_MS + 100)
    cid.market("SELL", 20_000)
    desk = exchange.desks["TESTUSDT"]
    places = {
        name: quantile(exchange.settlement, desk, exchange.account_of(name), BOTH) for name in ("ann", "bob", "cid")
    }
    # "cid" has the most leverage and no profit; of the winners the one with more leverage stands first.
    assert places == {"cid": 0, "ann": 1, "bob": 3}
    assert exchange.position_risk("bob", SYMBOL, exchange.now_ms)[0]["adl"] == 3
    assert exchange.position_risk("bob", SYMBOL, exchange.now_ms, version=2)[0]["adlQuantile"] == 3
    assert exchange.adl_quantiles("bob", SYMBOL, exchange.now_ms)[0]["adlQuantile"]["BOTH"] == 3


def test_hedged_cross_sides_have_one_place_in_the_queue() -> None:
    exchange, _, ann, bob = scripted(quote(0, 999, 1001), depth_lots=1_000_000)
    exchange.change_position_mode("ann", {"dualSidePosition": "true"}, START_MS)
    bob.market("BUY", 100)
    ann.market("BUY", 100, positionSide="LONG")
    assert exchange.adl_quantiles("ann", {}, START_MS)[0]["adlQuantile"] == {"LONG": 2, "SHORT": 0, "HEDGE": 0}
    ann.market("SELL", 100, positionSide="SHORT")
    assert exchange.adl_quantiles("ann", {}, START_MS)[0]["adlQuantile"] == {"LONG": 2, "SHORT": 2, "HEDGE": 0}


def test_where_the_book_is_empty_the_winners_give_up_their_positions() -> None:
    exchange, market, ann, bob = scripted(quote(0, 999, 1001), depth_lots=20, balance=100)
    exchange.open_account(AccountSpec(name="cid", balance_units=1_000_000 * UNIT))
    cid = Trader(exchange, "cid", ann.instrument)
    cid.limit("SELL", 1000, 11_000)
    bob.limit("SELL", 1000, 4_000)
    ann.market("BUY", 15_000)
    assert (ann.lots, bob.lots, cid.lots) == (15_000, -4_000, -11_000)
    price = bankruptcy_ticks(exchange.settlement, exchange.account_of("ann"), ("TESTUSDT", BOTH))
    cost = 1000 * 15_000 * exchange.desks["TESTUSDT"].symbol.unit
    assert price == round((cost - ann.wallet) / (15_000 * exchange.desks["TESTUSDT"].symbol.unit))
    before, wallet = cid.wallet, bob.wallet
    exchange.take_events()
    # Strangers take 20 lots at each of 500 prices. Of the 5,000 left over bob, who has more leverage, gives his first.
    market.add(quote(100, 500, 502))
    exchange.advance(START_MS + 100)
    assert (ann.lots, ann.wallet) == (0, 0)
    assert (bob.lots, cid.lots) == (0, -10_000)
    assert user_kinds(exchange, "bob") == ["NEW/NEW", "TRADE_LITE", "ACCOUNT_UPDATE", "CALCULATED/FILLED"]
    [order] = exchange.force_orders("bob", {"autoCloseType": "ADL"}, START_MS + 100)
    assert (order["clientOrderId"], order["executedQty"], order["reduceOnly"]) == ("adl_autoclose", "4.000", True)
    assert Decimal(order["avgPrice"]) == Decimal(price) / 10
    assert exchange.force_orders("bob", {"autoCloseType": "LIQUIDATION"}, START_MS + 100) == []
    won = (1000 - price) * 4_000 * exchange.desks["TESTUSDT"].symbol.unit
    assert wallet < bob.wallet < wallet + won, "the profit at the bankruptcy price, less a fee"
    assert cid.wallet > before
    for name in ("ann", "bob", "cid"):
        account = exchange.account_of(name)
        assert account.wallet_units == sum(row.units for row in account.income)

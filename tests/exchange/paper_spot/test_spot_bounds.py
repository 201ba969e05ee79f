"""Spot where it ends: limits of numbers, money that runs out on the way, prices in spot's own finer units."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from tests.exchange.paper.scripted_market import START_MS, ScriptedMarket, Trader, plain_instrument, quote
from tests.exchange.paper_spot.spot_trader import SpotTrader, amount, go_on, priced, reports, spot_market
from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.account import DAY_MS, MEMORY_MS
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange
from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.engine.symbols import default_instrument, paper_symbol


def refused(command: Any, *parts: Any, **params: Any) -> tuple[int, str]:
    with pytest.raises(PaperRefusal) as caught:
        command(*parts, **params)
    return caught.value.code, caught.value.message


def test_a_market_order_never_spends_more_than_there_is() -> None:
    _, _, ann, _ = spot_market(quote(0, 1000, 1050), balance=10)
    ann.limit("SELL", 1005, 60)
    # It would pay 9.92 with its own offer; that one expires, and what is left to take is dearer.
    body = ann.market("BUY", 97)
    assert (body["status"], Decimal(body["executedQty"]) < Decimal("0.097")) == ("EXPIRED", True)
    assert 0 <= ann.free("USDT") < Decimal("0.11"), "what is left does not pay another lot"


def test_stop_orders_and_reductions_are_limited_in_number() -> None:
    _, _, ann, _ = spot_market(quote(0, 1000, 1001, (1000, 1, True)))
    stop = {"timeInForce": "GTC", "stopPrice": "98", **priced(970, 60)}
    for _ in range(5):
        ann.place("SELL", "STOP_LOSS_LIMIT", **stop)
    assert refused(ann.place, "SELL", "STOP_LOSS_LIMIT", **stop) == (-1013, "Filter failure: MAX_NUM_ALGO_ORDERS")
    order = ann.limit("BUY", 900, 100)["orderId"]
    for number in range(10):
        ann.ask("amend_order", orderId=order, newQty=amount(99 - number))
    last = refused(ann.ask, "amend_order", orderId=order, newQty=amount(80))
    assert last == (-1013, "Filter failure: MAX_NUM_ORDER_AMENDS")


def test_the_trades_of_accounts_meet_stop_prices_too() -> None:
    exchange, _, ann, bob = spot_market(quote(0, 1000, 1001, (1000, 1, True)))
    waiting = ann.place("BUY", "STOP_LOSS", stopPrice="100.2", quantity=amount(60))["orderId"]
    bob.market("BUY", 60)
    assert ann.order(waiting)["status"] == "FILLED", "bob's second trade was at 100.2"
    assert exchange.spot.desks["TESTUSDT"].stops == {}


def test_an_order_counts_its_own_offers_out_when_it_must_be_filled_whole() -> None:
    _, _, ann, bob = spot_market(quote(0, 1000, 1010))
    ann.limit("SELL", 1005, 60)
    assert ann.limit("BUY", 1010, 100, "FOK")["status"] == "EXPIRED"
    assert bob.limit("BUY", 1010, 100, "FOK")["status"] == "FILLED"


def test_a_quote_beyond_an_orders_price_fills_it() -> None:
    exchange, market, ann, _ = spot_market(quote(0, 1000, 1001))
    order = ann.limit("BUY", 999, 100)["orderId"]
    go_on(exchange, market, quote(250, 990, 991))
    assert ann.order(order)["status"] == "FILLED"


def test_what_is_worth_too_much_is_refused_unless_it_takes_the_markets_price() -> None:
    _, _, ann, _ = spot_market()
    assert refused(ann.limit, "BUY", 1000, 90_000_001) == (-1013, "Filter failure: NOTIONAL")


def test_old_orders_are_forgotten_by_the_clock_of_the_house() -> None:
    exchange, _, ann, _ = spot_market()
    order = ann.limit("BUY", 900, 100)["orderId"]
    ann.ask("cancel_order", orderId=order)
    exchange.advance(START_MS + MEMORY_MS - DAY_MS)
    assert ann.order(order)["status"] == "CANCELED"
    exchange.advance(START_MS + MEMORY_MS + DAY_MS)
    assert refused(ann.ask, "query_order", orderId=order) == (-2013, "Order does not exist.")


def test_minutes_end_by_themselves_and_before_a_later_step() -> None:
    exchange, market, _, _ = spot_market(quote(0, 1000, 1001, (1000, 5, True)))
    first_end = START_MS // 60_000 * 60_000 + 60_000
    assert exchange.next_event_ms() == first_end
    exchange.take_events()
    go_on(exchange, market, quote(first_end - START_MS + 500, 1000, 1001, (1001, 7, False)))
    told = [event for event in exchange.take_events() if type(event).__name__ == "SpotKlineEvent"]
    assert [(event.time_ms, event.payload["k"]["x"], event.payload["k"]["v"]) for event in told][:1] == [
        (first_end, True, "0.00500000")
    ]
    rows = exchange.spot.klines({"symbol": "TESTUSDT", "interval": "1m"}, exchange.now_ms)
    assert [row[5] for row in rows] == ["0.00500000", "0.00700000"]


def fine_market() -> tuple[PaperExchange, ScriptedMarket, SpotTrader]:
    """BTCUSDT: the market's tick is ten of spot's, its lot a hundred."""
    instrument = default_instrument("BTCUSDT")
    market = ScriptedMarket((quote(0, 600_000, 600_001),), symbol="BTCUSDT", depth_lots=500)
    account = AccountSpec(name="ann", balance_units=10**12)
    exchange = PaperExchange([(paper_symbol(instrument), market)], accounts=[account])
    exchange.advance(START_MS)
    return exchange, market, SpotTrader(exchange, "ann")


def test_a_level_of_the_market_is_spread_over_its_spot_ticks() -> None:
    exchange, market, ann = fine_market()
    book = exchange.spot.depth({"symbol": "BTCUSDT", "limit": "12"}, exchange.now_ms)
    # The best price keeps its whole quantity; each of the ten ticks of a level behind it has a tenth.
    assert book["bids"][0] == ["60000.00000000", "0.50000000"]
    assert book["bids"][1:11] == [[f"{60000 - place / 100:.8f}", "0.05000000"] for place in range(1, 11)]
    assert [price for price, _ in book["asks"][:2]] == ["60000.10000000", "60000.11000000"]
    order = {"symbol": "BTCUSDT", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.00123"}
    resting = exchange.spot.place_order("ann", order | {"side": "BUY", "price": "60000.05"}, exchange.now_ms)
    ticker = exchange.spot.book_ticker({"symbol": "BTCUSDT"}, exchange.now_ms)
    assert isinstance(ticker, dict)
    assert (ticker["bidPrice"], ticker["bidQty"]) == ("60000.05000000", "0.00123000")
    assert next(iter(exchange.spot.desks["BTCUSDT"].book.orders(Side.BUY))).queue_lots == 0
    go_on(exchange, market, quote(250, 600_000, 600_001, (600_000, 1, True)))
    found = exchange.spot.query_order("ann", {"symbol": "BTCUSDT", "orderId": str(resting["orderId"])}, exchange.now_ms)
    assert (found["status"], found["cummulativeQuoteQty"]) == ("FILLED", "73.80006150")
    assert "TRADE/FILLED" in reports(exchange, ann.name)


def test_accounts_trade_on_in_the_last_quote_of_a_market_that_has_ended() -> None:
    exchange, _, ann, _ = spot_market(quote(0, 1000, 1001, (1000, 1, True)))
    hand = Trader(exchange, "bob", plain_instrument())
    for minute in (1, 2, 30, 31, 60):
        exchange.advance(START_MS + minute * 60_000)
        assert exchange.ended
        assert ann.market("BUY", 60)["status"] == "FILLED"
        assert exchange.next_event_ms() == START_MS // 60_000 * 60_000 + (minute + 1) * 60_000
        assert hand.market("BUY", 60)["status"] == "FILLED"
    for rows in (exchange.spot.klines, exchange.klines):
        minutes = rows({"symbol": "TESTUSDT", "interval": "1m"}, exchange.now_ms)
        assert [late[0] - early[0] for early, late in pairwise(minutes)] == [60_000] * (len(minutes) - 1)
        assert sum(row[8] > 0 for row in minutes) >= 5

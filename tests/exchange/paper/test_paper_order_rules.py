"""Every refusal of a placement: its code, its words, and that it leaves no trace."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from tests.exchange.paper.scripted_market import START_MS, Trader, quote, scripted, user_kinds
from trio_grid.exchange.paper.engine.exchange import UserEvent
from trio_grid.exchange.paper.engine.order_rules import parse_price, parse_quantity
from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.engine.symbols import default_instrument, paper_symbol

BASE = {
    "symbol": "TESTUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "price": "99.0",
    "quantity": "0.100",
    "newClientOrderId": "id-1",
}


def without(*names: str, **changes: str) -> dict[str, str]:
    return {name: value for name, value in BASE.items() if name not in names} | changes


@pytest.mark.parametrize(
    ("params", "code"),
    [
        (without("symbol"), -1102),
        (without(symbol="NOPEUSDT"), -1121),
        (without("side"), -1102),
        (without(side="HOLD"), -1117),
        (without("type"), -1102),
        (without(type="ICEBERG"), -1116),
        (without(type="STOP_MARKET"), -4120),
        (without(type="TRAILING_STOP_MARKET"), -4120),
        (without("timeInForce"), -1102),
        (without(timeInForce="NEVER"), -1115),
        (without("price"), -1102),
        (without(price="abc"), -1102),
        (without(price="1e3"), -1102),
        (without(price="٣"), -1102),
        (without("quantity"), -1102),
        (without(quantity=""), -1102),
        (without(price="99.01"), -1111),
        (without(quantity="0.0001"), -1111),
        (without(price="0"), -4001),
        (without(price="-1"), -4001),
        (without(quantity="0"), -4003),
        (without(quantity="-0.1"), -4003),
        (without(quantity="1000.001"), -4005),
        (without(price="100000.1"), -4002),
        (without(price="0.9"), -4013),
        (without(price="105.1"), -4016),
        (without(side="SELL", price="94.9"), -4024),
        (without(quantity="0.050"), -4164),
        (without(newClientOrderId="has space"), -4015),
        (without(newClientOrderId="x" * 37), -4015),
        (without(newClientOrderId=""), -4015),
        (without(positionSide="LONG"), -4061),
        (without(reduceOnly="true"), -2022),
        (without(reduceOnly="perhaps"), -1102),
        (without(price="100.1", timeInForce="GTX"), -5022),
        (without(price="100.1", quantity="0.051", timeInForce="FOK"), -5021),
        (without(timeInForce="GTD"), -1102),
        (without(timeInForce="GTD", goodTillDate="1"), -5040),
        (without(goodTillDate="1790000900000"), -1106),
        (without(priceMatch="QUEUE"), -1106),
        (without("price", priceMatch="OPPONENT_10"), -5037),
        (without(selfTradePreventionMode="SOMETIMES"), -5039),
        (without(newOrderRespType="FULL"), -1130),
        (without("price", type="MARKET"), -1106),
        (without("timeInForce", type="MARKET"), -1106),
        (without("price", "timeInForce", type="MARKET", priceMatch="QUEUE"), -5038),
        (without("price", "timeInForce", type="MARKET", quantity="120.001"), -4005),
        (without("price", "timeInForce", type="MARKET", quantity="0.049"), -4164),
    ],
)
def test_a_refused_placement_has_its_code_and_leaves_no_trace(params: dict[str, str], code: int) -> None:
    exchange, _, _, _ = scripted()
    with pytest.raises(PaperRefusal) as caught:
        exchange.place_order("ann", params, exchange.now_ms)
    assert caught.value.code == code
    assert caught.value.http_status == 400
    assert caught.value.body() == {"code": code, "msg": caught.value.message}
    assert exchange.take_events() == []
    assert exchange.all_orders("ann", {"symbol": "TESTUSDT"}, exchange.now_ms) == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (without(quantity="0.050"), "Order's notional must be no smaller than 5 (unless you choose reduce only)."),
        (without(price="105.1"), "Limit price can't be higher than 105."),
        (without(side="SELL", price="94.9"), "Limit price can't be lower than 95.1."),
        (without("timeInForce"), "Mandatory parameter 'timeInForce' was not sent, was empty/null, or malformed."),
    ],
)
def test_a_refusal_says_the_exchanges_words(params: dict[str, str], words: str) -> None:
    exchange, _, _, _ = scripted()
    with pytest.raises(PaperRefusal) as caught:
        exchange.place_order("ann", params, exchange.now_ms)
    assert caught.value.message == words


def test_a_tick_coarser_than_the_precision_is_minus_4014() -> None:
    symbol = paper_symbol(default_instrument("BTCUSDT"))
    with pytest.raises(PaperRefusal) as caught:
        parse_price({"price": "60000.05"}, symbol)
    assert caught.value.code == -4014
    coarse = replace(symbol, instrument=replace(symbol.instrument, lot_size=Decimal("0.01")))
    with pytest.raises(PaperRefusal) as caught:
        parse_quantity({"quantity": "0.015"}, coarse, market=False)
    assert caught.value.code == -4023
    with pytest.raises(PaperRefusal) as caught:
        parse_quantity(
            {"quantity": "0.001"},
            replace(symbol, instrument=replace(symbol.instrument, min_quantity_lots=2)),
            market=False,
        )
    assert caught.value.code == -4004


def test_duplicate_client_ids_are_refused_among_open_orders_only() -> None:
    exchange, _, ann, bob = scripted()
    first = ann.limit("BUY", 990, 100, newClientOrderId="same")
    with pytest.raises(PaperRefusal) as caught:
        ann.limit("BUY", 980, 100, newClientOrderId="same")
    assert (caught.value.code, caught.value.message) == (-4116, "ClientOrderId is duplicated.")
    assert bob.limit("BUY", 980, 100, newClientOrderId="same")["status"] == "NEW"
    ann.cancel(first["orderId"])
    again = ann.limit("BUY", 970, 100, newClientOrderId="same")
    assert again["orderId"] > first["orderId"]
    found = exchange.query_order("ann", {"symbol": "TESTUSDT", "origClientOrderId": "same"}, exchange.now_ms)
    assert found["orderId"] == again["orderId"]


def test_the_number_of_open_orders_is_limited() -> None:
    _, _, ann, bob = scripted(max_open_orders=2)
    ann.limit("BUY", 990, 100)
    second = ann.limit("BUY", 989, 100)
    with pytest.raises(PaperRefusal) as caught:
        ann.limit("BUY", 988, 100)
    assert caught.value.code == -2025
    assert bob.limit("BUY", 988, 100)["status"] == "NEW"
    ann.cancel(second["orderId"])
    assert ann.limit("BUY", 988, 100)["status"] == "NEW"


def test_a_position_above_the_leverages_bracket_is_refused() -> None:
    exchange, _, ann, _ = scripted(balance=10_000_000)
    exchange.change_leverage("ann", {"symbol": "TESTUSDT", "leverage": "75"}, exchange.now_ms)
    with pytest.raises(PaperRefusal) as caught:
        ann.limit("BUY", 990, 102_000)
    assert caught.value.code == -2027
    assert ann.limit("BUY", 990, 101_000)["status"] == "NEW"


def test_more_than_the_free_margin_is_refused_and_a_reduction_never_is() -> None:
    _, _, ann, _ = scripted(balance=100)
    with pytest.raises(PaperRefusal) as caught:
        ann.limit("BUY", 1000, 20_001)
    assert (caught.value.code, caught.value.message) == (-2019, "Margin is insufficient.")
    assert ann.limit("BUY", 990, 10_000)["status"] == "NEW"
    with pytest.raises(PaperRefusal) as caught:
        ann.limit("BUY", 990, 11_000)
    assert caught.value.code == -2019
    # The lighter side is free: margin counts the heavier one.
    assert ann.limit("SELL", 1010, 9_000)["status"] == "NEW"


def test_market_orders_need_a_counter_price_within_the_bound() -> None:
    _, _, ann, _ = scripted(quote(0, 1000, 1200))
    with pytest.raises(PaperRefusal) as caught:
        ann.market("BUY", 100)
    assert caught.value.code == -4131


@pytest.mark.parametrize(
    ("match", "side", "price"),
    [
        ("OPPONENT", "BUY", "100.1"),
        ("OPPONENT_5", "SELL", "99.6"),
        ("QUEUE", "BUY", "100.0"),
        ("QUEUE_5", "SELL", "100.5"),
    ],
)
def test_price_match_takes_its_price_from_the_book(match: str, side: str, price: str) -> None:
    exchange, _, ann, _ = scripted()
    params = ann.params(side, 1, 60, priceMatch=match)
    del params["price"]
    body = exchange.place_order("ann", params, exchange.now_ms)
    assert (body["price"], body["priceMatch"]) == (price, match)


def test_price_match_needs_a_book_to_match() -> None:
    exchange, market, ann, _ = scripted(depth_lots=0)
    market.add(quote(100, 1000))
    exchange.advance(START_MS + 100)
    params = ann.params("BUY", 1, 60, priceMatch="QUEUE")
    del params["price"]
    with pytest.raises(PaperRefusal) as caught:
        exchange.place_order("ann", params, exchange.now_ms)
    assert caught.value.code == -5041


def test_an_order_without_an_end_rests_for_a_year() -> None:
    exchange, market, ann, _ = scripted(depth_lots=0)
    order, younger = ann.limit("BUY", 990, 100), ann.limit("BUY", 990, 100, "GTX")
    hour = 3_600_000
    market.add(quote(3 * hour, 1000))
    # The year is put behind the order, not walked through minute by minute.
    exchange.account_of("ann").orders["TESTUSDT"][order["orderId"]].time_ms -= 365 * 24 * hour - hour
    exchange.advance(START_MS + hour - 1)
    exchange.take_events()
    assert ann.order(order["orderId"])["status"] == "NEW"
    exchange.advance(START_MS + 2 * hour)
    assert ann.order(order["orderId"])["status"] == "EXPIRED"
    assert user_kinds(exchange, "ann") == ["EXPIRED/EXPIRED"]
    assert [row["orderId"] for row in exchange.open_orders("ann", {}, exchange.now_ms)] == [younger["orderId"]]


def test_a_test_order_changes_nothing() -> None:
    exchange, _, ann, _ = scripted()
    assert exchange.test_order("ann", ann.params("BUY", 990, 100), exchange.now_ms) == {}
    assert exchange.open_orders("ann", {}, exchange.now_ms) == []
    with pytest.raises(PaperRefusal):
        exchange.test_order("ann", ann.params("BUY", 1001, 100, "GTX"), exchange.now_ms)
    assert not [event for event in exchange.take_events() if isinstance(event, UserEvent)]


def test_nothing_is_sold_before_the_first_price() -> None:
    exchange, _, _, _ = scripted(quote(5_000, 1000))
    trader = Trader(exchange, "ann", exchange.desks["TESTUSDT"].symbol.instrument)
    with pytest.raises(PaperRefusal) as caught:
        trader.limit("BUY", 990, 100)
    assert caught.value.code == -4131

"""The book that a client keeps by the documented procedure is the exchange's own, level by level, at every event."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exchange.paper.scripted_market import START_MS as SCRIPTED_START_MS
from tests.exchange.paper.scripted_market import quote, scripted
from tests.exchange.paper_server.raw_client import KEY, SYMBOL
from trio_grid.exchange.paper.engine.exchange import PaperExchange
from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.server.derived_streams import DerivedStreams
from trio_grid.exchange.paper.server.stream_names import parse_stream_name
from trio_grid.testing.paper import START_MS, default_exchange

Sides = dict[str, dict[str, str]]


def rest_book(exchange: PaperExchange, now_ms: int, symbol: str = SYMBOL) -> tuple[int, Sides]:
    depth = exchange.depth({"symbol": symbol, "limit": "1000"}, now_ms)
    return depth["lastUpdateId"], {side: dict(depth[side]) for side in ("bids", "asks")}


def apply(sides: Sides, event: dict[str, Any]) -> None:
    for side, changes in (("bids", event["b"]), ("asks", event["a"])):
        for price, quantity in changes:
            if float(quantity) == 0:
                sides[side].pop(price, None)
            else:
                sides[side][price] = quantity


def test_the_book_is_given_in_the_documented_depths_only() -> None:
    exchange, _, _, _ = scripted(depth_lots=40)
    for limit in (5, 10, 20, 50, 100, 500, 1000):
        depth = exchange.depth({"symbol": "TESTUSDT", "limit": str(limit)}, exchange.now_ms)
        assert (len(depth["bids"]), len(depth["asks"])) == (limit, limit)
    for text, code in (("7", -4021), ("0", -4021), ("5000", -4021), ("all", -1102)):
        with pytest.raises(PaperRefusal) as caught:
            exchange.depth({"symbol": "TESTUSDT", "limit": text}, exchange.now_ms)
        assert caught.value.code == code


@pytest.mark.parametrize("speed", ["", "@100ms", "@500ms"])
def test_snapshot_and_differences_make_the_exchanges_book(speed: str) -> None:
    exchange = default_exchange(history_minutes=3)
    streams, name = DerivedStreams(exchange), parse_stream_name(f"btcusdt@depth{speed}")
    assert name is not None
    step_ms, now = name.speed_ms, START_MS + 1_000
    assert streams.periodic(name, now) is not None
    # The snapshot is taken between two events, the next one bridges it.
    last, sides = rest_book(exchange, now + step_ms // 2)
    applied = 0
    for turn in range(30):
        now += step_ms
        if turn == 10:
            exchange.place_order(KEY, {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "quantity": "0.9"}, now)
        event = streams.periodic(name, now)
        if event is None or event["u"] < last:
            continue
        if applied == 0:
            assert event["U"] <= last <= event["u"] or event["pu"] == last
        else:
            assert event["pu"] == last
        apply(sides, event)
        last, applied = event["u"], applied + 1
        assert (last, sides) == rest_book(exchange, now)
    assert applied > 10


def test_no_update_is_without_a_level() -> None:
    exchange, market, _, _ = scripted(quote(0, 999, 1001), depth_lots=40)
    streams, name = DerivedStreams(exchange), parse_stream_name("testusdt@depth@100ms")
    assert name is not None
    first = streams.periodic(name, exchange.now_ms)
    _, sides = rest_book(exchange, exchange.now_ms, "TESTUSDT")
    best = {side: next(iter(sides[side].items())) for side in sides}
    assert {"bids": tuple(first["b"][0]), "asks": tuple(first["a"][0])} == best
    # The book goes away and comes back between two updates: it has new ids, and is the same.
    market.add(quote(100, 990, 992), quote(200, 999, 1001), quote(300, 999, 1002))
    exchange.advance(SCRIPTED_START_MS + 200)
    update_id, same = rest_book(exchange, exchange.now_ms, "TESTUSDT")
    assert (update_id > first["u"], same) == (True, sides)
    assert streams.periodic(name, exchange.now_ms) is None
    # What follows continues the last one that was sent, and includes the ids between.
    exchange.advance(SCRIPTED_START_MS + 300)
    event = streams.periodic(name, exchange.now_ms)
    last, changed = rest_book(exchange, exchange.now_ms, "TESTUSDT")
    assert (event["U"], event["u"], event["pu"]) == (first["u"] + 1, last, first["u"])
    apply(sides, event)
    assert sides == changed


def test_every_change_of_the_book_has_its_own_update_id() -> None:
    exchange, market, ann, bob = scripted(quote(0, 999, 1001, (1000, 5, True)), depth_lots=40, balance=100)
    market.add(quote(100, 999, 1001), quote(200, 990, 992), quote(300, 500, 502))
    seen: dict[int, Sides] = {}

    def look() -> None:
        update_id, sides = rest_book(exchange, exchange.now_ms, "TESTUSDT")
        assert seen.setdefault(update_id, sides) == sides
        tickers = [event.payload for event in exchange.take_events() if event.kind == "bookTicker"]
        if tickers and tickers[-1]["u"] == update_id:
            # The last quote that was told is the book's own.
            best = {side: next(iter(sides[side].items())) for side in sides}
            told = {"bids": (tickers[-1]["b"], tickers[-1]["B"]), "asks": (tickers[-1]["a"], tickers[-1]["A"])}
            assert told == best

    look()
    order = ann.limit("BUY", 995, 60)
    look()
    exchange.modify_order(
        "ann", {"symbol": "TESTUSDT", "orderId": str(order["orderId"]), "side": "BUY", "price": "99.4",
                "quantity": "0.070"}, exchange.now_ms,
    )  # fmt: skip
    look()
    bob.limit("SELL", 1000, 80)
    look()
    stop = {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": "99.1", "quantity": "0.055"}
    exchange.place_conditional("bob", {"symbol": "TESTUSDT", "side": "SELL"} | stop, exchange.now_ms)
    ann.market("BUY", 8_000)
    look()
    exchange.countdown_cancel_all("bob", {"symbol": "TESTUSDT", "countdownTime": "50"}, exchange.now_ms)
    for time_ms in (50, 100, 200, 300):
        exchange.advance(SCRIPTED_START_MS + time_ms)
        look()
    # The last step has liquidated an account whose orders were in the book.
    assert exchange.force_orders("ann", {}, exchange.now_ms) != []
    assert len(seen) >= 8

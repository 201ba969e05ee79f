"""Matching: priorities, times in force, reduce-only, self-trade prevention, what the tape gives."""

from __future__ import annotations

import pytest

from tests.exchange.paper.scripted_market import START_MS, quote, scripted, user_kinds
from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.exchange import MarketEvent, UserEvent
from trio_grid.exchange.paper.engine.refusals import PaperRefusal


def test_better_prices_then_older_orders_trade_first() -> None:
    _, _, ann, bob = scripted(quote(0, 1000, 1020))
    late_price = ann.limit("SELL", 1010, 100)
    first = ann.limit("SELL", 1008, 100)
    second = ann.limit("SELL", 1008, 100)
    bought = bob.limit("BUY", 1010, 250, newOrderRespType="RESULT")
    rows = [ann.order(order["orderId"]) for order in (first, second, late_price)]
    assert [row["executedQty"] for row in rows] == ["0.100", "0.100", "0.050"]
    assert [row["status"] for row in rows] == ["FILLED", "FILLED", "PARTIALLY_FILLED"]
    assert bob.order(bought["orderId"])["avgPrice"] == "100.84"
    assert (ann.lots, bob.lots) == (-250, 250)


def test_strangers_who_were_there_first_trade_first() -> None:
    _, _, ann, bob = scripted(quote(0, 1000, 1010))
    own = ann.limit("SELL", 1010, 100)
    bob.market("BUY", 50)
    assert ann.order(own["orderId"])["executedQty"] == "0.000"
    bob.market("BUY", 80)
    assert ann.order(own["orderId"])["executedQty"] == "0.080"


def test_strangers_who_come_later_stand_behind() -> None:
    exchange, market, ann, bob = scripted(quote(0, 1000, 1010))
    market.add(quote(100, 1000, 1010))
    own = ann.limit("SELL", 1010, 100)
    bob.market("BUY", 50)
    exchange.advance(START_MS + 100)
    assert exchange.desks["TESTUSDT"].book.strangers_lots(Side.SELL, 1010) == 50
    bob.market("BUY", 60)
    assert ann.order(own["orderId"])["executedQty"] == "0.060"


def test_eaten_levels_stay_empty_until_the_markets_next_step() -> None:
    exchange, market, ann, _ = scripted(quote(0, 1000))
    market.add(quote(100, 1000))
    assert ann.market("BUY", 60)["avgPrice"] == "100.1167"
    assert exchange.book_ticker({"symbol": "TESTUSDT"}, START_MS)["askPrice"] == "100.2"  # type: ignore[call-overload]
    exchange.advance(START_MS + 100)
    assert exchange.book_ticker({"symbol": "TESTUSDT"}, START_MS)["askPrice"] == "100.1"  # type: ignore[call-overload]


def test_events_of_a_market_order_come_in_the_exchanges_order() -> None:
    exchange, _, ann, _ = scripted()
    ann.market("BUY", 60)
    assert user_kinds(exchange, "ann") == [
        "NEW/NEW",
        "TRADE_LITE",
        "ACCOUNT_UPDATE",
        "TRADE/PARTIALLY_FILLED",
        "TRADE_LITE",
        "ACCOUNT_UPDATE",
        "TRADE/FILLED",
    ]


def test_ack_shows_the_order_as_accepted_and_result_as_it_ended() -> None:
    _, _, ann, _ = scripted()
    assert ann.market("BUY", 50, newOrderRespType="ACK")["status"] == "NEW"
    assert ann.market("BUY", 50)["status"] == "FILLED"
    assert ann.limit("BUY", 1001, 60, "IOC", newOrderRespType="RESULT")["status"] == "EXPIRED"
    assert ann.limit("BUY", 990, 60, newOrderRespType="RESULT")["status"] == "NEW"


def test_immediate_or_cancel_takes_what_is_there_and_expires() -> None:
    exchange, _, ann, _ = scripted()
    body = ann.limit("BUY", 1001, 80, "IOC", newOrderRespType="RESULT")
    assert (body["status"], body["executedQty"]) == ("EXPIRED", "0.050")
    assert user_kinds(exchange, "ann")[-1] == "EXPIRED/EXPIRED"
    assert exchange.account_of("ann").orders["TESTUSDT"][body["orderId"]].expiry_reason == 2
    assert exchange.open_orders("ann", {}, START_MS) == []


def test_fill_or_kill_fills_whole_or_is_refused() -> None:
    _, _, ann, _ = scripted()
    assert ann.limit("BUY", 1002, 100, "FOK", newOrderRespType="RESULT")["status"] == "FILLED"
    with pytest.raises(PaperRefusal) as caught:
        ann.limit("BUY", 1002, 60, "FOK")
    assert caught.value.code == -5021


def test_post_only_rests_or_is_refused_and_never_takes() -> None:
    exchange, _, ann, _ = scripted()
    resting = ann.limit("BUY", 1000, 100, "GTX")
    assert resting["status"] == "NEW"
    exchange.take_events()
    with pytest.raises(PaperRefusal) as caught:
        ann.limit("SELL", 1000, 100, "GTX")
    assert caught.value.code == -5022
    assert exchange.take_events() == []
    assert ann.lots == 0


def test_a_market_order_expires_what_the_bound_leaves() -> None:
    exchange, _, ann, _ = scripted(depth_lots=1)
    body = ann.market("BUY", 200)
    assert body["status"] == "EXPIRED"
    assert body["executedQty"] == "0.050"
    assert exchange.account_of("ann").orders["TESTUSDT"][body["orderId"]].expiry_reason == 9


@pytest.mark.parametrize(
    ("mode", "time_in_force", "maker", "taker"),
    [
        ("EXPIRE_MAKER", "GTC", ("EXPIRED", "EXPIRED_IN_MATCH", "1"), ("TRADE", "FILLED", "0")),
        ("EXPIRE_TAKER", "GTC", ("NEW", "NEW", "0"), ("EXPIRED", "EXPIRED_IN_MATCH", "1")),
        ("EXPIRE_BOTH", "GTC", ("EXPIRED", "EXPIRED_IN_MATCH", "1"), ("EXPIRED", "EXPIRED_IN_MATCH", "1")),
        ("EXPIRE_TAKER", "IOC", ("NEW", "NEW", "0"), ("EXPIRED", "EXPIRED_IN_MATCH", "3")),
        ("EXPIRE_BOTH", "IOC", ("EXPIRED", "EXPIRED_IN_MATCH", "1"), ("EXPIRED", "EXPIRED_IN_MATCH", "3")),
    ],
)
def test_self_trades_are_prevented_by_the_takers_mode(
    mode: str, time_in_force: str, maker: tuple[str, str, str], taker: tuple[str, str, str]
) -> None:
    exchange, _, ann, _ = scripted(quote(0, 1000, 1010))
    # What the maker says does not count.
    own = ann.limit("SELL", 1005, 50, selfTradePreventionMode="EXPIRE_TAKER")
    body = ann.limit("BUY", 1010, 50, time_in_force, selfTradePreventionMode=mode)
    last: dict[int, tuple[str, str, str]] = {}
    for event in exchange.take_events():
        if isinstance(event, UserEvent) and event.kind == "ORDER_TRADE_UPDATE":
            order = event.payload["o"]
            last[order["i"]] = (order["x"], order["X"], order["er"])
    assert (last[own["orderId"]], last[body["orderId"]]) == (maker, taker)
    assert ann.order(own["orderId"])["status"] == maker[1]


def test_an_account_may_not_be_on_both_sides_of_the_tape_through_prevention() -> None:
    exchange, _, ann, _ = scripted(quote(0, 1000, 1010))
    ann.limit("SELL", 1005, 50)
    ann.limit("BUY", 1006, 50, selfTradePreventionMode="EXPIRE_MAKER")
    book = exchange.desks["TESTUSDT"].book
    assert [order.side.value for order in (*book.orders("BUY"), *book.orders("SELL"))] == ["BUY"]  # type: ignore[arg-type]


# the tape ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "at_price", "through"),
    [("through", "0.000", "0.100"), ("queue", "0.030", "0.100"), ("optimistic", "0.100", "0.100")],
)
def test_fill_models_differ_at_the_price_and_agree_beyond_it(model: str, at_price: str, through: str) -> None:
    exchange, market, ann, _ = scripted(fill_model=model)
    market.add(quote(100, 1000, 1001, (1000, 80, True)), quote(200, 990, 991, (998, 1, True)))
    order = ann.limit("BUY", 1000, 100)
    exchange.advance(START_MS + 100)
    assert ann.order(order["orderId"])["executedQty"] == at_price
    exchange.advance(START_MS + 200)
    found = ann.order(order["orderId"])
    assert (found["executedQty"], found["avgPrice"]) == (through, "100.0")


def test_a_small_print_beyond_a_queued_order_fills_it_in_two_trades_of_one_time() -> None:
    exchange, market, ann, bob = scripted()
    market.add(quote(100, 999, 1001, (999, 30, True)))
    first, second = ann.limit("BUY", 1000, 100), bob.limit("BUY", 1000, 60)
    exchange.advance(START_MS + 100)
    assert [row["qty"] for row in exchange.user_trades("ann", {"symbol": "TESTUSDT"}, START_MS)] == ["0.030", "0.070"]
    assert [row["qty"] for row in exchange.user_trades("bob", {"symbol": "TESTUSDT"}, START_MS)] == ["0.060"]
    assert {ann.order(first["orderId"])["status"], bob.order(second["orderId"])["status"]} == {"FILLED"}


def test_the_queue_in_front_shortens_by_trades_and_by_the_quote_moving_away() -> None:
    exchange, market, ann, bob = scripted()
    market.add(
        quote(100, 1000, 1001, (1000, 30, True)),
        quote(200, 999, 1001),
        quote(300, 999, 1000, (1000, 10, True)),
    )
    first, second = ann.limit("BUY", 1000, 100), bob.limit("BUY", 1000, 100)
    resting = exchange.account_of("ann").orders["TESTUSDT"][first["orderId"]]
    assert resting.queue_lots == 50
    exchange.advance(START_MS + 100)
    assert resting.queue_lots == 20
    exchange.advance(START_MS + 200)
    assert resting.queue_lots == 0
    exchange.advance(START_MS + 300)
    assert (ann.order(first["orderId"])["executedQty"], bob.order(second["orderId"])["executedQty"]) == (
        "0.010",
        "0.000",
    )


def test_a_trade_of_the_other_side_at_the_price_gives_nothing() -> None:
    exchange, market, ann, _ = scripted(depth_lots=0)
    market.add(quote(100, 999, 1000, (1000, 80, False)))
    order = ann.limit("BUY", 1000, 100)
    exchange.advance(START_MS + 100)
    assert ann.order(order["orderId"])["executedQty"] == "0.000"


def test_a_quote_that_jumps_through_an_order_fills_it_without_a_trade() -> None:
    exchange, market, ann, _ = scripted()
    market.add(quote(100, 1010, 1011))
    order = ann.limit("SELL", 1005, 100)
    exchange.advance(START_MS + 100)
    assert ann.order(order["orderId"])["status"] == "FILLED"
    assert [row["maker"] for row in exchange.user_trades("ann", {"symbol": "TESTUSDT"}, START_MS)] == [True]


def test_all_rows_of_one_time_are_matched_before_one_book_ticker() -> None:
    exchange, market, ann, _ = scripted(depth_lots=0)
    market.add(quote(100, 997, 998, (999, 5, True), (998, 5, True)))
    ann.limit("BUY", 999, 60)
    ann.limit("BUY", 998, 60)
    exchange.take_events()
    exchange.advance(START_MS + 100)
    kinds = [event.kind for event in exchange.take_events()]
    assert kinds.count("bookTicker") == 1
    assert max(index for index, kind in enumerate(kinds) if kind == "ORDER_TRADE_UPDATE") < kinds.index("bookTicker")
    assert ann.lots == 65


def test_own_orders_show_in_the_book_and_lock_nobody_out() -> None:
    exchange, _, ann, bob = scripted(quote(0, 1000, 1010))
    ann.limit("BUY", 1004, 60)
    ticker = exchange.book_ticker({"symbol": "TESTUSDT"}, START_MS)
    assert isinstance(ticker, dict)
    assert (ticker["bidPrice"], ticker["bidQty"], ticker["askPrice"]) == ("100.4", "0.060", "101.0")
    depth = exchange.depth({"symbol": "TESTUSDT", "limit": "5"}, START_MS)
    assert depth["bids"][:2] == [["100.4", "0.060"], ["100.0", "0.050"]]
    with pytest.raises(PaperRefusal):
        bob.limit("SELL", 1004, 60, "GTX")


def test_a_book_ticker_is_told_when_the_best_changes_and_only_then() -> None:
    exchange, _, ann, _ = scripted(quote(0, 1000, 1010))

    def told() -> list[str]:
        return [event.payload["b"] for event in exchange.take_events() if event.kind == "bookTicker"]

    before = exchange.depth({"symbol": "TESTUSDT"}, START_MS)["lastUpdateId"]
    deep = ann.limit("BUY", 990, 100)
    assert told() == []
    assert exchange.depth({"symbol": "TESTUSDT"}, START_MS)["lastUpdateId"] > before
    best = ann.limit("BUY", 1002, 100)
    assert told() == ["100.2"]
    ann.cancel(deep["orderId"])
    assert told() == []
    ann.cancel(best["orderId"])
    assert told() == ["100.0"]


def test_a_locking_quote_of_strangers_is_hidden() -> None:
    exchange, market, ann, _ = scripted(quote(0, 1000, 1010))
    market.add(quote(100, 1003, 1004))
    ann.limit("BUY", 1004, 60)
    exchange.advance(START_MS + 100)
    ticker = exchange.book_ticker({"symbol": "TESTUSDT"}, START_MS)
    assert isinstance(ticker, dict)
    assert (ticker["bidPrice"], ticker["askPrice"]) == ("100.4", "100.5")


def test_public_trades_tell_of_takers_with_growing_ids() -> None:
    exchange, _, ann, _ = scripted()
    ann.market("BUY", 60)
    trades = [event for event in exchange.take_events() if isinstance(event, MarketEvent) and event.kind == "trade"]
    assert [(row.payload["p"], row.payload["q"], row.payload["m"]) for row in trades] == [
        ("100.1", "0.050", False),
        ("100.2", "0.010", False),
    ]
    own = exchange.user_trades("ann", {"symbol": "TESTUSDT"}, START_MS)
    assert [row["id"] for row in own] == [row.payload["t"] for row in trades]


# ending --------------------------------------------------------------------------------------------------------------


def test_cancel_and_query_of_unknown_and_closed_orders() -> None:
    exchange, _, ann, bob = scripted()
    order = ann.limit("BUY", 990, 100)
    for call, params, code in (
        (exchange.cancel_order, {"orderId": "77"}, -2011),
        (exchange.query_order, {"orderId": "77"}, -2013),
        (exchange.query_order, {}, -1102),
        (exchange.cancel_order, {"origClientOrderId": "nobody"}, -2011),
    ):
        with pytest.raises(PaperRefusal) as caught:
            call("ann", {"symbol": "TESTUSDT", **params}, START_MS)
        assert caught.value.code == code
    with pytest.raises(PaperRefusal):
        bob.cancel(order["orderId"])
    assert ann.cancel(order["orderId"])["status"] == "CANCELED"
    with pytest.raises(PaperRefusal) as caught:
        ann.cancel(order["orderId"])
    assert caught.value.code == -2011
    assert ann.order(order["orderId"])["status"] == "CANCELED"
    with pytest.raises(PaperRefusal) as caught:
        exchange.open_order("ann", {"symbol": "TESTUSDT", "orderId": str(order["orderId"])}, START_MS)
    assert caught.value.code == -2013


def test_cancel_all_tells_each_order() -> None:
    exchange, _, ann, _ = scripted()
    ann.limit("BUY", 990, 100)
    ann.limit("BUY", 980, 100)
    exchange.take_events()
    body = exchange.cancel_all_orders("ann", {"symbol": "TESTUSDT"}, START_MS)
    assert body == {"code": 200, "msg": "The operation of cancel all open order is done."}
    assert user_kinds(exchange, "ann") == ["CANCELED/CANCELED", "CANCELED/CANCELED"]


def test_the_countdown_cancels_unless_it_is_renewed_or_stopped() -> None:
    exchange, _, ann, bob = scripted()
    mine, theirs = ann.limit("BUY", 990, 100), bob.limit("BUY", 990, 100)
    params = {"symbol": "TESTUSDT", "countdownTime": "1000"}
    assert exchange.countdown_cancel_all("ann", params, START_MS) == params
    exchange.countdown_cancel_all("ann", params, START_MS + 900)
    exchange.advance(START_MS + 1_500)
    assert ann.order(mine["orderId"])["status"] == "NEW"
    exchange.advance(START_MS + 1_900)
    assert ann.order(mine["orderId"])["status"] == "CANCELED"
    assert bob.order(theirs["orderId"])["status"] == "NEW"
    exchange.countdown_cancel_all("bob", params, START_MS + 2_000)
    exchange.countdown_cancel_all("bob", params | {"countdownTime": "0"}, START_MS + 2_100)
    exchange.advance(START_MS + 10_000)
    assert bob.order(theirs["orderId"])["status"] == "NEW"


def test_good_till_date_expires() -> None:
    exchange, _, ann, _ = scripted()
    order = ann.limit("BUY", 990, 100, "GTD", goodTillDate=str(START_MS + 700_000))
    exchange.advance(START_MS + 699_999)
    assert ann.order(order["orderId"])["status"] == "NEW"
    exchange.advance(START_MS + 700_000)
    assert ann.order(order["orderId"])["status"] == "EXPIRED"


def test_unfilled_cancelled_orders_are_forgotten_after_three_days() -> None:
    exchange, _, ann, _ = scripted()
    cancelled, filled = ann.limit("BUY", 990, 100), ann.market("BUY", 60)
    ann.cancel(cancelled["orderId"])
    day = 86_400_000
    exchange.countdown_cancel_all("ann", {"symbol": "TESTUSDT", "countdownTime": str(4 * day)}, START_MS)
    exchange.advance(START_MS + 2 * day)
    assert ann.order(cancelled["orderId"])["status"] == "CANCELED"
    exchange.advance(START_MS + 3 * day + 2 * 3_600_000)
    with pytest.raises(PaperRefusal) as caught:
        ann.order(cancelled["orderId"])
    assert caught.value.code == -2013
    assert ann.order(filled["orderId"])["status"] == "FILLED"

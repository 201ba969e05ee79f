"""ccxt's plain class `binanceusdm` over REST: every operation that it offers, through its unified methods."""

from itertools import pairwise
from typing import Any

import ccxt
from ccxt_desk import SYMBOL, futures_options, redirect
from harness import Suite, Target

suite = Suite()


class Desk:
    """One client with an open market list, and what the operations need again and again."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.client = self.connect()
        self.client.load_markets()

    def connect(self, **options: Any) -> Any:
        """Return another client of the same exchange."""
        client = ccxt.binanceusdm(futures_options(self.target, **options))
        redirect(client.urls, self.target)
        return client

    def price(self, side: str, distance: float = 0.02) -> float:
        """Return a price at which an order of this side rests, a fraction away from the book."""
        book = self.client.fetch_order_book(SYMBOL, 5)
        best = book["bids"][0][0] if side == "buy" else book["asks"][0][0]
        return float(self.client.price_to_precision(SYMBOL, best * (1 - distance if side == "buy" else 1 + distance)))

    def taking_price(self, side: str) -> float:
        """Return a price at which an order of this side trades at once."""
        return self.price("sell" if side == "buy" else "buy", 0.005)

    def rest(self, side: str = "buy", amount: float = 0.01, **params: Any) -> Any:
        """Place an order that rests."""
        return self.client.create_order(SYMBOL, "limit", side, amount, self.price(side), params)

    def market(self, side: str, amount: float = 0.01, **params: Any) -> Any:
        """Trade at once."""
        return self.client.create_order(SYMBOL, "market", side, amount, None, params)

    def position(self) -> float:
        """Return the signed position."""
        rows = self.client.fetch_positions([SYMBOL])
        return float(sum(row["contracts"] * (1 if row["side"] == "long" else -1) for row in rows))


@suite.operation("exchange information")
def exchange_information(desk: Desk) -> None:
    market = desk.client.market(SYMBOL)
    assert market["id"] == "BTCUSDT"
    assert market["linear"]
    assert market["active"]
    assert market["precision"]["price"] > 0
    assert market["limits"]["amount"]["min"] > 0
    assert market["limits"]["cost"]["min"] > 0


@suite.operation("time")
def time(desk: Desk) -> None:
    assert abs(desk.client.fetch_time() - desk.client.milliseconds()) < 60_000


@suite.operation("klines")
def klines(desk: Desk) -> None:
    rows = desk.client.fetch_ohlcv(SYMBOL, "1m", None, 60)
    assert len(rows) == 60
    assert all(later[0] - earlier[0] == 60_000 for earlier, later in pairwise(rows))
    assert all(low <= min(open_, close) <= max(open_, close) <= high for _, open_, high, low, close, _ in rows)
    since = rows[10][0]
    assert desk.client.fetch_ohlcv(SYMBOL, "1m", since, 5) == rows[10:15]


@suite.operation("order book")
def order_book(desk: Desk) -> None:
    book = desk.client.fetch_order_book(SYMBOL, 20)
    bids, asks = [price for price, _ in book["bids"]], [price for price, _ in book["asks"]]
    assert len(bids) == len(asks) == 20
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert book["nonce"] > 0


@suite.operation("24h ticker")
def ticker(desk: Desk) -> None:
    one = desk.client.fetch_ticker(SYMBOL)
    assert one["low"] <= one["last"] <= one["high"]
    assert one["baseVolume"] > 0
    assert SYMBOL in desk.client.fetch_tickers()


@suite.operation("price ticker")
def price_ticker(desk: Desk) -> None:
    assert desk.client.fetch_last_prices([SYMBOL])[SYMBOL]["price"] > 0


@suite.operation("book ticker")
def book_ticker(desk: Desk) -> None:
    row = desk.client.fetch_bids_asks([SYMBOL])[SYMBOL]
    assert 0 < row["bid"] < row["ask"]


@suite.operation("recent trades")
def recent_trades(desk: Desk) -> None:
    trades = desk.client.fetch_trades(SYMBOL, None, 20, {"fetchTradesMethod": "fapiPublicGetTrades"})
    assert trades
    assert all(trade["price"] > 0 and trade["side"] in ("buy", "sell") for trade in trades)


@suite.operation("aggregate trades")
def aggregate_trades(desk: Desk) -> None:
    trades = desk.client.fetch_trades(SYMBOL, None, 20)
    assert [int(trade["id"]) for trade in trades] == sorted(int(trade["id"]) for trade in trades)


@suite.operation("mark price")
def mark_price(desk: Desk) -> None:
    assert desk.client.fetch_mark_price(SYMBOL)["markPrice"] > 0
    rate = desk.client.fetch_funding_rate(SYMBOL)
    assert rate["markPrice"] > 0
    assert rate["fundingTimestamp"] > rate["timestamp"]


@suite.operation("funding rates")
def funding_rates(desk: Desk) -> None:
    for row in desk.client.fetch_funding_rate_history(SYMBOL):
        assert row["symbol"] == SYMBOL
    assert SYMBOL in desk.client.fetch_funding_rates([SYMBOL])


@suite.operation("LIMIT GTC")
def limit_gtc(desk: Desk) -> None:
    order = desk.rest()
    assert order["status"] == "open"
    assert order["timeInForce"] == "GTC"
    assert order["remaining"] == 0.01
    assert desk.client.cancel_order(order["id"], SYMBOL)["status"] == "canceled"
    crossing = desk.client.create_order(SYMBOL, "limit", "buy", 0.01, desk.taking_price("buy"))
    assert desk.client.fetch_order(crossing["id"], SYMBOL)["status"] == "closed"
    desk.market("sell")


@suite.operation("LIMIT IOC")
def limit_ioc(desk: Desk) -> None:
    killed = desk.rest(timeInForce="IOC")
    assert killed["status"] == "expired"
    assert killed["filled"] == 0
    filled = desk.client.create_order(SYMBOL, "limit", "buy", 0.01, desk.taking_price("buy"), {"timeInForce": "IOC"})
    assert (filled["status"], filled["filled"]) == ("closed", 0.01)
    desk.market("sell")


@suite.operation("LIMIT FOK")
def limit_fok(desk: Desk) -> None:
    filled = desk.client.create_order(SYMBOL, "limit", "buy", 0.01, desk.taking_price("buy"), {"timeInForce": "FOK"})
    assert (filled["status"], filled["filled"]) == ("closed", 0.01)
    desk.market("sell")


@suite.operation("LIMIT GTX")
def limit_gtx(desk: Desk) -> None:
    order = desk.rest(postOnly=True)
    assert (order["status"], order["postOnly"], order["timeInForce"]) == ("open", True, "PO")
    desk.client.cancel_order(order["id"], SYMBOL)


@suite.operation("LIMIT GTD")
def limit_gtd(desk: Desk) -> None:
    until = desk.client.fetch_time() // 1000 * 1000 + 3_600_000
    order = desk.rest(timeInForce="GTD", goodTillDate=until)
    assert order["status"] == "open"
    assert order["info"]["goodTillDate"] in (until, str(until))
    desk.client.cancel_order(order["id"], SYMBOL)


@suite.operation("MARKET")
def market_order(desk: Desk) -> None:
    bought = desk.market("buy")
    assert (bought["status"], bought["filled"]) == ("closed", 0.01)
    assert bought["average"] > 0
    assert bought["cost"] > 0
    assert desk.market("sell")["status"] == "closed"


@suite.operation("reduce-only")
def reduce_only(desk: Desk) -> None:
    desk.market("buy", 0.02)
    resting = desk.rest("sell", 0.01, reduceOnly=True)
    assert resting["reduceOnly"] is True
    desk.client.cancel_order(resting["id"], SYMBOL)
    assert desk.market("sell", 0.02, reduceOnly=True)["status"] == "closed"
    assert desk.position() == 0


@suite.operation("price match")
def price_match(desk: Desk) -> None:
    order = desk.client.create_order(SYMBOL, "limit", "buy", 0.01, None, {"priceMatch": "QUEUE_5"})
    assert order["status"] == "open"
    assert order["price"] > 0
    desk.client.cancel_order(order["id"], SYMBOL)


@suite.operation("test order")
def test_order(desk: Desk) -> None:
    answer = desk.client.fapiPrivatePostOrderTest(
        {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01",
         "price": desk.client.price_to_precision(SYMBOL, desk.price("buy"))}
    )  # fmt: skip
    assert isinstance(answer, dict)
    assert desk.client.fetch_open_orders(SYMBOL) == []


@suite.operation("query order")
def query_order(desk: Desk) -> None:
    placed = desk.rest(clientOrderId="conformance-query")
    for found in (
        desk.client.fetch_order(placed["id"], SYMBOL),
        desk.client.fetch_order(None, SYMBOL, {"clientOrderId": "conformance-query"}),
        desk.client.fetch_open_order(placed["id"], SYMBOL),
    ):
        assert (found["id"], found["clientOrderId"]) == (placed["id"], "conformance-query")
        assert found["price"] == placed["price"]
    desk.client.cancel_order(None, SYMBOL, {"clientOrderId": "conformance-query"})
    assert desk.client.fetch_order(placed["id"], SYMBOL)["status"] == "canceled"


@suite.operation("cancel order")
def cancel_order(desk: Desk) -> None:
    order = desk.rest()
    cancelled = desk.client.cancel_order(order["id"], SYMBOL)
    assert (cancelled["id"], cancelled["status"]) == (order["id"], "canceled")


def _leg(desk: Desk, amount: float = 0.01, distance: float = 0.02, **more: Any) -> dict[str, Any]:
    price = desk.price("buy", distance)
    return {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": amount, "price": price, **more}


@suite.operation("place batch")
def place_batch(desk: Desk) -> None:
    orders = desk.client.create_orders([_leg(desk), _leg(desk, distance=0.03), _leg(desk, amount=900.0)])
    desk.client.cancel_all_orders(SYMBOL)
    # The client sorts them by time, and a refused one has none.
    assert sorted(order["status"] for order in orders) == ["open", "open", "rejected"]
    assert {int(order["info"].get("code", 0)) for order in orders} == {0, -2019}


@suite.operation("cancel batch")
def cancel_batch(desk: Desk) -> None:
    orders = desk.client.create_orders([_leg(desk), _leg(desk)])
    cancelled = desk.client.cancel_orders([order["id"] for order in orders], SYMBOL)
    assert [order["status"] for order in cancelled] == ["canceled", "canceled"]


@suite.operation("open orders")
def open_orders(desk: Desk) -> None:
    order = desk.rest()
    assert [found["id"] for found in desk.client.fetch_open_orders(SYMBOL)] == [order["id"]]
    assert [found["id"] for found in desk.client.fetch_open_orders()] == [order["id"]]
    desk.client.cancel_order(order["id"], SYMBOL)
    assert desk.client.fetch_open_orders(SYMBOL) == []


@suite.operation("all orders")
def all_orders(desk: Desk) -> None:
    order = desk.rest()
    desk.client.cancel_order(order["id"], SYMBOL)
    assert order["id"] in [found["id"] for found in desk.client.fetch_orders(SYMBOL)]
    assert order["id"] in [found["id"] for found in desk.client.fetch_canceled_orders(SYMBOL)]
    assert order["id"] not in [found["id"] for found in desk.client.fetch_closed_orders(SYMBOL)]


@suite.operation("cancel all orders")
def cancel_all_orders(desk: Desk) -> None:
    desk.rest()
    desk.rest("sell")
    desk.client.cancel_all_orders(SYMBOL)
    assert desk.client.fetch_open_orders(SYMBOL) == []


@suite.operation("countdown cancel all")
def countdown(desk: Desk) -> None:
    answer = desk.client.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 120_000})
    assert answer["symbol"] == "BTCUSDT"
    desk.client.fapiPrivatePostCountdownCancelAll({"symbol": "BTCUSDT", "countdownTime": 0})


if __name__ == "__main__":
    suite.run(Desk)

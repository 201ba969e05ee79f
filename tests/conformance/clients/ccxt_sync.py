"""ccxt's plain class `binanceusdm` over REST: every operation that it offers, through its unified methods."""

from itertools import pairwise

import ccxt_sync_account
import ccxt_sync_conditional
import ccxt_sync_errors
import ccxt_sync_orders
from ccxt_desk import SYMBOL, Desk
from harness import Suite

suite = Suite()


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


@suite.operation("Ed25519: signed one by one")
def ed25519(desk: Desk) -> None:
    client = desk.connect(apiKey=desk.target.ed25519_key, secret=desk.target.ed25519_private_pem)
    client.set_markets(desk.client.markets)
    assert client.fetch_balance()["USDT"]["total"] > 0
    order = desk.rest(client=client)
    assert client.cancel_order(order["id"], SYMBOL)["status"] == "canceled"


suite.include(ccxt_sync_orders.suite, ccxt_sync_conditional.suite, ccxt_sync_account.suite, ccxt_sync_errors.suite)

if __name__ == "__main__":
    suite.not_offered(
        "the plain class has no WebSocket",
        "stream: klines",
        "stream: aggregate trades",
        "stream: trades",
        "stream: 24h ticker",
        "stream: mini ticker",
        "stream: book ticker",
        "stream: mark price",
        "stream: order book",
        "user stream: orders",
        "user stream: trades",
        "user stream: balances",
        "user stream: positions",
        "WebSocket API: place, query, cancel",
        "WebSocket API: amend",
        "WebSocket API: conditional orders",
        "user stream: conditional orders",
        "WebSocket API: account",
        "WebSocket API: market data",
        "WebSocket API: Ed25519, signed one by one",
        "WebSocket API: Ed25519 session.logon",
        "error: over the WebSocket API",
    )
    suite.run(Desk)

"""ccxt on spot: REST through the plain class `binance`, streams and WebSocket API through the one of ccxt pro."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import ccxt
import ccxt.pro
from ccxt_desk import futures_options, redirect
from harness import Suite, Target, refused, refused_later, seen

suite = Suite()
SYMBOL = "BTC/USDT"
AMOUNT = 0.001


class Desk:
    """A plain and an asynchronous client of spot."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.client = self.connect(ccxt.binance)
        self.client.load_markets()
        self.pro = self.connect(ccxt.pro.binance)
        self.pro.set_markets(self.client.markets)

    def connect(self, kind: Any, **keys: str) -> Any:
        """Return a client that knows spot alone."""
        options = futures_options(self.target, **keys)
        options["options"] = {**options["options"], "defaultType": "spot", "fetchMarkets": {"types": ["spot"]}}
        client = kind(options)
        redirect(client.urls, self.target)
        streams = client.urls["api"].get("ws")
        if streams:
            # Spot and futures have the same names of streams; on one port, spot's stand under a path of their own.
            streams["spot"] = f"{self.target.spot_ws_url}/ws"
        return client

    def price(self, distance: float) -> float:
        """Return a price a fraction above or below the book's best bid."""
        best = self.client.fetch_order_book(SYMBOL, 5)["bids"][0][0]
        return float(self.client.price_to_precision(SYMBOL, best * (1 + distance)))

    def limit(self, side: str = "buy", distance: float = -0.02, **params: Any) -> Any:
        """Place a LIMIT order."""
        return self.client.create_order(SYMBOL, "limit", side, AMOUNT, self.price(distance), params)

    def free(self, currency: str) -> float:
        """Return what is free of a currency."""
        return float(self.client.fetch_balance()[currency]["free"])

    async def trade(self) -> None:
        """Buy and sell."""
        for side in ("buy", "sell"):
            await self.pro.create_order(SYMBOL, "market", side, AMOUNT)

    async def close(self) -> None:
        """Close every connection."""
        await self.pro.close()


@suite.operation("spot: exchange information")
def exchange_information(desk: Desk) -> None:
    market = desk.client.market(SYMBOL)
    assert (market["id"], market["spot"], market["active"]) == ("BTCUSDT", True, True)
    assert market["limits"]["cost"]["min"] > 0
    assert {"LIMIT_MAKER", "MARKET"} <= set(market["info"]["orderTypes"])


@suite.operation("spot: market data")
def market_data(desk: Desk) -> None:
    client = desk.client
    rows = client.fetch_ohlcv(SYMBOL, "1m", None, 30)
    assert [later[0] - earlier[0] for earlier, later in pairwise(rows)] == [60_000] * 29
    book = client.fetch_order_book(SYMBOL, 20)
    assert book["bids"][0][0] < book["asks"][0][0]
    ticker = client.fetch_ticker(SYMBOL)
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    assert client.fetch_bids_asks([SYMBOL])[SYMBOL]["bid"] > 0
    assert client.fetch_last_prices([SYMBOL])[SYMBOL]["price"] > 0
    for method in ("publicGetAggTrades", "publicGetTrades", "publicGetHistoricalTrades"):
        trades = client.fetch_trades(SYMBOL, None, 5, {"fetchTradesMethod": method})
        assert len(trades) == 5


@suite.operation("spot: LIMIT GTC, IOC, FOK")
def limit_orders(desk: Desk) -> None:
    order = desk.limit()
    assert (order["status"], order["timeInForce"]) == ("open", "GTC")
    assert desk.client.cancel_order(order["id"], SYMBOL)["status"] == "canceled"
    assert desk.limit(timeInForce="IOC")["status"] == "expired"
    assert desk.limit(timeInForce="FOK")["status"] == "expired"
    for time_in_force in ("IOC", "FOK"):
        filled = desk.limit(distance=0.005, timeInForce=time_in_force)
        assert (filled["status"], filled["filled"]) == ("closed", AMOUNT)
        assert sum(trade["amount"] for trade in filled["trades"]) > 0


@suite.operation("spot: LIMIT_MAKER")
def limit_maker(desk: Desk) -> None:
    order = desk.limit(postOnly=True)
    assert (order["status"], order["info"]["type"]) == ("open", "LIMIT_MAKER")
    desk.client.cancel_order(order["id"], SYMBOL)


@suite.operation("spot: MARKET")
def market_orders(desk: Desk) -> None:
    bought = desk.client.create_order(SYMBOL, "market", "buy", AMOUNT)
    assert (bought["status"], bought["filled"]) == ("closed", AMOUNT)
    assert {trade["fee"]["currency"] for trade in bought["trades"]} == {"BTC"}
    by_cost = desk.client.create_market_buy_order_with_cost(SYMBOL, 100)
    assert by_cost["status"] == "closed"
    assert 90 < by_cost["cost"] <= 100
    sold = desk.client.create_order(SYMBOL, "market", "sell", AMOUNT)
    assert {trade["fee"]["currency"] for trade in sold["trades"]} == {"USDT"}


@suite.operation("spot: cancel and replace")
def cancel_and_replace(desk: Desk) -> None:
    order = desk.limit()
    replaced = desk.client.edit_order(order["id"], SYMBOL, "limit", "buy", 2 * AMOUNT, desk.price(-0.03))
    assert replaced["id"] != order["id"]
    assert desk.client.fetch_order(order["id"], SYMBOL)["status"] == "canceled"
    assert desk.client.fetch_order(replaced["id"], SYMBOL)["amount"] == 2 * AMOUNT
    desk.client.cancel_order(replaced["id"], SYMBOL)


@suite.operation("spot: lists of orders")
def lists_of_orders(desk: Desk) -> None:
    order = desk.limit(clientOrderId="conformance-spot")
    assert [row["id"] for row in desk.client.fetch_open_orders(SYMBOL)] == [order["id"]]
    assert [row["id"] for row in desk.client.fetch_open_orders()] == [order["id"]]
    found = desk.client.fetch_order(None, SYMBOL, {"clientOrderId": "conformance-spot"})
    assert found["id"] == order["id"]
    desk.client.cancel_all_orders(SYMBOL)
    assert desk.client.fetch_open_orders(SYMBOL) == []
    assert order["id"] in [row["id"] for row in desk.client.fetch_canceled_orders(SYMBOL)]


@suite.operation("spot: balances")
def balances(desk: Desk) -> None:
    before = desk.free("USDT")
    order = desk.limit()
    assert desk.free("USDT") < before
    desk.client.cancel_order(order["id"], SYMBOL)
    assert desk.free("USDT") == before


@suite.operation("spot: my trades")
def my_trades(desk: Desk) -> None:
    order = desk.client.create_order(SYMBOL, "market", "buy", AMOUNT)
    trades = desk.client.fetch_order_trades(order["id"], SYMBOL)
    assert round(sum(trade["amount"] for trade in trades), 8) == AMOUNT
    assert trades[-1]["id"] == desk.client.fetch_my_trades(SYMBOL)[-1]["id"]


@suite.operation("spot: commission")
def commission(desk: Desk) -> None:
    fee = desk.client.fetch_trading_fee(SYMBOL)
    assert (fee["maker"], fee["taker"]) == (0.001, 0.001)


@suite.operation("spot: market streams")
async def market_streams(desk: Desk) -> None:
    pro = desk.pro
    assert (await pro.watch_ticker(SYMBOL))["last"] > 0
    assert (await pro.watch_ohlcv(SYMBOL, "1m"))[-1][0] % 60_000 == 0
    assert (await pro.watch_trades(SYMBOL))[-1]["price"] > 0
    for _ in range(3):
        book = await pro.watch_order_book(SYMBOL)
        assert book["bids"][0][0] < book["asks"][0][0]
    assert (await pro.watch_bids_asks([SYMBOL]))[SYMBOL]["bid"] > 0


@suite.operation("spot: user stream")
async def user_stream(desk: Desk) -> None:
    async def closed() -> None:
        while "closed" not in {order["status"] for order in await desk.pro.watch_orders(SYMBOL)}:
            pass

    watching = asyncio.ensure_future(closed())
    # An event that overtakes the client's own making of its cache ends its receive loop, here as on Binance.
    while "spot" not in desk.pro.balance:  # noqa: ASYNC110 - the client has no event for it
        await asyncio.sleep(0.05)
    await seen(watching, desk.trade)
    trades = await seen(desk.pro.watch_my_trades(SYMBOL), desk.trade)
    assert trades[-1]["amount"] > 0
    balance = await seen(desk.pro.watch_balance(), desk.trade)
    assert balance["USDT"]["free"] > 0


@suite.operation("spot: WebSocket API")
async def websocket_api(desk: Desk) -> None:
    pro, price = desk.pro, await asyncio.to_thread(desk.price, -0.02)
    order = await pro.create_order_ws(SYMBOL, "limit", "buy", AMOUNT, price)
    assert order["status"] == "open"
    assert (await pro.fetch_order_ws(order["id"], SYMBOL))["id"] == order["id"]
    assert [row["id"] for row in await pro.fetch_open_orders_ws(SYMBOL)] == [order["id"]]
    replaced = await pro.edit_order_ws(order["id"], SYMBOL, "limit", "buy", 2 * AMOUNT, price)
    assert (await pro.cancel_order_ws(replaced["id"], SYMBOL))["status"] == "canceled"
    # The client forgets which market it asked about, and reads no balance out of the answer: so the answer itself.
    assert "USDT" in [row["asset"] for row in (await pro.fetch_balance_ws())["info"]["balances"]]
    assert await pro.fetch_orders_ws(SYMBOL)
    assert await pro.fetch_my_trades_ws(SYMBOL)
    assert await pro.fetch_ohlcv_ws(SYMBOL)
    await refused_later(ccxt.OrderNotFound, pro.cancel_order_ws("999999", SYMBOL), code=-2011)


def _refused_in_words(kind: type[BaseException], call: Callable[[], Any]) -> None:
    """Assert the class alone: ccxt shows nothing but the message where it knows that by heart."""
    try:
        call()
    except ccxt.BaseError as error:
        if type(error) is not kind:
            raise
    else:
        raise AssertionError(f"{kind.__name__} was expected")


@suite.operation("spot: refusals")
def refusals(desk: Desk) -> None:
    client, price = desk.client, desk.price(-0.02)
    refused(ccxt.OrderNotFound, lambda: client.cancel_order("999999", SYMBOL), code=-2011)
    refused(ccxt.OrderNotFound, lambda: client.fetch_order("999999", SYMBOL), code=-2013)
    refused(ccxt.BadSymbol, lambda: client.publicGetDepth({"symbol": "NOSUCHUSDT"}), code=-1121)
    _refused_in_words(ccxt.InsufficientFunds, lambda: client.create_order(SYMBOL, "limit", "buy", 100, price))
    _refused_in_words(ccxt.OrderImmediatelyFillable, lambda: desk.limit(distance=0.005, postOnly=True))
    stranger = desk.connect(ccxt.binance, secret="wrong")
    stranger.set_markets(client.markets)
    refused(ccxt.AuthenticationError, stranger.fetch_balance, code=-1022)


if __name__ == "__main__":
    suite.run(Desk)

"""python-binance: REST through `AsyncClient`, streams through `BinanceSocketManager`, and its WebSocket API."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import raw_account
import raw_conditional
import raw_market
import raw_orders
from binance import AsyncClient, BinanceSocketManager
from binance.exceptions import BinanceAPIException
from harness import PATIENCE_S, NotOffered, Plain, Suite, Target, refused_later, seen
from raw_conditional import conditional
from raw_desk import LOT, SYMBOL, RawDesk

suite = Suite()

METHODS = {
    "GET exchangeInfo": "futures_exchange_info",
    "GET time": "futures_time",
    "GET klines": "futures_klines",
    "GET depth": "futures_order_book",
    "GET ticker/24hr": "futures_ticker",
    "GET ticker/price": "futures_symbol_ticker",
    "GET ticker/bookTicker": "futures_orderbook_ticker",
    "GET trades": "futures_recent_trades",
    "GET aggTrades": "futures_aggregate_trades",
    "GET premiumIndex": "futures_mark_price",
    "GET fundingRate": "futures_funding_rate",
    "POST order": "futures_create_order",
    "POST order/test": "futures_create_test_order",
    "PUT order": "futures_modify_order",
    "GET order": "futures_get_order",
    "DELETE order": "futures_cancel_order",
    "GET openOrder": "futures_v1_get_open_order",
    "GET openOrders": "futures_get_open_orders",
    "GET allOrders": "futures_get_all_orders",
    "DELETE allOpenOrders": "futures_cancel_all_open_orders",
    "POST batchOrders": "futures_place_batch_order",
    "DELETE batchOrders": "futures_cancel_orders",
    "POST countdownCancelAll": "futures_countdown_cancel_all",
    "GET balance": "futures_account_balance",
    "GET account": "futures_account",
    "GET positionRisk": "futures_position_information",
    "GET userTrades": "futures_account_trades",
    "GET income": "futures_income_history",
    "GET commissionRate": "futures_commission_rate",
    "GET leverageBracket": "futures_leverage_bracket",
    "POST leverage": "futures_change_leverage",
    "POST marginType": "futures_change_margin_type",
    "GET symbolConfig": "futures_symbol_config",
    "GET positionSide/dual": "futures_get_position_mode",
    "POST positionSide/dual": "futures_change_position_mode",
    "GET multiAssetsMargin": "futures_get_multi_assets_mode",
    "GET rateLimit/order": "futures_v1_get_rate_limit_order",
    "POST algoOrder": "futures_create_algo_order",
    "GET algoOrder": "futures_get_algo_order",
    "DELETE algoOrder": "futures_cancel_algo_order",
    "GET openAlgoOrders": "futures_get_open_algo_orders",
    "GET allAlgoOrders": "futures_get_all_algo_orders",
    "DELETE algoOpenOrders": "futures_cancel_all_algo_open_orders",
    "GET orderAmendment": "futures_v1_get_order_amendment",
    "POST positionMargin": "futures_change_position_margin",
    "GET positionMargin/history": "futures_position_margin_history",
    "POST multiAssetsMargin": "futures_change_multi_assets_mode",
    "GET feeBurn": "futures_v1_get_fee_burn",
    "GET forceOrders": "futures_liquidation_orders",
    "GET adlQuantile": "futures_adl_quantile_estimate",
    "GET markPriceKlines": "futures_mark_price_klines",
    "GET indexPriceKlines": "futures_index_price_klines",
    "GET openInterest": "futures_open_interest",
    "GET historicalTrades": "futures_historical_trades",
}


def redirect(target: Target) -> None:
    """Point the client's addresses at the exchange."""
    AsyncClient.API_URL = f"{target.rest_url}/api"
    AsyncClient.FUTURES_URL = f"{target.rest_url}/fapi"
    AsyncClient.WS_FUTURES_URL = target.ws_api_url
    BinanceSocketManager.FSTREAM_URL = f"{target.ws_url}/"


class Desk(RawDesk):
    """An asynchronous client, called like a plain one from the operations that others share."""

    def __init__(self, target: Target, loop: asyncio.AbstractEventLoop, **keys: Any) -> None:
        self.target, self._loop = target, loop
        pair = {"api_key": keys.pop("key", target.key), "api_secret": keys.pop("secret", target.secret), **keys}
        self._others: list[Desk] = []
        made = asyncio.run_coroutine_threadsafe(AsyncClient.create(**pair), loop)
        self.client = Plain(made.result(PATIENCE_S), loop)

    @classmethod
    async def open(cls, target: Target) -> "Desk":
        """Make the desk in another thread, since it waits for the loop."""
        redirect(target)
        return await asyncio.to_thread(cls, target, asyncio.get_running_loop())

    async def close(self) -> None:
        """Close every connection."""
        for desk in [self, *self._others]:
            await desk.client.unwrapped.close_connection()

    def stranger(self, **keys: Any) -> "Desk":
        """Return a desk with another key or secret."""
        self._others.append(Desk(self.target, self._loop, **keys))
        return self._others[-1]

    def ask(self, route: str, **parameters: Any) -> Any:
        """Call the method of a route."""
        if route == "POST order" and parameters["type"] == "STOP_MARKET":
            raise NotOffered("the client sends conditional types to the algo endpoint by itself")
        self.needs(route)
        if route == "POST multiAssetsMargin":
            parameters["multiAssetsMargin"] = parameters["multiAssetsMargin"] == "true"
        if route == "DELETE batchOrders":
            parameters["orderidlist"] = parameters.pop("orderIdList")
        return getattr(self.client, METHODS[route])(**parameters)

    def needs(self, route: str) -> None:
        """Raise NotOffered when the client has no method for a route."""
        if route not in METHODS:
            raise NotOffered(f"no method for {route} (the one for PUT batchOrders signs the list before encoding it)")

    def code_of(self, error: Any) -> int:
        """Return the code of a BinanceAPIException."""
        assert type(error) is BinanceAPIException, repr(error)
        assert error.status_code in (400, 401, 429)
        return int(error.code)

    @property
    def sockets(self) -> Any:
        """Return a manager of the client's sockets."""
        return BinanceSocketManager(self.client.unwrapped)

    async def first(self, socket: Any, event: str) -> Any:
        """Return the first event of a socket, which must be of this kind."""
        async with socket as stream:
            message = await asyncio.wait_for(stream.recv(), PATIENCE_S)
        data = message.get("data", message)
        assert data["e"] == event, message
        return data

    async def user_event(self, event: str, act: Callable[[], object]) -> Any:
        """Return the first event of a kind on the user stream; `act` brings it about."""

        async def come(stream: Any) -> Any:
            while (message := await stream.recv())["e"] != event:
                pass
            return message

        def again() -> Awaitable[object]:
            return asyncio.to_thread(act)

        async with self.sockets.futures_user_socket() as stream:
            return await seen(come(stream), again)


suite.include(raw_market.suite, raw_orders.suite, raw_conditional.suite)


@suite.operation("Ed25519: signed one by one")
def ed25519(desk: Desk) -> None:
    pem = Path("ed25519.pem")
    pem.write_text(desk.target.ed25519_private_pem)
    other = desk.stranger(key=desk.target.ed25519_key, private_key=pem)
    assert other.ask("GET balance")
    other.cancel(other.limit())


@suite.operation("stream: klines")
async def stream_klines(desk: Desk) -> None:
    row = (await desk.first(desk.sockets.kline_futures_socket(SYMBOL), "continuous_kline"))["k"]
    assert (row["i"], row["T"] - row["t"]) == ("1m", 59_999)


@suite.operation("stream: aggregate trades")
async def stream_aggregate_trades(desk: Desk) -> None:
    assert (await desk.first(desk.sockets.aggtrade_futures_socket(SYMBOL), "aggTrade"))["s"] == SYMBOL


@suite.operation("stream: trades")
async def stream_trades(desk: Desk) -> None:
    socket = desk.sockets.futures_multiplex_socket(["btcusdt@trade"], category="public")
    assert (await desk.first(socket, "trade"))["s"] == SYMBOL


@suite.operation("stream: 24h ticker")
async def stream_ticker(desk: Desk) -> None:
    row = await desk.first(desk.sockets.individual_symbol_ticker_futures_socket(SYMBOL), "24hrTicker")
    assert Decimal(row["l"]) <= Decimal(row["c"]) <= Decimal(row["h"])


@suite.operation("stream: mini ticker")
async def stream_mini_ticker(desk: Desk) -> None:
    socket = desk.sockets.futures_multiplex_socket(["btcusdt@miniTicker"])
    assert (await desk.first(socket, "24hrMiniTicker"))["s"] == SYMBOL


@suite.operation("stream: book ticker")
async def stream_book_ticker(desk: Desk) -> None:
    row = await desk.first(desk.sockets.symbol_ticker_futures_socket(SYMBOL), "bookTicker")
    assert Decimal(row["b"]) < Decimal(row["a"])


@suite.operation("stream: mark price")
async def stream_mark_price(desk: Desk) -> None:
    assert Decimal((await desk.first(desk.sockets.symbol_mark_price_socket(SYMBOL), "markPriceUpdate"))["p"]) > 0


@suite.operation("stream: order book")
async def stream_order_book(desk: Desk) -> None:
    row = await desk.first(desk.sockets.futures_depth_socket(SYMBOL, depth="5"), "depthUpdate")
    assert len(row["b"]) == len(row["a"]) == 5
    async with desk.sockets.futures_multiplex_socket(["btcusdt@depth@100ms"], category="public") as stream:
        first, second = [(await stream.recv())["data"] for _ in range(2)]
    assert second["pu"] == first["u"]


def _trade(desk: Desk) -> None:
    """Buy and sell one lot: a trade that cannot come in parts."""
    desk.market("BUY", LOT)
    desk.market("SELL", LOT)


@suite.operation("user stream: orders")
async def user_orders(desk: Desk) -> None:
    order = (await desk.user_event("ORDER_TRADE_UPDATE", lambda: desk.cancel(desk.limit())))["o"]
    assert (order["s"], order["x"]) == (SYMBOL, "NEW")


@suite.operation("user stream: trades")
async def user_trades(desk: Desk) -> None:
    trade = await desk.user_event("TRADE_LITE", lambda: _trade(desk))
    assert (trade["s"], Decimal(trade["l"])) == (SYMBOL, Decimal(LOT))


@suite.operation("user stream: balances")
async def user_balances(desk: Desk) -> None:
    update = (await desk.user_event("ACCOUNT_UPDATE", lambda: _trade(desk)))["a"]
    assert [row["a"] for row in update["B"]] == ["USDT"]


@suite.operation("user stream: positions")
async def user_positions(desk: Desk) -> None:
    update = (await desk.user_event("ACCOUNT_UPDATE", lambda: _trade(desk)))["a"]
    assert [row["s"] for row in update["P"]] == [SYMBOL]


def _place_and_cancel_conditional(desk: Desk) -> None:
    order = desk.ask("POST algoOrder", **conditional(desk))
    desk.ask("DELETE algoOrder", algoId=order["algoId"])


@suite.operation("user stream: conditional orders")
async def user_conditional(desk: Desk) -> None:
    order = (await desk.user_event("ALGO_UPDATE", lambda: _place_and_cancel_conditional(desk)))["o"]
    assert (order["s"], order["X"]) == (SYMBOL, "NEW")


@suite.operation("WebSocket API: conditional orders")
async def ws_conditional(desk: Desk) -> None:
    client, order = desk.client.unwrapped, await asyncio.to_thread(lambda: conditional(desk))
    placed = await client.ws_futures_create_algo_order(**order)
    assert placed["algoStatus"] == "NEW"
    await client.ws_futures_cancel_algo_order(algoId=placed["algoId"])
    assert await client.futures_get_open_algo_orders(symbol=SYMBOL) == []


async def _place_query_cancel(client: Any, leg: dict[str, Any]) -> None:
    placed = await client.ws_futures_create_order(**leg)
    assert placed["status"] == "NEW"
    found = await client.ws_futures_get_order(symbol=SYMBOL, orderId=placed["orderId"])
    assert found["clientOrderId"] == placed["clientOrderId"]
    cancelled = await client.ws_futures_cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
    assert cancelled["status"] == "CANCELED"


@suite.operation("WebSocket API: place, query, cancel")
async def place_query_cancel(desk: Desk) -> None:
    leg = await asyncio.to_thread(lambda: desk.leg(timeInForce="GTX"))
    await _place_query_cancel(desk.client.unwrapped, leg)


@suite.operation("WebSocket API: amend")
async def amend(desk: Desk) -> None:
    client, order = desk.client.unwrapped, await asyncio.to_thread(desk.limit)
    change = {"symbol": SYMBOL, "side": "BUY", "orderId": order["orderId"], "quantity": "0.020"}
    amended = await client.ws_futures_edit_order(**change, price=order["price"])
    assert Decimal(amended["origQty"]) == Decimal("0.02")
    await client.ws_futures_cancel_order(symbol=SYMBOL, orderId=order["orderId"])


@suite.operation("WebSocket API: account")
async def account(desk: Desk) -> None:
    client = desk.client.unwrapped
    for call in (client.ws_futures_account_status, client.ws_futures_v2_account_status):
        assert Decimal((await call())["totalWalletBalance"]) > 0
    for call in (client.ws_futures_account_balance, client.ws_futures_v2_account_balance):
        assert "USDT" in [row["asset"] for row in await call()]
    for call in (client.ws_futures_account_position, client.ws_futures_v2_account_position):
        assert isinstance(await call(), list)


@suite.operation("WebSocket API: market data")
async def market_data(desk: Desk) -> None:
    client = desk.client.unwrapped
    assert len((await client.ws_futures_get_order_book(symbol=SYMBOL, limit=20))["bids"]) == 20
    assert (await client.ws_futures_get_order_book_ticker(symbol=SYMBOL))["symbol"] == SYMBOL
    assert await client.ws_futures_get_all_tickers()


@suite.operation("WebSocket API: Ed25519, signed one by one")
async def ed25519_signed(desk: Desk) -> None:
    pem = Path("ed25519.pem")
    keys = {"key": desk.target.ed25519_key, "private_key": pem}
    other = await asyncio.to_thread(lambda: desk.stranger(**keys))
    await _place_query_cancel(other.client.unwrapped, await asyncio.to_thread(other.leg))


@suite.operation("error: over the WebSocket API")
async def errors(desk: Desk) -> None:
    cancel = desk.client.unwrapped.ws_futures_cancel_order(symbol=SYMBOL, orderId=123_456_789)
    await refused_later(BinanceAPIException, cancel, code=-2011)


suite.include(raw_account.suite)
suite.not_offered(
    "the client signs every request instead",
    "WebSocket API: Ed25519 session.logon",
)

if __name__ == "__main__":
    suite.run(Desk.open)

"""binance-futures-connector: REST through `UMFutures`, streams through its threaded WebSocket client."""

import json
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import raw_account
import raw_conditional
import raw_market
import raw_orders
from binance.error import ClientError
from binance.um_futures import UMFutures
from binance.websocket.um_futures.websocket_client import UMFuturesWebsocketClient
from harness import PATIENCE_S, NotOffered, Suite, Target
from raw_desk import LOT, SYMBOL, RawDesk

suite = Suite()

METHODS = {
    "GET exchangeInfo": "exchange_info",
    "GET time": "time",
    "GET klines": "klines",
    "GET depth": "depth",
    "GET ticker/24hr": "ticker_24hr_price_change",
    "GET ticker/price": "ticker_price",
    "GET ticker/bookTicker": "book_ticker",
    "GET trades": "trades",
    "GET aggTrades": "agg_trades",
    "GET premiumIndex": "mark_price",
    "GET fundingRate": "funding_rate",
    "POST order": "new_order",
    "POST order/test": "new_order_test",
    "PUT order": "modify_order",
    "GET order": "query_order",
    "DELETE order": "cancel_order",
    "GET openOrder": "get_open_orders",
    "GET openOrders": "get_orders",
    "GET allOrders": "get_all_orders",
    "DELETE allOpenOrders": "cancel_open_orders",
    "POST batchOrders": "new_batch_order",
    "DELETE batchOrders": "cancel_batch_order",
    "POST countdownCancelAll": "countdown_cancel_order",
    "GET balance": "balance",
    "GET account": "account",
    "GET positionRisk": "get_position_risk",
    "GET userTrades": "get_account_trades",
    "GET income": "get_income_history",
    "GET commissionRate": "commission_rate",
    "GET leverageBracket": "leverage_brackets",
    "POST leverage": "change_leverage",
    "POST marginType": "change_margin_type",
    "GET symbolConfig": "symbol_configuration",
    "GET positionSide/dual": "get_position_mode",
    "POST positionSide/dual": "change_position_mode",
    "GET multiAssetsMargin": "get_multi_asset_mode",
    "GET rateLimit/order": "query_user_rate_limit",
    "POST positionMargin": "modify_isolated_position_margin",
    "GET positionMargin/history": "get_position_margin_history",
    "POST multiAssetsMargin": "change_multi_asset_mode",
    "GET feeBurn": "get_bnb_burn",
    "GET forceOrders": "force_orders",
    "GET adlQuantile": "adl_quantile",
    "GET markPriceKlines": "mark_price_klines",
    "GET indexPriceKlines": "index_price_klines",
    "GET openInterest": "open_interest",
    "GET historicalTrades": "historical_trades",
}


class Desk(RawDesk):
    """The REST client, and a way to open its streams."""

    def __init__(self, target: Target, **keys: str) -> None:
        self.target = target
        pair = {"key": target.key, "secret": target.secret, **keys}
        self.client = UMFutures(base_url=target.rest_url, **pair)

    def stranger(self, **keys: str) -> "Desk":
        """Return a desk with another key or secret."""
        return Desk(self.target, **keys)

    def ask(self, route: str, **parameters: Any) -> Any:
        """Call the method of a route."""
        self.needs(route)
        if route == "DELETE batchOrders":
            parameters.setdefault("origClientOrderIdList", None)
        return getattr(self.client, METHODS[route])(**parameters)

    def needs(self, route: str) -> None:
        """Raise NotOffered when the client has no method for a route."""
        if route not in METHODS:
            raise NotOffered(f"no method for {route}")

    def code_of(self, error: Any) -> int:
        """Return the code of a ClientError."""
        assert type(error) is ClientError, repr(error)
        assert error.status_code in (400, 401, 429)
        return int(error.error_code)

    @contextmanager
    def stream(self, subscribe: Callable[[Any], None]) -> Iterator["queue.Queue[Any]"]:
        """Open a WebSocket, subscribe and give its messages."""
        messages: queue.Queue[Any] = queue.Queue()
        client = UMFuturesWebsocketClient(
            stream_url=self.target.ws_url, on_message=lambda _, text: messages.put(json.loads(text))
        )
        try:
            subscribe(client)
            assert messages.get(timeout=PATIENCE_S)["result"] is None
            yield messages
        finally:
            client.stop()

    def first(self, subscribe: Callable[[Any], None], event: str) -> Any:
        """Return the first event of a subscription, which must be of this kind."""
        with self.stream(subscribe) as messages:
            message = messages.get(timeout=PATIENCE_S)
        assert message["e"] == event
        return message

    def user_event(self, event: str, act: Callable[[], object]) -> Any:
        """Return the first event of a kind on the user stream after `act`."""
        key = self.client.new_listen_key()["listenKey"]
        self.client.renew_listen_key(key)
        with self.stream(lambda client: client.user_data(key)) as messages:
            act()
            while (message := messages.get(timeout=PATIENCE_S)).get("e") != event:
                pass
        return message


suite.include(raw_market.suite, raw_orders.suite, raw_conditional.suite)


@suite.operation("stream: klines")
def stream_klines(desk: Desk) -> None:
    row = desk.first(lambda client: client.kline(symbol=SYMBOL, interval="1m"), "kline")["k"]
    assert (row["i"], row["T"] - row["t"]) == ("1m", 59_999)


@suite.operation("stream: aggregate trades")
def stream_aggregate_trades(desk: Desk) -> None:
    assert desk.first(lambda client: client.agg_trade(symbol=SYMBOL), "aggTrade")["s"] == SYMBOL


@suite.operation("stream: 24h ticker")
def stream_ticker(desk: Desk) -> None:
    row = desk.first(lambda client: client.ticker(symbol=SYMBOL), "24hrTicker")
    assert Decimal(row["l"]) <= Decimal(row["c"]) <= Decimal(row["h"])


@suite.operation("stream: mini ticker")
def stream_mini_ticker(desk: Desk) -> None:
    assert desk.first(lambda client: client.mini_ticker(symbol=SYMBOL), "24hrMiniTicker")["s"] == SYMBOL


@suite.operation("stream: book ticker")
def stream_book_ticker(desk: Desk) -> None:
    row = desk.first(lambda client: client.book_ticker(symbol=SYMBOL), "bookTicker")
    assert Decimal(row["b"]) < Decimal(row["a"])


@suite.operation("stream: mark price")
def stream_mark_price(desk: Desk) -> None:
    assert Decimal(desk.first(lambda client: client.mark_price(symbol=SYMBOL, speed=1), "markPriceUpdate")["p"]) > 0


@suite.operation("stream: order book")
def stream_order_book(desk: Desk) -> None:
    with desk.stream(lambda client: client.diff_book_depth(symbol=SYMBOL, speed=100)) as messages:
        first, second = (messages.get(timeout=PATIENCE_S) for _ in range(2))
    assert second["pu"] == first["u"]
    row = desk.first(lambda client: client.partial_book_depth(symbol=SYMBOL, level=5, speed=100), "depthUpdate")
    assert len(row["b"]) == len(row["a"]) == 5


def _place_and_cancel(desk: Desk) -> None:
    desk.cancel(desk.limit())


def _trade(desk: Desk) -> None:
    """Buy and sell one lot: a trade that cannot come in parts."""
    desk.market("BUY", LOT)
    desk.market("SELL", LOT)


@suite.operation("user stream: orders")
def user_orders(desk: Desk) -> None:
    order = desk.user_event("ORDER_TRADE_UPDATE", lambda: _place_and_cancel(desk))["o"]
    assert (order["s"], order["x"], order["X"]) == (SYMBOL, "NEW", "NEW")


@suite.operation("user stream: trades")
def user_trades(desk: Desk) -> None:
    trade = desk.user_event("TRADE_LITE", lambda: _trade(desk))
    assert (trade["s"], Decimal(trade["l"])) == (SYMBOL, Decimal(LOT))


@suite.operation("user stream: balances")
def user_balances(desk: Desk) -> None:
    update = desk.user_event("ACCOUNT_UPDATE", lambda: _trade(desk))["a"]
    assert [row["a"] for row in update["B"]] == ["USDT"]


@suite.operation("user stream: positions")
def user_positions(desk: Desk) -> None:
    update = desk.user_event("ACCOUNT_UPDATE", lambda: _trade(desk))["a"]
    assert [(row["s"], Decimal(row["pa"])) for row in update["P"]] == [(SYMBOL, Decimal(LOT))]


suite.include(raw_account.suite)
suite.not_offered(
    "the client knows neither this stream nor conditional orders nor a WebSocket API; it signs with HMAC and RSA alone",
    "stream: trades",
    "Ed25519: signed one by one",
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

if __name__ == "__main__":
    suite.run(Desk)

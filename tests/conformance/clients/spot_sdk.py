"""The official modular SDK of spot: REST, streams and WebSocket API, every body checked against its models.

The SDK logs a warning and goes on when a body does not fit its model. Here a warning is a failure of the operation.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError
from binance_sdk_spot import Spot
from harness import PATIENCE_S, Suite, Target, refused

suite = Suite()
SYMBOL = "BTCUSDT"


class Desk(logging.Handler):
    """The SDK's three parts with an HMAC key; as a handler it keeps what the SDK complains about."""

    def __init__(self, target: Target) -> None:
        super().__init__(logging.WARNING)
        self.complaints: list[str] = []
        logging.getLogger().addHandler(self)
        self.target = target
        pair = {"api_key": target.key, "api_secret": target.secret}
        self.sdk = Spot(
            # Its own time-out is one second: too short for a machine that does other things as well.
            config_rest_api=ConfigurationRestAPI(base_path=target.rest_url, timeout=20_000, retries=0, **pair),
            config_ws_api=ConfigurationWebSocketAPI(stream_url=target.spot_ws_api_url, **pair),
            config_ws_streams=ConfigurationWebSocketStreams(stream_url=target.spot_ws_url),
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one complaint."""
        self.complaints.append(record.getMessage())

    def ask(self, method: str, **parameters: Any) -> Any:
        """Call a method of the REST client and return its model; a complaint is a failure."""
        data = getattr(self.sdk.rest_api, method)(**parameters).data()
        self.check()
        return data

    def check(self) -> None:
        """Raise AssertionError if the SDK complained since the last time."""
        complaints, self.complaints = self.complaints, []
        assert complaints == [], "\n".join(complaints)

    def price(self, distance: str = "-0.02") -> str:
        """Return a price a fraction above or below the book's best bid."""
        best = Decimal(self.ask("depth", symbol=SYMBOL, limit=5).bids[0][0])
        return str((best * (1 + Decimal(distance))).quantize(Decimal("0.01")))

    def limit(self, **parameters: Any) -> Any:
        """Place a LIMIT order; where nothing else is said it rests."""
        standard = {"type": "LIMIT", "time_in_force": "GTC", "quantity": "0.01"}
        price = parameters.pop("price", None) or self.price()
        return self.ask("new_order", symbol=SYMBOL, side="BUY", price=price, **{**standard, **parameters})

    def cancel(self, order: Any) -> Any:
        """Cancel an order."""
        return self.ask("delete_order", symbol=SYMBOL, order_id=order.order_id)


@asynccontextmanager
async def _connected(part: Any) -> AsyncIterator[Any]:
    await part.create_connection()
    try:
        yield part
    finally:
        await part.close_connection(close_session=True)


@suite.operation("spot: exchange information")
def exchange_information(desk: Desk) -> None:
    (row,) = desk.ask("exchange_info", symbol=SYMBOL).symbols
    assert (row.symbol, row.status) == (SYMBOL, "TRADING")


@suite.operation("spot: market data")
def market_data(desk: Desk) -> None:
    assert len(desk.ask("klines", symbol=SYMBOL, interval="1m", limit=3)) == 3
    assert len(desk.ask("ui_klines", symbol=SYMBOL, interval="1m", limit=3)) == 3
    for method in ("get_trades", "historical_trades", "agg_trades"):
        assert desk.ask(method, symbol=SYMBOL)
    for method in ("avg_price", "ticker24hr", "ticker_price", "ticker_book_ticker", "ticker_trading_day", "ticker"):
        assert desk.ask(method, symbol=SYMBOL) is not None
    assert desk.ask("time").server_time > 0


@suite.operation("spot: LIMIT GTC, IOC, FOK")
def limit_orders(desk: Desk) -> None:
    order = desk.limit()
    assert desk.ask("get_order", symbol=SYMBOL, order_id=order.order_id).status == "NEW"
    assert desk.cancel(order).status == "CANCELED"
    for time_in_force in ("IOC", "FOK"):
        assert desk.limit(time_in_force=time_in_force).status == "EXPIRED"
        assert desk.limit(time_in_force=time_in_force, price=desk.price("0.005")).status == "FILLED"


@suite.operation("spot: LIMIT_MAKER")
def limit_maker(desk: Desk) -> None:
    desk.cancel(desk.limit(type="LIMIT_MAKER", time_in_force=None))


@suite.operation("spot: MARKET")
def market_orders(desk: Desk) -> None:
    for kind in ("ACK", "RESULT", "FULL"):
        order = {"symbol": SYMBOL, "side": "BUY", "type": "MARKET", "new_order_resp_type": kind}
        assert desk.ask("new_order", **order, quantity="0.001").order_id > 0
        assert desk.ask("new_order", **order, quote_order_qty="100").order_id > 0
    desk.ask("order_test", symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.001", compute_commission_rates=True)


@suite.operation("spot: cancel and replace")
def cancel_and_replace(desk: Desk) -> None:
    order = desk.limit()
    desk.ask("order_amend_keep_priority", symbol=SYMBOL, order_id=order.order_id, new_qty="0.005")
    assert len(desk.ask("order_amendments", symbol=SYMBOL, order_id=order.order_id)) == 1
    change = {"cancel_replace_mode": "STOP_ON_FAILURE", "cancel_order_id": order.order_id}
    leg = {"side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": "0.01", "price": desk.price()}
    assert desk.ask("order_cancel_replace", symbol=SYMBOL, **leg, **change).new_order_result == "SUCCESS"
    desk.ask("delete_open_orders", symbol=SYMBOL)


@suite.operation("spot: lists of orders")
def lists_of_orders(desk: Desk) -> None:
    order = desk.limit()
    assert [row.order_id for row in desk.ask("get_open_orders", symbol=SYMBOL)] == [order.order_id]
    desk.cancel(order)
    assert order.order_id in [row.order_id for row in desk.ask("all_orders", symbol=SYMBOL)]


@suite.operation("spot: balances")
def balances(desk: Desk) -> None:
    for parameters in ({}, {"omit_zero_balances": True}):
        rows = desk.ask("get_account", **parameters).balances
        assert {"BTC", "USDT"} <= {row.asset for row in rows}


@suite.operation("spot: my trades")
def my_trades(desk: Desk) -> None:
    order = desk.ask("new_order", symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.001")
    rows = desk.ask("my_trades", symbol=SYMBOL, order_id=order.order_id)
    assert sum(Decimal(row.qty) for row in rows) == Decimal("0.001")


@suite.operation("spot: commission")
def commission(desk: Desk) -> None:
    assert Decimal(desk.ask("account_commission", symbol=SYMBOL).standard_commission.maker) == Decimal("0.001")
    assert desk.ask("rate_limit_order")


@suite.operation("spot: market streams")
async def market_streams(desk: Desk) -> None:
    names: dict[str, dict[str, Any]] = {name: {} for name in ("agg_trade", "trade", "ticker", "mini_ticker")}
    names |= {"kline": {"interval": "1m"}, "partial_book_depth": {"levels": "5"}}
    names |= {name: {} for name in ("book_ticker", "diff_book_depth", "avg_price")}
    async with _connected(desk.sdk.websocket_streams) as streams:
        for name, parameters in names.items():
            events: asyncio.Queue[Any] = asyncio.Queue()
            handle = await getattr(streams, name)(symbol="btcusdt", **parameters)
            handle.on("message", events.put_nowait)
            assert await asyncio.wait_for(events.get(), PATIENCE_S) is not None
            desk.check()


@suite.operation("spot: user stream")
async def user_stream(desk: Desk) -> None:
    events: asyncio.Queue[Any] = asyncio.Queue()
    async with _connected(desk.sdk.websocket_api) as api:
        handle = await api.user_data_stream_subscribe_signature()
        handle.stream.on("message", events.put_nowait)
        await api.order_place(symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.0001")
        found = [await asyncio.wait_for(events.get(), PATIENCE_S) for _ in range(3)]
    kinds = [type(event.actual_instance).__name__ for event in found]
    assert kinds == ["ExecutionReport", "ExecutionReport", "OutboundAccountPosition"]
    desk.check()


def _answered(answer: Any) -> None:
    """Assert that an answer fits one of its models and is no refusal."""
    data = answer.data()
    assert not isinstance(data, dict), data
    assert getattr(data, "actual_instance", data) is not None


@suite.operation("spot: WebSocket API")
async def websocket_api(desk: Desk) -> None:
    price = await asyncio.to_thread(desk.price)
    leg = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": "0.01", "price": price}
    async with _connected(desk.sdk.websocket_api) as api:
        for name in ("depth", "ticker24hr", "ticker_book", "avg_price", "trades_recent", "all_orders", "my_trades"):
            _answered(await getattr(api, name)(symbol=SYMBOL))
        for name in ("time", "exchange_info", "account_status", "open_orders_status"):
            _answered(await getattr(api, name)())
        placed = (await api.order_place(**leg)).data().result
        assert (await api.order_status(symbol=SYMBOL, order_id=placed.order_id)).data().result.status == "NEW"
        await api.open_orders_cancel_all(symbol=SYMBOL)
    desk.check()


@suite.operation("spot: refusals")
def refusals(desk: Desk) -> None:
    refused(BadRequestError, lambda: desk.ask("depth", symbol="NOSUCHUSDT"), code=-1121)
    refused(BadRequestError, lambda: desk.ask("get_order", symbol=SYMBOL, order_id=999_999), code=-2013)
    refused(BadRequestError, lambda: desk.ask("delete_order", symbol=SYMBOL, order_id=999_999), code=-2011)
    refused(BadRequestError, lambda: desk.limit(quantity="100"), code=-2010)
    taking = desk.price("0.005")
    refused(BadRequestError, lambda: desk.limit(type="LIMIT_MAKER", time_in_force=None, price=taking), code=-2010)
    refused(BadRequestError, lambda: desk.limit(quantity="0.00001"), code=-1013)


if __name__ == "__main__":
    suite.run(Desk)

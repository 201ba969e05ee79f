"""The official SDK's streams and its WebSocket API, for `official_sdk`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from binance_common.signature import Signers
from harness import PATIENCE_S, Suite, snake
from raw_conditional import conditional
from raw_desk import LOT, SYMBOL

suite = Suite()


@asynccontextmanager
async def _connected(part: Any) -> AsyncIterator[Any]:
    await part.create_connection()
    try:
        yield part
    finally:
        await part.close_connection(close_session=True)


async def _first(desk: Any, subscribe: Callable[[Any], Awaitable[Any]], act: Callable[[], object] | None = None) -> Any:
    """Return the first event of a stream, a model of the SDK."""
    events: asyncio.Queue[Any] = asyncio.Queue()
    async with _connected(desk.stranger().sdk.websocket_streams) as streams:
        handle = await subscribe(streams)
        handle.on("message", events.put_nowait)
        if act is not None:
            await asyncio.to_thread(act)
        event = await asyncio.wait_for(events.get(), PATIENCE_S)
        await handle.unsubscribe()
    return event


@suite.operation("stream: klines")
async def stream_klines(desk: Any) -> None:
    event = await _first(desk, lambda streams: streams.kline_candlestick_streams(symbol="btcusdt", interval="1m"))
    assert (event.s, event.k.i, event.k.T - event.k.t) == (SYMBOL, "1m", 59_999)


@suite.operation("stream: aggregate trades")
async def stream_aggregate_trades(desk: Any) -> None:
    event = await _first(desk, lambda streams: streams.aggregate_trade_streams(symbol="btcusdt"))
    assert event.s == SYMBOL


@suite.operation("stream: 24h ticker")
async def stream_ticker(desk: Any) -> None:
    event = await _first(desk, lambda streams: streams.individual_symbol_ticker_streams(symbol="btcusdt"))
    assert event.s == SYMBOL


@suite.operation("stream: mini ticker")
async def stream_mini_ticker(desk: Any) -> None:
    event = await _first(desk, lambda streams: streams.individual_symbol_mini_ticker_stream(symbol="btcusdt"))
    assert event.s == SYMBOL


@suite.operation("stream: book ticker")
async def stream_book_ticker(desk: Any) -> None:
    event = await _first(desk, lambda streams: streams.individual_symbol_book_ticker_streams(symbol="btcusdt"))
    assert Decimal(event.b) < Decimal(event.a)


@suite.operation("stream: mark price")
async def stream_mark_price(desk: Any) -> None:
    event = await _first(desk, lambda streams: streams.mark_price_stream(symbol="btcusdt", update_speed="1s"))
    assert Decimal(event.p) > 0


@suite.operation("stream: order book")
async def stream_order_book(desk: Any) -> None:
    event = await _first(desk, lambda streams: streams.diff_book_depth_streams(symbol="btcusdt"))
    assert event.u >= event.U
    event = await _first(desk, lambda streams: streams.partial_book_depth_streams(symbol="btcusdt", levels=5))
    assert len(event.b) == len(event.a) == 5


async def _user_events(desk: Any, act: Callable[[], object], count: int) -> list[Any]:
    """Return the first events of the user stream after `act`, as the SDK's models."""
    events: asyncio.Queue[Any] = asyncio.Queue()
    answer = await asyncio.to_thread(desk.sdk.rest_api.start_user_data_stream)
    await asyncio.to_thread(desk.sdk.rest_api.keepalive_user_data_stream)
    async with _connected(desk.stranger().sdk.websocket_streams) as streams:
        handle = await streams.user_data(answer.data().listen_key)
        handle.on("message", events.put_nowait)
        await asyncio.to_thread(act)
        found = [await asyncio.wait_for(events.get(), PATIENCE_S) for _ in range(count)]
    return [getattr(event, "actual_instance", event) for event in found]


def _trade(desk: Any) -> None:
    """Buy and sell one lot: a trade that cannot come in parts."""
    desk.market("BUY", LOT)
    desk.market("SELL", LOT)


@suite.operation("user stream: orders")
async def user_orders(desk: Any) -> None:
    new, cancelled = await _user_events(desk, lambda: desk.cancel(desk.limit()), 2)
    assert (new.o.s, new.o.x, cancelled.o.x) == (SYMBOL, "NEW", "CANCELED")


@suite.operation("user stream: trades")
async def user_trades(desk: Any) -> None:
    _, lite, _, trade = await _user_events(desk, lambda: _trade(desk), 4)
    assert (lite.s, Decimal(lite.l)) == (SYMBOL, Decimal(LOT))
    assert (trade.o.x, trade.o.t) == ("TRADE", lite.t)


@suite.operation("user stream: balances")
async def user_balances(desk: Any) -> None:
    _, _, update, _ = await _user_events(desk, lambda: _trade(desk), 4)
    assert [row.a for row in update.a.B] == ["USDT"]


@suite.operation("user stream: positions")
async def user_positions(desk: Any) -> None:
    _, _, update, _ = await _user_events(desk, lambda: _trade(desk), 4)
    assert [(row.s, Decimal(row.pa)) for row in update.a.P] == [(SYMBOL, Decimal(LOT))]


def _place_and_cancel_conditional(desk: Any) -> None:
    order = desk.ask("POST algoOrder", **conditional(desk))
    desk.ask("DELETE algoOrder", algoId=order["algoId"])


@suite.operation("user stream: conditional orders")
async def user_conditional(desk: Any) -> None:
    new, cancelled = await _user_events(desk, lambda: _place_and_cancel_conditional(desk), 2)
    assert (new.o.s, new.o.X, cancelled.o.X) == (SYMBOL, "NEW", "CANCELED")


@suite.operation("WebSocket API: conditional orders")
async def ws_conditional(desk: Any) -> None:
    order = await asyncio.to_thread(conditional, desk)
    async with _connected(desk.stranger().sdk.websocket_api) as api:
        placed = _result(await api.new_algo_order(**{snake(name): value for name, value in order.items()}))
        assert placed.algo_status == "NEW"
        _result(await api.cancel_algo_order(algo_id=placed.algo_id))
    assert await asyncio.to_thread(desk.ask, "GET openAlgoOrders", symbol=SYMBOL) == []


def _result(answer: Any) -> Any:
    data = answer.data()
    assert not isinstance(data, dict) or "error" not in data, data
    return getattr(data, "result", data)


async def _place_query_cancel(desk: Any, api: Any) -> None:
    leg = await asyncio.to_thread(desk.leg)
    placed = _result(
        await api.new_order(
            symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="GTX", quantity=leg["quantity"], price=leg["price"]
        )
    )
    assert placed.status == "NEW"
    found = _result(await api.query_order(symbol=SYMBOL, order_id=placed.order_id))
    assert found.order_id == placed.order_id
    cancelled = _result(await api.cancel_order(symbol=SYMBOL, order_id=placed.order_id))
    assert cancelled.status == "CANCELED"


@suite.operation("WebSocket API: place, query, cancel")
async def place_query_cancel(desk: Any) -> None:
    async with _connected(desk.stranger().sdk.websocket_api) as api:
        await _place_query_cancel(desk, api)


@suite.operation("WebSocket API: amend")
async def amend(desk: Any) -> None:
    order = await asyncio.to_thread(desk.limit)
    async with _connected(desk.stranger().sdk.websocket_api) as api:
        changed = _result(
            await api.modify_order(
                symbol=SYMBOL, side="BUY", order_id=order["orderId"], quantity="0.020", price=order["price"]
            )
        )
    assert Decimal(changed.orig_qty) == Decimal("0.02")
    await asyncio.to_thread(desk.cancel, order)


@suite.operation("WebSocket API: account")
async def account(desk: Any) -> None:
    async with _connected(desk.stranger().sdk.websocket_api) as api:
        for call in (api.account_information, api.account_information_v2):
            assert Decimal(_result(await call()).total_wallet_balance) > 0
        for call in (api.futures_account_balance, api.futures_account_balance_v2):
            assert "USDT" in [row.asset for row in _result(await call())]
        for call in (api.position_information, api.position_information_v2):
            assert isinstance(_result(await call()), list)


@suite.operation("WebSocket API: market data")
async def market_data(desk: Any) -> None:
    async with _connected(desk.stranger().sdk.websocket_api) as api:
        book = _result(await api.order_book(symbol=SYMBOL, limit=20))
        # The SDK has no bids and asks in its model of this answer: what it does not know, it keeps aside.
        assert book.last_update_id > 0
        assert _result(await api.symbol_price_ticker(symbol=SYMBOL)) is not None
        assert _result(await api.symbol_order_book_ticker(symbol=SYMBOL)) is not None


@suite.operation("WebSocket API: Ed25519, signed one by one")
async def ed25519_signed(desk: Any) -> None:
    async with _connected(desk.stranger(key=desk.target.ed25519_key).sdk.websocket_api) as api:
        await _place_query_cancel(desk, api)


@suite.operation("WebSocket API: Ed25519 session.logon")
async def session_logon(desk: Any) -> None:
    """Through the SDK's own message, after which it leaves key and signature out of every request."""
    async with _connected(desk.stranger(key=desk.target.ed25519_key).sdk.websocket_api) as api:
        signer = Signers.get_signer(desk.target.ed25519_private_pem, None)
        payload = {"method": "session.logon", "params": {}}
        answer = await api.send_signed_message(payload, signer, api_key=True, session_logon=True)
        assert answer.data()["result"]["apiKey"] == desk.target.ed25519_key
        await _place_query_cancel(desk, api)
        status = await api.send_message({"method": "session.status", "params": {}})
        assert status.data()["result"]["authorizedSince"] > 0
        await api.send_message({"method": "session.logout", "params": {}}, session_logout=True)
        await _place_query_cancel(desk, api)


@suite.operation("error: over the WebSocket API")
async def errors(desk: Any) -> None:
    async with _connected(desk.stranger(secret="wrong").sdk.websocket_api) as api:
        assert (await api.account_information()).data()["error"]["code"] == -1022
    async with _connected(desk.stranger().sdk.websocket_api) as api:
        answer = await api.cancel_order(symbol=SYMBOL, order_id=123_456_789)
        assert answer.data()["error"]["code"] == -2011
    assert len(desk.expect_warnings()) == 4, "each refusal is logged twice"

"""ccxt pro over the WebSocket API: each request signed by itself, with an HMAC and with an Ed25519 key."""

import asyncio
from typing import Any

import ccxt
from ccxt_desk import SYMBOL
from harness import Suite, refused_later

suite = Suite()


async def _resting(desk: Any, client: Any, **params: Any) -> Any:
    price = await asyncio.to_thread(desk.price, "buy")
    return await client.create_order_ws(SYMBOL, "limit", "buy", 0.01, price, params)


@suite.operation("WebSocket API: place, query, cancel")
async def place_query_cancel(desk: Any) -> None:
    order = await _resting(desk, desk.pro, postOnly=True)
    assert order["status"] == "open"
    found = await desk.pro.fetch_order_ws(order["id"], SYMBOL)
    assert (found["id"], found["price"]) == (order["id"], order["price"])
    cancelled = await desk.pro.cancel_order_ws(order["id"], SYMBOL)
    assert cancelled["status"] == "canceled"
    bought = await desk.pro.create_order_ws(SYMBOL, "market", "buy", 0.01)
    assert (bought["status"], bought["filled"]) == ("closed", 0.01)
    await desk.pro.create_order_ws(SYMBOL, "market", "sell", 0.01)


@suite.operation("WebSocket API: amend")
async def amend(desk: Any) -> None:
    order = await _resting(desk, desk.pro)
    amended = await desk.pro.edit_order_ws(order["id"], SYMBOL, "limit", "buy", 0.02, order["price"])
    assert (amended["id"], amended["amount"]) == (order["id"], 0.02)
    await desk.pro.cancel_order_ws(order["id"], SYMBOL)


@suite.operation("WebSocket API: conditional orders")
async def conditional_orders(desk: Any) -> None:
    trigger = await asyncio.to_thread(desk.price, "buy")
    order = await desk.pro.create_order_ws(SYMBOL, "market", "sell", 0.01, None, {"stopLossPrice": trigger})
    assert (order["status"], order["triggerPrice"]) == ("open", trigger)
    await desk.pro.cancel_order_ws(order["id"], SYMBOL, {"trigger": True})
    assert await desk.pro.fetch_open_orders(SYMBOL, params={"trigger": True}) == []


@suite.operation("WebSocket API: account")
async def account(desk: Any) -> None:
    balance = await desk.pro.fetch_balance_ws()
    assert balance["USDT"]["total"] > 0
    order = await desk.pro.create_order_ws(SYMBOL, "market", "buy", 0.01)
    rows = await desk.pro.fetch_positions_ws([SYMBOL])
    assert [row["contracts"] for row in rows] == [0.01]
    await desk.pro.create_order_ws(SYMBOL, "market", "sell", order["filled"])


@suite.operation("WebSocket API: market data")
async def market_data(desk: Any) -> None:
    book = await desk.pro.fetch_order_book_ws(SYMBOL, 20)
    assert book["bids"][0][0] < book["asks"][0][0]
    ticker = await desk.pro.fetch_ticker_ws(SYMBOL, {"method": "ticker.book"})
    assert ticker["bid"] < ticker["ask"]
    assert (await desk.pro.fetch_ticker_ws(SYMBOL, {"method": "ticker.price"}))["last"] > 0


@suite.operation("WebSocket API: Ed25519, signed one by one")
async def ed25519(desk: Any) -> None:
    client = desk.connect(apiKey=desk.target.ed25519_key, secret=desk.target.ed25519_private_pem).unwrapped
    client.set_markets(desk.pro.markets)
    order = await _resting(desk, client)
    assert (await client.cancel_order_ws(order["id"], SYMBOL))["status"] == "canceled"


@suite.operation("error: over the WebSocket API")
async def errors(desk: Any) -> None:
    await refused_later(ccxt.OrderNotFound, desk.pro.cancel_order_ws("123456789", SYMBOL), code=-2011)
    price = await asyncio.to_thread(desk.taking_price, "buy")
    post_only = desk.pro.create_order_ws(SYMBOL, "limit", "buy", 0.01, price, {"postOnly": True})
    await refused_later(ccxt.InvalidOrder, post_only, code=-5022)
    stranger = desk.connect(secret="wrong").unwrapped
    stranger.set_markets(desk.pro.markets)
    await refused_later(ccxt.AuthenticationError, _resting(desk, stranger), code=-1022)


suite.not_offered(
    "the client signs every request instead",
    "WebSocket API: Ed25519 session.logon",
)

"""ccxt pro: the same REST operations through the asynchronous class, and everything over WebSocket."""

import asyncio
import re
from functools import cached_property, partial, partialmethod
from typing import Any

import aiohttp
import ccxt
import ccxt.pro
import ccxt_sync
import ccxt_ws_api
from ccxt_desk import LOT, SYMBOL, Desk
from harness import Plain, Suite, Target, seen

suite = Suite()
suite.include(ccxt_ws_api.suite)


class LoopbackSession:
    """An aiohttp session that carries requests for any address to the exchange."""

    closed = False

    def __init__(self, target: Target) -> None:
        self._url = target.rest_url

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        """Made at the first request, in the loop."""
        return aiohttp.ClientSession()

    @property
    def headers(self) -> Any:
        """The session's own headers."""
        return self._session.headers

    def _send(self, method: str, url: Any, **options: Any) -> Any:
        redirected = re.sub(r"^https://[^/]+", self._url, str(url))
        return self._session.request(method, type(url)(redirected, encoded=True), **options)

    get = partialmethod(_send, "GET")
    post = partialmethod(_send, "POST")
    put = partialmethod(_send, "PUT")
    delete = partialmethod(_send, "DELETE")

    async def close(self) -> None:
        """Close the real one."""
        await self._session.close()


class ProDesk(Desk):
    """The desk of the plain client, with asynchronous clients behind it; `pro` is the client itself."""

    def __init__(self, target: Target, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._made, self._sessions = loop, list[Any](), list[LoopbackSession]()
        super().__init__(target)
        self.pro = self.client.unwrapped
        self.second_pro = self.second.unwrapped

    @classmethod
    async def open(cls, target: Target) -> "ProDesk":
        """Make the desk in another thread, since it waits for the loop."""
        return await asyncio.to_thread(cls, target, asyncio.get_running_loop())

    def make(self, options: dict[str, Any]) -> Any:
        """Return an asynchronous client that can be called like a plain one."""
        client = ccxt.pro.binanceusdm(options)
        self._made.append(client)
        return Plain(client, self._loop)

    def binance_session(self) -> Any:
        """Return a session that carries requests for Binance to the exchange."""
        self._sessions.append(LoopbackSession(self.target))
        return self._sessions[-1]

    async def close(self) -> None:
        """Close every connection."""
        for client in [*self._made, *self._sessions]:
            await client.close()

    async def trade(self) -> None:
        """Buy and sell one lot: a trade that cannot come in parts."""
        for side in ("buy", "sell"):
            await self.pro.create_order(SYMBOL, "market", side, LOT)

    async def cancel_all(self) -> None:
        """Cancel what rests, of which there is one order at least."""
        await asyncio.to_thread(self.rest)
        await self.pro.cancel_all_orders(SYMBOL)


@suite.operation("stream: klines")
async def stream_klines(desk: ProDesk) -> None:
    rows = await desk.pro.watch_ohlcv(SYMBOL, "1m")
    assert rows[-1][0] % 60_000 == 0
    assert rows[-1][3] <= rows[-1][4] <= rows[-1][2]
    await desk.pro.un_watch_ohlcv(SYMBOL, "1m")


@suite.operation("stream: aggregate trades")
async def stream_aggregate_trades(desk: ProDesk) -> None:
    trades = await desk.pro.watch_trades(SYMBOL, params={"name": "aggTrade"})
    assert trades[-1]["price"] > 0
    await desk.pro.un_watch_trades(SYMBOL, {"name": "aggTrade"})


@suite.operation("stream: trades")
async def stream_trades(desk: ProDesk) -> None:
    trades = await desk.second_pro.watch_trades(SYMBOL, params={"name": "trade"})
    assert trades[-1]["amount"] > 0
    assert trades[-1]["side"] in ("buy", "sell")


@suite.operation("stream: 24h ticker")
async def stream_ticker(desk: ProDesk) -> None:
    row = await desk.pro.watch_ticker(SYMBOL, {"name": "ticker"})
    assert row["low"] <= row["last"] <= row["high"]
    await desk.pro.un_watch_ticker(SYMBOL)


@suite.operation("stream: mini ticker")
async def stream_mini_ticker(desk: ProDesk) -> None:
    rows = await desk.pro.watch_tickers([SYMBOL], {"name": "miniTicker"})
    assert rows[SYMBOL]["last"] > 0


@suite.operation("stream: book ticker")
async def stream_book_ticker(desk: ProDesk) -> None:
    rows = await desk.pro.watch_bids_asks([SYMBOL])
    assert 0 < rows[SYMBOL]["bid"] < rows[SYMBOL]["ask"]
    await desk.pro.un_watch_bids_asks([SYMBOL])


@suite.operation("stream: mark price")
async def stream_mark_price(desk: ProDesk) -> None:
    assert (await desk.pro.watch_mark_price(SYMBOL))["markPrice"] > 0


@suite.operation("stream: order book")
async def stream_order_book(desk: ProDesk) -> None:
    """The client joins the snapshot and the differences itself, and checks that none is missing."""
    nonces = set()
    for _ in range(5):
        book = await desk.pro.watch_order_book(SYMBOL)
        nonces.add(book["nonce"])
        assert book["bids"][0][0] < book["asks"][0][0]
        assert len(book["bids"]) > 5
    assert len(nonces) > 1


@suite.operation("user stream: orders")
async def user_orders(desk: ProDesk) -> None:
    async def come(status: str) -> None:
        orders: list[Any] = []
        while status not in {order["status"] for order in orders}:
            orders = await desk.pro.watch_orders(SYMBOL)
        assert {order["symbol"] for order in orders} == {SYMBOL}

    await seen(come("open"), partial(asyncio.to_thread, desk.rest))
    await seen(come("canceled"), desk.cancel_all)
    await seen(come("closed"), desk.trade)


@suite.operation("user stream: conditional orders")
async def user_conditional(desk: ProDesk) -> None:
    trigger = await asyncio.to_thread(desk.price, "buy")
    placed: set[str] = set()

    async def come() -> None:
        while not placed & {order["id"] for order in await desk.pro.watch_orders(SYMBOL)}:
            pass

    async def place() -> None:
        order = await desk.pro.create_order(SYMBOL, "market", "sell", 0.01, None, {"stopLossPrice": trigger})
        placed.add(order["id"])

    await seen(come(), place)
    await desk.pro.cancel_all_orders(SYMBOL, {"trigger": True})


@suite.operation("user stream: trades")
async def user_trades(desk: ProDesk) -> None:
    trades = await seen(desk.pro.watch_my_trades(SYMBOL), desk.trade)
    assert trades[0]["amount"] == LOT
    assert trades[0]["fee"]["cost"] > 0


@suite.operation("user stream: balances")
async def user_balances(desk: ProDesk) -> None:
    before = (await desk.pro.fetch_balance())["USDT"]["total"]
    balance = await seen(desk.pro.watch_balance(), desk.trade)
    assert 0 < balance["USDT"]["total"] < before


@suite.operation("user stream: positions")
async def user_positions(desk: ProDesk) -> None:
    rows = await seen(desk.pro.watch_positions([SYMBOL]), desk.trade)
    assert rows[0]["symbol"] == SYMBOL


suite.include(ccxt_sync.suite)

if __name__ == "__main__":
    suite.run(ProDesk.open)

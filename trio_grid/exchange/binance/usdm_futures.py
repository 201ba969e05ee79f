"""Binance USD-M futures as the domain sees an exchange: `MarketData` and `Execution` over REST and WebSocket.

Owns the composition of the client and the paging of histories. It decides nothing: no retry beyond what its parts
promise, no order that it was not told to send, and foreign orders are shown as they are.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import attrs
import trio

from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.events import (
    BookTicker,
    CancelResult,
    FundingRecord,
    Kline,
    OrderRecord,
    PlacementResult,
    PositionRecord,
    Trade,
)
from trio_grid.domain.instrument import Instrument, MoneyUnits
from trio_grid.errors import Banned, ExchangeUnreachable, ListenKeyGone, RateLimited, RequestRefused
from trio_grid.exchange.binance.clock import ServerClock
from trio_grid.exchange.binance.connector import Address, Connector, background_nursery, connect_tcp
from trio_grid.exchange.binance.history import History
from trio_grid.exchange.binance.limits import Gate
from trio_grid.exchange.binance.order_entry import OrderEntry
from trio_grid.exchange.binance.rest import RestClient, open_rest_client
from trio_grid.exchange.binance.streams import open_link
from trio_grid.exchange.binance.subscriptions import Opened, StreamSubscription, open_subscription, subscribe
from trio_grid.exchange.binance.ws_api import WebSocketApi
from trio_grid.exchange.interface import AccountSettings, AccountSummary, OrderBudget, Subscription, UserStreamEvent
from trio_grid.exchange.protocol import messages, records, wire
from trio_grid.exchange.protocol.known_keys import MARKET_SAMPLE, KeyCensus, unknown_in_event
from trio_grid.exchange.protocol.messages import Ignored, decode
from trio_grid.exchange.protocol.rate_limits import RateLimits
from trio_grid.exchange.protocol.requests import Endpoint
from trio_grid.exchange.protocol.signing import Signer

KEY_KEEPALIVE_S = 30 * 60.0
"""A listen key lives an hour after its last sign of life."""

KEY_RETRY_S = 60.0

MARGIN_TYPE_UNCHANGED = -4046


@attrs.frozen
class Endpoints:
    """Where the exchange is: base URLs without the paths that this module appends.

    `routed` streams (`/public`, `/market`, `/private`) are what the exchange delivers since 2026; False asks for the
    older paths, which old test servers still want.
    """

    rest_url: str
    ws_url: str
    ws_api_url: str
    routed: bool = True

    def stream_resource(self, route: str, kind: str = "ws") -> str:
        """Return the path of a stream connection below `ws_url`."""
        return f"/{route}/{kind}" if self.routed else f"/{kind}"


class UsdmFutures:
    """The client; made by `open_usdm_futures`."""

    def __init__(
        self,
        endpoints: Endpoints,
        connect: Connector,
        rest: RestClient,
        entry: OrderEntry,
        clock: ServerClock,
        limits: RateLimits,
        gate: Gate,
        ignored: Ignored,
    ) -> None:
        self._endpoints = endpoints
        self._connect = connect
        self._rest = rest
        self._entry = entry
        self._clock = clock
        self._limits = limits
        self._gate = gate
        self._history = History(rest, clock, ignored)
        self.ignored = ignored

    def __repr__(self) -> str:
        return f"<UsdmFutures {self._endpoints.rest_url} {self._clock!r}>"

    # MarketData ------------------------------------------------------------------------------------------------------

    async def instrument(self, symbol: str) -> Instrument:
        """Return the symbol's units and filters, with the account's own fee rates where a key is configured."""
        info = decode(await self._rest.call(Endpoint.EXCHANGE_INFO), wire.WireExchangeInfo, what="exchangeInfo")
        self._limits.learn(info.rate_limits)
        fees = None
        if self._rest.has_key:
            body = await self._rest.call(Endpoint.COMMISSION_RATE, {"symbol": symbol})
            fees = decode(body, wire.WireCommissionRate, what="commissionRate")
        return records.parse_instrument(info, symbol, fees)

    async def klines(
        self, instrument: Instrument, *, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> tuple[Kline, ...]:
        """Return 1-minute klines in ascending order; at most 1,500, the last may still be open."""
        return await self._history.klines(instrument, limit=limit, start_ms=start_ms, end_ms=end_ms)

    def book_tickers(self, instrument: Instrument) -> AbstractAsyncContextManager[Subscription[BookTicker]]:
        """Subscribe to best bid and ask; entering the context means that the subscription is confirmed."""
        parse = partial(messages.parse_book_ticker, instrument=instrument, ignored=self.ignored)
        return self._market_stream("public", f"{instrument.symbol.lower()}@bookTicker", parse)

    def kline_stream(self, instrument: Instrument) -> AbstractAsyncContextManager[Subscription[Kline]]:
        """Subscribe to 1-minute klines, open and closed; entering means that the subscription is confirmed."""
        parse = partial(messages.parse_kline, instrument=instrument, ignored=self.ignored)
        return self._market_stream("market", f"{instrument.symbol.lower()}@kline_1m", parse)

    def _market_stream(
        self, route: str, stream: str, parse: Callable[[str | bytes], messages.T | None]
    ) -> AbstractAsyncContextManager[StreamSubscription[messages.T]]:
        resource = self._endpoints.stream_resource(route)
        census = KeyCensus(self.ignored, unknown_in_event, every=MARKET_SAMPLE)
        return open_subscription(stream, partial(self._subscribed, stream, resource, stream), census.before(parse))

    @asynccontextmanager
    async def _subscribed(self, name: str, resource: str, stream: str) -> AsyncIterator[Opened]:
        """Open one connection with a confirmed subscription."""
        async with open_link(self._connect, self._endpoints.ws_url, resource, name=name, gate=self._gate) as link:
            yield await subscribe(link, [stream])

    # Execution: clock and limits -------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """Return the exchange's time; the wall clock's until the exchange's was read for the first time."""
        return self._clock.now_ms()

    def order_budget(self) -> OrderBudget:
        """Return how many orders the limits allow now, and when the tightest window starts over."""
        return self._limits.order_budget(self._clock.now_ms())

    async def wait_banned(self) -> Banned:
        """Wait for the next ban (418), whichever request or handshake meets it, and return it."""
        return await self._gate.wait_banned()

    async def synchronize_clock(self) -> None:
        """Read the exchange's clock and slew towards it; raises ExchangeUnreachable."""
        await self._rest.synchronize_clock(again=True)

    async def wait_order_entry(self) -> None:
        """Return when the WebSocket API stands, so that orders take it; without a key, at once.

        Raises:
            LogonRefused: the exchange opens no session for the key.
        """
        await self._entry.wait_connected()

    # Execution: orders -----------------------------------------------------------------------------------------------

    async def place(self, instrument: Instrument, orders: Sequence[PlaceOrder]) -> tuple[PlacementResult, ...]:
        """Send orders over the WebSocket API in one write, or by REST if it is down; one result each, in their order.

        Raises:
            CredentialsRefused, Banned: the exchange refused the key or the address; see `Execution.place`.
        """
        return await self._entry.place(instrument, orders)

    async def cancel(self, instrument: Instrument, orders: Sequence[CancelOrder]) -> tuple[CancelResult, ...]:
        """Cancel each order by client order id; raises like `place`."""
        return await self._entry.cancel(instrument, orders)

    async def send(
        self, instrument: Instrument, cancels: Sequence[CancelOrder], orders: Sequence[PlaceOrder]
    ) -> tuple[tuple[CancelResult, ...], tuple[PlacementResult, ...]]:
        """Send cancels, then new orders, in one write; raises like `place`."""
        return await self._entry.send(instrument, cancels, orders)

    async def open_orders(self, instrument: Instrument) -> tuple[OrderRecord, ...]:
        """Return every open order of the account on the symbol, ours and foreign, ascending by order id."""
        body = await self._rest.call(Endpoint.OPEN_ORDERS, {"symbol": instrument.symbol})
        return records.parse_orders(body, instrument, self.ignored)

    async def order(
        self, instrument: Instrument, *, client_order_id: str | None = None, order_id: int | None = None
    ) -> OrderRecord:
        """Return one order's record; raises OrderNotFound."""
        if (client_order_id is None) == (order_id is None):
            raise ValueError("exactly one of client_order_id and order_id is needed")
        which = {"orderId": order_id} if order_id is not None else {"origClientOrderId": client_order_id or ""}
        body = await self._rest.call(Endpoint.QUERY_ORDER, {"symbol": instrument.symbol, **which})
        return records.parse_order(body, instrument, self.ignored)

    async def orders_since(self, instrument: Instrument, start_ms: int) -> tuple[OrderRecord, ...]:
        """Return every order on the symbol since a time, ascending by order id; seven days at most."""
        return await self._history.orders_since(instrument, start_ms)

    async def trades(
        self,
        instrument: Instrument,
        *,
        from_id: int | None = None,
        start_ms: int | None = None,
        order_id: int | None = None,
    ) -> tuple[Trade, ...]:
        """Return the account's trades on the symbol, ascending by id, all pages."""
        return await self._history.trades(instrument, from_id=from_id, start_ms=start_ms, order_id=order_id)

    async def funding(self, instrument: Instrument, start_ms: int) -> tuple[FundingRecord, ...]:
        """Return the funding payments on the symbol since a time, ascending."""
        return await self._history.funding(instrument, start_ms)

    # Execution: account ----------------------------------------------------------------------------------------------

    async def position(self, instrument: Instrument) -> PositionRecord:
        """Return the account's signed position on the symbol."""
        body = await self._rest.call(Endpoint.POSITION_RISK, {"symbol": instrument.symbol})
        return records.parse_position(body, instrument, self._clock.now_ms())[0]

    async def account(self, instrument: Instrument) -> AccountSummary:
        """Return wallet, margin and mode of the account, from four answers taken one after the other."""
        symbol = {"symbol": instrument.symbol}
        return records.parse_account(
            await self._rest.call(Endpoint.ACCOUNT),
            await self._rest.call(Endpoint.SYMBOL_CONFIG, symbol),
            await self._rest.call(Endpoint.ACCOUNT_CONFIG),
            await self._rest.call(Endpoint.POSITION_RISK, symbol),
            instrument,
            self._clock.now_ms(),
        )

    async def settings(self, instrument: Instrument) -> AccountSettings:
        """Return how the account trades the symbol, from two answers."""
        symbol_config = await self._rest.call(Endpoint.SYMBOL_CONFIG, {"symbol": instrument.symbol})
        return records.parse_settings(symbol_config, await self._rest.call(Endpoint.ACCOUNT_CONFIG), instrument)

    async def wallet(self, instrument: Instrument) -> MoneyUnits:
        """Return the wallet balance of the margin asset."""
        return records.parse_wallet(await self._rest.call(Endpoint.ACCOUNT), instrument)

    def tolerated(self) -> dict[str, int]:
        """Return what was tolerated of the exchange's answers and events, counted by a word for it."""
        return dict(self.ignored)

    async def set_leverage(self, instrument: Instrument, leverage: int) -> None:
        """Set the symbol's leverage."""
        await self._rest.call(Endpoint.SET_LEVERAGE, {"symbol": instrument.symbol, "leverage": leverage})

    async def set_margin_type(self, instrument: Instrument, margin_type: str) -> None:
        """Set the symbol's margin type ("cross" or "isolated"); already set is fine."""
        words = {"cross": "CROSSED", "isolated": "ISOLATED"}
        if margin_type not in words:
            raise ValueError(f"margin type {margin_type!r} is neither cross nor isolated")
        try:
            await self._rest.call(
                Endpoint.SET_MARGIN_TYPE, {"symbol": instrument.symbol, "marginType": words[margin_type]}
            )
        except RequestRefused as error:
            if error.code != MARGIN_TYPE_UNCHANGED:
                raise

    async def cancel_all_after(self, instrument: Instrument, countdown_ms: int) -> None:
        """Start the exchange's countdown to the cancelling of all open orders on the symbol over; 0 ends it."""
        await self._rest.call(
            Endpoint.COUNTDOWN_CANCEL, {"symbol": instrument.symbol, "countdownTime": countdown_ms}, urgent=True
        )

    # Execution: user stream ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def user_stream(self, instrument: Instrument) -> AsyncIterator[Subscription[UserStreamEvent]]:
        """Open the account's event stream; entering means that it is confirmed. It keeps its key alive while open.

        The key is never deleted: every program of the account is given the same one.
        """
        parse = partial(messages.parse_user_event, instrument=instrument, ignored=self.ignored)
        census = KeyCensus(self.ignored, unknown_in_event)
        async with (
            open_subscription("user stream", self._user_connection, census.before(parse)) as subscription,
            background_nursery() as nursery,
        ):
            nursery.start_soon(self._keep_key, subscription)
            yield subscription

    @asynccontextmanager
    async def _user_connection(self) -> AsyncIterator[Opened]:
        """Open one connection of the user stream. Asking for a key that there is already prolongs it."""
        key = await self._listen_key()
        resource = self._endpoints.stream_resource("private", "stream")
        async with self._subscribed("user stream", resource, key) as opened:
            yield opened

    async def _listen_key(self) -> str:
        body = await self._rest.call(Endpoint.LISTEN_KEY_CREATE)
        return decode(body, wire.WireListenKey, what="listenKey").listen_key

    async def _keep_key(self, subscription: StreamSubscription[UserStreamEvent]) -> None:
        pause_s = KEY_KEEPALIVE_S
        while True:
            await trio.sleep(pause_s)
            try:
                await self._rest.call(Endpoint.LISTEN_KEY_KEEP, urgent=True)
            except (ExchangeUnreachable, RateLimited) as error:
                pause_s = max(KEY_RETRY_S, getattr(error, "retry_after_s", None) or 0.0)
            except (ListenKeyGone, RequestRefused) as error:
                await subscription.fail(error)
                return
            else:
                pause_s = KEY_KEEPALIVE_S


@asynccontextmanager
async def open_usdm_futures(
    endpoints: Endpoints,
    signer: Signer | None,
    *,
    connect: Connector = connect_tcp,
    wall_clock: Callable[[], float] = time.time,
    recv_window_ms: int = 5_000,
) -> AsyncIterator[UsdmFutures]:
    """Open the client; without a signer it is market data alone. Entering never fails for the network.

    The WebSocket API connects in the background; until it stands, orders go by REST. The exchange's clock is read with
    the first signed request, or by `synchronize_clock`.

    Raises:
        ConfigError: a URL is not one, or speaks plain text to an address that is not loopback.
    """
    for url in (endpoints.rest_url, endpoints.ws_url, endpoints.ws_api_url):
        Address.parse(url)
    clock, limits, ignored = ServerClock(wall_clock), RateLimits(), Counter[str]()
    gate = Gate(limits, clock)
    async with (
        open_rest_client(
            endpoints.rest_url,
            signer,
            connect=connect,
            clock=clock,
            limits=limits,
            gate=gate,
            recv_window_ms=recv_window_ms,
        ) as rest,
        background_nursery() as nursery,
    ):
        websocket = None
        if signer is not None:
            websocket = WebSocketApi(
                connect,
                endpoints.ws_api_url,
                signer,
                clock,
                limits,
                gate,
                recv_window_ms,
                ignored,
                resynchronize=partial(rest.synchronize_clock, again=True),
            )
            nursery.start_soon(websocket.run)  # noqa: ASYNC113 - it has no readiness: orders go by REST until it stands
        entry = OrderEntry(websocket, rest, clock, limits, gate, recv_window_ms, ignored)
        yield UsdmFutures(endpoints, connect, rest, entry, clock, limits, gate, ignored)

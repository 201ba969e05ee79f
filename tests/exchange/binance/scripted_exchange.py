"""An exchange that does what a test's script says: HTTP/1.1 and WebSocket bytes over memory streams.

It is a peer, not a mock: the client speaks its real protocol to it. It exists for what a healthy exchange never does:
to answer with nothing, to go away in the middle, to contradict itself.
"""

from __future__ import annotations

import contextlib
import enum
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import attrs
import h11
import trio
import trio_websocket

from trio_grid.domain.instrument import Instrument
from trio_grid.exchange.binance.usdm_futures import Endpoints, UsdmFutures, open_usdm_futures
from trio_grid.exchange.protocol.signing import HmacSigner, Signer
from trio_grid.testing.memory_network import MemoryNetwork

START_MS = 1_750_000_020_000
"""The exchange's time when Trio's clock shows the moment of the script's start: a full minute."""

SIGNER = HmacSigner("testkey", "testsecret")


class Fault(enum.Enum):
    """What an HTTP handler may do instead of answering."""

    HANG = "take the request and never answer"
    CUT = "take the request and close the connection"
    HALF = "send half of an answer and close the connection"


@attrs.frozen
class HttpRequest:
    """A request as it came: the target is raw."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@attrs.frozen
class Http:
    """An answer."""

    body: Any
    status: int = 200
    headers: dict[str, str] = attrs.field(factory=dict)


RestScript = Callable[[HttpRequest], Http | Fault]
WebSocketScript = Callable[[trio_websocket.WebSocketConnection, str], Awaitable[None]]


class CountingStream(trio.abc.Stream):
    """The client's end of a link, with a record of each write."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self.inner = inner
        self.writes: list[bytes] = []

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self.inner.receive_some(max_bytes)

    def is_readable(self) -> bool:
        return bool(cast(Any, self.inner).is_readable())

    async def aclose(self) -> None:
        await self.inner.aclose()


class ScriptedExchange:
    """Serves the scripts; both may be replaced while it runs."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.rest: RestScript = self.plain_rest
        self.websocket: WebSocketScript = hold_open
        self.requests: list[HttpRequest] = []
        self.streams: list[CountingStream] = []
        self.websocket_paths: list[str] = []
        self._started_at = trio.current_time()
        self.clock_error_ms = 0

    def now_ms(self) -> int:
        return START_MS + int((trio.current_time() - self._started_at) * 1_000) + self.clock_error_ms

    def wall_clock(self) -> float:
        return self.now_ms() / 1_000

    def plain_rest(self, request: HttpRequest) -> Http | Fault:
        if request.path == "/fapi/v1/time":
            return Http({"serverTime": self.now_ms()})
        return Http({"code": -5000, "msg": f"no script for {request.method} {request.path}"}, 404)

    def seen(self, path: str, method: str | None = None) -> list[HttpRequest]:
        return [item for item in self.requests if item.path == path and method in (None, item.method)]

    async def connect(self, host: str, port: int, tls: bool) -> trio.abc.Stream:
        stream = CountingStream(await self.network.connector("client")(host, port, tls))
        self.streams.append(stream)
        return stream

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Endpoints]:
        listener = self.network.listen()
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._handle, [listener])
            host, port = listener.address
            base = f"{host}:{port}"
            yield Endpoints(f"http://{base}", f"ws://{base}", f"ws://{base}/ws-fapi/v1")
            nursery.cancel_scope.cancel()

    async def _handle(self, stream: trio.abc.Stream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with stream:
                head = b""
                while b"\r\n\r\n" not in head:
                    data = await stream.receive_some()
                    if not data:
                        return
                    head += bytes(data)
                if b"upgrade: websocket" in head.lower():
                    await self._serve_websocket(Replayed(stream, head))
                else:
                    await self._serve_http(Replayed(stream, head))

    async def _serve_websocket(self, stream: Replayed) -> None:
        async with trio.open_nursery() as nursery:
            request = await trio_websocket.wrap_server_stream(nursery, cast(Any, stream))
            self.websocket_paths.append(request.path)
            connection = await request.accept()
            with contextlib.suppress(trio_websocket.ConnectionClosed):
                await self.websocket(connection, request.path)
            nursery.cancel_scope.cancel()

    async def _serve_http(self, stream: Replayed) -> None:
        connection = h11.Connection(h11.SERVER)
        while True:
            request = await self._next_request(connection, stream)
            if request is None:
                return
            self.requests.append(request)
            answer = self.rest(request)
            if answer is Fault.HANG:
                await trio.sleep_forever()
            if isinstance(answer, Fault):
                if answer is Fault.HALF:
                    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{")
                return
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            headers = [*answer.headers.items(), ("content-length", str(len(body)))]
            event = h11.Response(status_code=answer.status, headers=headers)
            data = (connection.send(event) or b"") + (connection.send(h11.Data(data=body)) or b"")
            await stream.send_all(data + (connection.send(h11.EndOfMessage()) or b""))
            connection.start_next_cycle()

    async def _next_request(self, connection: h11.Connection, stream: Replayed) -> HttpRequest | None:
        request: h11.Request | None = None
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await stream.receive_some()
                if not data:
                    return None
                connection.receive_data(bytes(data))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                headers = {name.decode(): value.decode() for name, value in request.headers}
                return HttpRequest(request.method.decode(), request.target.decode(), headers, body)
            else:
                return None


class Replayed(trio.abc.Stream):
    """A stream whose head was read already and is given again."""

    def __init__(self, inner: trio.abc.Stream, head: bytes) -> None:
        self.inner, self.head = inner, head

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if self.head:
            head, self.head = self.head, b""
            await trio.lowlevel.checkpoint()
            return head
        return await self.inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.inner.aclose()


async def hold_open(connection: trio_websocket.WebSocketConnection, path: str) -> None:
    """Take everything, answer nothing."""
    while True:
        await connection.get_message()


@asynccontextmanager
async def client_of(
    exchange: ScriptedExchange, *, signer: Signer | None = SIGNER, wait: bool = True
) -> AsyncIterator[UsdmFutures]:
    """Serve an exchange and open a client of it; with `wait` its clock is read and its WebSocket API stands."""
    async with (
        exchange.serve() as endpoints,
        open_usdm_futures(
            endpoints, signer, connect=exchange.connect, wall_clock=exchange.wall_clock, recv_window_ms=5_000
        ) as client,
    ):
        if wait:
            await client.synchronize_clock()
            if signer is not None:
                await client.wait_order_entry()
        yield client


def exchange_info(**changes: Any) -> dict[str, Any]:
    """Return an exchangeInfo body with one symbol; `changes` replace fields of the symbol."""
    symbol = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "contractType": "PERPETUAL",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "556.80", "maxPrice": "4529764", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": "50"},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
            {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
        ],
    }
    limits = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300}]
    return {"rateLimits": limits, "symbols": [{**symbol, **changes}], "serverTime": 1}


def bitcoin() -> Instrument:
    """Return the instrument that `exchange_info` describes."""
    from trio_grid.exchange.protocol import records, wire
    from trio_grid.exchange.protocol.messages import decode

    info = decode(json.dumps(exchange_info()), wire.WireExchangeInfo, what="test")
    return records.parse_instrument(info, "BTCUSDT", None)


def order_body(**changes: Any) -> dict[str, Any]:
    """Return an order as REST answers it, with all that real answers carry."""
    body = {
        "orderId": 4087922044,
        "symbol": "BTCUSDT",
        "status": "NEW",
        "clientOrderId": "id-1",
        "price": "60000.00",
        "avgPrice": "0.00",
        "origQty": "0.002",
        "executedQty": "0.000",
        "cumQty": "0.000",
        "cumQuote": "0.00000",
        "timeInForce": "GTX",
        "type": "LIMIT",
        "reduceOnly": False,
        "closePosition": False,
        "side": "BUY",
        "positionSide": "BOTH",
        "stopPrice": "0.00",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": "LIMIT",
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
        "updateTime": START_MS,
    }
    return {**body, **changes}


def without(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the body once for each of its keys, without it."""
    for key in body:
        yield key, {name: value for name, value in body.items() if name != key}

"""REST over httpx: the only place that imports it, and the only one that knows its errors.

Owns the connection pool, signing, the deadline of each request, the reading of limit headers and the translation of
every failure. It never repeats a request that may have been carried out; the one repetition that it makes by itself is
that of a read or a cancel after a clock error, with the clock read again.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpcore
import httpx
import trio

from trio_grid.errors import (
    Banned,
    ClockSkew,
    CredentialsRefused,
    ExchangeError,
    ExchangeOverloaded,
    ExchangeUnreachable,
    MalformedAnswer,
    OrderOutcomeUnknown,
    RateLimited,
)
from trio_grid.exchange.binance.clock import ServerClock
from trio_grid.exchange.binance.connector import NETWORK_ERRORS, Address, Connector
from trio_grid.exchange.binance.limits import Gate
from trio_grid.exchange.protocol import wire
from trio_grid.exchange.protocol.error_codes import error_of
from trio_grid.exchange.protocol.messages import decode
from trio_grid.exchange.protocol.rate_limits import REQUEST_WEIGHT, RateLimits, parse_headers, retry_after_s
from trio_grid.exchange.protocol.requests import Endpoint, Security
from trio_grid.exchange.protocol.signing import Params, Signer, encode_params, signed_query

REQUEST_TIMEOUT_S = 10.0
"""Every request ends by then: connect, send and receive together."""

POOL_CONNECTIONS = 8
KEEPALIVE_S = 30.0
"""Idle connections are dropped well before servers do (60..75 s), so that an order never meets a dying one."""


class _SeamStream(httpcore.AsyncNetworkStream):
    """A Connector's stream as httpcore wants it; deadlines are Trio's, so httpcore's own are ignored."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except NETWORK_ERRORS as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            # An empty body is written as well; failing there would leave httpx's body generator half-way.
            return
        try:
            await self._stream.send_all(buffer)
        except NETWORK_ERRORS as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        # The Connector was asked for TLS and has verified it already.
        return self

    def get_extra_info(self, info: str) -> Any:
        if info != "is_readable":
            return None
        stream = self._stream
        while isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        if isinstance(stream, trio.SocketStream):
            return stream.socket.is_readable()
        # A stream that is no socket may say so itself; else an idle one counts as usable.
        readable = getattr(stream, "is_readable", None)
        return bool(readable()) if callable(readable) else False


class _SeamBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, connect: Connector, tls: bool) -> None:
        self._connect = connect
        self._tls = tls

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            return _SeamStream(await self._connect(host, port, self._tls))
        except NETWORK_ERRORS as error:
            raise httpcore.ConnectError(str(error)) from error


def _transport(connect: Connector, tls: bool) -> httpx.AsyncHTTPTransport:
    """Return httpx's own transport over the Connector.

    The private attribute is the only way to give httpx's transport another network backend; a transport of our own
    would have to repeat its mapping of httpcore's exceptions.
    """
    transport = httpx.AsyncHTTPTransport(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False)
    transport._pool = httpcore.AsyncConnectionPool(
        network_backend=_SeamBackend(connect, tls),
        max_connections=POOL_CONNECTIONS,
        max_keepalive_connections=POOL_CONNECTIONS,
        keepalive_expiry=KEEPALIVE_S,
    )
    return transport


@attrs.frozen
class Reply:
    """An HTTP answer: status, headers with lower-case names, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Sent:
    """Notes whether a request has begun to leave the process: from there on its outcome is the exchange's word."""

    def __init__(self) -> None:
        self.begun = False

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        self.begun = self.begun or event == "http11.send_request_headers.started"


class RestClient:
    """Signed and unsigned requests to one base URL; made by `open_rest_client`."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        base_url: str,
        signer: Signer | None,
        clock: ServerClock,
        limits: RateLimits,
        gate: Gate,
        recv_window_ms: int,
    ) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._signer = signer
        self._clock = clock
        self._limits = limits
        self._gate = gate
        self._recv_window_ms = recv_window_ms
        self._synchronizing = trio.Lock()

    def __repr__(self) -> str:
        return f"<RestClient {self._base_url}>"

    @property
    def has_key(self) -> bool:
        """Whether signed requests are possible."""
        return self._signer is not None

    async def call(
        self,
        endpoint: Endpoint,
        params: Params | None = None,
        *,
        urgent: bool = False,
        weight: int | None = None,
        timestamp: Callable[[int], None] | None = None,
    ) -> bytes:
        """Send one request and return the body of its success.

        `urgent` requests may use the weight kept in reserve. `timestamp` is told the time that a signed one carries.

        Raises:
            ExchangeUnreachable: nothing is known to be carried out, or carrying it out again does no harm.
            OrderOutcomeUnknown: a new order was sent and nothing says what became of it.
            RequestRefused: the exchange's refusal, by its subclass; RateLimited also when the client holds back itself.
        """
        if endpoint.security is Security.SIGNED and not self._clock.synchronized:
            await self.synchronize_clock()
        try:
            return await self._call_once(endpoint, params or {}, urgent, weight, timestamp)
        except ClockSkew as error:
            if endpoint is Endpoint.PLACE_ORDER:
                raise
            skew = error
        try:
            await self.synchronize_clock(again=True)
        except ExchangeUnreachable as error:
            raise skew from error
        return await self._call_once(endpoint, params or {}, urgent, weight, timestamp)

    async def synchronize_clock(self, *, again: bool = False) -> None:
        """Read the exchange's clock twice and believe the quicker answer; whoever waits for another's reading takes it.

        Raises:
            ExchangeUnreachable: no reading could be had.
        """
        async with self._synchronizing:
            if self._clock.synchronized and not again:
                return
            readings = []
            for _ in range(2):
                sent_at = trio.current_time()
                body = await self._call_once(Endpoint.TIME, {}, True, None, None)
                received_at = trio.current_time()
                server_ms = decode(body, wire.WireServerTime, what="time").server_time
                readings.append((received_at - sent_at, server_ms, (sent_at + received_at) / 2))
            _, server_ms, at_trio_time = min(readings)
            self._clock.correct(server_ms, at_trio_time)

    async def _call_once(
        self,
        endpoint: Endpoint,
        params: Params,
        urgent: bool,
        weight: int | None,
        timestamp: Callable[[int], None] | None,
    ) -> bytes:
        cost = endpoint.weight if weight is None else weight
        self._hold_back(cost, urgent)
        query, headers = self._prepared(endpoint, params, timestamp)
        self._limits.spend(REQUEST_WEIGHT, cost, self._clock.now_ms())
        try:
            reply = await self._exchange(endpoint, query, headers)
        except OrderOutcomeUnknown as error:
            if endpoint is Endpoint.PLACE_ORDER:
                raise
            raise ExchangeUnreachable(str(error)) from error
        now_ms = self._clock.now_ms()
        self._limits.observe(parse_headers(reply.headers.items()), now_ms)
        if reply.status == 200:
            return reply.body
        raise self._failure(endpoint, reply)

    def _hold_back(self, weight: int, urgent: bool) -> None:
        now_ms = self._clock.now_ms()
        until_ms = self._limits.blocked_until(now_ms)
        if until_ms is not None:
            kind = Banned if self._limits.banned(now_ms) else RateLimited
            wait_s = (until_ms - now_ms) / 1_000
            raise kind(-1003, "held back: the exchange's limit has not ended", retry_after_s=wait_s)
        wait_ms = self._limits.weight_wait_ms(weight, now_ms, urgent=urgent)
        if wait_ms > 0:
            raise RateLimited(
                -1003, "held back: this minute's request weight is used up", retry_after_s=wait_ms / 1_000
            )

    def _prepared(
        self, endpoint: Endpoint, params: Params, timestamp: Callable[[int], None] | None
    ) -> tuple[str, dict[str, str]]:
        if endpoint.security is Security.NONE:
            return encode_params(params), {}
        if self._signer is None:
            raise CredentialsRefused(-2014, f"{endpoint.path} needs an API key and none is configured")
        headers = {"X-MBX-APIKEY": self._signer.api_key}
        if endpoint.security is Security.KEY:
            return encode_params(params), headers
        now_ms = self._clock.now_ms()
        if timestamp is not None:
            timestamp(now_ms)
        timed = {**params, "recvWindow": self._recv_window_ms, "timestamp": now_ms}
        return signed_query(self._signer, timed), headers

    async def _exchange(self, endpoint: Endpoint, query: str, headers: dict[str, str]) -> Reply:
        """Send one request under one deadline.

        Raises:
            ExchangeUnreachable: the request never began to leave.
            OrderOutcomeUnknown: it may have arrived.
        """
        sent = _Sent()
        what = f"{endpoint.method} {endpoint.path}"
        url = f"{self._base_url}{endpoint.path}{'?' if query else ''}{query}"
        failure = f"{what}: no answer within {REQUEST_TIMEOUT_S:g} s"
        with trio.move_on_after(REQUEST_TIMEOUT_S):
            try:
                response = await self._client.request(endpoint.method, url, headers=headers, extensions={"trace": sent})
                return Reply(response.status_code, dict(response.headers.items()), response.content)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                failure = f"{what}: {type(error).__name__} {error}".rstrip()
        if sent.begun:
            raise OrderOutcomeUnknown(failure)
        raise ExchangeUnreachable(f"{failure} (nothing was sent)")

    def _failure(self, endpoint: Endpoint, reply: Reply) -> ExchangeError:
        try:
            body = decode(reply.body, wire.WireErrorBody, what=endpoint.path)
        except MalformedAnswer:
            body = wire.WireErrorBody(msg=reply.body[:200].decode(errors="replace"))
        error = error_of(reply.status, body.code, body.msg, retry_after_s=retry_after_s(reply.headers))
        if isinstance(error, RateLimited):
            return self._gate.refused(error)
        if endpoint is not Endpoint.PLACE_ORDER and isinstance(error, OrderOutcomeUnknown | ExchangeOverloaded):
            return ExchangeUnreachable(f"{endpoint.method} {endpoint.path}: {error}")
        return error


@asynccontextmanager
async def open_rest_client(
    base_url: str,
    signer: Signer | None,
    *,
    connect: Connector,
    clock: ServerClock,
    limits: RateLimits,
    gate: Gate,
    recv_window_ms: int,
) -> AsyncIterator[RestClient]:
    """Open the pool for one base URL; connections are made as they are needed, so this never fails for the network.

    Raises:
        ConfigError: the URL is not one, or speaks plain HTTP to an address that is not loopback.
    """
    address = Address.parse(base_url)
    # httpx logs whole URLs at INFO: signatures and keys do not belong into a log.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    transport = _transport(connect, address.tls)
    # No timeouts of httpx: each request runs under one Trio deadline that covers all of it.
    no_timeouts = httpx.Timeout(None)
    async with httpx.AsyncClient(
        transport=transport, timeout=no_timeouts, trust_env=False, headers={"User-Agent": "trio-grid"}
    ) as client:
        yield RestClient(client, base_url, signer, clock, limits, gate, recv_window_ms)

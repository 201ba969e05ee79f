"""Where a WebSocket leads: by its path to market streams, user data or the WebSocket API; and how long it may live.

Owns the paths, the server's pings and the limits of a connection's life. It must never read what a connection carries.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest

from trio_grid.exchange.paper.server.connection_streams import PeekedStream
from trio_grid.exchange.paper.server.disturbance import Delivery, Transport
from trio_grid.exchange.paper.server.request_gate import RequestGate
from trio_grid.exchange.paper.server.request_limits import LimitRefusal
from trio_grid.exchange.paper.server.spot_stream_hub import SpotStreamHub, shutdown_event, shutdown_text
from trio_grid.exchange.paper.server.spot_stream_names import parse_spot_stream_name
from trio_grid.exchange.paper.server.spot_ws_api import HANDSHAKE_WEIGHT as SPOT_HANDSHAKE_WEIGHT
from trio_grid.exchange.paper.server.spot_ws_api import SpotWebSocketSession
from trio_grid.exchange.paper.server.stream_connection import StreamConnection, StreamDialect
from trio_grid.exchange.paper.server.stream_hub import StreamHub
from trio_grid.exchange.paper.server.stream_names import Route
from trio_grid.exchange.paper.server.websocket_line import GOODBYE_S, WebSocketLine
from trio_grid.exchange.paper.server.ws_api import HANDSHAKE_WEIGHT, WebSocketApiSession

logger = logging.getLogger(__name__)

PING_INTERVAL_S = 180.0
PONG_DEADLINE_S = 600.0
CONNECTION_LIFE_S = 24 * 3600.0
GOING_AWAY = 1001

API_PATHS = ("/ws-fapi/v1",)
SPOT_API_PATH = "/ws-api/v3"
SPOT_PREFIX = "spot"
"""Spot's streams have this in front of their paths, since both markets have a /ws and a /stream of their own."""


class Heartbeat(msgspec.Struct, frozen=True):
    """How often a connection is pinged, and how long its pong may take."""

    interval_s: float
    deadline_s: float


FUTURES_HEARTBEAT = Heartbeat(PING_INTERVAL_S, PONG_DEADLINE_S)
SPOT_HEARTBEAT = Heartbeat(20.0, 60.0)
SPOT_STREAMS = StreamDialect(parse=parse_spot_stream_name, requests_per_second=5)


class SpotParts(msgspec.Struct, frozen=True):
    """What serves spot's WebSockets."""

    gate: RequestGate
    hub: SpotStreamHub


class WebSocketGate:
    """Serves the WebSockets of one exchange."""

    def __init__(self, gate: RequestGate, hub: StreamHub, spot: SpotParts, *, strict_routing: bool) -> None:
        self._gate, self._hub, self._strict, self._spot = gate, hub, strict_routing, spot
        self._farewells: dict[WebSocketConnection, Callable[[], str]] = {}
        self._open: dict[WebSocketConnection, WebSocketLine] = {}

    @property
    def open_connections(self) -> int:
        """How many WebSockets are open now."""
        return len(self._open)

    def lines(self) -> tuple[WebSocketLine, ...]:
        """Return the open connections, oldest first."""
        return tuple(self._open.values())

    async def serve(self, request: WebSocketRequest, address: str, stream: PeekedStream) -> None:
        """Serve one handshake and the connection that follows; `stream` is what both go over."""
        disturbance = self._gate.disturbance
        refusal = None if disturbance is None else disturbance.handshake(request.path, address)
        if refusal is not None and refusal.silent:
            while await stream.receive_some():
                pass
            return
        if refusal is not None:
            await request.reject(refusal.status, extra_headers=list(refusal.headers), body=refusal.body)
            return
        parts = urlsplit(request.path)
        segments = [segment for segment in parts.path.split("/") if segment]
        path = "/" + "/".join(segments)
        if path in API_PATHS:
            await self._serve_api(request, address, parts.query, stream)
        elif path == SPOT_API_PATH:
            await self._serve_spot_api(request, address, parts.query, stream)
        elif segments[:1] == [SPOT_PREFIX] and (target := _stream_path(segments[1:])) is not None:
            await self._serve_spot_streams(request, target, parts.query, stream)
        elif (target := _stream_path(segments)) is not None:
            route, combined, names = target
            await self._serve_streams(request, route, combined, names, parts.query, stream)
        else:
            await request.reject(404, body=b'{"code":-5000,"msg":"Path is invalid"}')

    async def _serve_api(self, request: WebSocketRequest, address: str, query: str, stream: PeekedStream) -> None:
        try:
            self._gate.limits.spend_weight(address, HANDSHAKE_WEIGHT, self._gate.clock.now_ms())
        except LimitRefusal as refusal:
            headers = [(b"retry-after", str(refusal.retry_after_s).encode())]
            await request.reject(refusal.status, extra_headers=headers)
            return
        websocket = await request.accept()
        session = WebSocketApiSession(self._gate, address, query)
        line = self._line(websocket, stream, request.path, Transport.WS_API)

        async def answer_requests() -> None:
            async with trio.open_nursery() as late:
                while True:
                    text, delivery = await session.answer_text(await websocket.get_message())
                    if delivery is not None and delivery.delay_s:
                        late.start_soon(_send_late, line, text.decode(), delivery)
                    else:
                        await line.send(text.decode(), delivery)

        await self._live(websocket, line, answer_requests)

    async def _serve_streams(
        self,
        request: WebSocketRequest,
        route: Route,
        combined: bool,
        names: list[str],
        query: str,
        stream: PeekedStream,
    ) -> None:
        options = parse_qs(query)
        streams = [*names, *_listed(options, "streams"), *_listed(options, "listenKey")]
        websocket = await request.accept()
        line = self._line(websocket, stream, request.path, Transport.STREAM)
        connection = StreamConnection(
            websocket,
            line,
            self._hub,
            route,
            strict=self._strict,
            combined=combined,
            user_kinds=_listed(options, "events"),
        )
        await self._live(websocket, line, lambda: connection.run(streams))

    async def _serve_spot_api(self, request: WebSocketRequest, address: str, query: str, stream: PeekedStream) -> None:
        gate = self._spot.gate
        try:
            gate.limits.spend_weight(address, SPOT_HANDSHAKE_WEIGHT, gate.clock.now_ms())
        except LimitRefusal as refusal:
            headers = [(b"retry-after", str(refusal.retry_after_s).encode())]
            await request.reject(refusal.status, extra_headers=headers)
            return
        websocket = await request.accept()
        line = self._line(websocket, stream, request.path, Transport.WS_API)
        session = SpotWebSocketSession(gate, self._spot.hub, websocket, line, address, query)
        await self._live_on_spot(websocket, line, session.run, session.farewell)

    async def _serve_spot_streams(
        self, request: WebSocketRequest, target: tuple[Route, bool, list[str]], query: str, stream: PeekedStream
    ) -> None:
        route, combined, names = target
        if route is not Route.UNROUTED:
            await request.reject(404, body=b'{"code":-5000,"msg":"Path is invalid"}')
            return
        options = parse_qs(query)
        websocket = await request.accept()
        line = self._line(websocket, stream, request.path, Transport.STREAM)
        connection = StreamConnection(
            websocket,
            line,
            self._spot.hub,
            route,
            strict=False,
            combined=combined,
            dialect=SPOT_STREAMS,
            microseconds=options.get("timeUnit", [""])[0].upper() == "MICROSECOND",
        )
        wanted = [*names, *_listed(options, "streams")]

        def farewell() -> str:
            event = shutdown_event(self._gate.clock.now_ms())
            return shutdown_text(event, combined=connection.combined, microseconds=connection.microseconds)

        await self._live_on_spot(websocket, line, lambda: connection.run(wanted), farewell)

    async def _live_on_spot(
        self,
        websocket: WebSocketConnection,
        line: WebSocketLine,
        serve: Callable[[], Awaitable[None]],
        farewell: Callable[[], str],
    ) -> None:
        """Run one of spot's connections; `farewell` says what it is told before the server stops."""
        self._farewells[websocket] = farewell
        try:
            await self._live(websocket, line, serve, SPOT_HEARTBEAT)
        finally:
            del self._farewells[websocket]

    def _line(
        self, websocket: WebSocketConnection, stream: PeekedStream, path: str, transport: Transport
    ) -> WebSocketLine:
        return WebSocketLine(websocket, stream, path, transport, self._gate.disturbance)

    async def _live(
        self,
        websocket: WebSocketConnection,
        line: WebSocketLine,
        serve: Callable[[], Awaitable[None]],
        heartbeat: Heartbeat = FUTURES_HEARTBEAT,
    ) -> None:
        """Run a connection until it ends, misses its pongs, or is a day old."""
        self._open[websocket] = line
        try:
            with trio.move_on_after(CONNECTION_LIFE_S) as life:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_keep_alive, websocket, nursery.cancel_scope, heartbeat)
                    with contextlib.suppress(ConnectionClosed):
                        await serve()
                    nursery.cancel_scope.cancel(reason="the connection is over")
            if life.cancelled_caught:
                await line.close(GOING_AWAY, "connection is 24 h old")
        finally:
            del self._open[websocket]

    async def close_all(self) -> None:
        """Send each open connection a close frame (1001); those who do not answer in time are dropped.

        Spot's are told before that the server stops.
        """
        with trio.move_on_after(GOODBYE_S):
            async with trio.open_nursery() as nursery:
                for websocket in list(self._open):
                    nursery.start_soon(_close, websocket, self._farewells.get(websocket))


async def _close(websocket: WebSocketConnection, farewell: Callable[[], str] | None) -> None:
    with contextlib.suppress(ConnectionClosed):
        if farewell is not None:
            await websocket.send_message(farewell())
    await websocket.aclose(GOING_AWAY, "the exchange stops")


async def _send_late(line: WebSocketLine, text: str, delivery: Delivery) -> None:
    with contextlib.suppress(ConnectionClosed):
        await line.send(text, delivery)


async def _keep_alive(websocket: WebSocketConnection, connection: trio.CancelScope, beat: Heartbeat) -> None:
    """Ping at intervals with the time as payload; end the connection when a pong stays out too long."""
    async with trio.open_nursery() as pings:
        while True:
            await trio.sleep(beat.interval_s)
            pings.start_soon(_ping_once, websocket, connection, beat.deadline_s)


async def _ping_once(websocket: WebSocketConnection, connection: trio.CancelScope, deadline_s: float) -> None:
    try:
        with trio.move_on_after(deadline_s) as waiting:
            await websocket.ping(str(int(trio.current_time() * 1000)).encode())
    except ConnectionClosed:
        return
    if waiting.cancelled_caught:
        logger.info("no pong in %.0f s: connection ended", deadline_s)
        connection.cancel(reason="no pong")


def _stream_path(segments: list[str]) -> tuple[Route, bool, list[str]] | None:
    """Return (route, combined, names in the path) of a stream path; None for any other."""
    route = Route.UNROUTED
    if segments and segments[0] in (Route.PUBLIC.value, Route.MARKET.value, Route.PRIVATE.value):
        route = Route(segments[0])
        segments = segments[1:]
    if not segments or segments[0] not in ("ws", "stream"):
        return None
    # Several names may stand in one path; ccxt puts a plain counter there, which names no stream.
    return route, segments[0] == "stream", [name for name in segments[1:] if not name.isdigit()]


def _listed(options: dict[str, list[str]], name: str) -> list[str]:
    return [text for value in options.get(name, []) for text in value.split("/") if text]

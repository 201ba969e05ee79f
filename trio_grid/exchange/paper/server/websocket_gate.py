"""Where a WebSocket leads: by its path to market streams, user data or the WebSocket API; and how long it may live.

Owns the paths, the server's pings and the limits of a connection's life. It must never read what a connection carries.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest

from trio_grid.exchange.paper.server.request_gate import RequestGate
from trio_grid.exchange.paper.server.request_limits import LimitRefusal
from trio_grid.exchange.paper.server.stream_connection import StreamConnection
from trio_grid.exchange.paper.server.stream_hub import StreamHub
from trio_grid.exchange.paper.server.stream_names import Route
from trio_grid.exchange.paper.server.ws_api import HANDSHAKE_WEIGHT, WebSocketApiSession

logger = logging.getLogger(__name__)

PING_INTERVAL_S = 180.0
PONG_DEADLINE_S = 600.0
CONNECTION_LIFE_S = 24 * 3600.0
GOING_AWAY = 1001
GOODBYE_S = 5.0
"""How long a close handshake may take before the connection is dropped without one."""

API_PATHS = ("/ws-fapi/v1",)


class WebSocketGate:
    """Serves the WebSockets of one exchange."""

    def __init__(self, gate: RequestGate, hub: StreamHub, *, strict_routing: bool) -> None:
        self._gate, self._hub, self._strict = gate, hub, strict_routing
        self._open: dict[WebSocketConnection, None] = {}

    @property
    def open_connections(self) -> int:
        """How many WebSockets are open now."""
        return len(self._open)

    async def serve(self, request: WebSocketRequest, address: str) -> None:
        """Serve one handshake and the connection that follows."""
        parts = urlsplit(request.path)
        segments = [segment for segment in parts.path.split("/") if segment]
        path = "/" + "/".join(segments)
        if path in API_PATHS:
            await self._serve_api(request, address, parts.query)
        elif (stream := _stream_path(segments)) is not None:
            route, combined, names = stream
            await self._serve_streams(request, route, combined, names, parts.query)
        else:
            await request.reject(404, body=b'{"code":-5000,"msg":"Path is invalid"}')

    async def _serve_api(self, request: WebSocketRequest, address: str, query: str) -> None:
        try:
            self._gate.limits.spend_weight(address, HANDSHAKE_WEIGHT, self._gate.clock.now_ms())
        except LimitRefusal as refusal:
            headers = [(b"retry-after", str(refusal.retry_after_s).encode())]
            await request.reject(refusal.status, extra_headers=headers)
            return
        websocket = await request.accept()
        session = WebSocketApiSession(self._gate, address, query)

        async def answer_requests() -> None:
            while True:
                message = await websocket.get_message()
                await websocket.send_message((await session.answer_text(message)).decode())

        await self._live(websocket, answer_requests)

    async def _serve_streams(
        self, request: WebSocketRequest, route: Route, combined: bool, names: list[str], query: str
    ) -> None:
        options = parse_qs(query)
        streams = [*names, *_listed(options, "streams"), *_listed(options, "listenKey")]
        websocket = await request.accept()
        connection = StreamConnection(
            websocket,
            self._hub,
            route,
            strict=self._strict,
            combined=combined,
            user_kinds=_listed(options, "events"),
        )
        await self._live(websocket, lambda: connection.run(streams))

    async def _live(self, websocket: WebSocketConnection, serve: Callable[[], Awaitable[None]]) -> None:
        """Run a connection until it ends, misses its pongs, or is a day old."""
        self._open[websocket] = None
        try:
            with trio.move_on_after(CONNECTION_LIFE_S) as life:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_keep_alive, websocket, nursery.cancel_scope)
                    with contextlib.suppress(ConnectionClosed):
                        await serve()
                    nursery.cancel_scope.cancel(reason="the connection is over")
            if life.cancelled_caught:
                await self._say_goodbye(websocket)
        finally:
            del self._open[websocket]

    @staticmethod
    async def _say_goodbye(websocket: WebSocketConnection) -> None:
        with trio.move_on_after(GOODBYE_S):
            await websocket.aclose(GOING_AWAY, "connection is 24 h old")

    async def close_all(self) -> None:
        """Send each open connection a close frame (1001); those who do not answer in time are dropped."""
        with trio.move_on_after(GOODBYE_S):
            async with trio.open_nursery() as nursery:
                for websocket in list(self._open):
                    nursery.start_soon(_close, websocket)


async def _close(websocket: WebSocketConnection) -> None:
    await websocket.aclose(GOING_AWAY, "the exchange stops")


async def _keep_alive(websocket: WebSocketConnection, connection: trio.CancelScope) -> None:
    """Ping every 3 minutes with the time as payload; end the connection when a pong stays out for 10 minutes."""
    async with trio.open_nursery() as pings:
        while True:
            await trio.sleep(PING_INTERVAL_S)
            pings.start_soon(_ping_once, websocket, connection)


async def _ping_once(websocket: WebSocketConnection, connection: trio.CancelScope) -> None:
    try:
        with trio.move_on_after(PONG_DEADLINE_S) as waiting:
            await websocket.ping(str(int(trio.current_time() * 1000)).encode())
    except ConnectionClosed:
        return
    if waiting.cancelled_caught:
        logger.info("no pong in %.0f s: connection ended", PONG_DEADLINE_S)
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

"""The paper exchange as a server: its parts composed, and the one door, HTTP and WebSocket by the request's head.

Owns the composition and the connections, on any `trio.abc.Listener`: it looks at the head of each, hands WebSockets to
trio-websocket's server side and everything else to Hypercorn's handler with the Starlette app, and ends them all when
it is cancelled. `TCPServer` and `WorkerContext` are no documented interface of Hypercorn, so they appear here and
nowhere else. It must never read what a request asks for.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import attrs
import hypercorn.config
import trio
import trio_websocket
import wsproto.utilities
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.utils import wrap_app
from starlette.applications import Starlette

from trio_grid.exchange.paper.engine.exchange import PaperEvent, PaperExchange
from trio_grid.exchange.paper.server.authentication import ApiKey, KeyRing
from trio_grid.exchange.paper.server.connection_streams import (
    LARGEST_HEAD_BYTES,
    HttpConversation,
    PeekedStream,
    asks_for_websocket,
)
from trio_grid.exchange.paper.server.disturbance import Disturbance
from trio_grid.exchange.paper.server.exchange_task import ExchangeTask
from trio_grid.exchange.paper.server.listen_keys import ListenKeys
from trio_grid.exchange.paper.server.request_gate import RequestGate
from trio_grid.exchange.paper.server.request_limits import SPOT_SETTINGS, LimitSettings, RequestLimits
from trio_grid.exchange.paper.server.rest_api import make_app
from trio_grid.exchange.paper.server.server_clock import ServerClock
from trio_grid.exchange.paper.server.spot_stream_hub import SpotStreamHub, is_of_spot
from trio_grid.exchange.paper.server.stream_hub import StreamHub
from trio_grid.exchange.paper.server.websocket_gate import SPOT_API_PATH, SPOT_PREFIX, SpotParts, WebSocketGate
from trio_grid.exchange.paper.server.websocket_line import WebSocketLine

ResultT = TypeVar("ResultT")

logger = logging.getLogger(__name__)

HEAD_DEADLINE_S = 10.0
"""A connection that has not sent its request head by then is closed."""

KEEP_ALIVE_S = 75.0
"""Hypercorn's default of 5 s closes pooled connections under the client."""

LARGEST_MESSAGE_BYTES = 1024 * 1024

DEFAULT_KEY = "testkey"
DEFAULT_SECRET = "testsecret"  # noqa: S105 - the paper exchange's well-known default

WebSocketHandler = Callable[[trio_websocket.WebSocketRequest, str, PeekedStream], Awaitable[None]]
"""Serves one WebSocket until it ends: (request, address of the peer, the stream under it)."""


@attrs.frozen
class PaperUrls:
    """Where the exchange is reached: bases without a trailing slash, the WebSocket API with its path."""

    rest_url: str
    ws_url: str
    ws_api_url: str
    spot_ws_url: str
    spot_ws_api_url: str

    @classmethod
    def at(cls, host: str, port: int) -> PaperUrls:
        """Return the URLs of one address."""
        shown = f"[{host}]" if ":" in host else host
        base = f"ws://{shown}:{port}"
        return cls(
            rest_url=f"http://{shown}:{port}",
            ws_url=base,
            ws_api_url=f"{base}/ws-fapi/v1",
            spot_ws_url=f"{base}/{SPOT_PREFIX}",
            spot_ws_api_url=f"{base}{SPOT_API_PATH}",
        )


class ConnectionServer:
    """Serves listeners with one Starlette app and one WebSocket handler."""

    def __init__(self, app: Starlette, websocket: WebSocketHandler) -> None:
        self._websocket = websocket
        self._config = hypercorn.config.Config()
        self._config.include_date_header = False
        self._config.include_server_header = False
        self._config.keep_alive_timeout = KEEP_ALIVE_S
        self._config.keep_alive_max_requests = 1_000_000_000
        self._config.h11_max_incomplete_size = LARGEST_HEAD_BYTES
        self._config.errorlog = logging.getLogger(f"{__name__}.http")
        self._asgi = wrap_app(cast(Any, app), 0, "asgi")
        self._context = WorkerContext(None)

    async def run(
        self,
        listeners: Sequence[trio.abc.Listener[Any]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; ready as soon as the listeners accept."""
        async with trio.open_nursery() as nursery:
            await nursery.start(functools.partial(trio.serve_listeners, self._handle, list(listeners)))
            task_status.started()

    async def _handle(self, stream: Any) -> None:
        """Serve one connection. Whatever a peer does ends its own connection and nothing else."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_close_when_cancelled, stream)
                await self._dispatch(nursery, stream)
                nursery.cancel_scope.cancel(reason="connection over")
        except* (
            OSError,
            trio.BrokenResourceError,
            trio.ClosedResourceError,
            trio_websocket.HandshakeError,
            trio_websocket.ConnectionClosed,
            wsproto.utilities.ProtocolError,
        ) as gone:
            logger.debug("connection ended: %r", gone.exceptions)
        except* Exception:
            # A fault of ours, shown with its traceback. One client's connection must not end everybody's exchange.
            logger.exception("a connection failed")

    async def _dispatch(self, nursery: trio.Nursery, stream: Any) -> None:
        peeked = PeekedStream(stream)
        while True:
            head = b""
            with trio.move_on_after(HEAD_DEADLINE_S):
                head = await peeked.peek_head()
            if not head:
                return
            if asks_for_websocket(head):
                await self._serve_websocket(nursery, peeked)
                return
            conversation = HttpConversation(peeked, self._asgi)
            with conversation.scope:
                handler: Any = cast(Any, TCPServer)(conversation.app, self._config, self._context, {}, conversation)
                await handler.run()
            if not conversation.upgraded:
                return

    async def _serve_websocket(self, nursery: trio.Nursery, stream: PeekedStream) -> None:
        with trio.fail_after(HEAD_DEADLINE_S) as handshake:
            request = await trio_websocket.wrap_server_stream(nursery, stream, max_message_size=LARGEST_MESSAGE_BYTES)
            handshake.deadline = float("inf")
        await self._websocket(request, str(stream.socket.getpeername()[0]), stream)


async def _close_when_cancelled(stream: trio.abc.AsyncResource) -> None:
    """Close the stream under whoever uses it when the connection is cancelled.

    Hypercorn sends inside a shield: without this, one client that stops reading would hold the shutdown for ever.
    """
    try:
        await trio.sleep_forever()
    finally:
        await trio.aclose_forcefully(stream)


class PaperServer:
    """One exchange with everything that serves it. Construct it inside `trio.run`, then start `run` in a nursery."""

    def __init__(
        self,
        exchange: PaperExchange,
        *,
        clock: ServerClock,
        keys: Sequence[ApiKey] | None = None,
        limits: LimitSettings | None = None,
        strict_routing: bool = False,
        seed: int = 1,
        before_telling: Callable[[Sequence[PaperEvent]], None] | None = None,
        disturbance: Disturbance | None = None,
        spot_limits: LimitSettings | None = None,
    ) -> None:
        """Compose the server.

        `keys` None gives the default key to the first account. `before_telling` gets each batch of events before any
        client learns of them: the place to make the exchange's state durable. `disturbance` makes it misbehave.
        """
        self.exchange, self.clock = exchange, clock
        self.keys = KeyRing(tuple(default_keys(exchange) if keys is None else keys))
        self.limits = RequestLimits(limits)
        self.listen_keys = ListenKeys(seed)
        self.hub = StreamHub(exchange, self.listen_keys, clock)
        self.spot_limits = RequestLimits(spot_limits or SPOT_SETTINGS)
        self.spot_hub = SpotStreamHub(exchange, clock, self.spot_limits)
        self._task = ExchangeTask(
            exchange,
            clock,
            self._publish,
            before_telling=before_telling,
            next_publication_ms=self._next_publication_ms,
        )
        self._disturbance = disturbance
        gate = RequestGate(exchange, self._task, clock, self.keys, self.limits, self.listen_keys, disturbance)
        spot_gate = RequestGate(
            exchange, self._task, clock, self.keys, self.spot_limits, self.listen_keys, disturbance,
            of_spot=True,
        )  # fmt: skip
        spot = SpotParts(spot_gate, self.spot_hub)
        self._websockets = WebSocketGate(gate, self.hub, spot, strict_routing=strict_routing)
        self._connections = ConnectionServer(make_app(gate, spot_gate), self._websockets.serve)

    def __repr__(self) -> str:
        return f"<PaperServer {self.exchange!r} websockets={self._websockets.open_connections}>"

    async def run(
        self,
        listeners: Sequence[trio.abc.Listener[Any]],
        *,
        task_status: trio.TaskStatus[PaperUrls] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled. Ready, with the URLs, when the market is up to date and requests are taken."""
        host, port = cast(Any, listeners[0]).socket.getsockname()[:2]
        async with trio.open_nursery() as nursery:
            if self._disturbance is not None:
                await nursery.start(self._disturbance.run, self)
            await nursery.start(self._task.run)
            await nursery.start(self._connections.run, listeners)
            task_status.started(PaperUrls.at(host, port))

    async def call(self, command: Callable[[int], ResultT]) -> ResultT:
        """Have a command carried out by the exchange's own task, in its turn (now_ms -> result)."""
        return await self._task.call(command)

    def connections(self) -> tuple[WebSocketLine, ...]:
        """Return the open WebSockets, oldest first."""
        return self._websockets.lines()

    def _publish(self, events: Sequence[PaperEvent]) -> None:
        told = events if self._disturbance is None else self._disturbance.events(events)
        self.hub.publish([event for event in told if not is_of_spot(event)])
        self.spot_hub.publish([event for event in told if is_of_spot(event)])

    def _next_publication_ms(self) -> int | None:
        due = [self.hub.next_publication_ms(), self.spot_hub.next_publication_ms()]
        if self._disturbance is not None:
            due.append(self._disturbance.next_event_ms())
        return min((time_ms for time_ms in due if time_ms is not None), default=None)

    async def close_websockets(self) -> None:
        """Send every open WebSocket a close frame; call it before cancelling for a clean end."""
        await self._websockets.close_all()


def default_keys(exchange: PaperExchange) -> tuple[ApiKey, ...]:
    """Return the default key, `testkey` with secret `testsecret`, for the first account."""
    return (ApiKey(key=DEFAULT_KEY, account=exchange.accounts[0], secret=DEFAULT_SECRET),)

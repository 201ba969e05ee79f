"""One WebSocket of market or user streams: its subscriptions, its control requests, its bounded queue.

Owns the connection's state and Binance's control protocol (SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, properties). A
client that reads too slowly is cut when its queue is full; one that sends too much is cut as well.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from trio_grid.exchange.paper.server.stream_hub import StreamHub
from trio_grid.exchange.paper.server.stream_names import Route, StreamName, Topic, parse_stream_name
from trio_grid.exchange.paper.server.websocket_line import WebSocketLine

logger = logging.getLogger(__name__)

QUEUED_MESSAGES = 8192
"""Messages that wait for a slow reader before it is cut: some seconds of a lively market."""

STREAMS_PER_CONNECTION = 1024
REQUESTS_PER_SECOND = 10
POLICY_VIOLATION = 1008


class StreamDialect(msgspec.Struct, frozen=True, kw_only=True):
    """In what the markets' streams differ: their names, and how many requests a client may send in a second."""

    parse: Callable[[str], StreamName | None]
    requests_per_second: int


FUTURES_STREAMS = StreamDialect(parse=parse_stream_name, requests_per_second=REQUESTS_PER_SECOND)


class _Control(msgspec.Struct):
    """One control request."""

    id: int | str | None = None
    method: str | None = None
    params: list[Any] | None = None


class _Fault(Exception):
    """The control request is answered with an error; code 2 or 3."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class StreamConnection:
    """A receiver of streams. Use `run`; it returns when the client has gone or was cut."""

    def __init__(
        self,
        websocket: WebSocketConnection,
        line: WebSocketLine,
        hub: StreamHub,
        route: Route,
        *,
        strict: bool,
        combined: bool,
        user_kinds: Sequence[str] = (),
        dialect: StreamDialect = FUTURES_STREAMS,
        microseconds: bool = False,
    ) -> None:
        self.combined, self.microseconds = combined, microseconds
        self._dialect = dialect
        self._websocket, self._line = websocket, line
        self._hub, self._route, self._strict = hub, route, strict
        self._user_kinds = dict.fromkeys(user_kinds)
        self._names: dict[str, StreamName | None] = {}
        self._queue, self._outgoing = trio.open_memory_channel[str](QUEUED_MESSAGES)
        self._scope = trio.CancelScope()
        self._request_times: deque[float] = deque(maxlen=dialect.requests_per_second)

    # The hub's side ---------------------------------------------------------------------------------------------------

    def offer(self, text: str) -> None:
        """Queue a text, or cut the connection when it has no room left."""
        try:
            self._queue.send_nowait(text)
        except trio.WouldBlock:
            if not self._scope.cancel_called:
                logger.warning("a client reads too slowly: cut with %d messages waiting", QUEUED_MESSAGES)
                self._scope.cancel(reason="the client reads too slowly")

    def wants(self, kind: str) -> bool:
        """Return whether the client asked for user events of a kind; listenKeyExpired always comes."""
        return not self._user_kinds or kind in self._user_kinds or kind == "listenKeyExpired"

    # The connection's side --------------------------------------------------------------------------------------------

    async def run(self, streams: Sequence[str]) -> None:
        """Serve the connection, subscribed to some streams from the start."""
        try:
            with self._scope:
                try:
                    self._subscribe(streams)
                except _Fault as fault:
                    await self._websocket.aclose(POLICY_VIOLATION, fault.message)
                    return
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send_queued)
                    await self._receive()
                    nursery.cancel_scope.cancel(reason="the connection is over")
        finally:
            for name in self._names.values():
                if name is not None:
                    self._hub.unsubscribe(self, name)

    async def _send_queued(self) -> None:
        try:
            async for text in self._outgoing:
                await self._line.send_frame(text)
        except ConnectionClosed:
            return

    async def _receive(self) -> None:
        """Answer control requests until the client has gone or sends too many."""
        while True:
            try:
                message = await self._websocket.get_message()
            except ConnectionClosed:
                return
            now = trio.current_time()
            if len(self._request_times) == self._dialect.requests_per_second and now - self._request_times[0] < 1.0:
                await self._websocket.aclose(POLICY_VIOLATION, "Too many requests")
                return
            self._request_times.append(now)
            self.offer(self._answer(message))

    def _answer(self, message: str | bytes) -> str:
        request_id: int | str | None = None
        try:
            request = self._parse(message)
            request_id = request.id
            body: dict[str, Any] = {"result": self._carry_out(request), "id": request_id}
        except _Fault as fault:
            body = {"error": {"code": fault.code, "msg": fault.message}, "id": request_id}
        return msgspec.json.encode(body).decode()

    @staticmethod
    def _parse(message: str | bytes) -> _Control:
        try:
            return msgspec.json.decode(message, type=_Control)
        except msgspec.ValidationError as error:
            if str(error).endswith("`$.id`"):
                raise _Fault(2, "Invalid request: request ID must be an unsigned integer") from None
            raise _Fault(2, f"Invalid request: {error}") from None
        except (msgspec.DecodeError, UnicodeError) as error:
            raise _Fault(3, f"Invalid JSON: {error}") from None

    def _carry_out(self, request: _Control) -> Any:
        params = request.params or []
        match request.method:
            case "SUBSCRIBE":
                self._subscribe(_texts(params))
                return None
            case "UNSUBSCRIBE":
                self._unsubscribe(_texts(params))
                return None
            case "LIST_SUBSCRIPTIONS":
                return list(self._names)
            case "SET_PROPERTY":
                if len(params) != 2 or params[0] != "combined" or not isinstance(params[1], bool):
                    raise _Fault(2, "Invalid request: property must be 'combined' with true or false")
                self.combined = params[1]
                return None
            case "GET_PROPERTY":
                if params != ["combined"]:
                    raise _Fault(2, "Invalid request: property name must be 'combined'")
                return self.combined
            case None:
                raise _Fault(2, "Invalid request: missing field `method`")
            case unknown:
                raise _Fault(
                    2,
                    f"Invalid request: unknown variant `{unknown}`, expected one of `SUBSCRIBE`, "
                    "`UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY`",
                )

    def _subscribe(self, texts: Sequence[str]) -> None:
        """Add streams; one that does not exist, or that this route does not deliver, is acknowledged and silent."""
        wanted = [text for text in texts if text not in self._names]
        if len(self._names) + len(wanted) > STREAMS_PER_CONNECTION:
            raise _Fault(2, f"Invalid request: at most {STREAMS_PER_CONNECTION} streams per connection")
        for text in wanted:
            name = self._dialect.parse(text)
            if name is not None and not name.delivered_on(self._route, strict=self._strict):
                name = None
            self._names[text] = name
            if name is not None:
                self._hub.subscribe(self, name)
                if name.topic is Topic.USER:
                    self._line.carries_account(self._hub.account_of(name))

    def _unsubscribe(self, texts: Sequence[str]) -> None:
        for text in texts:
            name = self._names.pop(text, None)
            if name is not None:
                self._hub.unsubscribe(self, name)

    def __repr__(self) -> str:
        user = any(name is not None and name.topic is Topic.USER for name in self._names.values())
        return f"<StreamConnection {self._route.name} streams={len(self._names)} user={user}>"


def _texts(params: list[Any]) -> list[str]:
    if not all(isinstance(one, str) for one in params):
        raise _Fault(2, "Invalid request: invalid type, expected a string")
    return params

"""Spot's WebSocket API: the requests of futures' one, with spot's methods, and user data streams on the connection.

Owns the connection's subscriptions and its queue: answers and events leave in the order in which they came about. A
client that reads too slowly is cut when its queue is full.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.server.authentication import key_format
from trio_grid.exchange.paper.server.disturbance import Delivery, Transport
from trio_grid.exchange.paper.server.operations import Operation, Security, fixed
from trio_grid.exchange.paper.server.request_gate import Answer, RequestGate
from trio_grid.exchange.paper.server.spot_stream_hub import SpotStreamHub, shutdown_event
from trio_grid.exchange.paper.server.spot_tables import SPOT_METHODS
from trio_grid.exchange.paper.server.spot_time_units import answer_in_microseconds, in_microseconds
from trio_grid.exchange.paper.server.stream_connection import QUEUED_MESSAGES
from trio_grid.exchange.paper.server.websocket_line import WebSocketLine
from trio_grid.exchange.paper.server.ws_api import WebSocketApiSession

logger = logging.getLogger(__name__)

HANDSHAKE_WEIGHT = 2
SUBSCRIBE_WEIGHT = 2
CONNECTION_METHODS = (
    "session.logon",
    "session.status",
    "session.logout",
    "session.subscriptions",
    "userDataStream.subscribe",
    "userDataStream.subscribe.signature",
    "userDataStream.unsubscribe",
)


class SpotWebSocketSession(WebSocketApiSession):
    """One connection of spot's WebSocket API."""

    methods = SPOT_METHODS

    def __init__(
        self, gate: RequestGate, hub: SpotStreamHub, websocket: WebSocketConnection, line: WebSocketLine, address: str,
        query: str,
    ) -> None:  # fmt: skip
        super().__init__(gate, address, query)
        self._hub, self._websocket, self._line = hub, websocket, line
        self._subscriptions: dict[int, str] = {}
        self._of_session: set[int] = set()
        self._next_subscription = 0
        self._microseconds = parse_qs(query).get("timeUnit", [""])[0].upper() == "MICROSECOND"
        self._queue, self._outgoing = trio.open_memory_channel[tuple[str, Delivery | None, bool]](QUEUED_MESSAGES)
        self._scope = trio.CancelScope()

    # The hub's side ---------------------------------------------------------------------------------------------------

    def tell(self, account: str, payload: Mapping[str, Any]) -> None:
        """Queue an event of an account, once for each subscription to it."""
        told = in_microseconds(payload) if self._microseconds else payload
        for subscription, owner in self._subscriptions.items():
            if owner == account:
                text = msgspec.json.encode({"subscriptionId": subscription, "event": told}).decode()
                self._offer(text, None, True)

    def farewell(self) -> str:
        """Return the event that comes before the server stops."""
        event = shutdown_event(self._gate.clock.now_ms())
        return msgspec.json.encode({"event": in_microseconds(event) if self._microseconds else event}).decode()

    def _offer(self, text: str, delivery: Delivery | None, is_event: bool) -> None:
        try:
            self._queue.send_nowait((text, delivery, is_event))
        except trio.WouldBlock:
            if not self._scope.cancel_called:
                logger.warning("a client reads too slowly: cut with %d messages waiting", QUEUED_MESSAGES)
                self._scope.cancel(reason="the client reads too slowly")

    # The connection's side --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the connection until the client has gone or was cut."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send_queued)
                    with contextlib.suppress(ConnectionClosed):
                        while True:
                            text, delivery = await self.answer_text(await self._websocket.get_message())
                            self._offer(text.decode(), delivery, False)
                    nursery.cancel_scope.cancel(reason="the connection is over")
        finally:
            for account in set(self._subscriptions.values()):
                self._hub.unsubscribe_user(self, account)

    async def _send_queued(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async with trio.open_nursery() as late:
                async for text, delivery, is_event in self._outgoing:
                    if is_event:
                        await self._line.send_frame(text)
                    elif delivery is not None and delivery.delay_s:
                        late.start_soon(self._send_late, text, delivery)
                    else:
                        await self._line.send(text, delivery)

    async def _send_late(self, text: str, delivery: Delivery) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._line.send(text, delivery)

    # Requests ---------------------------------------------------------------------------------------------------------

    async def _dispatch(self, method: str, parameters: Mapping[str, str]) -> Answer:
        if method == "userDataStream.subscribe":
            if self._key is None:
                raise key_format()
            account = self._key.account
            return await self._local(SUBSCRIBE_WEIGHT, lambda now_ms: self._subscribe(account, of_session=True))
        if method == "userDataStream.subscribe.signature":
            operation = Operation(
                "subscribe user data",
                Security.SIGNED,
                fixed(SUBSCRIBE_WEIGHT),
                lambda call: self._subscribe(call.account),
            )
            credentials = self._credentials({"apiKey": "", **parameters})
            return await self._gate.answer(
                operation, parameters, credentials, self._address, transport=Transport.WS_API
            )
        if method == "userDataStream.unsubscribe":
            return await self._local(SUBSCRIBE_WEIGHT, lambda now_ms: self._unsubscribe(parameters))
        if method == "session.subscriptions":
            return await self._local(SUBSCRIBE_WEIGHT, lambda now_ms: self._listed())
        return await super()._dispatch(method, parameters)

    def _subscribe(self, account: str, *, of_session: bool = False) -> Any:
        subscription, self._next_subscription = self._next_subscription, self._next_subscription + 1
        self._subscriptions[subscription] = account
        if of_session:
            self._of_session.add(subscription)
        self._hub.subscribe_user(self, account)
        self._line.carries_account(account)
        return {"subscriptionId": subscription}

    def _unsubscribe(self, parameters: Mapping[str, str]) -> Any:
        """End one subscription, or all of them."""
        text = parameters.get("subscriptionId", "")
        if text and not (text.isascii() and text.isdigit() and int(text) in self._subscriptions):
            raise PaperRefusal(-1130, "Data sent for parameter 'subscriptionId' is not valid.")
        for subscription in [int(text)] if text else list(self._subscriptions):
            self._end(subscription)
        return {}

    def _end(self, subscription: int) -> None:
        """End a subscription; its last event says so."""
        account = self._subscriptions.pop(subscription)
        self._of_session.discard(subscription)
        if account not in self._subscriptions.values():
            self._hub.unsubscribe_user(self, account)
        event = {"e": "eventStreamTerminated", "E": self._gate.clock.now_ms()}
        told = in_microseconds(event) if self._microseconds else event
        self._offer(msgspec.json.encode({"subscriptionId": subscription, "event": told}).decode(), None, True)

    def _logout(self, now_ms: int) -> Any:
        """End the session, and with it the subscriptions that stood on it."""
        for subscription in sorted(self._of_session):
            self._end(subscription)
        return super()._logout(now_ms)

    def _listed(self) -> Any:
        return [{"subscriptionId": subscription} for subscription in self._subscriptions]

    def _status(self, now_ms: int) -> Any:
        return {**super()._status(now_ms), "userDataStream": bool(self._subscriptions)}

    def _render(self, request_id: msgspec.Raw, answer: Answer, shows_limits: bool) -> bytes:
        if self._microseconds and answer.body is not None:
            answer = msgspec.structs.replace(answer, body=answer_in_microseconds(answer.body))
        return super()._render(request_id, answer, shows_limits)

"""Who gets which of spot's events: the market streams, and the user streams that flow on the WebSocket API.

Owns the registry of both and the text of each event in milliseconds and, for those who want it, in microseconds. It
never waits: a connection whose queue is full is cut, and the exchange goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from trio_grid.exchange.paper.engine.exchange import PaperEvent, PaperExchange
from trio_grid.exchange.paper.engine.settlement import UserEvent
from trio_grid.exchange.paper.server.listen_keys import ListenKeys
from trio_grid.exchange.paper.server.request_limits import RequestLimits
from trio_grid.exchange.paper.server.server_clock import ServerClock
from trio_grid.exchange.paper.server.spot_derived_streams import SpotDerivedStreams
from trio_grid.exchange.paper.server.spot_time_units import in_microseconds
from trio_grid.exchange.paper.server.stream_hub import Channel, Receiver, StreamHub
from trio_grid.exchange.paper.server.stream_names import StreamName
from trio_grid.exchange.paper.spot.desk import SpotMarketEvent
from trio_grid.exchange.paper.spot.settlement import SpotUserEvent


class UserReceiver(Protocol):
    """A connection that gets an account's events."""

    def tell(self, account: str, payload: Mapping[str, Any]) -> None:
        """Take an event of an account; a receiver that has no room left cuts its connection and says nothing."""
        ...


def is_of_spot(event: PaperEvent) -> bool:
    """Return whether an event belongs to spot's streams."""
    return isinstance(event, SpotMarketEvent | SpotUserEvent)


class SpotStreamHub(StreamHub):
    """The subscriptions to spot. `publish` is called by the exchange's own task only."""

    def __init__(self, exchange: PaperExchange, clock: ServerClock, limits: RequestLimits) -> None:
        # Spot has no listen keys: the base's registry of them stays empty.
        super().__init__(exchange, ListenKeys(0), clock)
        self._spot, self._limits = exchange.spot, limits
        self._derived = SpotDerivedStreams(exchange)
        self._users: dict[str, dict[UserReceiver, None]] = {}

    def subscribe(self, receiver: Receiver, name: StreamName) -> None:
        """Add a receiver to a stream; its symbol is awake from now on."""
        for symbol in self._spot.symbols if name.symbol == "*" else (name.symbol,):
            if symbol in self._spot.symbols:
                self._spot.desk_named(symbol)
        super().subscribe(receiver, name)

    def subscribe_user(self, receiver: UserReceiver, account: str) -> None:
        """Tell a receiver an account's events from now on."""
        self._users.setdefault(account, {})[receiver] = None

    def unsubscribe_user(self, receiver: UserReceiver, account: str) -> None:
        """Tell it no more of them."""
        self._users.get(account, {}).pop(receiver, None)

    def _publish_user(self, event: UserEvent) -> None:
        if isinstance(event, SpotUserEvent) and event.fills:
            # An order that has begun to trade no longer counts as an unfilled one.
            self._limits.give_back_order(event.account, self._clock.now_ms())
        for receiver in list(self._users.get(event.account, ())):
            receiver.tell(event.account, event.payload)

    def _send(self, channel: Channel, payload: Mapping[str, Any] | Sequence[Any], user_kind: str = "") -> None:
        texts: dict[tuple[bool, bool], str] = {}
        for receiver in list(channel.receivers):
            form = (receiver.combined, receiver.microseconds)
            if form not in texts:
                told = in_microseconds(payload) if receiver.microseconds else payload
                whole = {"stream": channel.name.text, "data": told} if receiver.combined else told
                texts[form] = msgspec.json.encode(whole).decode()
            receiver.offer(texts[form])


def shutdown_event(now_ms: int) -> dict[str, Any]:
    """Return the event that comes before the server ends its connections."""
    return {"e": "serverShutdown", "E": now_ms}


def shutdown_text(event: Mapping[str, Any], *, combined: bool, microseconds: bool) -> str:
    """Return that event as a connection of market streams gets it."""
    told = in_microseconds(event) if microseconds else event
    return msgspec.json.encode({"stream": "!serverShutdown", "data": told} if combined else told).decode()

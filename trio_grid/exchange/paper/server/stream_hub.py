"""Who gets which event: the subscriptions of all stream connections, and the text of each event made once.

Owns the registry and the queues' filling. It never waits: a connection whose queue is full is cut, and the exchange
goes on. It must never read the exchange except through the queries that derived streams need.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from trio_grid.exchange.paper.engine.exchange import MarketEvent, PaperEvent, PaperExchange, UserEvent
from trio_grid.exchange.paper.server.derived_streams import DerivedStreams
from trio_grid.exchange.paper.server.listen_keys import ListenKeys
from trio_grid.exchange.paper.server.server_clock import ServerClock
from trio_grid.exchange.paper.server.stream_names import StreamName, Topic

logger = logging.getLogger(__name__)


class Receiver(Protocol):
    """A connection as the hub sees it."""

    combined: bool
    microseconds: bool

    def offer(self, text: str) -> None:
        """Queue a text; a receiver that has no room left cuts its connection and says nothing."""
        ...

    def wants(self, kind: str) -> bool:
        """Return whether user events of a kind are asked for."""
        ...


_KIND_TOPICS = {
    "bookTicker": Topic.BOOK_TICKER,
    "aggTrade": Topic.AGG_TRADE,
    "trade": Topic.TRADE,
    "forceOrder": Topic.FORCE_ORDER,
}


_PERIODIC = (
    Topic.DEPTH,
    Topic.PARTIAL_DEPTH,
    Topic.TICKER,
    Topic.MINI_TICKER,
    Topic.AVERAGE_PRICE,
    Topic.SECOND_KLINE,
    Topic.ROLLING_TICKER,
)


class Channel:
    """One stream name with its receivers."""

    __slots__ = ("due_ms", "name", "receivers")

    def __init__(self, name: StreamName) -> None:
        self.name = name
        self.receivers: dict[Receiver, None] = {}
        self.due_ms = 0


class StreamHub:
    """The subscriptions of one exchange. `publish` is called by the exchange's own task only."""

    def __init__(self, exchange: PaperExchange, listen_keys: ListenKeys, clock: ServerClock) -> None:
        self._listen_keys, self._clock = listen_keys, clock
        self._derived = DerivedStreams(exchange)
        self._periodic: dict[str, Channel] = {}
        self._channels: dict[str, Channel] = {}
        self._by_topic: dict[tuple[Topic, str], dict[str, Channel]] = {}

    def __repr__(self) -> str:
        return f"<StreamHub {len(self._channels)} streams>"

    def subscribe(self, receiver: Receiver, name: StreamName) -> None:
        """Add a receiver to a stream."""
        channel = self._channels.get(name.text)
        if channel is None:
            channel = self._channels[name.text] = Channel(name)
            self._by_topic.setdefault((name.topic, name.symbol), {})[name.text] = channel
            if name.topic in _PERIODIC:
                self._periodic[name.text] = channel
        channel.receivers[receiver] = None

    def unsubscribe(self, receiver: Receiver, name: StreamName) -> None:
        """Take a receiver off a stream; a stream without receivers costs nothing more."""
        channel = self._channels.get(name.text)
        if channel is None:
            return
        channel.receivers.pop(receiver, None)
        if not channel.receivers:
            del self._channels[name.text]
            self._periodic.pop(name.text, None)
            siblings = self._by_topic[(name.topic, name.symbol)]
            del siblings[name.text]
            if not siblings:
                del self._by_topic[(name.topic, name.symbol)]
            self._derived.forget(name)

    def account_of(self, name: StreamName) -> str:
        """Return the account of a user stream; empty while its listen key is not valid."""
        return self._listen_keys.account_of(name.text) or ""

    # Called by the exchange's task ------------------------------------------------------------------------------------

    def publish(self, events: Sequence[PaperEvent]) -> None:
        """Hand events to whoever asked for them, in order; also what is due by time alone."""
        for event in events:
            if isinstance(event, UserEvent):
                self._publish_user(event)
            else:
                self._publish_market(event)
        self._expire_listen_keys()
        self._publish_due()

    def next_publication_ms(self) -> int | None:
        """Return when, in exchange time, something is due by time alone: a periodic stream, a listen key's end."""
        times = [channel.due_ms for channel in self._periodic.values()]
        expiry_ms = self._listen_keys.next_expiry_ms()
        if expiry_ms is not None:
            times.append(self._clock.now_ms() + int((expiry_ms - self._clock.uptime_ms()) * self._clock.speed) + 1)
        return min(times, default=None)

    def _publish_market(self, event: MarketEvent) -> None:
        topic = _KIND_TOPICS.get(event.kind)
        if topic is not None:
            for symbol in (event.symbol, "*"):
                for channel in self._of(topic, symbol):
                    self._send(channel, event.payload)
        elif event.kind == "kline":
            for channel in self._of(Topic.KLINE, event.symbol):
                self._send(channel, self._derived.kline(event, channel.name.interval))
            for channel in self._of(Topic.CONTINUOUS_KLINE, event.symbol):
                self._send(channel, self._derived.continuous_kline(event, channel.name.interval))
        elif event.kind == "markPrice":
            self._publish_mark_price(event)

    def _publish_mark_price(self, event: MarketEvent) -> None:
        for symbol in (event.symbol, "*"):
            for channel in self._of(Topic.MARK_PRICE, symbol):
                if event.time_ms >= channel.due_ms:
                    channel.due_ms = event.time_ms - event.time_ms % channel.name.speed_ms + channel.name.speed_ms
                    self._send(channel, [event.payload] if symbol == "*" else event.payload)

    def _publish_user(self, event: UserEvent) -> None:
        key = self._listen_keys.key_of(event.account)
        channel = self._channels.get(key) if key is not None else None
        if channel is not None:
            self._send(channel, event.payload, event.kind)

    def _expire_listen_keys(self) -> None:
        for key in self._listen_keys.expire(self._clock.uptime_ms()):
            channel = self._channels.get(key)
            if channel is not None:
                payload = {"e": "listenKeyExpired", "E": self._clock.now_ms(), "listenKey": key}
                self._send(channel, payload, "listenKeyExpired")

    def _publish_due(self) -> None:
        now_ms = self._clock.now_ms()
        for channel in list(self._periodic.values()):
            name = channel.name
            if now_ms >= channel.due_ms:
                channel.due_ms = now_ms - now_ms % name.speed_ms + name.speed_ms
                payload = self._derived.periodic(name, now_ms)
                if payload is not None:
                    self._send(channel, payload)

    def _of(self, topic: Topic, symbol: str) -> list[Channel]:
        return list(self._by_topic.get((topic, symbol), {}).values())

    def _send(self, channel: Channel, payload: Mapping[str, Any] | Sequence[Any], user_kind: str = "") -> None:
        raw = msgspec.json.encode(payload).decode()
        wrapped = ""
        for receiver in list(channel.receivers):
            if user_kind and not receiver.wants(user_kind):
                continue
            if receiver.combined:
                wrapped = wrapped or f'{{"stream":{msgspec.json.encode(channel.name.text).decode()},"data":{raw}}}'
                receiver.offer(wrapped)
            else:
                receiver.offer(raw)

"""What went over the bot's links, read frame by frame, and the faults that are injected into it.

Owns the reading of WebSocket frames as they are on the wire (masks and all), so that flags are seen where they count,
and not where the program says that it sends them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import trio

from trio_grid.testing.bot import ORDER_ENTRY, Simulation
from trio_grid.testing.memory_network import Direction, Link


@attrs.frozen
class Message:
    """One message: a REST request (`method` is `GET /path`) or a WebSocket text frame (`method` of the frame or "")."""

    at: float
    link: Link
    direction: Direction
    method: str
    body: dict[str, Any]

    @property
    def is_order(self) -> bool:
        """True for a new order, on either path."""
        return self.direction is Direction.TO_SERVER and self.method in ("order.place", "POST /fapi/v1/order")

    @property
    def is_cancel(self) -> bool:
        """True for a cancel, on either path."""
        return self.direction is Direction.TO_SERVER and self.method in ("order.cancel", "DELETE /fapi/v1/order")


def text_frames(data: bytes) -> Iterator[str]:
    """Yield the text of each whole, unfragmented text frame in a write (RFC 6455, 5.2)."""
    place = 0
    while place + 2 <= len(data):
        opcode, masked, length = data[place] & 0x0F, data[place + 1] & 0x80, data[place + 1] & 0x7F
        place += 2
        if length >= 126:
            width = 2 if length == 126 else 8
            length, place = int.from_bytes(data[place : place + width], "big"), place + width
        mask = data[place : place + 4] if masked else bytes(4)
        place += 4 if masked else 0
        payload = data[place : place + length]
        place += length
        if opcode == 1:
            yield bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload)).decode()


def read(link: Link, direction: Direction, data: bytes) -> list[Message]:
    """Return the messages in one write; answers of REST and handshakes are none."""
    now = trio.current_time()
    if b" HTTP/1.1\r\n" in data[:4096]:
        verb, target = data.split(b" ", 2)[:2]
        parts = urlsplit(target.decode())
        return [Message(now, link, direction, f"{verb.decode()} {parts.path}", dict(parse_qsl(parts.query)))]
    if data[:1] == b"\x81":
        bodies = [json.loads(text) for text in text_frames(data)]
        return [Message(now, link, direction, str(body.get("method", "")), _params(body)) for body in bodies]
    return []


def _params(body: dict[str, Any]) -> dict[str, Any]:
    """Return what a frame is about: a request's parameters, a combined stream's event, or the frame itself."""
    inner = body.get("params", body.get("data"))
    return inner if isinstance(inner, dict) else body


class Wiretap:
    """Records every message from its making on; `lose` and `change` inject faults."""

    def __init__(self, simulation: Simulation) -> None:
        self._network = simulation.network
        self.messages: list[Message] = []
        self._network.watch(self._record)

    def _record(self, link: Link, direction: Direction, data: bytes) -> bytes:
        self.messages += read(link, direction, data)
        return data

    def requests(self, *methods: str) -> list[Message]:
        """Return what went to the server, of some methods or all."""
        return [
            message
            for message in self.messages
            if message.direction is Direction.TO_SERVER and (not methods or message.method in methods)
        ]

    @property
    def orders(self) -> list[Message]:
        """New orders, in the order of their sending."""
        return [message for message in self.messages if message.is_order]

    @property
    def cancels(self) -> list[Message]:
        """Cancels, in the order of their sending."""
        return [message for message in self.messages if message.is_cancel]

    def lose(self, unwanted: Callable[[Link, Direction, bytes], bool]) -> Callable[[], None]:
        """Lose the writes that a function names, until the returned function is called."""
        return self._network.watch(lambda link, direction, data: None if unwanted(link, direction, data) else data)

    def change(self, old: bytes, new: bytes) -> Callable[[], None]:
        """Put other bytes of the same length into what goes to clients, until the returned function is called."""
        if len(old) != len(new):
            raise ValueError("a change keeps the length: it stands in the frame's or the answer's head")

        def changed(link: Link, direction: Direction, data: bytes) -> bytes:
            return data.replace(old, new) if direction is Direction.TO_CLIENT else data

        return self._network.watch(changed)


def order_answers(link: Link, direction: Direction, data: bytes) -> bool:
    """Name the answers of the WebSocket API."""
    return direction is Direction.TO_CLIENT and link.target.startswith(ORDER_ENTRY) and data[:1] == b"\x81"


def order_events(link: Link, direction: Direction, data: bytes) -> bool:
    """Name the execution reports of the user stream."""
    return direction is Direction.TO_CLIENT and b'"ORDER_TRADE_UPDATE"' in data


def market_frames(link: Link, direction: Direction, data: bytes) -> bool:
    """Name everything that the market streams say, subscriptions' answers apart."""
    return direction is Direction.TO_CLIENT and b'"e":' in data and link.target.startswith(("/public", "/market"))

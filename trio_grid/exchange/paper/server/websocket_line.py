"""The outgoing side of one WebSocket: texts leave in their order, as usual or as a disturbance wants it.

Owns what is sent on the connection and its end; it must never read from it or decide what is said.
"""

from __future__ import annotations

import contextlib
import struct

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from trio_grid.exchange.paper.server.connection_streams import PeekedStream
from trio_grid.exchange.paper.server.disturbance import Delivery, Disturbance, Transport

GOODBYE_S = 5.0
"""How long a close handshake may take before the connection is dropped without one."""


class WebSocketLine:
    """One open WebSocket; `transport` and `account` say what it carries, once that is known."""

    def __init__(
        self,
        websocket: WebSocketConnection,
        stream: PeekedStream,
        path: str,
        transport: Transport,
        disturbance: Disturbance | None,
    ) -> None:
        self.path, self.transport, self.account = path, transport, ""
        self._websocket, self._stream, self._disturbance = websocket, stream, disturbance

    def __repr__(self) -> str:
        return f"<WebSocketLine {self.transport} {self.path}>"

    def carries_account(self, account: str) -> None:
        """Note that an account's events leave here."""
        self.transport, self.account = Transport.USER, account

    async def send_frame(self, text: str) -> None:
        """Send what a stream says; raises ConnectionClosed."""
        delivery = None if self._disturbance is None else self._disturbance.frame(self, text)
        await self.send(text, delivery)

    async def send(self, text: str, delivery: Delivery | None = None) -> None:
        """Send a text as its delivery says; raises ConnectionClosed when the connection is over."""
        if delivery is None:
            await self._websocket.send_message(text)
            return
        await trio.sleep(delivery.delay_s)
        if delivery.silent:
            return
        if delivery.rewrite is not None:
            text = delivery.rewrite(text.encode()).decode(errors="replace")
        if delivery.cut_share is None:
            await self._websocket.send_message(text)
        else:
            await self._send_part(text, delivery.cut_share)

    async def _send_part(self, text: str, cut_share: float) -> None:
        """Send the beginning of a frame, then reset the connection."""
        if cut_share:
            payload = text.encode()
            part = frame_head(len(payload)) + payload[: int(len(payload) * cut_share)]
            # Where a ping is just leaving, or the peer has gone, the reset alone is left to be seen.
            with contextlib.suppress(trio.BusyResourceError, trio.BrokenResourceError, trio.ClosedResourceError):
                await self._stream.send_all(part)
        self.reset()

    async def close(self, code: int, reason: str) -> None:
        """Close the connection with a code; one whose client does not answer in time is dropped."""
        with trio.move_on_after(GOODBYE_S):
            try:
                await self._websocket.aclose(code, reason)
            except ConnectionClosed:
                return

    def reset(self) -> None:
        """Reset the connection: both ends fail."""
        self._stream.reset()


def frame_head(length: int) -> bytes:
    """Return the head of an unmasked, unfragmented text frame with a payload of so many bytes (RFC 6455, 5.2)."""
    if length < 126:
        return struct.pack("!BB", 0x81, length)
    if length < 65_536:
        return struct.pack("!BBH", 0x81, 126, length)
    return struct.pack("!BBQ", 0x81, 127, length)

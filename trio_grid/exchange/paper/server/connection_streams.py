"""The streams between a connection and those who serve it: bytes that are looked at before they are handed on.

Owns the question which of two parts, HTTP or WebSocket, gets the next request of a connection. A client may ask for a
WebSocket on a connection that has carried plain requests before (aiohttp does), so the question comes up at every
request, not only at the first. It must never answer anything.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import trio

LARGEST_HEAD_BYTES = 64 * 1024

RESET = "trio_grid.reset"
"""The name under which the application finds, in a request's scope, the function that resets its connection."""

_LINGER_NOT = struct.pack("ii", 1, 0)


class PeekedStream(trio.abc.HalfCloseableStream):
    """A stream whose next bytes can be looked at and are given again."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._head = bytearray()
        self.socket = inner.socket

    async def peek_head(self) -> bytes:
        """Read until a request head is complete, too long or over, and return it in lower case."""
        while b"\r\n\r\n" not in self._head and len(self._head) < LARGEST_HEAD_BYTES:
            data = await self._inner.receive_some(65_536)
            if not data:
                break
            self._head += data
        return bytes(self._head).lower()

    def put_back(self, data: bytes) -> None:
        """Take bytes back that were received, to be given again."""
        self._head[:0] = data

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Give the bytes that were looked at, then the rest."""
        if self._head:
            data = bytes(self._head[:max_bytes])
            del self._head[: len(data)]
            await trio.lowlevel.checkpoint()
            return data
        return bytes(await self._inner.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Hand on."""
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Hand on."""
        await self._inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Hand on."""
        await self._inner.send_eof()

    async def aclose(self) -> None:
        """Hand on."""
        await self._inner.aclose()

    def reset(self) -> None:
        """End the connection as a crash does: what was sent may still arrive, then both ends fail."""
        reset = getattr(self._inner, "reset", None)
        if reset is not None:
            reset()
            return
        # A socket that does not linger answers its closing with a reset instead of an orderly end.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.socket.close()


def asks_for_websocket(head: bytes) -> bool:
    """Return whether a request head in lower case asks for a WebSocket, completely enough for a handshake."""
    return b"\r\nupgrade: websocket" in head and b"\r\nsec-websocket-key:" in head


class HttpConversation(trio.abc.HalfCloseableStream):
    """The plain requests of a connection, until it ends or asks for a WebSocket: a stream for Hypercorn's handler.

    `app` stands between the handler and the application, to know when a response ends; `scope` is to be entered around
    the handler, which otherwise lives on until its keep-alive time is over when the client has long gone.
    """

    def __init__(self, peeked: PeekedStream, app: Callable[..., Awaitable[None]]) -> None:
        self.socket = peeked.socket
        self.scope = trio.CancelScope()
        self.upgraded = False
        self._peeked, self._app = peeked, app
        self._between_requests = False
        self._running = 0
        self._over = False

    async def app(self, scope: Any, receive: Any, send: Any, *helpers: Any) -> None:
        """Run the application for one request."""

        async def note_the_end(message: Any) -> None:
            if message is not None and message["type"] == "http.response.body" and not message.get("more_body", False):
                # Before the bytes leave: the client's next request cannot be read earlier than this.
                self._between_requests = True
            await send(message)

        self._running += 1
        try:
            await self._app({**scope, RESET: self._peeked.reset}, receive, note_the_end, *helpers)
        finally:
            self._running -= 1
            if self._over:
                self._end()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Give the next bytes, or an end of file when the client has gone or asks for a WebSocket."""
        data = await self._peeked.receive_some(max_bytes)
        if self._between_requests and data:
            self._between_requests = False
            if b"GET ".startswith(data[:4]):
                self._peeked.put_back(data)
                if asks_for_websocket(await self._peeked.peek_head()):
                    self.upgraded = True
                    self._end()
                    return b""
                data = await self._peeked.receive_some(max_bytes)
        if not data:
            self._end()
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Hand on."""
        await self._peeked.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Hand on."""
        await self._peeked.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Hand on, unless the connection goes on as a WebSocket."""
        if not self.upgraded:
            await self._peeked.send_eof()

    async def aclose(self) -> None:
        """Close the connection, unless it goes on as a WebSocket."""
        if not self.upgraded:
            self._end()
            await self._peeked.aclose()

    def _end(self) -> None:
        """Stop the handler as soon as no request is being answered."""
        self._over = True
        if self._running == 0:
            self.scope.cancel(reason="the plain requests of this connection are over")

"""WebSocket connections.

Owns a connection from handshake to close: its reader, its pings, writes of several frames at once, and the translation
of every way in which it can end into one error. It never reconnects, and knows nothing of what is said on it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import h11
import trio
import trio_websocket
import wsproto.utilities

from trio_grid.errors import ExchangeError, ExchangeUnreachable
from trio_grid.exchange.binance.connector import NETWORK_ERRORS, Address, Connector, background_nursery
from trio_grid.exchange.binance.limits import Gate

OPEN_TIMEOUT_S = 10.0
"""TCP, TLS and the WebSocket handshake together; the same again for a subscription's confirmation."""

PING_INTERVAL_S = 20.0
PONG_TIMEOUT_S = 10.0
"""The exchange's own pings come every three minutes: too seldom to notice a dead link while orders rest."""

CLOSE_TIMEOUT_S = 1.0

RENEW_AFTER_S = 23 * 3600.0
"""The exchange cuts every connection at 24 hours; an hour before, a second one is opened and takes over."""
QUEUED_FRAMES = 64
"""Frames that may wait for the consumer before the reader, and with it the answers to pings, has to wait too."""

RECEIVE_BYTES = 64 * 1024


class NothingSent(ExchangeUnreachable):
    """The frames certainly never left the process."""


class _CorkedStream(trio.abc.Stream):
    """A stream whose writes can be collected and sent as one.

    trio-websocket writes each frame by itself. Since the stream under it is ours, several frames go out in one write,
    one TCP segment where they fit, with no private name touched.
    """

    def __init__(self, inner: trio.abc.Stream) -> None:
        self.inner = inner
        self._lock = trio.Lock()
        self._held: list[bytes] | None = None
        self.torn = False
        """A write was cut off: the peer may be in the middle of a frame, so nothing more may follow it."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._held is not None:
            self._held.append(bytes(data))
            await trio.lowlevel.checkpoint()
            return
        await self._write(data)

    def cork(self) -> None:
        self._held = []

    def discard(self) -> None:
        self._held = None

    async def uncork(self) -> None:
        held, self._held = self._held or [], None
        await self._write(b"".join(held))

    async def _write(self, data: bytes | bytearray | memoryview) -> None:
        async with self._lock:
            self.torn = True
            await self.inner.send_all(data)
            self.torn = False

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self.inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self.inner.aclose()


class _Reader:
    """Stands for the nursery that trio-websocket wants for its reader.

    The reader raises a refused handshake in its own task, where it would take the nursery down and reach the owner as
    a group; here it ends the opening instead.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.opening = trio.CancelScope()
        self.error: BaseException | None = None

    def start_soon(self, reader: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._run, reader)

    async def _run(self, reader: Callable[[], Awaitable[None]]) -> None:
        try:
            await reader()
        except (
            trio_websocket.HandshakeError,
            trio_websocket.ConnectionClosed,
            wsproto.utilities.ProtocolError,
            h11.ProtocolError,
        ) as error:
            self.error = error
        finally:
            self.opening.cancel()


class Link:
    """One open WebSocket connection; made by `open_link`."""

    def __init__(self, connection: trio_websocket.WebSocketConnection, stream: _CorkedStream, name: str) -> None:
        self._connection = connection
        self._stream = stream
        self._name = name
        self._sending = trio.Lock()
        self._failure: ExchangeError | None = None
        self._broken = trio.Event()
        self._pings = 0

    def __repr__(self) -> str:
        state = "open" if self._failure is None and self._connection.closed is None else "closed"
        return f"<Link {self._name} {state}>"

    async def receive(self) -> str | bytes:
        """Return the next frame.

        Raises:
            ExchangeUnreachable: the connection has ended.
            ListenKeyGone: it was ended because the user stream's key has gone.
        """
        try:
            return await self._connection.get_message()
        except trio_websocket.ConnectionClosed as error:
            raise self._ended(error) from None

    async def send(self, frames: Sequence[str]) -> None:
        """Send frames in one write.

        Raises:
            NothingSent: not one byte of them left the process.
            ExchangeUnreachable: the connection broke while they were written; some may have arrived.
        """
        async with self._sending:
            complete = False
            self._stream.cork()
            try:
                for frame in frames:
                    await self._connection.send_message(frame)
                complete = True
            except (trio_websocket.ConnectionClosed, wsproto.utilities.LocalProtocolError) as error:
                raise NothingSent(str(self._ended(error))) from None
            finally:
                if not complete:
                    # Closed, or cancelled: what was collected is dropped, so nothing of this call has left.
                    self._stream.discard()
            try:
                await self._stream.uncork()
            except NETWORK_ERRORS as error:
                raise self._ended(error) from None
            finally:
                if self._stream.torn:
                    self._broken.set()

    async def fail(self, failure: ExchangeError) -> None:
        """End the connection for a reason of our own; the consumer gets it as the error of its next receive."""
        self._failure = self._failure or failure
        await trio.aclose_forcefully(self._stream)

    async def keep_alive(self) -> None:
        """Ping the peer again and again; a missing answer ends the connection."""
        while True:
            await trio.sleep(PING_INTERVAL_S)
            self._pings += 1
            try:
                with trio.move_on_after(PONG_TIMEOUT_S) as waiting:
                    await self._connection.ping(str(self._pings).encode())
            except (trio_websocket.ConnectionClosed, wsproto.utilities.LocalProtocolError):
                return
            if waiting.cancelled_caught:
                await self.fail(ExchangeUnreachable(f"{self._name}: no answer to a ping in {PONG_TIMEOUT_S:g} s"))
                return

    async def end_when_torn(self) -> None:
        """End the connection when a write was cut off; its owner makes a new one."""
        await self._broken.wait()
        await self.fail(ExchangeUnreachable(f"{self._name}: a write was cut off"))

    async def close(self) -> None:
        """Say good-bye, waiting only briefly for the answer."""
        with trio.move_on_after(CLOSE_TIMEOUT_S):
            await self._connection.aclose()

    def _ended(self, error: BaseException) -> ExchangeError:
        if self._failure is not None:
            return self._failure
        reason = self._connection.closed
        detail = f"code {reason.code} {reason.reason or reason.name}" if reason is not None else str(error)
        return ExchangeUnreachable(f"{self._name}: the connection ended ({detail})")


@asynccontextmanager
async def open_link(connect: Connector, base_url: str, resource: str, *, name: str, gate: Gate) -> AsyncIterator[Link]:
    """Open a WebSocket connection to a base URL's host; `resource` is appended to its path.

    Raises:
        ExchangeUnreachable: no connection, the handshake was refused or not answered in time, or the exchange's limits
            forbid to try.
        ConfigError: the URL is not one, or speaks plain text to an address that is not loopback.
    """
    address = Address.parse(base_url)
    blocked_s = gate.blocked_s()
    if blocked_s > 0:
        raise ExchangeUnreachable(
            f"{name}: held back for {blocked_s:.0f} s by the exchange's limits", retry_after_s=blocked_s
        )
    async with background_nursery() as nursery:
        stream = _CorkedStream(await _connected(connect, address, name))
        try:
            link = Link(await _handshaken(nursery, stream, address, resource, name, gate), stream, name)
            nursery.start_soon(link.keep_alive)
            nursery.start_soon(link.end_when_torn)
            yield link
            await link.close()
        finally:
            await trio.aclose_forcefully(stream)


async def _connected(connect: Connector, address: Address, name: str) -> trio.abc.Stream:
    try:
        with trio.fail_after(OPEN_TIMEOUT_S):
            return await connect(address.host, address.port, address.tls)
    except NETWORK_ERRORS as error:
        raise ExchangeUnreachable(f"{name}: cannot connect to {address.authority}: {error}") from error
    except trio.TooSlowError:
        raise ExchangeUnreachable(f"{name}: no connection to {address.authority} in {OPEN_TIMEOUT_S:g} s") from None


async def _handshaken(
    nursery: trio.Nursery, stream: _CorkedStream, address: Address, resource: str, name: str, gate: Gate
) -> trio_websocket.WebSocketConnection:
    reader = _Reader(nursery)
    reader.opening.deadline = trio.current_time() + OPEN_TIMEOUT_S
    with reader.opening:
        return await trio_websocket.wrap_client_stream(
            cast(trio.Nursery, reader),
            cast(Any, stream),
            address.authority,
            address.path + resource,
            message_queue_size=QUEUED_FRAMES,
            receive_buffer_size=RECEIVE_BYTES,
        )
    if isinstance(reader.error, trio_websocket.ConnectionRejected):
        refusal = reader.error
        gate.refused_handshake(refusal.status_code, refusal.headers or (), refusal.body)
        raise ExchangeUnreachable(
            f"{name}: the handshake was refused with status {refusal.status_code}",
            retry_after_s=gate.blocked_s() or None,
        )
    raise ExchangeUnreachable(f"{name}: the handshake was not answered")

"""A network in memory: listeners, links that can be cut, stalled or made lossy, and the connector that clients use.

Owns the bytes between a client and the paper server in tests that run under MockClock. Each link is two byte pipes with
a finite window, so a peer that stops reading holds its sender up as TCP does. It must never touch a socket, a thread or
the wall clock, and never lose a byte unless it was told to.
"""

from __future__ import annotations

import collections
import contextlib
import enum
import functools
import operator
from collections.abc import Awaitable, Callable, Iterator

import trio

from trio_grid.testing.socket_facade import SocketFacade

Connector = Callable[[str, int, bool], Awaitable[trio.abc.HalfCloseableStream]]
"""Opens the stream to (host, port, tls): the one seam between a client and its network."""

Watch = Callable[["Link", "Direction", bytes], bytes | None]
"""Sees each write on a link (link, direction, bytes) and returns what is delivered of it; None: it is lost.

A write of the client's stack is one or several whole WebSocket frames or one part of a request, a write of the paper
server's one frame: what is lost is a message, never a part of one.
"""

WINDOW_BYTES = 256 * 1024
"""What a pipe holds before its sender has to wait; the order of a loopback socket's two buffers."""

FIRST_PORT = 40_000
CLIENT_HOST = "127.0.0.1"


class Direction(enum.StrEnum):
    """One of the two directions of a link."""

    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"


class Pipe:
    """One direction of a link: bytes in order, a window, and the ways in which it can misbehave."""

    def __init__(self, window_bytes: int = WINDOW_BYTES) -> None:
        self._buffer = bytearray()
        self._window_bytes = window_bytes
        self._changed = trio.lowlevel.ParkingLot()
        self._sending = False
        self._receiving = False
        self._broken = False
        self._ended = False
        self._reader_closed = False
        self._writer_closed = False
        self.watch: Callable[[bytes], bytes | None] | None = None
        self.stalled = False
        self.drop_bytes = 0
        self.carried_bytes = 0

    def __repr__(self) -> str:
        flags = [name for name in ("stalled", "_broken", "_ended") if getattr(self, name)]
        return f"<Pipe buffered={len(self._buffer)} carried={self.carried_bytes} {' '.join(flags)}>"

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Put bytes in, waiting while the window is full.

        Raises:
            trio.BrokenResourceError: the link was cut or the reader has closed.
            trio.ClosedResourceError: this end was closed.
            trio.BusyResourceError: another task is sending.
        """
        with self._alone():
            await trio.lowlevel.checkpoint()
            self._check_writable()
            if self.watch is not None:
                seen = self.watch(bytes(data))
                if seen is None:
                    return
                data = seen
                self._check_writable()
            view = memoryview(data)
            while len(view):
                room = self._window_bytes - len(self._buffer)
                if room <= 0:
                    await self._changed.park()
                    self._check_writable()
                    continue
                self._accept(bytes(view[:room]))
                view = view[room:]

    async def wait_writable(self) -> None:
        """Return when the window may have room."""
        with self._alone():
            await trio.lowlevel.checkpoint()
            self._check_writable()
            while len(self._buffer) >= self._window_bytes:
                await self._changed.park()
                self._check_writable()

    async def send_eof(self) -> None:
        """Send an end of file; the reader gets it after everything sent before."""
        with self._alone():
            await trio.lowlevel.checkpoint()
            self.end()

    async def receive(self, max_bytes: int | None) -> bytes:
        """Take bytes out; b"" after the writer's end of file."""
        if max_bytes is not None and operator.index(max_bytes) < 1:
            raise ValueError("max_bytes must be at least 1")
        if self._receiving:
            raise trio.BusyResourceError("another task is receiving on this stream")
        self._receiving = True
        try:
            await trio.lowlevel.checkpoint()
            while True:
                if self._reader_closed:
                    raise trio.ClosedResourceError("this stream was closed")
                if self._broken and (self.stalled or not self._buffer):
                    raise trio.BrokenResourceError("the link was cut")
                if not self.stalled and (self._buffer or self._ended):
                    data = bytes(self._buffer if max_bytes is None else self._buffer[:max_bytes])
                    del self._buffer[: len(data)]
                    self._changed.unpark_all()
                    return data
                await self._changed.park()
        finally:
            self._receiving = False

    def end(self) -> None:
        """Let nothing more in; the reader gets an end of file after what is there."""
        self._ended = True
        self._changed.unpark_all()

    def close_writer(self) -> None:
        """The writing end is closed: end of file for the reader."""
        self._writer_closed = True
        self.end()

    def close_reader(self) -> None:
        """The reading end is closed: the writer's next byte breaks."""
        self._reader_closed = True
        self._changed.unpark_all()

    def cut(self, *, lose: bool = True) -> None:
        """Both ends break, as by a reset; bytes under way are lost, or without `lose` can still be read."""
        self._broken = True
        if lose:
            self._buffer.clear()
        self._changed.unpark_all()

    def set_stalled(self, stalled: bool) -> None:
        """While stalled, bytes are accepted up to the window and not delivered."""
        self.stalled = stalled
        self._changed.unpark_all()

    @property
    def writable(self) -> bool:
        """False when the writer has closed or ended, or the link was cut."""
        return not (self._writer_closed or self._ended or self._broken)

    @property
    def reader_has_news(self) -> bool:
        """True when a receive would return at once (bytes, end of file or a break)."""
        return self._broken or (not self.stalled and bool(self._buffer or self._ended))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One task at a time may use the sending side."""
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._sending = True
        try:
            yield
        finally:
            self._sending = False

    def _check_writable(self) -> None:
        if self._writer_closed or self._ended:
            raise trio.ClosedResourceError("this stream was closed for sending")
        if self._broken or self._reader_closed:
            raise trio.BrokenResourceError("the peer is gone")

    def _accept(self, data: bytes) -> None:
        dropped = min(self.drop_bytes, len(data))
        self.drop_bytes -= dropped
        self._buffer += data[dropped:]
        self.carried_bytes += len(data) - dropped
        self._changed.unpark_all()


class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a link."""

    def __init__(self, incoming: Pipe, outgoing: Pipe, addresses: SocketFacade) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self.socket = addresses

    def is_readable(self) -> bool:
        """Return True when the peer has closed or bytes wait: an idle connection of a pool is then no longer usable."""
        return self._incoming.reader_has_news

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; waits while the peer's window is full."""
        await self._outgoing.send(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room for bytes."""
        await self._outgoing.wait_writable()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what has arrived."""
        return await self._incoming.receive(max_bytes)

    async def send_eof(self) -> None:
        """End this end's direction; the other goes on."""
        await self._outgoing.send_eof()

    async def aclose(self) -> None:
        """Close both directions."""
        self._outgoing.close_writer()
        self._incoming.close_reader()
        await trio.lowlevel.checkpoint()

    def reset(self) -> None:
        """Break both directions; the peer may still read what was sent before."""
        self._outgoing.cut(lose=False)
        self._incoming.cut()


class Link:
    """One connection, with the handles that a test needs on it."""

    def __init__(self, owner: str, server: tuple[str, int], client: tuple[str, int], window_bytes: int) -> None:
        self.owner = owner
        self.target = ""
        """Path and query of the first request on the link: it tells the streams from the WebSocket API and REST."""
        self.watch: Watch | None = None
        self.pipes = {direction: Pipe(window_bytes) for direction in Direction}
        for direction, pipe in self.pipes.items():
            pipe.watch = functools.partial(self._written, direction)
        to_server, to_client = self.pipes[Direction.TO_SERVER], self.pipes[Direction.TO_CLIENT]
        self.client_end = MemoryStream(to_client, to_server, SocketFacade(client, server))
        self.server_end = MemoryStream(to_server, to_client, SocketFacade(server, client))

    def __repr__(self) -> str:
        return f"<Link {self.owner} {self.target} {self.pipes}>"

    @property
    def open(self) -> bool:
        """False once the link was cut or its client has closed its end."""
        return self.pipes[Direction.TO_SERVER].writable

    def _written(self, direction: Direction, data: bytes) -> bytes | None:
        if direction is Direction.TO_SERVER and not self.target:
            words = data.split(b"\r\n", 1)[0].split(b" ")
            self.target = words[1].decode(errors="replace") if len(words) > 2 else "?"
        return data if self.watch is None else self.watch(self, direction, data)

    def cut(self) -> None:
        """Break the connection as a reset does: both ends fail at once, bytes under way are lost."""
        for pipe in self.pipes.values():
            pipe.cut()

    def stall(self, direction: Direction) -> None:
        """Deliver nothing more in a direction, until `resume`; the connection looks alive."""
        self.pipes[direction].set_stalled(True)

    def resume(self, direction: Direction) -> None:
        """Deliver again, what has piled up first."""
        self.pipes[direction].set_stalled(False)

    def drop(self, direction: Direction, count: int) -> None:
        """Lose the next `count` bytes of a direction."""
        self.pipes[direction].drop_bytes += count

    def close_server_end(self) -> None:
        """End the connection from the server's side, as an orderly close does."""
        self.pipes[Direction.TO_CLIENT].close_writer()
        self.pipes[Direction.TO_SERVER].close_reader()


class MemoryListener(trio.abc.Listener[MemoryStream]):
    """Accepts links; serves wherever a `trio.abc.Listener` does."""

    def __init__(self, port: int = FIRST_PORT, window_bytes: int = WINDOW_BYTES) -> None:
        self.address = (CLIENT_HOST, port)
        self.socket = SocketFacade(self.address, ("0.0.0.0", 0))  # noqa: S104 - an address of nothing, never bound
        self._window_bytes = window_bytes
        self._offer, self._accepted = trio.open_memory_channel[MemoryStream](0)
        self._links: collections.deque[Link] = collections.deque(maxlen=4096)
        self._next_client_port = port + 1
        self.watch: Watch | None = None

    async def connect(self, owner: str = "") -> MemoryStream:
        """Open a link and return the client's end.

        Raises:
            ConnectionRefusedError: the listener is closed.
        """
        client = (CLIENT_HOST, self._next_client_port)
        self._next_client_port += 1
        link = Link(owner, self.address, client, self._window_bytes)
        link.watch = self._written
        try:
            await self._offer.send(link.server_end)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ConnectionRefusedError(f"nothing listens at {self.address}") from None
        self._links.append(link)
        return link.client_end

    def links(self, owner: str | None = None) -> Iterator[Link]:
        """Yield the links, oldest first, of one owner or of all; closed ones too (the newest 4,096)."""
        return iter([link for link in self._links if owner is None or link.owner == owner])

    def _written(self, link: Link, direction: Direction, data: bytes) -> bytes | None:
        return data if self.watch is None else self.watch(link, direction, data)

    async def accept(self) -> MemoryStream:
        """Wait for a client."""
        try:
            return await self._accepted.receive()
        except (trio.ClosedResourceError, trio.EndOfChannel):
            raise trio.ClosedResourceError("this listener was closed") from None

    async def aclose(self) -> None:
        """Accept no more; links that exist go on."""
        self._accepted.close()
        await trio.lowlevel.checkpoint()


class MemoryNetwork:
    """Listeners by address, and connectors by owner, so that a test can cut off one client and no other."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, int], MemoryListener] = {}
        self._refused: dict[str, bool] = {}
        self._watches: list[Watch] = []

    def listen(self, *, window_bytes: int = WINDOW_BYTES) -> MemoryListener:
        """Open a listener on the next free port; a port is never given twice."""
        listener = MemoryListener(FIRST_PORT + 10_000 * len(self._listeners), window_bytes)
        listener.watch = self._written
        self._listeners[listener.address] = listener
        return listener

    def watch(self, watch: Watch) -> Callable[[], None]:
        """See, change or lose every write on every link; returns the function that ends it."""
        self._watches.append(watch)
        return lambda: self._watches.remove(watch)

    def _written(self, link: Link, direction: Direction, data: bytes) -> bytes | None:
        seen: bytes | None = data
        for watch in list(self._watches):
            if seen is not None:
                seen = watch(link, direction, seen)
        return seen

    def connector(self, owner: str = "") -> Connector:
        """Return the connect function of one client."""

        async def connect(host: str, port: int, tls: bool) -> trio.abc.HalfCloseableStream:
            listener = self._listeners.get((CLIENT_HOST if host == "localhost" else host, port))
            if tls or listener is None or self._refused.get(owner, False):
                await trio.lowlevel.checkpoint()
                raise ConnectionRefusedError(f"nothing listens at {host}:{port} (tls={tls}) for {owner!r}")
            return await listener.connect(owner)

        return connect

    def refuse(self, owner: str, refused: bool = True) -> None:
        """Let new connections of a client fail (or succeed again)."""
        self._refused[owner] = refused

    def links(self, owner: str | None = None, target: str = "") -> Iterator[Link]:
        """Yield the links of one owner, or of all, whose first request's path begins with `target`."""
        for listener in self._listeners.values():
            for link in listener.links(owner):
                if link.target.startswith(target):
                    yield link

    def cut(self, owner: str) -> int:
        """Cut every link of a client and return how many there were."""
        links = list(self.links(owner))
        for link in links:
            link.cut()
        return len(links)

"""What may stand between the paper exchange and its clients, so that it can misbehave: the hooks, and nothing else.

Owns the interface of a disturbance. The server is honest: without a disturbance it is never asked, and what a
disturbance wants of a connection is one of the few things that a `Delivery` can say. It must never decide on a fault.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec
import trio

from trio_grid.exchange.paper.engine.exchange import PaperEvent, PaperExchange

if TYPE_CHECKING:
    from trio_grid.exchange.paper.server.operations import Operation
    from trio_grid.exchange.paper.server.request_gate import Answer
    from trio_grid.exchange.paper.server.server import PaperServer


class Transport(enum.StrEnum):
    """How a client reaches the exchange."""

    REST = "rest"
    WS_API = "ws-api"
    STREAM = "stream"
    """A WebSocket that carries market data alone."""
    USER = "user"
    """A WebSocket that carries an account's events."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer or a frame leaves, where that is not as usual.

    `delay_s` is seconds of the server's own running time; the frames of a stream wait in their order, answers do not
    wait for each other. `silent`: it never leaves. `rewrite`: what it gives for the true bytes leaves instead.
    `cut_share`: after this share of the bytes, from 0 to 1, the connection is reset.
    """

    delay_s: float = 0.0
    silent: bool = False
    rewrite: Callable[[bytes], bytes] | None = None
    content_type: str = "application/json"
    cut_share: float | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request as a disturbance sees it; `account` is empty where none could be told."""

    transport: Transport
    operation: Operation
    parameters: Mapping[str, str]
    account: str
    address: str


class HandshakeRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """The HTTP answer to a WebSocket handshake that is refused; `silent`: no answer comes at all."""

    status: int = 503
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    silent: bool = False


View = Callable[[PaperExchange, int], PaperExchange]
"""What an operation sees of the exchange, at the exchange's time in ms: itself, or how it was some time ago."""


class CarryOut(Protocol):
    """Carries out the request that a disturbance was asked about, or what is left of it."""

    async def __call__(self, view: View | None = None, /) -> Answer:
        """Return the exchange's own answer; never raises for anything that a client can cause."""
        ...


class Connection(Protocol):
    """One open WebSocket as a disturbance sees it."""

    @property
    def path(self) -> str:
        """Path and query of the handshake."""
        ...

    @property
    def transport(self) -> Transport:
        """What it carries."""
        ...

    @property
    def account(self) -> str:
        """The account whose events it carries; empty for none."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close it with a code; returns when the client has answered, or after the usual patience."""
        ...

    def reset(self) -> None:
        """Reset it: both ends fail."""
        ...


class Disturbance(Protocol):
    """Stands in the server's ways. Each hook is asked in the order in which things happen."""

    async def run(self, server: PaperServer, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do by itself what is due, until cancelled; ready before the server takes its first connection."""
        ...

    async def answer(self, asked: Asked, carry_out: CarryOut) -> Answer:
        """Answer a request, carried out or not, as it pleases."""
        ...

    def handshake(self, path: str, address: str) -> HandshakeRefusal | None:
        """Return how a WebSocket's handshake is refused, or None to let it in."""
        ...

    def frame(self, connection: Connection, text: str) -> Delivery | None:
        """Return how a frame of a stream leaves, or None for as usual."""
        ...

    def events(self, events: Sequence[PaperEvent]) -> Sequence[PaperEvent]:
        """Return what the streams are told of events that happened, and of earlier ones that were held back."""
        ...

    def next_event_ms(self) -> int | None:
        """Return when, in exchange time, `events` wants to be called although nothing happens."""
        ...

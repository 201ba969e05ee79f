"""What a fault is: a kind, when it happens, what it happens to; plain values that anybody can read, draw or write.

Owns the words of fault files and the rules of each single value. It must never know a server: what a kind does stands
with its class, in `requests`, `links`, `events` and `acts`.
"""

import enum
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Protocol

import attrs

from trio_grid.config.rules import Above, AtLeast, AtMost, Pattern
from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.exchange import PaperExchange
from trio_grid.exchange.paper.server.disturbance import Transport

Milliseconds = Annotated[int, AtLeast(1), AtMost(3_600_000)]
Word = Annotated[str, Pattern(r"\S{1,200}", "one word of at most 200 characters")]
Sentence = Annotated[str, Pattern(r"[\x20-\x7e]{0,200}", "at most 200 printable ASCII characters")]
LONGEST_FILE_S = 366 * 86_400


class Place(enum.StrEnum):
    """Where in the exchange a kind of fault stands."""

    REQUEST = "a request"
    LINK = "a WebSocket"
    EVENT = "a user event"
    ACT = "the exchange itself"


@attrs.frozen(kw_only=True)
class When:
    """When a fault happens: a window of time, and which of what it matches in it. Times are exchange seconds."""

    from_s: Annotated[float, AtLeast(0), AtMost(LONGEST_FILE_S)] = 0.0
    """When it begins, since the exchange began to serve (or since the fault was injected)."""
    to_s: Annotated[float, Above(0), AtMost(LONGEST_FILE_S)] | None = None
    """When it ends; without it, never."""
    nth: Annotated[int, AtLeast(1)] | None = None
    """Only to the nth match of the window."""
    every: Annotated[int, AtLeast(1)] | None = None
    """Only to each so-manyth match."""
    probability: Annotated[Decimal, Above(0), AtMost(1)] | None = None
    """Only by this chance, drawn from the file's seed."""
    times: Annotated[int, AtLeast(1)] | None = None
    """At most so often. What the exchange does by itself happens once where this is not set."""
    every_s: Annotated[float, Above(0), AtMost(LONGEST_FILE_S)] | None = None
    """The pause between two times, for what the exchange does by itself."""


@attrs.frozen(kw_only=True)
class Match:
    """What a fault happens to: each key that is set must hold."""

    transport: Transport | None = None
    """How the client reaches the exchange; `stream` carries market data, `user` an account's events."""
    path: Annotated[str, Pattern(r"/\S{0,199}", "a path that begins with /")] | None = None
    """How the path of a WebSocket's handshake begins, such as "/public"."""
    request: Annotated[str, Pattern(r"[!-~][ -~]{0,199}", "a route or a method")] | None = None
    """A REST route ("POST /fapi/v1/order") or a method of the WebSocket API ("order.place")."""
    side: Side | None = None
    """The side of an order."""
    symbol: Word | None = None
    """A symbol."""
    account: Word | None = None
    """An account of the exchange; its API key's name, where nothing else was set up."""
    reduce_only: bool | None = None
    """Whether the order is reduce-only."""
    event: Word | None = None
    """A user event's type, such as "ORDER_TRADE_UPDATE"."""
    execution: Word | None = None
    """The execution type of an ORDER_TRADE_UPDATE, such as "TRADE"."""


@attrs.frozen(kw_only=True)
class Fault:
    """One fault. Each kind is a subclass: its docstring says what it does, its further fields are its parameters."""

    kind: ClassVar[str] = ""
    place: ClassVar[Place]
    matches: ClassVar[tuple[str, ...]] = ()
    """The keys of `match` that mean something to this kind."""
    triggers: ClassVar[tuple[str, ...]] = ("from_s", "to_s", "nth", "every", "probability", "times")
    """The keys of `when` that mean something to this kind."""
    transports: ClassVar[tuple[Transport, ...]] = ()
    """What `match.transport` may be."""
    rows: ClassVar[str] = ""
    """The failures of docs/reference/rules.md that this kind provokes."""

    when: When = When()
    match: Match = Match()

    def wrong(self) -> list[tuple[str, str]]:
        """Return what no single value shows: (path below the fault, what is wrong and what is allowed)."""
        return []


class Replica(Protocol):
    """Gives the exchange as it was."""

    def view(self, exchange: PaperExchange, now_ms: int, age_ms: int) -> PaperExchange:
        """Return the exchange with the accounts of `age_ms` ago; only to be read."""
        ...


def parameters_of(fault: type[Fault]) -> tuple[Any, ...]:
    """Return the attrs fields of a kind beside `when` and `match`."""
    return tuple(field for field in attrs.fields(fault) if field.name not in ("when", "match"))

"""The faults of user events: lost, doubled, late, out of order, strange.

Owns what each kind does to one event, for every connection of the account alike. It must never change what happened:
the exchange's own books are right whatever the streams say.
"""

import enum
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import attrs
import msgspec

from trio_grid.config.rules import AtLeast, AtMost
from trio_grid.exchange.paper.engine.exchange import UserEvent
from trio_grid.testing.faults.model import Fault, Milliseconds, Place

Hold = Callable[[UserEvent, int], None]
"""Keeps an event back for so many milliseconds of the exchange's time."""

KINDS_OF_EVENTS = (
    "TRADE_LITE",
    "ACCOUNT_UPDATE",
    "ORDER_TRADE_UPDATE",
    "ACCOUNT_CONFIG_UPDATE",
    "ALGO_UPDATE",
    "MARGIN_CALL",
)


@attrs.frozen(kw_only=True)
class EventFault(Fault):
    """What happens to a user event."""

    place = Place.EVENT
    matches: ClassVar[tuple[str, ...]] = ("event", "execution", "side", "symbol", "account")

    def wrong(self) -> list[tuple[str, str]]:
        """Refuse events that no account is told."""
        if self.match.event not in (None, *KINDS_OF_EVENTS):
            names = ", ".join(KINDS_OF_EVENTS)
            return [("match.event", f'"{self.match.event}" is no user event; allowed: {names}')]
        return []

    def concerns(self, event: UserEvent) -> bool:
        """Return whether the fault may happen to an event."""
        match, inner = self.match, event.payload.get("o", event.payload)
        if match.event not in (None, event.kind) or match.account not in (None, event.account):
            return False
        wanted = (("S", match.side), ("s", match.symbol), ("x", match.execution))
        return all(value is None or inner.get(key) == value for key, value in wanted)

    def told(self, event: UserEvent, count: int, hold: Hold) -> list[UserEvent]:
        """Return what is told now instead of an event; it is the `count`th that the fault happens to, from 1."""
        raise NotImplementedError


@attrs.frozen(kw_only=True)
class LostEvent(EventFault):
    """The event is never told."""

    kind = "lost-event"
    rows = "F3, F5, S9, S17"

    def told(self, event: UserEvent, count: int, hold: Hold) -> list[UserEvent]:
        """Tell nothing."""
        return []


@attrs.frozen(kw_only=True)
class DuplicatedEvent(EventFault):
    """The event is told more than once: at once, or again after a time."""

    kind = "duplicated-event"
    rows = "F20, F21"

    copies: Annotated[int, AtLeast(1), AtMost(100)] = 1
    """How often it is told again."""
    delay_ms: Annotated[int, AtLeast(0), AtMost(3_600_000)] = 0
    """How long after the first time, in the exchange's milliseconds."""

    def told(self, event: UserEvent, count: int, hold: Hold) -> list[UserEvent]:
        """Tell it, and tell it again."""
        if self.delay_ms == 0:
            return [event] * (1 + self.copies)
        for _ in range(self.copies):
            hold(event, self.delay_ms)
        return [event]


@attrs.frozen(kw_only=True)
class DelayedEvent(EventFault):
    """The event is told late; what happens meanwhile is told before it."""

    kind = "delayed-event"
    rows = "F3, F4, F20, S7, S11"

    delay_ms: Milliseconds = 3_000
    """How late, in the exchange's milliseconds."""

    def told(self, event: UserEvent, count: int, hold: Hold) -> list[UserEvent]:
        """Tell it later."""
        hold(event, self.delay_ms)
        return []


@attrs.frozen(kw_only=True)
class ReorderedEvents(EventFault):
    """Events are told in the opposite order, so many at a time."""

    kind = "reordered-events"
    rows = "F20, F27, S12"

    span: Annotated[int, AtLeast(2), AtMost(1_000)] = 3
    """How many events change places."""
    step_ms: Milliseconds = 50
    """The pause between two of them, in the exchange's milliseconds."""

    def told(self, event: UserEvent, count: int, hold: Hold) -> list[UserEvent]:
        """Hold the first of each span longest."""
        hold(event, self.step_ms * (self.span - (count - 1) % self.span))
        return []


class Strange(enum.Enum):
    """What is strange about an event."""

    UNKNOWN_KEYS = "unknown-keys"
    UNKNOWN_ENUMS = "unknown-enums"
    UNKNOWN_TYPE = "unknown-type"
    TEXT_TIMES = "text-times"


@attrs.frozen(kw_only=True)
class StrangeEvent(EventFault):
    """The event has keys or enum values that nobody knows, times as texts, or comes after one of an unknown type."""

    kind = "strange-event"
    rows = "F5"

    form: Strange = Strange.UNKNOWN_KEYS
    """What is strange about it."""

    def told(self, event: UserEvent, count: int, hold: Hold) -> list[UserEvent]:
        """Tell it strangely."""
        payload = event.payload
        changed = payload
        match self.form:
            case Strange.UNKNOWN_TYPE:
                unheard = {"e": "NEVER_HEARD_OF", "E": payload.get("E"), "o": {"z": ["1"], "zz": {"zzz": None}}}
                return [UserEvent(event.account, "NEVER_HEARD_OF", event.time_ms, unheard), event]
            case Strange.UNKNOWN_KEYS:
                changed = with_inner(payload, {"zz": {"a": [1, None]}, "QQ": "1.5"}) | {"zzz": {"b": "2"}}
            case Strange.UNKNOWN_ENUMS:
                changed = with_inner(payload, {"wt": "NEW_WORKING_TYPE", "V": "NEW_MODE", "pm": "NEW_MATCH", "ot": "X"})
            case Strange.TEXT_TIMES:
                changed = {**payload, "E": str(payload.get("E"))}
        return [msgspec.structs.replace(event, payload=changed)]


def with_inner(payload: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event whose order has further fields; of another event, the event itself."""
    if "o" in payload:
        return {**payload, "o": {**payload["o"], **more}}
    return {**payload, **more}

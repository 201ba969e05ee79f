"""Owns the one loop that keeps a connection alive: open, use, lose, wait with jitter, open again.

A transient loss is answered here; anything else leaves the loop and ends the nursery. It never decides about orders.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import attrs
import trio

from trio_grid.errors import (
    ClockSkew,
    CredentialsRefused,
    ExchangeError,
    ExchangeOverloaded,
    ExchangeUnreachable,
    ListenKeyGone,
    MalformedAnswer,
    OrderOutcomeUnknown,
    RateLimited,
)
from trio_grid.services.log_line import line

log = logging.getLogger(__name__)

TRANSIENT = (
    ExchangeUnreachable,
    OrderOutcomeUnknown,
    ExchangeOverloaded,
    RateLimited,
    ClockSkew,
    ListenKeyGone,
    MalformedAnswer,
)
"""Errors after which asking again is right. A malformed answer is among them because proxies and gateways of the
exchange answer with pages of their own while it is being maintained; whoever cannot start for it ends by timeout."""


def is_transient(error: ExchangeError) -> bool:
    """Return whether asking again can help; a bad key, an unknown symbol or a refused parameter cannot."""
    return isinstance(error, TRANSIENT) and not isinstance(error, CredentialsRefused)


@attrs.define(eq=False)
class Backoff:
    """Growing, jittered pauses. `jitter` returns numbers in [0, 1): injected, so that a simulation repeats itself."""

    jitter: Callable[[], float]
    first_s: float = 0.2
    longest_s: float = 15.0
    failures: int = 0

    def reset(self) -> None:
        """A connection was confirmed: the next loss starts over."""
        self.failures = 0

    def next_s(self, at_least_s: float | None = None) -> float:
        """Return the next pause in seconds: half of it fixed, half random, at least what the exchange asks for."""
        ceiling = min(self.longest_s, self.first_s * float(2 ** min(self.failures, 16)))
        self.failures += 1
        return max(ceiling * (0.5 + self.jitter() / 2), at_least_s or 0.0)


STABLE_AFTER_S = 5.0
"""A connection that ends sooner after it was confirmed does not count as a success: the exchange limits how many
connections may be opened, and one that is confirmed and fails at its first message would be opened for ever."""


class Reconnector:
    """Runs one session after the other until it is cancelled or a session fails for good."""

    def __init__(self, name: str, backoff: Backoff, on_lost: Callable[[str], None]) -> None:
        """`on_lost` is called, as a plain function, each time that a session ends with a transient error."""
        self._name = name
        self._backoff = backoff
        self._on_lost = on_lost
        self._session: trio.CancelScope | None = None
        self._drop_reason = ""
        self._confirmed_at: float | None = None

    def confirmed(self) -> None:
        """Called by the session when its connection is usable; repeated calls change nothing."""
        if self._confirmed_at is None:
            self._confirmed_at = trio.current_time()

    def drop(self, reason: str) -> None:
        """End the present session as if its connection had broken; the loop opens another one."""
        if self._session is not None:
            self._drop_reason = reason
            self._session.cancel()

    def _was_stable(self) -> bool:
        return self._confirmed_at is not None and trio.current_time() - self._confirmed_at >= STABLE_AFTER_S

    async def run(self, session: Callable[[], Awaitable[None]]) -> None:
        """Run sessions for ever.

        Raises:
            TrioGridError: whatever a session raises that is not transient.
        """
        while True:
            retry_after_s: float | None = None
            reason = ""
            self._confirmed_at = None
            with trio.CancelScope() as self._session:
                try:
                    await session()
                    reason = "the stream ended"
                except ExchangeError as error:
                    if not is_transient(error):
                        raise
                    retry_after_s = getattr(error, "retry_after_s", None)
                    reason = f"{type(error).__name__}: {error}"
            if self._session.cancelled_caught:
                reason = self._drop_reason
            self._session = None
            if self._was_stable():
                self._backoff.reset()
            pause_s = self._backoff.next_s(retry_after_s)
            log.warning(line(f"{self._name} lost", reason=reason, again_in_s=f"{pause_s:.2f}"))
            self._on_lost(reason)
            await trio.sleep(pause_s)

"""Owns the ages of the data: a socket that is open but silent closes the door for openings (R14, F6).

It sets and lifts the conditions PRICE_STALE, KLINES_STALE and USER_STREAM_SILENT, and has a silent connection opened
anew. It must never touch an order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs
import trio

from trio_grid.domain.inputs import Condition
from trio_grid.services.desk import Desk
from trio_grid.services.log_line import line

log = logging.getLogger(__name__)


@attrs.frozen
class Ages:
    """How old data may be, in seconds of local time."""

    price_s: float = 10.0
    """A book ticker of a liquid symbol comes many times a second; ten seconds without one is a fault, not a calm."""
    klines_s: float = 100.0
    """One minute to the next close, and forty seconds for the exchange and the network."""
    user_stream_s: float = 10.0
    """From the answer to an order request until the user stream has spoken of any order."""
    reconnect_after_s: float = 20.0
    """From the condition until the connection is opened anew, and between two such attempts."""
    look_every_s: float = 0.5


@attrs.define(eq=False)
class Watched:
    """One kind of data: since when it is awaited (None: nothing is due), and how to open its connection anew."""

    condition: Condition
    limit_s: float
    since: Callable[[], float | None]
    reconnect: Callable[[str], None]
    stale_at: float | None = None
    dropped_at: float | None = None


class Watchdog:
    """The loop that looks at the ages."""

    def __init__(
        self,
        desk: Desk,
        ages: Ages,
        *,
        reconnect_price: Callable[[str], None],
        reconnect_klines: Callable[[str], None],
        reconnect_user_stream: Callable[[str], None],
    ) -> None:
        self._desk = desk
        self._ages = ages
        self._began = 0.0
        board = desk.board
        self._watched = (
            Watched(Condition.PRICE_STALE, ages.price_s, lambda: board.ticker_at or self._began, reconnect_price),
            Watched(Condition.KLINES_STALE, ages.klines_s, lambda: board.kline_at or self._began, reconnect_klines),
            Watched(Condition.USER_STREAM_SILENT, ages.user_stream_s, lambda: board.answer_at, reconnect_user_stream),
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled."""
        self._began = trio.current_time()
        task_status.started()
        due = self._began
        while True:
            due = max(due + self._ages.look_every_s, trio.current_time())
            await trio.sleep_until(due)
            for watched in self._watched:
                self._look(watched)

    def _look(self, watched: Watched) -> None:
        now = trio.current_time()
        since = watched.since()
        age_s = 0.0 if since is None else now - since
        if age_s <= watched.limit_s:
            if watched.stale_at is not None:
                watched.stale_at = watched.dropped_at = None
                self._set(watched.condition, False, f"{age_s:.1f} s old")
            return
        if watched.stale_at is None:
            watched.stale_at = watched.dropped_at = now
            self._set(watched.condition, True, f"{age_s:.1f} s old, allowed {watched.limit_s:g} s")
        elif watched.dropped_at is not None and now - watched.dropped_at >= self._ages.reconnect_after_s:
            watched.dropped_at = now
            watched.reconnect(f"silent for {age_s:.1f} s")

    def _set(self, condition: Condition, active: bool, reason: str) -> None:
        log.log(
            logging.WARNING if active else logging.INFO,
            line("data age", condition=condition, active=active, reason=reason),
        )
        self._desk.dispatcher.carry_out(self._desk.manager.set_condition(condition, active, reason))

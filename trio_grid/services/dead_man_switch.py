"""Owns the heartbeat of the dead man's switch: the exchange cancels what rests when it no longer hears from the bot.

It must never place or cancel an order itself, and is not started unless the operator asked for it: the exchange's
countdown takes every open order on the symbol, also those that are not this bot's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from trio_grid.errors import ExchangeError
from trio_grid.services.desk import Desk
from trio_grid.services.log_line import line
from trio_grid.services.reconnect import Backoff, is_transient

log = logging.getLogger(__name__)

LONGEST_INTERVAL_S = 30.0
LONGEST_RETRY_S = 5.0
"""After a missed heartbeat: what is placed once the link is back is not covered before the next one."""
BEATS_IN_A_COUNTDOWN = 4
"""So many heartbeats fit into one countdown: a few may be lost before it fires."""


class DeadManSwitch:
    """The loop of the heartbeats. `ask_reconciler` is told when the countdown may have fired meanwhile."""

    def __init__(self, desk: Desk, countdown_s: float, ask_reconciler: Callable[[str], None]) -> None:
        self._desk = desk
        self._countdown_s = countdown_s
        self._interval_s = min(LONGEST_INTERVAL_S, countdown_s / BEATS_IN_A_COUNTDOWN)
        self._ask_reconciler = ask_reconciler
        self._backoff = Backoff(desk.jitter, longest_s=min(LONGEST_RETRY_S, self._interval_s))
        self._armed_at: float | None = None
        self._missing = ""
        self._fired = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; `started()` when the exchange has confirmed the first heartbeat.

        Raises:
            TrioGridError: the exchange refuses the countdown for good.
        """
        while True:
            # Counted from before the request: the exchange's countdown cannot have begun earlier.
            sent_at = trio.current_time()
            try:
                await self._desk.execution.cancel_all_after(self._desk.instrument, round(self._countdown_s * 1_000))
            except ExchangeError as error:
                if not is_transient(error):
                    raise
                pause_s = self._missed(error)
            else:
                if self._armed_at is None:
                    log.info(line("dead man's switch armed", countdown_s=self._countdown_s, every_s=self._interval_s))
                    task_status.started()
                self._beat(sent_at)
                pause_s = self._interval_s
            await trio.sleep_until(max(sent_at + pause_s, trio.current_time()))

    def _beat(self, sent_at: float) -> None:
        self._backoff.reset()
        self._missing = ""
        self._look(sent_at)
        self._armed_at = sent_at
        if self._fired:
            self._fired = False
            log.info(line("dead man's switch armed again"))
            self._ask_reconciler("the exchange's countdown may have cancelled orders")

    def _missed(self, error: ExchangeError) -> float:
        """Tell a change once, and return the pause until the next heartbeat."""
        now = trio.current_time()
        reason = f"{type(error).__name__}: {error}"
        if reason != self._missing:
            log.warning(line("heartbeat of the dead man's switch missed", reason=reason))
        self._missing = reason
        self._look(now)
        return self._backoff.next_s(getattr(error, "retry_after_s", None))

    def _look(self, now: float) -> None:
        """Alert, once, when the countdown has had time to fire since the last heartbeat."""
        if self._armed_at is None or self._fired or now - self._armed_at < self._countdown_s:
            return
        self._fired = True
        self._desk.board.alert(
            f"no heartbeat for {self._countdown_s:g} s: the exchange has cancelled, or will cancel, every open"
            f" order on {self._desk.instrument.symbol}"
        )

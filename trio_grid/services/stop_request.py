"""Owns the wish to stop: signals, the control command and `--for` become one event.

No handler touches any state of the bot. It lives in a nursery outside the bot's, until the exit policy has ended:
otherwise a second Ctrl-C would become a KeyboardInterrupt inside the policy.
"""

from __future__ import annotations

import logging
import signal

import trio

from trio_grid.services.log_line import line

log = logging.getLogger(__name__)

SECOND_SIGNAL_GRACE_S = 3.0
"""What is left for the exit policy after a second signal: one more question to the exchange, then the report."""


class StopRequest:
    """Whether, when and why the bot was asked to stop; `grace` is the exit policy's scope while it runs."""

    def __init__(self) -> None:
        self.requested = trio.Event()
        self.requested_at: float | None = None
        self.reason = ""
        self.grace: trio.CancelScope | None = None
        self.signals = 0

    def request(self, reason: str) -> None:
        """Ask the bot to stop; the first reason and instant count."""
        if self.requested_at is None:
            self.requested_at = trio.current_time()
            self.reason = reason
            log.info(line("stop requested", reason=reason))
        self.requested.set()

    def hurry(self, reason: str) -> None:
        """Shorten the exit policy's deadline."""
        if self.grace is not None:
            log.warning(line("exit policy is cut short", reason=reason, seconds=SECOND_SIGNAL_GRACE_S))
            self.grace.deadline = min(self.grace.deadline, trio.current_time() + SECOND_SIGNAL_GRACE_S)

    async def watch(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Turn SIGINT, SIGTERM and SIGHUP (the terminal was closed) into the request until cancelled."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                self.signals += 1
                name = signal.Signals(number).name
                if self.signals > 1:
                    self.hurry(f"{name} again")
                self.request(name)

    async def after(self, seconds: float) -> None:
        """Ask for the stop after a time."""
        await trio.sleep(seconds)
        self.request(f"--for {seconds:g}s is over")

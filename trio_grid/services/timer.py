"""Owns the manager's alarm clock: decides again when the quiet band ends by time (`wake_at_ms`).

It must never wake the manager earlier than that, nor spin when nothing comes of it.
"""

from __future__ import annotations

import trio

from trio_grid.domain.inputs import Outcome
from trio_grid.services.desk import Desk

SHORTEST_PAUSE_S = 0.01
"""The exchange's clock counts whole milliseconds and slews: a few of them keep the loop from waking too early twice."""


class Timer:
    """Sleeps until `manager.wake_at_ms` and calls `manager.on_time()`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._sooner = trio.Event()
        self._wake_at_ms: int | None = None
        desk.dispatcher.watch(self._look)

    def _look(self, _: Outcome) -> None:
        wake_at_ms = self._desk.manager.wake_at_ms
        if wake_at_ms is not None and (self._wake_at_ms is None or wake_at_ms < self._wake_at_ms):
            self._sooner.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled."""
        task_status.started()
        while True:
            self._sooner = trio.Event()
            self._wake_at_ms = self._desk.manager.wake_at_ms
            if self._wake_at_ms is None:
                await self._sooner.wait()
                continue
            wait_s = (self._wake_at_ms - self._desk.execution.now_ms()) / 1000
            with trio.move_on_after(max(wait_s, SHORTEST_PAUSE_S)):
                await self._sooner.wait()
                continue
            if self._desk.execution.now_ms() >= self._wake_at_ms:
                self._desk.dispatcher.carry_out(self._desk.manager.on_time())

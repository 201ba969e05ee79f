"""Keeps the journal's write-ahead log short without ever making the event loop wait for a disk.

Owns the rhythm of checkpoints. The work happens in a worker thread on the journal's checkpoint connection; the
writing connection is never touched from here. In simulated runs, where a thread would let the virtual clock leap,
the same call is made in place.
"""

from __future__ import annotations

import logging

import trio

from trio_grid.errors import JournalError
from trio_grid.journal.sqlite_journal import Journal
from trio_grid.journal.wal import CheckpointReport

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5  # at a commit every millisecond the log grows by some 1,000 pages between two looks


class JournalCheckpointer:
    """Looks at the log's length every `interval_s` seconds of Trio's clock and checkpoints when it is due.

    `in_place` is for simulations: no thread, the caller's clock stands still meanwhile.
    """

    def __init__(self, journal: Journal, *, interval_s: float = LOOK_EVERY_S, in_place: bool = False) -> None:
        self._journal = journal
        self._interval_s = interval_s
        self._in_place = in_place
        self._limiter = trio.CapacityLimiter(1)  # of its own: busy threads elsewhere must not delay it
        self.checkpoints = 0

    def __repr__(self) -> str:
        return f"<JournalCheckpointer {self._journal.path.name} checkpoints={self.checkpoints}>"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled.

        Raises:
            JournalError: a checkpoint failed (a full disk, mostly). Commits may still pass for a while, so this is
                the time to stop in order, while the exit policy can still journal what it does.
        """
        task_status.started()
        next_look = trio.current_time()
        while True:
            next_look = max(next_look + self._interval_s, trio.current_time())
            await trio.sleep_until(next_look)
            if not self._journal.checkpoint_may_be_due():
                continue
            report = self._journal.checkpoint_if_due() if self._in_place else await self._in_worker_thread()
            if report is not None:
                self.checkpoints += 1
                log.debug("journal checkpoint: %s", report)

    async def _in_worker_thread(self) -> CheckpointReport | None:
        """Checkpoint in a thread that is never left behind: a cancellation interrupts it and waits for its end.

        The end is one page's copy or one fsync away. An abandoned thread would outlive the nursery and meet the
        journal's closing.
        """
        finished = False
        report: CheckpointReport | None = None
        fault: JournalError | None = None

        async def interrupt_when_cancelled() -> None:
            try:
                await trio.sleep_forever()
            finally:
                if not finished:
                    self._journal.interrupt_checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(interrupt_when_cancelled)
            try:
                report = await trio.to_thread.run_sync(self._journal.checkpoint_if_due, limiter=self._limiter)
            except JournalError as error:
                fault = error  # raised outside, so that it does not come in a group
            finished = True
            nursery.cancel_scope.cancel()
        if fault is not None:
            raise fault
        return report

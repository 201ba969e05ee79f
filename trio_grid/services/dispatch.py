"""Owns the way of an outcome: first the journal, then the executor's channel, with no await in between (R13).

Every change of state passes here, whoever made it, so that journal order is apply order. It must never await, and an
order whose record is not committed must never reach the channel.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from trio_grid.domain.actions import Action, PlaceOrder
from trio_grid.domain.events import OrderNotSent
from trio_grid.domain.inputs import JournalRecord, Outcome, TradingState, TradingStateChanged
from trio_grid.errors import InvariantBroken, JournalError
from trio_grid.manager import PositionManager
from trio_grid.services.log_line import line

log = logging.getLogger(__name__)


GRAVE = ("HALTED", "REDUCING", "limit hit")


class RecordKeeper(Protocol):
    """What is needed of the journal."""

    def commit(self, records: Sequence[JournalRecord]) -> None:
        """Write the records in one transaction; raises JournalError."""
        ...

    def should_save_image(self, sequence: int) -> bool:
        """Return whether enough records have passed since the last image of the state."""
        ...

    def save_image(self, sequence: int, image: bytes) -> None:
        """Store the complete state after its last record; raises JournalError."""
        ...


class Dispatcher:
    """Carries outcomes of the manager out. `failed` is set when the journal could not be written."""

    def __init__(
        self,
        manager: PositionManager,
        journal: RecordKeeper,
        actions: trio.MemorySendChannel[Action],
        alert: Callable[[str], None],
    ) -> None:
        """`alert` is told what the operator has to see: limits hit, trading reduced or halted."""
        self._alert = alert
        self._manager = manager
        self._journal = journal
        self._actions = actions
        self._watchers: list[Callable[[Outcome], None]] = []
        self.failure: JournalError | None = None
        self.failed = trio.Event()
        self.records_committed = 0

    def watch(self, watcher: Callable[[Outcome], None]) -> None:
        """Call a plain function after each outcome that was carried out; it must not change the state."""
        self._watchers.append(watcher)

    def carry_out(self, outcome: Outcome) -> None:
        """Commit the outcome's records and hand its actions to the executor.

        When the journal cannot be written, its intents end as NOT_SENT, its cancels go on, trading is HALTED and
        `failed` is set: the supervisor then stops the bot in order.

        Raises:
            InvariantBroken: the executor's channel is full, although a slot has at most one action in flight.
        """
        if self.failure is None:
            try:
                self._write(outcome.records)
            except JournalError as error:
                self._journal_lost(error)
        if self.failure is None:
            for action in outcome.actions:
                self.submit(action)
        else:
            self._without_journal(self.failure, outcome.actions)
        for notice in outcome.notices:
            grave = outcome.halted is not None or notice.startswith(GRAVE)
            log.log(logging.WARNING if grave else logging.INFO, line(notice))
            if grave:
                self._alert(notice)
        for watcher in self._watchers:
            watcher(outcome)

    def _write(self, records: Sequence[JournalRecord]) -> None:
        if records:
            self._journal.commit(records)
            self.records_committed += len(records)
            sequence = records[-1].sequence
            if self._journal.should_save_image(sequence):
                # No other task has run since the outcome was made, so the state is that of its last record.
                self._journal.save_image(sequence, self._manager.image())

    def save_image(self) -> None:
        """Store the state after the last record, so that the next start, perhaps of a newer version, replays nothing.

        A journal that cannot take it is as good without: that is told, never raised.
        """
        if self.failure is not None or not self.records_committed:
            return
        try:
            self._journal.save_image(self._manager.snapshot().sequence, self._manager.image())
        except JournalError as error:
            log.warning(line("no image of the state was saved", reason=error))

    def submit(self, action: Action) -> None:
        """Hand one action to the executor; outside an outcome it can only be a cancel, which may be repeated."""
        try:
            self._actions.send_nowait(action)
        except trio.WouldBlock:
            raise InvariantBroken(
                "more actions are in flight than there are slots: the executor's channel is full"
            ) from None

    def _journal_lost(self, error: JournalError) -> None:
        log.critical(line("the journal cannot be written; no order is sent any more", error=error))
        self.failure = error
        self.failed.set()
        self.carry_out(
            self._manager.set_trading_state(
                TradingStateChanged(state=TradingState.HALTED, reason=f"the journal cannot be written: {error}")
            )
        )

    def _without_journal(self, failure: JournalError, actions: Sequence[Action]) -> None:
        unsent: list[OrderNotSent] = []
        for action in actions:
            if isinstance(action, PlaceOrder):
                unsent.append(OrderNotSent(client_order_id=action.client_order_id, detail=f"not journaled: {failure}"))
            else:
                self.submit(action)
        if unsent:
            self.carry_out(self._manager.apply_action_results(unsent))

"""Owns when the exchange is asked: at start, each minute, after each reconnect, on request, and for open questions.

It lifts the condition STARTING, and nobody else does: only after a full pass during which the user stream stood (R11).
What is asked, and how it is booked, is in `exchange_check`.
"""

from __future__ import annotations

import logging
import math

import trio

from trio_grid.domain.events import CancelOutcomeLost, CancelRefused, OrderOutcomeLost, OrderRefused, RejectReason
from trio_grid.domain.inputs import Condition, Outcome
from trio_grid.errors import Banned, ExchangeError
from trio_grid.services.ban import halt_for_ban
from trio_grid.services.desk import Desk
from trio_grid.services.exchange_check import ExchangeCheck
from trio_grid.services.filter_watch import FilterWatch
from trio_grid.services.log_line import line
from trio_grid.services.reconnect import Backoff, is_transient
from trio_grid.services.status_board import ReconciliationSummary

log = logging.getLogger(__name__)

QUESTION_DELAY_S = 0.5
"""An execution report usually overtakes a question: it gets this long before the exchange is asked."""
QUESTION_AGAIN_S = 2.0
FUNDING_EVERY_PASSES = 10
"""The income history weighs 30 of 2,400 a minute; a payment also announces itself on the user stream."""
FILTERS_EVERY_PASSES = 5
DOUBT_FILTERS_EVERY_S = 30.0
"""Whole passes cost weight: refusals by filter or mode have the filters looked at no more often than this."""
REDUCE_ONLY_KNOCK_OUT = 4
"""The exchange's expiry reason of a reduce-only order that would no longer reduce the position."""


class Reconciler:
    """The loop of the comparisons. It holds trading back until `open_door` was called and the user stream stands."""

    def __init__(
        self, desk: Desk, check: ExchangeCheck, filters: FilterWatch, *, interval_s: float, funding_first: bool = True
    ) -> None:
        """`funding_first` False leaves funding out of the first pass, for a start that books it right after."""
        self._desk = desk
        self._filters = filters
        self._check = check
        self._interval_s = interval_s
        self._funding_first = funding_first
        self._backoff: Backoff = desk.backoff()
        self._wake = trio.Event()
        self._requested: str | None = None
        self._filters_doubted = False
        self._doubt_again_at = -math.inf
        self._full_at = 0.0
        self._question_at = math.inf
        self._passes = 0
        self._begun = 0
        self._ended = 0
        self._losses_at_pass: int | None = None
        self._ready = False
        self._finished = trio.Event()
        desk.dispatcher.watch(self._look)

    # Asked by others ------------------------------------------------------------------------------------------------

    def request(self, reason: str, *, filters: bool = False) -> None:
        """Ask for a full pass as soon as possible; with `filters`, the symbol's filters are looked at first."""
        self._requested = reason
        self._filters_doubted = self._filters_doubted or filters
        self._wake.set()

    async def pass_after(self, reason: str) -> ReconciliationSummary:
        """Ask for a full pass that begins after this call and wait for its result."""
        wanted = self._begun + 1
        self.request(reason)
        while self._ended < wanted or self._desk.board.reconciliation is None:
            await self._finished.wait()
        return self._desk.board.reconciliation

    def open_door(self) -> None:
        """Everything is ready: the first pass lifts STARTING, or a later one if the user stream was lost since."""
        self._ready = True
        if self._losses_at_pass is not None:
            self._lift_starting(self._losses_at_pass)

    # The loop -------------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; `started()` after the first full pass."""
        reason: str | None = "start"
        while True:
            try:
                if reason is not None:
                    await self._full_pass(reason)
                    if self._passes == 1:
                        task_status.started()
                else:
                    await self._questions()
                self._backoff.reset()
            except ExchangeError as error:
                if not is_transient(error):
                    raise
                await self._pause(error)
                if reason is not None:
                    continue
                self._schedule_question()
            reason = await self._next()

    async def _next(self) -> str | None:
        """Wait for what is due next: a full pass (its reason), or a question (None)."""
        while True:
            now = trio.current_time()
            if self._requested is not None:
                reason, self._requested = self._requested, None
                return reason
            if now >= self._full_at:
                return "interval"
            if now >= self._question_at:
                return None
            self._wake = trio.Event()
            with trio.move_on_at(min(self._full_at, self._question_at)):
                await self._wake.wait()

    async def _full_pass(self, reason: str) -> None:
        self._begun = number = self._begun + 1
        losses = self._desk.board.user_stream_losses
        stood = self._desk.board.user_stream_up
        funding = self._passes % FUNDING_EVERY_PASSES == 0 or reason != "interval"
        if self._passes == 0:
            funding = self._funding_first
        doubted = self._filters_doubted or self._filters.suspended
        if doubted or self._passes % FILTERS_EVERY_PASSES == FILTERS_EVERY_PASSES - 1:
            await self._filters.look()
            self._filters_doubted = False
        summary = await self._check.full_pass(reason, funding=funding)
        self._passes += 1
        self._ended = number
        self._losses_at_pass = losses if stood else None
        self._desk.board.reconciliation = summary
        self._desk.board.reconciliations += 1
        self._full_at = trio.current_time() + self._interval_s
        log.info(
            line(
                "reconciled",
                reason=reason,
                trades=summary.trades_booked,
                foreign_orders=summary.foreign_orders,
                position_lots=summary.position_lots,
                books_lots=summary.books_lots,
                took_s=f"{summary.duration_s:.3f}",
            )
        )
        if not summary.agrees:
            self._desk.board.alert("the exchange's position differs from the books and no trade explains it")
        self._schedule_question()
        if stood:
            self._lift_starting(losses)
        finished, self._finished = self._finished, trio.Event()
        finished.set()

    async def _questions(self) -> None:
        self._question_at = math.inf
        await self._check.settle_questions()
        self._schedule_question()

    def _schedule_question(self) -> None:
        if not self._check.has_questions():
            self._question_at = math.inf
            return
        wait_s = QUESTION_AGAIN_S
        due_ms = self._check.absence_due_ms()
        if due_ms is not None:
            # Only where a proof of absence is under way is there a best moment to ask; not later than twice as long.
            wait_s = min(max((due_ms - self._desk.execution.now_ms()) / 1000, 0.05), 2 * QUESTION_AGAIN_S)
        self._question_at = trio.current_time() + wait_s

    async def _pause(self, error: ExchangeError) -> None:
        if isinstance(error, Banned):
            # Also for a ban that still lasts: whoever resumed meanwhile is told again.
            halt_for_ban(self._desk, error)
        pause_s = self._backoff.next_s(getattr(error, "retry_after_s", None))
        if self._passes == 0:
            self._desk.board.waiting_for = f"the first reconciliation ({error})"
        log.warning(
            line("reconciliation failed", reason=f"{type(error).__name__}: {error}", again_in_s=f"{pause_s:.2f}")
        )
        await trio.sleep(pause_s)

    def _lift_starting(self, losses: int) -> None:
        """Lift STARTING if the user stream has stood since the pass began."""
        board = self._desk.board
        if not self._ready or not board.user_stream_up or board.user_stream_losses != losses:
            return
        if Condition.STARTING in self._desk.manager.snapshot().conditions:
            self._desk.dispatcher.carry_out(
                self._desk.manager.set_condition(Condition.STARTING, False, "reconciled while the user stream stood")
            )

    # What follows from an outcome -----------------------------------------------------------------------------------

    def _look(self, outcome: Outcome) -> None:
        """Take note of results that are questions."""
        for record in outcome.records:
            entry = record.entry
            if isinstance(entry, OrderOutcomeLost | CancelRefused | CancelOutcomeLost):
                self._ask_soon()
            elif isinstance(entry, OrderRefused) and entry.reason is RejectReason.REDUCE_ONLY:
                self.request(f"reduce-only order refused ({entry.code})")
            elif isinstance(entry, OrderRefused) and entry.reason in (RejectReason.FILTER, RejectReason.MODE):
                self._doubt_filters(f"order refused ({entry.code})")
            elif self._knocked_out(entry):
                self.request("a reduce-only order was knocked out")
            elif self._incomplete(entry):
                self._ask_soon()

    def _doubt_filters(self, reason: str) -> None:
        """Have the filters looked at; refusals that they do not explain do not ask each time anew."""
        now = trio.current_time()
        if now >= self._doubt_again_at:
            self._doubt_again_at = now + DOUBT_FILTERS_EVERY_S
            self.request(reason, filters=True)

    @staticmethod
    def _knocked_out(entry: object) -> bool:
        record = getattr(entry, "order", None)
        return getattr(record, "expiry_reason", 0) == REDUCE_ONLY_KNOCK_OUT

    @staticmethod
    def _incomplete(entry: object) -> bool:
        """Return whether an order's record may show more executed than its booked trades."""
        record = getattr(entry, "order", None)
        return getattr(record, "executed_lots", 0) > 0 and getattr(entry, "trade", None) is None

    def _ask_soon(self) -> None:
        due = trio.current_time() + QUESTION_DELAY_S
        if due < self._question_at:
            self._question_at = due
            self._wake.set()

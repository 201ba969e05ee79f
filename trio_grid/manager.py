"""PositionManager: the one state object of the bot, guarded by one trio.Lock.

Every method is a plain function that takes the lock with `acquire_nowait` and gives it back before it returns: no
await can fall inside, so no other task can come between reading, deciding and marking (R6). A lock that is taken
already is a broken invariant, never a wait. Each method applies its input and decides in the same critical section;
what it returns has to be committed to the journal and sent by the caller, in this order, with no await in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import trio

from trio_grid.domain.events import (
    ActionResult,
    BookTicker,
    FundingRecord,
    OrderUpdate,
    RegimeReading,
)
from trio_grid.domain.explanation import SlotExplanation, explain
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import (
    Condition,
    ConditionChanged,
    Correction,
    Decision,
    FiltersChanged,
    Input,
    InventoryWrittenOff,
    JournalRecord,
    LatticeAnchored,
    OrderBudget,
    Outcome,
    PositionAccepted,
    PositionObserved,
    SessionStarted,
    StraySeen,
    TradesWalked,
    TradingState,
    TradingStateChanged,
)
from trio_grid.domain.instrument import PriceTicks
from trio_grid.domain.quiet_band import NEVER_MS
from trio_grid.domain.slot import OrderStatus
from trio_grid.domain.snapshot import LadderRow, PositionSnapshot, ladder, take_snapshot
from trio_grid.errors import InvariantBroken

NOTHING = Outcome(records=(), actions=())

Finding = Correction | StraySeen | TradesWalked | PositionObserved | FundingRecord


class PositionManager:
    """The grid's state, and the only ways to read or change it.

    `now_ms` is the exchange's clock, `budget` what the order limits allow at this moment; both are plain functions and
    what they said is part of the journal. All methods raise InvariantBroken if the lock is taken or the books
    contradict themselves.
    """

    def __init__(self, state: GridState, *, now_ms: Callable[[], int], budget: Callable[[], OrderBudget]) -> None:
        self._state = state
        self._now_ms = now_ms
        self._budget = budget
        self._lock = trio.Lock()
        self._half_ticks: int | None = None

    def __repr__(self) -> str:
        """Return symbol, state, and how many orders are where."""
        fields, book = self._state.grid.fields, self._state.grid.book
        symbol = "?" if fields.instrument is None else fields.instrument.symbol
        resting = sum(slot.status is OrderStatus.LOCKED for slot in book.in_order())
        in_flight = book.sums["unsettled"] - resting
        return (
            f"<PositionManager {symbol} {fields.trading_state} slots={len(book)} resting={resting}"
            f" in_flight={in_flight} net_lots={self._state.grid.net_lots}>"
        )

    # Inputs ---------------------------------------------------------------------------------------------------------

    def on_price(self, ticker: BookTicker) -> Outcome:
        """Take the newest price: inside the quiet band nothing happens, outside it a decision is made."""
        with self._guarded():
            self._half_ticks = ticker.half_ticks
            band = self._state.band
            now_ms = self._now_ms()
            if band is not None and band.holds(ticker.half_ticks, now_ms, self._state.sequence):
                return NOTHING
            records: list[JournalRecord] = []
            fields = self._state.grid.fields
            if fields.anchor_ticks is None and fields.settings is not None:
                # The configured anchor, or the first price: fixed for the life of the journal.
                anchor = fields.settings.lattice.anchor_ticks or ticker.half_ticks // 2
                records.append(self._state.apply(LatticeAnchored(anchor_ticks=PriceTicks(anchor)), now_ms))
            return self._decide(records, now_ms)

    def on_time(self) -> Outcome:
        """Decide again at the last price; to be called when `wake_at_ms` has come."""
        with self._guarded():
            return self._decide([], self._now_ms())

    def on_order_update(self, update: OrderUpdate) -> Outcome:
        """Take one execution report."""
        return self._take(update)

    def apply_action_results(self, results: Sequence[ActionResult]) -> Outcome:
        """Take what became of actions that were sent, or were not."""
        return self._take(*results)

    def apply_corrections(self, findings: Sequence[Finding]) -> Outcome:
        """Take what reconciliation found; corrections whose slot has changed since are dropped and counted (R8)."""
        return self._take(*findings)

    def set_regime(self, reading: RegimeReading) -> Outcome:
        """Take a new regime reading."""
        return self._take(reading)

    def set_condition(self, condition: Condition, active: bool, reason: str = "") -> Outcome:
        """Let a circumstance begin or end; nothing happens if it already is so."""
        with self._guarded():
            if (condition in self._state.grid.fields.conditions) is active:
                return NOTHING
        return self._take(ConditionChanged(condition=condition, active=active, reason=reason))

    def set_trading_state(self, change: TradingStateChanged | PositionAccepted | InventoryWrittenOff) -> Outcome:
        """Take a change of the trading state, or the operator's word about the position."""
        return self._take(change)

    def set_filters(self, change: FiltersChanged) -> Outcome:
        """Take changed filters; raises InvariantBroken if the new units do not divide the old ones."""
        return self._take(change)

    def start_session(self, start: SessionStarted) -> Outcome:
        """Begin a life of the process."""
        return self._take(start)

    # Readers --------------------------------------------------------------------------------------------------------

    def snapshot(self) -> PositionSnapshot:
        """Return a frozen picture; there is no way from it to a live slot (R7)."""
        with self._guarded():
            return take_snapshot(self._state.grid, self._now_ms(), self._half_ticks)

    def ladder(self) -> tuple[LadderRow, ...]:
        """Return every cell of the window and every slot in use, from the highest price down."""
        with self._guarded():
            return ladder(self._state.grid)

    def explain(self, price_ticks: int) -> tuple[SlotExplanation, ...]:
        """Return what the slots near a price would do, and the rule that stops each."""
        with self._guarded():
            return explain(self._state.grid, price_ticks)

    def has_booked(self, trade_id: int) -> bool:
        """Return whether a trade of this id is in the books, or too old to be taken (below the watermark)."""
        with self._guarded():
            return trade_id <= self._state.grid.fields.trade_watermark or trade_id in self._state.grid.booked

    @property
    def position_lots(self) -> int:
        """The position that the exchange should show, in signed lots."""
        with self._guarded():
            return self._state.grid.position_lots

    def image(self) -> bytes:
        """Return the complete state, for the journal."""
        with self._guarded():
            return self._state.image()

    @property
    def wake_at_ms(self) -> int | None:
        """When `on_time` has to be called if nothing else happens; None if nothing waits for a time."""
        band = self._state.band
        return None if band is None or band.wake_at_ms >= NEVER_MS else band.wake_at_ms

    # The critical section -------------------------------------------------------------------------------------------

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            self._lock.acquire_nowait()
        except (trio.WouldBlock, RuntimeError):
            # RuntimeError: the very task that holds it asks for it again.
            raise InvariantBroken("the manager's lock is taken: somebody waits while holding it") from None
        try:
            yield
        finally:
            self._lock.release()

    def _take(self, *entries: Input) -> Outcome:
        with self._guarded():
            now_ms = self._now_ms()
            records: list[JournalRecord] = []
            notices: list[str] = []
            for entry in entries:
                records.append(self._state.apply(entry, now_ms))
                notices += self._state.grid.notices
            return self._decide(records, now_ms, notices)

    def _decide(self, records: list[JournalRecord], now_ms: int, notices: Sequence[str] = ()) -> Outcome:
        """Decide at the last price and put inputs, decision and actions together."""
        told = [*notices]
        decision: Decision | None = None
        if self._half_ticks is not None:
            budget = self._budget()
            record = self._state.decide(self._half_ticks, now_ms, budget.orders, budget.refill_at_ms)
            if record is not None and isinstance(record.entry, Decision):
                decision = record.entry
                records.append(record)
                told += decision.notices
        fields = self._state.grid.fields
        return Outcome(
            records=tuple(records),
            actions=() if decision is None else decision.actions,
            halted=fields.state_reason if fields.trading_state is TradingState.HALTED else None,
            notices=tuple(told),
        )

"""The reducer: inputs in, decisions out, the same ones every time.

`apply` takes one input into the books. `decide` asks the strategy what is next, marks it, and asks again until nothing
is left; what it marked and what is to be sent leave together as one Decision, so that no price can come between
deciding and marking (R6, S4). Both give back the row that the journal has to hold; replaying the rows gives the same
decisions (R13). No IO, no clock, no randomness: time and order budget are arguments.
"""

from __future__ import annotations

import msgspec

from trio_grid.domain import booking
from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.events import (
    CancelAcknowledged,
    CancelOutcomeLost,
    CancelRefused,
    Event,
    FundingRecord,
    OrderAbsent,
    OrderAcknowledged,
    OrderNotSent,
    OrderOutcomeLost,
    OrderRefused,
    OrderUpdate,
    RegimeReading,
)
from trio_grid.domain.grid import Fields, Grid
from trio_grid.domain.inputs import (
    ConditionChanged,
    Correction,
    Decision,
    FiltersChanged,
    Input,
    InventoryWrittenOff,
    JournalRecord,
    LatticeAnchored,
    PositionAccepted,
    PositionObserved,
    SessionStarted,
    StraySeen,
    TradesWalked,
    TradingStateChanged,
)
from trio_grid.domain.lattice import Lattice
from trio_grid.domain.marking import mark
from trio_grid.domain.operations import (
    accept_position,
    book_funding,
    change_condition,
    observe_position,
    read_regime,
    start_session,
    walk_trades,
    write_off,
)
from trio_grid.domain.quiet_band import OrdersLeft, Probe, QuietBand
from trio_grid.domain.rescale import rescale
from trio_grid.domain.slot import InventorySlot
from trio_grid.domain.strategy import GridStrategy, Strategy
from trio_grid.errors import InvariantBroken, TrioGridError

ADMINISTRATIVE = (
    SessionStarted,
    LatticeAnchored,
    FiltersChanged,
    ConditionChanged,
    TradingStateChanged,
    PositionAccepted,
    InventoryWrittenOff,
)
"""Inputs that come from the bot itself or its operator: refused before they change anything if they do not fit."""
MOST_INTENTS = 100_000
"""A strategy that still wants more after this many steps contradicts itself."""


class ReplayDiffers(TrioGridError):
    """A replayed decision is not the one that the journal holds."""

    exit_code = 4


class StateImage(Event, frozen=True, kw_only=True):
    """The complete state as one value: what recovery starts from."""

    fields: Fields
    slots: tuple[InventorySlot, ...]


_ENCODER = msgspec.json.Encoder(order="deterministic")
_IMAGES = msgspec.json.Decoder(StateImage)


class GridState:
    """The grid's state and its only two ways forward, `apply` and `decide`."""

    def __init__(self, grid: Grid | None = None, *, strategy: Strategy | None = None) -> None:
        self.grid = Grid() if grid is None else grid
        self._strategy: Strategy = GridStrategy() if strategy is None else strategy
        self.band: QuietBand | None = None
        """What the last decision left over; inside it nothing needs to be decided."""
        self.plans = 0
        """How often the strategy was asked, for tests of cost."""

    def __repr__(self) -> str:
        """Return the state in one line."""
        return f"<GridState sequence={self.sequence} {self.grid!r}>"

    @classmethod
    def fresh(cls, *, strategy: Strategy | None = None) -> GridState:
        """Return a state that knows nothing until a session starts."""
        return cls(strategy=strategy)

    @property
    def sequence(self) -> int:
        """Sequence number of the last record."""
        return self.grid.fields.sequence

    # Forward --------------------------------------------------------------------------------------------------------

    def apply(self, entry: Input, now_ms: int) -> JournalRecord:
        """Take one input into the books; return its journal row.

        What the exchange says is always taken and journaled: if the books contradict it, trading is HALTED, and a
        replay halts at the same row in the same state.

        Raises:
            InvariantBroken: an administrative input (a session, an anchor, filters, the operator's word) does not fit;
                nothing was changed.
        """
        self._begin()
        try:
            _apply(self.grid, entry, now_ms)
        except InvariantBroken as error:
            if isinstance(entry, ADMINISTRATIVE):
                raise
            booking.halt(self.grid, str(error))
        self._commit()
        return JournalRecord(sequence=self.sequence, now_ms=now_ms, entry=entry)

    def decide(self, half_ticks: int, now_ms: int, orders: int, refill_at_ms: int) -> JournalRecord | None:
        """Conclude everything that follows from a price (bid + ask in ticks), a time and an order budget.

        Returns the row of a Decision, or None if nothing follows; `band` says until when that stays so. A strategy
        that wants the impossible, or does not come to an end, is HALTED: what was marked before is still decided, so
        that state, journal and sent orders agree.
        """
        grid = self.grid
        self.band = None
        if grid.lattice is None or grid.fields.settings is None:
            return None
        self._begin()
        actions, marked, probe = self._conclude(half_ticks, now_ms, OrdersLeft(orders, max(refill_at_ms, now_ms + 1)))
        if not marked:
            self._roll_back()
            self.band = None if probe is None else probe.band(self.sequence)
            return None
        notices = tuple(grid.notices)
        self._commit()
        self.band = None if probe is None else probe.band(self.sequence)
        decision = Decision(
            half_ticks=half_ticks,
            budget_orders=orders,
            budget_refill_at_ms=refill_at_ms,
            centre=grid.fields.centre,
            actions=tuple(actions),
            notices=notices,
        )
        return JournalRecord(sequence=self.sequence, now_ms=now_ms, entry=decision)

    def _conclude(
        self, half_ticks: int, now_ms: int, budget: OrdersLeft
    ) -> tuple[list[PlaceOrder | CancelOrder], int, Probe | None]:
        """Ask and mark until nothing is wanted; return actions, number of marks, the last probe (None: halted)."""
        grid = self.grid
        actions: list[PlaceOrder | CancelOrder] = []
        marked = 0
        try:
            while marked < MOST_INTENTS:
                probe = Probe(half_ticks, now_ms, _lattice_of(grid))
                self.plans += 1
                intent = self._strategy.plan(grid, probe, budget)
                if intent is None:
                    return actions, marked, probe
                action = mark(grid, intent, now_ms)
                marked += 1
                if action is not None:
                    actions.append(action)
                if isinstance(action, PlaceOrder):
                    budget.left -= 1
            raise InvariantBroken(f"the strategy wants more than {MOST_INTENTS} steps")
        except InvariantBroken as error:
            booking.halt(grid, str(error))
            return actions, marked + 1, None

    def replay(self, record: JournalRecord) -> None:
        """Take a journal row: an input is applied, a decision is derived again and compared.

        Raises:
            ReplayDiffers: the decision, or the row's sequence number, is not the one in the journal.
        """
        if record.sequence != self.sequence + 1:
            raise ReplayDiffers(f"record {record.sequence} follows {self.sequence}")
        entry = record.entry
        if not isinstance(entry, Decision):
            self.apply(entry, record.now_ms)
            return
        derived = self.decide(entry.half_ticks, record.now_ms, entry.budget_orders, entry.budget_refill_at_ms)
        if derived != record:
            concluded = None if derived is None else derived.entry
            raise ReplayDiffers(f"record {record.sequence}: the journal holds {entry}, replay gives {concluded}")

    def _begin(self) -> None:
        self.grid.notices = []
        self.grid.stamp = self.sequence + 1

    def _commit(self) -> None:
        self.grid.update(sequence=self.grid.stamp)

    def _roll_back(self) -> None:
        self.grid.stamp = self.sequence

    # Images ---------------------------------------------------------------------------------------------------------

    def image(self) -> bytes:
        """Return the complete state as canonical JSON: equal states give equal bytes."""
        return _ENCODER.encode(StateImage(fields=self.grid.frozen_fields(), slots=self.grid.book.in_order()))

    @classmethod
    def from_image(cls, image: bytes, *, strategy: Strategy | None = None) -> GridState:
        """Return the state of an image.

        Raises:
            ValueError: the bytes are not an image.
        """
        decoded = _IMAGES.decode(image)
        return cls(Grid(decoded.fields, decoded.slots), strategy=strategy)


def _lattice_of(grid: Grid) -> Lattice:
    if grid.lattice is None:
        raise InvariantBroken("a decision was made before the lattice was anchored")
    return grid.lattice


def _apply(grid: Grid, entry: Input, now_ms: int) -> None:  # one arm per input, nothing else
    match entry:
        case OrderUpdate():
            if entry.trade is not None:
                booking.book_trade(grid, entry.trade)
            booking.book_record(grid, entry.order, now_ms)
        case OrderAcknowledged() | CancelAcknowledged():
            booking.book_record(grid, entry.order, now_ms)
        case OrderRefused():
            booking.refuse(grid, entry, now_ms)
        case OrderOutcomeLost():
            booking.outcome_lost(grid, entry)
        case OrderNotSent():
            booking.not_sent(grid, entry, now_ms)
        case CancelRefused() | CancelOutcomeLost():
            booking.cancel_failed(grid, entry)
        case Correction():
            _correct(grid, entry, now_ms)
        case StraySeen():
            booking.adopt(grid, entry.order, now_ms)
        case TradesWalked():
            walk_trades(grid, entry)
        case PositionObserved():
            observe_position(grid, entry, now_ms)
        case FundingRecord():
            book_funding(grid, entry)
        case RegimeReading():
            read_regime(grid, entry, now_ms)
        case _:
            _administer(grid, entry, now_ms)


def _administer(grid: Grid, entry: Input, now_ms: int) -> None:
    match entry:
        case SessionStarted():
            start_session(grid, entry, now_ms)
        case LatticeAnchored():
            if grid.fields.anchor_ticks is not None:
                raise InvariantBroken(f"the lattice is anchored at {grid.fields.anchor_ticks} ticks already")
            grid.update(anchor_ticks=entry.anchor_ticks)
            grid.rebuild_window()
        case FiltersChanged():
            rescale(grid, entry.instrument)
        case ConditionChanged():
            change_condition(grid, entry)
        case TradingStateChanged():
            grid.update(trading_state=entry.state, state_reason=entry.reason, flatten=entry.flatten)
        case PositionAccepted():
            accept_position(grid, entry)
        case InventoryWrittenOff():
            write_off(grid, entry)
        case _:
            raise InvariantBroken(f"{type(entry).__name__} is not an input")


def _correct(grid: Grid, correction: Correction, now_ms: int) -> None:
    """Take the exchange's record through the same table as an event, if nothing happened to the slot meanwhile (R8)."""
    slot = grid.book.get(correction.rung)
    if slot is None or slot.version != correction.version:
        grid.count(stale_corrections=1)
        return
    if isinstance(correction.evidence, OrderAbsent):
        booking.order_absent(grid, slot, correction.evidence)
    else:
        booking.book_record(grid, correction.evidence, now_ms)

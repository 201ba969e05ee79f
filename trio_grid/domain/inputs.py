"""Everything that the reducer can be told, beside the exchange's own events: the journal's vocabulary.

An input changes the grid's state; a `Decision` is what the reducer concluded. Both are journal entries, and replaying
the inputs gives the same decisions (R13).
"""

from __future__ import annotations

import enum

import msgspec

from trio_grid.domain.actions import Action, CancelOrder, PlaceOrder
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
    OrderRecord,
    OrderRefused,
    OrderUpdate,
    RegimeReading,
    Trade,
)
from trio_grid.domain.instrument import Instrument, PriceTicks
from trio_grid.domain.settings import GridSettings


class TradingState(enum.StrEnum):
    """What the bot is allowed to want."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class Condition(enum.StrEnum):
    """A circumstance that closes doors while it lasts; `risk.permissions` says which."""

    STARTING = "STARTING"
    """Not ready, or the user stream came back and no full reconciliation has passed since."""
    USER_STREAM_DOWN = "USER_STREAM_DOWN"
    USER_STREAM_SILENT = "USER_STREAM_SILENT"
    PRICE_STALE = "PRICE_STALE"
    KLINES_STALE = "KLINES_STALE"
    PAUSED = "PAUSED"
    STOPPING = "STOPPING"
    FILTERS_CHANGED = "FILTERS_CHANGED"


class SessionStarted(Event, frozen=True, kw_only=True):
    """A life of the process begins.

    At the journal's first start `baseline_lots` is the position that the account already has, and `trade_watermark` the
    account's highest trade id on the symbol; both are None afterwards.
    """

    bot_id: str
    session: int
    instrument: Instrument
    settings: GridSettings
    baseline_lots: int | None = None
    trade_watermark: int | None = None


class LatticeAnchored(Event, frozen=True, kw_only=True):
    """The lattice's anchor, fixed for the life of the journal."""

    anchor_ticks: PriceTicks


class FiltersChanged(Event, frozen=True, kw_only=True):
    """The exchange changed the symbol's units or filters; prices and quantities are rescaled exactly."""

    instrument: Instrument


class ConditionChanged(Event, frozen=True, kw_only=True):
    """A circumstance began or ended."""

    condition: Condition
    active: bool
    reason: str = ""


class TradingStateChanged(Event, frozen=True, kw_only=True):
    """The trading state was changed by a safety rule or the operator; `flatten` closes what is held at market."""

    state: TradingState
    reason: str
    flatten: bool = False


class Correction(Event, frozen=True, kw_only=True):
    """The exchange's own record about one of our orders, found by reconciliation (R8).

    It is dropped, and counted as stale, unless the slot's version still is `version`.
    """

    rung: int
    version: int
    evidence: OrderRecord | OrderAbsent


class StraySeen(Event, frozen=True, kw_only=True):
    """The exchange's fresh record of an order of ours that no slot knows: its intent was lost."""

    order: OrderRecord


class TradesWalked(Event, frozen=True, kw_only=True):
    """Our account's trades since the watermark, in order, each with its client order id resolved.

    `watermark` is the highest trade id below which nothing can be missing any more.
    """

    trades: tuple[Trade, ...]
    watermark: int


class PositionObserved(Event, frozen=True, kw_only=True):
    """The exchange's position, read while the books were at `fence`; ignored if a trade was booked since."""

    position_lots: int
    fence: int


class PositionAccepted(Event, frozen=True, kw_only=True):
    """The operator takes a position difference as foreign, in these words."""

    difference_lots: int
    words: str


class InventoryWrittenOff(Event, frozen=True, kw_only=True):
    """The operator writes off slot inventory that the exchange closed by itself (liquidation, ADL, delisting)."""

    rungs: tuple[int, ...]
    words: str


Input = (
    SessionStarted
    | LatticeAnchored
    | FiltersChanged
    | ConditionChanged
    | TradingStateChanged
    | RegimeReading
    | OrderUpdate
    | OrderAcknowledged
    | OrderRefused
    | OrderOutcomeLost
    | OrderNotSent
    | CancelAcknowledged
    | CancelRefused
    | CancelOutcomeLost
    | Correction
    | StraySeen
    | TradesWalked
    | PositionObserved
    | PositionAccepted
    | InventoryWrittenOff
    | FundingRecord
)


class OrderBudget(msgspec.Struct, frozen=True, kw_only=True):
    """How many orders may be placed now, and when (exchange ms) the next one becomes possible if that is 0."""

    orders: int
    refill_at_ms: int


class Decision(Event, frozen=True, kw_only=True):
    """What the reducer concluded from its state, a price, a time and an order budget: actions and a new centre.

    `half_ticks` is best bid + best ask; `centre` is the window's centre rung after the decision. `halts` names a limit
    or invariant that the decision found broken. A decision that concludes nothing leaves no record.
    """

    half_ticks: int
    budget_orders: int
    budget_refill_at_ms: int
    centre: int | None
    actions: tuple[PlaceOrder | CancelOrder, ...]
    notices: tuple[str, ...] = ()


Entry = Input | Decision


class JournalRecord(Event, frozen=True, kw_only=True):
    """One row of the journal: the manager's sequence number, the exchange's time, and what happened."""

    sequence: int
    now_ms: int
    entry: Entry


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a manager method hands back: rows to commit first, then actions to send, in this order (R13).

    `halted` is the reason when a safety rule or a broken invariant has stopped trading for good.
    """

    records: tuple[JournalRecord, ...]
    actions: tuple[Action, ...]
    halted: str | None = None
    notices: tuple[str, ...] = ()
    """What the operator should read: limits hit, orders adopted, differences found."""

"""Frozen pictures of the grid for everybody who may look but not touch (R7)."""

from __future__ import annotations

import msgspec

from trio_grid.domain.events import RegimeReading
from trio_grid.domain.grid import Counters, Grid, Suspicion
from trio_grid.domain.inputs import Condition, TradingState
from trio_grid.domain.instrument import Instrument
from trio_grid.domain.ledger import Ledger
from trio_grid.domain.settings import Mode
from trio_grid.domain.slot import InventorySlot, OrderStatus, Use


class LadderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One cell as a report shows it. `remark` says why nothing rests where nothing does."""

    rung: int
    stride: int
    use: Use
    open_price_ticks: int
    exit_price_ticks: int
    in_window: bool
    status: OrderStatus
    inventory_lots: int
    order_id: str | None
    order_price_ticks: int | None
    remaining_lots: int
    remark: str


class PositionSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The whole state at one sequence number, disconnected from it.

    Lots are signed where they are positions; money is in 1e-8 units; `unknown_orders` are the client order ids whose
    outcome nobody knows.
    """

    bot_id: str
    session: int
    symbol: str
    instrument: Instrument
    mode: Mode
    sequence: int
    now_ms: int
    trading_state: TradingState
    state_reason: str
    flatten: bool
    conditions: tuple[Condition, ...]
    closed_doors: tuple[str, ...]
    reading: RegimeReading | None
    half_ticks: int | None
    anchor_ticks: int | None
    centre: int | None
    stride: int
    slots: tuple[InventorySlot, ...]
    strays: tuple[str, ...]
    settled: tuple[tuple[str, int], ...]
    net_lots: int
    position_lots: int
    baseline_lots: int
    foreign_lots: int
    trade_watermark: int
    last_booking: int
    unbooked_lots: int
    position_question: bool
    suspicion: Suspicion | None
    ledger: Ledger
    realized_units: int
    equity_units: int
    cash_ticks_lots: int
    counters: Counters

    @property
    def unrealized_units(self) -> int:
        """Equity at the last price less realized grid profit."""
        return self.equity_units - self.realized_units

    @property
    def resting(self) -> tuple[InventorySlot, ...]:
        """Slots whose order is not settled."""
        return tuple(slot for slot in self.slots if slot.order is not None)

    def __repr__(self) -> str:
        """Return the state in one line."""
        return (
            f"<PositionSnapshot {self.symbol} {self.trading_state} sequence={self.sequence} slots={len(self.slots)}"
            f" unsettled={len(self.resting)} position_lots={self.position_lots}>"
        )


def take_snapshot(grid: Grid, now_ms: int, half_ticks: int | None) -> PositionSnapshot:
    """Return the picture of a grid at a time and, if one is known, a price."""
    fields, instrument = grid.fields, grid.instrument
    realized = grid.realized_units
    return PositionSnapshot(
        bot_id=fields.bot_id,
        session=fields.session,
        symbol=instrument.symbol,
        instrument=instrument,
        mode=grid.settings.mode,
        sequence=fields.sequence,
        now_ms=now_ms,
        trading_state=fields.trading_state,
        state_reason=fields.state_reason,
        flatten=fields.flatten,
        conditions=fields.conditions,
        closed_doors=grid.permissions.reasons,
        reading=fields.reading,
        half_ticks=half_ticks,
        anchor_ticks=fields.anchor_ticks,
        centre=fields.centre,
        stride=fields.stride,
        slots=grid.book.in_order(),
        strays=tuple(grid.strays),
        settled=tuple(grid.settled.items()),
        net_lots=grid.net_lots,
        position_lots=grid.position_lots,
        baseline_lots=fields.baseline_lots,
        foreign_lots=fields.foreign_lots,
        trade_watermark=fields.trade_watermark,
        last_booking=fields.last_booking,
        unbooked_lots=grid.sum("unbooked"),
        position_question=fields.position_question,
        suspicion=fields.suspicion,
        ledger=fields.ledger,
        realized_units=realized,
        equity_units=_equity_units(grid, half_ticks, realized),
        cash_ticks_lots=fields.cash_ticks_lots,
        counters=fields.counters,
    )


def _equity_units(grid: Grid, half_ticks: int | None, realized_units: int) -> int:
    """Return cash + net x price, less fees plus funding; half ticks are halved once, towards minus infinity."""
    if half_ticks is None:
        return realized_units
    unit = grid.instrument.tick_lot_units
    trips = grid.fields.ledger.slot_realized_ticks_lots * unit
    return (2 * grid.fields.cash_ticks_lots + grid.net_lots * half_ticks) * unit // 2 + realized_units - trips


def ladder(grid: Grid) -> tuple[LadderRow, ...]:
    """Return every cell of the window and every slot in use, from the highest opening price down."""
    window = grid.candidates.window
    cells: dict[int, InventorySlot] = {}
    if window is not None:
        for use in Use:
            for rung in window.cells(use):
                if not grid.book.overlaps(rung, window.stride):
                    cells[rung] = grid.new_slot(rung, window.stride, use)
    cells.update({slot.rung: slot for slot in grid.book.in_order()})
    rows = [_row(grid, slot) for slot in cells.values()]
    return tuple(sorted(rows, key=lambda row: (-row.open_price_ticks, row.rung)))


def _row(grid: Grid, slot: InventorySlot) -> LadderRow:
    window, order = grid.candidates.window, slot.order
    return LadderRow(
        rung=slot.rung,
        stride=slot.stride,
        use=slot.use,
        open_price_ticks=slot.open_price_ticks,
        exit_price_ticks=slot.exit_price_ticks,
        in_window=window is not None and window.use_of(slot.rung) is slot.use,
        status=slot.status,
        inventory_lots=slot.inventory_lots,
        order_id=None if order is None else order.client_order_id,
        order_price_ticks=None if order is None else order.price_ticks,
        remaining_lots=0 if order is None else order.quantity_lots - order.executed_lots,
        remark="" if order is not None else why_nothing_rests(grid, slot),
    )


def why_nothing_rests(grid: Grid, slot: InventorySlot) -> str:
    """Return the rule that keeps a slot without an order from having one; empty if only price or budget do."""
    permissions = grid.permissions
    if slot.inventory_lots:
        if not permissions.closes:
            return "closings wait: " + ", ".join(permissions.reasons)
        if slot.inventory_lots < grid.instrument.min_quantity_lots:
            return "dust: below the minimum quantity"
        if slot.retries:
            return f"refused {slot.retries} times, waits"
        if grid.sum("unsettled") >= grid.order_capacity():
            return "parked: the limit of open orders is reached"
        if grid.settings.mode is not Mode.NEUTRAL and grid.reducible_lots(slot.use) < slot.inventory_lots:
            return "position missing"
        return ""
    if not permissions.may_open(slot.use):
        return "openings stopped: " + ", ".join(permissions.reasons)
    if slot.retries:
        return f"refused {slot.retries} times, waits"
    return grid.why_not_worth_opening(slot.rung, slot.stride, slot.use) or ""

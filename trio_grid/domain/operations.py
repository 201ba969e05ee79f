"""Inputs that concern the books as a whole: sessions, conditions, the regime, walks of trades, the position, words."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trio_grid.domain import booking
from trio_grid.domain.events import FundingRecord, RegimeReading, Volatility
from trio_grid.domain.grid import Grid, Suspicion, Trigger
from trio_grid.domain.inputs import (
    Condition,
    ConditionChanged,
    InventoryWrittenOff,
    PositionAccepted,
    PositionObserved,
    SessionStarted,
    TradesWalked,
    TradingState,
)
from trio_grid.domain.instrument import Instrument
from trio_grid.domain.rescale import rescale
from trio_grid.domain.settings import LatticeSettings, Mode
from trio_grid.domain.slot import Signal, next_status
from trio_grid.errors import InvariantBroken

SUSPICION_APART_MS = 2_000
"""A position difference counts when it is seen twice alike this far apart: one reading may be older than a fill."""
STRIDE_MARGIN_PERCENT = 10
HIGH_VOLATILITY_PERCENT = 150
CLOCK_AHEAD_MS = 1_000
"""The exchange refuses timestamps farther ahead of its own clock than this."""


def start_session(grid: Grid, start: SessionStarted, now_ms: int) -> None:
    """Begin a life of the process: answers that were under way will never come, so their orders become UNKNOWN.

    What the last life was sending carries no timestamp after this moment, by a clock that was at most a second ahead:
    from here its recvWindow runs before queries can prove that it never arrived (R4).
    """
    fields = grid.fields
    if fields.bot_id and fields.bot_id != start.bot_id:
        raise InvariantBroken(f"the journal belongs to bot {fields.bot_id}, not {start.bot_id}")
    if start.session <= fields.session and fields.bot_id:
        raise InvariantBroken(f"session {start.session} does not follow session {fields.session}")
    if fields.instrument is not None and _units(fields.instrument) != _units(start.instrument):
        rescale(grid, start.instrument)
    slots = grid.book.in_order()
    if not _same_lattice(grid, start.settings.lattice):
        if any(slot.occupied for slot in slots):
            raise InvariantBroken("the lattice cannot change while a slot holds an order or inventory")
        slots = ()
        grid.update(anchor_ticks=None, centre=None, stride=1, stride_changed_at_ms=0, trigger=Trigger.WAITING)
    # What the operator said holds until the operator says otherwise; everything else is looked at anew.
    paused = (Condition.PAUSED,) if Condition.PAUSED in fields.conditions else ()
    grid.update(
        bot_id=start.bot_id,
        session=start.session,
        generation=0,
        instrument=start.instrument,
        settings=start.settings,
        conditions=(*paused, Condition.STARTING),
        reading=None,
    )
    if start.baseline_lots is not None:
        grid.update(baseline_lots=start.baseline_lots)
    if start.trade_watermark is not None:
        grid.update(trade_watermark=start.trade_watermark)
    grid.reload(slots)
    for slot in slots:
        if slot.order is not None:
            status = next_status(slot.order.status, Signal.NEW_SESSION)
            if status is not slot.order.status:
                sent_at_ms = slot.order.sent_at_ms if slot.order.acknowledged else now_ms + CLOCK_AHEAD_MS
                order = msgspec.structs.replace(slot.order, status=status, sent_at_ms=sent_at_ms)
                grid.put(msgspec.structs.replace(slot, order=order))


def _same_lattice(grid: Grid, lattice: LatticeSettings) -> bool:
    """Return whether settings describe the lattice that the journal has; not naming the anchor means keeping it."""
    settings, anchor_ticks = grid.fields.settings, grid.fields.anchor_ticks
    if settings is None or anchor_ticks is None:
        return True
    if lattice.anchor_ticks not in (None, anchor_ticks):
        return False
    unanchored = [msgspec.structs.replace(shape, anchor_ticks=None) for shape in (settings.lattice, lattice)]
    return unanchored[0] == unanchored[1]


def _units(instrument: Instrument) -> tuple[Decimal, Decimal]:
    return instrument.tick_size, instrument.lot_size


def change_condition(grid: Grid, change: ConditionChanged) -> None:
    """Let a circumstance begin or end."""
    conditions = set(grid.fields.conditions)
    if change.active:
        conditions.add(change.condition)
    else:
        conditions.discard(change.condition)
    grid.update(conditions=tuple(sorted(conditions)))


def read_regime(grid: Grid, reading: RegimeReading, now_ms: int) -> None:
    """Take a new reading; the stride, and the size of a level, are looked at here and nowhere else."""
    before = grid.fields.reading
    grid.update(reading=reading)
    if reading.stale:
        return
    stride = _wanted_stride(grid, reading, now_ms)
    if stride != grid.fields.stride:
        _change_stride(grid, stride, now_ms)
    elif before is None or before.size_factor_milli != reading.size_factor_milli or grid.settings.compounding_milli:
        # The size of a level has changed, and with it which cells are worth opening.
        grid.rebuild_window()


def _wanted_stride(grid: Grid, reading: RegimeReading, now_ms: int) -> int:
    """Return the stride: the wanted interval over the base, rounded up; changed 10 % past the step, after a dwell.

    Wanted interval = max(base, ATR x volatility scale), x 1.5 in HIGH volatility.
    """
    fields, settings, lattice = grid.fields, grid.settings, grid.lattice
    if lattice is None or fields.centre is None:
        return fields.stride
    base = lattice.cell_width(fields.centre, 1)
    if base < 1 or now_ms - fields.stride_changed_at_ms < settings.stride_dwell_ms:
        return fields.stride
    # In thousandths of a tick. It may be less than the base: only then can it be a tenth below the first step.
    wanted = reading.atr_ticks * settings.volatility_scale_milli
    if reading.volatility is Volatility.HIGH:
        wanted = max(base * 1_000, wanted) * HIGH_VOLATILITY_PERCENT // 100
    stride = max(1, min(settings.max_stride, -(-wanted // (base * 1_000))))
    step_up = fields.stride * base * 10 * (100 + STRIDE_MARGIN_PERCENT)
    step_down = (fields.stride - 1) * base * 10 * (100 - STRIDE_MARGIN_PERCENT)
    if (stride > fields.stride and wanted > step_up) or (stride < fields.stride and wanted <= step_down):
        return stride
    return fields.stride


def _change_stride(grid: Grid, stride: int, now_ms: int) -> None:
    """Change the stride; the centre goes to the nearest multiple of it, inside the lattice's range."""
    centre, lattice = grid.fields.centre, grid.lattice
    if centre is not None and lattice is not None:
        nearest = (2 * centre + stride) // (2 * stride) * stride
        lowest = -(-lattice.lowest_rung // stride) * stride
        highest = lattice.highest_rung // stride * stride
        centre = max(lowest, min(highest, nearest))
    grid.notices.append(f"stride {grid.fields.stride} -> {stride}")
    grid.update(stride=stride, stride_changed_at_ms=now_ms, centre=centre)
    grid.rebuild_window()


def walk_trades(grid: Grid, walk: TradesWalked) -> None:
    """Book the trades of a walk and move the watermark, which bounds how many ids have to be remembered (F24)."""
    for trade in walk.trades:
        booking.book_trade(grid, trade)
    watermark = max(grid.fields.trade_watermark, walk.watermark)
    grid.booked = {trade_id for trade_id in grid.booked if trade_id > watermark}
    grid.update(trade_watermark=watermark)


def book_funding(grid: Grid, record: FundingRecord) -> None:
    """Book a funding payment, once; what was received counts for the highest realized equity."""
    grid.update(ledger=grid.fields.ledger.book_funding(record))
    grid.update(peak_realized_units=max(grid.fields.peak_realized_units, grid.realized_units))


def observe_position(grid: Grid, seen: PositionObserved, now_ms: int) -> None:
    """Compare the exchange's position with the books, if nothing was booked meanwhile and nothing is unbooked.

    A difference that no trade explains, seen twice alike, stops openings (neutral: everything) and alerts.
    """
    if grid.fields.last_booking > seen.fence or grid.sum("unbooked"):
        return
    grid.update(position_question=False)
    difference = seen.position_lots - grid.position_lots
    suspicion = grid.fields.suspicion
    if difference == 0:
        if suspicion is not None:
            grid.update(suspicion=None)
        return
    if suspicion is None or suspicion.difference_lots != difference:
        grid.update(suspicion=Suspicion(difference, now_ms))
        return
    if now_ms - suspicion.seen_at_ms < SUSPICION_APART_MS:
        return
    reason = (
        f"the exchange's position is {seen.position_lots} lots, the books say {grid.position_lots}, and no trade"
        " explains the difference"
    )
    if grid.settings.mode is Mode.NEUTRAL:
        if grid.fields.trading_state is not TradingState.HALTED:
            booking.halt(grid, reason)
    elif grid.fields.trading_state is TradingState.ACTIVE:
        grid.update(trading_state=TradingState.REDUCING, state_reason=reason)
        grid.notices.append(f"REDUCING: {reason}")


def accept_position(grid: Grid, accepted: PositionAccepted) -> None:
    """Book a position difference as foreign, on the operator's word."""
    grid.update(foreign_lots=grid.fields.foreign_lots + accepted.difference_lots, suspicion=None)
    grid.notices.append(f"{accepted.difference_lots} lots accepted as foreign: {accepted.words}")


def write_off(grid: Grid, written: InventoryWrittenOff) -> None:
    """Write off slot inventory that the exchange closed by itself; the foreign trades that did it cancel out.

    What the inventory cost leaves the grid's cash with it: the loss is in the exchange's own realized profit, and the
    slots' view has no round trip for it.

    Raises:
        InvariantBroken: a slot does not exist or still has an order.
    """
    slots = [grid.book.get(rung) for rung in written.rungs]
    for rung, slot in zip(written.rungs, slots, strict=True):
        if slot is None or slot.order is not None or slot.inventory_lots == 0:
            raise InvariantBroken(f"slot {rung} has no inventory that could be written off, or still has an order")
    for slot in filter(None, slots):
        lots = slot.inventory_lots * slot.use.sign
        grid.put(msgspec.structs.replace(slot, inventory_lots=0, entry_value=0, exit_value=0, retries=0))
        cost = slot.use.sign * (slot.entry_value - slot.exit_value)
        grid.update(
            foreign_lots=grid.fields.foreign_lots + lots,
            cash_ticks_lots=grid.fields.cash_ticks_lots + cost,
            suspicion=None,
        )
        grid.notices.append(f"slot {slot.rung}: {lots} lots written off: {written.words}")

"""Booking: what the exchange says about orders and trades becomes slot status and inventory.

Inventory comes from trades alone, each booked once by its id (R5). Answers, execution reports and reconciliation's
findings are all the exchange's own records and go through the one transition table of `slot` (R8).
"""

from __future__ import annotations

import msgspec

from trio_grid.domain.client_order_id import OrderIdParts, decode
from trio_grid.domain.events import (
    CancelOutcomeLost,
    CancelRefused,
    OrderAbsent,
    OrderNotSent,
    OrderOutcomeLost,
    OrderRecord,
    OrderRefused,
    RecordStatus,
    RejectReason,
    Trade,
)
from trio_grid.domain.grid import SETTLED_REMEMBERED, STRAYS_REMEMBERED, Grid
from trio_grid.domain.inputs import TradingState
from trio_grid.domain.slot import (
    InventorySlot,
    OrderStatus,
    Role,
    Signal,
    SlotOrder,
    next_status,
    use_of,
)
from trio_grid.errors import InvariantBroken

ABSENCE_MARGIN_MS = 1_000
"""Past timestamp + recvWindow the exchange refuses a request; a second more covers its clock's unevenness (R4)."""
ABSENCE_APART_MS = 2_000
"""Two answers "does not exist" this far apart are not one lagging replica twice (R4)."""
CANCEL_AND_RESUME = (
    "the journal has lost what the slot did before. Stop with `--set exit.policy=cancel-all`, which cancels every order"
    " of this bot on the exchange's own list; start again; `trio-grid resume` trades on when books and position agree"
)
"""A slot of which the exchange tells another use than the books is no lost answer: two orders of one slot live, or did.
Nothing may be sent for it before the operator has looked (R12)."""
FORGOTTEN_AFTER_MS = 3 * 24 * 3_600_000
"""The exchange forgets cancelled orders without trades after three days."""
FIRST_RETRY_MS = 250
LONGEST_RETRY_MS = 60_000
LARGEST_REPRICE_TICKS = 20
REDUCE_ONLY_EXPIRY = 4
"""The exchange's expiry reason of a reduce-only order that would no longer reduce the position."""
FORCED_CLOSINGS = ("autoclose-", "adl_autoclose", "settlement_autoclose-")
"""Client order ids of the exchange's own orders: liquidation, auto-deleveraging, delisting."""

replace = msgspec.structs.replace


def halt(grid: Grid, reason: str) -> None:
    """Stop trading for good: the books contradict themselves, and acting on a wrong picture costs money."""
    grid.update(trading_state=TradingState.HALTED, state_reason=reason)
    grid.notices.append(f"HALTED: {reason}")


def owned(grid: Grid, client_order_id: str) -> OrderIdParts | None:
    """Return what an id of this bot says, None for anybody else's order (R12)."""
    parts = decode(client_order_id)
    return parts if parts is not None and parts.bot == grid.fields.bot_id else None


def slot_of(grid: Grid, client_order_id: str) -> InventorySlot | None:
    """Return the slot whose current order carries this id: by the id's own rung, never by price (R1)."""
    parts = owned(grid, client_order_id)
    slot = None if parts is None else grid.book.get(parts.rung)
    if slot is None or slot.order is None or slot.order.client_order_id != client_order_id:
        return None
    return slot


def book_record(grid: Grid, record: OrderRecord, now_ms: int) -> None:
    """Book the exchange's record of an order: an execution report, an answer, or a query's."""
    if owned(grid, record.client_order_id) is None:
        return
    slot = slot_of(grid, record.client_order_id)
    if slot is None:
        _note_stray(grid, record)
        return
    _meet_record(grid, slot, record, now_ms)


def _meet_record(grid: Grid, slot: InventorySlot, record: OrderRecord, now_ms: int) -> None:
    order = _order_of(slot)
    if record.quantity_lots != order.quantity_lots or record.side is not order.side:
        there, here = f"{record.side} {record.quantity_lots}", f"{order.side} {order.quantity_lots}"
        halt(grid, f"order {order.client_order_id} has {there} lots on the exchange, {here} in the books")
        return
    signal = Signal.TERMINAL if record.status.is_terminal else Signal.WORKING
    executed = max(order.executed_lots, record.executed_lots)
    known = replace(
        order,
        status=next_status(order.status, signal),
        order_id=record.order_id,
        executed_lots=executed,
        acknowledged=True,
        absent_at_ms=None,
    )
    slot = replace(slot, order=known)
    if executed or record.status is RecordStatus.CANCELED:
        # It has traded, or rested until somebody cancelled it: what was refused before counts no more.
        slot = replace(slot, retries=0, retry_at_ms=0, reprice_ticks=0)
    grid.put(slot)
    if record.expiry_reason == REDUCE_ONLY_EXPIRY:
        # Knocked out as reduce-only: the position is not what the books say until it was read again (F15).
        grid.update(position_question=True)
    settle(grid, slot.rung)
    if signal is Signal.TERMINAL and not executed and record.status is not RecordStatus.CANCELED:
        back_off(grid, slot.rung, now_ms, _reprice_after(grid, known, record), slot)


def _reprice_after(grid: Grid, order: SlotOrder, record: OrderRecord) -> int:
    """Return by how many ticks to move off after an end without any execution: a post-only order would have taken."""
    post_only = order.role is Role.OPEN or grid.settings.closings_post_only
    return 1 if post_only and order.price_ticks is not None and record.expiry_reason != REDUCE_ONLY_EXPIRY else 0


def _note_stray(grid: Grid, record: OrderRecord) -> None:
    """Remember an id of ours that no slot has, for the reconciler to ask about; a settled order's echo is nothing."""
    if record.client_order_id in grid.settled or (record.status.is_terminal and record.executed_lots == 0):
        return
    _remember_stray(grid, record.client_order_id, 0)


def _remember_stray(grid: Grid, client_order_id: str, booked_lots: int) -> None:
    grid.strays[client_order_id] = grid.strays.get(client_order_id, 0) + booked_lots
    while len(grid.strays) > STRAYS_REMEMBERED:
        del grid.strays[next(iter(grid.strays))]


def adopt(grid: Grid, record: OrderRecord, now_ms: int) -> bool:
    """Take an order of ours whose intent was lost into its slot; return whether it now is a slot's order.

    Its slot must be free, and its record fresh from a query. If the slot has another order the caller cancels this one
    by its id. A slot that trades the other way is a broken invariant.
    """
    parts = owned(grid, record.client_order_id)
    if parts is None or record.client_order_id in grid.settled or grid.lattice is None:
        return False
    role = Role.OPEN if parts.role == Role.OPEN.letter else Role.CLOSE
    use = use_of(record.side, role)
    slot = grid.book.get(parts.rung)
    if slot is not None and slot.occupied and slot.use is not use:
        halt(
            grid,
            f"order {record.client_order_id} is {use} but slot {parts.rung} is used {slot.use}; {CANCEL_AND_RESUME}",
        )
        return False
    if slot is not None and slot.order is not None:
        return slot.order.client_order_id == record.client_order_id
    if slot is None or not slot.occupied:
        if grid.book.overlaps(parts.rung, parts.stride):
            return False
        slot = grid.new_slot(parts.rung, parts.stride, use)
        if role is Role.OPEN and record.price_ticks:
            slot = replace(slot, open_price_ticks=record.price_ticks)
    booked_lots = grid.strays.pop(record.client_order_id, 0)
    order = SlotOrder(
        client_order_id=record.client_order_id,
        role=role,
        side=record.side,
        price_ticks=record.price_ticks or None,
        quantity_lots=record.quantity_lots,
        reduce_only=record.reduce_only,
        status=OrderStatus.UNKNOWN,
        sent_at_ms=now_ms,
        executed_lots=booked_lots,
        booked_lots=booked_lots,
        acknowledged=True,
    )
    grid.put(replace(slot, order=order))
    grid.count(adopted=1)
    grid.notices.append(f"adopted order {record.client_order_id} into slot {parts.rung}")
    _meet_record(grid, grid.book.get(parts.rung) or slot, record, now_ms)
    return True


def settle(grid: Grid, rung: int) -> None:
    """End a slot's order once it is terminal and its booked trades equal its executed quantity (R5)."""
    slot = grid.book.get(rung)
    if slot is None or slot.order is None or slot.order.status is not OrderStatus.SETTLING:
        return
    order = slot.order
    if order.booked_lots != order.executed_lots:
        return
    next_status(order.status, Signal.SETTLED)
    _remember_settled(grid, order)
    grid.put(replace(slot, order=None))


def _remember_settled(grid: Grid, order: SlotOrder) -> None:
    grid.settled[order.client_order_id] = order.order_id or 0
    while len(grid.settled) > SETTLED_REMEMBERED:
        del grid.settled[next(iter(grid.settled))]


# Trades --------------------------------------------------------------------------------------------------------------


def book_trade(grid: Grid, trade: Trade) -> bool:
    """Book one trade of the account; return False if its id was booked before (F20)."""
    if trade.trade_id <= grid.fields.trade_watermark or trade.trade_id in grid.booked:
        grid.count(duplicate_trades=1)
        return False
    grid.booked.add(trade.trade_id)
    grid.update(ledger=grid.fields.ledger.book_trade(trade), last_booking=grid.stamp)
    parts = owned(grid, trade.client_order_id)
    if parts is None:
        grid.count(foreign_fills=1)
        grid.update(foreign_lots=grid.fields.foreign_lots + trade.side.sign * trade.quantity_lots)
        if trade.client_order_id.startswith(FORCED_CLOSINGS):
            halt(grid, f"the exchange itself closed {trade.quantity_lots} lots by order {trade.client_order_id}")
        return True
    grid.count(fills=1)
    value = trade.price_ticks * trade.quantity_lots
    grid.update(cash_ticks_lots=grid.fields.cash_ticks_lots - trade.side.sign * value)
    role = Role.OPEN if parts.role == Role.OPEN.letter else Role.CLOSE
    _book_into_slot(grid, parts, role, trade)
    return True


def _book_into_slot(grid: Grid, parts: OrderIdParts, role: Role, trade: Trade) -> None:
    use = use_of(trade.side, role)
    slot = grid.book.get(parts.rung)
    if slot is None or not slot.occupied:
        slot = grid.new_slot(parts.rung, parts.stride, use)
    if slot.use is not use:
        halt(
            grid,
            f"trade {trade.trade_id} of {trade.client_order_id} is {use}, slot {slot.rung} is {slot.use}:"
            f" its {trade.quantity_lots} lots are counted as foreign; {CANCEL_AND_RESUME}",
        )
        _keep_as_foreign(grid, trade, trade.quantity_lots)
        return
    # What was refused before counts no more: it trades.
    slot = replace(_count_on_order(grid, slot, trade), retries=0, retry_at_ms=0, reprice_ticks=0)
    value = trade.price_ticks * trade.quantity_lots
    if role is Role.OPEN:
        slot = replace(
            slot, inventory_lots=slot.inventory_lots + trade.quantity_lots, entry_value=slot.entry_value + value
        )
    else:
        closed = min(trade.quantity_lots, slot.inventory_lots)
        if closed < trade.quantity_lots:
            excess = f"{trade.quantity_lots} lots of slot {slot.rung}, which holds {slot.inventory_lots}"
            halt(grid, f"trade {trade.trade_id} closes {excess}")
            _keep_as_foreign(grid, trade, trade.quantity_lots - closed)
        slot = replace(slot, inventory_lots=slot.inventory_lots - closed, exit_value=slot.exit_value + value)
    if slot.inventory_lots == 0 and role is Role.CLOSE:
        slot = _finish_round_trip(grid, slot)
    grid.put(slot)
    settle(grid, slot.rung)


def _keep_as_foreign(grid: Grid, trade: Trade, lots: int) -> None:
    """Keep the position equation true for lots that no slot can take; the bot is halted, nothing is lost."""
    grid.update(foreign_lots=grid.fields.foreign_lots + trade.side.sign * lots)


def _count_on_order(grid: Grid, slot: InventorySlot, trade: Trade) -> InventorySlot:
    order = slot.order
    if order is None or order.client_order_id != trade.client_order_id:
        # The order may be adopted later: its trades must not be counted as missing then.
        _remember_stray(grid, trade.client_order_id, trade.quantity_lots)
        return slot
    booked = order.booked_lots + trade.quantity_lots
    if booked > order.quantity_lots:
        halt(grid, f"trades of order {order.client_order_id} sum to {booked} of {order.quantity_lots} lots")
        return slot
    status = order.status
    if booked == order.quantity_lots:
        status = next_status(status, Signal.TERMINAL)
    order = replace(
        order,
        status=status,
        order_id=trade.order_id,
        booked_lots=booked,
        executed_lots=max(order.executed_lots, booked),
        acknowledged=True,
    )
    return replace(slot, order=order)


def _finish_round_trip(grid: Grid, slot: InventorySlot) -> InventorySlot:
    ledger = grid.fields.ledger.book_round_trip(slot.entry_value, slot.exit_value, slot.use.sign)
    grid.update(ledger=ledger)
    grid.update(peak_realized_units=max(grid.fields.peak_realized_units, grid.realized_units))
    return replace(slot, entry_value=0, exit_value=0)


# Answers -------------------------------------------------------------------------------------------------------------


def meet_answer(grid: Grid, client_order_id: str, signal: Signal) -> InventorySlot | None:
    """Apply an answer that carries no record; return the slot as it is afterwards, None if the order is gone."""
    slot = slot_of(grid, client_order_id)
    if slot is None:
        return None
    order = _order_of(slot)
    status = next_status(order.status, signal)
    if status is OrderStatus.FREE and (order.acknowledged or order.executed_lots):
        # The exchange has shown the order before: "refused" contradicts it, so the order becomes a question.
        status = OrderStatus.UNKNOWN
    slot = replace(slot, order=None if status is OrderStatus.FREE else replace(order, status=status))
    grid.put(slot)
    return slot


def refuse(grid: Grid, refusal: OrderRefused, now_ms: int) -> None:
    """Book a refused placement: the slot is free again, and waits before it asks once more (F8)."""
    slot = slot_of(grid, refusal.client_order_id)
    meet_answer(grid, refusal.client_order_id, Signal.REFUSED)
    if slot is None:
        return
    grid.count(orders_refused=1)
    reprice = 1 if refusal.reason is RejectReason.POST_ONLY else 0
    back_off(grid, slot.rung, now_ms, reprice, slot)
    if refusal.reason is RejectReason.REDUCE_ONLY:
        grid.update(position_question=True)


def back_off(grid: Grid, rung: int, now_ms: int, reprice: int, before: InventorySlot) -> None:
    """Let a slot wait, twice as long after each refusal, at most a minute."""
    slot = grid.book.get(rung) or replace(before, order=None)
    if slot.order is not None:
        return
    wait_ms = min(FIRST_RETRY_MS << min(before.retries, 10), LONGEST_RETRY_MS)
    grid.put(
        replace(
            slot,
            retries=before.retries + 1,
            retry_at_ms=now_ms + wait_ms,
            reprice_ticks=min(before.reprice_ticks + reprice, LARGEST_REPRICE_TICKS),
        )
    )


def not_sent(grid: Grid, result: OrderNotSent, now_ms: int) -> None:
    """Book an intent that never left the process."""
    slot = slot_of(grid, result.client_order_id)
    meet_answer(grid, result.client_order_id, Signal.NOT_SENT)
    if slot is not None:
        back_off(grid, slot.rung, now_ms, 0, slot)


def outcome_lost(grid: Grid, result: OrderOutcomeLost) -> None:
    """Book a placement without an answer, with the time until which the exchange may still accept it (R4)."""
    slot = meet_answer(grid, result.client_order_id, Signal.OUTCOME_LOST)
    if slot is None or slot.order is None:
        return
    grid.count(unknown_outcomes=1)
    sent_at_ms = max(slot.order.sent_at_ms, result.request_time_ms)
    order = replace(slot.order, sent_at_ms=sent_at_ms, recv_window_ms=result.recv_window_ms)
    grid.put(replace(slot, order=order))


def cancel_failed(grid: Grid, result: CancelRefused | CancelOutcomeLost) -> None:
    """Book a cancel that was refused or lost: what became of the order is a question (F7)."""
    signal = Signal.CANCEL_REFUSED if isinstance(result, CancelRefused) else Signal.CANCEL_LOST
    meet_answer(grid, result.client_order_id, signal)


def order_absent(grid: Grid, slot: InventorySlot, answer: OrderAbsent) -> None:
    """Book an answer "does not exist": two of them, late enough and far enough apart, prove it (R4)."""
    order = slot.order
    if order is None or order.client_order_id != answer.client_order_id or order.status is OrderStatus.SETTLING:
        return
    if order.acknowledged:
        if order.executed_lots == 0 and answer.asked_at_ms - order.sent_at_ms > FORGOTTEN_AFTER_MS:
            grid.put(replace(slot, order=replace(order, status=next_status(order.status, Signal.TERMINAL))))
            settle(grid, slot.rung)
        return
    if order.status is not OrderStatus.UNKNOWN:
        # The answer to the placement is still under way.
        return
    if answer.asked_at_ms <= order.sent_at_ms + order.recv_window_ms + ABSENCE_MARGIN_MS:
        return
    if order.absent_at_ms is None:
        grid.put(replace(slot, order=replace(order, absent_at_ms=answer.asked_at_ms)))
    elif answer.asked_at_ms >= order.absent_at_ms + ABSENCE_APART_MS:
        next_status(order.status, Signal.PROVED_ABSENT)
        grid.count(never_existed=1)
        grid.put(replace(slot, order=None))


def _order_of(slot: InventorySlot) -> SlotOrder:
    if slot.order is None:
        raise InvariantBroken(f"slot {slot.rung} was expected to have an order")
    return slot.order

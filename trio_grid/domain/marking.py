"""Marking: an intent becomes state in the step that decided it, and the action that goes with it (R6, S4).

Owns the only place where a client order id is made, and where an order becomes PENDING or CANCELLING.
"""

from __future__ import annotations

import msgspec

from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.client_order_id import OrderIdParts, encode
from trio_grid.domain.grid import Grid, Trigger
from trio_grid.domain.inputs import TradingState
from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.domain.intents import (
    ArmTrigger,
    CancelSlot,
    CloseSlot,
    FireTrigger,
    HitLimit,
    Intent,
    MoveCentre,
    OpenSlot,
)
from trio_grid.domain.slot import InventorySlot, OrderStatus, Role, Signal, SlotOrder, next_status
from trio_grid.errors import InvariantBroken


def mark(grid: Grid, intent: Intent, now_ms: int) -> PlaceOrder | CancelOrder | None:
    """Write an intent into the books and return the action that goes with it, if any."""
    match intent:
        case OpenSlot():
            return _mark_opening(grid, intent, now_ms)
        case CloseSlot():
            return _mark_closing(grid, intent, now_ms)
        case CancelSlot():
            return _mark_cancel(grid, intent)
        case MoveCentre():
            if grid.fields.centre is None:
                grid.update(centre=intent.centre)
                grid.rebuild_window()
            else:
                grid.move_window(intent.centre)
        case ArmTrigger():
            grid.update(trigger=Trigger.ARMED_ABOVE if intent.above else Trigger.ARMED_BELOW)
        case FireTrigger():
            grid.update(trigger=Trigger.FIRED)
            grid.notices.append("trigger price reached")
        case HitLimit():
            grid.update(trading_state=TradingState.REDUCING, flatten=intent.flatten, state_reason=intent.reason)
            grid.notices.append(f"limit hit: {intent.reason}; {'flatten' if intent.flatten else 'reduce'}")
    return None


def _mark_opening(grid: Grid, intent: OpenSlot, now_ms: int) -> PlaceOrder:
    slot = grid.book.get(intent.rung) or grid.new_slot(intent.rung, intent.stride, intent.use)
    slot = msgspec.structs.replace(
        slot, open_price_ticks=intent.open_price_ticks, exit_price_ticks=intent.exit_price_ticks
    )
    return _place(grid, slot, now_ms, Role.OPEN, intent.open_price_ticks, intent.quantity_lots, False, True)


def _mark_closing(grid: Grid, intent: CloseSlot, now_ms: int) -> PlaceOrder:
    slot = grid.book.get(intent.rung)
    if slot is None or slot.inventory_lots < intent.quantity_lots:
        raise InvariantBroken(f"a closing of {intent.quantity_lots} lots was planned for slot {slot}")
    return _place(
        grid, slot, now_ms, Role.CLOSE, intent.price_ticks, intent.quantity_lots, intent.reduce_only, intent.post_only
    )


def _place(
    grid: Grid,
    slot: InventorySlot,
    now_ms: int,
    role: Role,
    price_ticks: int | None,
    quantity_lots: int,
    reduce_only: bool,
    post_only: bool,
) -> PlaceOrder:
    """Mark a slot's order PENDING under a client order id that was never used before (R3)."""
    status = next_status(slot.status, Signal.PLACE)
    generation = grid.fields.generation + 1
    parts = OrderIdParts(
        bot=grid.fields.bot_id,
        session=grid.fields.session,
        generation=generation,
        role=role.letter,
        rung=slot.rung,
        stride=slot.stride,
    )
    action = PlaceOrder(
        client_order_id=encode(parts),
        side=slot.use.side(role),
        quantity_lots=QuantityLots(quantity_lots),
        price_ticks=None if price_ticks is None else PriceTicks(price_ticks),
        post_only=post_only,
        reduce_only=reduce_only,
    )
    order = SlotOrder(
        client_order_id=action.client_order_id,
        role=role,
        side=action.side,
        price_ticks=action.price_ticks,
        quantity_lots=action.quantity_lots,
        reduce_only=reduce_only,
        status=status,
        sent_at_ms=now_ms,
        recv_window_ms=grid.settings.recv_window_ms,
    )
    grid.update(generation=generation)
    grid.count(orders_placed=1)
    grid.put(msgspec.structs.replace(slot, order=order))
    return action


def _mark_cancel(grid: Grid, intent: CancelSlot) -> CancelOrder:
    slot = grid.book.get(intent.rung)
    if slot is None or slot.order is None or slot.order.status is not OrderStatus.LOCKED:
        raise InvariantBroken(f"a cancel was planned for slot {slot}")
    order = msgspec.structs.replace(slot.order, status=next_status(slot.order.status, Signal.CANCEL))
    grid.count(cancels=1)
    grid.put(msgspec.structs.replace(slot, order=order))
    return CancelOrder(client_order_id=order.client_order_id)

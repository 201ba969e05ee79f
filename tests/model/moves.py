"""The moves of the model: everything that can happen next in a world, each with a name.

The network may delay, reorder, double and lose; the exchange is honest; the process may die at any moment. A move that
would put more under way than the bounds allow is not made: what is under way has to arrive or to be lost first.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tests.domain.grid_bench import BOT, INSTRUMENT, READING, settings
from tests.model.world import HALF_TICKS, Message, Order, World
from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.booking import ABSENCE_APART_MS, ABSENCE_MARGIN_MS
from trio_grid.domain.events import (
    CancelOutcomeLost,
    OrderAbsent,
    OrderAcknowledged,
    OrderNotSent,
    OrderOutcomeLost,
    OrderRefused,
    OrderUpdate,
    RecordStatus,
    RejectReason,
)
from trio_grid.domain.grid import Fields
from trio_grid.domain.inputs import (
    Condition,
    ConditionChanged,
    Correction,
    LatticeAnchored,
    PositionObserved,
    SessionStarted,
    TradesWalked,
)
from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.domain.settings import GridSettings, Mode
from trio_grid.domain.slot import InventorySlot, OrderStatus

START_MS = 1_700_000_000_000
LEVEL_LOTS = 2
RECV_WINDOW_MS = 5_000
LONGER_THAN_ANY_RETRY_MS = 61_000
Move = tuple[str, World]


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps the world finite: messages and requests under way, requests that may still arrive, ids of one slot."""

    air: int = 2
    unsent: int = 1
    ghosts: int = 1
    generations: int | None = None
    """Ids that a slot may use up in one run; None for any number."""


def first_world(slots: int) -> World:
    """Return the world in which the bot has just opened its door and decided its first orders."""
    chosen = grid_settings(slots)
    fresh = World(fields=Fields(), slots=(), now_ms=START_MS)
    start = SessionStarted(
        bot_id=BOT, session=1, instrument=INSTRUMENT, settings=chosen, baseline_lots=0, trade_watermark=0
    )
    anchor = LatticeAnchored(anchor_ticks=PriceTicks(HALF_TICKS // 2))
    return fresh.tell(start, anchor, READING, ConditionChanged(condition=Condition.STARTING, active=False))


def grid_settings(slots: int) -> GridSettings:
    """Return a long grid with so many cells below the price."""
    return settings(
        Mode.LONG,
        levels_below=slots,
        levels_above=1,
        base_per_level_lots=QuantityLots(LEVEL_LOTS),
        max_inventory_lots=QuantityLots(slots * LEVEL_LOTS),
    )


def moves(world: World, bounds: Bounds) -> Iterator[Move]:
    """Yield every next world with the name of the move."""
    room = len(world.air) < bounds.air
    # What was decided leaves at once in the live system: only so much of it waits here while other things happen.
    pressed = len(world.unsent) > bounds.unsent
    if room or pressed:
        for index, action in enumerate(world.unsent):
            yield from _sends(world, index, action, bounds)
    if pressed:
        return
    for index, action in enumerate(world.ghosts):
        yield from _ghosts(world, index, action)
    for order in world.orders:
        if order.live and room:
            yield from _exchange(world, order)
    for index, message in enumerate(world.air):
        yield from _deliveries(world, index, message)
    if room:
        yield from _questions(world)
    yield from _operations(world)


def _sends(world: World, index: int, action: PlaceOrder | CancelOrder, bounds: Bounds) -> Iterator[Move]:
    left = msgspec.structs.replace(world, unsent=(*world.unsent[:index], *world.unsent[index + 1 :]))
    name = action.client_order_id
    if isinstance(action, CancelOrder):
        cancelled, answer = left.cancel(name)
        yield "cancel", cancelled.hear(answer)
        lost = left.hear(CancelOutcomeLost(client_order_id=name, detail="timeout"))
    else:
        accepted = left.accept(action)
        order = accepted.order(name)
        if order is not None:
            yield "accept", accepted.hear(OrderAcknowledged(order=order.record()))
        reason = RejectReason.POST_ONLY if action.post_only else RejectReason.OTHER
        yield "reject", left.hear(OrderRefused(client_order_id=name, reason=reason, code=-1, message="no"))
        yield "not sent", left.hear(OrderNotSent(client_order_id=name, detail="no"))
        lost = left.hear(_lost(world, name))
    if len(world.ghosts) < bounds.ghosts:
        yield "timeout", msgspec.structs.replace(lost, ghosts=(*lost.ghosts, action))


def _lost(world: World, name: str) -> OrderOutcomeLost:
    return OrderOutcomeLost(
        client_order_id=name, request_time_ms=world.now_ms, recv_window_ms=RECV_WINDOW_MS, detail="timeout"
    )


def _ghosts(world: World, index: int, action: PlaceOrder | CancelOrder) -> Iterator[Move]:
    left = msgspec.structs.replace(world, ghosts=(*world.ghosts[:index], *world.ghosts[index + 1 :]))
    yield "request expires on the way", left
    if isinstance(action, CancelOrder):
        yield "late cancel", left.cancel(action.client_order_id)[0]
    else:
        yield "late accept", left.accept(action)


def _exchange(world: World, order: Order) -> Iterator[Move]:
    action = order.action
    room = order.left_lots
    if action.reduce_only:
        room = min(room, max(0, -world.position_lots * action.side.sign))
    for name, lots in (("partial fill", 1), ("fill", order.left_lots)):
        if lots <= room and (lots < order.left_lots or name == "fill"):
            filled, report = world.fill(order, lots)
            yield name, filled.hear(report)
    expired = msgspec.structs.replace(order, status=RecordStatus.EXPIRED)
    yield "expire", world.with_order(expired).hear(OrderUpdate(order=expired.record()))


def _deliveries(world: World, index: int, message: Message) -> Iterator[Move]:
    entry, left = message.entry, world.without(index)
    yield "deliver", left.tell(entry)
    if isinstance(entry, OrderUpdate):
        yield "lose", left
        if not message.again:
            yield "deliver, and again later", left.hear(entry, again=True).tell(entry)
    elif isinstance(entry, OrderAcknowledged):
        yield "answer lost", left.hear(_lost(world, entry.order.client_order_id))
    elif isinstance(entry, Correction | TradesWalked):
        yield "lose", left


def _questions(world: World) -> Iterator[Move]:
    if world.unbooked:
        last = max(trade.trade_id for trade in world.unbooked)
        yield "walk trades", world.hear(TradesWalked(trades=world.unbooked, watermark=last))
    ghosts = {action.client_order_id for action in world.ghosts if isinstance(action, PlaceOrder)}
    for slot in world.slots:
        if slot.order is None or slot.order.status is OrderStatus.PENDING:
            continue
        name = slot.order.client_order_id
        order = world.order(name)
        if order is not None:
            yield "ask", world.hear(Correction(rung=slot.rung, version=slot.version, evidence=order.record()))
            continue
        yield "ask early", world.hear(_absent(slot, asked_at_ms=slot.order.sent_at_ms))
        if name not in ghosts:
            late_ms = slot.order.sent_at_ms + slot.order.recv_window_ms + ABSENCE_MARGIN_MS + 1
            again_ms = (slot.order.absent_at_ms or 0) + ABSENCE_APART_MS
            yield "ask late", world.hear(_absent(slot, asked_at_ms=max(late_ms, again_ms)))


def _absent(slot: InventorySlot, *, asked_at_ms: int) -> Correction:
    name = "" if slot.order is None else slot.order.client_order_id
    absent = OrderAbsent(client_order_id=name, asked_at_ms=asked_at_ms)
    return Correction(rung=slot.rung, version=slot.version, evidence=absent)


def _operations(world: World) -> Iterator[Move]:
    conditions = world.fields.conditions
    if any(slot.retry_at_ms > world.now_ms for slot in world.slots):
        yield "wait", msgspec.structs.replace(world, now_ms=world.now_ms + LONGER_THAN_ANY_RETRY_MS).decide()
    paused = Condition.PAUSED in conditions
    yield ("resume" if paused else "pause"), world.tell(ConditionChanged(condition=Condition.PAUSED, active=not paused))
    if Condition.STARTING in conditions:
        yield "reconcile and begin", begin(world)
    else:
        yield "crash", crash(world)


def crash(world: World) -> World:
    """Let the process die and start anew: what was not sent never is, and what is in the air finds nobody."""
    ghosts = world.ghosts
    dead = msgspec.structs.replace(world, unsent=(), air=(), ghosts=ghosts)
    chosen, session = world.fields.settings, world.fields.session + 1
    if chosen is None:
        raise AssertionError("a world without settings cannot crash")
    return dead.tell(SessionStarted(bot_id=BOT, session=session, instrument=INSTRUMENT, settings=chosen))


def begin(world: World) -> World:
    """Do what has to be done before orders may go out: the trades, the position, a reading (R11)."""
    walked = world
    if world.unbooked:
        last = max(trade.trade_id for trade in world.unbooked)
        walked = world.tell(TradesWalked(trades=world.unbooked, watermark=last))
    seen = PositionObserved(position_lots=walked.position_lots, fence=walked.fields.sequence)
    return walked.tell(seen, READING, ConditionChanged(condition=Condition.STARTING, active=False))

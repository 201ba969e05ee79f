"""The world of the model checker: the reducer, an honest exchange, and everything that is under way between them.

A world is a value: no move changes it. Two worlds that differ only in names, numbers and times that no later decision
can see have the same `key`, so that finitely many worlds stand for all of them.
"""

from __future__ import annotations

import msgspec

from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.booking import ABSENCE_APART_MS, ABSENCE_MARGIN_MS
from trio_grid.domain.client_order_id import decode
from trio_grid.domain.events import (
    CancelAcknowledged,
    CancelRefused,
    OrderAcknowledged,
    OrderRecord,
    OrderUpdate,
    RecordStatus,
    Trade,
)
from trio_grid.domain.grid import Fields, Grid
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import Correction, Decision, Input, TradesWalked
from trio_grid.domain.instrument import MoneyUnits, PriceTicks, QuantityLots
from trio_grid.domain.slot import InventorySlot, SlotOrder

HALF_TICKS = 2 * 600_000 + 1
"""The price never moves: what is explored is what can happen to orders."""
MANY_ORDERS = 1_000
Key = tuple[object, ...]


class BadState(Exception):
    """A world that must not be reachable."""


class Order(msgspec.Struct, frozen=True):
    """One order as the exchange knows it."""

    action: PlaceOrder
    order_id: int
    status: RecordStatus = RecordStatus.NEW
    executed_lots: int = 0

    @property
    def live(self) -> bool:
        return not self.status.is_terminal

    @property
    def left_lots(self) -> int:
        return self.action.quantity_lots - self.executed_lots

    def record(self) -> OrderRecord:
        """Return what a query would show."""
        action = self.action
        return OrderRecord(
            client_order_id=action.client_order_id,
            order_id=self.order_id,
            side=action.side,
            price_ticks=PriceTicks(action.price_ticks or 0),
            quantity_lots=action.quantity_lots,
            executed_lots=QuantityLots(self.executed_lots),
            status=self.status,
            reduce_only=action.reduce_only,
            update_time_ms=1,
        )


class Message(msgspec.Struct, frozen=True):
    """Something on its way to the bot; `again` means that it was delivered before."""

    entry: Input
    again: bool = False


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that matters, at one moment.

    `unsent` was decided and not sent yet; `ghosts` are requests whose outcome the bot was told is lost, and which the
    exchange may still meet; `air` is on its way to the bot. `unbooked` are trades that the bot may not have heard of.
    """

    fields: Fields
    slots: tuple[InventorySlot, ...]
    now_ms: int
    position_lots: int = 0
    next_id: int = 1
    orders: tuple[Order, ...] = ()
    unbooked: tuple[Trade, ...] = ()
    unsent: tuple[PlaceOrder | CancelOrder, ...] = ()
    ghosts: tuple[PlaceOrder | CancelOrder, ...] = ()
    air: tuple[Message, ...] = ()

    def state(self) -> GridState:
        """Return a reducer of its own with this world's books."""
        return GridState(Grid(self.fields, self.slots))

    def order(self, name: str) -> Order | None:
        """Return the exchange's order of a client order id."""
        return next((order for order in self.orders if order.action.client_order_id == name), None)

    def tell(self, *entries: Input) -> World:
        """Let the bot take inputs, deciding after each, as the manager does."""
        state, unsent = self.state(), list(self.unsent)
        for entry in entries:
            state.apply(entry, self.now_ms)
            row = state.decide(HALF_TICKS, self.now_ms, MANY_ORDERS, self.now_ms)
            if row is not None and isinstance(row.entry, Decision):
                unsent += row.entry.actions
        return self._after(state, tuple(unsent))

    def decide(self) -> World:
        """Let the bot decide once more, at this world's time."""
        state = self.state()
        row = state.decide(HALF_TICKS, self.now_ms, MANY_ORDERS, self.now_ms)
        actions = row.entry.actions if row is not None and isinstance(row.entry, Decision) else ()
        return self._after(state, (*self.unsent, *actions))

    def _after(self, state: GridState, unsent: tuple[PlaceOrder | CancelOrder, ...]) -> World:
        grid = state.grid
        for action in unsent[len(self.unsent) :]:
            if isinstance(action, PlaceOrder) and self.order(action.client_order_id) is not None:
                raise BadState(f"client order id {action.client_order_id} is used twice")
        return msgspec.structs.replace(
            self,
            fields=grid.frozen_fields(),
            slots=grid.book.in_order(),
            unsent=unsent,
            unbooked=tuple(t for t in self.unbooked if not is_booked(grid, t)),
        )

    def accept(self, action: PlaceOrder) -> World:
        """Let the exchange take an order; one that would reduce nothing expires at once."""
        status = RecordStatus.NEW
        if action.reduce_only and self.position_lots * action.side.sign >= 0:
            status = RecordStatus.EXPIRED
        order = Order(action, 1_000 + self.next_id, status)
        return msgspec.structs.replace(self, orders=(*self.orders, order), next_id=self.next_id + 1)

    def with_order(self, order: Order) -> World:
        """Return the world with an order replaced by its newer form."""
        name = order.action.client_order_id
        orders = tuple(order if old.action.client_order_id == name else old for old in self.orders)
        return msgspec.structs.replace(self, orders=orders)

    def cancel(self, name: str) -> tuple[World, CancelAcknowledged | CancelRefused]:
        """Let the exchange meet a cancel; return its answer too."""
        order = self.order(name)
        if order is None or not order.live:
            return self, CancelRefused(client_order_id=name, code=-2011, message="Unknown order sent.")
        ended = msgspec.structs.replace(order, status=RecordStatus.CANCELED)
        return self.with_order(ended), CancelAcknowledged(order=ended.record())

    def fill(self, order: Order, lots: int) -> tuple[World, OrderUpdate]:
        """Let the exchange fill lots of an order; return its report too."""
        action = order.action
        executed = order.executed_lots + lots
        status = RecordStatus.FILLED if executed == action.quantity_lots else RecordStatus.PARTIALLY_FILLED
        filled = msgspec.structs.replace(order, status=status, executed_lots=executed)
        trade = Trade(
            trade_id=self.next_id,
            order_id=order.order_id,
            client_order_id=action.client_order_id,
            side=action.side,
            price_ticks=PriceTicks(action.price_ticks or 0),
            quantity_lots=QuantityLots(lots),
            realized_pnl_units=MoneyUnits(0),
            fee_units=MoneyUnits(0),
            fee_asset="USDT",
            maker=True,
            time_ms=1,
        )
        world = msgspec.structs.replace(
            self.with_order(filled),
            position_lots=self.position_lots + action.side.sign * lots,
            next_id=self.next_id + 1,
            unbooked=(*self.unbooked, trade),
        )
        return world, OrderUpdate(order=filled.record(), trade=trade)

    def hear(self, entry: Input, *, again: bool = False) -> World:
        """Put a message under way to the bot."""
        return msgspec.structs.replace(self, air=(*self.air, Message(entry, again)))

    def without(self, index: int) -> World:
        """Take a message out of the air."""
        return msgspec.structs.replace(self, air=(*self.air[:index], *self.air[index + 1 :]))

    def forget_the_dead(self) -> World:
        """Drop orders that have ended and that nothing refers to any more."""
        named = self.names()
        kept = tuple(order for order in self.orders if order.live or order.action.client_order_id in named)
        return msgspec.structs.replace(self, orders=kept)

    def names(self) -> set[str]:
        """Return every client order id that something still refers to."""
        found = {slot.order.client_order_id for slot in self.slots if slot.order is not None}
        found |= {action.client_order_id for action in (*self.unsent, *self.ghosts)}
        found |= {trade.client_order_id for trade in self.unbooked}
        found |= {name for name, _ in self.fields.strays}
        for message in self.air:
            found |= names_of(message.entry)
        return found

    # Keys -----------------------------------------------------------------------------------------------------------

    def key(self) -> Key:
        """Return what distinguishes this world from others, with names, ids, versions and times taken out."""
        named = self.names() | {order.action.client_order_id for order in self.orders}
        rank = {name: place for place, name in enumerate(sorted(named, key=age_of))}
        grid = Grid(self.fields, self.slots)
        orders = sorted((rank[o.action.client_order_id], o.status.value, o.executed_lots) for o in self.orders)
        old = sorted((rank[name], "settled") for name, _ in self.fields.settled if name in rank)
        strays = sorted((rank[name], lots) for name, lots in self.fields.strays)
        trades = sorted((rank[t.client_order_id], t.quantity_lots, t.trade_id) for t in self.unbooked)
        fields = self.fields
        return (
            fields.trading_state.value,
            tuple(fields.conditions),
            fields.reading is None,
            fields.position_question,
            tuple(self._slot_key(slot, rank) for slot in self.slots if slot.occupied or slot.retries),
            tuple((rank_of(name), rung_of(name)) for name in sorted(named, key=age_of)),
            tuple(orders),
            tuple(old),
            tuple(strays),
            tuple((place, lots) for place, lots, _ in trades),
            tuple(sorted((type(a).__name__, rank[a.client_order_id]) for a in self.unsent)),
            tuple(sorted((type(a).__name__, rank[a.client_order_id]) for a in self.ghosts)),
            tuple(sorted(repr(self._message_key(message, rank, grid)) for message in self.air)),
        )

    def _slot_key(self, slot: InventorySlot, rank: dict[str, int]) -> Key:
        order = slot.order
        known = (
            ()
            if order is None
            else (
                rank[order.client_order_id],
                order.status.value,
                order.quantity_lots,
                order.executed_lots,
                order.booked_lots,
                order.acknowledged,
                order.absent_at_ms is not None,
                order.order_id is not None,
            )
        )
        waits = slot.retry_at_ms > self.now_ms
        return (slot.rung, slot.inventory_lots, slot.retries > 0, waits, known)

    def _message_key(self, message: Message, rank: dict[str, int], grid: Grid) -> Key:
        entry = message.entry
        named = tuple(sorted(rank[name] for name in names_of(entry)))
        head: Key = (type(entry).__name__, named, message.again)
        if isinstance(entry, Correction):
            slot = grid.book.get(entry.rung)
            if slot is None or slot.version != entry.version:
                return (*head, "stale")
            if not isinstance(entry.evidence, OrderRecord):
                return (*head, "absent", *absence_counts(slot.order, entry.evidence.asked_at_ms))
            return (*head, entry.evidence.status.value, entry.evidence.executed_lots)
        if isinstance(entry, TradesWalked):
            return (*head, tuple(sorted((rank.get(t.client_order_id, -1), is_booked(grid, t)) for t in entry.trades)))
        if isinstance(entry, OrderUpdate | OrderAcknowledged | CancelAcknowledged):
            trade = entry.trade if isinstance(entry, OrderUpdate) else None
            booked = () if trade is None else (trade.quantity_lots, is_booked(grid, trade))
            return (*head, entry.order.status.value, entry.order.executed_lots, booked)
        return head


def is_booked(grid: Grid, trade: Trade) -> bool:
    """Return whether the books have a trade."""
    return trade.trade_id <= grid.fields.trade_watermark or trade.trade_id in grid.booked


def absence_counts(order: SlotOrder | None, asked_at_ms: int) -> tuple[bool, bool]:
    """Return whether an answer "does not exist" was asked late enough to count, and to count as the second one."""
    if order is None:
        return False, False
    late = asked_at_ms > order.sent_at_ms + order.recv_window_ms + ABSENCE_MARGIN_MS
    return late, order.absent_at_ms is not None and asked_at_ms >= order.absent_at_ms + ABSENCE_APART_MS


def names_of(entry: Input) -> set[str]:
    """Return the client order ids that a message speaks of."""
    if isinstance(entry, OrderUpdate | OrderAcknowledged | CancelAcknowledged):
        return {entry.order.client_order_id}
    if isinstance(entry, Correction):
        return {entry.evidence.client_order_id}
    if isinstance(entry, TradesWalked):
        return {trade.client_order_id for trade in entry.trades}
    name = getattr(entry, "client_order_id", None)
    return set() if name is None else {name}


def age_of(name: str) -> tuple[int, int, int]:
    """Return the order in which ids were made, slot by slot."""
    parts = decode(name)
    return (0, 0, 0) if parts is None else (parts.rung, parts.session, parts.generation)


def rung_of(name: str) -> int:
    """Return the slot of an id."""
    return age_of(name)[0]


def rank_of(name: str) -> str:
    """Return the role of an id."""
    parts = decode(name)
    return "?" if parts is None else parts.role

"""What must hold in a simulated run: looked at whenever the exchange has something to tell, and once more at the end.

Each check compares the exchange's own books with the bot's; none of them asks the bot whether it is right. It must
never change either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs

from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.client_order_id import decode
from trio_grid.domain.events import RecordStatus, Side
from trio_grid.domain.inputs import (
    Condition,
    ConditionChanged,
    Decision,
    JournalRecord,
    TradingState,
    TradingStateChanged,
)
from trio_grid.exchange.paper.engine.records import PaperOrder
from trio_grid.exchange.paper.server.server import DEFAULT_KEY
from trio_grid.testing.bot import Simulation
from trio_grid.testing.bot_life import Life

CLOSED_TO_OPENINGS = (Condition.PAUSED, Condition.STARTING, Condition.FILTERS_CHANGED)
ADDRESS = "127.0.0.1"


class Violation(AssertionError):
    """An invariant does not hold: its name, and what was seen."""

    def __init__(self, invariant: str, seen: str) -> None:
        super().__init__(f"{invariant}: {seen}")
        self.invariant = invariant


@attrs.define(eq=False)
class Watch:
    """The checks of one run; `limit_lots` is the largest inventory that the configuration allows."""

    limit_lots: int
    by_hand: set[int] = attrs.Factory(set)
    """Exchange order ids of the account's owner, who orders beside the bot."""
    lost_intents: set[str] = attrs.Factory(set)
    """Client order ids that the journal lost with the power."""
    looked: int = 0
    _names: dict[str, int] = attrs.Factory(dict)
    _seen: int = 0

    def look(self, simulation: Simulation) -> None:
        """Check everything that holds at every moment.

        Raises:
            Violation: it does not.
        """
        self.looked += 1
        orders = simulation.orders()
        ours = [(order, parts) for order in orders if (parts := decode(order.client_order_id)) is not None]
        self._ids(orders)
        live = Counter(parts.rung for order, parts in ours if order.is_open)
        if any(count > 1 for count in live.values()):
            raise Violation("one live order per slot", f"live orders by rung on the exchange: {dict(live)}")
        self._exposure(simulation, [order for order, _ in ours])
        self._strangers(orders)
        self._books(simulation)
        limits = simulation.exchange.server.limits
        used = limits.used_weight(ADDRESS, simulation.now_ms())
        if used > limits.settings.weight.limit:
            raise Violation("rate budget", f"{used} of {limits.settings.weight.limit} request weight used")

    def _ids(self, orders: Sequence[PaperOrder]) -> None:
        for order in orders[self._seen :]:
            if order.client_order_id in self._names and self._names[order.client_order_id] != order.order_id:
                raise Violation("no id twice", f"client order id {order.client_order_id}")
            self._names[order.client_order_id] = order.order_id
        self._seen = len(orders)

    def _exposure(self, simulation: Simulation, ours: Sequence[PaperOrder]) -> None:
        """F4: whatever fills of what rests, the position stays within the limit."""
        position = simulation.position_lots()
        for side in Side:
            resting = sum(o.remaining_lots for o in ours if o.is_open and o.side is side and not o.reduce_only)
            worst = position * side.sign + resting
            if resting and worst > self.limit_lots + resting_closings(ours, side):
                raise Violation(
                    "exposure", f"{position} lots held, {side} {resting} lots rest, limit {self.limit_lots}"
                )

    def _strangers(self, orders: Sequence[PaperOrder]) -> None:
        """S16: what the account's owner ordered is left alone."""
        for order in orders:
            if order.order_id in self.by_hand and order.status is RecordStatus.CANCELED:
                raise Violation("foreign orders untouched", f"order {order.client_order_id} is {order.status}")

    def _books(self, simulation: Simulation) -> None:
        """The bot's position and the trades that it has not booked yet make the exchange's position."""
        life = simulation.lives[-1] if simulation.lives else None
        if life is None or life.bot is None or life.bot.desk is None or life.ended.is_set():
            return
        # Read, never changed: a snapshot does not carry the ids of the booked trades.
        grid = life.bot.desk.manager._state.grid
        if not grid.fields.bot_id:
            return
        if grid.fields.trading_state is TradingState.HALTED:
            raise Violation("never halted", grid.fields.state_reason)
        account = simulation.exchange.exchange.account_of(DEFAULT_KEY)
        unbooked = sum(
            trade.side.sign * trade.quantity_lots
            for trade in account.trades.get(simulation.symbol, ())
            if trade.trade_id > grid.fields.trade_watermark and trade.trade_id not in grid.booked
        )
        held, position = grid.position_lots, simulation.position_lots()
        if held + unbooked != position:
            raise Violation("books", f"books {held} + unbooked {unbooked} lots, the exchange has {position}")


def resting_closings(ours: Sequence[PaperOrder], side: Side) -> int:
    """Return the lots of resting plain closings of a side: in neutral mode they reduce a slot of the other use."""
    parts = [(order, decode(order.client_order_id)) for order in ours if order.is_open and order.side is side]
    return sum(order.remaining_lots for order, part in parts if part is not None and part.role == "c")


def check_decisions(rows: Sequence[JournalRecord]) -> None:
    """Check that no decision of a journal opened what the doors forbade, by a reading of its own.

    Raises:
        Violation: one did.
    """
    closed: set[Condition] = {Condition.STARTING}
    state = TradingState.ACTIVE
    for row in rows:
        entry = row.entry
        if isinstance(entry, ConditionChanged):
            (closed.add if entry.active else closed.discard)(entry.condition)
        elif isinstance(entry, TradingStateChanged):
            state = entry.state
        elif isinstance(entry, Decision):
            openings = [a for a in entry.actions if isinstance(a, PlaceOrder) and is_opening(a)]
            shut = [str(one) for one in CLOSED_TO_OPENINGS if one in closed]
            if openings and (shut or state is not TradingState.ACTIVE):
                raise Violation("permissions", f"row {row.sequence} opens while {state} and {shut}")


def is_opening(action: PlaceOrder) -> bool:
    """Return whether an order opens a slot, by what its id says."""
    parts = decode(action.client_order_id)
    return parts is not None and parts.role == "o"


def check_rest(life: Life, simulation: Simulation) -> None:
    """Check the end of a run: nothing is on its way, nothing more is wanted, and the money agrees to the last digit.

    Raises:
        Violation: something does not.
    """
    snapshot = life.snapshot()
    restless = [(slot.rung, str(slot.status)) for slot in snapshot.slots if str(slot.status) not in ("FREE", "LOCKED")]
    if restless or snapshot.unbooked_lots:
        raise Violation("liveness", f"slots {restless}, {snapshot.unbooked_lots} lots unbooked")
    resting = {order.client_order_id for order in simulation.resting()}
    known = {slot.order.client_order_id for slot in snapshot.slots if slot.order is not None}
    if not known <= resting:
        raise Violation("liveness", f"the bot believes in {sorted(known - resting)}")
    if life.bot is None or life.bot.desk is None:
        raise Violation("liveness", "no session")
    if snapshot.closed_doors:
        raise Violation("liveness", f"doors are still closed: {snapshot.closed_doors}")
    if not known:
        raise Violation("liveness", "no order rests when everything is quiet")

"""A slot of the grid: its order, its inventory, and the one table that says what may happen to its order.

A slot is a cell of the lattice, from its rung to the rung one stride above (R1). Used LONG it buys at the lower price
and sells at the upper; used SHORT it sells at the upper price and buys back at the lower. Both of its orders belong to
the slot whatever their prices. It has at most one order at a time, and gets no other until that one is *settled*: the
exchange called it terminal and every executed lot of it was booked from a trade (R5).

    FREE        no order
    PENDING     the intent is recorded; no answer yet
    LOCKED      the exchange has shown it as live
    CANCELLING  a cancel is on its way; it still counts as live
    UNKNOWN     nobody knows (R4): only the exchange's own record ends this
    SETTLING    terminal on the exchange, but some executed lots are not booked yet

Answers and execution reports never move an order backwards: a terminal order cannot live again (S12, R8), an executed
quantity never falls. Two sources that contradict each other make the order UNKNOWN, which is a question, not an error.
A pair that is not in the table is a broken invariant.
"""

from __future__ import annotations

import enum

from trio_grid.domain.events import Event, Side
from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.errors import InvariantBroken


class Use(enum.StrEnum):
    """Which way a slot trades."""

    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def sign(self) -> int:
        """+1 for LONG, -1 for SHORT: the sign of the slot's inventory in the net position."""
        return 1 if self is Use.LONG else -1

    def side(self, role: Role) -> Side:
        """Return the side of an order of this use in a role."""
        return Side.BUY if (self is Use.LONG) == (role is Role.OPEN) else Side.SELL


class Role(enum.StrEnum):
    """What an order does for its slot."""

    OPEN = "OPEN"
    CLOSE = "CLOSE"

    @property
    def letter(self) -> str:
        """Return the role's letter in a client order id."""
        return "o" if self is Role.OPEN else "c"


def use_of(side: Side, role: Role) -> Use:
    """Return the use of the slot for which an order of this side and role was meant."""
    return Use.LONG if (side is Side.BUY) == (role is Role.OPEN) else Use.SHORT


class OrderStatus(enum.StrEnum):
    """What is known about a slot's order; see the module's text."""

    FREE = "FREE"
    PENDING = "PENDING"
    LOCKED = "LOCKED"
    CANCELLING = "CANCELLING"
    UNKNOWN = "UNKNOWN"
    SETTLING = "SETTLING"


class Signal(enum.StrEnum):
    """What can happen to a slot's order."""

    PLACE = "PLACE"
    """The bot decided to place it."""
    CANCEL = "CANCEL"
    """The bot decided to cancel it."""
    WORKING = "WORKING"
    """The exchange shows it as live."""
    TERMINAL = "TERMINAL"
    """The exchange shows it as filled, cancelled, expired or rejected."""
    REFUSED = "REFUSED"
    """The answer to the placement: no such order exists."""
    NOT_SENT = "NOT_SENT"
    """The placement certainly never left the process."""
    OUTCOME_LOST = "OUTCOME_LOST"
    """No answer to the placement."""
    CANCEL_REFUSED = "CANCEL_REFUSED"
    """The answer to the cancel: the exchange does not know the order, or will not cancel it."""
    CANCEL_LOST = "CANCEL_LOST"
    """No answer to the cancel."""
    NEW_SESSION = "NEW_SESSION"
    """The process started anew: answers that were under way will never come."""
    PROVED_ABSENT = "PROVED_ABSENT"
    """The exchange has shown, in the way R4 asks for, that the order never existed."""
    SETTLED = "SETTLED"
    """Terminal, and every executed lot is booked."""


_S = OrderStatus
_LATE_ANSWERS = (
    Signal.WORKING,
    Signal.TERMINAL,
    Signal.REFUSED,
    Signal.NOT_SENT,
    Signal.OUTCOME_LOST,
    Signal.CANCEL_REFUSED,
    Signal.CANCEL_LOST,
    Signal.NEW_SESSION,
)

TRANSITIONS: dict[tuple[OrderStatus, Signal], OrderStatus] = {
    (_S.FREE, Signal.PLACE): _S.PENDING,
    (_S.FREE, Signal.NEW_SESSION): _S.FREE,
    # An order whose intent was lost with the journal's tail is adopted when the exchange shows it.
    (_S.FREE, Signal.WORKING): _S.LOCKED,
    (_S.FREE, Signal.TERMINAL): _S.SETTLING,
    (_S.PENDING, Signal.WORKING): _S.LOCKED,
    (_S.PENDING, Signal.TERMINAL): _S.SETTLING,
    (_S.PENDING, Signal.REFUSED): _S.FREE,
    (_S.PENDING, Signal.NOT_SENT): _S.FREE,
    (_S.PENDING, Signal.OUTCOME_LOST): _S.UNKNOWN,
    (_S.PENDING, Signal.NEW_SESSION): _S.UNKNOWN,
    (_S.LOCKED, Signal.CANCEL): _S.CANCELLING,
    (_S.LOCKED, Signal.WORKING): _S.LOCKED,
    (_S.LOCKED, Signal.TERMINAL): _S.SETTLING,
    # The user stream was faster than the answer, and the answer was lost: the order lives all the same.
    (_S.LOCKED, Signal.OUTCOME_LOST): _S.LOCKED,
    (_S.LOCKED, Signal.NEW_SESSION): _S.LOCKED,
    # Seen alive, then called refused or unsent: a contradiction, so the exchange is asked.
    (_S.LOCKED, Signal.REFUSED): _S.UNKNOWN,
    (_S.LOCKED, Signal.NOT_SENT): _S.UNKNOWN,
    (_S.LOCKED, Signal.CANCEL_REFUSED): _S.UNKNOWN,
    (_S.LOCKED, Signal.CANCEL_LOST): _S.UNKNOWN,
    (_S.CANCELLING, Signal.CANCEL): _S.CANCELLING,
    (_S.CANCELLING, Signal.WORKING): _S.CANCELLING,
    (_S.CANCELLING, Signal.TERMINAL): _S.SETTLING,
    (_S.CANCELLING, Signal.OUTCOME_LOST): _S.CANCELLING,
    (_S.CANCELLING, Signal.REFUSED): _S.UNKNOWN,
    (_S.CANCELLING, Signal.NOT_SENT): _S.UNKNOWN,
    # Filled, cancelled or absent? A question to ask, never a blind retry (F7).
    (_S.CANCELLING, Signal.CANCEL_REFUSED): _S.UNKNOWN,
    (_S.CANCELLING, Signal.CANCEL_LOST): _S.UNKNOWN,
    (_S.CANCELLING, Signal.NEW_SESSION): _S.UNKNOWN,
    (_S.UNKNOWN, Signal.WORKING): _S.LOCKED,
    (_S.UNKNOWN, Signal.TERMINAL): _S.SETTLING,
    (_S.UNKNOWN, Signal.PROVED_ABSENT): _S.FREE,
    **{(_S.UNKNOWN, late): _S.UNKNOWN for late in _LATE_ANSWERS if late not in (Signal.WORKING, Signal.TERMINAL)},
    (_S.SETTLING, Signal.SETTLED): _S.FREE,
    **{(_S.SETTLING, late): _S.SETTLING for late in _LATE_ANSWERS},
}


def next_status(status: OrderStatus, signal: Signal) -> OrderStatus:
    """Return the status that follows.

    Raises:
        InvariantBroken: the table has no such pair.
    """
    try:
        return TRANSITIONS[status, signal]
    except KeyError:
        raise InvariantBroken(f"a slot's order that is {status} cannot meet {signal}") from None


class SlotOrder(Event, frozen=True, kw_only=True):
    """The one order of a slot.

    `executed_lots` is the largest cumulative quantity seen, `booked_lots` the sum of its booked trades.
    `acknowledged` means that the exchange has shown the order at least once: from then on queries cannot prove it
    absent. `sent_at_ms` and `recv_window_ms` bound the time at which the exchange may still accept a lost request;
    `absent_at_ms` is when the first query that counts was asked and answered "does not exist".
    """

    client_order_id: str
    role: Role
    side: Side
    price_ticks: PriceTicks | None
    quantity_lots: QuantityLots
    reduce_only: bool
    status: OrderStatus
    sent_at_ms: int
    recv_window_ms: int = 60_000
    order_id: int | None = None
    executed_lots: int = 0
    booked_lots: int = 0
    acknowledged: bool = False
    absent_at_ms: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.booked_lots <= self.executed_lots <= self.quantity_lots:
            raise InvariantBroken(
                f"order {self.client_order_id}: booked {self.booked_lots}, executed {self.executed_lots} and"
                f" quantity {self.quantity_lots} lots do not follow each other"
            )

    @property
    def remaining_lots(self) -> int:
        """Lots that can still change the books: unexecuted ones while it may live, unbooked ones in any case."""
        if self.status is OrderStatus.SETTLING:
            return self.executed_lots - self.booked_lots
        return self.quantity_lots - self.booked_lots


class InventorySlot(Event, frozen=True, kw_only=True):
    """One cell of the grid in use. Frozen: a change makes a new value (R7).

    `inventory_lots` is never negative; its sign is the use. `entry_value` and `exit_value` are the sums of price x
    quantity (ticks x lots) of the opening and closing trades since the inventory was last zero. `version` is the
    journal sequence number of the last record that changed any field (R8). After a refusal nothing is placed before
    `retry_at_ms`; `reprice_ticks` moves a post-only price away from the market.
    """

    rung: int
    stride: int
    use: Use
    open_price_ticks: PriceTicks
    exit_price_ticks: PriceTicks
    inventory_lots: int = 0
    entry_value: int = 0
    exit_value: int = 0
    order: SlotOrder | None = None
    version: int = 0
    retries: int = 0
    retry_at_ms: int = 0
    reprice_ticks: int = 0

    def __post_init__(self) -> None:
        if self.inventory_lots < 0:
            raise InvariantBroken(f"slot {self.rung}: inventory {self.inventory_lots} lots is negative")
        if self.stride < 1:
            raise InvariantBroken(f"slot {self.rung}: stride {self.stride} is below 1")

    @property
    def status(self) -> OrderStatus:
        """Status of the slot's order; FREE when there is none."""
        return OrderStatus.FREE if self.order is None else self.order.status

    @property
    def occupied(self) -> bool:
        """True while the cell is taken: it holds inventory or an order that is not settled."""
        return self.inventory_lots > 0 or self.order is not None

    @property
    def pristine(self) -> bool:
        """True when nothing about the slot needs to be remembered."""
        return not self.occupied and self.retries == 0

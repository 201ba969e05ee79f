"""Owns a local copy of one symbol's order book, built from a snapshot and the depth stream by the documented rule.

Updates that come before the snapshot are kept; those older than it are dropped; the first that counts must contain the
snapshot's id, and from then on each must continue the one before it. A gap, or a book whose sides meet, makes it ask
for a new snapshot: it must never show prices of which it does not know that they are right. Prices are ticks,
quantities units of 1e-8 of the base asset, since what strangers offer need not be whole lots. No clock and no IO.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, insort

import msgspec

from trio_grid.domain.events import Side

Levels = tuple[tuple[int, int], ...]
"""(price in ticks, quantity in units of 1e-8) pairs."""

MAX_WAITING = 10_000
"""Updates kept while a snapshot is asked for: more than a quarter of an hour of the fastest stream."""


class BookSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The book as GET depth answers it; `last_id` is the newest update that it contains."""

    last_id: int
    bids: Levels
    asks: Levels
    time_ms: int | None = None


class BookUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the depth stream: absolute quantities, 0 where a level is gone.

    `previous_id` is the futures' `pu`; spot does not send it: there each update begins one above the end of the last.
    """

    first_id: int
    last_id: int
    previous_id: int | None
    bids: Levels
    asks: Levels
    time_ms: int


class BookState(enum.StrEnum):
    """How far the copy can be trusted."""

    NEEDS_SNAPSHOT = "NEEDS_SNAPSHOT"
    """Nothing is shown; updates are kept until `take_snapshot`."""
    JOINING = "JOINING"
    """The snapshot stands by itself; the update that continues it has not come yet."""
    LIVE = "LIVE"


class OrderBook:
    """One symbol's book. Call `apply` for every update and `take_snapshot` whenever the state asks for one."""

    def __init__(self, *, max_waiting: int = MAX_WAITING) -> None:
        self.state = BookState.NEEDS_SNAPSHOT
        self.last_id = 0
        self.gaps = 0
        self._max_waiting = max_waiting
        self._waiting: list[BookUpdate] = []
        self._sides = {Side.BUY: _BookSide(-1), Side.SELL: _BookSide(1)}

    def __repr__(self) -> str:
        return f"<OrderBook {self.state} last_id={self.last_id} waiting={len(self._waiting)} gaps={self.gaps}>"

    def apply(self, update: BookUpdate) -> BookState:
        """Take one message of the stream, in the order in which it came."""
        if self.state is BookState.NEEDS_SNAPSHOT:
            self._wait(update)
        else:
            self._continue(update)
        return self.state

    def take_snapshot(self, snapshot: BookSnapshot) -> BookState:
        """Begin anew from a snapshot and what was kept since; still NEEDS_SNAPSHOT if it is older than the stream.

        A snapshot older than the copy that stands changes nothing.
        """
        if self.state is BookState.LIVE and snapshot.last_id < self.last_id:
            return self.state
        waiting, self._waiting = self._waiting, []
        for side, levels in ((Side.BUY, snapshot.bids), (Side.SELL, snapshot.asks)):
            self._sides[side].reset(levels)
        self.state, self.last_id = BookState.JOINING, snapshot.last_id
        for update in waiting:
            self.apply(update)
        return self.state

    def best(self, side: Side) -> tuple[int, int] | None:
        """Return (price, units) of the best level of a side; None where it is empty or not known."""
        return None if self.state is BookState.NEEDS_SNAPSHOT else self._sides[side].best()

    def units_at(self, side: Side, price_ticks: int) -> int:
        """Return the quantity at a price of a side, 0 where there is none or it is not known."""
        return 0 if self.state is BookState.NEEDS_SNAPSHOT else self._sides[side].levels.get(price_ticks, 0)

    def levels(self, side: Side, limit: int | None = None) -> list[tuple[int, int]]:
        """Return the levels of a side, best first; empty while they are not known."""
        return [] if self.state is BookState.NEEDS_SNAPSHOT else self._sides[side].ordered(limit)

    def next_price(self, side: Side, price_ticks: int) -> int | None:
        """Return the nearest price at or behind one where a side has a level; None where there is none or unknown."""
        return None if self.state is BookState.NEEDS_SNAPSHOT else self._sides[side].next_price(price_ticks)

    def _wait(self, update: BookUpdate) -> None:
        self._waiting.append(update)
        if len(self._waiting) > self._max_waiting:
            # The oldest are of no use to a snapshot that is still to be taken.
            del self._waiting[: len(self._waiting) // 2]

    def _continue(self, update: BookUpdate) -> None:
        if self._is_old(update):
            return
        if not self._connects(update):
            self._lose_track(update)
            return
        self._sides[Side.BUY].change(update.bids)
        self._sides[Side.SELL].change(update.asks)
        self.last_id = update.last_id
        bid, ask = self._sides[Side.BUY].best(), self._sides[Side.SELL].best()
        if bid is not None and ask is not None and bid[0] >= ask[0]:
            self._lose_track(None)
        else:
            self.state = BookState.LIVE

    def _is_old(self, update: BookUpdate) -> bool:
        if self.state is BookState.JOINING and update.previous_id is not None:
            return update.last_id < self.last_id
        return update.last_id <= self.last_id

    def _connects(self, update: BookUpdate) -> bool:
        """The first update after a snapshot contains its id; each later one continues the one before it."""
        if self.state is BookState.LIVE:
            if update.previous_id is not None:
                return update.previous_id == self.last_id
            return update.first_id == self.last_id + 1
        if update.previous_id is not None:
            # Where nothing changed meanwhile the stream goes on exactly at the snapshot.
            return update.first_id <= self.last_id or update.previous_id == self.last_id
        return update.first_id <= self.last_id + 1

    def _lose_track(self, update: BookUpdate | None) -> None:
        self.gaps += 1
        self.state = BookState.NEEDS_SNAPSHOT
        if update is not None:
            self._waiting = [update]


class _BookSide:
    """Levels of one side; `direction` is -1 for bids, whose best price is the highest."""

    def __init__(self, direction: int) -> None:
        self.levels: dict[int, int] = {}
        self._direction = direction
        self._order: list[int] = []
        """Price x direction, so that the best is the first."""

    def reset(self, levels: Levels) -> None:
        self.levels = {price: units for price, units in levels if units > 0}
        self._order = sorted(self._direction * price for price in self.levels)

    def change(self, levels: Levels) -> None:
        for price, units in levels:
            known = price in self.levels
            if units == 0:
                if known:
                    del self.levels[price]
                    del self._order[bisect_left(self._order, self._direction * price)]
                continue
            if not known:
                insort(self._order, self._direction * price)
            self.levels[price] = units

    def best(self) -> tuple[int, int] | None:
        if not self._order:
            return None
        price = self._direction * self._order[0]
        return price, self.levels[price]

    def next_price(self, price_ticks: int) -> int | None:
        place = bisect_left(self._order, self._direction * price_ticks)
        return self._direction * self._order[place] if place < len(self._order) else None

    def ordered(self, limit: int | None) -> list[tuple[int, int]]:
        prices = [self._direction * key for key in self._order[:limit]]
        return [(price, self.levels[price]) for price in prices]

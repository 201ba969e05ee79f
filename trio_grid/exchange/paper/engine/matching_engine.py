"""Owns price-time priority: the accounts' resting orders of one symbol, and who is next when somebody takes.

It must never touch money, statuses or events: it says which order is next and how much strangers offer in front of
it; the desk settles. Strangers' liquidity comes through `Strangers`; what takers have eaten of it is remembered until
the market's next step.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

import msgspec

from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.fill_models import FillModel
from trio_grid.exchange.paper.market.interface import TapeRow


class RestingOrder(Protocol):
    """What a book knows of an order. `sequence` is its time priority, `queue_lots` what strangers hold before it."""

    queue_lots: int

    @property
    def side(self) -> Side:
        """Buy or sell."""
        ...

    @property
    def price_ticks(self) -> int:
        """The limit price."""
        ...

    @property
    def sequence(self) -> int:
        """Grows by order."""
        ...

    @property
    def remaining_lots(self) -> int:
        """What may still trade."""
        ...


OrderT = TypeVar("OrderT", bound=RestingOrder)


class Offer(msgspec.Struct, Generic[OrderT], frozen=True):
    """The next liquidity for a taker: an account's order, or strangers if `order` is None."""

    price_ticks: int
    lots: int
    order: OrderT | None


class Book(Generic[OrderT]):
    """Resting orders of all accounts on one symbol, best first, and the strangers' quote around them.

    `levels` returns the strangers' quantity on a side at a price; the quote is `bid_ticks` / `ask_ticks`. Where the
    strangers' quote would lock or cross an account's order it is taken to be hidden, so the book is never crossed.
    `next_price` returns the nearest price at or behind one where strangers may offer something; without it every tick
    is looked at.
    """

    def __init__(
        self,
        levels: Callable[[Side, int], int],
        model: FillModel,
        next_price: Callable[[Side, int], int | None] | None = None,
    ) -> None:
        self._levels = levels
        self._next_price = next_price
        self._model = model
        self._orders: dict[Side, list[tuple[int, int, OrderT]]] = {Side.BUY: [], Side.SELL: []}
        self._taken: dict[tuple[Side, int], int] = {}
        self.bid_ticks = 0
        self.ask_ticks = 0

    def orders(self, side: Side) -> Iterator[OrderT]:
        """Yield a side's resting orders, best price first, then oldest first."""
        for _, _, order in self._orders[side]:
            yield order

    def best_order(self, side: Side) -> OrderT | None:
        """Return the first order of a side."""
        rows = self._orders[side]
        return rows[0][2] if rows else None

    def rest(self, order: OrderT) -> None:
        """Put an order into the book, behind everybody at its price."""
        order.queue_lots = self._model.queue_lots(self.strangers_lots(order.side, order.price_ticks))
        insort(self._orders[order.side], self._key(order), key=lambda row: row[:2])

    def rest_again(self, order: OrderT) -> None:
        """Put an order back with the queue that it has (persistence)."""
        insort(self._orders[order.side], self._key(order), key=lambda row: row[:2])

    def remove(self, order: OrderT) -> None:
        """Take an order out of the book, if it is there."""
        rows = self._orders[order.side]
        for index, row in enumerate(rows):
            if row[2] is order:
                del rows[index]
                return

    def _key(self, order: OrderT) -> tuple[int, int, OrderT]:
        return (-order.price_ticks if order.side is Side.BUY else order.price_ticks, order.sequence, order)

    # the strangers ---------------------------------------------------------------------------------------------------

    def set_quote(self, bid_ticks: int, ask_ticks: int) -> None:
        """Take the market's next quote; what takers ate of the old one is replenished."""
        self.bid_ticks, self.ask_ticks = bid_ticks, ask_ticks
        self._taken.clear()
        for side, quote in ((Side.BUY, bid_ticks), (Side.SELL, ask_ticks)):
            for order in self.orders(side):
                behind = (quote - order.price_ticks) * side.sign
                if behind > 0:
                    break
                order.queue_lots = 0 if behind < 0 else min(order.queue_lots, self._levels(side, quote))

    def stranger_best(self, side: Side) -> int:
        """Return the strangers' best price on a side, hidden where it would lock or cross an account's order."""
        other = self.best_order(side.opposite)
        quote = self.bid_ticks if side is Side.BUY else self.ask_ticks
        if other is None:
            return quote
        return min(quote, other.price_ticks - 1) if side is Side.BUY else max(quote, other.price_ticks + 1)

    def strangers_lots(self, side: Side, price_ticks: int) -> int:
        """Return what strangers still offer at a price on a side."""
        if (self.stranger_best(side) - price_ticks) * side.sign < 0:
            return 0
        return max(0, self._levels(side, price_ticks) - self._taken.get((side, price_ticks), 0))

    def eat_strangers(self, side: Side, price_ticks: int, lots: int) -> None:
        """Note that a taker took strangers' quantity; it stood in front of the orders at that price."""
        self._taken[side, price_ticks] = self._taken.get((side, price_ticks), 0) + lots
        for order in self.orders(side):
            if order.price_ticks == price_ticks:
                order.queue_lots = max(0, order.queue_lots - lots)

    def taken(self) -> list[tuple[Side, int, int]]:
        """Return what takers ate since the last quote: (side, price, lots)."""
        return [(side, price, lots) for (side, price), lots in self._taken.items()]

    def best(self, side: Side) -> int:
        """Return the best price of a side over accounts and strangers."""
        own = self.best_order(side)
        price = self.stranger_best(side)
        first = next(self._stranger_levels(side, price, None), None)
        price = first if first is not None else price
        if own is None:
            return price
        return max(price, own.price_ticks) if side is Side.BUY else min(price, own.price_ticks)

    def _stranger_levels(self, side: Side, start: int, limit: int | None, depth: int = 100_000) -> Iterator[int]:
        """Yield the prices at and behind `start` where strangers offer something, nearest first."""
        # What `strangers_lots` asks for each price, asked once: depth streams walk through thousands of levels.
        best, sign, taken, place = self.stranger_best(side), side.sign, self._taken, start
        for _ in range(depth):
            price = place if self._next_price is None else self._next_price(side, place)
            if price is None or price <= 0 or (limit is not None and (price - limit) * sign < 0):
                return
            if (best - price) * sign >= 0 and self._levels(side, price) > taken.get((side, price), 0):
                yield price
            place = price - sign

    # taking ----------------------------------------------------------------------------------------------------------

    def next_offer(self, taker_side: Side, limit_ticks: int, start_ticks: int | None = None) -> Offer[OrderT] | None:
        """Return what a taker meets next within its limit: best price first, at one price the oldest first.

        `start_ticks` is where the last search ended; a walk through many levels then stays linear.
        """
        side = taker_side.opposite
        order = self.best_order(side)
        start = self.stranger_best(side) if start_ticks is None else start_ticks
        price = next(self._stranger_levels(side, start, limit_ticks), None)
        if order is not None and (order.price_ticks - limit_ticks) * side.sign < 0:
            order = None
        if order is not None and (price is None or (order.price_ticks - price) * side.sign >= 0):
            ahead = 0 if price != order.price_ticks else min(order.queue_lots, self.strangers_lots(side, price))
            if ahead == 0:
                return Offer(order.price_ticks, order.remaining_lots, order)
            return Offer(order.price_ticks, ahead, None)
        return None if price is None else Offer(price, self.strangers_lots(side, price), None)

    def offers(self, taker_side: Side, limit_ticks: int) -> Iterator[Offer[OrderT]]:
        """Yield everything that a taker could meet within a limit, the orders first; nothing is taken."""
        side = taker_side.opposite
        for order in self.orders(side):
            if (order.price_ticks - limit_ticks) * side.sign < 0:
                break
            yield Offer(order.price_ticks, order.remaining_lots, order)
        for price in self._stranger_levels(side, self.stranger_best(side), limit_ticks):
            yield Offer(price, self.strangers_lots(side, price), None)

    # the tape --------------------------------------------------------------------------------------------------------

    def through(self, price_ticks: int) -> list[OrderT]:
        """Return the orders that a print strictly beyond their price fills, in priority order."""
        hit: list[OrderT] = []
        for side in (Side.BUY, Side.SELL):
            for order in self.orders(side):
                if (order.price_ticks - price_ticks) * side.sign <= 0:
                    break
                hit.append(order)
        return hit

    def crossed(self, bid_ticks: int, ask_ticks: int) -> list[OrderT]:
        """Return the orders whose price a new quote of the strangers has gone strictly through."""
        buys = (order for order in self.orders(Side.BUY) if order.price_ticks > ask_ticks)
        sells = (order for order in self.orders(Side.SELL) if order.price_ticks < bid_ticks)
        return [*buys, *sells]

    def touched(self, row: TapeRow) -> list[tuple[OrderT, int]]:
        """Return who at the row's own price gets how many lots, and shorten the queues there by what went first."""
        side = Side.BUY if row.buyer_is_maker else Side.SELL
        first = self.best_order(side)
        if first is None or (first.price_ticks - row.price_ticks) * side.sign < 0:
            return []
        here = [order for order in self.orders(side) if order.price_ticks == row.price_ticks]
        rest, passed = row.quantity_lots, 0
        shares: list[tuple[OrderT, int]] = []
        for order in here:
            ahead = min(max(0, order.queue_lots - passed), rest)
            passed, rest = passed + ahead, rest - ahead
            if rest <= 0:
                break
            share = self._model.share_lots(order.remaining_lots, rest)
            rest = max(0, rest - share)
            if share:
                shares.append((order, share))
        for order in here:
            order.queue_lots = max(0, order.queue_lots - passed)
        return shares

    def run_tape(
        self, rows: Iterable[TapeRow], fill: Callable[[OrderT, int], None], show: Callable[[TapeRow], None]
    ) -> None:
        """Give the resting orders what the trades of one timestamp give them; each row is shown after its fills.

        `fill` gets an order and the lots that the tape gives it, which an earlier fill may have made too many.
        """
        passed: list[OrderT] = []
        for row in rows:
            rest = row.quantity_lots
            for order in self.through(row.price_ticks):
                lots = self._model.passing_lots(order.remaining_lots, rest)
                rest = max(0, rest - lots)
                passed.append(order)
                fill(order, lots)
            for order, lots in self.touched(row):
                fill(order, lots)
            show(row)
        # Nothing can have traded beyond an order that still rests: what the prints' own quantity left is filled too.
        for order in passed:
            fill(order, order.remaining_lots)

    def depth(self, side: Side, limit: int) -> list[tuple[int, int]]:
        """Return (price, lots) levels of a side, best first, accounts and strangers together."""
        totals: dict[int, int] = {}
        for order in self.orders(side):
            totals[order.price_ticks] = totals.get(order.price_ticks, 0) + order.remaining_lots
        for count, price in enumerate(self._stranger_levels(side, self.stranger_best(side), None, depth=4 * limit)):
            if count >= limit:
                break
            totals[price] = totals.get(price, 0) + self.strangers_lots(side, price)
        return sorted(totals.items(), reverse=side is Side.BUY)[:limit]

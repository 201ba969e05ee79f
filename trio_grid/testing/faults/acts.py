"""What the exchange does by itself at a time: connections end, clocks jump, filters change, somebody else trades.

Owns one action per kind. Each changes the exchange only in the turn of the exchange's own task, by its own commands.
"""

import enum
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import attrs
import msgspec
import trio

from trio_grid.config.rules import Above, AtLeast, AtMost, Decimals
from trio_grid.domain.events import RecordStatus, Side
from trio_grid.domain.instrument import RATE_SCALE, money_units
from trio_grid.exchange.paper.engine.account import PaperAccount
from trio_grid.exchange.paper.engine.desk import Desk
from trio_grid.exchange.paper.engine.exchange import PaperExchange
from trio_grid.exchange.paper.engine.liquidation import liquidate_if_due
from trio_grid.exchange.paper.engine.margin import notional_at_mark
from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.server.disturbance import Transport
from trio_grid.testing.faults.model import Fault, Place, Sentence
from trio_grid.testing.faults.scene import Scene

WEBSOCKETS = (Transport.WS_API, Transport.STREAM, Transport.USER)
LONGEST_JUMP_MS = 86_400_000
Quantity = Annotated[Decimal, Above(0), AtMost(1_000_000)]


@attrs.frozen(kw_only=True)
class ActFault(Fault):
    """What the exchange does by itself: at `when.from_s`, and with `when.every_s` again."""

    place = Place.ACT
    triggers: ClassVar[tuple[str, ...]] = ("from_s", "to_s", "times", "every_s")

    async def act(self, scene: Scene) -> None:
        """Do it once."""
        raise NotImplementedError

    def accounts(self, exchange: PaperExchange) -> list[PaperAccount]:
        """Return the accounts that are meant."""
        names = exchange.accounts if self.match.account is None else (self.match.account,)
        return [exchange.account_of(name) for name in names if name in exchange.accounts]

    def desks(self, exchange: PaperExchange) -> list[Desk]:
        """Return the symbols that are meant."""
        return [desk for desk in exchange.desks.values() if self.match.symbol in (None, desk.name)]


# Connections ----------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ConnectionFault(ActFault):
    """What happens to WebSockets that are open."""

    matches: ClassVar[tuple[str, ...]] = ("transport", "path", "account")
    transports: ClassVar[tuple[Transport, ...]] = WEBSOCKETS

    def lines(self, scene: Scene) -> list[Any]:
        """Return the connections that are meant."""
        match = self.match
        return [
            line
            for line in scene.server.connections()
            if match.transport in (None, line.transport)
            and (match.path is None or line.path.startswith(match.path))
            and match.account in (None, line.account)
        ]


@attrs.frozen(kw_only=True)
class CloseConnections(ConnectionFault):
    """Open WebSockets are closed with a code: 1001 is what the 24 hours' end sends, 1012 a restart's."""

    kind = "close-connections"
    rows = "F5"

    code: Annotated[int, AtLeast(1000), AtMost(4999)] = 1001
    """The close code."""
    reason: Sentence = "the exchange says goodbye"
    """The close frame's text."""

    def wrong(self) -> list[tuple[str, str]]:
        """Refuse codes that never stand in a frame."""
        if self.code in (1004, 1005, 1006, 1015):
            return [("code", f"{self.code} never stands in a close frame; allowed: another code")]
        return []

    async def act(self, scene: Scene) -> None:
        """Close them, all at once."""
        async with trio.open_nursery() as nursery:
            for line in self.lines(scene):
                nursery.start_soon(line.close, self.code, self.reason)


@attrs.frozen(kw_only=True)
class ResetConnections(ConnectionFault):
    """Open WebSockets are reset without a close frame."""

    kind = "reset-connections"
    rows = "F5"

    async def act(self, scene: Scene) -> None:
        """Reset them."""
        for line in self.lines(scene):
            line.reset()


@attrs.frozen(kw_only=True)
class ExpireListenKey(ActFault):
    """Listen keys are no longer valid: told by `listenKeyExpired`, or without a word."""

    kind = "expire-listen-key"
    rows = "F5"
    matches: ClassVar[tuple[str, ...]] = ("account",)

    told: bool = True
    """Whether the streams are told."""

    async def act(self, scene: Scene) -> None:
        """End the keys."""
        server = scene.server

        def end(now_ms: int) -> None:
            for account in self.accounts(server.exchange):
                if self.told:
                    server.listen_keys.cut_short(account.name, server.clock.uptime_ms())
                else:
                    server.listen_keys.stop(account.name)

        await server.call(end)


@attrs.frozen(kw_only=True)
class JumpClock(ActFault):
    """The exchange's clock jumps ahead or back; the market goes on when it has caught up."""

    kind = "jump-clock"
    rows = "F9"

    jump_ms: Annotated[int, AtLeast(-LONGEST_JUMP_MS), AtMost(LONGEST_JUMP_MS)] = 8_000
    """How far, in milliseconds; below 0 it jumps back."""

    async def act(self, scene: Scene) -> None:
        """Set the clock."""
        await scene.server.call(lambda now_ms: scene.server.clock.jump(self.jump_ms))


# The symbol -----------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ChangeFilters(ActFault):
    """A symbol's limits change; orders that rest stay. Its units, tick size and lot size, do not."""

    kind = "change-filters"
    rows = "F13"
    matches: ClassVar[tuple[str, ...]] = ("symbol",)

    min_notional: Annotated[Decimal, Above(0), Decimals(8)] | None = None
    """The least notional of an order."""
    min_quantity: Quantity | None = None
    """The least quantity of an order; a multiple of the lot size."""
    max_quantity: Quantity | None = None
    """The largest quantity of an order; a multiple of the lot size."""
    max_open_orders: Annotated[int, AtLeast(1), AtMost(10_000)] | None = None
    """How many orders may rest."""

    def wrong(self) -> list[tuple[str, str]]:
        """Refuse a change of nothing."""
        values = (self.min_notional, self.min_quantity, self.max_quantity, self.max_open_orders)
        words = "changes nothing; allowed: at least one of min_notional, min_quantity, max_quantity, max_open_orders"
        return [] if any(value is not None for value in values) else [("kind", words)]

    async def act(self, scene: Scene) -> None:
        """Change them."""

        def change(now_ms: int) -> None:
            for desk in self.desks(scene.server.exchange):
                self._change(desk)

        await scene.server.call(change)

    def _change(self, desk: Desk) -> None:
        instrument = desk.symbol.instrument
        changes: dict[str, Any] = {}
        if self.min_notional is not None:
            changes["min_notional_units"] = money_units(self.min_notional)
        if self.min_quantity is not None:
            changes["min_quantity_lots"] = instrument.floor_quantity_lots(self.min_quantity)
        if self.max_quantity is not None:
            changes["max_quantity_lots"] = instrument.floor_quantity_lots(self.max_quantity)
        if self.max_open_orders is not None:
            changes["max_open_orders"] = self.max_open_orders
        changed = msgspec.structs.replace(instrument, **changes)
        desk.symbol = msgspec.structs.replace(desk.symbol, instrument=changed)


# The account ----------------------------------------------------------------------------------------------------------


class Ending(enum.Enum):
    """How orders end by the exchange's will."""

    EXPIRED = "EXPIRED"
    CANCELED = "CANCELED"


@attrs.frozen(kw_only=True)
class EndOrders(ActFault):
    """The exchange expires open orders by itself, or the account's owner cancels them by hand."""

    kind = "end-orders"
    rows = "S9, S17, F7"
    matches: ClassVar[tuple[str, ...]] = ("account", "symbol", "side", "reduce_only")

    status: Ending = Ending.EXPIRED
    """How they end."""
    count: Annotated[int, AtLeast(1)] = 1
    """At most so many, the oldest first."""

    async def act(self, scene: Scene) -> None:
        """End them."""
        await scene.server.call(lambda now_ms: self._end(scene.server.exchange, now_ms))

    def _end(self, exchange: PaperExchange, now_ms: int) -> None:
        exchange.advance(now_ms)
        match = self.match
        for account in self.accounts(exchange):
            for desk in self.desks(exchange):
                meant = [
                    order
                    for order in account.open_on(desk.name).values()
                    if match.side in (None, order.side) and match.reduce_only in (None, order.reduce_only)
                ]
                for order in meant[: self.count]:
                    exchange.settlement.end_order(order, RecordStatus(self.status.value), exchange.now_ms)
                exchange.publish_book(desk)


@attrs.frozen(kw_only=True)
class ForeignFault(ActFault):
    """What somebody else does with the account."""

    matches: ClassVar[tuple[str, ...]] = ("account", "symbol")

    side: Side = Side.BUY
    """The side."""
    quantity: Quantity = Decimal("0.001")
    """The quantity, in the base asset."""

    async def act(self, scene: Scene) -> None:
        """Do it; what the exchange refuses stays undone."""
        exchange = scene.server.exchange

        def place(now_ms: int) -> None:
            for account in self.accounts(exchange):
                for desk in self.desks(exchange):
                    words = {"symbol": desk.name, "side": self.side.value, "quantity": f"{self.quantity:f}"}
                    try:
                        exchange.place_order(account.name, words | self.words(desk), now_ms)
                    except PaperRefusal:
                        continue

        await scene.server.call(place)

    def words(self, desk: Desk) -> dict[str, str]:
        """Return the order's further parameters."""
        raise NotImplementedError


@attrs.frozen(kw_only=True)
class ForeignOrder(ForeignFault):
    """Somebody else places an order with the account, which rests."""

    kind = "foreign-order"
    rows = "S16, F18, F22"

    distance: Annotated[Decimal, Above(0), AtMost(Decimal("0.04"))] = Decimal("0.02")
    """How far from the best price, as a share of it."""

    def words(self, desk: Desk) -> dict[str, str]:
        """Place it away from the price."""
        best = desk.book.best(self.side)
        ticks = int(best * (1 - self.side.sign * self.distance))
        price = desk.symbol.instrument.price(ticks)
        name = f"web_{desk.next_order_id}"
        return {"type": "LIMIT", "timeInForce": "GTC", "price": f"{price:f}", "newClientOrderId": name}


@attrs.frozen(kw_only=True)
class ForeignTrade(ForeignFault):
    """Somebody else trades with the account at the market."""

    kind = "foreign-trade"
    rows = "F15, F18"

    def words(self, desk: Desk) -> dict[str, str]:
        """Take what is there."""
        return {"type": "MARKET", "newClientOrderId": f"web_{desk.next_order_id}"}


@attrs.frozen(kw_only=True)
class MovePosition(ActFault):
    """The account's position changes with no trade that shows it."""

    kind = "move-position"
    rows = "F4, F15, F21"
    matches: ClassVar[tuple[str, ...]] = ("account", "symbol")

    quantity: Annotated[Decimal, AtLeast(-1_000_000), AtMost(1_000_000)] = Decimal("0.001")
    """By how much, in the base asset; below 0 it goes down."""

    async def act(self, scene: Scene) -> None:
        """Move it; the new lots cost the mark price."""
        await scene.server.call(lambda now_ms: self._move(scene.server.exchange))

    def _move(self, exchange: PaperExchange) -> None:
        for account in self.accounts(exchange):
            for desk in self.desks(exchange):
                size = desk.symbol.instrument.floor_quantity_lots(abs(self.quantity))
                position = account.position(desk.name)
                position.lots += int(size) if self.quantity > 0 else -int(size)
                position.cost_units = notional_at_mark(desk.symbol, position.lots, desk.mark_half_ticks)


@attrs.frozen(kw_only=True)
class PayFunding(ActFault):
    """Funding is paid now, at a rate."""

    kind = "pay-funding"
    rows = "F21"
    matches: ClassVar[tuple[str, ...]] = ("symbol",)

    rate: Annotated[Decimal, AtLeast(-1), AtMost(1), Decimals(8)] = Decimal("0.0001")
    """The rate; positive, longs pay."""

    async def act(self, scene: Scene) -> None:
        """Pay it."""
        exchange = scene.server.exchange

        def pay(now_ms: int) -> None:
            exchange.advance(now_ms)
            for desk in self.desks(exchange):
                usual = desk.symbol
                desk.symbol = msgspec.structs.replace(usual, funding_rate=int(self.rate * RATE_SCALE))
                exchange.settlement.pay_funding(desk, exchange.now_ms)
                desk.symbol = usual

        await scene.server.call(pay)


@attrs.frozen(kw_only=True)
class Liquidate(ActFault):
    """The account's money is gone: what it holds is liquidated, its orders expire."""

    kind = "liquidate"
    rows = "F4"
    matches: ClassVar[tuple[str, ...]] = ("account",)

    async def act(self, scene: Scene) -> None:
        """Take the money out and let the exchange's own rule see it."""
        exchange = scene.server.exchange

        def ruin(now_ms: int) -> None:
            exchange.advance(now_ms)
            for account in self.accounts(exchange):
                exchange.settlement.deposit(account, -account.wallet_units, exchange.now_ms)
                liquidate_if_due(exchange.settlement, account, exchange.now_ms)

        await scene.server.call(ruin)

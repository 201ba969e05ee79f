"""What the bot needs of an exchange: domain types in, domain types out, nothing of any wire format.

Every method raises the errors of `trio_grid.errors` only. Reads raise ExchangeUnreachable for anything transient;
the caller decides whether to try again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

import msgspec

from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.events import (
    AccountUpdate,
    BookTicker,
    CancelResult,
    FundingRecord,
    Kline,
    OrderRecord,
    OrderUpdate,
    PlacementResult,
    PositionRecord,
    Trade,
)
from trio_grid.domain.inputs import OrderBudget as OrderBudget
from trio_grid.domain.instrument import Instrument, MoneyUnits
from trio_grid.errors import Banned

EventT = TypeVar("EventT", covariant=True)


class AccountSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The account as the exchange reports it: money in 1e-8 units, position in lots."""

    wallet_balance_units: MoneyUnits
    available_balance_units: MoneyUnits
    unrealized_pnl_units: MoneyUnits
    position_lots: int
    leverage: int
    margin_type: str
    hedge_mode: bool
    liquidation_price_ticks: int | None = None


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the account trades a symbol."""

    leverage: int
    margin_type: str
    hedge_mode: bool


class UserStreamEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the user stream; exactly one of the fields is set."""

    order: OrderUpdate | None = None
    account: AccountUpdate | None = None


class Subscription(Protocol[EventT]):
    """A confirmed stream of events on one connection. It never reconnects by itself: its owner does.

    Iteration raises ExchangeUnreachable when the connection ends or goes stale, ListenKeyGone when the key expired.
    """

    def __aiter__(self) -> Subscription[EventT]: ...

    async def __anext__(self) -> EventT: ...


class MarketData(Protocol):
    """Public data of one exchange."""

    async def instrument(self, symbol: str) -> Instrument:
        """Return the symbol's units, filters and the account's fee rates."""
        ...

    async def klines(
        self, instrument: Instrument, *, limit: int, start_ms: int | None = None, end_ms: int | None = None
    ) -> tuple[Kline, ...]:
        """Return 1-minute klines in ascending order; the last one may still be open (`closed` False)."""
        ...

    def book_tickers(self, instrument: Instrument) -> AbstractAsyncContextManager[Subscription[BookTicker]]:
        """Subscribe to best bid and ask; entering the context means that the subscription is confirmed."""
        ...

    def kline_stream(self, instrument: Instrument) -> AbstractAsyncContextManager[Subscription[Kline]]:
        """Subscribe to 1-minute klines, open and closed; entering means that the subscription is confirmed."""
        ...


class Execution(Protocol):
    """The account's orders, trades and position on one exchange."""

    def now_ms(self) -> int:
        """Return the exchange's time: epoch at synchronisation + Trio time since; it never goes back (R15)."""
        ...

    def order_budget(self) -> OrderBudget:
        """Return what the order-count limits allow now; a plain function, no request is sent."""
        ...

    async def wait_banned(self) -> Banned:
        """Wait until the exchange bans this address (418), whichever request met it, and return the ban.

        Bans that came before the call do not count.
        """
        ...

    async def synchronize_clock(self) -> None:
        """Read the exchange's clock and slew the offset towards it."""
        ...

    async def wait_order_entry(self) -> None:
        """Return when the connection for orders stands; orders are accepted before, by a slower way.

        Raises:
            CredentialsRefused: the exchange does not accept the key for that connection.
        """
        ...

    async def place(self, instrument: Instrument, orders: Sequence[PlaceOrder]) -> tuple[PlacementResult, ...]:
        """Send the orders, over one connection in one write, and return one result each, in their order.

        Never raises for what became of an order: a timeout or a broken link is OrderOutcomeLost, a request that
        certainly never left is OrderNotSent. Cancellation of the caller leaves the outcome to the caller (unknown).
        Raises CredentialsRefused or Banned, after which no result of this call is known beyond the intents' journal.
        """
        ...

    async def cancel(self, instrument: Instrument, orders: Sequence[CancelOrder]) -> tuple[CancelResult, ...]:
        """Cancel each order by client order id; one result each, in their order."""
        ...

    async def send(
        self, instrument: Instrument, cancels: Sequence[CancelOrder], orders: Sequence[PlaceOrder]
    ) -> tuple[tuple[CancelResult, ...], tuple[PlacementResult, ...]]:
        """Send all actions of one decision in one write: cancels, then new orders; results and errors as of both."""
        ...

    async def open_orders(self, instrument: Instrument) -> tuple[OrderRecord, ...]:
        """Return every open order of the account on the symbol, ours and foreign."""
        ...

    async def order(
        self, instrument: Instrument, *, client_order_id: str | None = None, order_id: int | None = None
    ) -> OrderRecord:
        """Return one order's record.

        Raises:
            OrderNotFound: the exchange shows no such order.
        """
        ...

    async def orders_since(self, instrument: Instrument, start_ms: int) -> tuple[OrderRecord, ...]:
        """Return every order of the account on the symbol since a time, ascending by order id (7 days at most)."""
        ...

    async def trades(
        self,
        instrument: Instrument,
        *,
        from_id: int | None = None,
        start_ms: int | None = None,
        order_id: int | None = None,
    ) -> tuple[Trade, ...]:
        """Return the account's trades on the symbol, ascending by id, following pages; `client_order_id` is empty."""
        ...

    async def position(self, instrument: Instrument) -> PositionRecord:
        """Return the account's signed position on the symbol."""
        ...

    async def account(self, instrument: Instrument) -> AccountSummary:
        """Return wallet, margin and mode of the account."""
        ...

    async def settings(self, instrument: Instrument) -> AccountSettings:
        """Return leverage, margin type and position mode: half of what `account` costs in request weight."""
        ...

    async def wallet(self, instrument: Instrument) -> MoneyUnits:
        """Return the wallet balance of the margin asset: a quarter of what `account` costs in request weight."""
        ...

    def tolerated(self) -> dict[str, int]:
        """Return how often the exchange said something that is not known here, by a word for it; a plain function."""
        ...

    async def funding(self, instrument: Instrument, start_ms: int) -> tuple[FundingRecord, ...]:
        """Return the funding payments on the symbol since a time, ascending."""
        ...

    async def set_leverage(self, instrument: Instrument, leverage: int) -> None:
        """Set the symbol's leverage."""
        ...

    async def set_margin_type(self, instrument: Instrument, margin_type: str) -> None:
        """Set the symbol's margin type ("cross" or "isolated"); already set is fine."""
        ...

    async def cancel_all_after(self, instrument: Instrument, countdown_ms: int) -> None:
        """Have the exchange cancel every open order on the symbol, others' too, unless it is told again in time.

        Each call starts the countdown over; 0 ends it.
        """
        ...

    def user_stream(self, instrument: Instrument) -> AbstractAsyncContextManager[Subscription[UserStreamEvent]]:
        """Open the account's event stream; entering means that it is confirmed. It keeps its key alive while open."""
        ...

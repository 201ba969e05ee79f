"""Owns the shape of a market: steps of tape rows and one quote, as the matching engine consumes them.

It must never know accounts or orders. Prices are ticks, quantities lots, times the exchange's epoch in milliseconds.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import msgspec

from trio_grid.domain.events import Side


class TapeRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One trade of the tape. `buyer_is_maker` is True when a seller took a resting bid."""

    price_ticks: int
    quantity_lots: int
    buyer_is_maker: bool


class MarketStep(msgspec.Struct, frozen=True):
    """All tape rows of one timestamp, in their order, and the market's own quote after them.

    `bid_lots` and `ask_lots` are what strangers offer at the best prices. `trades` may be empty (the quote moved).
    """

    time_ms: int
    trades: tuple[TapeRow, ...]
    bid_ticks: int
    ask_ticks: int
    bid_lots: int
    ask_lots: int


class Ticker(msgspec.Struct, frozen=True):
    """Best prices and quantities over accounts and strangers; `update_id` is the book's version."""

    update_id: int
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int
    time_ms: int


class Market(Protocol):
    """One symbol's strangers: a source of steps and of the depth behind the best prices.

    `follows_wall_clock` is False for a replay, whose times are those of the recording. `fills_quiet_minutes` says
    whether a minute without a trade still has a (flat) kline, as on the real exchange; a replay of klines leaves out
    the minutes that the recording leaves out. `start_ms` is the time of the exchange's beginning: steps before it
    only make the history of klines.
    """

    symbol: str
    follows_wall_clock: bool
    fills_quiet_minutes: bool
    start_ms: int

    def next_time_ms(self) -> int | None:
        """Return the time of the next step, or None when the market has ended."""
        ...

    def step(self) -> MarketStep:
        """Go to the next step and return it."""
        ...

    def skip_towards(self, now_ms: int) -> None:
        """Prepare for a jump of the clock to `now_ms`: a synthetic market makes longer steps for the way there."""
        ...

    def level_lots(self, side: Side, price_ticks: int) -> int:
        """Return the strangers' resting quantity at a price on one side of the book, 0 inside or beyond it."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the place in the market as a JSON-able document."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a place that `state` gave.

        Raises:
            ValueError: the document does not belong to this market.
        """
        ...


@runtime_checkable
class SparseBook(Protocol):
    """A market that knows where its levels are: its book is searched from level to level, not from tick to tick."""

    def next_price(self, side: Side, price_ticks: int) -> int | None:
        """Return the nearest price at or behind one where strangers may offer something; None if there is none."""
        ...

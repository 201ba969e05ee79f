"""Owns the exchange's records: orders, trades, positions, income rows, movements of isolated margin.

They are plain data; the rules that change them live in `account`, `desk` and `trading`. Prices are ticks, quantities
lots, money units of 1e-8, times the exchange's epoch in milliseconds.
"""

from __future__ import annotations

import enum

import msgspec

from trio_grid.domain.events import RecordStatus, Side


class PositionSide(enum.StrEnum):
    """Which position of a symbol is meant: the only one (one-way mode), or one of two (hedge mode)."""

    BOTH = "BOTH"
    LONG = "LONG"
    SHORT = "SHORT"

    @property
    def opening_side(self) -> Side | None:
        """The side of the orders that make this position larger; None for BOTH, where either may."""
        return {"LONG": Side.BUY, "SHORT": Side.SELL}.get(self.value)


class PaperOrder(msgspec.Struct, kw_only=True, array_like=True):
    """One order of an account, from its acceptance on. A MARKET order has `price_ticks` 0.

    `queue_lots` is what strangers still hold in front of it at its price; `sequence` is its time priority;
    `expiry_reason` is Binance's `er`; `executed_cost` is the sum of ticks x lots of its trades.
    """

    order_id: int
    account: str
    symbol: str
    client_order_id: str
    side: Side
    order_type: str
    time_in_force: str
    price_ticks: int
    quantity_lots: int
    reduce_only: bool
    stp: str
    price_match: str
    good_till_ms: int
    time_ms: int
    update_time_ms: int
    sequence: int
    status: RecordStatus = RecordStatus.NEW
    executed_lots: int = 0
    executed_cost: int = 0
    expiry_reason: int = 0
    queue_lots: int = 0
    amendments: int = 0
    position_side: PositionSide = PositionSide.BOTH

    @property
    def remaining_lots(self) -> int:
        """Quantity that may still trade."""
        return self.quantity_lots - self.executed_lots

    @property
    def is_open(self) -> bool:
        """True while the order can trade."""
        return not self.status.is_terminal


class PaperTrade(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One trade of an account; `trade_id` is unique by symbol and account, and grows."""

    trade_id: int
    order_id: int
    side: Side
    price_ticks: int
    quantity_lots: int
    realized_units: int
    fee_units: int
    maker: bool
    time_ms: int
    position_side: PositionSide = PositionSide.BOTH


class Position(msgspec.Struct, kw_only=True):
    """A position: signed lots and the exact cost of what is held (money units, never negative).

    `realized_units` is the accumulated realized PnL before fees (`cr`); `isolated_units` is what of the wallet belongs
    to this position alone, 0 while its symbol is cross.
    """

    lots: int = 0
    cost_units: int = 0
    realized_units: int = 0
    isolated_units: int = 0
    update_time_ms: int = 0


class SymbolSetting(msgspec.Struct, kw_only=True):
    """An account's choices for a symbol; they hold for all its positions there."""

    leverage: int = 20
    isolated: bool = False


class MarginMove(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One movement between the cross wallet and a position's own: `units` are positive when the position got them.

    `cause` is USER_ADJUST or TRADE.
    """

    symbol: str
    position_side: PositionSide
    units: int
    cause: str
    time_ms: int


class Income(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One row of the income history: what changed the wallet, and by how much."""

    record_id: int
    symbol: str
    kind: str
    units: int
    info: str
    time_ms: int
    trade_id: int | None = None


class Amendment(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One amendment of an order: what it was and became, and how many amendments the order then had."""

    amendment_id: int
    symbol: str
    order_id: int
    client_order_id: str
    time_ms: int
    price_before: int
    price_after: int
    lots_before: int
    lots_after: int
    count: int
    modify_id: int | None = None

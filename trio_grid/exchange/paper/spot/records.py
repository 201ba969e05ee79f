"""Owns spot's records: orders, trades, balances, prevented matches, amendments.

They are plain data; the rules that change them live in `account`, `settlement` and `trading`. Prices are ticks,
quantities lots, amounts of an asset units of 1e-8, times the exchange's epoch in milliseconds.
"""

from __future__ import annotations

import msgspec

from trio_grid.domain.events import RecordStatus, Side

MARKET_TYPES = frozenset({"MARKET", "STOP_LOSS", "TAKE_PROFIT"})
"""Types that trade at the market's price and never rest."""
STOP_TYPES = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
"""Types that wait for their stop price."""


class Balance(msgspec.Struct, kw_only=True):
    """What an account has of an asset, in units of 1e-8: what it may use, and what its open orders hold."""

    free: int = 0
    locked: int = 0


class SpotOrder(msgspec.Struct, kw_only=True, array_like=True):
    """One order of an account, from its acceptance on. A MARKET order has `price_ticks` 0.

    `quote_units` is `quoteOrderQty`: the amount of the quote asset to spend or to receive, 0 for an order by quantity;
    the quantity of such an order grows with what it trades. `locked_units` is what it holds of the asset that it pays
    with. `executed_cost` is the sum of ticks x lots of its trades; `prevented_lots` is what self-trade prevention took
    off. `triggered_ms` is when it began to work, 0 while its stop price has not been met.
    """

    order_id: int
    account: str
    symbol: str
    client_order_id: str
    side: Side
    order_type: str
    time_in_force: str
    price_ticks: int
    stop_ticks: int
    quantity_lots: int
    quote_units: int
    stp: str
    time_ms: int
    update_time_ms: int
    triggered_ms: int
    sequence: int
    strategy_id: int | None = None
    strategy_type: int | None = None
    status: RecordStatus = RecordStatus.NEW
    executed_lots: int = 0
    executed_cost: int = 0
    prevented_lots: int = 0
    locked_units: int = 0
    queue_lots: int = 0
    amendments: int = 0

    @property
    def remaining_lots(self) -> int:
        """Quantity that may still trade."""
        return self.quantity_lots - self.executed_lots - self.prevented_lots

    @property
    def is_open(self) -> bool:
        """True while the order can trade."""
        return not self.status.is_terminal

    @property
    def is_working(self) -> bool:
        """True when the order is in the book, or was: it waits for no stop price."""
        return self.triggered_ms > 0

    @property
    def takes_market_price(self) -> bool:
        """True for the types that trade at the market's price and never rest."""
        return self.order_type in MARKET_TYPES


class SpotTrade(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One trade of an account; the fee is in units of the asset that was received."""

    trade_id: int
    order_id: int
    side: Side
    price_ticks: int
    quantity_lots: int
    fee_units: int
    fee_asset: str
    maker: bool
    time_ms: int


class PreventedMatch(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One match of an account's orders with each other that self-trade prevention did not let happen."""

    match_id: int
    taker_order_id: int
    maker_order_id: int
    mode: str
    price_ticks: int
    taker_lots: int
    maker_lots: int
    time_ms: int


class Amendment(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One reduction of an order's quantity."""

    order_id: int
    execution_id: int
    old_client_id: str
    new_client_id: str
    old_lots: int
    new_lots: int
    time_ms: int

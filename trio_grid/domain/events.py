"""What the exchange told us, as frozen values checked at birth.

Times are the exchange's epoch in whole milliseconds. A constructor of a msgspec Struct checks no types, so
`__post_init__` does; it runs in `msgspec.structs.replace` as well.
"""

from __future__ import annotations

import enum

import msgspec

from trio_grid.domain.instrument import MoneyUnits, PriceTicks, QuantityLots


class Side(enum.StrEnum):
    """The side of an order or a trade."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL: what one lot does to the position."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class RecordStatus(enum.StrEnum):
    """The exchange's own status of an order."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"

    @property
    def is_terminal(self) -> bool:
        """True when the order can never trade again."""
        return self not in (RecordStatus.NEW, RecordStatus.PARTIALLY_FILLED)


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Base of the frozen values; the tag makes each of them decodable from the journal."""


def _require_whole(event: Event, *names: str, minimum: int | None = None) -> None:
    for name in names:
        value = getattr(event, name)
        if type(value) is not int:
            raise TypeError(f"{type(event).__name__}.{name} must be a whole number, got {value!r}")
        if minimum is not None and value < minimum:
            raise ValueError(f"{type(event).__name__}.{name} must be at least {minimum}, got {value}")


class BookTicker(Event, frozen=True, kw_only=True):
    """Best bid and ask. The decision price is their sum in half ticks: one integer, nothing rounded."""

    bid_ticks: PriceTicks
    ask_ticks: PriceTicks
    time_ms: int

    def __post_init__(self) -> None:
        _require_whole(self, "bid_ticks", "ask_ticks", "time_ms", minimum=1)
        if self.bid_ticks > self.ask_ticks:
            raise ValueError(f"BookTicker.bid_ticks {self.bid_ticks} is above ask_ticks {self.ask_ticks}")

    @property
    def half_ticks(self) -> int:
        """Best bid + best ask: twice the mid price in ticks."""
        return self.bid_ticks + self.ask_ticks


class Kline(Event, frozen=True, kw_only=True):
    """One kline; only closed ones reach the regime. Volume is in lots."""

    open_time_ms: int
    open_ticks: PriceTicks
    high_ticks: PriceTicks
    low_ticks: PriceTicks
    close_ticks: PriceTicks
    volume_lots: QuantityLots
    closed: bool

    def __post_init__(self) -> None:
        _require_whole(self, "open_time_ms", "volume_lots", minimum=0)
        _require_whole(self, "open_ticks", "high_ticks", "low_ticks", "close_ticks", minimum=1)
        lowest, highest = min(self.open_ticks, self.close_ticks), max(self.open_ticks, self.close_ticks)
        if not self.low_ticks <= lowest <= highest <= self.high_ticks:
            raise ValueError(f"Kline at {self.open_time_ms}: low, open, close and high are out of order")


class Trade(Event, frozen=True, kw_only=True):
    """One trade of the account: the only source of inventory (R5), unique by (symbol, trade_id).

    `client_order_id` is empty where the exchange's record does not carry it (REST); the reconciler fills it in before
    the trade is booked. `realized_pnl_units` is the exchange's own, before the fee; a fee paid is positive.
    """

    trade_id: int
    order_id: int
    client_order_id: str
    side: Side
    price_ticks: PriceTicks
    quantity_lots: QuantityLots
    realized_pnl_units: MoneyUnits
    fee_units: MoneyUnits
    fee_asset: str
    maker: bool
    time_ms: int

    def __post_init__(self) -> None:
        _require_whole(self, "trade_id", "order_id", "time_ms", minimum=0)
        _require_whole(self, "price_ticks", "quantity_lots", minimum=1)
        _require_whole(self, "realized_pnl_units", "fee_units")


class OrderRecord(Event, frozen=True, kw_only=True):
    """The exchange's record of one order. `price_ticks` is 0 for a MARKET order; `expiry_reason` is its `er` code."""

    client_order_id: str
    order_id: int
    side: Side
    price_ticks: PriceTicks
    quantity_lots: QuantityLots
    executed_lots: QuantityLots
    status: RecordStatus
    reduce_only: bool
    update_time_ms: int
    expiry_reason: int = 0

    def __post_init__(self) -> None:
        _require_whole(self, "order_id", "price_ticks", "executed_lots", "update_time_ms", "expiry_reason", minimum=0)
        _require_whole(self, "quantity_lots", minimum=0)
        if self.executed_lots > self.quantity_lots:
            raise ValueError(
                f"OrderRecord {self.client_order_id}: executed {self.executed_lots} lots of {self.quantity_lots}"
            )


class OrderUpdate(Event, frozen=True, kw_only=True):
    """One execution report of the user stream: the order's state after it and, if it is a fill, the trade."""

    order: OrderRecord
    trade: Trade | None = None


class PositionRecord(Event, frozen=True, kw_only=True):
    """The account's position on the symbol (signed) as the exchange reports it."""

    position_lots: int
    time_ms: int

    def __post_init__(self) -> None:
        _require_whole(self, "position_lots", "time_ms")


class FundingRecord(Event, frozen=True, kw_only=True):
    """One funding payment from the exchange's income history, unique by `record_id`; received is positive."""

    record_id: int
    amount_units: MoneyUnits
    asset: str
    time_ms: int

    def __post_init__(self) -> None:
        _require_whole(self, "record_id", "time_ms", minimum=0)
        _require_whole(self, "amount_units")


class AccountUpdate(Event, frozen=True, kw_only=True):
    """A change of wallet or position on the user stream; `reason` is the exchange's word (ORDER, FUNDING_FEE, ...).

    `position_lots` is None when the event does not speak of the symbol.
    """

    reason: str
    position_lots: int | None
    time_ms: int


# What became of a request -------------------------------------------------------------------------------------------


class RejectReason(enum.StrEnum):
    """Why the exchange refused an order, as far as the decision differs by it."""

    POST_ONLY = "POST_ONLY"
    REDUCE_ONLY = "REDUCE_ONLY"
    MARGIN = "MARGIN"
    FILTER = "FILTER"
    OPEN_ORDERS = "OPEN_ORDERS"
    RATE = "RATE"
    OVERLOAD = "OVERLOAD"
    MODE = "MODE"
    OTHER = "OTHER"


class OrderAcknowledged(Event, frozen=True, kw_only=True):
    """The placement's answer: the exchange's record of the new order."""

    order: OrderRecord


class OrderRefused(Event, frozen=True, kw_only=True):
    """The placement's answer: no order exists under this id."""

    client_order_id: str
    reason: RejectReason
    code: int
    message: str


class OrderOutcomeLost(Event, frozen=True, kw_only=True):
    """No answer says what became of the placement (R4). `request_time_ms` is the timestamp that it carried."""

    client_order_id: str
    request_time_ms: int
    recv_window_ms: int
    detail: str


class OrderNotSent(Event, frozen=True, kw_only=True):
    """The intent certainly never left the process."""

    client_order_id: str
    detail: str


class CancelAcknowledged(Event, frozen=True, kw_only=True):
    """The cancel's answer: the exchange's final record of the order."""

    order: OrderRecord


class CancelRefused(Event, frozen=True, kw_only=True):
    """The exchange does not know the order, or would not cancel it: a question to ask, never a blind retry (F7)."""

    client_order_id: str
    code: int
    message: str


class CancelOutcomeLost(Event, frozen=True, kw_only=True):
    """No answer to a cancel; it may be repeated at will."""

    client_order_id: str
    detail: str


class OrderAbsent(Event, frozen=True, kw_only=True):
    """A query by client order id, sent at `asked_at_ms` of the exchange's clock, answered "does not exist"."""

    client_order_id: str
    asked_at_ms: int


PlacementResult = OrderAcknowledged | OrderRefused | OrderOutcomeLost | OrderNotSent
CancelResult = CancelAcknowledged | CancelRefused | CancelOutcomeLost
ActionResult = PlacementResult | CancelResult


# Readings of the market --------------------------------------------------------------------------------------------


class Trend(enum.StrEnum):
    """Direction by Wilder's RSI; a flat market is RANGE (S14)."""

    BULL = "BULL"
    BEAR = "BEAR"
    RANGE = "RANGE"


class Volatility(enum.StrEnum):
    """ATR against its average."""

    NORMAL = "NORMAL"
    HIGH = "HIGH"


class Liquidity(enum.StrEnum):
    """Volume against its average."""

    NORMAL = "NORMAL"
    THIN = "THIN"


class RegimeReading(Event, frozen=True, kw_only=True):
    """The regime at the close of one 1-minute kline: flags, and ATR in whole ticks; no float leaves `regime.py` (R2).

    `size_factor_milli` is 1000 x max(0.1, 1 - 50 x ATR / close). `stale` means that the run of closed klines has a
    hole or is too short; the flags then keep their neutral values and openings stop. `brake` is the anomaly brake.
    `rsi_milli` is for display only.
    """

    close_time_ms: int
    trend: Trend
    volatility: Volatility
    liquidity: Liquidity
    brake: bool
    stale: bool
    atr_ticks: int
    size_factor_milli: int
    rsi_milli: int

    def __post_init__(self) -> None:
        _require_whole(self, "close_time_ms", "atr_ticks", "rsi_milli", minimum=0)
        _require_whole(self, "size_factor_milli", minimum=100)

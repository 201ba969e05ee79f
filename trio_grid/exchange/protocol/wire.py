"""The bodies and events of Binance USD-M futures as typed structures: what is on the wire, nothing more.

A field without a default is mandatory: its absence is a malformed answer, never a zero (S19). Unknown keys are ignored;
numbers may come as strings or as numbers (lax decoding). Nothing here knows ticks, lots or domain types.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from trio_grid.exchange.protocol.rate_limits import RateLimit


class Wire(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of the structures with the wire's own short keys."""


class Body(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """Base of the structures with camelCase keys (REST bodies and WebSocket API results)."""


# Frames -------------------------------------------------------------------------------------------------------------


class WireErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """`{"code", "msg"}`; a 503 has been seen without a code, with the message alone."""

    code: int | None = None
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


class ErrorData(Body, frozen=True, kw_only=True):
    """`error.data` of a 429 or 418 on the WebSocket API: both epochs in ms."""

    server_time: int | None = None
    retry_after: int | None = None


class EventHead(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that say which event a frame is, and where it lies in the wrapper of a combined stream."""

    e: str | None = None
    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request on a WebSocket; an event has no `id`. Stream requests are answered without `status`.

    `rate_limits` stays raw: counts that cannot be read must not make an order's answer unreadable.
    """

    id: int | str | None = None
    status: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"")
    error: WireErrorBody | None = None
    rate_limits: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"[]"), name="rateLimits")


# Market data --------------------------------------------------------------------------------------------------------


class WireBookTicker(Wire, frozen=True, kw_only=True):
    """`bookTicker`; spot's has no event type and no times."""

    symbol: str = msgspec.field(name="s")
    update_id: int = msgspec.field(name="u")
    bid: Decimal = msgspec.field(name="b")
    bid_quantity: Decimal = msgspec.field(name="B")
    ask: Decimal = msgspec.field(name="a")
    ask_quantity: Decimal = msgspec.field(name="A")
    event_time: int = msgspec.field(name="E")
    transaction_time: int = msgspec.field(name="T")


class WireKline(Wire, frozen=True, kw_only=True):
    """The `k` of a kline event."""

    open_time: int = msgspec.field(name="t")
    close_time: int = msgspec.field(name="T")
    symbol: str = msgspec.field(name="s")
    interval: str = msgspec.field(name="i")
    open: Decimal = msgspec.field(name="o")
    close: Decimal = msgspec.field(name="c")
    high: Decimal = msgspec.field(name="h")
    low: Decimal = msgspec.field(name="l")
    volume: Decimal = msgspec.field(name="v")
    closed: bool = msgspec.field(name="x")


class WireKlineEvent(Wire, frozen=True, kw_only=True):
    """`kline`."""

    event_time: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    kline: WireKline = msgspec.field(name="k")


class KlineRow(msgspec.Struct, frozen=True, array_like=True):
    """One row of GET klines; further elements (quote volume, number of trades, taker volumes) are ignored."""

    open_time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    close_time: int


# User stream --------------------------------------------------------------------------------------------------------


class WireOrderEvent(Wire, frozen=True, kw_only=True):
    """The `o` of ORDER_TRADE_UPDATE, as far as the bot reads it.

    `n` and `N` are not sent when nothing was charged, and old events omit them on every non-trade.
    """

    symbol: str = msgspec.field(name="s")
    client_order_id: str = msgspec.field(name="c")
    side: str = msgspec.field(name="S")
    order_type: str = msgspec.field(name="o")
    time_in_force: str = msgspec.field(name="f")
    quantity: Decimal = msgspec.field(name="q")
    price: Decimal = msgspec.field(name="p")
    execution: str = msgspec.field(name="x")
    status: str = msgspec.field(name="X")
    order_id: int = msgspec.field(name="i")
    last_quantity: Decimal = msgspec.field(name="l")
    executed: Decimal = msgspec.field(name="z")
    last_price: Decimal = msgspec.field(name="L")
    commission: Decimal | None = msgspec.field(name="n", default=None)
    commission_asset: str | None = msgspec.field(name="N", default=None)
    transaction_time: int = msgspec.field(name="T")
    trade_id: int = msgspec.field(name="t")
    maker: bool = msgspec.field(name="m")
    reduce_only: bool = msgspec.field(name="R")
    position_side: str = msgspec.field(name="ps", default="BOTH")
    realized_pnl: Decimal = msgspec.field(name="rp")
    expiry_reason: int = msgspec.field(name="er", default=0)


class WireOrderTradeUpdate(Wire, frozen=True, kw_only=True):
    """`ORDER_TRADE_UPDATE`; the top-level times have been seen missing, the order's own never."""

    order: WireOrderEvent = msgspec.field(name="o")


class WireBalance(Wire, frozen=True, kw_only=True):
    """One element of `B` in ACCOUNT_UPDATE."""

    asset: str = msgspec.field(name="a")
    wallet: Decimal = msgspec.field(name="wb")
    cross_wallet: Decimal = msgspec.field(name="cw")
    change: Decimal = msgspec.field(name="bc", default=Decimal(0))


class WirePosition(Wire, frozen=True, kw_only=True):
    """One element of `P` in ACCOUNT_UPDATE."""

    symbol: str = msgspec.field(name="s")
    amount: Decimal = msgspec.field(name="pa")
    entry_price: Decimal = msgspec.field(name="ep")
    position_side: str = msgspec.field(name="ps", default="BOTH")


class WireAccountChange(Wire, frozen=True, kw_only=True):
    """The `a` of ACCOUNT_UPDATE; `P` is documented as absent on funding, and seen empty."""

    reason: str = msgspec.field(name="m")
    balances: tuple[WireBalance, ...] = msgspec.field(name="B", default=())
    positions: tuple[WirePosition, ...] = msgspec.field(name="P", default=())


class WireAccountUpdate(Wire, frozen=True, kw_only=True):
    """`ACCOUNT_UPDATE`."""

    transaction_time: int = msgspec.field(name="T")
    change: WireAccountChange = msgspec.field(name="a")


class WireListenKeyExpired(Wire, frozen=True, kw_only=True):
    """`listenKeyExpired`; its time has been a string and is an integer since 2026."""

    event_time: int = msgspec.field(name="E")
    listen_key: str = msgspec.field(name="listenKey", default="")


# REST bodies --------------------------------------------------------------------------------------------------------


class WireOrder(Body, frozen=True, kw_only=True):
    """An order, as REST and the WebSocket API answer it. avgPrice and cumQuote come and go, so they are not read."""

    order_id: int
    symbol: str
    status: str
    client_order_id: str
    price: Decimal
    orig_qty: Decimal
    executed_qty: Decimal
    side: str
    type: str
    reduce_only: bool
    update_time: int
    time_in_force: str = ""
    position_side: str = "BOTH"


class WireUserTrade(Body, frozen=True, kw_only=True):
    """One row of GET userTrades."""

    symbol: str
    id: int
    order_id: int
    side: str
    price: Decimal
    qty: Decimal
    realized_pnl: Decimal
    commission: Decimal
    commission_asset: str
    time: int
    maker: bool


class WirePositionRisk(Body, frozen=True, kw_only=True):
    """One row of GET v3/positionRisk: only symbols with a position or open orders are listed."""

    symbol: str
    position_amt: Decimal
    liquidation_price: Decimal
    update_time: int
    position_side: str = "BOTH"


class WireAsset(Body, frozen=True, kw_only=True):
    """One element of `assets` in GET account."""

    asset: str
    wallet_balance: Decimal
    unrealized_profit: Decimal
    available_balance: Decimal


class WireAccount(Body, frozen=True, kw_only=True):
    """GET v3/account."""

    assets: tuple[WireAsset, ...]


class WireSymbolConfig(Body, frozen=True, kw_only=True):
    """One row of GET symbolConfig."""

    symbol: str
    margin_type: str
    leverage: int


class WireAccountConfig(Body, frozen=True, kw_only=True):
    """GET accountConfig."""

    dual_side_position: bool


class WireIncome(Body, frozen=True, kw_only=True):
    """One row of GET income."""

    income_type: str
    income: Decimal
    asset: str
    time: int
    tran_id: int
    symbol: str = ""


class WireCommissionRate(Body, frozen=True, kw_only=True):
    """GET commissionRate."""

    symbol: str
    maker_commission_rate: Decimal
    taker_commission_rate: Decimal


class WireFilter(Body, frozen=True, kw_only=True):
    """One filter of exchangeInfo: each type fills its own fields."""

    filter_type: str
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    tick_size: Decimal | None = None
    min_qty: Decimal | None = None
    max_qty: Decimal | None = None
    step_size: Decimal | None = None
    limit: int | None = None
    notional: Decimal | None = None
    multiplier_up: Decimal | None = None
    multiplier_down: Decimal | None = None


class WireSymbol(Body, frozen=True, kw_only=True):
    """One symbol of exchangeInfo."""

    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    margin_asset: str
    filters: tuple[WireFilter, ...]
    contract_type: str = ""


class WireSymbolName(Body, frozen=True, kw_only=True):
    """The name alone: which of the symbols an entry describes."""

    symbol: str


class WireExchangeInfo(Body, frozen=True, kw_only=True):
    """GET exchangeInfo; its hundreds of symbols stay raw: one that is odd must not hide the one that is traded."""

    rate_limits: tuple[RateLimit, ...]
    symbols: tuple[msgspec.Raw, ...]


class WireServerTime(Body, frozen=True, kw_only=True):
    """GET time."""

    server_time: int


class WireListenKey(Body, frozen=True, kw_only=True):
    """POST listenKey."""

    listen_key: str

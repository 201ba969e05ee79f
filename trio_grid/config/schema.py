"""The settings: one attrs class for each section of the TOML file.

Each field says its type, its rules, its default and, in the text below it, what it does; the reference in
docs/reference/config.md is generated from exactly this. Money, prices and quantities are decimals here; they become
ticks, lots and units in `conversion`, where the instrument is known. Nothing here reads files or looks at two fields.
"""

import enum
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import attrs

from trio_grid.config.rules import Above, Address, AtLeast, AtMost, Decimals, Each, Hidden, Pattern
from trio_grid.config.secret import KeyType
from trio_grid.domain.settings import Mode, OnLimit, Spacing, Trailing

SYMBOL = r"[A-Z0-9]{2,20}(_[0-9]{6})?"
WatchedSymbols = Each(SYMBOL, "symbols such as ETHUSDT, in capitals, none twice, at most 9", 9)
FASTEST = 100_000
LARGEST_BALANCE = 10**10
"""Of an account of the paper exchange: its money is kept in whole numbers of 64 bits, with room to grow."""
Milli = Decimals(3)
EnvironmentName = Pattern(r"[A-Z_][A-Z0-9_]{0,99}", "the NAME of an environment variable, in capitals")
RestAddress = Address("https", "http")
StreamAddress = Address("wss", "ws")
WsApiAddress = Address("wss", "ws", path=True)
Positive = Annotated[Decimal, Above(0)]
Share = Annotated[Decimal, AtLeast(0), AtMost(1), Milli]
Seconds = Annotated[float, AtLeast(1), AtMost(86_400)]
Factor = Annotated[Decimal, AtLeast(Decimal("0.001")), AtMost(1000), Milli]


class ExchangeKind(enum.StrEnum):
    """Which exchange the bot trades on."""

    PAPER = "paper"
    BINANCE_USDM = "binance-usdm"


class ExitPolicy(enum.StrEnum):
    """What happens to the bot's own orders and inventory when it stops."""

    KEEP = "keep"
    CANCEL_OPENING = "cancel-opening"
    CANCEL_ALL = "cancel-all"
    FLATTEN = "flatten"


class MarketCharacter(enum.StrEnum):
    """Which numbers the synthetic market goes by."""

    LIVELY = "lively"
    CALIBRATED = "calibrated"


class FillModel(enum.StrEnum):
    """What a resting order on the paper exchange gets from the trades of the market."""

    THROUGH = "through"
    QUEUE = "queue"
    OPTIMISTIC = "optimistic"


class MarginType(enum.StrEnum):
    """How margin is shared between positions."""

    CROSS = "cross"
    ISOLATED = "isolated"


class Closings(enum.StrEnum):
    """What kind of order takes the profit."""

    LIMIT = "limit"
    POST_ONLY = "post-only"


@attrs.frozen(kw_only=True)
class ExchangeConfig:
    """Where the bot trades, and with which key.

    The real exchange is reached by the same code as the paper exchange: only addresses and keys differ. Certificates
    are always verified.
    """

    kind: ExchangeKind = ExchangeKind.PAPER
    """`paper` is the embedded exchange, started together with the bot; `binance-usdm` is Binance USD-M futures, or any
    server that speaks its protocol, such as `trio-grid exchange`."""
    rest_url: Annotated[str, RestAddress] | None = None
    """Base address of the REST interface. Needed with `binance-usdm`, and only there, like the next two."""
    ws_url: Annotated[str, StreamAddress] | None = None
    """Base address of the market and user streams."""
    ws_api_url: Annotated[str, WsApiAddress] | None = None
    """Address of the WebSocket API, over which orders go."""
    key_type: KeyType = KeyType.HMAC
    """How requests are signed."""
    key_env: Annotated[str, EnvironmentName, Hidden()] | None = None
    """Name of the environment variable that holds the API key."""
    secret_env: Annotated[str, EnvironmentName, Hidden()] | None = None
    """Name of the environment variable that holds the secret: the HMAC secret, or the Ed25519 private key as PEM."""
    key_file: Path | None = None
    """A TOML file with `key` and `secret` that only its owner may read (mode 0600); instead of the two variables."""
    private_key_file: Path | None = None
    """A PEM file with the Ed25519 private key (PKCS#8, no password) that only its owner may read (mode 0600); together
    with `key_env`, instead of `secret_env`."""
    recv_window_ms: Annotated[int, AtLeast(100), AtMost(60_000)] = 5000
    """How old a request may be when the exchange looks at it; older ones are refused."""
    countdown_cancel_s: Annotated[int, AtLeast(10), AtMost(3_600)] | None = None
    """Dead man's switch: the exchange cancels every open order on the symbol when it has not heard from the bot for so
    many seconds; 120 is the usual value. It takes the orders of others on the symbol too, which is why it is off unless
    set. Every stop ends it, except one that should have left no order and could not be confirmed."""


@attrs.frozen(kw_only=True)
class PaperConfig:
    """The embedded paper exchange. Used with `exchange.kind = "paper"` alone."""

    seed: Annotated[int, AtLeast(0), AtMost(2**63 - 1)] = 1
    """Seed of the synthetic market: the same seed gives the same market."""
    start_price: Positive = Decimal(60_000)
    """First price of the synthetic market."""
    volatility: Annotated[Decimal, AtLeast(Decimal("0.1")), AtMost(20), Milli] = Decimal(1)
    """A factor on the movements of the synthetic market: at 1 a lively one covers about 200 in a minute at 60,000."""
    character: MarketCharacter = MarketCharacter.LIVELY
    """`lively` lets most of a minute's way return, so that a grid trades at once; `calibrated` has the returns, the
    clusters of volatility and the volumes of real 1-minute klines of BTCUSDT, and is as quiet as they are."""
    market: Path | None = None
    """A recording to replay instead of the synthetic market: klines or trades in Binance's public dump format, or
    stream messages (CSV, JSON lines, zip or gz)."""
    speed: Annotated[Decimal, Above(0), AtMost(FASTEST)] = Decimal(1)
    """How many seconds of the market pass in one second. Beyond some thousands the exchange may cut streams that the
    bot cannot read as fast; it connects again and closes the gap."""
    balance: Annotated[Decimal, Above(0), AtMost(LARGEST_BALANCE), Decimals(8)] = Decimal(10_000)
    """Wallet balance that the account starts with, in units of the margin asset."""
    leverage: Annotated[int, AtLeast(1), AtMost(125)] = 20
    """Leverage that the account starts with."""
    maker_fee: Annotated[Decimal, AtLeast(Decimal("-0.01")), AtMost(Decimal("0.01")), Decimals(8)] = Decimal("0.0002")
    """Fee of a maker as a share of the notional; negative is a rebate."""
    taker_fee: Annotated[Decimal, AtLeast(0), AtMost(Decimal("0.01")), Decimals(8)] = Decimal("0.0005")
    """Fee of a taker as a share of the notional."""
    fill_model: FillModel = FillModel.QUEUE
    """What a resting order gets from the trades of the market: `through` fills when the price goes strictly through it,
    `queue` also at its price once the queue before it has traded, `optimistic` as soon as its price trades."""


@attrs.frozen(kw_only=True)
class RangeConfig:
    """A fixed range instead of an interval: the lattice lies between two prices and nowhere else."""

    lower: Positive
    """Lowest price of the lattice."""
    upper: Positive
    """Highest price of the lattice. With geometric spacing the last price may lie a little below it."""
    levels: Annotated[int, AtLeast(1), AtMost(10_000)]
    """Number of cells between the two prices; each cell is one slot."""


@attrs.frozen(kw_only=True)
class GridConfig:
    """The ladder: where its levels are, and how it follows the price.

    Anchor and spacing are fixed for the life of a journal; changing them needs an empty book and `run --new-lattice`.
    """

    symbol: Annotated[str, Pattern(SYMBOL, "a symbol such as BTCUSDT, in capitals")]
    """The instrument to trade."""
    mode: Mode = Mode.LONG
    """`long` buys below the price and sells what it bought, `short` the reverse, `neutral` does both."""
    spacing: Spacing = Spacing.ARITHMETIC
    """`arithmetic`: equal distances, set by `interval`; `geometric`: equal percentages, set by `interval_percent`."""
    interval: Positive | None = None
    """Distance between two levels in quote units (arithmetic spacing)."""
    interval_percent: Annotated[Decimal, Above(0), AtMost(100), Decimals(4)] | None = None
    """Distance between two levels in per cent of the price (geometric spacing): 0.25 is a quarter of one per cent."""
    range: RangeConfig | None = None
    """A fixed range instead of an interval."""
    levels: Annotated[int, AtLeast(1), AtMost(10_000)] | None = None
    """Levels on each side of the price. By default 12, or all those of a fixed range."""
    levels_below: Annotated[int, AtLeast(0), AtMost(10_000)] | None = None
    """Levels below the price, instead of `levels`."""
    levels_above: Annotated[int, AtLeast(0), AtMost(10_000)] | None = None
    """Levels above the price, instead of `levels`."""
    anchor: Positive | None = None
    """A price that is to be a level, from which all others are counted. By default the first price seen."""
    trailing: Trailing = Trailing.BOTH
    """Which way the window of levels follows the price."""
    skew: Annotated[Decimal, AtLeast(0), AtMost(10), Milli] = Decimal("0.5")
    """How far the reference price is shifted against the inventory when that is at its maximum, in intervals."""
    centre_hysteresis: Annotated[Decimal, AtLeast(0), AtMost(10), Milli] = Decimal("0.15")
    """How far beyond half an interval the reference price must go before the window moves, in intervals."""
    volatility_scale: Annotated[Decimal, AtLeast(0), AtMost(1000), Milli] = Decimal(0)
    """Wanted interval as a multiple of the ATR; where it is wider than the base interval, only every second, third, ...
    level is opened. 0: the ATR has no such effect."""
    max_stride: Annotated[int, AtLeast(1), AtMost(999)] = 16
    """Widest distance between opened levels, in base intervals."""
    stride_dwell_s: Annotated[int, AtLeast(0), AtMost(86_400)] = 300
    """How long a stride is kept at least."""
    closings: Closings = Closings.LIMIT
    """`limit` takes at a better price where the market is already past the exit; `post-only` never takes."""


@attrs.frozen(kw_only=True)
class SizeConfig:
    """How much each level trades. Exactly one of the first two is needed."""

    quote_per_level: Positive | None = None
    """Amount of the quote asset per level: the usual choice."""
    base_per_level: Positive | None = None
    """Quantity of the base asset per level."""
    compounding: Share = Decimal(0)
    """Share of the realized grid profit that is added to the sizes, spread over all levels."""
    by_volatility: bool = True
    """Whether sizes shrink when the ATR is high: x max(0.1, 1 - 50 x ATR / price)."""


@attrs.frozen(kw_only=True)
class LimitsConfig:
    """What the bot may never exceed, and what it does when a limit is hit. A limit that is not set is off."""

    max_open_orders: Annotated[int, AtLeast(2), AtMost(10_000)] | None = None
    """Orders that may rest at most. By default nine tenths of what the exchange allows on the symbol."""
    max_inventory: Positive | None = None
    """Largest position in either direction, in base units, if every order that rests or is on its way were filled."""
    max_notional: Positive | None = None
    """Largest notional in quote units: inventory at entry and openings at their prices."""
    stop_loss: Positive | None = None
    """Price at which the grid gives up."""
    take_profit: Positive | None = None
    """Price at which the grid is content and stops opening."""
    trigger_price: Positive | None = None
    """Price that must be reached once before the first level is opened."""
    max_drawdown: Positive | None = None
    """Largest fall from the highest realized equity to the equity at the current price, in quote units."""
    on_limit: OnLimit = OnLimit.REDUCE
    """`reduce` cancels openings and lets the exits work; `flatten` also closes all inventory at market."""
    on_stop_loss: OnLimit = OnLimit.FLATTEN
    """The same for the stop-loss."""


@attrs.frozen(kw_only=True)
class RegimeConfig:
    """Readings of the market that stop openings. Exits are never stopped by them."""

    trend_filter: bool = True
    """No new shorts in a BULL market, no new buys in a BEAR market."""
    liquidity_filter: bool = True
    """No openings while the market is THIN."""
    anomaly_brake: bool = True
    """No new buys while the price falls below its average on heavy volume, on the majority of the watched symbols."""
    watch_symbols: Annotated[tuple[str, ...], WatchedSymbols] = ()
    """Symbols that the anomaly brake watches beside the traded one, which it always watches. One whose klines are not
    all there has no vote; the embedded exchange gives each a synthetic market of its own."""
    rsi_period: Annotated[int, AtLeast(2), AtMost(99)] = 14
    """Period of Wilder's RSI; all periods and counts are closed 1-minute klines."""
    bull_above_rsi: Annotated[int, AtLeast(50), AtMost(100)] = 70
    """The market is BULL when the RSI is above this."""
    bear_below_rsi: Annotated[int, AtLeast(1), AtMost(50)] = 30
    """The market is BEAR when the RSI is below this."""
    atr_period: Annotated[int, AtLeast(2), AtMost(50)] = 14
    """Period of Wilder's ATR."""
    average_klines: Annotated[int, AtLeast(2), AtMost(50)] = 50
    """Number of klines over which the averages of ATR and volume are taken."""
    high_enter: Factor = Decimal("1.5")
    """Volatility becomes HIGH when the ATR is above its average times this."""
    high_leave: Factor = Decimal("1.2")
    """It is NORMAL again when the ATR is below its average times this."""
    volume_klines: Annotated[int, AtLeast(1), AtMost(50)] = 5
    """Number of klines whose mean volume is compared with the average: a single minute is noise."""
    thin_enter: Factor = Decimal("0.2")
    """The market becomes THIN when the volume is below its average times this."""
    thin_leave: Factor = Decimal("0.35")
    """It is NORMAL again when the volume is above its average times this."""
    dwell_klines: Annotated[int, AtLeast(1), AtMost(99)] = 5
    """How many klines HIGH and THIN last at least."""
    brake_klines: Annotated[int, AtLeast(2), AtMost(100)] = 20
    """Number of klines over which the averages of the anomaly brake are taken."""
    brake_volume: Factor = Decimal(3)
    """The brake closes when the price is below its average and the volume above its average times this."""
    brake_release_klines: Annotated[int, AtLeast(1), AtMost(99)] = 5
    """The brake is released after so many klines in a row without an anomaly."""


@attrs.frozen(kw_only=True)
class RiskConfig:
    """How long the bot trusts what it knows, and how long it waits."""

    price_stale_s: Seconds = 10.0
    """Age of the last price above which nothing is opened and resting openings are cancelled."""
    klines_stale_s: Seconds = 100.0
    """The same for klines, of which one closes each minute."""
    user_stream_silent_s: Seconds = 10.0
    """How long the user stream may say nothing after the exchange has answered an order request."""
    reconcile_interval_s: Seconds = 60.0
    """Time between two comparisons of the bot's books with the exchange's records."""
    startup_timeout_s: Annotated[float, AtLeast(0), AtMost(86_400)] = 60.0
    """How long an exchange that does not answer is waited for at start; 0: for ever."""
    shutdown_deadline_s: Annotated[float, AtLeast(1), AtMost(600)] = 20.0
    """How long stopping may take in all, the exit policy included."""


@attrs.frozen(kw_only=True)
class ExitConfig:
    """What happens when the bot stops."""

    policy: ExitPolicy = ExitPolicy.CANCEL_OPENING
    """`keep` leaves every order; `cancel-opening` cancels the openings and leaves the exits; `cancel-all` cancels all
    of the bot's own orders; `flatten` also closes its inventory at market. Orders of others are never touched."""


@attrs.frozen(kw_only=True)
class JournalConfig:
    """The bot's memory: one SQLite file for each grid."""

    path: Path = Path("var/journal.sqlite3")
    """The file, made if it does not exist; a relative path counts from the folder in which the bot is started."""


@attrs.frozen(kw_only=True)
class AccountConfig:
    """Settings of the exchange account. They are read and shown; what is set here is changed, and only when flat."""

    leverage: Annotated[int, AtLeast(1), AtMost(125)] | None = None
    """Leverage on the symbol."""
    margin_type: MarginType | None = None
    """How margin is shared between positions."""


@attrs.frozen(kw_only=True)
class Config:
    """All settings."""

    exchange: ExchangeConfig = attrs.Factory(ExchangeConfig)
    paper: PaperConfig = attrs.Factory(PaperConfig)
    grid: GridConfig
    size: SizeConfig
    limits: LimitsConfig = attrs.Factory(LimitsConfig)
    regime: RegimeConfig = attrs.Factory(RegimeConfig)
    risk: RiskConfig = attrs.Factory(RiskConfig)
    exit: ExitConfig = attrs.Factory(ExitConfig)
    journal: JournalConfig = attrs.Factory(JournalConfig)
    account: AccountConfig = attrs.Factory(AccountConfig)

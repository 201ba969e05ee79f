"""What the operator chose, in the domain's integer units. Made by `config` from the TOML file and the instrument."""

from __future__ import annotations

import enum

from trio_grid.domain.events import Event
from trio_grid.domain.instrument import MoneyUnits, PriceTicks, QuantityLots


class Mode(enum.StrEnum):
    """Which uses a slot may have."""

    LONG = "long"
    SHORT = "short"
    NEUTRAL = "neutral"


class Spacing(enum.StrEnum):
    """How the rungs of the lattice follow each other."""

    ARITHMETIC = "arithmetic"
    GEOMETRIC = "geometric"


class Trailing(enum.StrEnum):
    """Which way the window's centre may follow the price."""

    BOTH = "both"
    UP = "up"
    DOWN = "down"
    NONE = "none"


class OnLimit(enum.StrEnum):
    """What happens, after openings were cancelled, when a limit is hit."""

    REDUCE = "reduce"
    FLATTEN = "flatten"


class LatticeSettings(Event, frozen=True, kw_only=True):
    """The lattice's shape, fixed for the life of a journal.

    Arithmetic: p(k) = anchor + k x interval_ticks / interval_divisor, rounded once towards the anchor (the divisor is 1
    unless a fixed range asks for a fraction). Geometric: p(k) = anchor x ((1,000,000 + ratio_ppm) / 1,000,000)^k.
    `anchor_ticks` None means: the first price. `lowest_rung` and `highest_rung` bound a fixed range; None: unbounded.
    """

    spacing: Spacing
    interval_ticks: int = 0
    interval_divisor: int = 1
    ratio_ppm: int = 0
    anchor_ticks: PriceTicks | None = None
    lowest_rung: int | None = None
    highest_rung: int | None = None

    def __post_init__(self) -> None:
        if self.spacing is Spacing.ARITHMETIC and (self.interval_ticks < 1 or self.interval_divisor < 1):
            raise ValueError("LatticeSettings: an arithmetic lattice needs interval_ticks and interval_divisor >= 1")
        if self.spacing is Spacing.GEOMETRIC and self.ratio_ppm < 1:
            raise ValueError("LatticeSettings: a geometric lattice needs ratio_ppm >= 1")


class GridSettings(Event, frozen=True, kw_only=True):
    """Everything that a decision depends on beside state, price, time and order budget.

    Exactly one of `quote_per_level_units` and `base_per_level_lots` is set. Thousandths are named `_milli`.
    Thresholds that are None are off.
    """

    mode: Mode
    lattice: LatticeSettings
    levels_below: int
    levels_above: int
    trailing: Trailing = Trailing.BOTH
    skew_milli: int = 500
    """Shift of the reference price at full inventory, in thousandths of the interval."""
    centre_hysteresis_milli: int = 150
    """How far beyond half an interval the reference must go before the centre moves, in thousandths of the interval."""
    quote_per_level_units: MoneyUnits | None = None
    base_per_level_lots: QuantityLots | None = None
    compounding_milli: int = 0
    """Share of realized grid profit that is added to the level size, spread over all levels, in thousandths."""
    volatility_scale_milli: int = 0
    """Wanted interval as a multiple of ATR, in thousandths; 0 leaves the stride to the HIGH-volatility factor alone."""
    max_stride: int = 16
    stride_dwell_ms: int = 300_000
    max_open_orders: int = 180
    max_inventory_lots: QuantityLots | None = None
    max_notional_units: MoneyUnits | None = None
    stop_loss_ticks: PriceTicks | None = None
    take_profit_ticks: PriceTicks | None = None
    trigger_ticks: PriceTicks | None = None
    max_drawdown_units: MoneyUnits | None = None
    on_limit: OnLimit = OnLimit.REDUCE
    on_stop_loss: OnLimit = OnLimit.FLATTEN
    closings_post_only: bool = False
    use_trend_filter: bool = True
    use_liquidity_filter: bool = True
    use_anomaly_brake: bool = True
    size_by_volatility: bool = True
    recv_window_ms: int = 60_000
    """How long after its timestamp the exchange may still accept a request; the default is the longest there is."""

    def __post_init__(self) -> None:
        if (self.quote_per_level_units is None) == (self.base_per_level_lots is None):
            raise ValueError("GridSettings: exactly one of quote_per_level_units and base_per_level_lots is needed")
        if self.levels_below < 0 or self.levels_above < 0 or self.levels_below + self.levels_above < 1:
            raise ValueError("GridSettings: at least one level is needed")

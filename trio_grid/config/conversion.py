"""From the configuration's decimals to the domain's whole ticks, lots and units, for one instrument.

A value that is no whole number of ticks or lots is a fault, never rounded in silence; so is one that the instrument's
filters would refuse at every price. All faults are reported at once, with the paths of the settings.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

from trio_grid.config.schema import Closings, Config, GridConfig, RangeConfig
from trio_grid.domain.instrument import Instrument, MoneyUnits, NotRepresentable, PriceTicks, QuantityLots, money_units
from trio_grid.domain.lattice import ratio_for_range
from trio_grid.domain.regime import RegimeSettings
from trio_grid.domain.settings import GridSettings, LatticeSettings, Spacing
from trio_grid.errors import ConfigError

DEFAULT_LEVELS = 12
PPM_PER_PERCENT = 10_000
Number = TypeVar("Number", bound=int)


class Conversion:
    """One conversion: the instrument, and the faults found so far."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.faults: list[str] = []

    def refuse(self, path: str, value: object, allowed: str) -> None:
        """Note a fault."""
        self.faults.append(f"{path}: {value} is refused; allowed: {allowed}")

    def price(self, path: str, value: Decimal | None) -> PriceTicks | None:
        """Return a price in ticks that lies within the price filter; None stays None."""
        ticks = self.whole(path, value, self.instrument.price_ticks, f"whole ticks of {self.instrument.tick_size}")
        lowest, highest = self.instrument.min_price_ticks, self.instrument.max_price_ticks
        if ticks is not None and not lowest <= ticks <= highest:
            limits = f"{self.instrument.price(lowest)} to {self.instrument.price(highest)}, the price filter"
            self.refuse(path, value, f"{limits} of {self.instrument.symbol}")
        return ticks

    def lots(self, path: str, value: Decimal | None) -> QuantityLots | None:
        """Return a quantity in lots, at least the smallest order; None stays None."""
        lots = self.whole(path, value, self.instrument.quantity_lots, f"whole lots of {self.instrument.lot_size}")
        if lots is not None and lots < self.instrument.min_quantity_lots:
            smallest = self.instrument.quantity(self.instrument.min_quantity_lots)
            self.refuse(path, value, f"at least {smallest}, the smallest order of {self.instrument.symbol}")
        return lots

    def money(self, path: str, value: Decimal | None) -> MoneyUnits | None:
        """Return an amount in units of 1e-8; None stays None."""
        return self.whole(path, value, money_units, "at most 8 decimals")

    def whole(
        self, path: str, value: Decimal | None, convert: Callable[[Decimal], Number], allowed: str
    ) -> Number | None:
        """Return a converted value, or None where there is none or it is no whole number of its unit."""
        if value is None:
            return None
        try:
            return convert(value)
        except NotRepresentable:
            self.refuse(path, value, f"{allowed} ({self.instrument.symbol})")
            return None


def grid_settings(config: Config, instrument: Instrument) -> GridSettings:
    """Return what the domain needs to know of a configuration, in the instrument's whole units.

    Raises:
        ConfigError: a value does not fit the instrument's units and filters; all such faults at once.
    """
    conversion = Conversion(instrument)
    lattice = lattice_settings(config.grid, conversion)
    quote, base = level_size(config, conversion)
    limits, grid = config.limits, config.grid
    every_level = grid.levels or (grid.range.levels if grid.range is not None else DEFAULT_LEVELS)
    max_open_orders = open_order_limit(config, conversion)
    max_inventory_lots = conversion.lots("$.limits.max_inventory", limits.max_inventory)
    max_notional_units = conversion.money("$.limits.max_notional", limits.max_notional)
    stop_loss_ticks = conversion.price("$.limits.stop_loss", limits.stop_loss)
    take_profit_ticks = conversion.price("$.limits.take_profit", limits.take_profit)
    trigger_ticks = conversion.price("$.limits.trigger_price", limits.trigger_price)
    max_drawdown_units = conversion.money("$.limits.max_drawdown", limits.max_drawdown)
    if instrument.symbol != grid.symbol:
        conversion.refuse("$.grid.symbol", grid.symbol, f"{instrument.symbol}, the instrument that is traded")
    if conversion.faults or lattice is None:
        raise ConfigError(conversion.faults)
    return GridSettings(
        mode=grid.mode,
        recv_window_ms=config.exchange.recv_window_ms,
        lattice=lattice,
        levels_below=every_level if grid.levels_below is None else grid.levels_below,
        levels_above=every_level if grid.levels_above is None else grid.levels_above,
        trailing=grid.trailing,
        skew_milli=milli(grid.skew),
        centre_hysteresis_milli=milli(grid.centre_hysteresis),
        quote_per_level_units=quote,
        base_per_level_lots=base,
        compounding_milli=milli(config.size.compounding),
        volatility_scale_milli=milli(grid.volatility_scale),
        max_stride=grid.max_stride,
        stride_dwell_ms=grid.stride_dwell_s * 1000,
        max_open_orders=max_open_orders,
        max_inventory_lots=max_inventory_lots,
        max_notional_units=max_notional_units,
        stop_loss_ticks=stop_loss_ticks,
        take_profit_ticks=take_profit_ticks,
        trigger_ticks=trigger_ticks,
        max_drawdown_units=max_drawdown_units,
        on_limit=limits.on_limit,
        on_stop_loss=limits.on_stop_loss,
        closings_post_only=grid.closings is Closings.POST_ONLY,
        use_trend_filter=config.regime.trend_filter,
        use_liquidity_filter=config.regime.liquidity_filter,
        use_anomaly_brake=config.regime.anomaly_brake,
        size_by_volatility=config.size.by_volatility,
    )


def regime_settings(config: Config) -> RegimeSettings:
    """Return the thresholds of the regime classifier; what could be wrong with them was refused at loading."""
    regime = config.regime
    return RegimeSettings(
        rsi_period=regime.rsi_period,
        atr_period=regime.atr_period,
        bull_above_rsi=regime.bull_above_rsi,
        bear_below_rsi=regime.bear_below_rsi,
        average_klines=regime.average_klines,
        high_enter_milli=milli(regime.high_enter),
        high_leave_milli=milli(regime.high_leave),
        volume_klines=regime.volume_klines,
        thin_enter_milli=milli(regime.thin_enter),
        thin_leave_milli=milli(regime.thin_leave),
        dwell_klines=regime.dwell_klines,
        brake_klines=regime.brake_klines,
        brake_volume_milli=milli(regime.brake_volume),
        brake_release_klines=regime.brake_release_klines,
    )


def lattice_settings(grid: GridConfig, conversion: Conversion) -> LatticeSettings | None:
    """Return the lattice's shape, or None after noting why there is none."""
    if grid.range is not None:
        return range_settings(grid.range, grid.spacing, conversion)
    anchor_ticks = conversion.price("$.grid.anchor", grid.anchor)
    if grid.spacing is Spacing.GEOMETRIC:
        if grid.interval_percent is None:
            conversion.refuse("$.grid.interval_percent", "nothing", "a number, with geometric spacing")
            return None
        ratio_ppm = int(grid.interval_percent * PPM_PER_PERCENT)
        return LatticeSettings(spacing=grid.spacing, ratio_ppm=ratio_ppm, anchor_ticks=anchor_ticks)
    tick = conversion.instrument.tick_size
    allowed = f"whole ticks of {tick}, at least one"
    interval_ticks = conversion.whole("$.grid.interval", grid.interval, conversion.instrument.price_ticks, allowed)
    if interval_ticks is None:
        return None
    return LatticeSettings(spacing=grid.spacing, interval_ticks=interval_ticks, anchor_ticks=anchor_ticks)


def range_settings(fixed: RangeConfig, spacing: Spacing, conversion: Conversion) -> LatticeSettings | None:
    """Return the shape of a lattice whose rung 0 is the range's lower end and whose last rung is its upper end."""
    lower = conversion.price("$.grid.range.lower", fixed.lower)
    upper = conversion.price("$.grid.range.upper", fixed.upper)
    if lower is None or upper is None:
        return None
    if upper - lower < fixed.levels:
        most = f"at most {upper - lower}, so that each cell is one tick of {conversion.instrument.tick_size} wide"
        conversion.refuse("$.grid.range.levels", fixed.levels, most)
        return None
    if spacing is Spacing.ARITHMETIC:
        common = math.gcd(upper - lower, fixed.levels)
        return LatticeSettings(
            spacing=spacing,
            interval_ticks=(upper - lower) // common,
            interval_divisor=fixed.levels // common,
            anchor_ticks=lower,
            lowest_rung=0,
            highest_rung=fixed.levels,
        )
    try:
        ratio_ppm = ratio_for_range(lower, upper, fixed.levels)
    except ValueError:
        conversion.refuse("$.grid.range.levels", fixed.levels, "fewer, so that each cell is wider by a millionth")
        return None
    return LatticeSettings(
        spacing=spacing, ratio_ppm=ratio_ppm, anchor_ticks=lower, lowest_rung=0, highest_rung=fixed.levels
    )


def level_size(config: Config, conversion: Conversion) -> tuple[MoneyUnits | None, QuantityLots | None]:
    """Return the size of a level as (quote units, None) or (None, base lots), after noting what no filter passes."""
    instrument, size = conversion.instrument, config.size
    quote = conversion.money("$.size.quote_per_level", size.quote_per_level)
    if quote is not None and quote < instrument.min_notional_units:
        smallest = MoneyUnits(instrument.min_notional_units)
        words = f"at least {in_quote(smallest)}, the minimum notional of {instrument.symbol}"
        conversion.refuse("$.size.quote_per_level", size.quote_per_level, words)
    base = conversion.lots("$.size.base_per_level", size.base_per_level)
    if base is None:
        return quote, None
    if base > instrument.max_quantity_lots:
        words = f"at most {instrument.quantity(instrument.max_quantity_lots)}, the largest order of {instrument.symbol}"
        conversion.refuse("$.size.base_per_level", size.base_per_level, words)
    # Only a fixed range has a highest price; elsewhere `trio-grid check` judges the ladder at the price of the moment.
    if config.grid.range is not None:
        highest = instrument.floor_price_ticks(config.grid.range.upper)
        if instrument.notional_units(highest, base) < instrument.min_notional_units:
            words = f"more: at no price of the range it reaches {in_quote(instrument.min_notional_units)}"
            conversion.refuse("$.size.base_per_level", size.base_per_level, f"{words}, the minimum notional")
    return quote, base


def open_order_limit(config: Config, conversion: Conversion) -> int:
    """Return how many orders may rest: the setting, or nine tenths of the exchange's own limit."""
    most = conversion.instrument.max_open_orders
    wanted = config.limits.max_open_orders
    if wanted is None:
        # The reserve is for orders of the operator, and for closings that must be placed while openings still rest.
        return max(2, most * 9 // 10)
    if wanted > most:
        words = f"at most {most}, the filter of {conversion.instrument.symbol}"
        conversion.refuse("$.limits.max_open_orders", wanted, words)
    return wanted


def in_quote(units: MoneyUnits) -> str:
    """Return money as the user writes it, without trailing zeros."""
    text = f"{Decimal(units).scaleb(-8):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def milli(value: Decimal) -> int:
    """Return a decimal of at most three places in thousandths."""
    return int(value * 1000)

"""From decimals to ticks, lots and units; what does not fit the instrument is refused, all at once."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_grid.config import ConfigError, grid_settings, parse_config
from trio_grid.domain.instrument import Instrument, MoneyUnits, PriceTicks, QuantityLots
from trio_grid.domain.lattice import Lattice
from trio_grid.domain.settings import GridSettings, LatticeSettings, Mode, OnLimit, Spacing, Trailing
from trio_grid.testing.instruments import BTCUSDT

SMALLEST = '[grid]\nsymbol = "BTCUSDT"\n{spacing}\n[size]\n{size}\n'


def converted(
    *overrides: str,
    spacing: str = "interval = 30",
    size: str = "quote_per_level = 200",
    instrument: Instrument = BTCUSDT,
) -> GridSettings:
    text = SMALLEST.replace("{spacing}", spacing).replace("{size}", size)
    return grid_settings(parse_config(text, overrides), instrument)


def test_everything_is_converted_exactly() -> None:
    settings = converted(
        "grid.mode=neutral", "grid.interval=12.30", "grid.levels_below=7", "grid.levels_above=0", "grid.anchor=60000.1",
        "grid.trailing=up", "grid.skew=0.25", "grid.centre_hysteresis=0.125", "grid.volatility_scale=1.5",
        "grid.max_stride=8", "grid.stride_dwell_s=60", "grid.closings=post-only", "size.quote_per_level=123.45678901",
        "size.compounding=0.5", "size.by_volatility=false", "limits.max_open_orders=100", "limits.max_inventory=0.123",
        "limits.max_notional=5000", "limits.stop_loss=5000", "limits.take_profit=7000.5", "limits.trigger_price=61000",
        "limits.max_drawdown=100.5", "limits.on_limit=flatten", "limits.on_stop_loss=reduce",
        "regime.trend_filter=false", "regime.liquidity_filter=false", "regime.anomaly_brake=false",
    )  # fmt: skip
    assert settings == GridSettings(
        recv_window_ms=5_000,
        mode=Mode.NEUTRAL,
        lattice=LatticeSettings(spacing=Spacing.ARITHMETIC, interval_ticks=123, anchor_ticks=PriceTicks(600_001)),
        levels_below=7,
        levels_above=0,
        trailing=Trailing.UP,
        skew_milli=250,
        centre_hysteresis_milli=125,
        quote_per_level_units=MoneyUnits(12_345_678_901),
        compounding_milli=500,
        volatility_scale_milli=1500,
        max_stride=8,
        stride_dwell_ms=60_000,
        max_open_orders=100,
        max_inventory_lots=QuantityLots(123),
        max_notional_units=MoneyUnits(5000 * 10**8),
        stop_loss_ticks=PriceTicks(50_000),
        take_profit_ticks=PriceTicks(70_005),
        trigger_ticks=PriceTicks(610_000),
        max_drawdown_units=MoneyUnits(10_050_000_000),
        on_limit=OnLimit.FLATTEN,
        on_stop_loss=OnLimit.REDUCE,
        closings_post_only=True,
        use_trend_filter=False,
        use_liquidity_filter=False,
        use_anomaly_brake=False,
        size_by_volatility=False,
    )


def test_settings_that_are_not_given_take_the_domain_s_own_defaults() -> None:
    settings = converted()
    plain = GridSettings(
        recv_window_ms=5_000,
        mode=Mode.LONG,
        lattice=LatticeSettings(spacing=Spacing.ARITHMETIC, interval_ticks=300),
        levels_below=12,
        levels_above=12,
        quote_per_level_units=MoneyUnits(200 * 10**8),
    )
    assert settings == plain


def test_the_default_of_open_orders_leaves_a_reserve_of_the_exchange_s_limit() -> None:
    assert converted().max_open_orders == 180
    assert converted(instrument=msgspec.structs.replace(BTCUSDT, max_open_orders=50)).max_open_orders == 45


def test_a_geometric_interval_becomes_parts_per_million() -> None:
    settings = converted("grid.spacing=geometric", "grid.interval_percent=0.2512", spacing="")
    assert settings.lattice == LatticeSettings(spacing=Spacing.GEOMETRIC, ratio_ppm=2512)


def fixed_range(lower: str, upper: str, levels: int, *overrides: str) -> GridSettings:
    spacing = f"[grid.range]\nlower = {lower}\nupper = {upper}\nlevels = {levels}"
    return converted(*overrides, spacing=spacing)


@given(
    st.integers(min_value=5_568, max_value=1_000_000),
    st.integers(min_value=1, max_value=1_000_000),
    st.integers(min_value=1, max_value=300),
    st.sampled_from(Spacing),
)
def test_a_fixed_range_ends_at_its_two_prices(lower: int, width: int, levels: int, spacing: Spacing) -> None:
    prices = str(BTCUSDT.price(lower)), str(BTCUSDT.price(lower + width))
    narrow = width < levels
    if spacing is Spacing.GEOMETRIC:
        narrow = narrow or Lattice(LatticeSettings(spacing=spacing, ratio_ppm=1), lower).price(levels) > lower + width
    if narrow:
        with pytest.raises(ConfigError, match=rf"\$\.grid\.range\.levels: {levels} is refused"):
            fixed_range(*prices, levels, f"grid.spacing={spacing}")
        return
    settings = fixed_range(*prices, levels, f"grid.spacing={spacing}")
    lattice = Lattice(settings.lattice, lower)
    assert (settings.lattice.anchor_ticks, settings.levels_below, settings.levels_above) == (lower, levels, levels)
    assert (settings.lattice.lowest_rung, settings.lattice.highest_rung) == (0, levels)
    assert lattice.price(0) == lower
    if spacing is Spacing.ARITHMETIC:
        assert lattice.price(levels) == lower + width
    else:
        # A ratio of whole millionths: one more would pass the upper end.
        assert lattice.price(levels) <= lower + width
        more = msgspec.structs.replace(settings.lattice, ratio_ppm=settings.lattice.ratio_ppm + 1)
        assert Lattice(more, lower).price(levels) > lower + width


def test_a_narrower_window_of_a_fixed_range_may_be_asked_for() -> None:
    settings = fixed_range("50000", "60000", 100, "grid.levels=10", "grid.levels_above=3")
    assert (settings.levels_below, settings.levels_above) == (10, 3)


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (
            ["grid.interval=0.05"],
            "$.grid.interval: 0.05 is refused; allowed: whole ticks of 0.10, at least one (BTCUSDT)",
        ),
        (["grid.interval=30.25"], "$.grid.interval: 30.25 is refused; allowed: whole ticks of 0.10"),
        (["grid.anchor=60000.05"], "$.grid.anchor: 60000.05 is refused; allowed: whole ticks of 0.10 (BTCUSDT)"),
        (
            ["grid.anchor=500"],
            "$.grid.anchor: 500 is refused; allowed: 556.80 to 4529764.00, the price filter of BTCUSDT",
        ),
        (["limits.stop_loss=4529764.1"], "$.limits.stop_loss: 4529764.1 is refused; allowed: 556.80 to 4529764.00"),
        (["limits.take_profit=60000.01"], "$.limits.take_profit: 60000.01 is refused; allowed: whole ticks of 0.10"),
        (["limits.trigger_price=1"], "$.limits.trigger_price: 1 is refused; allowed: 556.80 to"),
        (["size.quote_per_level=49.99"], "$.size.quote_per_level: 49.99 is refused; allowed: at least 50, the minimum"),
        (
            ["size.quote_per_level=100.123456789"],
            "$.size.quote_per_level: 100.123456789 is refused; allowed: at most 8",
        ),
        (["limits.max_drawdown=0.000000001"], "$.limits.max_drawdown: 1E-9 is refused; allowed: at most 8 decimals"),
        (["limits.max_inventory=0.0005"], "$.limits.max_inventory: 0.0005 is refused; allowed: whole lots of 0.001"),
        (["limits.max_open_orders=201"], "$.limits.max_open_orders: 201 is refused; allowed: at most 200, the filter"),
        (["grid.symbol=ETHUSDT"], "$.grid.symbol: ETHUSDT is refused; allowed: BTCUSDT, the instrument that is traded"),
    ],
)
def test_what_does_not_fit_the_instrument_is_refused(overrides: list[str], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        converted(*overrides)
    (found,) = caught.value.faults
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("size", "fault"),
    [
        ("base_per_level = 0.0015", "$.size.base_per_level: 0.0015 is refused; allowed: whole lots of 0.001"),
        ("base_per_level = 1000.001", "$.size.base_per_level: 1000.001 is refused; allowed: at most 1000.000"),
        (
            "base_per_level = 0.002",
            "$.size.base_per_level: 0.002 is refused; allowed: at least 0.005, the smallest order",
        ),
    ],
)
def test_a_base_size_that_no_order_may_have_is_refused(size: str, fault: str) -> None:
    smallest = QuantityLots(5 if "smallest" in fault else 1)
    with pytest.raises(ConfigError) as caught:
        converted(size=size, instrument=msgspec.structs.replace(BTCUSDT, min_quantity_lots=smallest))
    (found,) = caught.value.faults
    assert found.startswith(fault)


def test_a_base_size_below_the_minimum_notional_of_the_whole_range_is_refused() -> None:
    spacing = "[grid.range]\nlower = 10000\nupper = 40000\nlevels = 10"
    with pytest.raises(
        ConfigError, match=r"\$\.size\.base_per_level: 0\.001 is refused; allowed: more: at no price of"
    ):
        converted(spacing=spacing, size="base_per_level = 0.001")
    assert converted(spacing=spacing, size="base_per_level = 0.002").base_per_level_lots == 2


def test_all_faults_of_the_conversion_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        converted("grid.interval=0.01", "size.quote_per_level=1", "limits.stop_loss=1", "limits.max_inventory=0.0001")
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [
        "$.grid.interval",
        "$.size.quote_per_level",
        "$.limits.max_inventory",
        "$.limits.stop_loss",
    ]


@pytest.mark.parametrize(
    ("levels", "spacing", "fault"),
    [
        (11, "arithmetic", "$.grid.range.levels: 11 is refused; allowed: at most 10, so that each cell is one tick"),
        (
            10,
            "geometric",
            "$.grid.range.levels: 10 is refused; allowed: fewer, so that each cell is wider by a millionth",
        ),
    ],
)
def test_a_range_too_narrow_for_its_levels_is_refused(levels: int, spacing: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        fixed_range("4000000", "4000001", levels, f"grid.spacing={spacing}")
    assert caught.value.faults[0].startswith(fault)

"""The thresholds of the regime classifier: defaults of one house, and no combination that the domain refuses."""

from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_grid.config import Config, ConfigError, parse_config, regime_settings
from trio_grid.config.schema import RegimeConfig
from trio_grid.config.structure import unwrapped
from trio_grid.domain.regime import RegimeSettings

SMALLEST = '[grid]\nsymbol = "BTCUSDT"\ninterval = 30\n[size]\nquote_per_level = 200\n'
NUMBERS = [field.name for field in attrs.fields(RegimeConfig) if unwrapped(field.type)[0] in (int, Decimal)]


def test_the_defaults_are_the_domain_s_own() -> None:
    assert regime_settings(parse_config(SMALLEST)) == RegimeSettings()


def test_every_threshold_reaches_the_domain() -> None:
    values = {
        "rsi_period": 10, "bull_above_rsi": 75, "bear_below_rsi": 20, "atr_period": 11, "average_klines": 40,
        "high_enter": "2.5", "high_leave": "2.125", "volume_klines": 4, "thin_enter": "0.1", "thin_leave": "0.2",
        "dwell_klines": 3, "brake_klines": 30, "brake_volume": "4.5", "brake_release_klines": 7,
    }  # fmt: skip
    assert values.keys() == set(NUMBERS)
    settings = regime_settings(parse_config(SMALLEST, [f"regime.{name}={value}" for name, value in values.items()]))
    for name, value in values.items():
        if isinstance(value, str):
            assert getattr(settings, f"{name}_milli") == Decimal(value) * 1000
        else:
            assert getattr(settings, name) == value


@given(st.fixed_dictionaries({}, optional={name: st.integers(min_value=0, max_value=120) for name in NUMBERS}))
def test_what_is_loaded_is_never_refused_by_the_domain(values: dict[str, int]) -> None:
    try:
        config = parse_config(SMALLEST, [f"regime.{name}={value}" for name, value in values.items()])
    except ConfigError:
        return
    assert isinstance(regime_settings(config), RegimeSettings)


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("high_leave=1.6", "$.regime.high_leave: 1.6 is refused; allowed: at most high_enter 1.5"),
        ("thin_leave=0.1", "$.regime.thin_leave: 0.1 is refused; allowed: at least thin_enter 0.2"),
        ("average_klines=4", "$.regime.volume_klines: 5 is refused; allowed: at most average_klines 4"),
        ("brake_volume=0.0001", "$.regime.brake_volume: 0.0001 is refused; allowed: a number, at least 0.001"),
    ],
)
def test_thresholds_that_cannot_be_are_refused(override: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(SMALLEST, [f"regime.{override}"])
    assert caught.value.faults[0].startswith(fault)


def watching(words: str, *overrides: str) -> Config:
    return parse_config(SMALLEST, [f"regime.watch_symbols={words}", *overrides])


def test_symbols_to_watch_are_a_list_and_there_are_none_by_default() -> None:
    assert parse_config(SMALLEST).regime.watch_symbols == ()
    assert watching('["ETHUSDT", "SOLUSDT"]').regime.watch_symbols == ("ETHUSDT", "SOLUSDT")
    assert watching("[]").regime.watch_symbols == ()


@pytest.mark.parametrize(
    ("words", "overrides", "told"),
    [
        ('"ETHUSDT"', [], '"ETHUSDT" is refused; allowed: a list of texts, symbols such as ETHUSDT, in capitals'),
        ("[1]", [], "a list is refused; allowed: a list of texts"),
        ('["ethusdt"]', [], '["ethusdt"] is refused; allowed: a list of texts, symbols such as ETHUSDT'),
        ('["ETHUSDT", "ETHUSDT"]', [], "none twice, at most 9"),
        (str([f"COIN{n}USDT" for n in range(10)]).replace("'", '"'), [], "none twice, at most 9"),
        ('["BTCUSDT"]', [], "allowed: symbols other than BTCUSDT, which is always watched"),
        ('["ETHUSDT"]', ["regime.anomaly_brake=false"], "allowed: only with anomaly_brake = true"),
        ('["ETHUSDT"]', ["paper.market=btc.csv"], "allowed: none with paper.market"),
    ],
)
def test_what_cannot_be_watched_is_refused_with_its_path(words: str, overrides: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        watching(words, *overrides)
    assert "$.regime.watch_symbols: " in str(caught.value)
    assert told in str(caught.value)

"""The configurations that come with the project can be used as they are."""

from decimal import Decimal
from pathlib import Path

import pytest

from trio_grid.config import Config, ExchangeKind, KeyType, grid_settings, load_config
from trio_grid.domain.instrument import RATE_SCALE
from trio_grid.domain.lattice import Lattice
from trio_grid.domain.settings import Mode
from trio_grid.testing.instruments import BTCUSDT

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
NAMES = ["paper", "replay", "neutral", "binance-usdm-testnet", "binance-usdm"]


def load(name: str) -> Config:
    return load_config(CONFIGS / f"{name}.toml")


def test_every_configuration_of_the_folder_is_looked_at() -> None:
    assert sorted(path.stem for path in CONFIGS.glob("*.toml")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_fits_the_instrument_and_earns_its_fees(name: str) -> None:
    config = load(name)
    settings = grid_settings(config, BTCUSDT)
    assert settings.max_inventory_lots is not None
    assert settings.max_drawdown_units is not None
    maker_fee_rate = BTCUSDT.maker_fee_rate
    if config.exchange.kind is ExchangeKind.PAPER:
        maker_fee_rate = int(config.paper.maker_fee * RATE_SCALE)
    lattice = Lattice(settings.lattice, 600_000)
    rungs = range(-settings.levels_below, settings.levels_above)
    assert all(lattice.cell_is_viable(rung, 1, maker_fee_rate) for rung in rungs)
    assert settings.quote_per_level_units is not None
    assert settings.quote_per_level_units > 2 * BTCUSDT.min_notional_units


def test_each_configuration_has_a_journal_of_its_own() -> None:
    journals = [load(name).journal.path for name in NAMES]
    assert len(set(journals)) == len(NAMES)
    assert all(path.parent == Path("var") for path in journals)


def test_the_default_is_the_paper_configuration_to_the_byte() -> None:
    packaged = Path(__file__).resolve().parents[2] / "trio_grid" / "config" / "paper.toml"
    assert packaged.read_bytes() == (CONFIGS / "paper.toml").read_bytes()
    assert load_config() == load("paper")


def test_the_paper_configurations_need_no_key() -> None:
    for name in ("paper", "neutral", "replay"):
        exchange = load(name).exchange
        assert exchange.kind is ExchangeKind.PAPER
        assert (exchange.key_env, exchange.secret_env, exchange.key_file) == (None, None, None)
    assert load("neutral").grid.mode is Mode.NEUTRAL
    assert load("replay").paper.market is not None


def test_the_real_exchange_is_reached_over_tls_with_keys_from_the_environment() -> None:
    real, test = load("binance-usdm").exchange, load("binance-usdm-testnet").exchange
    assert (real.rest_url, real.ws_url, real.ws_api_url) == (
        "https://fapi.binance.com",
        "wss://fstream.binance.com",
        "wss://ws-fapi.binance.com/ws-fapi/v1",
    )
    assert (test.rest_url, test.ws_url, test.ws_api_url) == (
        "https://demo-fapi.binance.com",
        "wss://demo-fstream.binance.com",
        "wss://testnet.binancefuture.com/ws-fapi/v1",
    )
    for exchange in (real, test):
        assert exchange.key_type is KeyType.HMAC
        assert exchange.key_env
        assert exchange.secret_env
    assert {real.key_env, real.secret_env}.isdisjoint({test.key_env, test.secret_env})


def test_what_real_money_may_do_at_worst_is_bounded() -> None:
    limits = load("binance-usdm").limits
    assert limits.max_inventory == Decimal("0.02")
    assert limits.max_notional == Decimal(2500)
    assert limits.max_drawdown == Decimal(150)

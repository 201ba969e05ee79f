"""The units of recorded data: whatever decimals a file has, an instrument fits it or the file is refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from trio_grid.errors import ConfigError
from trio_grid.exchange.paper.engine.symbols import default_instrument
from trio_grid.exchange.paper.market_files import open_recording, replay_market

MINUTE_MS = 60_000
START_MS = 1_700_000_040_000


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "APEUSDT", "PEPEUSDT"])
def test_every_number_of_decimals_gives_units_whose_product_is_whole_money(symbol: str) -> None:
    for price_decimals, quantity_decimals in itertools.product(range(9), repeat=2):
        instrument = default_instrument(symbol, price_decimals, quantity_decimals)
        assert instrument.tick_lot_units >= 1
        assert 1 <= instrument.min_quantity_lots <= instrument.max_quantity_lots
        # A price is never cut; a quantity may be, since it only says how much strangers traded.
        assert instrument.tick_size.scaleb(price_decimals) <= 1


def kline(minute: int, price: str, quantity: str) -> str:
    open_ms = START_MS + minute * MINUTE_MS
    return f"{open_ms},{price},{price},{price},{price},{quantity},{open_ms + MINUTE_MS - 1},0,1,0,0,0\n"


def test_fine_prices_and_fine_quantities_together_are_replayed(tmp_path: Path) -> None:
    path = tmp_path / "XYZUSDT-1m.csv"
    path.write_text("".join(kline(minute, "1.234567", "10.1234") for minute in range(10)))
    market = replay_market(open_recording([path]))
    rows = [row for _ in range(3) for row in market.step().trades]
    assert rows
    assert {row.price_ticks for row in rows} == {1_234_567}


@pytest.mark.parametrize("text", ["1e400", "1e999999999", "1E+31"])
def test_a_number_beyond_all_markets_is_a_fault_of_the_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m.csv"
    path.write_text(kline(0, "60000", "1") + kline(1, text, "1"))
    with pytest.raises(ConfigError, match=r"line 2, field open"):
        replay_market(open_recording([path]))

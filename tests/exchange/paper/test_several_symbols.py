"""An exchange with several synthetic markets: each moves by itself, and all of it repeats from one seed."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from trio_grid.errors import ConfigError
from trio_grid.exchange.paper.build import build_exchange
from trio_grid.exchange.paper.engine.exchange import PaperExchange
from trio_grid.exchange.paper.engine.persistence import exchange_document

START_MS = 1_750_000_020_000
MINUTE_MS = 60_000


def exchange(seed: int = 1, *further: str) -> PaperExchange:
    built = build_exchange(start_ms=START_MS, seed=seed, history_minutes=30, further=further or ("ETHUSDT", "SOLUSDT"))
    built.advance(START_MS + 5 * MINUTE_MS)
    return built


def returns(built: PaperExchange, symbol: str) -> list[float]:
    query = {"symbol": symbol, "interval": "1m", "limit": "30"}
    closes = [float(row[4]) for row in built.klines(query, START_MS + 5 * MINUTE_MS)]
    return [later / earlier - 1 for earlier, later in itertools.pairwise(closes)]


def test_every_symbol_has_a_market_of_its_own_that_repeats() -> None:
    one, same, other = exchange(1), exchange(1), exchange(2)
    assert one.symbols == ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    moves = {symbol: returns(one, symbol) for symbol in one.symbols}
    assert len(set(map(tuple, moves.values()))) == 3
    btc, eth = moves["BTCUSDT"], moves["ETHUSDT"]
    together = sum((a > 0) == (b > 0) for a, b in zip(btc, eth, strict=True))
    assert together < len(btc), "the markets are copies of each other"
    assert exchange_document(one) == exchange_document(same) != exchange_document(other)


def test_the_first_market_is_what_it_is_alone() -> None:
    alone = build_exchange(start_ms=START_MS, history_minutes=30)
    alone.advance(START_MS + 5 * MINUTE_MS)
    assert returns(alone, "BTCUSDT") == returns(exchange(), "BTCUSDT")


def test_a_symbol_twice_or_beside_a_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="BTCUSDT is given twice"):
        exchange(1, "BTCUSDT")
    with pytest.raises(ConfigError, match="ETHUSDT: not with market files"):
        build_exchange(start_ms=START_MS, market_files=[tmp_path / "BTCUSDT-1m.csv"], further=["ETHUSDT"])

"""Owns the usual ways to put a paper exchange together: a synthetic market, or the replay of dump files.

It must never hold rules of the exchange itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trio_grid.domain.instrument import Instrument
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange
from trio_grid.exchange.paper.engine.symbols import default_instrument, paper_symbol
from trio_grid.exchange.paper.market.interface import Market
from trio_grid.exchange.paper.market.synthetic import SyntheticMarket, SyntheticSettings
from trio_grid.exchange.paper.market_files import open_recording, replay_market

START_PRICES = {"BTCUSDT": 60_000.0, "ETHUSDT": 3_000.0, "SOLUSDT": 150.0, "BNBUSDT": 600.0, "XRPUSDT": 0.6}
HISTORY_MINUTES = 180


def build_exchange(
    *,
    start_ms: int,
    seed: int = 1,
    accounts: Sequence[AccountSpec] = (),
    symbol: str | None = None,
    market_files: Sequence[Path] = (),
    fill_model: str = "queue",
    instrument: Instrument | None = None,
    history_minutes: int = HISTORY_MINUTES,
    begin_ms: int | None = None,
    start_price: float | None = None,
    settings: SyntheticSettings | None = None,
) -> PaperExchange:
    """Return an exchange with one market.

    Without `market_files` the market is synthetic and begins at `start_ms`; with them it is their replay, which begins
    at `begin_ms` of the recording, or `history_minutes` after its first row, and `start_ms` is not used.

    Raises:
        ConfigError: the market files cannot be used; it names file, line, field and value.
        KeyError: there is no fill model of that name.
    """
    market: Market
    if market_files:
        recording = open_recording(list(market_files), symbol=symbol, instrument=instrument)
        market = replay_market(recording, begin_ms=begin_ms, history_minutes=history_minutes, seed=seed)
        instrument = recording.instrument
    else:
        instrument = instrument or default_instrument(symbol or "BTCUSDT")
        market = SyntheticMarket(
            instrument,
            start_ms=start_ms,
            seed=seed,
            start_price=start_price or START_PRICES.get(instrument.symbol, 100.0),
            history_minutes=history_minutes,
            settings=settings,
        )
    return PaperExchange([(paper_symbol(instrument), market)], accounts=accounts, fill_model=fill_model)

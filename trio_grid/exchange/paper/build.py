"""Owns the usual ways to put a paper exchange together: a synthetic market, or the replay of dump files.

It must never hold rules of the exchange itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trio_grid.domain.instrument import Instrument
from trio_grid.errors import ConfigError
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange
from trio_grid.exchange.paper.engine.symbols import default_instrument, paper_symbol
from trio_grid.exchange.paper.market.interface import Market
from trio_grid.exchange.paper.market.synthetic import SyntheticMarket, SyntheticSettings
from trio_grid.exchange.paper.market_files import open_recording, replay_market

START_PRICES = {"BTCUSDT": 60_000.0, "ETHUSDT": 3_000.0, "SOLUSDT": 150.0, "BNBUSDT": 600.0, "XRPUSDT": 0.6}
HISTORY_MINUTES = 180
SEED_STRIDE = 1_000_003


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
    further: Sequence[str] = (),
) -> PaperExchange:
    """Return an exchange with one market, and a synthetic one for each of the `further` symbols.

    Without `market_files` the market is synthetic and begins at `start_ms`; with them it is their replay, which begins
    at `begin_ms` of the recording, or `history_minutes` after its first row, and `start_ms` is not used. A recording
    takes no further symbols: an invented market beside a recorded one would be taken for its neighbour.

    Raises:
        ConfigError: the market files cannot be used (it names file, line, field and value), or there are further
            symbols beside them, or a symbol twice.
        KeyError: there is no fill model of that name.
    """
    market: Market
    if market_files and further:
        raise ConfigError(
            [f"{', '.join(further)}: not with market files; allowed: one symbol, whose recording they are"]
        )
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
    markets = [(paper_symbol(instrument), market)]
    for number, name in enumerate(further, start=1):
        if name in [symbol.name for symbol, _ in markets]:
            raise ConfigError([f"the symbol {name} is given twice; allowed: each symbol once"])
        beside = default_instrument(name)
        # Markets of one seed would move together, step by step.
        synthetic = SyntheticMarket(
            beside,
            start_ms=start_ms,
            seed=seed + number * SEED_STRIDE,
            start_price=START_PRICES.get(name, 100.0),
            history_minutes=history_minutes,
            settings=settings,
        )
        markets.append((paper_symbol(beside), synthetic))
    return PaperExchange(markets, accounts=accounts, fill_model=fill_model)

"""The first minute of `run` without a configuration: orders at once, fills, and at least one completed round trip.

In memory and under MockClock, with the configuration, market character and account that `run` takes.
"""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
import trio

from trio_grid.cli.paper_host import market_character, paper_instrument
from trio_grid.config import Config, load_config
from trio_grid.domain.instrument import money_units
from trio_grid.exchange.binance.usdm_futures import Endpoints, open_usdm_futures
from trio_grid.exchange.paper.build import build_exchange
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange
from trio_grid.exchange.paper.engine.persistence import exchange_document, restore_exchange
from trio_grid.exchange.paper.server.server import DEFAULT_KEY, DEFAULT_SECRET
from trio_grid.exchange.protocol.signing import HmacSigner
from trio_grid.journal.sqlite_journal import open_journal
from trio_grid.services.run_report import RunReport
from trio_grid.services.stop_request import StopRequest
from trio_grid.supervisor import Bot, RunOptions
from trio_grid.testing.memory_network import MemoryNetwork
from trio_grid.testing.paper import START_MS, open_paper_exchange
from trio_grid.testing.seeded import seeded_run

ROOT = Path(__file__).resolve().parents[2]
FIRST_ORDER_WITHIN_S = 5.0
SEEDS = range(1, 11)


@attrs.frozen
class Minute:
    first_order_s: float
    report: RunReport


async def first_minute(config: Config, seed: int, folder: Path) -> Minute:
    """Run the bot for a minute on the embedded market of one seed."""
    paper = config.paper
    start_ms = START_MS + seed * 7_919
    exchange = build_exchange(
        start_ms=start_ms,
        seed=seed,
        accounts=[AccountSpec(name=DEFAULT_KEY, balance_units=money_units(paper.balance), leverage=paper.leverage)],
        symbol=config.grid.symbol,
        instrument=paper_instrument(config),
        start_price=float(paper.start_price),
        settings=market_character(float(paper.volatility)),
        fill_model=paper.fill_model.value,
    )
    stop = StopRequest()
    began, first_order_s = trio.current_time(), float("inf")
    async with open_paper_exchange(exchange, network=MemoryNetwork(), start_ms=start_ms, seed=seed) as served:
        urls = served.urls
        with open_journal(folder / f"{seed}.sqlite3") as journal:
            async with open_usdm_futures(
                Endpoints(urls.rest_url, urls.ws_url, urls.ws_api_url),
                HmacSigner(DEFAULT_KEY, DEFAULT_SECRET),
                connect=served.connector("bot"),
                wall_clock=lambda: served.now_ms() / 1000,
            ) as client:
                bot = Bot(
                    config,
                    RunOptions(venue="paper", checkpoint_in_place=True),
                    market=client,
                    execution=client,
                    journal=journal,
                    stop=stop,
                    jitter=lambda: 0.5,
                )
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(bot.run)
                    with trio.move_on_after(60):
                        while not exchange.account_of(DEFAULT_KEY).orders.get(config.grid.symbol):  # noqa: ASYNC110
                            await trio.sleep(0.05)
                        first_order_s = trio.current_time() - began
                    await trio.sleep_until(began + 60)
                    stop.request("a minute is over")
    assert bot.report is not None
    return Minute(first_order_s, bot.report)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper.toml", "neutral.toml"])
def test_the_first_minute_has_fills_and_round_trips(name: str, tmp_path: Path) -> None:
    config = load_config(ROOT / "configs" / name)
    for seed in SEEDS:
        minute = seeded_run(seed, lambda seed=seed: first_minute(config, seed, tmp_path))  # type: ignore[misc]
        assert minute.first_order_s < FIRST_ORDER_WITHIN_S, f"seed {seed}"
        assert minute.report.after.counters.fills >= 3, f"seed {seed}"
        assert minute.report.after.ledger.round_trips >= 1, f"seed {seed}"
        assert minute.report.tie_out.words == "yes", f"seed {seed}"


def minute_range(exchange: PaperExchange, from_ms: int, minutes: int) -> float:
    """Mean height of a minute of the market, in USDT."""
    rows = exchange.klines({"symbol": "BTCUSDT", "interval": "1m", "limit": str(minutes + 1)}, from_ms)[:-1]
    return sum(float(row[2]) - float(row[3]) for row in rows) / len(rows)


def test_volatility_multiplies_the_movements_and_may_change_between_two_runs() -> None:
    start_ms = START_MS // 60_000 * 60_000
    later_ms = start_ms + 10 * 60_000
    quiet = build_exchange(start_ms=start_ms, history_minutes=5, settings=market_character(0.5))
    lively = build_exchange(start_ms=start_ms, history_minutes=5, settings=market_character(2))
    for exchange in (quiet, lively):
        exchange.advance(later_ms)
    calm = minute_range(quiet, later_ms, 10)
    assert 3 < minute_range(lively, later_ms, 10) / calm < 5
    # The next run has another setting: the market goes on from its price, with other movements.
    restored = build_exchange(start_ms=start_ms, history_minutes=5, settings=market_character(2))
    restore_exchange(restored, exchange_document(quiet))
    price = {"symbol": "BTCUSDT"}
    assert restored.ticker_price(price, later_ms) == quiet.ticker_price(price, later_ms)
    restored.advance(later_ms + 10 * 60_000)
    assert minute_range(restored, later_ms + 10 * 60_000, 9) > 2.5 * calm

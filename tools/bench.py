"""Measure what the trading path costs on this machine: `python tools/bench.py [LEVELS...]`.

Medians of many repetitions in one process, in microseconds. Nothing is sent anywhere; the journal lies in a temporary
folder. Absolute figures belong to the machine, ratios travel: a price inside the quiet band has to stay far below a
decision, and neither may grow with the number of levels.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from trio_grid.config import load_config
from trio_grid.domain.events import BookTicker, Liquidity, RegimeReading, Trend, Volatility
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import Condition, JournalRecord, SessionStarted
from trio_grid.domain.instrument import MoneyUnits, PriceTicks
from trio_grid.domain.settings import GridSettings, LatticeSettings, Mode, Spacing
from trio_grid.exchange.interface import OrderBudget
from trio_grid.journal.sqlite_journal import open_journal
from trio_grid.manager import PositionManager
from trio_grid.testing.instruments import BTCUSDT

LEVELS = (10, 100, 1_000)
ROUNDS = 2_000
START_MS = 1_700_000_000_000
ANCHOR_TICKS = 600_000
INTERVAL_TICKS = 300
INSTRUMENT = msgspec.structs.replace(BTCUSDT, max_open_orders=10_000)


def median_us(action: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median time of an action in microseconds."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter_ns()
        action()
        times.append(time.perf_counter_ns() - begun)
    return statistics.median(times) / 1_000


def ticker(price_ticks: int) -> BookTicker:
    """Return a quote around a price."""
    return BookTicker(bid_ticks=PriceTicks(price_ticks), ask_ticks=PriceTicks(price_ticks + 1), time_ms=START_MS)


def manager_with(levels: int) -> tuple[PositionManager, list[JournalRecord]]:
    """Return a manager whose ladder of so many levels has just been placed, and the records that this made."""
    settings = GridSettings(
        mode=Mode.LONG,
        lattice=LatticeSettings(spacing=Spacing.ARITHMETIC, interval_ticks=INTERVAL_TICKS),
        levels_below=levels,
        levels_above=levels,
        quote_per_level_units=MoneyUnits(200 * 10**8),
        max_open_orders=9_000,
    )
    budget = OrderBudget(orders=10_000, refill_at_ms=START_MS)
    manager = PositionManager(GridState.fresh(), now_ms=lambda: START_MS, budget=lambda: budget)
    session = SessionStarted(bot_id="abcdef", session=1, instrument=INSTRUMENT, settings=settings, baseline_lots=0)
    reading = RegimeReading(
        close_time_ms=START_MS,
        trend=Trend.RANGE,
        volatility=Volatility.NORMAL,
        liquidity=Liquidity.NORMAL,
        brake=False,
        stale=False,
        atr_ticks=400,
        size_factor_milli=1_000,
        rsi_milli=50_000,
    )
    outcomes = [
        manager.start_session(session),
        manager.set_regime(reading),
        manager.set_condition(Condition.STARTING, False),
        manager.on_price(ticker(ANCHOR_TICKS)),
    ]
    return manager, [record for outcome in outcomes for record in outcome.records]


async def bench(levels: int) -> None:
    """Print the figures of one ladder. Nothing in it waits; the manager's lock asks for a task to belong to."""
    await trio.lowlevel.checkpoint()
    manager, records = manager_with(levels)
    quiet, above, below = ticker(ANCHOR_TICKS), ticker(ANCHOR_TICKS + 450), ticker(ANCHOR_TICKS - 450)

    def there_and_back() -> None:
        manager.on_price(above)
        manager.on_price(below)

    print(f"{levels} levels, {len(records)} records, image {len(manager.image()):,} bytes")
    print(f"  price inside the quiet band   {median_us(lambda: manager.on_price(quiet)):10.2f} us")
    print(f"  snapshot                      {median_us(manager.snapshot):10.2f} us")
    print(f"  image                         {median_us(manager.image, 20):10.2f} us")
    print(f"  price that moves the window   {median_us(there_and_back, 200) / 2:10.2f} us")
    with tempfile.TemporaryDirectory() as folder, open_journal(Path(folder) / "bench.sqlite3") as journal:
        times = []
        for record in records:
            begun = time.perf_counter_ns()
            journal.commit([record])
            times.append(time.perf_counter_ns() - begun)
    print(f"  journal commit, one record    {statistics.median(times) / 1_000:10.2f} us")


def main(arguments: list[str]) -> int:
    """Print the figures of each ladder."""
    print(f"reading the default configuration {median_us(load_config, 50):10.2f} us")
    for levels in [int(argument) for argument in arguments] or LEVELS:
        trio.run(bench, levels)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

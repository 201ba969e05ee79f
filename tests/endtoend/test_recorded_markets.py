"""The bot on recorded markets, replayed fast over real sockets: hard hours, an outage, all modes, spacings, trailings.

After each the books equal the account to the last digit, and replaying the journal derives every decision again. The
markets run at their speed, whatever the machine does: each test waits for what has to come, on a recording that goes on
far beyond the hours in question.
"""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from tests.endtoend.live import MINUTE_MS, RECORDED, at, cut, replay_config, trading, until_exchange
from tests.endtoend.processes import ROOT, command, started
from trio_grid.domain.slot import Role

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.slow,
    pytest.mark.recorded,
    pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded market data is not on this machine"),
]


@attrs.frozen
class Case:
    """Hours of recorded klines and one grid on them; the speed gives them about twelve seconds."""

    name: str
    source: str
    begin: str
    minutes: int
    grid: str
    speed: int = 1_200
    fills: int = 1
    """At least so many: how many there are depends on how much of the recording a busy machine lets the bot see."""


SPOT = "spot_1m/BTCUSDT-1m-{}.csv.gz"
CASES = [
    Case("long-arithmetic-both", "2022-09", "2022-09-21 17:00", 240, 'mode="long"\ninterval=40\ntrailing="both"'),
    Case("neutral-geometric-both", "2022-11", "2022-11-08 18:00", 240,
         'mode="neutral"\nspacing="geometric"\ninterval_percent=0.25\ntrailing="both"'),
    Case("short-geometric-both", "2022-11", "2022-11-08 18:30", 240,
         'mode="short"\nspacing="geometric"\ninterval_percent=0.2\ntrailing="both"'),
    Case("neutral-arithmetic-none", "2022-11", "2022-11-09 14:00", 240,
         'mode="neutral"\ninterval=30\ntrailing="none"'),
    Case("long-geometric-down", "2022-06", "2022-06-13 06:00", 240,
         'mode="long"\nspacing="geometric"\ninterval_percent=0.3\ntrailing="down"'),
    Case("short-arithmetic-up", "2022-06", "2022-06-13 13:00", 240,
         # In a fall a short grid that follows only upwards may find nobody to sell to.
         'mode="short"\ninterval=60\ntrailing="up"', fills=0),
    Case("short-geometric-none", "2022-09", "2022-09-21 17:00", 240,
         'mode="short"\nspacing="geometric"\ninterval_percent=0.25\ntrailing="none"'),
    Case("fixed-range-long", "2022-09", "2022-09-21 17:00", 240,
         'mode="long"\n[grid.range]\nlower=18000\nupper=20500\nlevels=50'),
    Case("fixed-range-neutral-geometric", "2022-11", "2022-11-08 18:00", 240,
         'mode="neutral"\nspacing="geometric"\n[grid.range]\nlower=16500\nupper=20500\nlevels=60'),
]  # fmt: skip
LEVELS = 12
REST = """
[size]
quote_per_level = 200
[limits]
max_inventory = 0.2
"""


def grid_of(case: Case) -> str:
    head, mark, fixed = case.grid.partition("[grid.range]")
    levels = "" if fixed else f"levels = {LEVELS}\n"
    return f'[grid]\nsymbol = "BTCUSDT"\n{levels}{head}\n{mark}{fixed}\n{REST}'


RESERVE_MINUTES = 1_440
"""What a recording holds beyond the hours in question, for a machine that is slow to start or to trade."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_hard_hours(case: Case, tmp_path: Path) -> None:
    source = RECORDED / SPOT.format(case.source)
    market = cut(source, tmp_path / "BTCUSDT-1m.csv", case.begin, case.minutes + RESERVE_MINUTES)
    config = replay_config(market, tmp_path / "journal.sqlite3", case.speed, grid_of(case))
    async with trading(config) as running:
        await until_exchange(running, at(case.begin) + (case.minutes - 2) * MINUTE_MS)
        await running.until(lambda: running.snapshot().counters.orders_placed > 0, "orders")
        await running.until(lambda: running.snapshot().counters.fills >= case.fills, "enough fills")
    assert running.report.after.trading_state == "ACTIVE"


async def test_perpetual_at_speed_60(tmp_path: Path) -> None:
    source = RECORDED / "usdm_1m/BTCUSDT-um-1m-2023-07.csv.gz"
    market = cut(source, tmp_path / "BTCUSDT-1m.csv", "2023-08-01 15:22", 20 + RESERVE_MINUTES)
    grid = '[grid]\nsymbol = "BTCUSDT"\ninterval = 15\nlevels = 10\n[size]\nquote_per_level = 300\n'
    config = replay_config(market, tmp_path / "journal.sqlite3", 60, grid)
    async with trading(config) as running:
        await running.until(lambda: running.snapshot().counters.fills >= 1, "a fill")


async def test_the_outage_of_2023_03_24_closes_the_door_and_opens_it_again(tmp_path: Path) -> None:
    # No trade from 11:28 on, and 12:40 to 13:59 is missing: at this speed four seconds without a price. The readings of
    # the regime are whole again when 100 minutes in a row have closed.
    market = cut(RECORDED / SPOT.format("2023-03"), tmp_path / "BTCUSDT-1m.csv", "2023-03-24 10:50", 2_000)
    grid = '[grid]\nsymbol = "BTCUSDT"\nmode = "neutral"\ninterval = 30\nlevels = 8\n[size]\nquote_per_level = 300\n'
    config = replay_config(market, tmp_path / "journal.sqlite3", 1_200, grid, "risk.price_stale_s=1")
    shut: dict[str, int] = {}

    async with trading(config) as running:
        await running.until(lambda: running.snapshot().counters.orders_placed > 0, "orders")

        def look(_: object) -> None:
            """Of each reason, remember the fewest openings that rested while it held."""
            now = running.snapshot()
            openings = sum(slot.order is not None and slot.order.role is Role.OPEN for slot in now.slots)
            for door in now.closed_doors:
                shut[door] = min(openings, shut.get(door, openings))

        assert running.bot.desk is not None
        running.bot.desk.dispatcher.watch(look)
        await running.until(lambda: shut.get("price is stale") == 0, "a stale price, and the openings cancelled")
        await running.until(lambda: shut.get("regime reading is stale") == 0, "a stale reading, and nothing opened")
        await until_exchange(running, at("2023-03-24 14:10"))
        placed = running.snapshot().counters.orders_placed
        await running.until(lambda: running.snapshot().counters.orders_placed > placed, "openings again")
    assert running.report.after.counters.cancels > 0


async def test_trades_of_another_symbol(tmp_path: Path) -> None:
    market = RECORDED / "aggtrades/futures-APEUSDT-aggTrades-2024-10-18.zip"
    grid = """
[grid]
symbol = "APEUSDT"
mode = "neutral"
spacing = "geometric"
interval_percent = 0.2
levels = 10
[size]
quote_per_level = 50
[regime]
trend_filter = false
liquidity_filter = false
"""
    config = replay_config(market, tmp_path / "journal.sqlite3", 3_600, grid)
    async with trading(config) as running:
        await running.until(lambda: running.snapshot().counters.fills >= 4, "fills")
        await running.until(lambda: running.snapshot().ledger.round_trips >= 1, "a round trip")


def test_the_replay_configuration_from_the_command_line(tmp_path: Path) -> None:
    market = cut(RECORDED / SPOT.format("2022-11"), tmp_path / "BTCUSDT-1m.csv", "2022-11-09 15:00", RESERVE_MINUTES)
    config = ROOT / "configs" / "replay.toml"
    journal = tmp_path / "replay.sqlite3"
    words = ("run", config, "--market", market, "--speed", 60, "--set", f'journal.path="{journal}"')
    with started(tmp_path, *words) as bot:
        bot.wait_for("kline subscription confirmed symbol=BTCUSDT interval=1m")
        bot.wait_for("INFO fill ")
        code, shown = bot.stop()
    assert code == 0
    assert "ties out: yes" in shown
    code, shown = command(tmp_path, "journal", "replay", journal)
    assert (code, "no difference" in shown) == (0, True), shown

"""The guide's example of a strategy runs, and does what the guide says."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.events import Liquidity, RegimeReading, Side, Trend, Volatility
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import Condition, ConditionChanged, Decision, LatticeAnchored, SessionStarted
from trio_grid.domain.instrument import MoneyUnits, PriceTicks
from trio_grid.domain.settings import GridSettings, LatticeSettings, Mode, Spacing
from trio_grid.domain.strategy import Strategy
from trio_grid.testing.instruments import BTCUSDT

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "how-to" / "write-a-strategy.md"
SETTINGS = GridSettings(
    mode=Mode.LONG,
    lattice=LatticeSettings(spacing=Spacing.ARITHMETIC, interval_ticks=500),
    levels_below=5,
    levels_above=5,
    quote_per_level_units=MoneyUnits(200 * 10**8),
)
ANCHOR = 600_000
CEILING = 601_000
"""Prices in ticks."""
START_MS = 1_700_000_000_000


def code_of(kind: str) -> str:
    """Return the guide's only piece of code of a kind that is more than one line of signature."""
    (code,) = re.findall(rf"```{kind}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[-1:]
    return str(code)


def ceiling() -> Strategy:
    """Return the strategy that the guide's code makes."""
    code = code_of("python")
    names: dict[str, Any] = {}
    exec(compile(code, str(GUIDE), "exec"), names)  # noqa: S102 - the guide's own text is what is tested
    strategy: Strategy = names["Ceiling"](CEILING)
    return strategy


def started() -> GridState:
    """Return a grid that may trade, with the guide's strategy."""
    state = GridState.fresh(strategy=ceiling())
    reading = RegimeReading(
        close_time_ms=START_MS,
        trend=Trend.RANGE,
        volatility=Volatility.NORMAL,
        liquidity=Liquidity.NORMAL,
        brake=False,
        stale=False,
        atr_ticks=400,
        size_factor_milli=1000,
        rsi_milli=50_000,
    )
    session = SessionStarted(bot_id="abcdef", session=1, instrument=BTCUSDT, settings=SETTINGS, baseline_lots=0)
    lifted = ConditionChanged(condition=Condition.STARTING, active=False)
    for entry in (session, LatticeAnchored(anchor_ticks=PriceTicks(ANCHOR)), reading, lifted):
        state.apply(entry, START_MS)
    return state


def decide(state: GridState, price_ticks: int, now_ms: int = START_MS) -> tuple[PlaceOrder | CancelOrder, ...]:
    """Return the actions of a decision at a price."""
    record = state.decide(2 * price_ticks, now_ms, 50, now_ms)
    if record is None:
        return ()
    assert isinstance(record.entry, Decision)
    return record.entry.actions


def test_nothing_is_opened_at_the_ceiling_and_the_ladder_comes_below_it() -> None:
    state = started()
    assert decide(state, CEILING) == ()
    actions = decide(state, CEILING - 1)
    assert len(actions) == SETTINGS.levels_below
    assert all(isinstance(action, PlaceOrder) and action.side is Side.BUY for action in actions)


@given(st.lists(st.integers(min_value=ANCHOR - 3_000, max_value=ANCHOR + 3_000), max_size=30))
def test_its_quiet_band_hides_no_decision(prices: list[int]) -> None:
    eager, lazy = started(), started()
    for price in prices:
        actions = decide(eager, price)
        band = lazy.band
        if band is not None and band.holds(2 * price, START_MS, lazy.sequence):
            assert actions == ()
        else:
            assert decide(lazy, price) == actions
    assert eager.image() == lazy.image()


@pytest.mark.sockets
def test_the_whole_program_runs_with_the_strategy_as_the_guide_says(tmp_path: Path) -> None:
    (tmp_path / "ceiling.py").write_text(code_of("python"))
    # A ceiling of one tick: the market is above it, so that the strategy has to show by placing nothing.
    (tmp_path / "my_bot.py").write_text(code_of("text").replace("600_000", "1"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def program(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "my_bot.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    ran = program("run", "--for", "15s", "--set", "journal.path=ceiling.sqlite3")
    assert ran.returncode == 0, ran.stderr
    assert "kline subscription confirmed" in ran.stdout + ran.stderr
    assert "orders: 0" in ran.stdout
    replayed = program("journal", "replay", "ceiling.sqlite3")
    assert replayed.returncode == 0, replayed.stdout

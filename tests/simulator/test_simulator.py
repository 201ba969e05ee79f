"""The simulator: equal seeds give equal runs, the bot survives, and a broken bot does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trio_grid.cli import main
from trio_grid.domain import booking
from trio_grid.domain.events import OrderOutcomeLost
from trio_grid.domain.grid import Grid
from trio_grid.domain.slot import Signal
from trio_grid.testing.simulator import ActKind, draw_scenario, simulate

ONE_RUN = """
import sys, tempfile, pathlib
from trio_grid.testing.simulator import draw_scenario, simulate
with tempfile.TemporaryDirectory() as folder:
    outcome = simulate(draw_scenario(11, hours=0.03), pathlib.Path(folder))
print(outcome.trace, outcome.violation or "held", outcome.orders, outcome.fills)
"""


def test_a_seed_always_draws_the_same_scenario() -> None:
    assert draw_scenario(7) == draw_scenario(7)
    assert draw_scenario(7) != draw_scenario(8)
    drawn = [draw_scenario(seed) for seed in range(60)]
    assert {act.kind for scenario in drawn for act in scenario.acts} == set(ActKind)
    assert {mode for mode in ("long", "short", "neutral") if any(mode in s.words() for s in drawn)} == {
        "long",
        "short",
        "neutral",
    }


def test_the_same_seed_gives_the_same_run_under_any_hash_seed() -> None:
    traces = {
        subprocess.run(
            [sys.executable, "-c", ONE_RUN],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "4711")
    }
    assert len(traces) == 1
    assert " held " in traces.pop()


@pytest.mark.parametrize("seed", range(1, 7))
def test_the_bot_survives_what_a_seed_draws(seed: int, tmp_path: Path) -> None:
    outcome = simulate(draw_scenario(seed, hours=0.05), tmp_path)
    assert outcome.violation == "", "\n".join((outcome.scenario.words(), *outcome.timeline[-30:]))
    assert outcome.looks > 20
    assert outcome.orders > 0


def test_a_bot_that_takes_a_timeout_for_a_failure_is_caught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """S10, F1: freeing the slot while the order may live places it twice."""

    def lost(grid: Grid, result: OrderOutcomeLost) -> None:
        booking.meet_answer(grid, result.client_order_id, Signal.NOT_SENT)

    monkeypatch.setattr(booking, "outcome_lost", lost)
    found = []
    for seed in range(4, 40):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found.append(simulate(draw_scenario(seed, hours=0.1), folder).invariant)
        if found[-1]:
            break
    assert found[-1] != "", f"not caught by {len(found)} seeds"


def test_the_command_tells_what_it_ran_and_refuses_nonsense(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--seeds", "3", "--hours", "0.02", "--jobs", "1", "--faults", "none"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("1 seeds, 0.02 virtual hours")
    assert "0 violated" in told
    for wrong in (["--seeds", "9..1"], ["--seeds", "x"], ["--hours", "nan"], ["--jobs", "0"]):
        with pytest.raises(SystemExit) as refused:
            main(["simulate", *wrong])
        assert refused.value.code == 2

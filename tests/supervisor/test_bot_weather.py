"""Bad weather by seed: links break, stall and refuse at random through three lives; the books tie out each time."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio

from tests.supervisor.bot_bench import Bench, RunningBot, bench, waves
from trio_grid.domain.client_order_id import decode
from trio_grid.domain.inputs import TradingState
from trio_grid.testing.memory_network import Direction
from trio_grid.testing.seeded import seeded_run

POLICIES = ("keep", "cancel-opening", "cancel-all", "flatten")


async def squall(table: Bench, running: RunningBot, chance: random.Random) -> None:
    """Let one thing go wrong, for a while."""
    links = list(table.network.links("bot"))[-8:]
    kind = chance.choice(["all cut", "one cut", "stalled", "refused", "paused", "none"])
    if kind == "all cut":
        table.network.cut("bot")
    elif kind == "one cut":
        chance.choice(links).cut()
    elif kind == "stalled":
        chosen = chance.sample(links, k=min(3, len(links)))
        for link in chosen:
            link.stall(chance.choice(list(Direction)))
        await trio.sleep(chance.uniform(0.1, 40))
        for link in chosen:
            for direction in Direction:
                link.resume(direction)
    elif kind == "refused":
        table.network.refuse("bot")
        table.network.cut("bot")
        await trio.sleep(chance.uniform(1, 90))
        table.network.refuse("bot", False)
    elif kind == "paused":
        running.pause(True)
        await trio.sleep(chance.uniform(0, 3))
        running.pause(False)


async def three_lives(folder: Path, seed: int, mode: str) -> None:
    chance = random.Random(f"weather {seed}")
    async with bench(folder, waves(1_600, 40_000)) as table:
        trips = 0
        for _ in range(3):
            policy = chance.choice(POLICIES)
            async with table.bot(f"grid.mode={mode}", "risk.shutdown_deadline_s=120", policy=policy) as running:
                for _ in range(10):
                    await trio.sleep(chance.uniform(1, 25))
                    await squall(table, running, chance)
                assert running.snapshot().trading_state is TradingState.ACTIVE
                rungs = [parts.rung for name in table.open_ids() if (parts := decode(name)) is not None]
                assert len(set(rungs)) == len(rungs)
            report = running.report
            assert report.tie_out.words == "yes"
            assert report.exit.confirmed
            assert report.after.position_lots == table.position_lots
            assert policy != "flatten" or table.position_lots == 0
            assert len(set(table.all_ids())) == len(table.all_ids())
            trips = report.after.ledger.round_trips
        assert trips > 0


@pytest.mark.parametrize("mode", ["long", "short", "neutral"])
@pytest.mark.parametrize("seed", [0])
def test_three_lives_in_bad_weather(tmp_path: Path, seed: int, mode: str) -> None:
    seeded_run(seed, lambda: three_lives(tmp_path, seed, mode))

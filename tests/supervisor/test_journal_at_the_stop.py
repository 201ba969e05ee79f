"""What an orderly stop leaves in the journal for the next start."""

from __future__ import annotations

from pathlib import Path

from trio.testing import MockClock

from tests.supervisor.bot_bench import bench, waves
from trio_grid.domain.grid import Grid
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.intents import Intent
from trio_grid.domain.quiet_band import OrdersLeft, Probe
from trio_grid.journal.reader import read_journal
from trio_grid.journal.recovery import recover_from


class NewerStrategy:
    """A version that decides otherwise than the one that wrote the journal."""

    def plan(self, grid: Grid, probe: Probe, budget: OrdersLeft) -> Intent | None:
        return None


async def test_an_orderly_stop_leaves_no_tail_to_replay(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Another version of the program need not decide as this one did: it starts from the image alone."""
    async with bench(tmp_path, waves(1_600, 40_000)) as table:
        async with table.bot() as running:
            await running.until(lambda: running.snapshot().ledger.round_trips >= 1)
        with read_journal(table.journal_path) as reader:
            image = reader.last_image()
            assert image is not None
            assert image.sequence == reader.last_sequence()
            state = recover_from(reader, strategy=NewerStrategy())
        assert isinstance(state, GridState)
        assert state.sequence == running.report.after.sequence
        async with table.bot() as again:
            assert again.snapshot().anchor_ticks == running.report.after.anchor_ticks
        assert again.report.tie_out.words == "yes"

"""The same journal under another mode: what the old mode left must still find its way out."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import bench, waves
from trio_grid.domain.slot import Use
from trio_grid.errors import StartRefused


async def test_a_mode_that_has_no_place_for_what_is_held_is_refused(autojump_clock: MockClock, tmp_path: Path) -> None:
    """A short inventory in long mode: its reduce-only closing could never lower a long position."""
    async with bench(tmp_path, waves(-1_600, 40_000)) as table:
        async with table.bot("grid.mode=neutral") as running:
            await running.until(lambda: any(s.use is Use.SHORT and s.inventory_lots for s in running.snapshot().slots))
        before = table.open_ids()
        with pytest.RaisesGroup(pytest.RaisesExc(StartRefused, match=r"grid\.mode"), flatten_subgroups=True):
            async with table.bot("grid.mode=long", trading=False) as refused:
                with trio.fail_after(100):
                    await refused.over.wait()
        assert table.open_ids() == before, "nothing was placed or cancelled"
        async with table.bot("grid.mode=neutral") as running:
            await running.until(lambda: not running.snapshot().conditions)
        assert running.report.tie_out.words == "yes"

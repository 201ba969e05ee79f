"""Amounts are shown in full: never in scientific notation, which Decimal chooses for zeros and small ones."""

from __future__ import annotations

from pathlib import Path

from trio.testing import MockClock

from tests.supervisor.bot_bench import bench, waves
from trio_grid.cli.control_commands import show_status
from trio_grid.cli.summary import summary_lines
from trio_grid.services.control_desk import ControlDesk
from trio_grid.services.control_socket import ControlRequest


async def test_status_and_summary_before_the_first_fill(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as exchange, exchange.bot() as running:
        assert running.bot.desk is not None
        answer = await ControlDesk(running.bot.desk, None, running.stop).handle(  # type: ignore[arg-type]
            ControlRequest(command="status")
        )
        shown = show_status(answer)
    assert (answer["realized"], answer["round_trips"], answer["fees"]) == ("0.00000000", 0, {})
    assert "0E-8" not in shown
    assert "reconciled s ago" in shown
    assert "0E-8" not in "\n".join(summary_lines(running.report))


async def test_status_after_round_trips(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path, waves(1_600, 40_000)) as exchange, exchange.bot() as running:
        await running.until(lambda: running.snapshot().ledger.round_trips >= 2)
        assert running.bot.desk is not None
        answer = await ControlDesk(running.bot.desk, None, running.stop).handle(  # type: ignore[arg-type]
            ControlRequest(command="status")
        )
        assert answer["round_trips"] >= 2
        assert set(answer["fees"]) == {"USDT"}
        assert "round trips" in show_status(answer)

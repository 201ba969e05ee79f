"""What an operator asks of a running bot, at awkward moments and in awkward words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import Bench, RunningBot, bench, waves
from trio_grid.domain.events import FundingRecord
from trio_grid.domain.inputs import Condition
from trio_grid.errors import ControlError
from trio_grid.exchange.binance.usdm_futures import UsdmFutures
from trio_grid.services.control_socket import Command, ControlRequest


async def ask(running: RunningBot, command: Command, **words: str) -> dict[str, Any]:
    assert running.bot.control is not None
    return await running.bot.control.handle(ControlRequest(command=command, **words))


@pytest.mark.parametrize("price", ["1e999999", "1E+99999999999999", "1e30", "9" * 5_000, "NaN", "-1", "", "0"])
async def test_a_price_that_is_none_is_refused_and_the_bot_goes_on(
    price: str, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table, table.bot() as running:
        with pytest.raises(ControlError, match="not a price"):
            await ask(running, "explain", price=price)
        assert (await ask(running, "explain", price="60000.05"))["slots"]


def fills_between_the_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the last question of a reconciliation take so long that the bot trades meanwhile."""
    honest = UsdmFutures.funding

    async def slow(self: UsdmFutures, *args: Any) -> tuple[FundingRecord, ...]:
        await trio.sleep(30)
        return await honest(self, *args)

    monkeypatch.setattr(UsdmFutures, "funding", slow)


@pytest.mark.parametrize("words", ["", "I moved some coins"])
async def test_fills_during_a_reconciliation_are_no_difference_of_the_position(
    words: str, autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path, waves(1_600, 40_000)) as table:
        async with table.bot() as running:
            await running.until(lambda: running.snapshot().net_lots > 0)
            fills_between_the_readings(monkeypatch)
            await _resume_amid_fills(running, table, words)
            monkeypatch.undo()
            assert running.snapshot().foreign_lots == 0
            assert running.bot.board.alerts == []
        assert running.report.tie_out.words == "yes"


async def _resume_amid_fills(running: RunningBot, table: Bench, words: str) -> None:
    before = running.snapshot().counters.fills
    await ask(running, "pause")
    answer = await ask(running, "resume", accept_position=words)
    assert running.snapshot().counters.fills > before, "nothing was filled meanwhile: the test shows nothing"
    assert "accepted" not in answer["said"]
    assert Condition.PAUSED not in running.snapshot().conditions
    assert running.snapshot().position_lots == table.position_lots

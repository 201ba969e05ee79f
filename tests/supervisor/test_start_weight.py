"""What a start costs of the exchange's request weight, and what the operator sees of things that are not known here."""

from __future__ import annotations

from pathlib import Path

import pytest
from trio.testing import MockClock

from tests.supervisor.bot_bench import bench
from trio_grid.exchange.paper.server.request_limits import RequestLimits
from trio_grid.services.control_socket import ControlRequest

START_WEIGHT = 120
"""As docs/how-to/connect-a-real-account.md says: of 2,400 in a minute."""


async def test_a_first_start_costs_what_the_documentation_says(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent: list[int] = []
    spend_weight = RequestLimits.spend_weight

    def noted(limits: RequestLimits, address: str, weight: int, now_ms: int) -> int:
        spent.append(weight)
        return spend_weight(limits, address, weight, now_ms)

    monkeypatch.setattr(RequestLimits, "spend_weight", noted)
    async with bench(tmp_path) as table, table.bot() as running:
        assert sum(spent) == START_WEIGHT
        await running.until(lambda: table.open_roles()["o"] == 4)


async def test_the_status_counts_what_was_tolerated(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table, table.bot() as running:
        running.client.ignored["event SOMETHING_NEW"] += 2
        assert running.bot.control is not None
        status = await running.bot.control.handle(ControlRequest(command="status"))
        assert status["tolerated"]["event SOMETHING_NEW"] == 2

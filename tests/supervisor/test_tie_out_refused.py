"""A comparison that the exchange does not answer any more is told as what it is: the exit policy stands."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from msgspec.structs import replace
from trio.testing import MockClock

from tests.supervisor.bot_bench import bench
from trio_grid.exchange.paper.server.request_limits import WEIGHT_LIMIT, LimitSettings

ENOUGH_TO_START_AND_STOP = 190
"""Request weight of a start (120) and an exit policy; four fifths of the limit are used. The comparison needs 45."""


async def test_used_up_request_weight_leaves_the_policy_confirmed(
    autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = LimitSettings(weight=replace(WEIGHT_LIMIT, limit=ENOUGH_TO_START_AND_STOP))
    with caplog.at_level(logging.INFO, logger="trio_grid"):
        async with bench(tmp_path, limits=limits) as exchange, exchange.bot(policy="cancel-all") as running:
            await running.until(lambda: len(exchange.open_ids()) == 4)
    report = running.report
    assert report.exit.confirmed
    assert report.tie_out.words == "not checked: the exchange was not asked"
    assert "the exit policy could not be completed" not in caplog.text
    assert "books and account could not be compared" in caplog.text
    assert "RateLimited" in caplog.text

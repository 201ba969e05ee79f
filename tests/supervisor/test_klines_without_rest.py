"""The kline stream speaks and REST does not: no reading may grow old unnoticed (R14)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import bench
from trio_grid.domain.events import Kline
from trio_grid.errors import ExchangeError, ExchangeUnreachable, RateLimited
from trio_grid.exchange.binance.usdm_futures import UsdmFutures


@pytest.mark.parametrize(
    "refusal",
    [
        ExchangeUnreachable("GET /fapi/v1/klines: no answer"),
        RateLimited(-1003, "Too many requests", retry_after_s=250.0),
    ],
    ids=["silent", "Retry-After"],
)
async def test_r14_readings_go_on_or_are_stale_while_rest_does_not_answer(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: ExchangeError
) -> None:
    asked_at: list[float] = []

    async def silent(self: UsdmFutures, *args: Any, **kwargs: Any) -> tuple[Kline, ...]:
        await trio.lowlevel.checkpoint()
        asked_at.append(trio.current_time())
        raise refusal

    async with bench(tmp_path) as table, table.bot() as running:
        await running.until(lambda: table.open_roles()["o"] == 4)
        first = running.snapshot().reading
        assert first is not None
        monkeypatch.setattr(UsdmFutures, "klines", silent)
        table.network.cut("bot")
        await trio.sleep(200)
        assert len(asked_at) == 1 or not isinstance(refusal, RateLimited)
        reading = running.snapshot().reading
        assert reading is not None
        assert reading.stale or reading.close_time_ms >= first.close_time_ms + 120_000
        monkeypatch.undo()
        await running.until(lambda: (now := running.snapshot().reading) is not None and not now.stale)

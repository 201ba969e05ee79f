"""A trade that the exchange shows late: one with a bigger id was shown, and booked, before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import KEY, bench, waves
from trio_grid.domain.events import Trade
from trio_grid.domain.inputs import TradingState
from trio_grid.exchange.binance.usdm_futures import UsdmFutures


async def test_r5_a_trade_with_a_smaller_id_that_is_shown_later_is_booked(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replica that answers leaves the first of several new trades out, for two seconds."""
    honest = UsdmFutures.trades
    hidden: dict[int, float] = {}

    async def lagging(self: UsdmFutures, *args: Any, **kwargs: Any) -> tuple[Trade, ...]:
        trades = await honest(self, *args, **kwargs)
        if not hidden and len(trades) > 1:
            hidden[trades[0].trade_id] = trio.current_time() + 2.0
        return tuple(trade for trade in trades if hidden.get(trade.trade_id, 0.0) <= trio.current_time())

    async with bench(tmp_path, waves(1_600, 40_000)) as table:
        async with table.bot() as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            table.network.refuse("bot")
            table.network.cut("bot")
            await running.until(lambda: len(table.exchange.account_of(KEY).trades.get("BTCUSDT", ())) >= 3)
            monkeypatch.setattr(UsdmFutures, "trades", lagging)
            table.network.refuse("bot", False)
            await running.until(lambda: bool(hidden))
            await running.until(lambda: not running.snapshot().conditions)
            assert running.snapshot().trading_state is TradingState.ACTIVE
        assert running.report.tie_out.words == "yes"
        assert running.report.after.position_lots == table.position_lots

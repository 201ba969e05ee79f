"""Filters and klines that change under a running bot."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import Bench, bench, waves
from trio_grid.domain.events import Kline
from trio_grid.domain.inputs import Condition
from trio_grid.domain.instrument import Instrument
from trio_grid.domain.regime import RegimeSettings
from trio_grid.errors import StartRefused
from trio_grid.exchange.binance.usdm_futures import UsdmFutures
from trio_grid.exchange.interface import MarketData
from trio_grid.services.regime_monitor import RegimeMonitor


def change_instrument(table: Bench, instrument: Instrument) -> None:
    desk = table.exchange.desks["BTCUSDT"]
    desk.symbol = msgspec.structs.replace(desk.symbol, instrument=instrument)


async def test_changed_limits_are_taken_over_while_the_bot_runs(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path, waves(40, 2_000)) as table:
        async with table.bot() as running:
            old = running.snapshot().instrument
            change_instrument(table, msgspec.structs.replace(old, min_notional_units=700 * 10**8))
            await running.until(lambda: running.snapshot().instrument.min_notional_units == 700 * 10**8, 400)
            # 0.010 lots at 60,000 are worth less than that: every further level says why it is skipped.
            assert running.bot.desk is not None
            free = [row for row in running.bot.desk.manager.ladder() if row.order_id is None]
            assert all("below the minimum" in row.remark for row in free)
        assert running.report.tie_out.words == "yes"


async def test_units_that_do_not_divide_the_old_ones_stop_the_bot_and_say_what_to_do(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path, waves(40, 2_000)) as table:
        with pytest.RaisesGroup(pytest.RaisesExc(StartRefused, match="do not divide"), flatten_subgroups=True):
            async with table.bot() as running:
                await running.until(lambda: table.open_roles()["o"] == 4)
                coarser = msgspec.structs.replace(running.snapshot().instrument, tick_size=Decimal("0.3"))
                change_instrument(table, coarser)
                with trio.fail_after(400):
                    await running.over.wait()
        assert running.report.exit.confirmed


async def test_finer_units_begin_a_new_session_with_rescaled_books(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path, waves(40, 2_000)) as table:
        async with table.bot("regime.trend_filter=false") as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            running.pause(True)
            await running.until(lambda: table.open_ids() == [])
            before = running.snapshot()
            # The same prices in ticks a tenth as large; nothing rests, so the exchange's own books need no rescaling.
            change_instrument(table, msgspec.structs.replace(before.instrument, tick_size=Decimal("0.01")))
            table.market.path = lambda time_ms: 10 * waves(40, 2_000)(time_ms)
            # The first price that is no whole number of old ticks has the filters looked at.
            await running.until(lambda: running.snapshot().session == before.session + 1, 10)
            await running.until(lambda: running.bot.board.phase == "trading")
            running.pause(False)
            await running.until(lambda: table.open_roles()["o"] == 4, 100)
            after = running.snapshot()
            assert before.anchor_ticks is not None
            assert after.anchor_ticks == 10 * before.anchor_ticks
            prices = [slot.open_price_ticks for slot in after.slots if slot.order is not None]
            assert {price % 5_000 for price in prices} == {after.anchor_ticks % 5_000}
        assert running.report.session == before.session + 1
        assert running.report.tie_out.words == "yes"
        assert len(set(table.all_ids())) == len(table.all_ids())


async def test_s5_a_regime_monitor_cannot_be_had_without_being_started(
    autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="trio_grid")
    async with bench(tmp_path, waves(40, 2_000)) as table, table.bot() as running:
        assert running.bot.desk is not None
        with pytest.raises(TypeError, match="start"):
            RegimeMonitor(running.bot.desk, RegimeSettings(), object())
        assert "kline subscription confirmed symbol=BTCUSDT interval=1m" in caplog.messages
        reading = running.snapshot().reading
        assert reading is not None
        assert not reading.stale
        await trio.sleep(125)
        later = running.snapshot().reading
        assert later is not None
        assert later.close_time_ms == reading.close_time_ms + 120_000


async def test_minutes_missed_while_the_kline_stream_was_away_are_fetched(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path, waves(40, 2_000)) as table:
        async with table.bot() as running:
            await trio.sleep(30)
            table.network.refuse("bot")
            table.network.cut("bot")
            await trio.sleep(200)
            table.network.refuse("bot", False)
            await running.until(lambda: not running.snapshot().conditions, 120)
            reading = running.snapshot().reading
            assert reading is not None
            assert not reading.stale
            assert reading.close_time_ms > table.paper.now_ms() - 61_000
        assert running.report.tie_out.words == "yes"


class SilentKlines:
    """A market whose kline subscription is confirmed, stays up, and says nothing more."""

    def __init__(self, client: UsdmFutures) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    @asynccontextmanager
    async def kline_stream(self, instrument: Instrument) -> AsyncIterator[SilentKlines]:
        async with self._client.kline_stream(instrument):
            yield self

    def __aiter__(self) -> SilentKlines:
        return self

    async def __anext__(self) -> Kline:
        await trio.sleep_forever()
        raise AssertionError


async def test_r14_silent_klines_stop_openings_and_leave_exits(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path, waves(40, 2_000)) as table:
        async with table.bot(market=lambda client: cast(MarketData, SilentKlines(client))) as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            table.market.path = lambda time_ms: waves(40, 2_000)(time_ms) - 600
            await running.until(lambda: table.open_roles()["c"] == 1)
            await running.until(lambda: Condition.KLINES_STALE in running.snapshot().conditions, 120)
            await running.until(lambda: table.open_roles() == {"o": 0, "c": 1}, 10)
            # The exit still works: its price is reached, and nothing is opened in its place.
            table.market.path = lambda time_ms: waves(40, 2_000)(time_ms) + 100
            await running.until(lambda: table.position_lots == 0)
            assert table.open_ids() == []
        assert running.report.tie_out.words == "yes"

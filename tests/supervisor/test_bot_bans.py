"""A ban (418) halts the bot in the moment in which any request meets it; a stop waits as the exchange asks."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import Bench, RunningBot, bench
from trio_grid.domain.inputs import TradingState
from trio_grid.errors import Banned
from trio_grid.services.exchange_check import ExchangeCheck
from trio_grid.testing.memory_network import Direction, Link

ADDRESS = "127.0.0.1"


def ban(table: Bench, seconds: float) -> None:
    table.paper.server.limits.ban(ADDRESS, table.paper.now_ms() + round(seconds * 1000))


def is_halted(running: RunningBot) -> bool:
    return running.snapshot().trading_state is TradingState.HALTED


async def test_f10_a_ban_that_only_a_kline_fetch_meets_halts_at_once(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table, table.bot("risk.reconcile_interval_s=3600") as running:
        await running.until(lambda: table.open_roles()["o"] == 4)
        ban(table, 120)
        assert running.bot.desk is not None
        with pytest.raises(Banned):
            await running.client.klines(running.bot.desk.instrument, limit=5)
        with trio.fail_after(1):
            await running.until(lambda: is_halted(running))
        assert sum("banned" in alert for alert in running.bot.board.alerts) == 1
        table.paper.server.limits.ban(ADDRESS, 0)
        await trio.sleep(130)


async def test_f10_a_ban_at_the_door_of_a_reconnect_halts_at_once(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table, table.bot("risk.reconcile_interval_s=3600") as running:
        await running.until(lambda: table.open_roles()["o"] == 4)
        ban(table, 60)
        (entry,) = [link for link in table.network.links("bot", "/ws-fapi") if link.open]
        entry.cut()
        await running.until(lambda: is_halted(running), 5)
        await trio.sleep(70)


class RestCount:
    """Counts the requests of the bot that reach the network."""

    def __init__(self, table: Bench) -> None:
        self.count = 0
        table.network.watch(self._count)

    def _count(self, link: Link, direction: Direction, data: bytes) -> bytes:
        self.count += direction is Direction.TO_SERVER and b" HTTP/1.1\r\n" in data[:4096]
        return data


async def test_f10_a_stop_during_a_short_ban_waits_for_its_end_and_then_finishes(
    autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trio_grid.services.exit_policy")
    async with bench(tmp_path) as table:
        async with table.bot(policy="cancel-all") as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            ban(table, 9)
            requests = RestCount(table)
            began = trio.current_time()
            running.stop.request("during a ban")
            await running.over.wait()
        assert 9 <= trio.current_time() - began < 20
        assert running.report.exit.confirmed
        assert table.open_ids() == []
        told = [record.getMessage() for record in caplog.records if "Banned" in record.getMessage()]
        assert len(told) == len(set(told)) <= 2
        assert requests.count < 20


async def test_f10_a_stop_during_a_long_ban_ends_at_once_and_says_that_nothing_is_known(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table:
        async with table.bot(policy="cancel-all") as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            ban(table, 600)
            requests = RestCount(table)
            began = trio.current_time()
            running.stop.request("during a ban")
            await running.over.wait()
        assert trio.current_time() - began < 1
        assert requests.count == 1
        result = running.report.exit
        assert (result.confirmed, result.asked) == (False, False)
        assert "orders may rest" in result.warning
        assert "banned until" in result.warning
        assert table.open_roles()["o"] == 4


async def test_f23_an_exchange_that_is_away_is_asked_with_growing_pauses_and_told_once(
    autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "trio_grid.services.exit_policy")
    asked = 0
    walk_trades = ExchangeCheck.walk_trades

    async def counted(check: ExchangeCheck) -> int:
        nonlocal asked
        asked += 1
        return await walk_trades(check)

    monkeypatch.setattr(ExchangeCheck, "walk_trades", counted)
    async with bench(tmp_path) as table:
        async with table.bot(policy="keep") as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            table.network.refuse("bot")
            table.network.cut("bot")
            asked = 0
            running.stop.request("the exchange is away")
            await running.over.wait()
        told = [record.getMessage() for record in caplog.records if record.name.endswith("exit_policy")]
        assert len(told) == 1
        assert "ExchangeUnreachable" in told[0]
        assert 5 < asked < 20, "20 s with growing pauses"
        result = running.report.exit
        assert (result.confirmed, result.asked) == (False, False)
        assert result.warning.startswith("the exit policy keep is not confirmed")
        assert running.report.tie_out.words.startswith("not checked")

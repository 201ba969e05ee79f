"""What ends or stops trading while it runs: an unwritable journal, a refused key, a ban, the operator."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import KEY, MID_TICKS, bench, waves
from trio_grid.domain.inputs import Condition, JournalRecord, TradingState
from trio_grid.errors import CredentialsRefused, JournalError
from trio_grid.exchange.paper.server.request_limits import ORDER_LIMITS, LimitSettings
from trio_grid.exchange.protocol.rate_limits import RateLimit
from trio_grid.journal.sqlite_journal import Journal
from trio_grid.services.control_socket import ControlRequest, ask, socket_path
from trio_grid.testing.faults import MovePosition


class FullDisk:
    """A journal whose disk can become full: everything else is the journal's own."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.full = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def commit(self, records: Sequence[JournalRecord]) -> None:
        if self.full:
            raise JournalError("SQLITE_FULL: the disk is full")
        self._journal.commit(records)


async def test_f25_without_a_journal_no_order_is_sent_and_the_bot_stops_in_order(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    keepers: list[FullDisk] = []

    def keeper(journal: Journal) -> Journal:
        keepers.append(FullDisk(journal))
        return cast(Journal, keepers[0])

    async with bench(tmp_path) as table:
        with pytest.RaisesGroup(pytest.RaisesExc(JournalError, match="SQLITE_FULL"), flatten_subgroups=True):
            async with table.bot(keeper=keeper, policy="cancel-opening") as running:
                await running.until(lambda: table.open_roles()["o"] == 4)
                ids = table.all_ids()
                keepers[0].full = True
                # A fill asks for a closing: its intent cannot be journaled, so it must not be sent.
                table.market.path = lambda _: MID_TICKS - 600
                await running.over.wait()
        assert table.all_ids() == ids
        assert table.open_ids() == []
        assert table.position_lots == 10
        report = running.report
        assert report.exit.confirmed
        assert report.after.trading_state is TradingState.HALTED
        # What the journal missed is learned from the exchange at the next start.
        async with table.bot() as running:
            assert running.snapshot().position_lots == 10
            await running.until(lambda: table.open_roles()["c"] == 1)
        assert running.report.tie_out.words == "yes"


async def test_a_key_that_is_taken_away_ends_the_bot(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path, waves(1_600, 40_000)) as table:
        with pytest.RaisesGroup(CredentialsRefused, flatten_subgroups=True):
            async with table.bot(policy="cancel-all") as running:
                await running.until(lambda: table.open_roles()["o"] == 4)
                table.paper.server.keys._keys.clear()
                with trio.fail_after(200):
                    await running.over.wait()
        assert not running.report.exit.confirmed
        assert KEY in table.exchange.accounts


async def test_f11_the_ladder_is_paced_by_the_order_limits(autojump_clock: MockClock, tmp_path: Path) -> None:
    few = RateLimit(rate_limit_type="ORDERS", interval="SECOND", interval_num=10, limit=5)
    limits = LimitSettings(orders=(few, ORDER_LIMITS[1]))
    async with bench(tmp_path, limits=limits) as table:
        async with table.bot("grid.levels=12") as running:
            await running.until(lambda: table.open_roles()["o"] == 12, 120)
            assert running.snapshot().counters.orders_refused == 0
        assert len(table.all_ids()) == 12


@pytest.mark.sockets
async def test_the_operator_pauses_resumes_and_stops(tmp_path: Path) -> None:
    path = socket_path(tmp_path / "journal.sqlite3")
    async with bench(tmp_path) as table:
        async with table.bot(control_socket=path, policy="cancel-all") as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            status = await ask(path, ControlRequest(command="status"))
            assert (status["trading_state"], status["orders_resting"]) == ("ACTIVE", 4)
            await ask(path, ControlRequest(command="pause", reason="lunch"))
            await running.until(lambda: table.open_ids() == [])
            assert Condition.PAUSED in running.snapshot().conditions
            explained = await ask(path, ControlRequest(command="explain", price="59950"))
            assert any("paused" in slot["stopped_by"] for slot in explained["slots"])
            await ask(path, ControlRequest(command="resume"))
            await running.until(lambda: table.open_roles()["o"] == 4)
            await ask(path, ControlRequest(command="stop"))
            with trio.fail_after(180):
                await running.over.wait()
        assert running.report.stop_reason == "control command"
        assert not path.exists()


async def test_an_unexplained_position_reduces_and_the_operator_accepts_it(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table, table.bot() as running:
        await running.until(lambda: table.open_roles()["o"] == 4)
        # The exchange's position moves by something that no trade shows.
        table.paper.inject(MovePosition(quantity=Decimal("0.007")))
        await running.until(lambda: running.snapshot().trading_state is TradingState.REDUCING, 200)
        await running.until(lambda: table.open_ids() == [])
        control = running.bot.control
        assert control is not None
        with pytest.raises(Exception, match="--accept-position"):
            await control.handle(ControlRequest(command="resume"))
        await control.handle(ControlRequest(command="resume", accept_position="a transfer of mine"))
        await running.until(lambda: table.open_roles()["o"] == 4)
        assert running.snapshot().foreign_lots == 7
        table.paper.inject(MovePosition(quantity=Decimal("-0.007")))
        await running.until(lambda: table.position_lots == 0)

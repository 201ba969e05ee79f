"""Money that moves without a trade of ours: funding, a liquidation-like closing, a ban in the middle of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import MID_TICKS, START_MS, bench, until
from trio_grid.domain.inputs import TradingState
from trio_grid.errors import ControlError
from trio_grid.services.control_socket import ControlRequest

EIGHT_HOURS_MS = 8 * 3_600_000


async def test_f21_funding_is_booked_once_and_ties_out(autojump_clock: MockClock, tmp_path: Path) -> None:
    to_funding_s = (EIGHT_HOURS_MS - START_MS % EIGHT_HOURS_MS) / 1000
    async with bench(tmp_path) as table:
        async with table.bot() as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            table.market.path = lambda _: MID_TICKS - 600
            await running.until(lambda: table.position_lots == 10)
            table.market.path = lambda time_ms: MID_TICKS - 600 + time_ms // 5_000 % 2
            table.market.step_ms = 5_000
            await trio.sleep(to_funding_s)
            await running.until(lambda: running.snapshot().ledger.funding_records == 1)
            await trio.sleep(130)
            assert running.snapshot().ledger.funding_records == 1
        assert running.report.tie_out.words == "yes"
        assert running.report.after.ledger.funding_units("USDT") < 0
        # The next life finds the same record again and books it no second time.
        async with table.bot() as running:
            assert running.snapshot().ledger.funding_records == 1
        assert running.report.tie_out.words == "yes"


async def test_what_the_exchange_closed_by_itself_halts_and_is_written_off_on_the_operators_word(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table:
        async with table.bot() as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            table.market.path = lambda _: MID_TICKS - 600
            await running.until(lambda: table.position_lots == 10 and table.open_roles()["c"] == 1)
            await table.buy_at_market("0.010", "SELL", name="autoclose-17")
            await running.until(lambda: running.snapshot().trading_state is TradingState.HALTED)
            await running.until(lambda: table.open_roles()["c"] == 0)
            await running.until(
                lambda: not any(slot.inventory_lots and slot.order for slot in running.snapshot().slots)
            )
            assert running.bot.control is not None
            assert running.snapshot().net_lots == 10
            await running.bot.control.handle(ControlRequest(command="resume", write_off="liquidated, I know"))
            assert running.snapshot().net_lots == 0
            assert running.snapshot().trading_state is TradingState.ACTIVE
            await running.until(lambda: table.open_roles()["o"] == 4)
        assert running.report.after.position_lots == table.position_lots == 0
        assert running.report.tie_out.words == "yes"


async def test_nothing_is_written_off_while_trading_is_active(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table, table.bot() as running:
        assert running.bot.control is not None
        with pytest.raises(ControlError, match="only when HALTED"):
            await running.bot.control.handle(ControlRequest(command="resume", write_off="why not"))


async def test_f10_a_ban_halts_trading_and_is_waited_out(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        async with table.bot() as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            table.paper.server.limits.ban("127.0.0.1", running.client.now_ms() + 120_000)
            await running.until(lambda: running.snapshot().trading_state is TradingState.HALTED, 130)
            assert "banned" in running.snapshot().state_reason
            # Resting orders stay; after the ban the operator decides.
            assert table.open_roles()["o"] == 4
            await until(lambda: running.bot.board.reconciliations > 2, 400)
            assert running.bot.control is not None
            await running.bot.control.handle(ControlRequest(command="resume"))
            assert running.snapshot().trading_state is TradingState.ACTIVE
        assert running.report.tie_out.words == "yes"

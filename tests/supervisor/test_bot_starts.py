"""What is looked at before a session: mode, strays, foreign positions, the journal's own lattice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import KEY, MID_TICKS, Bench, bench, waves
from trio_grid.config import AccountConfig
from trio_grid.domain.client_order_id import OrderIdParts, decode, encode
from trio_grid.domain.inputs import TradingState
from trio_grid.errors import ConfigError, ExchangeError, JournalInUse, StartRefused, UnexplainedHoldings
from trio_grid.services.session_start import check_account


def id_of_another_bot() -> str:
    return encode(OrderIdParts(bot="Other1", session=1, generation=1, role="o", rung=-3, stride=1))


async def refused_start(table: Bench, error: type[Exception], words: str, *overrides: str, **options: Any) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(error, match=words), flatten_subgroups=True):
        async with table.bot(*overrides, trading=False, **options) as running:
            with trio.fail_after(100):
                await running.over.wait()


async def test_f14_hedge_mode_is_refused_with_the_way_to_change_it(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table, table.client() as client:
        instrument = await client.instrument("BTCUSDT")
        hedge = {"dualSidePosition": "true"}
        await table.paper.call(lambda now_ms: table.exchange.change_position_mode(KEY, hedge, now_ms))
        with pytest.raises(StartRefused, match="One-way"):
            await check_account(client, instrument, AccountConfig())


async def test_isolated_margin_is_set_before_trading_and_holds_for_its_fills(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path, waves(1_600, 40_000)) as table:
        async with table.bot("account.margin_type=isolated", "account.leverage=10") as running:
            await running.until(lambda: running.snapshot().ledger.round_trips >= 1)
        account = table.exchange.account_of(KEY)
        assert (account.setting("BTCUSDT").isolated, account.setting("BTCUSDT").leverage) == (True, 10)
        assert {move.cause for move in account.moves} == {"TRADE"}
        assert running.report.tie_out.words == "yes"


async def test_strays_of_another_bot_are_a_refusal_and_go_by_their_ids_when_asked(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table:
        stray = await table.call_foreign_order(name=id_of_another_bot())
        by_hand = await table.call_foreign_order(name="by-hand")
        await refused_start(table, UnexplainedHoldings, "--cancel-strays")
        assert table.open_ids() == [stray, by_hand]
        async with table.bot(cancel_strays=True):
            assert stray not in table.open_ids()
            assert by_hand in table.open_ids()


async def test_a_position_that_no_slot_explains_is_refused_or_left_alone(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table, table.client("owner") as owner:
        instrument = await owner.instrument("BTCUSDT")
        await table.buy_at_market("0.020")
        await refused_start(table, UnexplainedHoldings, "--allow-foreign-position")
        async with table.bot(allow_foreign_position=True) as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            assert running.snapshot().baseline_lots == 20
            assert running.snapshot().net_lots == 0
        assert running.report.tie_out.words == "yes"
        # A trade by hand while the bot is down is walked and counted as foreign: it is explained.
        await table.buy_at_market("0.005")
        async with table.bot() as running:
            assert running.snapshot().foreign_lots == 5
            assert running.snapshot().trading_state is TradingState.ACTIVE
        assert (await owner.position(instrument)).position_lots == 25


async def test_s15_another_lattice_than_the_journals_is_refused(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        async with table.bot(policy="cancel-all") as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
        await refused_start(table, StartRefused, "--new-lattice", "grid.interval=60")
        assert table.open_ids() == []


async def test_new_lattice_begins_another_one_on_an_empty_book(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        async with table.bot(policy="cancel-all") as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
        async with table.bot("grid.interval=60", new_lattice=True, policy="cancel-all") as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            prices = [slot.open_price_ticks for slot in running.snapshot().slots]
            assert {low - high for low, high in zip(prices[1:], prices, strict=False)} == {600}
        assert len(set(table.all_ids())) == len(table.all_ids())


async def test_cells_that_cannot_earn_their_fees_are_refused(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        await refused_start(table, StartRefused, "cannot earn their fees", "grid.interval=20")
        assert table.open_ids() == []


async def test_an_unknown_symbol_is_a_fault_at_once(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        began = trio.current_time()
        await refused_start(table, ExchangeError, "symbol", "grid.symbol=NOSUCHUSDT")
        assert trio.current_time() - began < 5


async def test_a_value_that_is_no_whole_number_of_ticks_names_its_path(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table:
        await refused_start(table, ConfigError, r"\$\.grid\.interval", "grid.interval=50.05")


async def test_f28_a_second_bot_on_one_journal_is_refused(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table, table.bot():
        with pytest.raises(JournalInUse):
            async with table.bot():
                pytest.fail("two bots hold one journal")


async def test_f28_an_order_of_a_newer_session_halts_the_older_bot(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        async with table.bot() as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            ours = decode(table.open_ids()[0])
            assert ours is not None
            newer = OrderIdParts(bot=ours.bot, session=7, generation=1, role="o", rung=-9, stride=1)
            await table.call_foreign_order(name=encode(newer))
            await running.until(lambda: running.snapshot().trading_state is TradingState.HALTED, 120)
            table.market.path = lambda _: MID_TICKS - 1_100
            await trio.sleep(30)
            assert table.open_roles()["c"] == 0
        # The number is burnt: the next session is above the highest one that the exchange shows.
        async with table.bot(trading=False) as running:
            await running.until(lambda: running.bot.desk is not None)
            assert running.snapshot().session == 8


async def test_f18_f22_orders_by_hand_are_shown_and_never_touched(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        name = await table.call_foreign_order()
        async with table.bot(policy="cancel-all") as running:
            await running.until(lambda: table.open_roles()["o"] == 4)
            await trio.sleep(130)
            summary = running.bot.board.reconciliation
            assert summary is not None
            assert summary.foreign_orders == 1
        assert table.open_ids() == [name]

"""The dead man's switch: heartbeats keep the exchange's countdown from firing, and the bot survives when it fires."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import Bench, RunningBot, bench
from trio_grid.domain.slot import OrderStatus
from trio_grid.testing.memory_network import Direction, Link

COUNTDOWN_S = 60
SWITCH = f"exchange.countdown_cancel_s={COUNTDOWN_S}"


class Heartbeats:
    """The countdown requests that reach the network: when, and with which time in ms."""

    def __init__(self, table: Bench) -> None:
        self.seen: list[tuple[float, int]] = []
        table.network.watch(self._look)

    def _look(self, link: Link, direction: Direction, data: bytes) -> bytes:
        if direction is Direction.TO_SERVER and data.startswith(b"POST /fapi/v1/countdownCancelAll?"):
            query = data.split(b" ")[1].split(b"?")[1].decode()
            self.seen.append((trio.current_time(), int(dict(parse_qsl(query))["countdownTime"])))
        return data


async def ladder_rests(table: Bench, running: RunningBot) -> None:
    await running.until(lambda: table.open_roles()["o"] == 4)
    await running.until(lambda: all(slot.status is OrderStatus.LOCKED for slot in running.snapshot().slots))


async def test_heartbeats_keep_the_countdown_from_firing(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        beats = Heartbeats(table)
        async with table.bot(SWITCH) as running:
            await ladder_rests(table, running)
            ids = table.open_ids()
            await trio.sleep(2.5 * COUNTDOWN_S)
            assert table.open_ids() == ids
            times = [at for at, countdown_ms in beats.seen if countdown_ms == COUNTDOWN_S * 1_000]
            assert len(times) >= 2.5 * 4
            assert max(later - earlier for earlier, later in pairwise(times)) <= 30


async def test_without_the_setting_there_is_no_countdown(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        beats = Heartbeats(table)
        async with table.bot(policy="cancel-all") as running:
            await ladder_rests(table, running)
        assert beats.seen == []


async def test_it_fires_when_the_bot_is_cut_off_and_the_slots_open_again_afterwards(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table:
        beats = Heartbeats(table)
        async with table.bot(SWITCH) as running:
            await ladder_rests(table, running)
            ids = table.open_ids()
            table.network.refuse("bot")
            table.network.cut("bot")
            await trio.sleep(COUNTDOWN_S / 2)
            assert table.open_ids() == ids
            await running.until(lambda: table.open_ids() == [], COUNTDOWN_S)
            await running.until(lambda: any("no heartbeat" in alert for alert in running.bot.board.alerts), COUNTDOWN_S)
            table.network.refuse("bot", False)
            await ladder_rests(table, running)
            assert not set(table.open_ids()) & set(ids)
            assert len(set(table.all_ids())) == len(table.all_ids())
            # Armed again: cut off once more, it fires once more.
            armed = len(beats.seen)
            await running.until(lambda: len(beats.seen) > armed, 30)
            table.network.refuse("bot")
            table.network.cut("bot")
            await running.until(lambda: table.open_ids() == [], 2 * COUNTDOWN_S)
            table.network.refuse("bot", False)
            await ladder_rests(table, running)
        assert running.report.tie_out.words == "yes"


async def test_it_fires_while_only_rest_is_away_and_the_user_stream_tells(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    """Heartbeats go by REST: the streams stand, orders are placed anew, and the next heartbeat asks for a pass."""
    async with bench(tmp_path) as table:
        async with table.bot(SWITCH, "risk.reconcile_interval_s=3600") as running:
            await ladder_rests(table, running)
            ids = set(table.open_ids())
            table.network.refuse("bot")
            for link in table.network.links("bot", "/fapi"):
                link.cut()
            await running.until(lambda: not ids & set(table.open_ids()), 3 * COUNTDOWN_S)
            await ladder_rests(table, running)
            passes = running.bot.board.reconciliations
            table.network.refuse("bot", False)
            await running.until(lambda: running.bot.board.reconciliations > passes, 60)
        assert running.report.tie_out.words == "yes"


@pytest.mark.parametrize(
    ("policy", "openings"), [("keep", 4), ("cancel-opening", 0), ("cancel-all", 0), ("flatten", 0)]
)
async def test_every_confirmed_stop_ends_the_countdown(
    autojump_clock: MockClock, tmp_path: Path, policy: str, openings: int
) -> None:
    async with bench(tmp_path) as table:
        beats = Heartbeats(table)
        async with table.bot(SWITCH, policy=policy) as running:
            await ladder_rests(table, running)
            foreign = await table.call_foreign_order()
        assert [countdown_ms for _, countdown_ms in beats.seen].count(0) == 1
        assert beats.seen[-1][1] == 0
        assert running.report.exit.confirmed
        await trio.sleep(3 * COUNTDOWN_S)
        assert table.open_roles()["o"] == openings
        assert foreign in table.open_ids()


async def test_a_stop_that_could_not_cancel_leaves_it_to_the_exchange(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table:
        async with table.bot(SWITCH, policy="cancel-all") as running:
            await ladder_rests(table, running)
            table.network.refuse("bot")
            table.network.cut("bot")
        assert not running.report.exit.confirmed
        assert table.open_roles()["o"] == 4
        await trio.sleep(COUNTDOWN_S)
        assert table.open_ids() == []

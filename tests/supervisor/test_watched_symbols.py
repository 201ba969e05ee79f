"""The anomaly brake watches the majority of several symbols, each with its own stream, window and troubles."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import attrs
import pytest
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import KEY, MID_TICKS, Bench, PathMarket, RunningBot, bench, still
from trio_grid.cli.output import LogHandler
from trio_grid.cli.picture import LivePicture
from trio_grid.domain.events import Kline, RegimeReading
from trio_grid.domain.instrument import Instrument
from trio_grid.errors import StartRefused
from trio_grid.exchange.binance.usdm_futures import UsdmFutures
from trio_grid.exchange.interface import MarketData, Subscription
from trio_grid.services.control_desk import ControlDesk
from trio_grid.services.control_socket import ControlRequest

MINUTE_MS = 60_000
WATCH = 'regime.watch_symbols=["ETHUSDT"]'
USUAL_LOTS, HEAVY_LOTS = 500, 20_000


@attrs.define
class Place:
    """BTCUSDT, which is traded, and ETHUSDT, which is watched; both calm until somebody crashes them."""

    table: Bench
    eth: PathMarket

    async def crash(self, *markets: PathMarket) -> None:
        """Let markets fall on heavy volume for one minute, beginning with the next one, and wait for its close."""
        await trio.sleep((MINUTE_MS - self.table.paper.now_ms() % MINUTE_MS) / 1000)
        for market in markets:
            market.path, market.tape_lots = (lambda _: MID_TICKS - 300), HEAVY_LOTS
        await trio.sleep(60)
        for market in markets:
            market.path, market.tape_lots = still, USUAL_LOTS
        await trio.sleep(5)

    def exchange_orders(self) -> dict[str, object]:
        return dict(self.table.exchange.account_of(KEY).orders)

    @property
    def btc(self) -> PathMarket:
        return self.table.market


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    eth = PathMarket(still, "ETHUSDT")
    async with bench(folder, beside=[eth]) as table:
        yield Place(table, eth)


def reading_of(running: RunningBot) -> RegimeReading:
    reading = running.snapshot().reading
    assert reading is not None
    assert not reading.stale
    return reading


async def test_every_watched_symbol_has_a_confirmed_subscription_and_is_shown(
    autojump_clock: MockClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="trio_grid")
    async with place(tmp_path) as at, at.table.bot(WATCH) as running:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            assert f"kline subscription confirmed symbol={symbol} interval=1m" in caplog.messages
        assert running.bot.board.watched == {"ETHUSDT": True}
        assert running.bot.desk is not None
        status = await ControlDesk(running.bot.desk, None, running.stop).handle(  # type: ignore[arg-type]
            ControlRequest(command="status")
        )
        assert status["watched"] == {"ETHUSDT": "votes"}
        picture = LivePicture(running.bot, None, LogHandler())  # type: ignore[arg-type]
        assert "brake watches BTCUSDT, ETHUSDT" in picture.draw(120, 40).plain


async def test_one_of_two_is_no_majority_and_both_are(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with place(tmp_path) as at:
        async with at.table.bot(WATCH) as running:
            await at.crash(at.btc)
            assert not reading_of(running).brake
            await at.crash(at.eth)
            assert not reading_of(running).brake
            await trio.sleep(1_500)  # the heavy minutes leave the averages
            await at.crash(at.btc, at.eth)
            assert reading_of(running).brake
            await running.until(lambda: not reading_of(running).brake, 400)
        # The readings are in the journal: replaying it needs no kline (the bench replays it).
        async with at.table.bot(WATCH) as running:
            assert not reading_of(running).brake


async def test_without_watched_symbols_the_traded_one_decides_alone(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with place(tmp_path) as at, at.table.bot() as running:
        await at.crash(at.btc)
        assert reading_of(running).brake
        assert running.bot.board.watched == {}


class MutedEth:
    """A market whose stream of ETHUSDT is confirmed, stays up, says nothing while it is muted, and closes late."""

    def __init__(self, client: UsdmFutures) -> None:
        self._client = client
        self.muted = False
        self.late_s = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    @asynccontextmanager
    async def kline_stream(self, instrument: Instrument) -> AsyncIterator[Subscription[Kline]]:
        async with self._client.kline_stream(instrument) as stream:
            yield stream if instrument.symbol == "BTCUSDT" else MutedStream(self, stream)


@attrs.frozen
class MutedStream:
    market: MutedEth
    stream: Subscription[Kline]

    def __aiter__(self) -> MutedStream:
        return self

    async def __anext__(self) -> Kline:
        while True:
            kline = await self.stream.__anext__()
            if kline.closed:
                await trio.sleep(self.market.late_s)
            if not self.market.muted:
                return kline


def moody() -> tuple[Callable[[UsdmFutures], MarketData], list[MutedEth]]:
    """What a bot's market is made by, and the market that it made."""
    made: list[MutedEth] = []

    def make(client: UsdmFutures) -> MarketData:
        made.append(MutedEth(client))
        return cast(MarketData, made[-1])

    return make, made


async def test_a_close_waits_a_moment_for_the_votes(autojump_clock: MockClock, tmp_path: Path) -> None:
    market, eth = moody()
    brakes: list[bool] = []
    async with place(tmp_path) as at, at.table.bot(WATCH, market=market) as running:
        eth[0].late_s = 1.0
        assert running.bot.desk is not None
        running.bot.desk.dispatcher.watch(lambda _: brakes.append(reading_of(running).brake))
        before = reading_of(running)
        await at.crash(at.btc)
        assert reading_of(running).close_time_ms > before.close_time_ms
    assert brakes
    assert not any(brakes), "the brake was on until the other vote came"


async def test_a_symbol_whose_klines_do_not_come_has_no_vote_until_its_holes_are_filled(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    market, eth = moody()
    async with place(tmp_path) as at, at.table.bot(WATCH, market=market) as running:
        eth[0].muted = True
        await at.crash(at.btc)
        # Nobody knows what ETHUSDT did: it cannot outvote what is seen.
        assert running.bot.board.watched == {"ETHUSDT": False}
        assert reading_of(running).brake
        # The silent stream is opened anew and the hole is filled: ETHUSDT was calm, and always had been.
        await running.until(lambda: running.bot.board.watched == {"ETHUSDT": True}, 150)
        assert not reading_of(running).brake


async def test_a_restart_changes_no_reading(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with place(tmp_path) as at:
        async with at.table.bot(WATCH) as running:
            await at.crash(at.btc, at.eth)
            before = reading_of(running)
            assert before.brake
        async with at.table.bot(WATCH) as running:
            assert reading_of(running) == before


async def test_a_symbol_that_does_not_exist_refuses_the_start(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with place(tmp_path) as at:
        with pytest.RaisesGroup(
            pytest.RaisesExc(StartRefused, match=r"regime\.watch_symbols: SOLUSDT cannot be watched"),
            flatten_subgroups=True,
        ):
            async with at.table.bot('regime.watch_symbols=["ETHUSDT", "SOLUSDT"]', trading=False) as running:
                await running.over.wait()
        assert at.exchange_orders() == {}

"""Prices are conflated: the newest wins, whatever has piled up before it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import trio
from trio.testing import MockClock

from tests.supervisor.bot_bench import bench, waves
from trio_grid.domain.events import BookTicker
from trio_grid.domain.instrument import Instrument
from trio_grid.exchange.binance.usdm_futures import UsdmFutures
from trio_grid.exchange.interface import MarketData


class Burst:
    """A market whose book tickers come in bursts: 500 at once, then nothing for a second."""

    def __init__(self, client: UsdmFutures) -> None:
        self._client = client
        self.sent = 0
        self.last: BookTicker | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    @asynccontextmanager
    async def book_tickers(self, instrument: Instrument) -> AsyncIterator[Burst]:
        async with self._client.book_tickers(instrument) as stream:
            self.last = await stream.__anext__()
            yield self

    def __aiter__(self) -> Burst:
        return self

    async def __anext__(self) -> BookTicker:
        assert self.last is not None
        if self.sent % 500 == 0:
            await trio.sleep(1)
        await trio.lowlevel.checkpoint()
        self.sent += 1
        shift = 1 if self.sent % 2 else -1
        self.last = msgspec.structs.replace(
            self.last, bid_ticks=self.last.bid_ticks + shift, ask_ticks=self.last.ask_ticks + shift
        )
        return self.last


async def test_of_a_burst_the_newest_price_is_decided_on_and_no_backlog_remains(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    bursts: list[Burst] = []

    def market(client: UsdmFutures) -> MarketData:
        bursts.append(Burst(client))
        return cast(MarketData, bursts[0])

    async with bench(tmp_path, waves(40, 2_000)) as table, table.bot(market=market) as running:
        board = running.bot.board
        seen, decided = board.tickers_seen, board.prices_decided
        await trio.sleep(10.5)
        seen, decided = board.tickers_seen - seen, board.prices_decided - decided
        # Between two bursts: what was decided on last is the newest, and few of the others were looked at.
        assert bursts[0].last is not None
        assert running.snapshot().half_ticks == bursts[0].last.half_ticks
        assert seen >= 4_000
        assert decided < seen / 10

"""Owns the book ticker: keeps its connection and hands the newest price to the manager.

Prices are conflated: while a decision is being made newer prices replace each other and only the newest is decided
on. It must never queue prices.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from trio_grid.domain.events import BookTicker
from trio_grid.errors import ExchangeError, MalformedAnswer
from trio_grid.services.desk import Desk
from trio_grid.services.reconnect import Reconnector

MAX_DRAIN_ROUNDS = 32
"""Scheduler passes that a decision waits for newer prices while they keep coming; bounds its delay to under 1 ms."""


class PriceFeed:
    """The loop of the prices. `reconnect` may be called by the watchdog when the socket is up but silent."""

    def __init__(self, desk: Desk, doubt_filters: Callable[[str], None]) -> None:
        """`doubt_filters` is told when a price could not be understood."""
        self._desk = desk
        self._doubt_filters = doubt_filters
        self._newest: BookTicker | None = None
        self._arrived = 0
        self._wake = trio.Event()
        self._reconnector = Reconnector("price stream", desk.backoff(), self._lost)

    def reconnect(self, reason: str) -> None:
        """Drop the connection and open another one."""
        self._reconnector.drop(reason)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; `started()` when the first price has been handed to the manager."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reconnector.run, self._read)
            await self._decide(task_status)

    async def _read(self) -> None:
        lost: ExchangeError | None = None
        async with self._desk.market.book_tickers(self._desk.instrument) as stream:
            try:
                async for ticker in stream:
                    self._reconnector.confirmed()
                    self._newest = ticker
                    self._arrived += 1
                    self._desk.board.saw_ticker(ticker)
                    self._wake.set()
            except ExchangeError as error:
                # Kept until the context is closed: crossing the stream's own nursery would wrap it in a group.
                lost = error
        if lost is not None:
            raise lost

    async def _decide(self, task_status: trio.TaskStatus[None]) -> None:
        started = False
        while True:
            await self._wake.wait()
            await self._drain()
            self._wake = trio.Event()
            ticker, self._newest = self._newest, None
            if ticker is None:
                continue
            self._desk.board.prices_decided += 1
            self._desk.dispatcher.carry_out(self._desk.manager.on_price(ticker))
            if not started:
                started = True
                task_status.started()

    async def _drain(self) -> None:
        for _ in range(MAX_DRAIN_ROUNDS):
            arrived = self._arrived
            # Trio shuffles each batch of tasks: only after two passes has the reader had its turn for certain.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            if self._arrived == arrived:
                return

    def _lost(self, reason: str) -> None:
        board = self._desk.board
        board.reconnects["price"] = board.reconnects.get("price", 0) + 1
        if board.ticker is None:
            board.waiting_for = f"a first price ({reason})"
        if reason.startswith(MalformedAnswer.__name__):
            # A price that is no whole number of ticks is most likely one in new units.
            self._doubt_filters(reason)

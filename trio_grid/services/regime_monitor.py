"""Owns the klines: subscribes, fills holes by REST, and gives the manager one reading at the close of each minute.

A `RegimeMonitor` cannot be built without being started (R9, S5): `await RegimeMonitor.start(nursery, desk)` returns
when the subscription is confirmed and a first reading has been given. It must never stop an exit: readings concern
openings.

The traded symbol makes the reading, and is the clock of it; the watched ones only vote on the anomaly brake. A close of
the traded symbol waits a moment for theirs, and a vote that comes later makes a reading of its own: each is a function
of the closed klines alone.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from functools import partial

import trio

from trio_grid.domain.events import Kline, RegimeReading
from trio_grid.domain.regime import MINUTE_MS, KlineWindow, RegimeSettings, classify, has_vote
from trio_grid.errors import ExchangeError
from trio_grid.services.desk import Desk
from trio_grid.services.log_line import line
from trio_grid.services.reconnect import Backoff, Reconnector, is_transient
from trio_grid.services.watched_klines import FETCHED, INTERVAL, WatchedKlines

log = logging.getLogger(__name__)

VOTES_WITHIN_S = 2.0
"""How long a close of the traded symbol waits for the watched symbols' closes of the same minute: the exchange sends
them within a fraction of it, each on a connection of its own, and an early reading would brake on half of the votes."""
MOST_WAITING = 1_000
"""Closed klines that may wait for the reading, should REST hang for long; older ones are fetched again."""

DEFAULT_SILENT_S = 100.0

_STARTED_IN_A_NURSERY = object()


class RegimeMonitor:
    """The loop of the klines. Made by `start` alone."""

    def __init__(
        self,
        desk: Desk,
        settings: RegimeSettings,
        permission: object,
        *,
        watch: Sequence[str] = (),
        silent_s: float = DEFAULT_SILENT_S,
    ) -> None:
        if permission is not _STARTED_IN_A_NURSERY:
            raise TypeError(
                "a RegimeMonitor is made by `await RegimeMonitor.start(nursery, desk)`, which starts it (R9)"
            )
        self._desk = desk
        self._settings = settings
        self._window = KlineWindow()
        self._closed: deque[Kline] = deque(maxlen=MOST_WAITING)
        self._wake = trio.Event()
        self._backoff: Backoff = desk.backoff()
        self._reconnector = Reconnector("kline stream", desk.backoff(), self._lost)
        self._confirmed = trio.Event()
        self._must_fetch = True
        self._watched = [WatchedKlines(desk, symbol, silent_s=silent_s, changed=self._voted) for symbol in watch]
        self.reading: RegimeReading | None = None

    def __repr__(self) -> str:
        """Return the state in one line."""
        reading = self.reading
        return f"<RegimeMonitor {self._desk.instrument.symbol} {'no reading' if reading is None else reading.trend}>"

    @classmethod
    async def start(
        cls,
        nursery: trio.Nursery,
        desk: Desk,
        settings: RegimeSettings | None = None,
        *,
        watch: Sequence[str] = (),
        silent_s: float = DEFAULT_SILENT_S,
    ) -> RegimeMonitor:
        """Start a monitor in the nursery and return it once it has given its first reading.

        `watch` names further symbols for the anomaly brake; a stream of theirs that says nothing for `silent_s` is
        opened anew (the watchdog sees to the traded symbol's).

        Raises:
            StartRefused: the exchange has no such symbol.
        """
        launch = partial(cls._launch, desk, settings or RegimeSettings(), watch, silent_s)
        monitor: RegimeMonitor = await nursery.start(launch)
        return monitor

    @classmethod
    async def _launch(
        cls,
        desk: Desk,
        settings: RegimeSettings,
        watch: Sequence[str],
        silent_s: float,
        *,
        task_status: trio.TaskStatus[RegimeMonitor],
    ) -> None:
        await cls(desk, settings, _STARTED_IN_A_NURSERY, watch=watch, silent_s=silent_s)._run(task_status)

    def reconnect(self, reason: str) -> None:
        """Drop the connection and open another one."""
        self._reconnector.drop(reason)

    # Reading the stream ---------------------------------------------------------------------------------------------

    async def _run(self, task_status: trio.TaskStatus[RegimeMonitor]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reconnector.run, self._read)
            for watched in self._watched:
                self._desk.board.waiting_for = f"the klines of {watched.symbol}"
                await nursery.start(watched.run)
            await self._confirmed.wait()
            await self._classify_for_ever(task_status)

    async def _read(self) -> None:
        instrument = self._desk.instrument
        lost: ExchangeError | None = None
        async with self._desk.market.kline_stream(instrument) as stream:
            self._reconnector.confirmed()
            log.info(line("kline subscription confirmed", symbol=instrument.symbol, interval=INTERVAL))
            self._confirmed.set()
            self._must_fetch = True  # minutes may have closed while the stream was away
            self._wake.set()
            try:
                async for kline in stream:
                    self._desk.board.saw_kline(kline)
                    if kline.closed:
                        self._closed.append(kline)
                        self._wake.set()
            except ExchangeError as error:
                # Kept until the context is closed: crossing the stream's own nursery would wrap it in a group.
                lost = error
        if lost is not None:
            raise lost

    def _lost(self, reason: str) -> None:
        board = self._desk.board
        board.reconnects["klines"] = board.reconnects.get("klines", 0) + 1
        if self.reading is None:
            board.waiting_for = f"the klines ({reason})"

    # Making readings ------------------------------------------------------------------------------------------------

    async def _classify_for_ever(self, task_status: trio.TaskStatus[RegimeMonitor]) -> None:
        """Give a reading for what is there, then one at each close."""
        while True:
            self._wake = trio.Event()
            self._take_closed()
            if self._must_fetch or not self._window.gapless:
                self._must_fetch = False
                await self._fetch()
            await self._await_votes()
            self._give()
            if not self._started:
                self._started = True
                task_status.started(self)
            if not self._must_fetch:  # a subscription that came back while the votes were awaited
                await self._wake.wait()

    _started = False

    def _take_closed(self) -> None:
        while self._closed:
            self._window.add(self._closed.popleft())

    def _voted(self) -> None:
        self._wake.set()

    async def _await_votes(self) -> None:
        """Wait a moment for the watched symbols that have all minutes but the traded symbol's last."""
        with trio.move_on_after(VOTES_WITHIN_S):
            while True:
                last = self._window.newest_ms
                if last is None or all(watched.window.newest_ms != last - MINUTE_MS for watched in self._watched):
                    return
                self._wake = trio.Event()
                await self._wake.wait()
                self._take_closed()

    async def _fetch(self) -> None:
        """Fill the window by REST; a transient error is waited out, since the stream may be the next to speak."""
        while True:
            try:
                klines = await self._desk.market.klines(self._desk.instrument, limit=FETCHED)
            except ExchangeError as error:
                if not is_transient(error):
                    raise
                pause_s = self._backoff.next_s(getattr(error, "retry_after_s", None))
                if self.reading is None:
                    self._desk.board.waiting_for = f"the klines ({error})"
                log.warning(
                    line("klines not fetched", reason=f"{type(error).__name__}: {error}", again_in_s=f"{pause_s:.2f}")
                )
                await self._wait_for_rest(pause_s)
                continue
            self._backoff.reset()
            for kline in klines:
                if kline.closed:
                    self._window.add(kline)
            return

    async def _wait_for_rest(self, pause_s: float) -> None:
        """Wait, maybe for as long as the exchange asks for, and let what the stream brings meanwhile count.

        A hole in it makes the reading STALE: openings stop until it is filled.
        """
        with trio.move_on_after(pause_s):
            while True:
                self._wake = trio.Event()
                if self.reading is not None:
                    self._take_closed()
                    self._give()
                await self._wake.wait()

    def _give(self) -> None:
        reading = classify(
            self._window.klines(), self._settings, [watched.window.klines() for watched in self._watched]
        )
        self._desk.board.watched = {
            watched.symbol: has_vote(self._window, watched.window, self._settings) for watched in self._watched
        }
        if reading == self.reading:
            return
        self.reading = self._desk.board.reading = reading
        log.info(
            line(
                "regime",
                close_time_ms=reading.close_time_ms,
                trend=reading.trend,
                volatility=reading.volatility,
                liquidity=reading.liquidity,
                brake=reading.brake,
                stale=reading.stale,
                rsi=f"{reading.rsi_milli / 1000:.1f}",
                atr=self._desk.instrument.price(reading.atr_ticks),
            )
        )
        self._desk.dispatcher.carry_out(self._desk.manager.set_regime(reading))

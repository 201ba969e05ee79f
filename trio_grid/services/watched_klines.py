"""Owns the klines of one further symbol that the anomaly brake watches: its stream, its window, its holes.

The symbol votes on the brake and on nothing else, so that its troubles are its own: without data it has no vote, and
trading goes on. It must never end the bot once trading began, and never give a reading: the regime monitor does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from trio_grid.domain.events import Kline
from trio_grid.domain.instrument import Instrument
from trio_grid.domain.regime import KlineWindow
from trio_grid.errors import CredentialsRefused, ExchangeError, ExchangeUnreachable, RequestRefused, StartRefused
from trio_grid.services.desk import Desk
from trio_grid.services.log_line import line
from trio_grid.services.reconnect import Reconnector, is_transient

log = logging.getLogger(__name__)

INTERVAL = "1m"
FETCHED = 130
"""Klines asked for by REST: the last 100 closed ones, the open one, and room for a slow start."""
SPARE_MINUTES = 10
"""Kept beyond the last 100: the traded symbol's last minute may be an older one than this symbol's."""


class WatchedKlines:
    """One watched symbol. `changed` is called, as a plain function, whenever its window has changed."""

    def __init__(self, desk: Desk, symbol: str, *, silent_s: float, changed: Callable[[], None]) -> None:
        self.symbol = symbol
        self.window = KlineWindow(SPARE_MINUTES)
        self._desk = desk
        self._silent_s = silent_s
        self._changed = changed
        self._reconnector = Reconnector(f"kline stream of {symbol}", desk.backoff(), self._lost)
        self._instrument: Instrument | None = None
        self._hole = trio.Event()
        self._tried = trio.Event()

    def __repr__(self) -> str:
        """Return the state in one line."""
        return f"<WatchedKlines {self.symbol} {self.window!r}>"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the symbol until cancelled; ready when it has its klines, or has failed to get them once.

        Raises:
            StartRefused: the exchange has no such symbol.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reconnector.run, self._follow)
            nursery.start_soon(self._fill_for_ever)
            await self._tried.wait()
            task_status.started()

    def _lost(self, reason: str) -> None:
        board = self._desk.board
        board.reconnects["klines"] = board.reconnects.get("klines", 0) + 1
        self._tried.set()

    async def _follow(self) -> None:
        """Subscribe and take what comes until the connection ends or falls silent."""
        instrument = await self._learn_units()
        lost: ExchangeError | None = None
        async with self._desk.market.kline_stream(instrument) as stream:
            self._reconnector.confirmed()
            log.info(line("kline subscription confirmed", symbol=self.symbol, interval=INTERVAL))
            self._hole.set()  # minutes may have closed while the stream was away
            try:
                while True:
                    kline: Kline | None = None
                    with trio.move_on_after(self._silent_s):
                        kline = await stream.__anext__()
                    if kline is None:
                        raise ExchangeUnreachable(f"silent for {self._silent_s:g} s")
                    if kline.closed:
                        self._take(kline)
            except ExchangeError as error:
                # Kept until the context is closed: crossing the stream's own nursery would wrap it in a group.
                lost = error
            except StopAsyncIteration:
                pass
        if lost is not None:
            raise lost

    async def _learn_units(self) -> Instrument:
        """Return the symbol's units; klines in other units than these count for nothing any more."""
        try:
            instrument = await self._desk.market.instrument(self.symbol)
        except RequestRefused as error:
            if is_transient(error) or isinstance(error, CredentialsRefused):
                raise
            if self._instrument is None:
                raise StartRefused(
                    f"regime.watch_symbols: {self.symbol} cannot be watched: {error.message} (code {error.code});"
                    " allowed: symbols that the exchange trades"
                ) from None
            # It was there when trading began: a delisted symbol has no vote, and ends nothing.
            raise ExchangeUnreachable(f"{error.message} (code {error.code})") from None
        known, self._instrument = self._instrument, instrument
        if known is not None and (known.tick_size, known.lot_size) != (instrument.tick_size, instrument.lot_size):
            self.window = KlineWindow(SPARE_MINUTES)
        return instrument

    def _take(self, kline: Kline) -> None:
        if self.window.add(kline):
            self._changed()
        if not self.window.gapless:
            self._hole.set()

    async def _fill_for_ever(self) -> None:
        """Fetch what is missing, whenever something is; what the exchange itself does not have stays missing."""
        backoff = self._desk.backoff()
        while True:
            await self._hole.wait()
            self._hole = trio.Event()
            instrument = self._instrument
            if instrument is None:
                continue
            try:
                klines = await self._desk.market.klines(instrument, limit=FETCHED)
            except ExchangeError as error:
                if isinstance(error, CredentialsRefused):
                    raise
                pause_s = backoff.next_s(getattr(error, "retry_after_s", None))
                log.warning(
                    line(
                        "klines not fetched",
                        symbol=self.symbol,
                        reason=f"{type(error).__name__}: {error}",
                        again_in_s=f"{pause_s:.2f}",
                    )
                )
                self._tried.set()
                self._hole.set()
                await trio.sleep(pause_s)
                continue
            backoff.reset()
            changed = [self.window.add(kline) for kline in klines if kline.closed]
            if any(changed):
                self._changed()
            self._tried.set()

"""Owns one life of the bot: start order, the single nursery, the stop, the exit policy, the report.

Nothing is placed before everything is ready (R11), nothing is left running when it returns, and the report is never
skipped. It must never decide about an order: that is the manager's, and after the nursery the exit policy's.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs
import trio

from trio_grid.config import Config, ExitPolicy, regime_settings
from trio_grid.config import grid_settings as settings_for
from trio_grid.domain.actions import Action
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import SessionStarted
from trio_grid.domain.instrument import Instrument
from trio_grid.domain.snapshot import PositionSnapshot
from trio_grid.domain.strategy import Strategy
from trio_grid.errors import ExchangeError, InvariantBroken, StartRefused, TrioGridError
from trio_grid.exchange.interface import Execution, MarketData
from trio_grid.journal.recovery import check_lattice, recover
from trio_grid.journal.sqlite_journal import Journal
from trio_grid.manager import PositionManager
from trio_grid.services import session_start
from trio_grid.services.ban import BanWatch
from trio_grid.services.control_desk import ControlDesk
from trio_grid.services.control_socket import ControlSocket
from trio_grid.services.dead_man_switch import DeadManSwitch
from trio_grid.services.desk import Desk
from trio_grid.services.dispatch import Dispatcher
from trio_grid.services.exchange_check import ExchangeCheck
from trio_grid.services.exit_policy import ExitResult, ExitWork
from trio_grid.services.filter_watch import FilterWatch
from trio_grid.services.journal_checkpointer import JournalCheckpointer
from trio_grid.services.log_line import line
from trio_grid.services.order_executor import OrderExecutor
from trio_grid.services.order_names import OrderNames
from trio_grid.services.order_updates import OrderUpdates
from trio_grid.services.price_feed import PriceFeed
from trio_grid.services.reconciler import Reconciler
from trio_grid.services.reconnect import Backoff, is_transient
from trio_grid.services.regime_monitor import RegimeMonitor
from trio_grid.services.run_report import AccountMark, RunReport, TieOut, take_mark, tie_out
from trio_grid.services.status_board import StatusBoard
from trio_grid.services.stop_request import SECOND_SIGNAL_GRACE_S, StopRequest
from trio_grid.services.timer import Timer
from trio_grid.services.watchdog import Ages, Watchdog

log = logging.getLogger(__name__)

AnswerT = TypeVar("AnswerT")


@attrs.frozen(kw_only=True)
class RunOptions:
    """What the command line adds to the configuration. `venue` names the exchange in the journal."""

    venue: str
    cancel_strays: bool = False
    allow_foreign_position: bool = False
    new_lattice: bool = False
    control_socket: Path | None = None
    checkpoint_in_place: bool = False
    """True in simulated runs: a thread would outrun the virtual clock."""
    strategy: Strategy | None = None
    """What decides instead of `GridStrategy`."""
    random_bytes: Callable[[int], bytes] = os.urandom
    """Where a new journal's bot id comes from; seeded in simulated runs."""


class Bot:
    """One life of the bot on one symbol. `run` may be called once."""

    def __init__(
        self,
        config: Config,
        options: RunOptions,
        *,
        market: MarketData,
        execution: Execution,
        journal: Journal,
        stop: StopRequest,
        jitter: Callable[[], float],
    ) -> None:
        self._config = config
        self._options = options
        self._market = market
        self._execution = execution
        self._journal = journal
        self._stop = stop
        self._jitter = jitter
        self._began_at = 0.0
        self._bot_id = ""
        self._session = 0
        self._fresh = False
        self._ready = False
        self._before: PositionSnapshot | None = None
        self._mark: AccountMark | None = None
        self._executor: OrderExecutor | None = None
        self._check: ExchangeCheck | None = None
        self._exit: ExitWork | None = None
        self._tied = TieOut(checked=False)
        self._names = OrderNames()
        self._units_changed = trio.Event()
        self.board = StatusBoard()
        self.desk: Desk | None = None
        self.control: ControlDesk | None = None
        self.report: RunReport | None = None
        """Set when the run is over, also when it ended by an error; None if no session was begun."""

    def __repr__(self) -> str:
        """Return the state in one line."""
        return f"<Bot {self._config.grid.symbol} session={self._session} {self.board.phase}>"

    async def run(self) -> RunReport | None:
        """Trade until the stop is requested; return the report, None if the stop came before a session was begun.

        Raises:
            StartRefused: not ready in time, or trading would not be safe; nothing was placed or cancelled.
            TrioGridError: what ended the bot, alone or in an exception group; the exit policy has been applied.
        """
        self._began_at = trio.current_time()
        try:
            while not self._stop.requested.is_set():
                await self._live()
        finally:
            self.board.phase = "stopping"
            try:
                with trio.CancelScope(shield=True, deadline=self._deadline()) as grace:
                    self._stop.grace = grace
                    if self._stop.signals > 1:
                        self._stop.hurry("signalled twice")
                    await self._finish()
            finally:
                self._stop.grace = None
                if self.desk is not None:
                    self.desk.dispatcher.save_image()
                self._write_report()
                self.board.phase = "stopped"
        return self.report

    async def _live(self) -> None:
        """Run one session in one nursery, until the stop is requested or the exchange changed its units.

        In the second case nothing is cancelled: the next session takes resting orders and books over, in new units.
        """
        self.board.phase = "starting"
        self._units_changed = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_when, self._stop.requested, nursery.cancel_scope)
            await self._start_in_time(nursery)
            self._ready = True
            self.board.phase = "trading"
            self.board.waiting_for = ""
            log.info(line("trading", symbol=self._config.grid.symbol, session=self._session))
            await self._units_changed.wait()
            nursery.cancel_scope.cancel()

    # Start ----------------------------------------------------------------------------------------------------------

    async def _end_when(self, event: trio.Event, scope: trio.CancelScope) -> None:
        await event.wait()
        scope.cancel()

    async def _start_in_time(self, nursery: trio.Nursery) -> None:
        timeout_s = self._config.risk.startup_timeout_s or math.inf
        with trio.move_on_after(timeout_s) as patience:
            await self._begin_session()
            await self._start_services(nursery)
        if patience.cancelled_caught:
            raise StartRefused(
                f"not ready after {timeout_s:g} s, still waiting for {self.board.waiting_for or 'the exchange'};"
                " nothing was placed or cancelled. Check the connection and the exchange's status"
            )

    async def _patiently(self, what: str, question: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """Ask until it is answered; a transient error is told and waited out."""
        backoff = Backoff(jitter=self._jitter)
        self.board.waiting_for = what
        while True:
            try:
                return await question()
            except ExchangeError as error:
                if not is_transient(error):
                    raise
                pause_s = backoff.next_s(getattr(error, "retry_after_s", None))
                self.board.waiting_for = f"{what} ({error})"
                log.warning(
                    line("waiting", what=what, reason=f"{type(error).__name__}: {error}", again_in_s=f"{pause_s:.2f}")
                )
                await trio.sleep(pause_s)

    async def _begin_session(self) -> None:
        """Ask what has to be known before the journal says that a session began; then say so."""
        execution, symbol = self._execution, self._config.grid.symbol
        await self._patiently("the exchange's clock", execution.synchronize_clock)
        instrument = await self._patiently("the symbol's filters", lambda: self._market.instrument(symbol))
        settings = settings_for(self._config, instrument)
        account = await self._patiently(
            "the account", lambda: session_start.check_account(execution, instrument, self._config.account)
        )
        self.board.leverage, self.board.margin_type = account.leverage, account.margin_type
        identity = self._journal.establish_identity(
            instrument,
            settings.lattice,
            created_ms=execution.now_ms(),
            venue=self._options.venue,
            random_bytes=self._options.random_bytes,
        )
        self._bot_id = identity.bot_id
        state = recover(self._journal, strategy=self._options.strategy)
        self._fresh = state is None
        check_lattice(self._journal, state, instrument, settings.lattice, new_lattice=self._options.new_lattice)
        session_start.refuse_mode(state, settings.mode)
        await self._patiently(
            "the open orders",
            lambda: session_start.settle_strays(
                execution, instrument, self._bot_id, cancel=self._options.cancel_strays
            ),
        )
        baseline_lots, watermark = None, None
        if state is None:
            baseline_lots, watermark = await self._patiently(
                "the position",
                lambda: session_start.baseline(execution, instrument, allowed=self._options.allow_foreign_position),
            )
        highest = await self._patiently(
            "the bot's orders", lambda: session_start.highest_session(execution, instrument, self._bot_id)
        )
        self._session = self._journal.begin_session(started_ms=execution.now_ms(), at_least=highest + 1)
        state = state or GridState.fresh(strategy=self._options.strategy)
        desk = self._open_desk(instrument, state, identity.created_ms)
        desk.dispatcher.carry_out(
            desk.manager.start_session(
                SessionStarted(
                    bot_id=self._bot_id,
                    session=self._session,
                    instrument=instrument,
                    settings=settings,
                    baseline_lots=baseline_lots,
                    trade_watermark=watermark,
                )
            )
        )
        now = desk.manager.snapshot()
        self._before = self._before or now
        log.info(
            line(
                "session",
                symbol=symbol,
                bot=self._bot_id,
                session=self._session,
                fresh=self._fresh,
                slots=len(now.slots),
                net=instrument.quantity(now.net_lots),
            )
        )

    def _open_desk(self, instrument: Instrument, state: GridState, created_ms: int) -> Desk:
        manager = PositionManager(state, now_ms=self._execution.now_ms, budget=self._execution.order_budget)
        # A slot has at most one action in flight: a cancel for each order that rests, a placement for each that may.
        send, receive = trio.open_memory_channel[Action](4 * instrument.max_open_orders + 64)
        desk = Desk(
            instrument=instrument,
            market=self._market,
            execution=self._execution,
            manager=manager,
            dispatcher=Dispatcher(manager, self._journal, send, self.board.alert),
            board=self.board,
            jitter=self._jitter,
        )
        self._executor = OrderExecutor(desk, receive)
        self._check = ExchangeCheck(desk, self._names, bot_id=self._bot_id, funding_since_ms=created_ms)
        self.desk = desk
        return desk

    async def _start_services(self, nursery: trio.Nursery) -> None:
        """Start the loops in the order of readiness; the executor, which can send, is the last."""
        desk, check, executor = self.desk, self._check, self._executor
        if desk is None or check is None or executor is None:
            raise InvariantBroken("the services were started before a session was begun")
        risk = self._config.risk
        filters = FilterWatch(desk, self._units_changed.set)
        # The wallet's first mark books funding right after the first pass: once is enough, it weighs 30.
        funding = self._mark is not None
        reconciler = Reconciler(desk, check, filters, interval_s=risk.reconcile_interval_s, funding_first=funding)
        updates = OrderUpdates(desk, self._names, reconciler.request)
        prices = PriceFeed(desk, partial(reconciler.request, filters=True))
        self.control = ControlDesk(desk, reconciler, self._stop)
        if self._options.control_socket is not None:
            await nursery.start(ControlSocket(self._options.control_socket, self.control.handle).run)
        await nursery.start(BanWatch(desk).run)
        self.board.waiting_for = "the user stream"
        await nursery.start(updates.run)
        self.board.waiting_for = "a first price"
        await nursery.start(prices.run)
        session_start.refuse_narrow_cells(desk.manager, settings_for(self._config, desk.instrument).lattice)
        self.board.waiting_for = "the klines"
        regime = await RegimeMonitor.start(
            nursery,
            desk,
            regime_settings(self._config),
            watch=self._config.regime.watch_symbols,
            silent_s=risk.klines_stale_s,
        )
        self.board.waiting_for = "the first reconciliation"
        await nursery.start(reconciler.run)
        if self.board.reconciliation is not None:
            session_start.explain_position(
                desk, self.board.reconciliation, allowed=self._options.allow_foreign_position
            )
        ages = Ages(price_s=risk.price_stale_s, klines_s=risk.klines_stale_s, user_stream_s=risk.user_stream_silent_s)
        watchdog = Watchdog(
            desk,
            ages,
            reconnect_price=prices.reconnect,
            reconnect_klines=regime.reconnect,
            reconnect_user_stream=updates.reconnect,
        )
        await nursery.start(watchdog.run)
        await nursery.start(JournalCheckpointer(self._journal, in_place=self._options.checkpoint_in_place).run)
        await nursery.start(Timer(desk).run)
        self._mark = self._mark or await self._patiently("the wallet", lambda: take_mark(desk, check))
        nursery.start_soon(self._end_on_lost_journal, desk)
        countdown_s = self._config.exchange.countdown_cancel_s
        if countdown_s is not None:
            self.board.waiting_for = "the dead man's switch"
            await nursery.start(DeadManSwitch(desk, countdown_s, reconciler.request).run)
        await nursery.start(executor.run)
        reconciler.open_door()

    async def _end_on_lost_journal(self, desk: Desk) -> None:
        """End the nursery when the journal cannot be written any more."""
        await desk.dispatcher.failed.wait()
        if desk.dispatcher.failure is not None:
            raise desk.dispatcher.failure

    # Stop -----------------------------------------------------------------------------------------------------------

    def _deadline(self) -> float:
        """Return when the stop has to be over: counted from the request, or from now if an error ended the bot."""
        since = self._stop.requested_at
        return (trio.current_time() if since is None else since) + self._config.risk.shutdown_deadline_s

    async def _finish(self) -> None:
        """Apply the exit policy and tie out; errors are told, never raised: the first error must survive."""
        desk, check, executor = self.desk, self._check, self._executor
        if desk is None or check is None or executor is None:
            return
        policy = self._config.exit.policy if self._ready else ExitPolicy.KEEP
        self._exit = ExitWork(
            desk,
            executor,
            check,
            policy,
            bot_id=self._bot_id,
            recv_window_ms=self._config.exchange.recv_window_ms,
            never_traded=not self._ready,
            countdown=self._config.exchange.countdown_cancel_s is not None,
        )
        try:
            await self._exit.apply()
        except TrioGridError as error:
            log.critical(line("the exit policy could not be completed", reason=f"{type(error).__name__}: {error}"))
            return
        try:
            self._tied = await tie_out(desk, check, self._mark)
        except TrioGridError as error:
            log.warning(line("books and account could not be compared", reason=f"{type(error).__name__}: {error}"))

    def _write_report(self) -> None:
        desk = self.desk
        if desk is None or self._exit is None or self._before is None:
            return
        after = desk.manager.snapshot()
        self.report = RunReport(
            instrument=desk.instrument,
            session=self._session,
            stop_reason=self._stop.reason or "an error",
            duration_s=trio.current_time() - self._began_at,
            before=self._before,
            after=after,
            exit=self._exit.result,
            tie_out=self._tied,
        )
        if not self.report.exit.confirmed:
            log.critical(line(self.report.exit.warning))


__all__ = ["SECOND_SIGNAL_GRACE_S", "Bot", "ExitResult", "RunOptions"]

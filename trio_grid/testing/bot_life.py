"""One life of the bot in a simulation: its tasks, its links, its journal, and what a script may wait for.

Owns what is looked for when a life ends: it must leave no task, no link and no difference in its journal.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import trio
import trio.testing

from trio_grid.config import Config
from trio_grid.domain.snapshot import PositionSnapshot
from trio_grid.exchange.binance.usdm_futures import Endpoints, UsdmFutures, open_usdm_futures
from trio_grid.exchange.paper.server.server import DEFAULT_KEY, DEFAULT_SECRET
from trio_grid.exchange.protocol.signing import HmacSigner
from trio_grid.journal.sqlite_journal import Journal, open_journal
from trio_grid.services.run_report import RunReport
from trio_grid.services.stop_request import StopRequest
from trio_grid.supervisor import Bot, RunOptions
from trio_grid.testing.drills import IN_BOT

if TYPE_CHECKING:
    from trio_grid.testing.bot import Simulation

USER_STREAM, PRICE_STREAM, KLINE_STREAM, ORDER_ENTRY = "/private/", "/public/", "/market/", "/ws-fapi/"
"""How the paths of the bot's WebSocket links begin (`Link.target`)."""

PATIENCE_S = 120.0
LOOK_EVERY_S = 0.02


class NeverHappened(AssertionError):
    """What a script waited for did not come about in virtual time."""


@attrs.define(eq=False)
class Life:
    """One life of the bot, from the opening of its journal to its closing. `owner` names its links."""

    simulation: Simulation
    config: Config
    options: RunOptions
    owner: str
    session_scope: trio.CancelScope = attrs.Factory(trio.CancelScope)
    """Around `Bot.run` alone: cancelling it is what a drill does."""
    ended: trio.Event = attrs.Factory(trio.Event)
    stop: StopRequest = attrs.Factory(StopRequest)
    bot: Bot | None = None
    client: UsdmFutures | None = None
    journal: Journal | None = None
    error: Exception | None = None
    """What `Bot.run` raised; None if it was stopped or cancelled."""

    @property
    def report(self) -> RunReport | None:
        """The bot's report, once it has one."""
        return None if self.bot is None else self.bot.report

    @property
    def phase(self) -> str:
        """What the bot is doing, in the status board's words."""
        return "" if self.bot is None else self.bot.board.phase

    @property
    def trading(self) -> bool:
        """True from readiness to the stop."""
        return self.phase == "trading"

    def snapshot(self) -> PositionSnapshot:
        """Return the manager's snapshot; the session must have begun."""
        if self.bot is None or self.bot.desk is None:
            raise AssertionError(f"no session was begun: {self.error!r}")
        return self.bot.desk.manager.snapshot()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Live once; never raises for what ends the bot: see `error` and `report`."""
        IN_BOT.set(True)
        simulation = self.simulation
        random_source = random.Random(f"jitter {self.owner}")  # noqa: S311 - chance that repeats is the purpose
        urls = simulation.exchange.urls
        endpoints = Endpoints(rest_url=urls.rest_url, ws_url=urls.ws_url, ws_api_url=urls.ws_api_url)
        try:
            with open_journal(simulation.journal_path) as self.journal:
                async with open_usdm_futures(
                    endpoints,
                    HmacSigner(DEFAULT_KEY, DEFAULT_SECRET),
                    connect=simulation.network.connector(self.owner),
                    wall_clock=lambda: simulation.now_ms() / 1000 - 3.0,  # a local clock is never quite right
                    recv_window_ms=self.config.exchange.recv_window_ms,
                ) as self.client:
                    self.bot = Bot(
                        self.config,
                        self.options,
                        market=self.client,
                        execution=self.client,
                        journal=self.journal,
                        stop=self.stop,
                        jitter=random_source.random,
                    )
                    task_status.started()
                    with self.session_scope:
                        try:
                            await self.bot.run()
                        except Exception as error:  # the test looks at it
                            self.error = error
        finally:
            self.ended.set()

    async def until(
        self,
        condition: Callable[[], object],
        what: str,
        *,
        patience_s: float = PATIENCE_S,
        look_every_s: float = LOOK_EVERY_S,
    ) -> bool:
        """Wait, in virtual time, until a condition holds or this life is over; return whether it holds.

        Raises:
            NeverHappened: neither came about in `patience_s`.
        """
        with trio.move_on_after(patience_s):
            while True:
                await trio.testing.wait_all_tasks_blocked()  # what has just happened reaches everybody first
                if condition():
                    return True
                if self.ended.is_set():
                    return False
                await trio.sleep(look_every_s)
        raise NeverHappened(f"{what}, not within {patience_s:g} s; {self.bot!r} {self.phase}: {self._words()}")

    def _words(self) -> str:
        if self.bot is None or self.bot.desk is None:
            return f"no session, waiting for {None if self.bot is None else self.bot.board.waiting_for}"
        snapshot = self.snapshot()
        orders = [(slot.rung, str(slot.status), slot.inventory_lots) for slot in snapshot.slots]
        return f"{snapshot!r} closed={snapshot.closed_doors} slots={orders} error={self.error!r}"

    async def until_trading(self) -> bool:
        """Wait until the bot is ready and its door is open; False if it is over before."""
        return await self.until(lambda: self.trading and not self.snapshot().closed_doors, "trading")

    async def until_quiet(self) -> bool:
        """Wait until no order of the bot is on its way; False if it is over before."""
        return await self.until(lambda: not self.ended.is_set() and self.quiet(), "all orders settled or resting")

    def quiet(self) -> bool:
        """Return whether every order of the bot rests on the exchange's word."""
        snapshot = self.snapshot()
        return snapshot.unbooked_lots == 0 and all(str(slot.status) in ("FREE", "LOCKED") for slot in snapshot.slots)

    async def until_ended(self) -> None:
        """Wait for the end of this life."""
        with trio.move_on_after(PATIENCE_S):
            await self.ended.wait()
            return
        raise NeverHappened(f"{self.bot!r} does not end: {self._words()}")

    async def stopped(self, reason: str = "the script is over") -> RunReport:
        """Ask for the stop, wait for it, look for what was left behind, and return the report."""
        self.stop.request(reason)
        await self.until_ended()
        self.simulation.check_nothing_left(self.owner)
        if self.error is not None:
            raise self.error
        if self.report is None:
            raise AssertionError("stopped before a session was begun")
        return self.report

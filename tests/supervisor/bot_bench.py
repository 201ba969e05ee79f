"""The whole bot against the real paper exchange in memory, on a market whose price is a function of time.

Nothing is replaced: client, server, journal file and supervisor are those of `trio-grid run`; only the bytes go
through memory and time is Trio's, so that MockClock rules it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio

from trio_grid.config import Config, parse_config
from trio_grid.domain.client_order_id import decode
from trio_grid.domain.events import Side
from trio_grid.domain.inputs import Condition
from trio_grid.domain.snapshot import PositionSnapshot
from trio_grid.exchange.binance.usdm_futures import Endpoints, UsdmFutures, open_usdm_futures
from trio_grid.exchange.interface import MarketData
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange
from trio_grid.exchange.paper.engine.symbols import default_instrument, paper_symbol
from trio_grid.exchange.paper.market.interface import MarketStep, TapeRow
from trio_grid.exchange.paper.server.request_limits import LimitSettings
from trio_grid.exchange.protocol.signing import HmacSigner, Signer
from trio_grid.journal.recovery import replay_all, verify
from trio_grid.journal.sqlite_journal import Journal, open_journal
from trio_grid.services.run_report import RunReport
from trio_grid.services.stop_request import StopRequest
from trio_grid.supervisor import Bot, RunOptions
from trio_grid.testing.memory_network import Direction, Link, MemoryNetwork
from trio_grid.testing.paper import PaperHandle, open_paper_exchange

START_MS = 1_750_000_020_000
MID_TICKS = 600_000
STEP_MS = 250
HISTORY_MINUTES = 110
KEY, SECRET = "testkey", "testsecret"

CONFIG = """
[exchange]
kind = "paper"
[grid]
symbol = "BTCUSDT"
mode = "long"
interval = 50
levels = 4
[size]
base_per_level = 0.010
by_volatility = false
[limits]
max_inventory = 0.2
[exit]
policy = "keep"
"""


PricePath = Callable[[int], int]
"""Mid price in ticks at a time in ms since the start."""


def still(_: int) -> int:
    return MID_TICKS


def waves(amplitude_ticks: int, period_ms: int) -> PricePath:
    """A triangle that begins at the middle and goes down first."""

    def path(time_ms: int) -> int:
        phase = time_ms % period_ms * 4 / period_ms
        shape = -phase if phase < 1 else phase - 2 if phase < 3 else 4 - phase
        return MID_TICKS + round(shape * amplitude_ticks)

    return path


class PathMarket:
    """A market whose mid price follows a path, with a trade at the price in every step; fit for `PaperExchange`."""

    follows_wall_clock = True
    fills_quiet_minutes = True

    def __init__(self, path: PricePath, symbol: str = "BTCUSDT") -> None:
        self.path = path
        self.symbol = symbol
        self.start_ms = START_MS
        self.depth_lots = 20
        self.tape_lots = 500
        self.step_ms = STEP_MS
        self._next_ms = START_MS - HISTORY_MINUTES * 60_000
        self._mid = MID_TICKS

    def next_time_ms(self) -> int | None:
        return self._next_ms

    def step(self) -> MarketStep:
        time_ms = self._next_ms
        if time_ms < START_MS:
            self._next_ms += 15_000
            self._mid = MID_TICKS + (40, -40, 20, -20)[time_ms // 15_000 % 4]
        else:
            self._next_ms += self.step_ms
            self._mid = self.path(time_ms - START_MS)
        rows = tuple(TapeRow(self._mid + offset, self.tape_lots, offset < 0) for offset in (-1, 1))
        return MarketStep(time_ms, rows, self._mid - 1, self._mid + 1, self.depth_lots, self.depth_lots)

    def skip_towards(self, now_ms: int) -> None:
        pass

    def level_lots(self, side: Side, price_ticks: int) -> int:
        inside = price_ticks > self._mid - 1 if side is Side.BUY else price_ticks < self._mid + 1
        return 0 if inside else self.depth_lots

    def state(self) -> dict[str, Any]:
        return {"next_ms": self._next_ms}

    def restore(self, state: dict[str, Any]) -> None:
        self._next_ms = state["next_ms"]


async def until(condition: Callable[[], bool], within_s: float = 300.0) -> None:
    """Wait until something holds, looking each 50 ms of virtual time."""
    with trio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await trio.sleep(0.05)


@attrs.define
class RunningBot:
    """A bot that trades; `stop` ends it in order."""

    bot: Bot
    stop: StopRequest
    client: UsdmFutures
    over: trio.Event = attrs.Factory(trio.Event)

    def snapshot(self) -> PositionSnapshot:
        assert self.bot.desk is not None
        return self.bot.desk.manager.snapshot()

    async def until(self, condition: Callable[[], bool], within_s: float = 300.0) -> None:
        """Wait until something holds."""
        await until(condition, within_s)

    def pause(self, paused: bool) -> None:
        """Pause or resume as the control command does."""
        assert self.bot.desk is not None
        desk = self.bot.desk
        desk.dispatcher.carry_out(desk.manager.set_condition(Condition.PAUSED, paused, "the test says so"))

    async def trading_while_stalled(self, bench: Bench) -> None:
        """Let the first ladder be sent while no answer of any kind comes back."""
        await self.until(lambda: self.bot.desk is not None)
        self.pause(True)
        await self.until(lambda: self.bot.board.phase == "trading")
        await trio.sleep(1)
        for link in bench.network.links("bot"):
            link.stall(Direction.TO_CLIENT)
        self.pause(False)

    @property
    def report(self) -> RunReport:
        assert self.bot.report is not None
        return self.bot.report


class Bench:
    """One exchange and one journal; any number of lives of the bot on them, one after the other."""

    def __init__(self, paper: PaperHandle, market: PathMarket, journal_path: Path) -> None:
        self.paper = paper
        self.market = market
        self.journal_path = journal_path
        self.signer: Signer = HmacSigner(KEY, SECRET)
        self.network: MemoryNetwork = paper.network or MemoryNetwork()

    def config(self, *overrides: str) -> Config:
        return parse_config(CONFIG, overrides)

    @asynccontextmanager
    async def client(self, owner: str = "bot") -> AsyncIterator[UsdmFutures]:
        urls = self.paper.urls
        async with open_usdm_futures(
            Endpoints(urls.rest_url, urls.ws_url, urls.ws_api_url),
            self.signer,
            connect=self.paper.connector(owner),
            wall_clock=lambda: self.paper.now_ms() / 1000,
        ) as client:
            yield client

    @asynccontextmanager
    async def bot(
        self,
        *overrides: str,
        trading: bool = True,
        policy: str = "keep",
        keeper: Callable[[Journal], Journal] = lambda journal: journal,
        market: Callable[[UsdmFutures], MarketData] = lambda client: client,
        **options: Any,
    ) -> AsyncIterator[RunningBot]:
        """Run the bot while the context is open, then stop it and check journal and account."""
        config = self.config(f"exit.policy={policy}", *overrides)
        stop = StopRequest()
        with open_journal(self.journal_path) as journal:
            async with self.client() as client:
                bot = Bot(
                    config,
                    RunOptions(venue="paper", checkpoint_in_place=True, **options),
                    market=market(client),
                    execution=client,
                    journal=keeper(journal),
                    stop=stop,
                    jitter=lambda: 0.5,
                )
                running = RunningBot(bot, stop, client)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._live, running)
                    if trading:
                        await running.until(lambda: bot.board.phase == "trading", 90.0)
                    yield running
                    stop.request("the test is over")
                    await running.over.wait()
        self.check_journal()

    async def _live(self, running: RunningBot) -> None:
        try:
            await running.bot.run()
        finally:
            running.over.set()

    def check_journal(self) -> None:
        """The journal is sound, and replaying it derives every decision again."""
        assert verify(self.journal_path).problems == ()
        assert replay_all(self.journal_path) is None

    async def call_foreign_order(self, price: str = "50000.0", name: str = "by-hand") -> str:
        """Let the account's owner place an order by hand and return its client order id."""
        params = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "price": price,
            "quantity": "0.010",
            "newClientOrderId": name,
        }
        await self.paper.call(lambda now_ms: self.exchange.place_order(KEY, params, now_ms))
        return name

    async def buy_at_market(self, quantity: str, side: str = "BUY", name: str = "by-hand-at-market") -> None:
        """Let the account's owner trade by hand."""
        params = {
            "symbol": "BTCUSDT",
            "side": side,
            "type": "MARKET",
            "quantity": quantity,
            "newClientOrderId": name,
        }
        await self.paper.call(lambda now_ms: self.exchange.place_order(KEY, params, now_ms))

    # The exchange's own truth ---------------------------------------------------------------------------------------

    @property
    def exchange(self) -> PaperExchange:
        return self.paper.exchange

    @property
    def position_lots(self) -> int:
        return self.exchange.account_of(KEY).position("BTCUSDT").lots

    @property
    def wallet_units(self) -> int:
        return self.exchange.account_of(KEY).wallet_units

    def open_ids(self) -> list[str]:
        """Client order ids of the account's open orders."""
        return [order.client_order_id for order in self.exchange.account_of(KEY).open_on("BTCUSDT").values()]

    def all_ids(self) -> list[str]:
        """Client order ids of every order that the account ever had."""
        return [order.client_order_id for order in self.exchange.account_of(KEY).orders["BTCUSDT"].values()]

    def open_roles(self) -> dict[str, int]:
        """How many of our open orders open ("o") and close ("c") slots."""
        roles = {"o": 0, "c": 0}
        for name in self.open_ids():
            parts = decode(name)
            if parts is not None:
                roles[parts.role] += 1
        return roles


@asynccontextmanager
async def bench(
    folder: Path,
    path: PricePath = still,
    *,
    limits: LimitSettings | None = None,
    fill_model: str = "queue",
    beside: Sequence[PathMarket] = (),
) -> AsyncIterator[Bench]:
    """Open an exchange in memory whose BTCUSDT follows a path, with further markets beside it."""
    market = PathMarket(path)
    exchange = PaperExchange(
        [(paper_symbol(default_instrument(one.symbol)), one) for one in (market, *beside)],
        accounts=[AccountSpec(name=KEY, balance_units=10_000 * 10**8)],
        fill_model=fill_model,
    )
    async with open_paper_exchange(exchange, network=MemoryNetwork(), limits=limits) as paper:
        yield Bench(paper, market, folder / "journal.sqlite3")


async def market_links(table: Bench) -> list[Link]:
    """Return the two links on which most comes while nothing but the price moves: prices and klines."""
    carried = {link: link.pipes[Direction.TO_CLIENT].carried_bytes for link in table.network.links("bot")}
    await trio.sleep(4)
    return sorted(carried, key=lambda link: carried[link] - link.pipes[Direction.TO_CLIENT].carried_bytes)[:2]

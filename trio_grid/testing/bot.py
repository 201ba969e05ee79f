"""The whole bot in memory: the real Bot, client, journal and paper exchange, on a market that the test scripts.

Owns the composition for tests, as `cli/run_command.py` owns it for users: the same parts in the same order, with
links of memory where that has sockets, and nothing left out. Run it under MockClock (`seeded_run`, or the fixture
`autojump_clock`). Whatever a life of the bot left behind is looked for when it ends: tasks, threads, links, and a
journal that replays without difference.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
import trio.testing

from trio_grid.config import ExitPolicy, parse_config
from trio_grid.domain.actions import Action, PlaceOrder
from trio_grid.domain.client_order_id import OrderIdParts, decode
from trio_grid.domain.inputs import Decision
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange
from trio_grid.exchange.paper.engine.records import PaperOrder
from trio_grid.exchange.paper.engine.symbols import paper_symbol
from trio_grid.exchange.paper.server.request_limits import LimitSettings
from trio_grid.exchange.paper.server.server import DEFAULT_KEY
from trio_grid.journal.reader import read_journal
from trio_grid.journal.recovery import replay_all, verify
from trio_grid.supervisor import RunOptions
from trio_grid.testing.bot_life import (
    KLINE_STREAM,
    ORDER_ENTRY,
    PRICE_STREAM,
    USER_STREAM,
    Life,
    NeverHappened,
)
from trio_grid.testing.drills import marked_tasks
from trio_grid.testing.faults import Fault, FaultPlan, Injection
from trio_grid.testing.memory_network import Link, MemoryNetwork
from trio_grid.testing.paper import DEFAULT_BALANCE_UNITS, START_MS, PaperHandle, open_paper_exchange
from trio_grid.testing.scripted_market import ScriptedMarket

FIRST_BID_TICKS = 600_000
INTERVAL_TICKS = 1_000
LOTS = 10
"""The grid of `CONFIG`: 60,000.0, a level each 100 USDT, 0.010 BTC on each."""

CONFIG = """
[grid]
symbol = "BTCUSDT"
anchor = 60000
interval = 100
levels = 3
skew = 0
max_stride = 1
[size]
base_per_level = 0.010
by_volatility = false
[limits]
max_inventory = 0.1
[regime]
trend_filter = false
liquidity_filter = false
anomaly_brake = false
[journal]
path = "unused: the test opens the journal"
"""


@attrs.define(eq=False)
class Simulation:
    """One exchange, one account, one journal; lives of the bot come and go."""

    exchange: PaperHandle
    network: MemoryNetwork
    market: ScriptedMarket
    journal_path: Path
    nursery: trio.Nursery
    overrides: tuple[str, ...] = ()
    lives: list[Life] = attrs.Factory(list)

    # The exchange's side --------------------------------------------------------------------------------------------

    @property
    def symbol(self) -> str:
        """The symbol that is traded."""
        return self.market.symbol

    def now_ms(self) -> int:
        """Return the exchange's time."""
        return self.exchange.now_ms()

    async def quote(self, bid_ticks: int) -> None:
        """Move the market; orders that the new quote goes strictly through are filled."""
        await self._market_turn(lambda now_ms: self.market.quote(now_ms, bid_ticks))

    async def trade(self, price_ticks: int, lots: int, *, seller_takes: bool) -> None:
        """Let a stranger trade with who rests at a price."""
        await self._market_turn(lambda now_ms: self.market.trade(now_ms, price_ticks, lots, seller_takes=seller_takes))

    async def _market_turn(self, command: Callable[[int], None]) -> None:
        def turn(now_ms: int) -> None:
            command(now_ms)
            self.exchange.exchange.advance(now_ms)

        await self.exchange.call(turn)

    def orders(self) -> list[PaperOrder]:
        """Return every order of the account, oldest first, in the exchange's own books."""
        account = self.exchange.exchange.account_of(DEFAULT_KEY)
        return list(account.orders.get(self.symbol, {}).values())

    def resting(self) -> list[PaperOrder]:
        """Return the account's open orders, oldest first."""
        return [order for order in self.orders() if order.is_open]

    def position_lots(self) -> int:
        """Return the account's signed position."""
        return self.exchange.exchange.account_of(DEFAULT_KEY).position(self.symbol).lots

    def wallet_units(self) -> int:
        """Return the account's wallet."""
        return self.exchange.exchange.account_of(DEFAULT_KEY).wallet_units

    async def by_hand(self, **parameters: object) -> dict[str, Any]:
        """Place an order as the account's owner does beside the bot; parameters as on the wire, `price` in ticks,
        `quantity` in lots."""
        instrument = self.market.instrument
        words = {name: str(value) for name, value in parameters.items()}
        if "price" in parameters:
            words["price"] = f"{instrument.price(int(words['price'])):f}"
            words.setdefault("timeInForce", "GTC")
        words["quantity"] = f"{instrument.quantity(int(words['quantity'])):f}"
        words.setdefault("type", "LIMIT" if "price" in parameters else "MARKET")
        command = {"symbol": self.symbol, **words}
        return await self.exchange.call(lambda now_ms: self.exchange.exchange.place_order(DEFAULT_KEY, command, now_ms))

    def inject(self, fault: Fault) -> Injection:
        """Let a fault happen from now on; its times count from here. Raises ValueError for one that means nothing."""
        return self.exchange.inject(fault)

    # The bot's side -------------------------------------------------------------------------------------------------

    async def start_bot(
        self,
        *overrides: str,
        policy: ExitPolicy | None = None,
        begins: Callable[[Life], None] = lambda life: None,
        **options: Any,
    ) -> Life:
        """Begin a life of the bot; `overrides` are `--set` words, `options` fields of RunOptions.

        `begins` is called before the first step of it: what a drill needs.
        """
        settings = [*self.overrides, *overrides]
        if policy is not None:
            settings.append(f'exit.policy="{policy.value}"')
        life = Life(
            self,
            parse_config(CONFIG, settings),
            RunOptions(venue="paper", checkpoint_in_place=True, **options),
            owner=f"bot {len(self.lives) + 1}",
        )
        self.lives.append(life)
        begins(life)
        await self.nursery.start(life.run)
        return life

    async def trading_bot(self, *overrides: str, policy: ExitPolicy | None = None, **options: Any) -> Life:
        """Begin a life of the bot and wait until its whole ladder rests."""
        life = await self.start_bot(*overrides, policy=policy, **options)
        await life.until_trading()
        await life.until_quiet()
        return life

    def links(self, life: Life, target: str = "") -> list[Link]:
        """Return the open links of a life whose path begins with `target`."""
        return [link for link in self.network.links(life.owner, target) if link.open]

    def ours(self, orders: Sequence[PaperOrder]) -> list[tuple[PaperOrder, OrderIdParts]]:
        """Return the orders that speak the bot's grammar, with what their ids say."""
        return [(order, parts) for order in orders if (parts := decode(order.client_order_id)) is not None]

    # What must hold -------------------------------------------------------------------------------------------------

    def check_nothing_left(self, owner: str) -> None:
        """Raise AssertionError unless a life that is over has left no task, thread or link, and a sound journal."""
        left = list(marked_tasks())
        others = [life for life in self.lives if not life.ended.is_set()]
        if left and not others:
            raise AssertionError(f"tasks of the bot are left: {left}")
        if trio.testing.active_thread_count():
            raise AssertionError(f"{trio.testing.active_thread_count()} threads are left")
        links = [link for link in self.network.links(owner) if link.open]
        if links:
            raise AssertionError(f"links of {owner} are left open: {links}")
        self.check_journal()

    def check_journal(self) -> None:
        """Raise AssertionError unless the journal verifies, replays without difference, and knows every order of ours.

        Also: no client order id was used twice, and at most one order of each slot is live.
        """
        verification = verify(self.journal_path)
        if verification.problems:
            raise AssertionError(f"the journal is not sound: {verification.problems}")
        difference = replay_all(self.journal_path)
        if difference is not None:
            raise AssertionError(f"the journal replays with a difference: {difference}")
        ours = self.ours(self.orders())
        ids = [order.client_order_id for order, _ in ours]
        unknown = set(ids) - self.intents()
        if unknown:
            raise AssertionError(f"orders on the exchange that the journal never meant: {sorted(unknown)}")
        if len(ids) != len(set(ids)):
            raise AssertionError(f"a client order id was used twice: {ids}")
        self.check_one_order_per_slot()

    def check_one_order_per_slot(self) -> None:
        """Raise AssertionError if two live orders belong to one slot (F19)."""
        rungs = [parts.rung for order, parts in self.ours(self.orders()) if order.is_open]
        if len(rungs) != len(set(rungs)):
            raise AssertionError(f"two live orders in one slot: {[order for order in self.resting()]}")

    def intents(self) -> set[str]:
        """Return every client order id that the journal recorded before it was sent."""
        return {action.client_order_id for action in self.decided() if isinstance(action, PlaceOrder)}

    def decided(self) -> list[Action]:
        """Return every action that the journal holds, in its order."""
        if not self.journal_path.is_file():
            return []
        with read_journal(self.journal_path) as reader:
            return [
                action
                for record in reader.records()
                if isinstance(record.entry, Decision)
                for action in record.entry.actions
            ]


@asynccontextmanager
async def open_simulation(
    folder: Path,
    *overrides: str,
    heartbeat_ms: int = 1_000,
    limits: LimitSettings | None = None,
    seed: int = 1,
    faults: FaultPlan | None = None,
) -> AsyncIterator[Simulation]:
    """Serve a paper exchange on a scripted market, near which lives of the bot can be started on one journal.

    `overrides` are `--set` words on top of `CONFIG`. At the end every life has to be over, and what must hold is
    checked once more.
    """
    market = ScriptedMarket(start_ms=START_MS, bid_ticks=FIRST_BID_TICKS, heartbeat_ms=heartbeat_ms)
    account = AccountSpec(name=DEFAULT_KEY, balance_units=DEFAULT_BALANCE_UNITS)
    exchange = PaperExchange([(paper_symbol(market.instrument), market)], accounts=[account], fill_model="queue")
    network = MemoryNetwork()
    async with (
        open_paper_exchange(exchange, network=network, limits=limits, seed=seed, faults=faults) as handle,
        trio.open_nursery() as nursery,
    ):
        simulation = Simulation(handle, network, market, folder / "journal.sqlite3", nursery, overrides)
        yield simulation
        running = [life.owner for life in simulation.lives if not life.ended.is_set()]
        if running:
            raise AssertionError(f"the test ends while a bot runs: {running}")
        for life in simulation.lives:
            simulation.check_nothing_left(life.owner)


__all__ = [
    "CONFIG",
    "FIRST_BID_TICKS",
    "INTERVAL_TICKS",
    "KLINE_STREAM",
    "LOTS",
    "ORDER_ENTRY",
    "PRICE_STREAM",
    "USER_STREAM",
    "Life",
    "NeverHappened",
    "Simulation",
    "open_simulation",
]

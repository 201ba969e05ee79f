"""Whole sessions under faults drawn by a seed: after all of it the books are the exchange's, whatever happened.

While it goes on, no slot ever has two live orders, and what rests plus what is held stays within the limit.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from tests.simulation.rig import ALL, run_simulation
from tests.simulation.wiretap import Wiretap, order_answers, order_events
from trio_grid.config import ExitPolicy
from trio_grid.domain.events import Side
from trio_grid.domain.inputs import Condition, TradingState
from trio_grid.testing.bot import (
    FIRST_BID_TICKS,
    KLINE_STREAM,
    ORDER_ENTRY,
    PRICE_STREAM,
    USER_STREAM,
    Life,
    Simulation,
)
from trio_grid.testing.memory_network import Direction, Link
from trio_grid.testing.paper import DEFAULT_BALANCE_UNITS

pytestmark = pytest.mark.drill

SEEDS = range(200 if ALL else 8)
SETTINGS = (
    (),
    ("grid.skew=0.5", "grid.levels=6", "limits.max_inventory=0.05"),
    ('grid.closings="post-only"',),
    ("limits.max_open_orders=4", "grid.levels=4"),
    ("limits.max_notional=1500",),
    ("grid.centre_hysteresis=0", "grid.levels_above=3", "grid.levels_below=5", "size.compounding=1"),
    ("limits.max_drawdown=20",),
)
ACTIONS = 100
FARTHEST_TICKS = 6_000
MAX_INVENTORY_LOTS = 100
TARGETS = (USER_STREAM, PRICE_STREAM, KLINE_STREAM, ORDER_ENTRY, "/fapi/")


class Storm:
    """One seeded session: the market, the faults, the lives of the bot."""

    def __init__(self, sim: Simulation, seed: int) -> None:
        self.sim = sim
        self.chance = random.Random(f"storm {seed}")
        self.tap = Wiretap(sim)
        self.life: Life | None = None
        self.done: list[str] = []
        self.restarts = 0
        self.foreign = False

    async def run(self) -> None:
        self.life = await self.sim.start_bot(policy=self.chance.choice(list(ExitPolicy)))
        acts: list[tuple[int, Callable[[], Awaitable[str]]]] = [
            (30, self.move),
            (15, self.trade),
            (6, self.cut),
            (3, self.refuse),
            (6, self.stall),
            (5, self.lose),
            (2, self.leap),
            (3, self.pause),
            (3, self.restart),
            (1, self.somebody_else),
        ]
        for _ in range(ACTIONS):
            [act] = self.chance.choices([act for _, act in acts], [weight for weight, _ in acts])
            self.done.append(f"{trio.current_time():.2f} {await act()}")
            await trio.sleep(self.chance.choice((0.0, 0.0, 0.05, 0.5, 2.0)))
            self.check()

    def check(self) -> None:
        """What has to hold at every moment, in the exchange's own books."""
        self.sim.check_one_order_per_slot()
        if self.foreign:
            return
        for sign, side in ((1, Side.BUY), (-1, Side.SELL)):
            plain = [order for order in self.sim.resting() if order.side is side and not order.reduce_only]
            worst = sign * self.sim.position_lots() + sum(order.remaining_lots for order in plain)
            assert worst <= MAX_INVENTORY_LOTS, f"{worst} lots could be held"

    # What can happen ------------------------------------------------------------------------------------------------

    async def move(self) -> str:
        bid = self.sim.market.bid_ticks + round(self.chance.gauss(0, 800))
        bid = max(FIRST_BID_TICKS - FARTHEST_TICKS, min(FIRST_BID_TICKS + FARTHEST_TICKS, bid))
        await self.sim.quote(bid)
        return f"quote {bid}"

    async def trade(self) -> str:
        """Somebody takes a part, or more, of the order next to the price."""
        resting = self.sim.resting()
        if not resting:
            return "nothing to trade with"
        bid = self.sim.market.bid_ticks
        order = min(resting, key=lambda order: abs(order.price_ticks - bid))
        lots = self.chance.randint(1, 12)
        await self.sim.trade(order.price_ticks, lots, seller_takes=order.side is Side.BUY)
        return f"trade {lots} at {order.price_ticks}"

    async def cut(self) -> str:
        target = self.chance.choice((*TARGETS, ""))
        for link in self.links(target):
            link.cut()
        return f"cut {target or 'everything'}"

    async def refuse(self) -> str:
        owner, seconds = self.owner, self.chance.uniform(0.5, 12)
        self.sim.network.refuse(owner)
        self.later(seconds, lambda: self.sim.network.refuse(owner, False))
        return f"refuse for {seconds:.1f} s"

    async def stall(self) -> str:
        target, direction = self.chance.choice(TARGETS), self.chance.choice(list(Direction))
        seconds = self.chance.uniform(0.1, 9)
        links = self.links(target)
        for link in links:
            link.stall(direction)

        def resume() -> None:
            for link in links:
                link.resume(direction)

        self.later(seconds, resume)
        return f"stall {target} {direction} for {seconds:.1f} s"

    async def lose(self) -> str:
        what = self.chance.choice((order_answers, order_events, rest_answers))
        seconds = self.chance.uniform(0.1, 6)
        self.later(seconds, self.tap.lose(what))
        return f"lose {what.__name__} for {seconds:.1f} s"

    async def leap(self) -> str:
        leap_ms = self.chance.choice((900, 8_000))
        self.sim.exchange.server.clock.start_ms += leap_ms
        return f"the exchange's clock leaps {leap_ms} ms"

    async def pause(self) -> str:
        life = self.life
        if life is None or not life.trading or life.bot is None or life.bot.desk is None:
            return "no pause"
        desk, active = life.bot.desk, self.chance.random() < 0.5
        desk.dispatcher.carry_out(desk.manager.set_condition(Condition.PAUSED, active, "storm"))
        return f"paused {active}"

    async def somebody_else(self) -> str:
        """The account's owner trades by hand; what he does is foreign, and what he takes away is missed."""
        if self.life is None or not self.life.trading:
            return "the owner waits"  # what he has before the journal's first start is refused there (R12)
        side, lots = self.chance.choice(("BUY", "SELL")), self.chance.randint(1, 5)
        await self.sim.by_hand(side=side, quantity=lots)
        self.foreign = True
        return f"the owner trades {side} {lots}"

    async def restart(self) -> str:
        """Stop in order, or be killed; then live again."""
        life = self.life
        assert life is not None
        if self.chance.random() < 0.5:
            life.stop.request("storm")
            how = f"stop {life.config.exit.policy.value}"
        else:
            life.session_scope.cancel(reason="storm")
            how = "cancel"
        await life.until_ended()
        assert life.error is None or not life.trading, life.error
        self.restarts += 1
        self.life = await self.sim.start_bot(policy=self.chance.choice(list(ExitPolicy)))
        return how

    # ----------------------------------------------------------------------------------------------------------------

    @property
    def owner(self) -> str:
        assert self.life is not None
        return self.life.owner

    def links(self, target: str) -> list[Link]:
        assert self.life is not None
        return self.sim.links(self.life, target)

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something after a time."""

        async def wait() -> None:
            await trio.sleep(seconds)
            action()

        self.sim.nursery.start_soon(wait)


def rest_answers(link: Link, direction: Direction, data: bytes) -> bool:
    """Name the answers of REST."""
    return direction is Direction.TO_CLIENT and link.target.startswith("/fapi/")


async def calm(storm: Storm) -> None:
    """After the last fault: one more life if need be, and everything agrees."""
    sim = storm.sim
    # The last fault ends, and a reconciliation passes: a report that was lost on a link that stands is found by it.
    await trio.sleep(15 + 61)
    life = storm.life
    assert life is not None
    if life.ended.is_set():
        life = await sim.start_bot()
    if not await life.until(lambda: life.trading and life.quiet() and not _closed(life), "calm", patience_s=200):
        raise AssertionError(f"the bot ended by itself: {life.error!r}")
    snapshot = life.snapshot()
    assert snapshot.trading_state is not TradingState.HALTED, snapshot.state_reason
    held = sum(slot.inventory_lots * slot.use.sign for slot in snapshot.slots)
    assert snapshot.net_lots == held
    assert snapshot.position_lots == held + snapshot.foreign_lots == sim.position_lots()
    assert snapshot.ledger.wallet_change_units("USDT") == sim.wallet_units() - DEFAULT_BALANCE_UNITS
    storm.check()
    report = await life.stopped()
    assert report.tie_out.checked
    assert not report.tie_out.differences, report.tie_out.differences
    # What the owner took away cannot be sold again, and the report says so.
    taken_away = storm.foreign and report.exit.policy is ExitPolicy.FLATTEN
    assert report.exit.confirmed or taken_away, report.exit


def _closed(life: Life) -> list[str]:
    """Return the doors that are closed, but for those that nobody opens again here."""
    return [door for door in life.snapshot().closed_doors if "paused" not in door and "reducing" not in door]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seeded_storm_of_faults_leaves_the_books_right(tmp_path: Path, seed: int) -> None:
    storms: list[Storm] = []

    async def script(sim: Simulation) -> None:
        storm = Storm(sim, seed)
        storms.append(storm)
        await storm.run()
        await calm(storm)

    mode, settings = ("long", "neutral", "short")[seed % 3], SETTINGS[seed % len(SETTINGS)]
    try:
        run_simulation(script, tmp_path, f'grid.mode="{mode}"', *settings, seed=seed)
    except BaseException as error:
        error.add_note(f"{mode} {settings}: " + "; ".join(storms[0].done if storms else []))
        raise

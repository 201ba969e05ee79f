"""One simulated run: the real bot, client and journal, the real exchange, a market and a world that does it ill.

Owns the order of things: the market moves, faults happen, the operator acts, and in the end everything calms down and
is looked at. What must hold stands in `invariants`, what happens in `scenario`.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import attrs
import trio
import trio.testing

from trio_grid.config import ExitPolicy, parse_config
from trio_grid.errors import ControlError, JournalError, TrioGridError
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperEvent, PaperExchange, UserEvent
from trio_grid.exchange.paper.engine.symbols import paper_symbol
from trio_grid.exchange.paper.server.server import DEFAULT_KEY
from trio_grid.journal.reader import read_journal
from trio_grid.services.control_socket import ControlRequest
from trio_grid.testing.bot import CONFIG, FIRST_BID_TICKS, Simulation
from trio_grid.testing.bot_life import Life, NeverHappened
from trio_grid.testing.drills import StepTrace
from trio_grid.testing.memory_network import MemoryNetwork
from trio_grid.testing.paper import DEFAULT_BALANCE_UNITS, START_MS, open_paper_exchange
from trio_grid.testing.scripted_market import ScriptedMarket
from trio_grid.testing.seeded import seeded_run
from trio_grid.testing.simulator.invariants import Violation, Watch, check_decisions, check_rest
from trio_grid.testing.simulator.scenario import Act, ActKind, Scenario

REST_WITHIN_S = 420.0
"""Virtual seconds after the last fault in which everything must have come to rest: a ban's two minutes, an absence
proved after one recvWindow, and a full reconciliation after each."""
STILL_S = 20.0
"""How long nothing may be sent once everything rests."""
START_WITHIN_S = 300.0


@attrs.frozen(kw_only=True)
class Outcome:
    """What a run gave. `violation` is empty if everything held; `trace` is the same for the same scenario."""

    scenario: Scenario
    violation: str
    invariant: str
    trace: str
    virtual_s: float
    real_s: float
    orders: int
    fills: int
    looks: int
    timeline: tuple[str, ...] = ()


@attrs.define(eq=False)
class World:
    """A run under way."""

    scenario: Scenario
    simulation: Simulation
    watch: Watch
    timeline: list[str] = attrs.Factory(list)
    violation: Violation | None = None
    fills: int = 0

    @property
    def life(self) -> Life:
        """The bot's present life."""
        return self.simulation.lives[-1]

    async def begin_life(self) -> None:
        """Start the bot, anew or again; its journal's bot id comes from the seed."""
        seeded = random.Random(f"bot {self.scenario.seed}")  # noqa: S311 - chance that repeats is the purpose
        await self.simulation.start_bot(policy=ExitPolicy.KEEP, random_bytes=seeded.randbytes)

    def note(self, words: str) -> None:
        """Write one line of the timeline, with the virtual time."""
        self.timeline.append(f"{trio.current_time():10.3f}  {words}")

    def look(self, events: Sequence[PaperEvent]) -> None:
        """Check everything after each batch of the exchange's events; the first violation is kept."""
        for event in events:
            if isinstance(event, UserEvent):
                order = event.payload.get("o", {})
                self.fills += order.get("x") == "TRADE"
                if order:
                    words = ("S", "o", "p", "q", "z", "x", "X", "c")
                    self.note("exchange " + " ".join(str(order.get(word)) for word in words))
        if self.violation is None:
            try:
                self.watch.look(self.simulation)
            except Violation as violation:
                self.violation = violation
                self.note(f"VIOLATION {violation}")


def simulate(scenario: Scenario, folder: Path) -> Outcome:
    """Let a scenario happen; `folder` takes the journal and must be empty.

    Never raises for what the bot does: everything that goes wrong is the outcome's violation.
    """
    begun = time.monotonic()
    steps = StepTrace()
    found: list[World] = []
    violation: Violation | None = None

    async def main() -> None:
        await _live(scenario, folder, found)

    try:
        seeded_run(scenario.seed, main, steps)
    except* Violation as group:
        violation = _first(group)
    except* (NeverHappened, AssertionError, TrioGridError) as group:
        violation = violation or Violation("the run itself", repr(_first(group)))
    world = found[0] if found else None
    if world is not None and world.violation is not None:
        violation = world.violation
    timeline = tuple(world.timeline) if world is not None else ()
    digest = hashlib.sha256("\n".join((*timeline, steps.digest())).encode()).hexdigest()
    return Outcome(
        scenario=scenario,
        violation=str(violation or ""),
        invariant="" if violation is None else violation.invariant,
        trace=digest,
        virtual_s=scenario.duration_s,
        real_s=time.monotonic() - begun,
        orders=0 if world is None else len(world.simulation.orders()),
        fills=0 if world is None else world.fills,
        looks=0 if world is None else world.watch.looked,
        timeline=timeline,
    )


def _first(group: BaseExceptionGroup[Any]) -> Any:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _live(scenario: Scenario, folder: Path, found: list[World]) -> None:
    market = ScriptedMarket(start_ms=START_MS, bid_ticks=FIRST_BID_TICKS, heartbeat_ms=1_000)
    account = AccountSpec(name=DEFAULT_KEY, balance_units=DEFAULT_BALANCE_UNITS)
    exchange = PaperExchange([(paper_symbol(market.instrument), market)], accounts=[account], fill_model="queue")
    network = MemoryNetwork()

    def look(events: Sequence[PaperEvent]) -> None:
        if found:
            found[0].look(events)

    async with (
        open_paper_exchange(
            exchange, network=network, seed=scenario.seed, before_telling=look, faults=scenario.faults
        ) as handle,
        trio.open_nursery() as nursery,
    ):
        simulation = Simulation(handle, network, market, folder / "journal.sqlite3", nursery, scenario.settings)
        limit = parse_config(CONFIG, scenario.settings).limits.max_inventory
        limit_lots = 0 if limit is None else int(limit / market.instrument.lot_size)
        world = World(scenario, simulation, Watch(limit_lots=limit_lots))
        found.append(world)
        await world.begin_life()
        async with trio.open_nursery() as drivers:
            drivers.start_soon(_drive_market, world)
            drivers.start_soon(_drive_acts, world)
        await _calm_down(world)


async def _drive_market(world: World) -> None:
    begun = trio.current_time()
    for move in world.scenario.moves:
        await trio.sleep_until(begun + move.at_s)
        if world.violation is not None:
            return
        if move.lots:
            bid = world.simulation.market.bid_ticks
            price = bid if move.seller_takes else bid + 1
            resting = [o for o in world.simulation.resting() if o.price_ticks and abs(o.price_ticks - bid) <= 3_000]
            if resting:
                price = min(resting, key=lambda o: (abs((o.price_ticks or 0) - bid), o.order_id)).price_ticks or price
            await world.simulation.trade(price, move.lots, seller_takes=price <= bid)
        world.note(f"market bid {move.bid_ticks}")
        await world.simulation.quote(move.bid_ticks)


async def _drive_acts(world: World) -> None:
    begun = trio.current_time()
    for act in world.scenario.acts:
        await trio.sleep_until(begun + act.at_s)
        if world.violation is not None:
            return
        world.note(f"operator {act.kind}")
        await _ACTS[act.kind](world, act)


async def _ask(world: World, command: Literal["pause", "resume"]) -> None:
    control = None if world.life.bot is None else world.life.bot.control
    if control is None or world.life.ended.is_set():
        return
    # What the desk cannot do now (the exchange does not answer a `resume`) the operator hears, and tries again.
    with suppress(ControlError, TrioGridError), trio.move_on_after(60):
        await control.handle(ControlRequest(command=command, reason="simulated operator"))


async def _pause(world: World, act: Act) -> None:
    await _ask(world, "pause")


async def _resume(world: World, act: Act) -> None:
    await _ask(world, "resume")


async def _restart(world: World, act: Act) -> None:
    if not world.life.ended.is_set():
        world.life.stop.request("simulated operator")
        await world.life.ended.wait()
    await world.begin_life()


async def _crash(world: World, act: Act) -> None:
    """Copy the journal as it is, cut the links, and let a new life open the copy."""
    life, simulation = world.life, world.simulation
    copy = simulation.journal_path.with_name(f"crash{len(simulation.lives)}.sqlite3")
    if life.journal is not None and not life.ended.is_set():
        with suppress(JournalError):
            life.journal.copy_to(copy)
    simulation.network.refuse(life.owner)
    if act.kind is ActKind.CRASH:
        simulation.network.watch(lambda link, direction, data: None if link.owner == life.owner else data)
    else:
        simulation.network.cut(life.owner)
    life.session_scope.cancel(reason="simulated crash")
    await life.ended.wait()
    simulation.network.cut(life.owner)
    if copy.exists():
        simulation.journal_path = copy
    await world.begin_life()


async def _order_by_hand(world: World, act: Act) -> None:
    bid = world.simulation.market.bid_ticks
    placed = await world.simulation.by_hand(
        side="BUY", price=bid - 25_000, quantity=5, newClientOrderId=f"web_{len(world.watch.by_hand)}"
    )
    world.watch.by_hand.add(int(placed["orderId"]))


_ACTS = {
    ActKind.PAUSE: _pause,
    ActKind.RESUME: _resume,
    ActKind.RESTART: _restart,
    ActKind.CRASH: _crash,
    ActKind.POWER_LOSS: _crash,
    ActKind.ORDER_BY_HAND: _order_by_hand,
}


async def _calm_down(world: World) -> None:
    """End the troubles, wait until everything rests, and look at what is there."""
    for injection in world.simulation.exchange.faults.injections:
        injection.end()
    world.note("calm")
    deadline = trio.current_time() + REST_WITHIN_S
    while world.violation is None and trio.current_time() < deadline:
        await trio.sleep(5)
        if world.life.ended.is_set():
            raise Violation("liveness", f"the bot has ended: {world.life.error!r} {world.life.report!r}")
        await _ask(world, "resume")
        if world.life.trading and not world.life.snapshot().closed_doors and world.life.quiet():
            break
    if world.violation is None:
        await _hold_still(world)
    world.life.stop.request("the run is over")
    await world.life.ended.wait()
    if world.violation is not None:
        raise world.violation
    if world.life.error is not None:
        raise Violation("an orderly end", repr(world.life.error))
    for life in world.simulation.lives:
        world.simulation.check_nothing_left(life.owner)
    with read_journal(world.simulation.journal_path) as reader:
        check_decisions(list(reader.records()))
    _check_money(world)


async def _hold_still(world: World) -> None:
    check_rest(world.life, world.simulation)
    before = len(world.simulation.orders())
    await trio.sleep(STILL_S)
    sent = len(world.simulation.orders()) - before
    if sent and world.life.snapshot().counters.orders_refused == 0:
        raise Violation("liveness", f"{sent} orders were sent although nothing happened")
    check_rest(world.life, world.simulation)


def _check_money(world: World) -> None:
    """The account's view of the ledger is the change of the wallet, to the last digit (F21)."""
    life = world.life
    if life.report is None:
        raise Violation("an orderly end", "no report")
    if life.report.tie_out.differences or not life.report.tie_out.checked:
        raise Violation("money", f"ties out: {life.report.tie_out.words}")

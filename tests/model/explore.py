"""Breadth-first exploration of all worlds, what may be in none of them, and the way back to a quiet one.

`python -m tests.model` explores and prints; the tests explore smaller bounds.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque

import msgspec

from tests.model.moves import LEVEL_LOTS, Bounds, first_world, moves
from tests.model.world import BadState, Key, World, rung_of
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.events import Side
from trio_grid.domain.inputs import TradingState
from trio_grid.domain.slot import OrderStatus, Role


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What an exploration saw. From `restless` worlds no quiet one can be reached; `trace` leads to a bad one."""

    worlds: int
    moves: int
    depth: int
    complete: bool
    quiet: int
    restless: int
    taken: dict[str, int]
    bad: str = ""
    trace: tuple[str, ...] = ()


def check(world: World, slots: int) -> None:
    """Raise BadState if a world may not be."""
    fields = world.fields
    if fields.trading_state is TradingState.HALTED:
        raise BadState(f"halted: {fields.state_reason}")
    live = Counter(rung_of(order.action.client_order_id) for order in world.orders if order.live)
    if any(count > 1 for count in live.values()):
        raise BadState(f"two live orders of one slot on the exchange: {dict(live)}")
    unbooked = sum(trade.side.sign * trade.quantity_lots for trade in world.unbooked)
    held = sum(slot.inventory_lots for slot in world.slots)
    if held + unbooked != world.position_lots:
        raise BadState(f"slots hold {held} lots, unbooked are {unbooked}, the exchange has {world.position_lots}")
    if world.position_lots < 0:
        raise BadState(f"a long grid is short: {world.position_lots} lots")
    _check_exposure(world, slots)


def _check_exposure(world: World, slots: int) -> None:
    """Whatever fills, the position stays within the limit (F4): on the exchange, and of requests under way."""
    requests = [action for action in (*world.unsent, *world.ghosts) if isinstance(action, PlaceOrder)]
    asked = sum(action.quantity_lots for action in requests if action.side is Side.BUY)
    buys = asked + sum(order.left_lots for order in world.orders if order.live and order.action.side is Side.BUY)
    if world.position_lots + buys > slots * LEVEL_LOTS:
        raise BadState(f"{world.position_lots} lots held and {buys} being bought pass {slots * LEVEL_LOTS}")


def is_quiet(world: World) -> bool:
    """Return whether nothing is under way, and each cell has the order that it should have, live on the exchange."""
    if world.unsent or world.ghosts or world.air or world.unbooked or world.fields.conditions:
        return False
    resting = {slot.rung: slot.order for slot in world.slots if slot.order is not None}
    for slot in world.slots:
        if slot.inventory_lots and (slot.order is None or slot.order.role is not Role.CLOSE):
            return False
    live = {order.action.client_order_id for order in world.orders if order.live}
    known = {order.client_order_id for order in resting.values() if order.status is OrderStatus.LOCKED}
    return bool(resting) and len(known) == len(resting) and known == live


class Explorer:
    """One exploration; `run` makes it, and afterwards the figures stand in `found`."""

    def __init__(self, slots: int, bounds: Bounds, depth: int | None = None) -> None:
        self.slots, self.bounds, self.depth = slots, bounds, depth
        self.places: dict[Key, int] = {}
        self.frontier: deque[tuple[int, int, World]] = deque()
        self.parents, self.names = array("q"), list[str]()
        self.edges_from, self.edges_to = array("q"), array("q")
        self.quiet, self.cut = set[int](), set[int]()
        self.taken: Counter[str] = Counter()
        self.deepest = 0

    def run(self) -> Found:
        """Explore every world, or those up to the depth; stop at the first bad one."""
        self._reach(first_world(self.slots), -1, "", 0)
        while self.frontier:
            place, level, world = self.frontier.popleft()
            self.deepest = max(self.deepest, level)
            if self.depth is not None and level >= self.depth:
                self.cut.add(place)
                continue
            name = ""
            try:
                for name, reached in moves(world, self.bounds):
                    self.taken[name] += 1
                    self._reach(reached, place, name, level + 1)
            except BadState as bad:
                return self._found(bad=f"{bad}, after {name or 'a move'}", trace=self._trace(place))
        return self._found()

    def _reach(self, world: World, origin: int, name: str, level: int) -> None:
        generations = self.bounds.generations
        if generations is not None and world.fields.generation > generations * self.slots:
            return
        check(world, self.slots)
        world = world.forget_the_dead()
        key = world.key()
        place = self.places.get(key)
        if place is None:
            place = self.places[key] = len(self.places)
            self.parents.append(origin)
            self.names.append(name)
            self.frontier.append((place, level, world))
            if is_quiet(world):
                self.quiet.add(place)
        if origin >= 0:
            self.edges_from.append(origin)
            self.edges_to.append(place)

    def _trace(self, place: int) -> tuple[str, ...]:
        """Return the moves that led to a world."""
        steps = []
        while place > 0:
            steps.append(self.names[place])
            place = self.parents[place]
        return tuple(reversed(steps))

    def _found(self, bad: str = "", trace: tuple[str, ...] = ()) -> Found:
        return Found(
            worlds=len(self.places),
            moves=self.taken.total(),
            depth=self.deepest,
            complete=not self.cut and not bad,
            quiet=len(self.quiet),
            restless=0 if bad else len(self.places) - len(self._calming()),
            taken=dict(sorted(self.taken.items())),
            bad=bad,
            trace=trace,
        )

    def _calming(self) -> set[int]:
        """Return the worlds from which a quiet one, or one at the depth limit, can be reached."""
        before: dict[int, list[int]] = {}
        for origin, target in zip(self.edges_from, self.edges_to, strict=True):
            before.setdefault(target, []).append(origin)
        reached = self.quiet | self.cut
        todo = list(reached)
        while todo:
            for origin in before.get(todo.pop(), ()):
                if origin not in reached:
                    reached.add(origin)
                    todo.append(origin)
        return reached

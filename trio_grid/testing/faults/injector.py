"""Lets the faults of a plan happen: the disturbance that stands in the paper server's ways.

Owns which faults happen when, and the events that are held back. What each kind does stands with its class.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import random
from collections.abc import Sequence

import attrs
import trio

from trio_grid.exchange.paper.engine.exchange import PaperEvent, UserEvent
from trio_grid.exchange.paper.server.disturbance import Asked, CarryOut, Connection, Delivery, HandshakeRefusal, View
from trio_grid.exchange.paper.server.request_gate import Answer
from trio_grid.exchange.paper.server.server import PaperServer
from trio_grid.testing.faults.acts import ActFault
from trio_grid.testing.faults.events import EventFault
from trio_grid.testing.faults.links import HandshakeFault, StreamFault
from trio_grid.testing.faults.maintenance import Maintenance
from trio_grid.testing.faults.model import Fault
from trio_grid.testing.faults.plan import FaultPlan, faults_of
from trio_grid.testing.faults.requests import RequestFault, StaleRead
from trio_grid.testing.faults.scene import Scene

log = logging.getLogger(__name__)

NO_PLAN = FaultPlan()


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds: sums of fractions must not fall between two of them."""
    return round(seconds * 1000)


@attrs.define(eq=False)
class Injection:
    """One fault of a running exchange, and how often it has happened. Times are the exchange's milliseconds."""

    fault: Fault
    begun_ms: int
    """From when the fault's own times count."""
    chance: random.Random
    matched: int = 0
    happened: int = 0
    ended: bool = False

    def end(self) -> None:
        """Let it happen no more."""
        self.ended = True

    def stands(self, now_ms: int) -> bool:
        """Return whether the fault's window is open."""
        when, age_ms = self.fault.when, now_ms - self.begun_ms
        begun = not self.ended and age_ms >= milliseconds(when.from_s)
        return begun and (when.to_s is None or age_ms < milliseconds(when.to_s))

    def left_ms(self, now_ms: int) -> int:
        """Return how long the window stays open; 0 if it never closes."""
        to_s = self.fault.when.to_s
        return 0 if to_s is None else self.begun_ms + milliseconds(to_s) - now_ms

    def happens(self, now_ms: int) -> bool:
        """Count one match, and return whether the fault happens to it."""
        when = self.fault.when
        if not self.stands(now_ms) or (when.times is not None and self.happened >= when.times):
            return False
        self.matched += 1
        if when.nth is not None and self.matched != when.nth:
            return False
        if when.every is not None and self.matched % when.every:
            return False
        if when.probability is not None and self.chance.random() >= when.probability:
            return False
        self.note()
        return True

    def note(self) -> None:
        """Count one time that the fault happens."""
        self.happened += 1
        log.info("fault %s happens for the %d. time", self.fault.kind, self.happened)

    def due_ms(self) -> int | None:
        """Return when an act happens next; None for never again."""
        when = self.fault.when
        most = when.times if when.times is not None else 1 if when.every_s is None else None
        at_ms = milliseconds(when.from_s) + self.happened * milliseconds(when.every_s or 0.0)
        over = when.to_s is not None and at_ms >= milliseconds(when.to_s)
        return None if self.ended or over or (most is not None and self.happened >= most) else self.begun_ms + at_ms


class FaultInjector:
    """The disturbance of one server. `inject` adds faults while it runs; their times count from then."""

    def __init__(self, plan: FaultPlan = NO_PLAN) -> None:
        """Take a plan, whose times count from the server's start.

        Raises:
            ValueError: a fault of the plan means nothing.
        """
        self.injections: list[Injection] = []
        self._seed = plan.seed
        self._scene: Scene | None = None
        self._news = trio.Event()
        self._held: list[tuple[int, int, UserEvent]] = []
        self._places = itertools.count()
        for fault in plan.faults:
            self.inject(fault)

    def __repr__(self) -> str:
        return f"<FaultInjector {[(one.fault.kind, one.happened) for one in self.injections]}>"

    def inject(self, fault: Fault) -> Injection:
        """Add a fault and return its handle.

        Raises:
            ValueError: the fault means nothing, for example a side of a stream.
        """
        wrong = [f"{path}: {words}" for path, words in faults_of(fault)]
        if wrong:
            raise ValueError(f"{fault.kind}: {'; '.join(wrong)}")
        begun_ms = 0 if self._scene is None else self._scene.elapsed_ms()
        chance = random.Random(f"{self._seed} {len(self.injections)} {fault.kind}")  # noqa: S311 - repeatable on purpose
        injection = Injection(fault, begun_ms, chance)
        self.injections.append(injection)
        if self._scene is not None and isinstance(fault, StaleRead):
            self._scene.remember(fault.age_ms)
        self._news.set()
        return injection

    # The hooks --------------------------------------------------------------------------------------------------------

    async def run(self, server: PaperServer, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do what is due by itself, until cancelled."""
        scene = self._scene = Scene(server)
        for injection in self.injections:
            if isinstance(injection.fault, StaleRead):
                scene.remember(injection.fault.age_ms)
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                self._news = trio.Event()
                next_ms = self._do_what_is_due(scene, nursery)
                wake_at = float("inf")
                if next_ms is not None:
                    wake_at = server.clock.trio_time_at(server.clock.start_ms + next_ms)
                with trio.move_on_at(wake_at):
                    await self._news.wait()

    def _do_what_is_due(self, scene: Scene, nursery: trio.Nursery) -> int | None:
        """Begin every act whose time has come, and return when the next one is due."""
        next_ms: int | None = None
        now_ms = scene.elapsed_ms()
        for injection in self.injections:
            if not isinstance(injection.fault, ActFault):
                continue
            due_ms = injection.due_ms()
            if due_ms is not None and due_ms <= now_ms:
                injection.note()
                nursery.start_soon(injection.fault.act, scene)
                due_ms = injection.due_ms()
            if due_ms is not None:
                next_ms = due_ms if next_ms is None else min(next_ms, due_ms)
        return next_ms

    async def answer(self, asked: Asked, carry_out: CarryOut) -> Answer:
        """Answer a request through every fault that happens to it; the first of the plan is the outermost."""
        scene = self._scene
        if scene is None:
            return await carry_out()
        now_ms = scene.elapsed_ms()
        meant: list[RequestFault] = []
        for injection in self.injections:
            fault = injection.fault
            if isinstance(fault, Maintenance) and injection.stands(now_ms):
                return fault.answer(scene, asked)
            if isinstance(fault, RequestFault) and fault.concerns(asked) and injection.happens(now_ms):
                meant.append(fault)
        for fault in reversed(meant):
            carry_out = _through(fault, scene, asked, carry_out)
        return await carry_out()

    def handshake(self, path: str, address: str) -> HandshakeRefusal | None:
        """Refuse a handshake, or let it in."""
        if self._scene is None:
            return None
        now_ms = self._scene.elapsed_ms()
        for injection in self.injections:
            fault = injection.fault
            if isinstance(fault, Maintenance) and injection.stands(now_ms):
                return fault.refusal()
            if isinstance(fault, HandshakeFault) and fault.concerns(path) and injection.happens(now_ms):
                return fault.refusal()
        return None

    def frame(self, connection: Connection, text: str) -> Delivery | None:
        """Say how a frame of a stream leaves: as the first fault wants it that happens to it."""
        if self._scene is None:
            return None
        now_ms = self._scene.elapsed_ms()
        for injection in self.injections:
            fault = injection.fault
            if isinstance(fault, StreamFault) and fault.concerns(connection) and injection.happens(now_ms):
                return fault.delivery(injection.left_ms(now_ms) / 1000 / self._scene.server.clock.speed)
        return None

    def events(self, events: Sequence[PaperEvent]) -> Sequence[PaperEvent]:
        """Say what the streams are told now."""
        scene = self._scene
        if scene is None:
            return events
        told: list[PaperEvent] = self._due(scene)
        if any(isinstance(event, UserEvent) for event in events):
            scene.note()
        now_ms = scene.elapsed_ms()
        for event in events:
            if isinstance(event, UserEvent):
                told += self._told(scene, event, now_ms)
            else:
                told.append(event)
        return told

    def next_event_ms(self) -> int | None:
        """Return when an event that was held back is due."""
        if self._scene is None or not self._held:
            return None
        return self._scene.server.clock.start_ms + self._held[0][0]

    def _due(self, scene: Scene) -> list[PaperEvent]:
        now_ms = scene.elapsed_ms()
        due: list[PaperEvent] = []
        while self._held and self._held[0][0] <= now_ms:
            due.append(heapq.heappop(self._held)[2])
        return due

    def _told(self, scene: Scene, event: UserEvent, now_ms: int) -> list[UserEvent]:
        def hold(held: UserEvent, delay_ms: int) -> None:
            due_ms = scene.elapsed_ms() + delay_ms
            heapq.heappush(self._held, (due_ms, next(self._places), held))

        told = [event]
        for injection in self.injections:
            fault = injection.fault
            if not isinstance(fault, EventFault):
                continue
            before, told = told, []
            for one in before:
                if fault.concerns(one) and injection.happens(now_ms):
                    told += fault.told(one, injection.happened, hold)
                else:
                    told.append(one)
        return told


def _through(fault: RequestFault, scene: Scene, asked: Asked, inner: CarryOut) -> CarryOut:
    """Return what carries a request out with a fault around it."""

    async def carry(view: View | None = None) -> Answer:
        async def rest(own: View | None = None) -> Answer:
            return await inner(own or view)

        return await fault.answer(scene, asked, rest)

    return carry

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


@attrs.define(eq=False)
class Injection:
    """One fault of a running exchange, and how often it has happened."""

    fault: Fault
    begun_s: float
    """The exchange's seconds from which the fault's own times count."""
    chance: random.Random
    matched: int = 0
    happened: int = 0
    ended: bool = False

    def end(self) -> None:
        """Let it happen no more."""
        self.ended = True

    def stands(self, now_s: float) -> bool:
        """Return whether the fault's window is open."""
        when, age_s = self.fault.when, now_s - self.begun_s
        return not self.ended and age_s >= when.from_s and (when.to_s is None or age_s < when.to_s)

    def left_s(self, now_s: float) -> float:
        """Return the exchange seconds until the window closes; 0 if it never does."""
        to_s = self.fault.when.to_s
        return 0.0 if to_s is None else self.begun_s + to_s - now_s

    def happens(self, now_s: float) -> bool:
        """Count one match, and return whether the fault happens to it."""
        when = self.fault.when
        if not self.stands(now_s) or (when.times is not None and self.happened >= when.times):
            return False
        self.matched += 1
        if when.nth is not None and self.matched != when.nth:
            return False
        if when.every is not None and self.matched % when.every:
            return False
        if when.probability is not None and self.chance.random() >= when.probability:
            return False
        self.happened += 1
        log.info("fault %s happens for the %d. time", self.fault.kind, self.happened)
        return True

    def due_s(self) -> float | None:
        """Return when, in exchange seconds, an act happens next; None for never again."""
        when = self.fault.when
        most = when.times if when.times is not None else 1 if when.every_s is None else None
        at_s = self.begun_s + when.from_s + self.happened * (when.every_s or 0.0)
        over = when.to_s is not None and at_s >= self.begun_s + when.to_s
        return None if self.ended or over or (most is not None and self.happened >= most) else at_s


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
        begun_s = 0.0 if self._scene is None else self._scene.elapsed_s()
        chance = random.Random(f"{self._seed} {len(self.injections)} {fault.kind}")  # noqa: S311 - repeatable on purpose
        injection = Injection(fault, begun_s, chance)
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
                next_s = self._do_what_is_due(scene, nursery)
                wait_s = max(0.0, next_s - scene.elapsed_s()) / server.clock.speed
                with trio.move_on_after(wait_s):
                    await self._news.wait()

    def _do_what_is_due(self, scene: Scene, nursery: trio.Nursery) -> float:
        """Begin every act whose time has come, and return when the next one is due."""
        next_s = float("inf")
        now_s = scene.elapsed_s()
        for injection in self.injections:
            fault = injection.fault
            if not isinstance(fault, ActFault):
                continue
            due_s = injection.due_s()
            if due_s is not None and due_s <= now_s:
                injection.happened += 1
                log.info("fault %s happens for the %d. time", fault.kind, injection.happened)
                nursery.start_soon(fault.act, scene)
                due_s = injection.due_s()
            if due_s is not None:
                next_s = min(next_s, due_s)
        return next_s

    async def answer(self, asked: Asked, carry_out: CarryOut) -> Answer:
        """Answer a request through every fault that happens to it; the first of the plan is the outermost."""
        scene = self._scene
        if scene is None:
            return await carry_out()
        now_s = scene.elapsed_s()
        meant: list[RequestFault] = []
        for injection in self.injections:
            fault = injection.fault
            if isinstance(fault, Maintenance) and injection.stands(now_s):
                return fault.answer(scene, asked)
            if isinstance(fault, RequestFault) and fault.concerns(asked) and injection.happens(now_s):
                meant.append(fault)
        for fault in reversed(meant):
            carry_out = _through(fault, scene, asked, carry_out)
        return await carry_out()

    def handshake(self, path: str, address: str) -> HandshakeRefusal | None:
        """Refuse a handshake, or let it in."""
        if self._scene is None:
            return None
        now_s = self._scene.elapsed_s()
        for injection in self.injections:
            fault = injection.fault
            if isinstance(fault, Maintenance) and injection.stands(now_s):
                return fault.refusal()
            if isinstance(fault, HandshakeFault) and fault.concerns(path) and injection.happens(now_s):
                return fault.refusal()
        return None

    def frame(self, connection: Connection, text: str) -> Delivery | None:
        """Say how a frame of a stream leaves: as the first fault wants it that happens to it."""
        if self._scene is None:
            return None
        now_s = self._scene.elapsed_s()
        for injection in self.injections:
            fault = injection.fault
            if isinstance(fault, StreamFault) and fault.concerns(connection) and injection.happens(now_s):
                return fault.delivery(injection.left_s(now_s) / self._scene.server.clock.speed)
        return None

    def events(self, events: Sequence[PaperEvent]) -> Sequence[PaperEvent]:
        """Say what the streams are told now."""
        scene = self._scene
        if scene is None:
            return events
        told: list[PaperEvent] = self._due(scene)
        if any(isinstance(event, UserEvent) for event in events):
            scene.note()
        now_s = scene.elapsed_s()
        for event in events:
            if isinstance(event, UserEvent):
                told += self._told(scene, event, now_s)
            else:
                told.append(event)
        return told

    def next_event_ms(self) -> int | None:
        """Return when an event that was held back is due."""
        if self._scene is None or not self._held:
            return None
        return self._scene.server.clock.start_ms + self._held[0][0]

    def _due(self, scene: Scene) -> list[PaperEvent]:
        now_ms = scene.server.clock.elapsed_ms()
        due: list[PaperEvent] = []
        while self._held and self._held[0][0] <= now_ms:
            due.append(heapq.heappop(self._held)[2])
        return due

    def _told(self, scene: Scene, event: UserEvent, now_s: float) -> list[UserEvent]:
        def hold(held: UserEvent, delay_ms: int) -> None:
            due_ms = scene.server.clock.elapsed_ms() + delay_ms
            heapq.heappush(self._held, (due_ms, next(self._places), held))

        told = [event]
        for injection in self.injections:
            fault = injection.fault
            if not isinstance(fault, EventFault):
                continue
            before, told = told, []
            for one in before:
                if fault.concerns(one) and injection.happens(now_s):
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

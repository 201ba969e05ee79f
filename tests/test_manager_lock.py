"""S1, S4, S6, S7 and R6, R7: the lock, the one step of deciding and marking, readers with copies.

Each race is run on the manager and on one that was broken on purpose: a test that cannot see the fault proves nothing.
"""

from __future__ import annotations

import ast
import enum
import inspect
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import Sequencer

import trio_grid
from tests.domain.grid_bench import ANCHOR, INSTRUMENT, INTERVAL, parts_of, reading
from tests.domain.honest_exchange import HonestExchange
from tests.manager_bench import a_session, accept_all, new_manager, ready, ticker
from trio_grid.domain.actions import Action, PlaceOrder
from trio_grid.domain.client_order_id import decode
from trio_grid.domain.events import OrderUpdate, Side
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import (
    Condition,
    Correction,
    FiltersChanged,
    LatticeAnchored,
    TradingState,
    TradingStateChanged,
)
from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.domain.slot import InventorySlot
from trio_grid.domain.slot_book import SlotBook
from trio_grid.errors import InvariantBroken
from trio_grid.manager import PositionManager

PACKAGE = Path(trio_grid.__file__).parent
MANAGER = PACKAGE / "manager.py"


def foreign_update() -> OrderUpdate:
    exchange = HonestExchange()
    exchange.accept(
        PlaceOrder(
            client_order_id="web_1",
            side=Side.BUY,
            quantity_lots=QuantityLots(1),
            price_ticks=PriceTicks(1),
            post_only=False,
            reduce_only=False,
        )
    )
    return OrderUpdate(order=exchange.record("web_1"))


# S1, R6: one lock, never waited for ----------------------------------------------------------------------------------

CALLS: dict[str, Callable[[PositionManager], object]] = {
    "on_price": lambda manager: manager.on_price(ticker(ANCHOR)),
    "on_time": lambda manager: manager.on_time(),
    "on_order_update": lambda manager: manager.on_order_update(foreign_update()),
    "apply_action_results": lambda manager: manager.apply_action_results([]),
    "apply_corrections": lambda manager: manager.apply_corrections([]),
    "set_regime": lambda manager: manager.set_regime(reading()),
    "set_condition": lambda manager: manager.set_condition(Condition.PAUSED, True),
    "set_trading_state": lambda manager: manager.set_trading_state(
        TradingStateChanged(state=TradingState.REDUCING, reason="x")
    ),
    "set_filters": lambda manager: manager.set_filters(FiltersChanged(instrument=INSTRUMENT)),
    "start_session": lambda manager: manager.start_session(a_session()),
    "snapshot": lambda manager: manager.snapshot(),
    "ladder": lambda manager: manager.ladder(),
    "explain": lambda manager: manager.explain(ANCHOR),
    "has_booked": lambda manager: manager.has_booked(1),
    "image": lambda manager: manager.image(),
}


def test_every_public_method_is_tried() -> None:
    methods = {name for name, _ in inspect.getmembers(PositionManager, inspect.isfunction) if not name.startswith("_")}
    assert methods == set(CALLS)


@pytest.mark.parametrize("name", list(CALLS))
async def test_s1_a_taken_lock_is_a_broken_invariant_and_never_a_wait(name: str) -> None:
    """S1: nothing can wait for the lock, so nothing can deadlock on it; and each method gives it back."""
    manager = new_manager() if name == "start_session" else ready()
    with manager._guarded(), pytest.raises(InvariantBroken, match="lock is taken"):
        CALLS[name](manager)
    CALLS[name](manager)
    assert not manager._lock.locked()


@pytest.mark.parametrize("name", ["on_price", "snapshot", "set_regime"])
async def test_the_lock_is_given_back_after_an_error(name: str) -> None:
    manager = ready()
    manager._state = None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        CALLS[name](manager)
    assert not manager._lock.locked()


def awaits_in(tree: ast.AST) -> list[int]:
    """Return the lines on which a syntax tree could give way to another task."""
    yielding = (ast.Await, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith)
    return [node.lineno for node in ast.walk(tree) if isinstance(node, yielding)]


def lock_uses(tree: ast.AST) -> list[int]:
    """Return the lines that reach for somebody else's `_lock` or `_guarded`: `self._lock` of an own class is none."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in ("_lock", "_guarded")
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]


def test_r6_the_manager_has_no_await_and_nobody_else_uses_its_lock() -> None:
    tree = ast.parse(MANAGER.read_text())
    assert awaits_in(tree) == []
    users = {}
    for path in PACKAGE.rglob("*.py"):
        found = lock_uses(ast.parse(path.read_text()))
        if found:
            users[path.name] = found
    assert users == {}


def test_r6_the_lock_is_taken_in_one_place_and_without_waiting() -> None:
    tree = ast.parse(MANAGER.read_text())
    taking = [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("acquire", "acquire_nowait", "release")
    ]
    assert sorted(taking) == ["acquire_nowait", "release"]
    methods = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    unguarded = {
        method.name
        for method in methods
        if "self._state" in ast.unparse(method) and "_guarded" not in ast.unparse(method)
    }
    # Two helpers that are called inside the critical section, the constructor, and two readers of one number or word.
    assert unguarded == {"__init__", "__repr__", "wake_at_ms", "_decide"}


def test_r6_the_check_sees_an_await_and_a_stranger() -> None:
    broken = "class M:\n    async def on_price(self):\n        with self._guarded():\n            await checkpoint()\n"
    assert awaits_in(ast.parse(broken)) == [2, 4]
    assert lock_uses(ast.parse("manager._lock.acquire_nowait()")) == [1]


class WaitingManager(PositionManager):
    """Broken on purpose: it gives way to other tasks while it holds the lock."""

    async def slow_price(self, ticks: int, inside: trio.Event) -> None:
        with self._guarded():
            inside.set()
            await trio.testing.wait_all_tasks_blocked()
            self._half_ticks = 2 * ticks


async def test_r6_a_manager_that_awaits_while_holding_the_lock_is_caught() -> None:
    manager = ready(kind=WaitingManager)
    assert isinstance(manager, WaitingManager)
    inside = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(manager.slow_price, ANCHOR, inside)
        await inside.wait()
        with pytest.raises(InvariantBroken, match="somebody waits while holding it"):
            manager.on_price(ticker(ANCHOR))


# S4: decide and mark in one step -------------------------------------------------------------------------------------


class ForgetfulManager(PositionManager):
    """Broken on purpose: it decides, gives way, and marks only then."""

    async def price(self, ticks: int) -> tuple[Action, ...]:
        with self._guarded():
            decided = GridState.from_image(self._state.image())
            record = decided.decide(2 * ticks, self._now_ms(), 1_000, 0)
        await trio.lowlevel.checkpoint()
        with self._guarded():
            self._state = decided
        return () if record is None else record.entry.actions  # type: ignore[union-attr]


async def price_of(manager: PositionManager, ticks: int) -> tuple[Action, ...]:
    if isinstance(manager, ForgetfulManager):
        return await manager.price(ticks)
    actions = manager.on_price(ticker(ticks)).actions
    await trio.lowlevel.checkpoint()
    return actions


async def orders_per_slot_of_two_quick_prices(manager: PositionManager) -> Counter[int]:
    """Let two tasks bring a price each, at the same moment; return how many placements each slot got."""
    manager._state.apply(LatticeAnchored(anchor_ticks=PriceTicks(ANCHOR)), 1)
    placed: Counter[int] = Counter()

    async def bring(ticks: int) -> None:
        for action in await price_of(manager, ticks):
            placed[parts_of(action).rung] += isinstance(action, PlaceOrder)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bring, ANCHOR)
        nursery.start_soon(bring, ANCHOR + 1)
    return placed


async def test_s4_two_quick_prices_never_execute_the_same_orders_twice() -> None:
    """S4: what the first price decided is marked before any other task can look."""
    placed = await orders_per_slot_of_two_quick_prices(ready())
    assert set(placed) == {-3, -2, -1, 0, 1, 2}
    assert set(placed.values()) == {1}


async def test_s4_a_manager_that_gives_way_between_deciding_and_marking_is_caught() -> None:
    placed = await orders_per_slot_of_two_quick_prices(ready(kind=ForgetfulManager))
    assert set(placed.values()) == {2}, "the broken manager doubles every order, and the test above would see it"


# S6, R7: readers get copies ------------------------------------------------------------------------------------------


class LiveView:
    """What the broken manager hands out: it looks like a snapshot and is a window into the live books."""

    def __init__(self, book: SlotBook) -> None:
        self._book = book

    @property
    def slots(self) -> tuple[InventorySlot, ...]:
        return self._book.in_order()


class LeakyManager(PositionManager):
    """Broken on purpose: its snapshot is not disconnected."""

    def snapshot(self) -> Any:
        return LiveView(self._state.grid.book)


async def what_a_reconciler_sees(manager: PositionManager) -> tuple[bytes, bytes]:
    """Let order updates change the slots while a reconciler works on its snapshot; return it before and after."""
    exchange = HonestExchange()
    accept_all(manager, exchange, manager.on_price(ticker(ANCHOR)).actions)
    sequence = Sequencer()
    seen: list[bytes] = []

    async def reconcile() -> None:
        async with sequence(0):
            snapshot = manager.snapshot()
            seen.append(msgspec.json.encode(snapshot.slots))
        async with sequence(2):
            seen.append(msgspec.json.encode(snapshot.slots))

    async def update() -> None:
        async with sequence(1):
            for name in exchange.live_orders()[:3]:
                manager.on_order_update(exchange.fill(name))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reconcile)
        nursery.start_soon(update)
    return seen[0], seen[1]


async def test_s6_a_snapshot_does_not_move_under_its_reader() -> None:
    """S6: order updates between two looks of the reconciler change nothing in what it looks at."""
    before, after = await what_a_reconciler_sees(ready())
    assert before == after


async def test_s6_a_manager_that_hands_out_live_slots_is_caught() -> None:
    before, after = await what_a_reconciler_sees(ready(kind=LeakyManager))
    assert before != after, "the broken manager's slots move, and the test above would see it"


def mutable_parts(value: object, path: str = "snapshot") -> list[str]:
    """Return the paths of everything below a value that somebody could change."""
    if value is None or isinstance(value, (str, int, bool, bytes, Decimal, enum.Enum)):
        return []
    if isinstance(value, tuple):
        return [found for place, item in enumerate(value) for found in mutable_parts(item, f"{path}[{place}]")]
    if isinstance(value, msgspec.Struct) and type(value).__struct_config__.frozen:
        names = type(value).__struct_fields__
        return [found for name in names for found in mutable_parts(getattr(value, name), f"{path}.{name}")]
    return [f"{path}: {type(value).__name__}"]


async def test_r7_there_is_no_way_from_a_snapshot_to_anything_that_changes() -> None:
    manager, exchange = ready(), HonestExchange()
    accept_all(manager, exchange, manager.on_price(ticker(ANCHOR)).actions)
    manager.on_order_update(exchange.fill(exchange.live_orders()[0], 3))
    snapshot = manager.snapshot()
    assert mutable_parts(snapshot) == []
    assert mutable_parts(manager.ladder()) == []
    assert mutable_parts(manager.explain(ANCHOR)) == []
    with pytest.raises(AttributeError):
        setattr(snapshot.slots[0], "inventory_lots", 99)  # noqa: B010 - a type checker would see the plain assignment
    assert all(slot.version <= snapshot.sequence for slot in snapshot.slots)
    assert mutable_parts({"a": 1}) == ["snapshot: dict"]


async def test_s2_slots_may_change_while_a_reader_walks_them() -> None:
    """S2: the walk is over a tuple of its own; the books change freely meanwhile."""
    manager, exchange = ready(), HonestExchange()
    accept_all(manager, exchange, manager.on_price(ticker(ANCHOR)).actions)
    walked = []
    for slot in manager.snapshot().slots:
        walked.append(slot.rung)
        live = exchange.live_orders()
        if live:
            accept_all(manager, exchange, manager.on_order_update(exchange.fill(live[0])).actions)
        accept_all(manager, exchange, manager.on_price(ticker(ANCHOR + len(walked) * INTERVAL)).actions)
    assert walked == [-3, -2, -1, 0, 1, 2]


# S7: the fence -------------------------------------------------------------------------------------------------------


async def test_s7_an_answer_that_was_under_way_during_an_update_changes_nothing() -> None:
    """S7, R8: snapshot at T1, update at T1.5, the answer arrives at T2."""
    manager, exchange = ready(), HonestExchange()
    accept_all(manager, exchange, manager.on_price(ticker(ANCHOR)).actions)
    sequence = Sequencer()

    async def reconcile() -> None:
        async with sequence(0):
            snapshot = manager.snapshot()
            answers = [
                Correction(rung=slot.rung, version=slot.version, evidence=exchange.record(slot.order.client_order_id))
                for slot in snapshot.slots
                if slot.order is not None
            ]
        async with sequence(2):
            before = manager.snapshot()
            manager.apply_corrections(answers)
            after = manager.snapshot()
            assert [slot for slot in after.slots if slot.rung == changed] == [
                slot for slot in before.slots if slot.rung == changed
            ]
            assert after.counters.stale_corrections == 1

    async def update() -> None:
        async with sequence(1):
            manager.on_order_update(exchange.fill(name, 4))

    name = exchange.live_orders()[0]
    changed = parts_of_name(name)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reconcile)
        nursery.start_soon(update)
    assert manager.snapshot().net_lots == exchange.position_lots


def parts_of_name(name: str) -> int:
    """Return the rung of a client order id."""
    parts = decode(name)
    assert parts is not None
    return parts.rung

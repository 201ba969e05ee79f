"""The way of an outcome: journal first, then the channel, nothing in between, and never an order without its record."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio

from trio_grid.domain.actions import Action, CancelOrder, PlaceOrder
from trio_grid.domain.events import ActionResult, OrderNotSent, Side
from trio_grid.domain.inputs import (
    Condition,
    ConditionChanged,
    JournalRecord,
    Outcome,
    TradingState,
    TradingStateChanged,
)
from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.errors import InvariantBroken, JournalError
from trio_grid.services.dispatch import Dispatcher


def place(name: str) -> PlaceOrder:
    return PlaceOrder(
        client_order_id=name, side=Side.BUY, quantity_lots=QuantityLots(1), price_ticks=PriceTicks(1), post_only=True,
        reduce_only=False,
    )  # fmt: skip


def outcome(sequence: int, *actions: Action, notices: Sequence[str] = ()) -> Outcome:
    entry = ConditionChanged(condition=Condition.PAUSED, active=True)
    record = JournalRecord(sequence=sequence, now_ms=1, entry=entry)
    return Outcome(records=(record,), actions=actions, notices=tuple(notices))


class Told:
    """Journal and manager in one, as far as a dispatcher sees them: it writes down what it is told, in order."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.results: list[ActionResult] = []
        self.state: TradingState | None = None
        self.full = False
        self.image_at: int | None = None

    def commit(self, records: Sequence[JournalRecord]) -> None:
        if self.full:
            raise JournalError("SQLITE_FULL")
        self.said += [f"committed {record.sequence}" for record in records]

    def should_save_image(self, sequence: int) -> bool:
        return sequence == self.image_at

    def save_image(self, sequence: int, image: bytes) -> None:
        self.said.append(f"image {sequence} {image.decode()}")

    def image(self) -> bytes:
        return b"state"

    def set_trading_state(self, change: TradingStateChanged) -> Outcome:
        self.state = change.state
        return Outcome(records=(), actions=(CancelOrder(client_order_id="halted"),))

    def apply_action_results(self, results: Sequence[ActionResult]) -> Outcome:
        self.results += results
        return Outcome(records=(), actions=())


class Desk:
    def __init__(self, capacity: int = 10) -> None:
        self.told = Told()
        send, self.actions = trio.open_memory_channel[Action](capacity)
        self.alerts: list[str] = []
        self.dispatcher = Dispatcher(self.told, self.told, send, self.alerts.append)  # type: ignore[arg-type]

    def taken(self) -> list[str]:
        names = []
        while self.actions.statistics().current_buffer_used:
            names.append(self.actions.receive_nowait().client_order_id)
        return names


def test_r13_records_are_committed_before_any_action_is_handed_over() -> None:
    desk = Desk()
    seen: list[int] = []
    desk.dispatcher.watch(lambda _: seen.append(desk.actions.statistics().current_buffer_used))
    desk.dispatcher.carry_out(outcome(1, place("a"), CancelOrder(client_order_id="b")))
    assert desk.told.said == ["committed 1"]
    assert desk.taken() == ["a", "b"]
    assert seen == [2]


def test_r13_a_failed_commit_sends_no_order_and_lets_cancels_go_on() -> None:
    desk = Desk()
    desk.told.full = True
    desk.dispatcher.carry_out(outcome(1, place("a"), CancelOrder(client_order_id="b")))
    assert desk.taken() == ["halted", "b"]
    assert desk.told.state is TradingState.HALTED
    assert [result.client_order_id for result in desk.told.results if isinstance(result, OrderNotSent)] == ["a"]
    assert desk.dispatcher.failed.is_set()
    # The disk has room again, but the journal has a hole now: nothing is written or placed any more.
    desk.told.full = False
    desk.dispatcher.carry_out(outcome(3, place("c")))
    assert desk.told.said == []
    assert desk.taken() == []
    assert len(desk.told.results) == 2


def test_an_image_is_saved_with_the_record_that_asks_for_it() -> None:
    desk = Desk()
    desk.told.image_at = 2
    for sequence in (1, 2, 3):
        desk.dispatcher.carry_out(outcome(sequence))
    assert desk.told.said == ["committed 1", "committed 2", "image 2 state", "committed 3"]


def test_a_full_channel_is_a_broken_invariant_and_never_a_wait() -> None:
    desk = Desk(capacity=1)
    with pytest.raises(InvariantBroken, match="channel is full"):
        desk.dispatcher.carry_out(outcome(1, place("a"), place("b")))


def test_grave_notices_reach_the_operator() -> None:
    desk = Desk()
    desk.dispatcher.carry_out(outcome(1, notices=["stride 1 -> 2", "limit hit: stop-loss; flatten"]))
    assert desk.alerts == ["limit hit: stop-loss; flatten"]

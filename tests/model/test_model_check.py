"""Every world that small bounds allow is explored; `just model` has larger ones."""

from __future__ import annotations

import msgspec
import pytest

from tests.model.explore import Explorer, Found
from tests.model.moves import Bounds
from trio_grid.domain import booking, slot
from trio_grid.domain.events import OrderOutcomeLost
from trio_grid.domain.grid import Grid
from trio_grid.domain.slot import OrderStatus, Signal

SMALL = Bounds(air=1, ghosts=0)


def explore(slots: int, bounds: Bounds, depth: int | None = None) -> Found:
    found = Explorer(slots, bounds, depth).run()
    assert found.bad == "", "\n".join(found.trace)
    return found


def test_one_slot_completely() -> None:
    found = explore(1, SMALL)
    assert found.complete
    assert (found.worlds > 5_000, found.quiet > 3, found.restless) == (True, True, 0)
    assert set(found.taken) >= {
        "accept", "reject", "not sent", "answer lost", "cancel", "partial fill", "fill", "expire", "deliver",
        "deliver, and again later", "lose", "ask", "walk trades", "pause", "resume", "crash", "reconcile and begin",
        "wait",
    }  # fmt: skip


def test_one_slot_with_requests_that_arrive_late_to_a_depth() -> None:
    found = explore(1, Bounds(air=2, ghosts=1), depth=7)
    assert {"timeout", "late accept", "late cancel", "request expires on the way"} <= set(found.taken)


def test_two_slots_to_a_depth() -> None:
    assert explore(2, Bounds(air=2, ghosts=0), depth=5).worlds > 1_000


# The checker can fail: each of these removes one rule of the core, and a bad world is found.


def test_freeing_a_slot_on_a_timeout_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """S10, F1: an order without an outcome is taken for none."""

    def lost(grid: Grid, result: OrderOutcomeLost) -> None:
        booking.meet_answer(grid, result.client_order_id, Signal.NOT_SENT)

    monkeypatch.setattr(booking, "outcome_lost", lost)
    assert Explorer(1, Bounds(air=2, ghosts=1), 9).run().bad


def test_believing_an_order_absent_after_one_query_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """R4: the request may still be on its way when the first query is answered."""
    monkeypatch.setattr(booking, "ABSENCE_APART_MS", -(10**15))
    monkeypatch.setattr(booking, "ABSENCE_MARGIN_MS", -(10**15))
    assert Explorer(1, Bounds(air=2, ghosts=1), 10).run().bad


def test_settling_before_the_trades_are_booked_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """R5: a filled order whose trades were lost on the way frees its slot, which opens once more."""

    def settle(grid: Grid, rung: int) -> None:
        known = grid.book.get(rung)
        if known is not None and known.order is not None and known.order.status is OrderStatus.SETTLING:
            grid.put(msgspec.structs.replace(known, order=None))

    monkeypatch.setattr(booking, "settle", settle)
    assert Explorer(1, SMALL, 12).run().bad


def test_a_slot_that_never_tries_again_is_found_restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """F7: a cancel that was refused leaves the order CANCELLING, and nobody asks."""
    monkeypatch.setitem(slot.TRANSITIONS, (OrderStatus.CANCELLING, Signal.CANCEL_REFUSED), OrderStatus.CANCELLING)
    monkeypatch.setattr(booking, "book_record", lambda grid, record, now_ms: None)
    assert Explorer(1, SMALL, 60).run().restless > 0

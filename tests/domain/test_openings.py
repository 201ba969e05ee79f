"""Openings: when they are placed, at what price and size, what cancels them, what a refusal does."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.domain.grid_bench import (
    ANCHOR,
    INTERVAL,
    LEVEL_LOTS,
    Bench,
    cancelled,
    instrument,
    parts_of,
    placed,
    reading,
    rung_price,
    settings,
)
from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.events import (
    Liquidity,
    OrderNotSent,
    OrderRefused,
    OrderUpdate,
    RecordStatus,
    RejectReason,
    Trend,
)
from trio_grid.domain.inputs import Condition, ConditionChanged
from trio_grid.domain.instrument import MoneyUnits
from trio_grid.domain.settings import Mode
from trio_grid.domain.slot import OrderStatus, Use


def refused(action: PlaceOrder | CancelOrder, reason: RejectReason, code: int = -1) -> OrderRefused:
    return OrderRefused(client_order_id=action.client_order_id, reason=reason, code=code, message="no")


# Partly filled -------------------------------------------------------------------------------------------------------


def test_f16_a_partly_filled_opening_stays_the_slots_one_order() -> None:
    bench = Bench()
    bench.ladder()
    bench.price(rung_price(-1) + 1)
    bench.settle()
    name = bench.order(-1).client_order_id
    assert bench.fill(-1, 4) == []
    assert bench.order(-1).client_order_id == name
    assert bench.slot(-1).inventory_lots == 4, "a part is inventory at once"
    assert bench.status(-1) is OrderStatus.LOCKED
    closing = placed(bench.fill(-1, 6))[-1]
    assert closing.quantity_lots == LEVEL_LOTS


@pytest.mark.parametrize("mode", [Mode.LONG, Mode.SHORT])
def test_f16_a_partly_filled_opening_is_cancelled_half_way_to_its_exit(mode: Mode) -> None:
    bench = Bench(settings(mode, levels_below=1, levels_above=1))
    bench.ladder()
    rung, sign = (-1, 1) if mode is Mode.LONG else (0, -1)
    opened = rung_price(-1 if mode is Mode.LONG else 1)
    bench.price(opened + sign)
    bench.fill(rung, 4)
    half_way = opened + sign * INTERVAL // 2
    assert bench.price(half_way - sign * 0.5) == []
    assert cancelled(bench.price(half_way)) == [rung]
    # The cancel settles; what was filled gets its own closing.
    closing = placed(bench.deliver())[rung]
    assert closing.quantity_lots == 4
    assert closing.reduce_only
    bench.settle()
    bench.check_books()


def test_f3_a_cancelling_opening_counts_until_its_final_quantity_is_booked() -> None:
    """F3: the fill that races the cancel is booked, and the slot gets no second order meanwhile."""
    bench = Bench(settings(levels_below=1))
    bench.ladder()
    bench.tell(ConditionChanged(condition=Condition.PAUSED, active=True))
    assert bench.status(-1) is OrderStatus.CANCELLING
    assert bench.state.grid.exposure().worst_long_lots == LEVEL_LOTS
    bench.tell(ConditionChanged(condition=Condition.PAUSED, active=False))
    assert len(bench.actions) == 1, "no second opening beside the one that is being cancelled"
    report = bench.fill_silently(-1)
    answer = bench.exchange.cancel(bench.order(-1).client_order_id)
    assert placed(bench.tell(answer)) == {}
    assert bench.status(-1) is OrderStatus.UNKNOWN, "filled, cancelled or absent: a question"
    assert placed(bench.tell(report))[-1].quantity_lots == LEVEL_LOTS
    bench.actions.pop(0)  # the cancel, which was answered above
    bench.settle()
    bench.check_books()


@pytest.mark.parametrize("status", [RecordStatus.CANCELED, RecordStatus.EXPIRED, RecordStatus.REJECTED])
def test_s9_every_terminal_status_releases_the_slot_and_keeps_the_part(status: RecordStatus) -> None:
    """S9: partial fills are cumulative; a cancel, expiry or rejection after a part keeps the part."""
    bench = Bench()
    bench.ladder()
    bench.fill(-1, 3)
    bench.fill(-1, 2)
    follows = bench.tell(bench.exchange.end(bench.order(-1).client_order_id, status))
    assert bench.slot(-1).inventory_lots == 5
    assert placed(follows)[-1].quantity_lots == 5
    ended = bench.tell(bench.exchange.end(bench.order(-2).client_order_id, status))
    assert bench.status(-2) in (OrderStatus.FREE, OrderStatus.PENDING)
    assert set(placed(ended)) <= {-2}


# Doors ---------------------------------------------------------------------------------------------------------------


def test_openings_that_may_no_longer_rest_are_cancelled_and_come_back() -> None:
    bench = Bench(settings(Mode.NEUTRAL))
    bench.ladder()
    assert cancelled(bench.tell(reading(trend=Trend.BULL))) == [0, 1, 2]
    bench.settle()
    assert set(bench.resting()) == {-1, -2, -3}
    assert cancelled(bench.tell(reading(liquidity=Liquidity.THIN))) == [-3, -2, -1]
    bench.settle()
    assert bench.resting() == {}
    assert set(placed(bench.tell(reading()))) == {-3, -2, -1, 0, 1, 2}


@pytest.mark.parametrize(("mode", "rung", "opened", "sign"), [(Mode.LONG, -1, -1, 1), (Mode.SHORT, 0, 1, -1)])
def test_the_distance_of_a_tenth_is_exact_to_the_half_tick(mode: Mode, rung: int, opened: int, sign: int) -> None:
    # A hysteresis as wide as a cell keeps the centre where it is while the price comes near.
    wide = Bench(settings(mode, levels_below=1, levels_above=1, centre_hysteresis_milli=1_000))
    wide.price(ANCHOR)
    limit = rung_price(opened) + sign * INTERVAL // 10
    wide.open_door(limit - sign * 0.5)
    assert rung not in placed(wide.all_actions)
    assert rung in placed(wide.price(limit))


# Refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "rung", "away"), [(Mode.LONG, -1, -1), (Mode.SHORT, 0, 1)])
def test_f8_a_post_only_refusal_is_repriced_one_tick_further_off_each_time(mode: Mode, rung: int, away: int) -> None:
    """F8: one tick further with each refusal, twice as long between, never a taking order, the exit unchanged."""
    bench = Bench(settings(mode, levels_below=1, levels_above=1))
    opening = placed(bench.open_door())[rung]
    first_price, wait_ms = opening.price_ticks, 250
    assert first_price is not None
    for attempt in range(1, 6):
        assert bench.tell(refused(opening, RejectReason.POST_ONLY, -5022)) == []
        assert bench.pass_time(wait_ms - 1) == []
        opening = placed(bench.pass_time(1))[rung]
        assert opening.price_ticks == first_price + away * attempt
        assert opening.post_only
        wait_ms *= 2
    bench.actions.clear()
    bench.tell(bench.exchange.accept(opening))
    assert placed(bench.fill(rung))[rung].price_ticks == ANCHOR, "the exit stays where the lattice has it"


def test_f8_repricing_ends_when_the_order_rests() -> None:
    bench = Bench(settings(levels_below=1))
    opening = placed(bench.open_door())[-1]
    bench.tell(refused(opening, RejectReason.POST_ONLY))
    bench.actions.clear()
    bench.pass_time(250)
    bench.settle()
    assert bench.order(-1).price_ticks == rung_price(-1) - 1
    bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.CANCELED))
    assert bench.order(-1).price_ticks == rung_price(-1), "a new opening begins at the lattice's price again"


def test_f8_an_expired_post_only_opening_is_repriced_too() -> None:
    """F8: the exchange may accept a post-only order and expire it at once instead of refusing it."""
    bench = Bench(settings(levels_below=1))
    opening = placed(bench.open_door())[-1]
    bench.actions.clear()
    bench.exchange.accept(opening)
    assert bench.tell(bench.exchange.end(opening.client_order_id, RecordStatus.EXPIRED)) == []
    again = placed(bench.pass_time(250))[-1]
    assert again.price_ticks == rung_price(-1) - 1
    assert again.post_only


@pytest.mark.parametrize("reason", list(RejectReason))
def test_every_refusal_frees_the_slot_and_backs_off(reason: RejectReason) -> None:
    bench = Bench(settings(levels_below=1))
    opening = placed(bench.open_door())[-1]
    names = {opening.client_order_id}
    for wait_ms in (250, 500, 1_000):
        assert bench.tell(refused(opening, reason)) == []
        assert bench.status(-1) is OrderStatus.FREE
        assert bench.pass_time(wait_ms - 1) == []
        opening = placed(bench.pass_time(1))[-1]
        assert opening.client_order_id not in names, "an id is never used again"
        names.add(opening.client_order_id)
    assert bench.state.grid.fields.counters.orders_refused == 3


def test_the_pause_after_refusals_grows_to_a_minute_at_most() -> None:
    bench = Bench(settings(levels_below=1))
    bench.open_door()
    for _ in range(20):
        bench.tell(refused(bench.actions[-1], RejectReason.MARGIN))
        bench.pass_time(60_000)
        assert bench.status(-1) is OrderStatus.PENDING


def test_an_intent_that_never_left_is_tried_again_under_a_new_id() -> None:
    bench = Bench(settings(levels_below=1))
    opening = placed(bench.open_door())[-1]
    bench.tell(OrderNotSent(client_order_id=opening.client_order_id, detail="no connection"))
    assert bench.status(-1) is OrderStatus.FREE
    again = placed(bench.pass_time(250))[-1]
    assert again.client_order_id != opening.client_order_id


def test_f24_a_refusal_of_a_cell_that_the_window_has_left_is_not_remembered() -> None:
    """Nothing would look at it again; and the state after a restart has to be the state before it."""
    bench = Bench(settings(levels_below=1))
    opening = placed(bench.open_door())[-1]
    bench.actions.clear()
    bench.tell(refused(opening, RejectReason.POST_ONLY))
    assert bench.slot(-1).retries == 1
    bench.price(rung_price(5))
    assert bench.state.grid.book.get(-1) is None, "forgotten when the window leaves"
    late = placed(bench.all_actions)[4]
    bench.price(rung_price(-5))
    bench.tell(refused(late, RejectReason.POST_ONLY))
    assert bench.state.grid.book.get(4) is None, "and not remembered when the answer comes after"
    bench.check_books()


def test_one_refused_opening_does_not_hold_up_the_others() -> None:
    bench = Bench()
    bench.open_door()
    bench.tell(refused(bench.actions.pop(0), RejectReason.OTHER))
    bench.settle()
    assert set(bench.resting()) == {-2, -3}
    bench.pass_time(250)
    bench.settle()
    assert set(bench.resting()) == {-1, -2, -3}


# Ids and slots -------------------------------------------------------------------------------------------------------


def test_s11_an_order_at_the_same_price_and_side_has_another_id() -> None:
    """S11: a late event of the last order does not reach the new one."""
    bench = Bench(settings(levels_below=1))
    bench.ladder()
    old = bench.order(-1)
    late = bench.exchange.record(old.client_order_id)
    bench.tell(bench.exchange.end(old.client_order_id, RecordStatus.CANCELED))
    bench.settle()
    new = bench.order(-1)
    assert (new.price_ticks, new.side) == (old.price_ticks, old.side)
    assert new.client_order_id != old.client_order_id
    before = bench.slot(-1)
    bench.tell(bench.exchange.end(new.client_order_id, RecordStatus.CANCELED))
    bench.settle()
    assert bench.order(-1).client_order_id not in (old.client_order_id, new.client_order_id)
    after = bench.slot(-1)
    bench.tell(OrderUpdate(order=late))
    assert bench.slot(-1) == after
    assert before != after


def test_s12_an_instant_fill_before_the_placements_own_answer() -> None:
    """S12: terminal wins; the answer, which still says NEW, does not lock the slot on a dead order."""
    bench = Bench(settings(levels_below=1))
    opening = placed(bench.open_door())[-1]
    bench.actions.clear()
    answer = bench.exchange.accept(opening)
    follows = bench.tell(bench.exchange.fill(opening.client_order_id))
    closing = placed(follows)[-1]
    assert bench.tell(answer) == []
    assert bench.order(-1).client_order_id == closing.client_order_id
    assert bench.status(-1) is OrderStatus.PENDING
    assert bench.slot(-1).inventory_lots == LEVEL_LOTS
    bench.settle()
    bench.check_books()


def test_f19_no_cell_overlaps_another_that_is_in_use() -> None:
    bench = Bench(settings(Mode.NEUTRAL, levels_below=4, levels_above=4))
    bench.ladder()
    bench.price(rung_price(-2))
    bench.fill(-1)
    bench.fill(-2)
    bench.settle()
    bench.price(rung_price(-3))
    bench.settle()
    names = [parts_of(action) for action in bench.all_actions if isinstance(action, PlaceOrder)]
    assert len({(parts.session, parts.generation) for parts in names}) == len(names)
    cells = sorted((slot.rung, slot.rung + slot.stride) for slot in bench.state.grid.book.in_order() if slot.occupied)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(cells))
    bench.check_books()


def test_f13_a_level_below_the_minimum_is_skipped_and_says_so() -> None:
    bench = Bench(
        settings(), instrument(min_notional_units=MoneyUnits(LEVEL_LOTS * rung_price(-2) * instrument().tick_lot_units))
    )
    assert set(placed(bench.open_door())) == {-1, -2}
    reason = bench.state.grid.why_not_worth_opening(-3, 1, Use.LONG)
    assert reason is not None
    assert "notional" in reason


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"maker_fee_rate": 100_000}, "fees"),
        ({"min_price_ticks": rung_price(-1) + 1}, "price filter"),
        ({"max_price_ticks": rung_price(-1) - 1}, "price filter"),
        ({"min_quantity_lots": LEVEL_LOTS + 1}, "minimum"),
    ],
)
def test_f13_a_cell_that_cannot_pay_or_pass_is_never_opened(changes: dict[str, Any], word: str) -> None:
    bench = Bench(settings(levels_below=1), instrument(**changes))
    assert bench.open_door() == []
    reason = bench.state.grid.why_not_worth_opening(-1, 1, Use.LONG)
    assert reason is not None
    assert word in reason

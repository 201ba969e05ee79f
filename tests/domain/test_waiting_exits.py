"""Exits and openings that have to wait must not stand in the way of others."""

from __future__ import annotations

import pytest

from tests.domain.grid_bench import (
    ANCHOR,
    LEVEL_LOTS,
    Bench,
    cancelled,
    instrument,
    placed,
    rung_price,
    settings,
)
from trio_grid.domain.events import OrderRefused, RecordStatus, RejectReason, Side
from trio_grid.domain.inputs import Condition, ConditionChanged, TradesWalked, TradingState, TradingStateChanged
from trio_grid.domain.instrument import MoneyUnits
from trio_grid.domain.settings import Mode, Trailing
from trio_grid.domain.slot import OrderStatus, Role

SMALL = instrument(min_notional_units=MoneyUnits(250 * 10**8))
"""Four lots at about 60 each are below the minimum notional, five are not."""


def refused_small_exit() -> Bench:
    """Return a NEUTRAL grid: two plain LONG exits rest, a nearer small one was refused, and the net is negative."""
    bench = Bench(settings(Mode.NEUTRAL, levels_below=3, levels_above=4, trailing=Trailing.NONE), SMALL)
    bench.ladder()
    bench.price(rung_price(-3) + 60)
    bench.fill_and_settle(-1, -2)
    bench.fill(-3, 4)
    bench.tell(bench.exchange.end(bench.order(-3).client_order_id, RecordStatus.CANCELED))
    small = placed(bench.actions)[-3]
    assert small.reduce_only
    # The net turns before the closing of the small part arrives.
    bench.fill_and_settle(0, 1, 2)
    assert bench.state.grid.net_lots == 4 - LEVEL_LOTS
    return bench


def test_a_refused_small_exit_that_the_net_no_longer_covers_takes_nobodys_place() -> None:
    bench = refused_small_exit()
    if bench.status(-3) is OrderStatus.LOCKED:
        bench.tell(bench.exchange.end(bench.order(-3).client_order_id, RecordStatus.EXPIRED, 4))
    bench.tell(bench.exchange.observe(bench.state.sequence))
    bench.settle()
    for _ in range(5):
        assert cancelled(bench.pass_time(60_000)) == []
        bench.settle()
    assert {-1, -2} <= set(bench.resting(Role.CLOSE)), "the plain exits stay where they are"
    bench.check_books()


def test_a_refused_small_exit_does_not_hold_up_plain_exits_behind_it() -> None:
    bench = refused_small_exit()
    bench.tell(bench.exchange.end(bench.order(-3).client_order_id, RecordStatus.EXPIRED, 4))
    # The position was not read yet: that concerns reduce-only closings alone.
    bench.pass_time(1_000)
    again = bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.CANCELED))
    assert set(placed(again)) >= {-1}
    assert not placed(again)[-1].reduce_only
    bench.check_books()


@pytest.mark.parametrize("foreign", [1, 6, 9])
def test_f15_the_nearest_exit_closes_what_the_position_still_covers(foreign: int) -> None:
    """F15: foreign sales left less than one slot holds: that part gets its closing all the same."""
    bench = Bench(settings(levels_below=2, trailing=Trailing.NONE))
    bench.ladder()
    bench.price(rung_price(-2))
    bench.fill_and_settle(-1, -2)
    trade = bench.exchange.foreign_trade(Side.SELL, LEVEL_LOTS + foreign)
    bench.tell(TradesWalked(trades=(trade,), watermark=0))
    for rung in (-1, -2):
        bench.tell(bench.exchange.end(bench.order(rung).client_order_id, RecordStatus.EXPIRED, 4))
    bench.tell(bench.exchange.observe(bench.state.sequence))
    bench.pass_time(60_000)
    bench.settle()
    assert set(bench.resting(Role.CLOSE)) == {-2}
    assert bench.order(-2).quantity_lots == LEVEL_LOTS - foreign
    assert bench.order(-2).reduce_only
    bench.fill(-2)
    bench.settle()
    assert bench.exchange.position_lots == 0
    assert bench.slot(-2).inventory_lots == foreign, "the rest waits as position missing"
    bench.check_books()


def test_flatten_closes_what_the_position_still_covers() -> None:
    bench = Bench(settings(levels_below=2, trailing=Trailing.NONE))
    bench.ladder()
    bench.price(rung_price(-2))
    bench.fill_and_settle(-1, -2)
    trade = bench.exchange.foreign_trade(Side.SELL, 3)
    bench.tell(TradesWalked(trades=(trade,), watermark=0))
    bench.settle()
    bench.tell(TradingStateChanged(state=TradingState.REDUCING, reason="stop-loss", flatten=True))
    for _ in range(10):
        bench.settle()
        for slot in bench.state.grid.book.in_order():
            if slot.order is not None and slot.order.price_ticks is None:
                bench.fill(slot.rung)
    assert bench.exchange.position_lots == 0
    bench.check_books()


def test_a_refused_cell_near_the_price_comes_before_farther_ones_when_room_is_scarce() -> None:
    """F8: the nearest cell was refused once; the farther ones that never got room must not keep it out."""
    bench = Bench(settings(levels_below=8, max_open_orders=3, trailing=Trailing.NONE))
    bench.open_door(ANCHOR)
    name = placed(bench.actions)[-1].client_order_id
    bench.actions = [action for action in bench.actions if action.client_order_id != name]
    bench.tell(OrderRefused(client_order_id=name, reason=RejectReason.POST_ONLY, code=-5022, message="no"))
    bench.settle()
    bench.pass_time(60_000)
    bench.settle()
    for _ in range(3):
        bench.pass_time(60_000)
        bench.settle()
    assert -1 in bench.resting()
    bench.check_books()


@pytest.mark.parametrize(("mode", "rung", "sign"), [(Mode.LONG, -1, 1), (Mode.SHORT, 0, -1)])
@pytest.mark.parametrize("beyond", [0, 1, 19, 21, 400, 90_000])
def test_a_post_only_closing_goes_to_the_market_however_far_that_is_past_the_exit(
    mode: Mode, rung: int, sign: int, beyond: int
) -> None:
    """Refused one tick at a time it would wait until the price came back: the profit would be lost."""
    bench = Bench(settings(mode, levels_below=1, levels_above=1, closings_post_only=True, trailing=Trailing.NONE))
    bench.ladder()
    report = bench.fill_silently(rung)
    bench.tell(ConditionChanged(condition=Condition.USER_STREAM_DOWN, active=True))
    bench.tell(report)
    exit_price = bench.slot(rung).exit_price_ticks
    # The middle of the book is half a tick off, as it is when the spread is one tick.
    bench.price(exit_price + sign * beyond + 0.5)
    closing = placed(bench.tell(ConditionChanged(condition=Condition.USER_STREAM_DOWN, active=False)))[rung]
    assert closing.post_only
    assert closing.price_ticks == exit_price + sign * beyond + (1 if sign > 0 else 0)
    bench.settle()
    bench.check_books()

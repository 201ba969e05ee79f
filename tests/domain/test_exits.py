"""Exits: reduce-only sums, missing position, dust, small exits, parking, refusals, flattening."""

from __future__ import annotations

import msgspec
import pytest

from tests.domain.grid_bench import (
    ANCHOR,
    BOT,
    LEVEL_LOTS,
    Bench,
    cancelled,
    instrument,
    placed,
    reading,
    rung_price,
    settings,
)
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.client_order_id import OrderIdParts, encode
from trio_grid.domain.events import (
    OrderRefused,
    RecordStatus,
    RejectReason,
    Side,
    Trend,
)
from trio_grid.domain.inputs import Condition, ConditionChanged, TradesWalked
from trio_grid.domain.instrument import MoneyUnits, QuantityLots
from trio_grid.domain.settings import Mode, Trailing
from trio_grid.domain.slot import OrderStatus, Role

SMALL = instrument(min_notional_units=MoneyUnits(250 * 10**8))
"""Four lots at about 60 each are below the minimum notional, five are not."""


# One closing per inventory -------------------------------------------------------------------------------------------


def test_s8_the_closing_belongs_to_its_slot_and_not_to_the_slot_at_its_price() -> None:
    """S8: the closing at the next rung's price fills its own slot; the slot at that price is not touched."""
    bench = Bench(settings(trailing=Trailing.NONE))
    bench.ladder()
    bench.price(rung_price(-2))
    bench.fill_and_settle(-1, -2)
    assert bench.resting(Role.CLOSE) == {-1: rung_price(0), -2: rung_price(-1)}
    before = bench.slot(-1)
    bench.fill(-2)  # SELL at p(-1), the price at which slot -1 was bought
    assert bench.slot(-1) == before
    assert bench.state.grid.book.get(-2) is None, "flat, and the price is too near to open again"
    assert bench.state.grid.net_lots == LEVEL_LOTS
    bench.check_books()


@pytest.mark.parametrize("status", [RecordStatus.CANCELED, RecordStatus.EXPIRED])
def test_a_closing_that_ended_early_is_followed_by_one_for_what_is_left(status: RecordStatus) -> None:
    bench = Bench()
    bench.ladder()
    bench.fill_and_settle(-1)
    first = bench.order(-1)
    bench.fill(-1, 4)
    again = placed(bench.tell(bench.exchange.end(first.client_order_id, status)))[-1]
    assert (again.quantity_lots, again.price_ticks, again.reduce_only) == (6, first.price_ticks, True)
    assert again.client_order_id != first.client_order_id


def test_s13_a_bull_market_and_a_pause_leave_closings_alone() -> None:
    """S13: exits are exempt from filters, and closings are placed under every one of them."""
    bench = Bench(settings(Mode.NEUTRAL))
    bench.ladder()
    bench.tell(reading(trend=Trend.BULL, brake=True, stale=True))
    bench.tell(ConditionChanged(condition=Condition.PAUSED, active=True))
    report = bench.fill_silently(-1)
    closing = placed(bench.tell(report))[-1]
    assert closing.side is Side.SELL


def test_closings_wait_while_the_user_stream_is_down_and_resting_ones_stay() -> None:
    bench = Bench()
    bench.ladder()
    bench.fill_and_settle(-1)
    report = bench.fill_silently(-2)
    bench.tell(ConditionChanged(condition=Condition.USER_STREAM_DOWN, active=True))
    assert bench.tell(report) == []
    assert bench.status(-1) is OrderStatus.LOCKED
    assert set(placed(bench.tell(ConditionChanged(condition=Condition.USER_STREAM_DOWN, active=False)))) >= {-2}


# Reduce-only sums ----------------------------------------------------------------------------------------------------


def test_f15_reduce_only_closings_never_sum_to_more_than_the_position() -> None:
    """F15: foreign sales took part of what the slots hold: the nearest exit keeps its closing, the farther one goes."""
    bench = Bench(settings(trailing=Trailing.NONE))
    bench.ladder()
    bench.price(rung_price(-2))
    bench.fill_and_settle(-1, -2)
    assert bench.state.grid.sum("reduce_only_sell_lots") == 2 * LEVEL_LOTS
    bench.exchange.foreign_trade(Side.SELL, 6)
    bench.tell(bench.exchange.walk(0))
    # The exchange knocks out what the position no longer covers.
    knocked = bench.tell(bench.exchange.end(bench.order(-2).client_order_id, RecordStatus.EXPIRED, 4))
    assert placed(knocked) == {}, "nothing reduce-only is sent before the position was read"
    assert bench.state.grid.fields.position_question
    bench.tell(bench.exchange.observe(bench.state.sequence))
    bench.pass_time(250)
    assert cancelled(bench.actions) == [-3], "openings stop: position missing"
    # The exit of slot -2 is the nearest; the closing of -1 makes way.
    assert cancelled(bench.deliver()) == [-1]
    bench.settle()
    closings = bench.resting(Role.CLOSE)
    assert closings == {-2: rung_price(-1)}
    assert bench.state.grid.sum("reduce_only_sell_lots") <= bench.exchange.position_lots
    assert bench.slot(-1).inventory_lots == LEVEL_LOTS, "the other waits as position missing"
    bench.check_books()


def test_f15_openings_stop_while_position_is_missing_and_return_when_it_does() -> None:
    bench = Bench()
    bench.ladder()
    bench.fill_and_settle(-1)
    trade = bench.exchange.foreign_trade(Side.SELL, 3)
    actions = bench.tell(TradesWalked(trades=(trade,), watermark=0))
    assert cancelled(actions) == [-3, -2]
    bench.settle()
    assert bench.resting() == {}
    back = bench.exchange.foreign_trade(Side.BUY, 3)
    assert set(placed(bench.tell(TradesWalked(trades=(back,), watermark=0)))) == {-3, -2}


@pytest.mark.parametrize("code", [-2022, -4118])
def test_f15_a_refused_reduce_only_closing_asks_for_the_position_and_never_turns_plain(code: int) -> None:
    bench = Bench(settings(levels_below=1))
    bench.ladder()
    closing = placed(bench.fill(-1))[-1]
    bench.actions.clear()
    refusal = OrderRefused(
        client_order_id=closing.client_order_id, reason=RejectReason.REDUCE_ONLY, code=code, message="no"
    )
    assert bench.tell(refusal) == []
    assert bench.state.grid.fields.position_question
    assert bench.pass_time(60_000) == [], "not before the position was read again"
    again = placed(bench.tell(bench.exchange.observe(bench.state.sequence)))[-1]
    assert again.reduce_only
    assert again.quantity_lots == LEVEL_LOTS


def test_the_position_that_was_read_before_a_booking_does_not_answer_the_question() -> None:
    bench = Bench(settings(levels_below=2))
    bench.ladder()
    bench.fill_and_settle(-1)
    fence = bench.state.sequence
    stale = bench.exchange.observe(fence)
    bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.EXPIRED, 4))
    bench.fill(-2)
    bench.tell(stale)
    assert bench.state.grid.fields.position_question
    bench.tell(bench.exchange.observe(bench.state.sequence))
    assert not bench.state.grid.fields.position_question


def test_nothing_new_is_opened_while_an_exit_waits() -> None:
    """An exit that waits for the position to be read comes before any opening."""
    bench = Bench(settings(trailing=Trailing.NONE))
    bench.ladder()
    bench.fill_and_settle(-1)
    bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.EXPIRED, 4))
    assert bench.fill(-2) == []
    ended = bench.exchange.end(bench.order(-3).client_order_id, RecordStatus.CANCELED)
    assert bench.tell(ended) == [], "the cell is free and its price is right, but the exit of -2 waits"
    bench.pass_time(60_000)
    follows = placed(bench.tell(bench.exchange.observe(bench.state.sequence)))
    assert list(follows) == [-2, -1, -3], "the exits, the nearest first, and then the opening"


# Dust and small exits ------------------------------------------------------------------------------------------------


def test_inventory_below_the_minimum_quantity_is_dust_and_the_slot_opens_again() -> None:
    bench = Bench(settings(levels_below=1), instrument(min_quantity_lots=QuantityLots(4)))
    bench.ladder()
    bench.price(rung_price(-1) + 1)
    bench.fill(-1, 3)
    follows = bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.CANCELED))
    assert placed(follows) == {}, "three lots cannot be closed, and the price is too near to open again"
    assert bench.slot(-1).inventory_lots == 3
    opening = placed(bench.price(ANCHOR))[-1]
    assert opening.side is Side.BUY, "dust does not keep the slot from opening in the same use"
    bench.settle()
    closing = placed(bench.fill(-1))[-1]
    assert closing.quantity_lots == LEVEL_LOTS + 3, "the next closing takes both"
    bench.check_books()


def test_a_refused_reopening_over_dust_waits_like_any_other() -> None:
    bench = Bench(settings(levels_below=1), instrument(min_quantity_lots=QuantityLots(4)))
    bench.ladder()
    bench.fill(-1, 3)
    bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.CANCELED))
    opening = bench.actions.pop()
    assert isinstance(opening, PlaceOrder)
    assert opening.side is Side.BUY
    refusal = OrderRefused(
        client_order_id=opening.client_order_id, reason=RejectReason.POST_ONLY, code=-5022, message="no"
    )
    assert bench.tell(refusal) == []
    assert bench.slot(-1).inventory_lots == 3
    assert bench.pass_time(249) == []
    again = placed(bench.pass_time(1))[-1]
    assert again.price_ticks == rung_price(-1) - 1
    bench.check_books()


def test_the_window_may_leave_dust_that_waits_after_a_refusal_without_losing_it() -> None:
    bench = Bench(settings(levels_below=1), instrument(min_quantity_lots=QuantityLots(4)))
    bench.ladder()
    bench.fill(-1, 3)
    bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.CANCELED))
    opening = bench.actions.pop()
    bench.tell(
        OrderRefused(client_order_id=opening.client_order_id, reason=RejectReason.MARGIN, code=-2019, message="no")
    )
    bench.price(rung_price(3))
    assert bench.slot(-1).inventory_lots == 3
    bench.check_books()


def small_long(bench: Bench) -> None:
    """Leave four lots of LONG inventory in slot -1: below the minimum notional."""
    bench.ladder()
    bench.price(rung_price(-1) + 1)
    bench.settle()
    bench.fill(-1, 4)
    bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.CANCELED))


def test_a_small_neutral_exit_goes_reduce_only_if_the_net_covers_it() -> None:
    bench = Bench(settings(Mode.NEUTRAL, levels_below=1, levels_above=0), SMALL)
    small_long(bench)
    closing = placed(bench.actions)[-1]
    assert (closing.quantity_lots, closing.reduce_only, closing.side) == (4, True, Side.SELL)


def test_a_small_neutral_exit_that_the_net_does_not_cover_is_dust_and_the_slot_opens_again() -> None:
    bench = Bench(settings(Mode.NEUTRAL, levels_below=1, levels_above=1), SMALL)
    bench.ladder()
    bench.fill(0)  # SHORT 10: the net has the other sign
    bench.settle()
    bench.price(rung_price(-1) + 1)
    bench.settle()
    bench.fill(-1, 4)
    follows = bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.CANCELED))
    assert placed(follows) == {}
    assert bench.slot(-1).inventory_lots == 4
    opening = placed(bench.price(ANCHOR))[-1]
    assert opening.side is Side.BUY
    bench.settle()
    closing = placed(bench.fill(-1))[-1]
    assert (closing.quantity_lots, closing.reduce_only) == (LEVEL_LOTS + 4, False)
    bench.settle()
    bench.check_books()


def test_a_small_exit_that_is_not_covered_takes_no_plain_exits_place() -> None:
    bench = Bench(settings(Mode.NEUTRAL, levels_below=2, levels_above=3, trailing=Trailing.NONE), SMALL)
    bench.ladder()
    bench.fill_and_settle(0, 1, 2, -1)
    bench.price(rung_price(-2) + 1)
    bench.settle()
    bench.fill(-2, 4)
    follows = bench.tell(bench.exchange.end(bench.order(-2).client_order_id, RecordStatus.CANCELED))
    assert cancelled(follows) == []
    assert bench.status(-1) is OrderStatus.LOCKED, "its exit lies farther out, and it is plain: no position is needed"
    bench.check_books()


def test_neutral_closings_are_plain_because_the_net_may_have_the_other_sign() -> None:
    bench = Bench(settings(Mode.NEUTRAL))
    bench.ladder()
    for rung in (0, -1):
        closing = placed(bench.fill(rung))[rung]
        assert not closing.reduce_only
        assert not closing.post_only
        bench.settle()
    assert bench.exchange.position_lots == 0
    bench.check_books()


def test_a_closing_above_the_maximum_quantity_is_split_one_order_after_the_other() -> None:
    bench = Bench(settings(levels_below=1), instrument(max_quantity_lots=QuantityLots(LEVEL_LOTS)))
    bench.ladder()
    bench.tell(ConditionChanged(condition=Condition.USER_STREAM_DOWN, active=True))
    bench.tell(bench.fill_silently(-1))
    # A late trade of an order of the last session adds to the slot.
    late = msgspec.structs.replace(
        bench.exchange.orders[bench.all_actions[-1].client_order_id].action,
        client_order_id=encode(OrderIdParts(bot=BOT, session=1, generation=99, role="o", rung=-1, stride=1)),
    )
    bench.exchange.accept(late)
    bench.tell(bench.exchange.fill(late.client_order_id, 8))
    assert bench.slot(-1).inventory_lots == 18
    bench.exchange.cancel(late.client_order_id)
    first = placed(bench.tell(ConditionChanged(condition=Condition.USER_STREAM_DOWN, active=False)))[-1]
    bench.settle()
    second = placed(bench.fill(-1))[-1]
    assert [first.quantity_lots, second.quantity_lots] == [10, 8]
    bench.settle()
    bench.check_books()

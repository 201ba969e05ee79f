"""Exits when not everything fits, when they are refused, and when everything is flattened."""

from __future__ import annotations

import pytest

from tests.domain.grid_bench import (
    LEVEL_LOTS,
    Bench,
    cancelled,
    instrument,
    placed,
    rung_price,
    settings,
)
from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.events import (
    OrderNotSent,
    OrderRefused,
    RecordStatus,
    RejectReason,
    Side,
)
from trio_grid.domain.inputs import Condition, ConditionChanged, TradingState, TradingStateChanged
from trio_grid.domain.instrument import QuantityLots
from trio_grid.domain.settings import Mode, Trailing
from trio_grid.domain.slot import OrderStatus, Role

# Room ----------------------------------------------------------------------------------------------------------------


def parked(count: int, limit: int) -> Bench:
    """Return a LONG grid whose `count` slots all hold inventory, with room for `limit` orders."""
    bench = Bench(settings(levels_below=count, trailing=Trailing.NONE))
    bench.ladder()
    bench.price(rung_price(-count))
    bench.fill_and_settle(*range(-1, -count - 1, -1))
    bench.tell(ConditionChanged(condition=Condition.USER_STREAM_DOWN, active=True))
    for name in bench.exchange.live_orders():
        bench.tell(bench.exchange.end(name, RecordStatus.CANCELED))
    bench.restart(settings(levels_below=count, trailing=Trailing.NONE, max_open_orders=limit))
    bench.ladder(rung_price(-count))
    return bench


def test_the_nearest_exits_rest_and_the_farther_ones_are_parked() -> None:
    bench = parked(6, 3)
    assert bench.resting(Role.CLOSE) == {-6: rung_price(-5), -5: rung_price(-4), -4: rung_price(-3)}
    assert bench.resting() == {}, "an exit comes before any opening"
    assert {bench.status(rung) for rung in (-3, -2, -1)} == {OrderStatus.FREE}
    bench.price(rung_price(-3))
    assert bench.actions == [], "a parked exit waits for room, wherever the price goes"
    bench.check_books()


def test_a_parked_exit_is_placed_when_there_is_room() -> None:
    bench = parked(6, 3)
    assert set(placed(bench.fill(-6))) == {-3}
    bench.settle()
    assert set(placed(bench.fill(-5))) == {-2}
    bench.settle()
    bench.check_books()


def test_a_nearer_exit_takes_the_place_of_the_farthest() -> None:
    bench = parked(6, 3)
    # The exchange cancels the nearest closing; a farther one was parked and gets its place meanwhile.
    bench.tell(ConditionChanged(condition=Condition.USER_STREAM_DOWN, active=True))
    bench.tell(bench.exchange.end(bench.order(-6).client_order_id, RecordStatus.CANCELED))
    bench.tell(ConditionChanged(condition=Condition.USER_STREAM_DOWN, active=False))
    assert set(placed(bench.actions)) == {-6}, "the nearest comes first"
    bench.settle()
    assert set(bench.resting(Role.CLOSE)) == {-6, -5, -4}


def test_exits_make_room_one_cancel_at_a_time() -> None:
    bench = Bench(settings(levels_below=5, max_open_orders=3))
    bench.ladder()
    assert len(bench.resting()) == 3
    first, second = bench.fill_silently(-1), bench.fill_silently(-2)
    bench.tell(first)
    actions = bench.tell(second)
    assert cancelled(bench.actions) in ([-3], []), "no cascade while one is leaving"
    bench.settle()
    assert set(bench.resting(Role.CLOSE)) == {-1, -2}
    assert len([action for action in bench.all_actions if isinstance(action, CancelOrder)]) <= 1
    assert len(actions) <= 2
    bench.check_books()


def test_of_two_uses_the_exit_nearer_to_the_price_gets_the_last_place() -> None:
    bench = Bench(settings(Mode.NEUTRAL, levels_below=2, levels_above=2, max_open_orders=2, trailing=Trailing.NONE))
    bench.ladder()
    bench.fill(-1)  # LONG, exit p(0)
    bench.settle()
    bench.fill(0)  # SHORT, exit p(0)
    bench.settle()
    assert set(bench.resting(Role.CLOSE)) == {-1, 0}
    bench.check_books()


# Refusals ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [reason for reason in RejectReason if reason is not RejectReason.REDUCE_ONLY])
def test_a_refused_closing_comes_again_with_growing_pauses(reason: RejectReason) -> None:
    bench = Bench(settings(levels_below=1))
    bench.ladder()
    closing = placed(bench.fill(-1))[-1]
    bench.actions.clear()
    for wait_ms in (250, 500):
        refusal = OrderRefused(client_order_id=closing.client_order_id, reason=reason, code=-1, message="no")
        assert bench.tell(refusal) == []
        assert bench.slot(-1).inventory_lots == LEVEL_LOTS
        assert bench.pass_time(wait_ms - 1) == []
        closing = placed(bench.pass_time(1))[-1]
        assert closing.reduce_only
    bench.actions.clear()
    bench.tell(OrderNotSent(client_order_id=closing.client_order_id, detail="down"))
    assert bench.slot(-1).inventory_lots == LEVEL_LOTS


def test_an_expired_closing_does_not_spin() -> None:
    """An exchange that takes a closing and expires it at once gets it again after a pause, not in a loop."""
    bench = Bench(settings(levels_below=1))
    bench.ladder()
    bench.fill(-1)
    bench.settle()
    assert bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.EXPIRED)) == []
    assert set(placed(bench.pass_time(250))) == {-1}


@pytest.mark.parametrize(("mode", "rung", "away"), [(Mode.LONG, -1, 1), (Mode.SHORT, 0, -1)])
def test_post_only_closings_reprice_away_from_the_market(mode: Mode, rung: int, away: int) -> None:
    bench = Bench(settings(mode, levels_below=1, levels_above=1, closings_post_only=True))
    bench.ladder()
    closing = placed(bench.fill(rung))[rung]
    assert closing.post_only
    bench.actions.clear()
    first = closing.price_ticks
    assert first is not None
    for attempt in (1, 2, 3):
        bench.tell(
            OrderRefused(
                client_order_id=closing.client_order_id, reason=RejectReason.POST_ONLY, code=-5022, message="no"
            )
        )
        closing = placed(bench.pass_time(60_000))[rung]
        assert closing.price_ticks == first + away * attempt


# Flatten -------------------------------------------------------------------------------------------------------------


def test_flatten_cancels_each_closing_settles_it_and_closes_at_market_in_parts() -> None:
    units = instrument(max_market_quantity_lots=QuantityLots(4))
    bench = Bench(settings(levels_below=3, trailing=Trailing.NONE), units)
    bench.ladder()
    bench.price(rung_price(-1))
    bench.fill_and_settle(-1)
    bench.exchange.foreign_trade(Side.BUY, 7)
    bench.tell(bench.exchange.walk(0))
    actions = bench.tell(TradingStateChanged(state=TradingState.REDUCING, reason="told to", flatten=True))
    assert cancelled(actions) == [-3, -2, -1], "openings and closings are cancelled"
    assert placed(actions) == {}, "a slot is closed only after its closing is settled"
    bench.actions, cancels = [], bench.actions
    parts = []
    for cancel in cancels:
        for action in bench.tell(bench.exchange.cancel(cancel.client_order_id)):
            assert isinstance(action, PlaceOrder)
            parts.append(action)
    while bench.state.grid.net_lots:
        bench.actions.clear()
        market = parts[-1]
        assert (market.price_ticks, market.side, market.reduce_only) == (None, Side.SELL, True)
        bench.tell(bench.exchange.accept(market))
        parts += placed(bench.tell(bench.exchange.fill(market.client_order_id))).values()
    assert [part.quantity_lots for part in parts] == [4, 4, 2]
    assert bench.exchange.position_lots == 7, "foreign inventory is not touched"
    assert bench.exchange.live_orders() == []
    assert bench.trading_state() is TradingState.REDUCING
    bench.check_books()


def test_flatten_closes_what_position_is_left_when_foreign_trades_took_some() -> None:
    bench = Bench(settings(levels_below=2, trailing=Trailing.NONE))
    bench.ladder()
    bench.fill_and_settle(-1, -2)
    bench.exchange.foreign_trade(Side.SELL, 13)
    bench.tell(bench.exchange.walk(0))
    bench.tell(TradingStateChanged(state=TradingState.REDUCING, reason="told to", flatten=True))
    bench.settle()
    markets = [name for name in bench.exchange.live_orders() if bench.exchange.orders[name].action.price_ticks is None]
    assert [bench.exchange.orders[name].action.quantity_lots for name in markets] == [7]
    bench.tell(bench.exchange.fill(markets[0]))
    bench.settle()
    assert bench.exchange.position_lots == 0
    assert bench.exchange.live_orders() == []
    bench.check_books()


def test_flatten_survives_a_restart() -> None:
    bench = Bench()
    bench.ladder()
    bench.fill_and_settle(-1)
    bench.tell(TradingStateChanged(state=TradingState.REDUCING, reason="told to", flatten=True))
    bench.settle()
    bench.restart()
    assert bench.trading_state() is TradingState.REDUCING
    assert bench.state.grid.fields.flatten
    assert bench.open_door() == [], "the MARKET order's fate is not known"
    assert bench.status(-1) is OrderStatus.LOCKED

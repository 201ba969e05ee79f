"""A new session after any end, and orders of ours that the books do not know."""

from __future__ import annotations

import msgspec
import pytest

from tests.domain.grid_bench import (
    ANCHOR,
    BOT,
    INTERVAL,
    LEVEL_LOTS,
    START_MS,
    Bench,
    placed,
    reading,
    rung_price,
    settings,
)
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.client_order_id import OrderIdParts, encode
from trio_grid.domain.events import (
    OrderAbsent,
    OrderRecord,
    OrderUpdate,
    RecordStatus,
    Side,
)
from trio_grid.domain.inputs import Condition, ConditionChanged, Correction, StraySeen, TradesWalked, TradingState
from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.domain.settings import LatticeSettings, Mode, Spacing
from trio_grid.domain.slot import OrderStatus, Role
from trio_grid.errors import InvariantBroken


def one_level() -> Bench:
    return Bench(settings(levels_below=1))


# Sessions ------------------------------------------------------------------------------------------------------------


def test_f2_orders_in_flight_are_unknown_to_the_next_session_and_live_ones_stay() -> None:
    """F2: every intent is resolved by the exchange's own records after a restart."""
    bench = Bench(settings(levels_below=4))
    bench.open_door()
    for action in bench.actions[:2]:
        assert isinstance(action, PlaceOrder)
        bench.tell(bench.exchange.accept(action))
    bench.tell(ConditionChanged(condition=Condition.PAUSED, active=True))
    assert bench.status(-1) is OrderStatus.CANCELLING
    bench.restart()
    assert [bench.status(rung) for rung in (-1, -2, -3, -4)] == [OrderStatus.UNKNOWN] * 4
    assert bench.state.grid.fields.conditions == (Condition.PAUSED, Condition.STARTING)


def test_r4_a_send_that_a_kill_cut_off_is_proved_absent_one_recv_window_after_the_restart() -> None:
    bench = Bench(settings(levels_below=1, recv_window_ms=5_000))
    bench.open_door()
    (opening,) = bench.actions
    assert isinstance(opening, PlaceOrder)
    bench.now_ms += 30_000
    bench.restart()
    restarted_ms = bench.order(-1).sent_at_ms
    assert restarted_ms >= START_MS + 31_000, "a clock that was a second ahead may have stamped it then"
    for asked_at_ms, status in (
        (restarted_ms + 6_000, OrderStatus.UNKNOWN),
        (restarted_ms + 8_001, OrderStatus.UNKNOWN),
        (restarted_ms + 10_001, OrderStatus.FREE),
    ):
        absent = OrderAbsent(client_order_id=opening.client_order_id, asked_at_ms=asked_at_ms)
        bench.tell(Correction(rung=-1, version=bench.slot(-1).version, evidence=absent))
        assert bench.status(-1) is status


def test_a_pause_holds_until_the_operator_ends_it_and_other_circumstances_are_looked_at_anew() -> None:
    bench = Bench()
    bench.ladder()
    for condition in (Condition.PAUSED, Condition.KLINES_STALE, Condition.USER_STREAM_SILENT):
        bench.tell(ConditionChanged(condition=condition, active=True))
    bench.settle()
    bench.restart()
    assert placed(bench.open_door()) == {}
    assert bench.state.grid.fields.conditions == (Condition.PAUSED,)
    assert len(placed(bench.tell(ConditionChanged(condition=Condition.PAUSED, active=False)))) == 3


def test_f17_s15_a_restart_keeps_lattice_centre_slots_and_places_nothing_beside_them() -> None:
    """F17, S15: the price has moved, the lattice has not; what rests is not doubled."""
    bench = Bench(settings(levels_below=3))
    bench.ladder()
    bench.fill(-1)
    bench.settle()
    before = {slot.rung: slot.order.client_order_id for slot in bench.state.grid.book.in_order() if slot.order}
    slots = [msgspec.structs.replace(slot, version=0) for slot in bench.state.grid.book.in_order()]
    bench.restart()
    bench.price(ANCHOR + 130)
    assert bench.all_actions[-1].client_order_id in before.values()
    bench.open_door(ANCHOR + 130)
    assert bench.actions == []
    assert bench.state.grid.fields.anchor_ticks == ANCHOR
    assert [msgspec.structs.replace(slot, version=0) for slot in bench.state.grid.book.in_order()] == slots
    bench.check_books()


def test_r3_ids_of_sessions_never_meet() -> None:
    bench = one_level()
    for _ in range(3):
        bench.ladder()
        bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.CANCELED))
        bench.settle()
        bench.restart()
    names = [action.client_order_id for action in bench.all_actions]
    assert len(set(names)) == len(names)


def test_a_session_of_another_bot_or_an_older_number_is_refused() -> None:
    bench = one_level()
    bench.session = 0
    with pytest.raises(InvariantBroken, match="does not follow"):
        bench.start()


def test_another_lattice_within_a_journal_is_refused() -> None:
    bench = one_level()
    bench.ladder()
    other = LatticeSettings(spacing=Spacing.ARITHMETIC, interval_ticks=INTERVAL + 1)
    with pytest.raises(InvariantBroken, match="lattice cannot change"):
        bench.start(chosen=settings(lattice=other))


# Strays --------------------------------------------------------------------------------------------------------------


def stray(bench: Bench, rung: int, role: str = "o", side: Side = Side.BUY, lots: int = LEVEL_LOTS) -> PlaceOrder:
    """Let an order of ours rest on the exchange whose intent the journal has lost."""
    parts = OrderIdParts(bot=BOT, session=bench.session, generation=77, role=role, rung=rung, stride=1)
    action = PlaceOrder(
        client_order_id=encode(parts),
        side=side,
        quantity_lots=QuantityLots(lots),
        price_ticks=PriceTicks(rung_price(rung if side is Side.BUY else rung + 1)),
        post_only=True,
        reduce_only=False,
    )
    bench.exchange.accept(action)
    return action


def test_r12_a_stray_is_adopted_into_its_free_slot() -> None:
    bench = one_level()
    bench.price(ANCHOR)
    lost = stray(bench, -1)
    bench.tell(StraySeen(order=bench.exchange.record(lost.client_order_id)))
    assert bench.status(-1) is OrderStatus.LOCKED
    assert bench.order(-1).client_order_id == lost.client_order_id
    assert bench.open_door() == [], "the slot has its order"
    assert placed(bench.fill(-1))[-1].quantity_lots == LEVEL_LOTS
    bench.settle()
    bench.check_books()


def test_r12_a_stray_whose_trades_are_booked_already_is_not_counted_twice() -> None:
    bench = one_level()
    bench.price(ANCHOR)
    lost = stray(bench, -1)
    bench.exchange.fill(lost.client_order_id, 4)
    bench.tell(bench.exchange.walk(0))
    assert bench.slot(-1).inventory_lots == 4, "booked either way"
    bench.tell(StraySeen(order=bench.exchange.record(lost.client_order_id)))
    order = bench.order(-1)
    assert (order.executed_lots, order.booked_lots) == (4, 4)
    bench.open_door()
    bench.fill(-1)
    bench.settle()
    assert bench.slot(-1).inventory_lots == LEVEL_LOTS
    bench.check_books()


def test_s3_a_ghost_fill_adopts_the_traded_quantity() -> None:
    """S3: not the order's price and not its original quantity; what the trades say, to the lot."""
    bench = one_level()
    bench.price(ANCHOR)
    lost = stray(bench, -1)
    bench.exchange.fill(lost.client_order_id, 3)
    bench.exchange.fill(lost.client_order_id, 4)
    bench.exchange.cancel(lost.client_order_id)
    bench.tell(bench.exchange.walk(0))
    assert bench.slot(-1).inventory_lots == 7 == bench.exchange.position_lots
    assert bench.slot(-1).order is None
    closing = placed(bench.open_door())[-1]
    assert closing.quantity_lots == 7
    bench.settle()
    bench.check_books()


def test_r12_a_stray_whose_slot_has_an_order_is_left_for_its_cancel() -> None:
    bench = one_level()
    bench.ladder()
    mine = bench.order(-1).client_order_id
    lost = stray(bench, -1)
    bench.tell(StraySeen(order=bench.exchange.record(lost.client_order_id)))
    assert bench.order(-1).client_order_id == mine
    # Its trades are booked either way.
    bench.tell(bench.exchange.fill(lost.client_order_id, 2))
    assert bench.slot(-1).inventory_lots == 2
    bench.check_books()


def test_r12_a_stray_under_a_wider_cell_that_is_in_use_is_not_adopted() -> None:
    bench = Bench(settings(levels_below=6, volatility_scale_milli=1_000))
    bench.ladder(atr_ticks=100)
    bench.now_ms += 1_000_000
    bench.tell(reading(atr_ticks=1_200))
    bench.settle()
    assert bench.slot(-6).stride == 3
    lost = stray(bench, -5)
    bench.tell(StraySeen(order=bench.exchange.record(lost.client_order_id)))
    assert bench.state.grid.book.get(-5) is None


def test_r8_a_settled_order_is_not_taken_for_a_stray_by_an_old_answer() -> None:
    bench = one_level()
    bench.ladder()
    old = bench.exchange.record(bench.order(-1).client_order_id)
    bench.tell(ConditionChanged(condition=Condition.PAUSED, active=True))
    bench.settle()
    assert bench.state.grid.book.get(-1) is None
    bench.tell(OrderUpdate(order=old), StraySeen(order=old))
    assert bench.state.grid.book.get(-1) is None, "the dead stay dead"
    assert bench.state.grid.strays == {}


def test_a_closing_trade_beyond_the_inventory_halts_and_keeps_the_position_equation() -> None:
    bench = one_level()
    bench.ladder()
    bench.fill_and_settle(-1)
    lost = stray(bench, -1, role="c", side=Side.SELL, lots=LEVEL_LOTS + 3)
    bench.tell(bench.exchange.fill(lost.client_order_id))
    assert bench.trading_state() is TradingState.HALTED
    assert "which holds 10" in bench.state.grid.fields.state_reason
    assert bench.state.grid.position_lots == bench.exchange.position_lots == -3


def test_trades_beyond_an_orders_quantity_halt() -> None:
    bench = one_level()
    bench.ladder()
    report = bench.fill_silently(-1, 6)
    assert report.trade is not None
    twice = msgspec.structs.replace(report.trade, trade_id=77)
    bench.tell(TradesWalked(trades=(report.trade, twice), watermark=0))
    assert bench.trading_state() is TradingState.HALTED
    assert bench.state.grid.net_lots == 12, "what traded is in the books, whatever is wrong with it"


def test_a_stray_of_the_other_use_halts() -> None:
    bench = Bench(settings(Mode.NEUTRAL))
    bench.ladder()
    lost = stray(bench, -1, side=Side.SELL)
    bench.tell(StraySeen(order=bench.exchange.record(lost.client_order_id)))
    assert bench.trading_state() is TradingState.HALTED
    reason = bench.state.grid.fields.state_reason
    assert f"order {lost.client_order_id} is SHORT but slot -1 is used LONG" in reason
    assert "exit.policy=cancel-all" in reason
    assert "trio-grid resume" in reason


def test_a_trade_of_the_other_use_halts_and_keeps_the_position_equation() -> None:
    bench = Bench(settings(Mode.NEUTRAL))
    bench.ladder()
    lost = stray(bench, -1, side=Side.SELL)
    bench.exchange.fill(lost.client_order_id, 2)
    bench.tell(bench.exchange.walk(0))
    assert bench.trading_state() is TradingState.HALTED
    reason = bench.state.grid.fields.state_reason
    assert "its 2 lots are counted as foreign" in reason
    assert "trio-grid resume" in reason
    assert bench.state.grid.position_lots == bench.exchange.position_lots


def test_f27_an_update_of_an_order_nobody_knows_is_remembered_and_changes_no_slot() -> None:
    bench = one_level()
    bench.ladder()
    before = bench.slot(-1)
    lost = stray(bench, -7)
    bench.tell(OrderUpdate(order=bench.exchange.record(lost.client_order_id)))
    assert bench.state.grid.strays == {lost.client_order_id: 0}
    assert bench.slot(-1) == before


def test_f27_a_fill_that_overtakes_everything_is_booked_to_its_slot() -> None:
    """The trade of an order whose intent is not in the books: inventory at once, and its closing follows."""
    bench = one_level()
    bench.ladder()
    lost = stray(bench, -2)
    follows = bench.tell(bench.exchange.fill(lost.client_order_id))
    assert placed(follows)[-2].quantity_lots == LEVEL_LOTS
    bench.settle()
    assert bench.resting(Role.CLOSE) == {-2: rung_price(-1)}
    bench.check_books()


def test_f18_s16_orders_that_are_not_ours_change_nothing() -> None:
    """F18, S16: other grammar, another bot, a wrong check character: shown elsewhere, never touched, never booked."""
    bench = one_level()
    bench.ladder()
    before = bench.state.image()
    other = encode(OrderIdParts(bot="zzzzzz", session=1, generation=1, role="o", rung=-1, stride=1))
    ours = bench.order(-1).client_order_id
    damaged = ours[:-1] + ("0" if ours[-1] != "0" else "1")
    for name in (other, damaged, "web_1", "autoclose-123", "x-15PC4ZJy"):
        record = OrderRecord(
            client_order_id=name,
            order_id=9,
            side=Side.BUY,
            price_ticks=PriceTicks(rung_price(-1)),
            quantity_lots=QuantityLots(10),
            executed_lots=QuantityLots(0),
            status=RecordStatus.CANCELED,
            reduce_only=False,
            update_time_ms=1,
        )
        assert bench.tell(OrderUpdate(order=record), StraySeen(order=record)) == []
    fields = bench.state.grid.fields
    bench.state.grid.update(sequence=msgspec.json.decode(before)["fields"]["sequence"])
    assert bench.state.image() == before
    bench.state.grid.update(sequence=fields.sequence)


def test_f18_another_bots_live_orders_and_fills_are_not_ours() -> None:
    """Its ids are of our grammar: only the bot field tells. Nothing is adopted, its fills are foreign."""
    bench = one_level()
    bench.ladder()
    other = PlaceOrder(
        client_order_id=encode(OrderIdParts(bot="zzzzzz", session=1, generation=1, role="o", rung=-2, stride=1)),
        side=Side.BUY,
        quantity_lots=QuantityLots(5),
        price_ticks=PriceTicks(rung_price(-2)),
        post_only=True,
        reduce_only=False,
    )
    bench.tell(bench.exchange.accept(other), StraySeen(order=bench.exchange.record(other.client_order_id)))
    assert bench.state.grid.strays == {}
    assert bench.state.grid.book.get(-2) is None
    bench.tell(bench.exchange.fill(other.client_order_id))
    assert bench.state.grid.book.get(-2) is None
    assert bench.state.grid.fields.foreign_lots == 5
    bench.check_books()


def test_an_order_with_another_quantity_than_ours_halts() -> None:
    bench = one_level()
    bench.ladder()
    record = bench.exchange.record(bench.order(-1).client_order_id)
    bench.tell(OrderUpdate(order=msgspec.structs.replace(record, quantity_lots=QuantityLots(9))))
    assert bench.trading_state() is TradingState.HALTED

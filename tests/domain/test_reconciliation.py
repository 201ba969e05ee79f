"""The comparison of a snapshot with the exchange's open orders: corrections, questions, strays, foreign orders."""

from __future__ import annotations

import msgspec
import pytest

from tests.domain.grid_bench import BOT, Bench, settings
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.client_order_id import OrderIdParts, encode
from trio_grid.domain.events import OrderRecord, RecordStatus, Side
from trio_grid.domain.inputs import Condition, ConditionChanged, Correction
from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.domain.reconciliation import OrderComparison, compare_orders, open_questions
from trio_grid.domain.settings import Mode
from trio_grid.domain.slot import OrderStatus
from trio_grid.domain.snapshot import PositionSnapshot, take_snapshot


def snapshot_of(bench: Bench) -> PositionSnapshot:
    return take_snapshot(bench.state.grid, bench.now_ms, bench.half)


def compared(bench: Bench, *more: OrderRecord) -> OrderComparison:
    records = [bench.exchange.record(name) for name in bench.exchange.live_orders()]
    return compare_orders(snapshot_of(bench), [*records, *more])


def named(name: str) -> OrderRecord:
    return OrderRecord(
        client_order_id=name,
        order_id=7,
        side=Side.BUY,
        price_ticks=PriceTicks(1),
        quantity_lots=QuantityLots(1),
        executed_lots=QuantityLots(0),
        status=RecordStatus.NEW,
        reduce_only=False,
        update_time_ms=1,
    )


def our_id(session: int, bot: str = BOT) -> str:
    return encode(OrderIdParts(bot=bot, session=session, generation=5, role="o", rung=-9, stride=1))


def test_each_order_that_rests_is_a_correction_with_the_version_that_was_seen() -> None:
    bench = Bench(settings(Mode.NEUTRAL))
    bench.ladder()
    found = compared(bench)
    versions = {slot.rung: slot.version for slot in bench.state.grid.book.in_order()}
    assert {correction.rung: correction.version for correction in found.corrections} == versions
    assert (found.missing, found.strays, found.newer, found.foreign) == ((), (), (), ())


def test_s17_an_order_that_is_missing_is_a_question_and_no_conclusion() -> None:
    bench = Bench()
    bench.ladder()
    bench.fill_silently(-1)
    bench.exchange.cancel(bench.order(-2).client_order_id)
    found = compared(bench)
    assert [slot.rung for slot in found.missing] == [-2, -1]
    assert [correction.rung for correction in found.corrections] == [-3]
    bench.tell(*found.corrections)
    assert [bench.status(rung) for rung in (-1, -2)] == [OrderStatus.LOCKED] * 2


def test_an_order_whose_answer_is_under_way_is_no_question() -> None:
    bench = Bench()
    bench.open_door()
    assert compared(bench).missing == ()
    action = bench.actions[0]
    assert isinstance(action, PlaceOrder)
    bench.exchange.accept(action)
    assert [correction.rung for correction in compared(bench).corrections] == [-1]


@pytest.mark.parametrize("status", [OrderStatus.CANCELLING, OrderStatus.UNKNOWN])
def test_orders_on_their_way_out_are_asked_about(status: OrderStatus) -> None:
    bench = Bench()
    bench.ladder()
    bench.tell(ConditionChanged(condition=Condition.PAUSED, active=True))
    if status is OrderStatus.UNKNOWN:
        bench.restart()
    for name in bench.exchange.live_orders():
        bench.exchange.cancel(name)
    assert {slot.status for slot in compared(bench).missing} == {status}
    asked = {slot.rung for slot in open_questions(snapshot_of(bench))}
    assert asked == ({-1, -2, -3} if status is OrderStatus.UNKNOWN else set())


def test_s16_r12_f28_ours_and_theirs_are_told_apart_by_the_id_alone() -> None:
    bench = Bench()
    bench.ladder()
    ours, newer, other = our_id(1), our_id(2), our_id(1, "zzzzzz")
    damaged = ours[:-1] + ("0" if ours[-1] != "0" else "1")
    found = compared(bench, *[named(name) for name in (ours, newer, other, damaged, "web_7", "")])
    assert [record.client_order_id for record in found.strays] == [ours]
    assert [record.client_order_id for record in found.newer] == [newer]
    assert [record.client_order_id for record in found.foreign] == [other, damaged, "web_7", ""]
    assert [record.client_order_id for record in found.other_bots] == [other]


def test_an_answer_that_is_older_than_an_update_is_dropped_by_its_version() -> None:
    bench = Bench()
    bench.ladder()
    found = compared(bench)
    report = bench.fill_silently(-1, 4)
    bench.tell(report)
    before = bench.slot(-1)
    stale = next(correction for correction in found.corrections if correction.rung == -1)
    assert isinstance(stale, Correction)
    bench.tell(stale)
    assert bench.slot(-1) == before
    assert bench.state.grid.fields.counters.stale_corrections == 1
    assert msgspec.structs.replace(stale, version=before.version).version != stale.version

"""Net position, foreign trades, differences, the operator's word, corrections under their fence, changed filters."""

from __future__ import annotations

import msgspec
import pytest

from tests.domain.grid_bench import (
    BOT,
    LEVEL_LOTS,
    Bench,
    placed,
    rung_price,
    settings,
)
from trio_grid.domain.client_order_id import OrderIdParts, encode
from trio_grid.domain.events import FundingRecord, OrderUpdate, RecordStatus, Side
from trio_grid.domain.inputs import (
    Correction,
    InventoryWrittenOff,
    PositionAccepted,
    PositionObserved,
    TradingState,
    TradingStateChanged,
)
from trio_grid.domain.instrument import MoneyUnits
from trio_grid.domain.settings import Mode
from trio_grid.domain.slot import OrderStatus
from trio_grid.errors import InvariantBroken

# The position equation -----------------------------------------------------------------------------------------------


def test_position_is_baseline_plus_foreign_plus_net() -> None:
    bench = Bench(settings(Mode.NEUTRAL), baseline_lots=25)
    bench.ladder()
    bench.fill(-1)
    bench.settle()
    bench.fill(0, 4)
    bench.exchange.foreign_trade(Side.SELL, 7)
    bench.tell(bench.exchange.walk(0))
    grid = bench.state.grid
    assert (grid.fields.baseline_lots, grid.fields.foreign_lots, grid.net_lots) == (25, -7, 6)
    assert grid.position_lots == bench.exchange.position_lots == 24
    bench.check_books()


def test_the_watermark_bounds_what_has_to_be_remembered() -> None:
    """F24: booked trade ids are forgotten below the watermark, and still not booked again."""
    bench = Bench(settings(levels_below=1))
    bench.ladder()
    for _ in range(50):
        bench.fill(-1)
        bench.settle()
    assert len(bench.state.grid.booked) == 50
    bench.tell(bench.exchange.walk(0))
    assert bench.state.grid.booked == set()
    assert bench.state.grid.fields.trade_watermark == 50
    bench.tell(bench.exchange.walk(0))
    assert bench.state.grid.fields.counters.fills == 50
    bench.check_books()


def test_f24_what_is_remembered_of_settled_orders_and_refusals_is_bounded() -> None:
    bench = Bench(settings(levels_below=1))
    bench.ladder()
    for _ in range(1_100):
        bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.CANCELED))
        bench.settle()
    assert len(bench.state.grid.settled) == 1_024
    assert len(bench.state.grid.book) == 1


def test_f24_unknown_orders_of_ours_that_are_remembered_are_bounded() -> None:
    bench = Bench()
    bench.ladder()
    for number in range(400):
        parts = OrderIdParts(bot=BOT, session=1, generation=5_000 + number, role="o", rung=-9, stride=1)
        record = bench.exchange.record(bench.order(-1).client_order_id)
        bench.tell(OrderUpdate(order=msgspec.structs.replace(record, client_order_id=encode(parts))))
    assert len(bench.state.grid.strays) == 256


def observed(bench: Bench, lots: int, fence: int | None = None) -> None:
    bench.tell(PositionObserved(position_lots=lots, fence=bench.state.sequence if fence is None else fence))


@pytest.mark.parametrize(("mode", "state"), [(Mode.LONG, TradingState.REDUCING), (Mode.NEUTRAL, TradingState.HALTED)])
def test_a_difference_counts_when_seen_twice_alike_two_seconds_apart(mode: Mode, state: TradingState) -> None:
    bench = Bench(settings(mode))
    bench.ladder()
    observed(bench, 5)
    assert bench.trading_state() is TradingState.ACTIVE
    bench.pass_time(1_999)
    observed(bench, 5)
    assert bench.trading_state() is TradingState.ACTIVE, "not two seconds apart"
    bench.pass_time(1)
    observed(bench, 5)
    assert bench.trading_state() is state
    assert any("no trade" in notice and "explains the difference" in notice for notice in bench.notices)


def test_two_different_differences_are_not_the_same_twice() -> None:
    bench = Bench()
    bench.ladder()
    for lots in (5, 6, 5, 0, 5):
        observed(bench, lots)
        bench.pass_time(2_000)
    assert bench.trading_state() is TradingState.ACTIVE
    observed(bench, 5)
    assert bench.trading_state() is TradingState.REDUCING


def test_a_position_read_before_a_booking_is_ignored() -> None:
    bench = Bench()
    bench.ladder()
    fence = bench.state.sequence
    bench.fill(-1)
    for _ in range(3):
        observed(bench, 0, fence)
        bench.pass_time(5_000)
    assert bench.state.grid.fields.suspicion is None
    assert bench.trading_state() is TradingState.ACTIVE


def test_a_position_is_not_compared_while_executions_are_unbooked() -> None:
    bench = Bench()
    bench.ladder()
    report = bench.fill_silently(-1, 4)
    bench.tell(OrderUpdate(order=report.order))
    for _ in range(2):
        observed(bench, 4)
        bench.pass_time(2_000)
    assert bench.trading_state() is TradingState.ACTIVE


def test_resume_with_an_accepted_position_books_the_difference_as_foreign() -> None:
    bench = Bench()
    bench.ladder()
    observed(bench, 5)
    bench.pass_time(2_000)
    observed(bench, 5)
    bench.settle()
    bench.tell(PositionAccepted(difference_lots=5, words="bought by hand on the phone"))
    assert bench.state.grid.fields.foreign_lots == 5
    assert bench.state.grid.position_lots == 5
    assert "bought by hand on the phone" in bench.notices[-1]
    assert len(placed(bench.tell(TradingStateChanged(state=TradingState.ACTIVE, reason="resume")))) == 3
    observed(bench, 5)
    bench.pass_time(2_000)
    observed(bench, 5)
    assert bench.trading_state() is TradingState.ACTIVE


def test_inventory_that_the_exchange_closed_is_written_off_by_the_operator_alone() -> None:
    bench = Bench()
    bench.ladder()
    bench.fill(-1)
    bench.settle()
    bench.exchange.foreign_trade(Side.SELL, LEVEL_LOTS, rung_price(-2), "autoclose-1633333333")
    bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.EXPIRED, 4))
    bench.tell(bench.exchange.walk(0))
    assert bench.trading_state() is TradingState.HALTED
    assert bench.slot(-1).inventory_lots == LEVEL_LOTS, "nothing is written off by itself"
    assert bench.state.grid.position_lots == bench.exchange.position_lots == 0
    realized = bench.state.grid.realized_units
    bench.tell(InventoryWrittenOff(rungs=(-1,), words="liquidated"))
    grid = bench.state.grid
    assert grid.book.get(-1) is None
    assert (grid.net_lots, grid.fields.foreign_lots) == (0, 0)
    assert grid.position_lots == bench.exchange.position_lots
    assert grid.realized_units == realized
    assert grid.fields.cash_ticks_lots == grid.fields.ledger.slot_realized_ticks_lots, "no equity in what is gone"


@pytest.mark.parametrize("name", ["autoclose-1", "adl_autoclose", "settlement_autoclose-9"])
def test_a_forced_closing_of_the_exchange_halts(name: str) -> None:
    bench = Bench()
    bench.ladder()
    bench.fill(-1)
    trade = bench.exchange.foreign_trade(Side.SELL, 3, rung_price(-2), name)
    bench.tell(bench.exchange.walk(0))
    assert trade.client_order_id == name
    assert bench.trading_state() is TradingState.HALTED


def test_only_held_inventory_without_an_order_can_be_written_off() -> None:
    bench = Bench()
    bench.ladder()
    bench.fill(-1)
    for rung in (-1, -2, 7):
        with pytest.raises(InvariantBroken, match="written off"):
            bench.tell(InventoryWrittenOff(rungs=(rung,), words="no"))


def test_funding_is_booked_once() -> None:
    bench = Bench()
    bench.ladder()
    paid = FundingRecord(record_id=8, amount_units=MoneyUnits(-700), asset="USDT", time_ms=bench.now_ms)
    before = bench.state.grid.realized_units
    bench.tell(paid, paid)
    assert bench.state.grid.realized_units == before - 700


# The fence -----------------------------------------------------------------------------------------------------------


def test_s7_a_correction_from_before_an_update_changes_nothing_but_the_counter() -> None:
    """S7: snapshot at T1, update at T1.5, the answer of T1 arrives at T2."""
    bench = Bench()
    bench.ladder()
    version = bench.slot(-1).version
    name = bench.order(-1).client_order_id
    answer_of_t1 = bench.exchange.record(name)
    bench.fill(-1, 4)
    for correction in (
        Correction(rung=-1, version=version, evidence=answer_of_t1),
        Correction(rung=40, version=version, evidence=answer_of_t1),
    ):
        before = msgspec.json.decode(bench.state.image())
        assert bench.tell(correction) == []
        after = msgspec.json.decode(bench.state.image())
        assert after["fields"]["counters"].pop("stale_corrections") == (
            before["fields"]["counters"].pop("stale_corrections") + 1
        )
        assert after["fields"].pop("sequence") == before["fields"].pop("sequence") + 1
        assert after == before


def test_a_record_that_changes_nothing_leaves_the_version() -> None:
    """R8: the version is that of the last record that changed a field; an echo does not make corrections stale."""
    bench = Bench()
    bench.ladder()
    version = bench.slot(-1).version
    bench.tell(OrderUpdate(order=bench.exchange.record(bench.order(-1).client_order_id)))
    assert bench.slot(-1).version == version


def test_a_correction_is_never_a_state_even_with_the_right_version() -> None:
    """R8: the exchange's old record goes through the table: executed quantity does not fall, the dead stay dead."""
    bench = Bench()
    bench.ladder()
    name = bench.order(-1).client_order_id
    old = bench.exchange.record(name)
    report = bench.fill_silently(-1, 4)
    bench.tell(report)
    bench.tell(Correction(rung=-1, version=bench.slot(-1).version, evidence=old))
    assert bench.order(-1).executed_lots == 4
    end = bench.exchange.fill(name)
    bench.tell(OrderUpdate(order=end.order))
    assert bench.status(-1) is OrderStatus.SETTLING
    bench.tell(Correction(rung=-1, version=bench.slot(-1).version, evidence=old))
    assert bench.status(-1) is OrderStatus.SETTLING


def test_s17_missing_on_the_exchange_is_not_cancelled() -> None:
    """S17: an order that left the open orders is asked for with its trades; until then it stays what it was."""
    bench = Bench()
    bench.ladder()
    report = bench.fill_silently(-1)
    assert bench.status(-1) is OrderStatus.LOCKED
    record = report.order
    bench.tell(Correction(rung=-1, version=bench.slot(-1).version, evidence=record))
    assert bench.slot(-1).inventory_lots == 0
    assert bench.status(-1) is OrderStatus.SETTLING, "no new order before the fills are booked"
    bench.tell(bench.exchange.walk(0))
    assert bench.slot(-1).inventory_lots == LEVEL_LOTS
    bench.settle()
    bench.check_books()

"""What a report says of each cell: what it would do at a price, and the rule that stops it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.domain.grid_bench import (
    ANCHOR,
    LEVEL_LOTS,
    Bench,
    instrument,
    reading,
    rung_price,
    settings,
)
from trio_grid.domain.events import OrderRefused, RecordStatus, RejectReason, Side, Trend
from trio_grid.domain.explanation import SlotExplanation, explain
from trio_grid.domain.inputs import Condition, ConditionChanged, TradesWalked, TradingState, TradingStateChanged
from trio_grid.domain.instrument import MoneyUnits, QuantityLots
from trio_grid.domain.settings import Mode, Trailing
from trio_grid.domain.slot import OrderStatus
from trio_grid.domain.snapshot import ladder


def of_rung(bench: Bench, rung: int, price_ticks: int | None = None) -> SlotExplanation:
    """Return the explanation of one slot, asked at its own opening price unless told otherwise."""
    asked = rung_price(rung) if price_ticks is None else price_ticks
    found = [explanation for explanation in explain(bench.state.grid, asked) if explanation.row.rung == rung]
    assert len(found) == 1
    return found[0]


def test_an_order_that_rests_is_named_and_nothing_stops_it() -> None:
    bench = Bench()
    bench.ladder()
    found = of_rung(bench, -1)
    assert found.would == f"its order {bench.order(-1).client_order_id} is LOCKED"
    assert found.stopped_by == ""


def test_the_six_nearest_slots_are_explained_from_the_highest_down() -> None:
    bench = Bench(settings(Mode.NEUTRAL, levels_below=20, levels_above=20))
    bench.ladder()
    found = explain(bench.state.grid, rung_price(-10))
    assert [explanation.row.rung for explanation in found] == [-8, -9, -10, -11, -12, -13]
    prices = [explanation.row.open_price_ticks for explanation in found]
    assert prices == sorted(prices, reverse=True)


@pytest.mark.parametrize(
    ("door", "word"),
    [
        (ConditionChanged(condition=Condition.PAUSED, active=True), "paused"),
        (ConditionChanged(condition=Condition.USER_STREAM_SILENT, active=True), "user stream"),
        (reading(trend=Trend.BEAR), "trend filter: BEAR"),
        (reading(brake=True), "anomaly brake"),
        (reading(stale=True), "stale"),
        (TradingStateChanged(state=TradingState.REDUCING, reason="told"), "reducing"),
        (TradingStateChanged(state=TradingState.HALTED, reason="told"), "halted"),
    ],
)
def test_a_closed_door_is_named_as_the_rule(door: Any, word: str) -> None:
    bench = Bench()
    bench.open_door()
    bench.tell(door)
    for action in bench.actions[:3]:
        bench.tell(
            OrderRefused(client_order_id=action.client_order_id, reason=RejectReason.OTHER, code=-1, message="no")
        )
    found = of_rung(bench, -1)
    assert found.would == "open LONG at 59950.00, exit at 60000.00"
    assert found.stopped_by.startswith("openings stopped: ")
    assert word in found.stopped_by


@pytest.mark.parametrize(
    ("chosen", "units", "rung", "asked", "word"),
    [
        ({"max_inventory_lots": QuantityLots(25)}, {}, -3, ANCHOR, "limits.max_inventory"),
        ({"max_notional_units": MoneyUnits(1_300 * 10**8)}, {}, -3, ANCHOR, "limits.max_notional"),
        ({}, {"min_quantity_lots": QuantityLots(LEVEL_LOTS + 1)}, -1, ANCHOR, "below the minimum"),
        ({}, {"maker_fee_rate": 200_000}, -1, ANCHOR, "fees"),
        ({"max_inventory_lots": QuantityLots(25)}, {}, -3, rung_price(-3) + 20, "wrong side"),
    ],
)
def test_a_limit_or_a_filter_is_named_as_the_rule(
    chosen: dict[str, Any], units: dict[str, Any], rung: int, asked: int, word: str
) -> None:
    bench = Bench(settings(**chosen), instrument(**units))
    bench.ladder()
    assert word in of_rung(bench, rung, asked).stopped_by


def test_a_refusal_that_waits_says_so() -> None:
    bench = Bench()
    bench.open_door()
    name = bench.actions[0].client_order_id
    bench.tell(OrderRefused(client_order_id=name, reason=RejectReason.MARGIN, code=-2019, message="no"))
    assert of_rung(bench, -1).stopped_by == "refused 1 times, waits"


def test_inventory_says_what_keeps_its_closing() -> None:
    bench = Bench(settings(trailing=Trailing.NONE))
    bench.ladder()
    bench.fill_and_settle(-1, -2)
    bench.exchange.foreign_trade(Side.SELL, 12)
    bench.tell(TradesWalked(trades=(bench.exchange.trades[-1],), watermark=0))
    bench.tell(bench.exchange.end(bench.order(-1).client_order_id, RecordStatus.CANCELED))
    bench.settle()
    found = of_rung(bench, -1, ANCHOR)
    assert found.would == "close 0.010 at 60000.00"
    assert found.stopped_by == "position missing"


def test_dust_and_parked_exits_say_so() -> None:
    dusty = Bench(settings(levels_below=1), instrument(min_quantity_lots=QuantityLots(4)))
    dusty.ladder()
    dusty.price(rung_price(-1) + 1)
    dusty.fill(-1, 3)
    dusty.tell(dusty.exchange.end(dusty.order(-1).client_order_id, RecordStatus.CANCELED))
    assert of_rung(dusty, -1).stopped_by == "dust: below the minimum quantity"


def test_the_ladder_has_every_cell_once_and_every_slot_in_use() -> None:
    bench = Bench(settings(Mode.NEUTRAL))
    bench.ladder()
    bench.fill_and_settle(-1)
    bench.price(rung_price(8))
    bench.settle()
    rows = ladder(bench.state.grid)
    rungs = [row.rung for row in rows]
    assert sorted(rungs) == sorted(set(rungs))
    assert {row.rung for row in rows if row.in_window} == {5, 6, 7, 8, 9, 10}
    held = next(row for row in rows if row.rung == -1)
    assert (held.inventory_lots, held.status, held.in_window) == (LEVEL_LOTS, OrderStatus.LOCKED, False)
    assert held.order_price_ticks == ANCHOR
    assert held.remaining_lots == LEVEL_LOTS

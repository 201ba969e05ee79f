"""Stop-loss, take-profit, drawdown, trigger: exact thresholds, both signs, what follows, and what survives."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.domain.grid_bench import (
    ANCHOR,
    INTERVAL,
    LEVEL_LOTS,
    Bench,
    cancelled,
    instrument,
    placed,
    rung_price,
    settings,
)
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.events import FundingRecord
from trio_grid.domain.inputs import TradingState, TradingStateChanged
from trio_grid.domain.instrument import MoneyUnits, PriceTicks
from trio_grid.domain.settings import Mode, OnLimit, Trailing
from trio_grid.domain.snapshot import take_snapshot

UNIT = instrument().tick_lot_units
BELOW, ABOVE = ANCHOR - 10 * INTERVAL, ANCHOR + 10 * INTERVAL

# (mode, setting, threshold, the last price that does not reach it, the first that does)
THRESHOLDS = [
    (Mode.LONG, "stop_loss_ticks", BELOW, BELOW + 0.5, BELOW),
    (Mode.SHORT, "stop_loss_ticks", ABOVE, ABOVE - 0.5, ABOVE),
    (Mode.NEUTRAL, "stop_loss_ticks", BELOW, BELOW + 0.5, BELOW),
    (Mode.NEUTRAL, "stop_loss_ticks", ABOVE, ABOVE - 0.5, ABOVE),
    (Mode.LONG, "take_profit_ticks", ABOVE, ABOVE - 0.5, ABOVE),
    (Mode.SHORT, "take_profit_ticks", BELOW, BELOW + 0.5, BELOW),
    (Mode.NEUTRAL, "take_profit_ticks", ABOVE, ABOVE - 0.5, ABOVE),
    (Mode.NEUTRAL, "take_profit_ticks", BELOW, BELOW + 0.5, BELOW),
]


@pytest.mark.parametrize(("mode", "setting", "threshold", "before", "at"), THRESHOLDS)
def test_a_threshold_is_hit_at_its_price_and_not_half_a_tick_before(
    mode: Mode, setting: str, threshold: int, before: float, at: float
) -> None:
    bench = Bench(settings(mode, trailing=Trailing.NONE, **{setting: PriceTicks(threshold)}))
    bench.ladder()
    bench.price(before)
    assert bench.trading_state() is TradingState.ACTIVE
    resting = sorted(bench.resting())
    assert cancelled(bench.price(at)) == resting
    assert bench.trading_state() is TradingState.REDUCING
    assert bench.state.grid.fields.state_reason == setting.removesuffix("_ticks").replace("_", "-")
    bench.settle()
    bench.price(ANCHOR)
    assert bench.resting() == {}, "the state stays, whatever the price does"
    bench.restart()
    bench.open_door()
    assert bench.trading_state() is TradingState.REDUCING, "and survives a restart"
    assert bench.resting() == {}


@pytest.mark.parametrize(
    ("setting", "action", "on_limit", "on_stop_loss", "flattens"),
    [
        ("stop_loss_ticks", BELOW, OnLimit.REDUCE, OnLimit.FLATTEN, True),
        ("stop_loss_ticks", BELOW, OnLimit.FLATTEN, OnLimit.REDUCE, False),
        ("take_profit_ticks", ABOVE, OnLimit.REDUCE, OnLimit.FLATTEN, False),
        ("take_profit_ticks", ABOVE, OnLimit.FLATTEN, OnLimit.REDUCE, True),
    ],
)
def test_each_limit_does_what_its_setting_says(
    setting: str, action: int, on_limit: OnLimit, on_stop_loss: OnLimit, flattens: bool
) -> None:
    changes: dict[str, Any] = {setting: action, "on_limit": on_limit, "on_stop_loss": on_stop_loss}
    bench = Bench(settings(trailing=Trailing.NONE, **changes))
    bench.ladder()
    bench.fill(-1)
    bench.settle()
    bench.price(action)
    assert bench.state.grid.fields.flatten is flattens
    bench.settle()
    markets = [order for order in bench.all_actions if isinstance(order, PlaceOrder) and order.price_ticks is None]
    assert bool(markets) is flattens
    if not flattens:
        assert bench.slot(-1).order is not None, "reducing leaves the closing where it is"


def test_a_stop_loss_still_flattens_after_reducing() -> None:
    bench = Bench(settings(stop_loss_ticks=PriceTicks(BELOW), trailing=Trailing.NONE))
    bench.ladder()
    bench.fill(-1)
    bench.settle()
    bench.tell(TradingStateChanged(state=TradingState.REDUCING, reason="operator"))
    bench.price(BELOW)
    assert bench.state.grid.fields.flatten


def test_a_limit_that_was_hit_is_announced_once() -> None:
    bench = Bench(settings(stop_loss_ticks=PriceTicks(BELOW), on_stop_loss=OnLimit.REDUCE))
    bench.ladder()
    for ticks in (BELOW, BELOW - 100, BELOW + 50, BELOW - 200):
        bench.price(ticks)
    assert len([notice for notice in bench.notices if "limit hit" in notice]) == 1


# Drawdown ------------------------------------------------------------------------------------------------------------


def equity_units(bench: Bench, half_ticks: int) -> int:
    """Return 2 x equity at a price from the exchange's trades alone: cash + position x price - fees + funding."""
    cash = sum(-trade.side.sign * trade.price_ticks * trade.quantity_lots for trade in bench.exchange.trades)
    fees = sum(trade.fee_units for trade in bench.exchange.trades)
    return (2 * cash + bench.exchange.position_lots * half_ticks) * UNIT - 2 * fees


@pytest.mark.parametrize(("mode", "rungs", "direction"), [(Mode.LONG, (-1, -2), -1), (Mode.SHORT, (0, 1), 1)])
def test_drawdown_is_hit_at_the_first_half_tick_at_which_equity_is_too_low(
    mode: Mode, rungs: tuple[int, ...], direction: int
) -> None:
    limit = 37 * 10**8 + 12_345
    bench = Bench(settings(mode, max_drawdown_units=MoneyUnits(limit), trailing=Trailing.NONE))
    bench.ladder()
    # One finished round trip makes a peak; then two slots are held.
    bench.fill(rungs[0])
    bench.settle()
    bench.fill(rungs[0])
    bench.settle()
    peak = bench.state.grid.fields.peak_realized_units
    assert peak == bench.state.grid.realized_units > 0
    for rung in rungs:
        bench.fill(rung)
        bench.settle()
    half = bench.half
    assert half is not None
    while equity_units(bench, half) > 2 * (peak - limit):
        bench.price(half / 2)
        assert bench.trading_state() is TradingState.ACTIVE
        half += direction * 7
    half -= direction * 7
    while equity_units(bench, half) > 2 * (peak - limit):
        half += direction
    bench.price((half - direction) / 2)
    assert bench.trading_state() is TradingState.ACTIVE
    bench.price(half / 2)
    assert bench.trading_state() is TradingState.REDUCING
    assert bench.state.grid.fields.state_reason == "drawdown"


def test_drawdown_counts_funding_and_fees_of_a_flat_book() -> None:
    bench = Bench(settings(max_drawdown_units=MoneyUnits(1_000_000)))
    bench.ladder()
    paid = FundingRecord(record_id=1, amount_units=MoneyUnits(-999_999), asset="USDT", time_ms=bench.now_ms)
    bench.tell(paid)
    assert bench.trading_state() is TradingState.ACTIVE
    bench.tell(msgspec.structs.replace(paid, record_id=2, amount_units=MoneyUnits(-1)))
    assert bench.trading_state() is TradingState.REDUCING


def test_the_peak_of_realized_equity_includes_funding_received() -> None:
    bench = Bench(settings(max_drawdown_units=MoneyUnits(1_000)))
    bench.ladder()
    got = FundingRecord(record_id=1, amount_units=MoneyUnits(5_000), asset="USDT", time_ms=bench.now_ms)
    bench.tell(got)
    bench.tell(msgspec.structs.replace(got, record_id=2, amount_units=MoneyUnits(-999)))
    assert bench.trading_state() is TradingState.ACTIVE
    bench.tell(msgspec.structs.replace(got, record_id=3, amount_units=MoneyUnits(-1)))
    assert bench.trading_state() is TradingState.REDUCING


def test_equity_in_the_snapshot_is_what_the_exchanges_trades_say() -> None:
    bench = Bench(settings(Mode.NEUTRAL))
    bench.ladder()
    for rung in (-1, 0, 1):
        bench.fill(rung)
        bench.settle()
    bench.fill(0)
    for ticks in (ANCHOR - 333, ANCHOR + 777.5):
        snapshot = take_snapshot(bench.state.grid, bench.now_ms, round(2 * ticks))
        assert snapshot.equity_units == equity_units(bench, round(2 * ticks)) // 2


# Trigger -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "first", "before", "at"),
    [
        (ANCHOR + 2_000, ANCHOR, ANCHOR + 1_999.5, ANCHOR + 2_000),
        (ANCHOR - 2_000, ANCHOR, ANCHOR - 1_999.5, ANCHOR - 2_000),
    ],
)
def test_nothing_opens_before_the_trigger_price(trigger: int, first: float, before: float, at: float) -> None:
    bench = Bench(settings(trigger_ticks=PriceTicks(trigger)))
    assert placed(bench.open_door(first)) == {}
    assert placed(bench.price(before)) == {}
    assert set(placed(bench.price(at))) != set()
    bench.settle()
    bench.restart()
    bench.price(first)
    bench.open_door(first)
    assert bench.resting(), "a trigger that has fired stays fired"


def test_a_market_that_stands_at_the_trigger_fires_at_once() -> None:
    bench = Bench(settings(trigger_ticks=PriceTicks(ANCHOR)))
    assert placed(bench.open_door(ANCHOR))


def test_resuming_at_a_price_beyond_the_stop_loss_hits_it_again() -> None:
    bench = Bench(settings(stop_loss_ticks=PriceTicks(BELOW), trailing=Trailing.NONE))
    bench.ladder()
    bench.price(BELOW)
    bench.settle()
    assert placed(bench.tell(TradingStateChanged(state=TradingState.ACTIVE, reason="resume"))) == {}
    assert bench.trading_state() is TradingState.REDUCING
    bench.price(ANCHOR)
    back = bench.tell(TradingStateChanged(state=TradingState.ACTIVE, reason="resume"))
    assert len(placed(back)) == 3
    assert placed(back)[-1].quantity_lots == LEVEL_LOTS
    assert rung_price(-1) == placed(back)[-1].price_ticks

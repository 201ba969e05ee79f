"""The manager's methods: what an outcome holds, when nothing happens, what is said of the state."""

from __future__ import annotations

import msgspec

from tests.domain.grid_bench import ANCHOR, INTERVAL, START_MS, reading, settings
from tests.domain.honest_exchange import HonestExchange
from tests.manager_bench import Clock, a_session, accept_all, begin, new_manager, ready, ticker
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import (
    Condition,
    ConditionChanged,
    Decision,
    LatticeAnchored,
    Outcome,
    TradingState,
    TradingStateChanged,
)
from trio_grid.domain.instrument import PriceTicks
from trio_grid.manager import NOTHING

# The outcome of a method ---------------------------------------------------------------------------------------------


async def test_an_outcome_has_the_input_first_then_the_decision_and_its_actions() -> None:
    manager = ready()
    outcome = manager.on_price(ticker(ANCHOR))
    anchored, decided = outcome.records
    assert anchored.entry == LatticeAnchored(anchor_ticks=PriceTicks(ANCHOR))
    assert isinstance(decided.entry, Decision)
    assert decided.sequence == anchored.sequence + 1
    assert outcome.actions == decided.entry.actions
    assert len(outcome.actions) == 6
    assert outcome.halted is None


async def test_the_configured_anchor_comes_before_the_first_price() -> None:
    chosen = settings()
    lattice = msgspec.structs.replace(chosen.lattice, anchor_ticks=PriceTicks(500_000))
    outcome = ready(msgspec.structs.replace(chosen, lattice=lattice)).on_price(ticker(ANCHOR))
    assert outcome.records[0].entry == LatticeAnchored(anchor_ticks=PriceTicks(500_000))


async def test_a_price_inside_the_band_costs_no_decision() -> None:
    manager = ready()
    manager.on_price(ticker(ANCHOR))
    plans = manager._state.plans
    for ticks in range(ANCHOR - 200, ANCHOR + 200, 25):
        assert manager.on_price(ticker(ticks)) is NOTHING
    assert manager._state.plans == plans
    assert manager.on_price(ticker(ANCHOR + INTERVAL)).records


async def test_a_band_of_an_older_sequence_does_not_hold() -> None:
    manager = ready()
    manager.on_price(ticker(ANCHOR))
    manager._state.apply(ConditionChanged(condition=Condition.PAUSED, active=True), START_MS)
    plans = manager._state.plans
    manager.on_price(ticker(ANCHOR))
    assert manager._state.plans > plans, "four comparisons: low, high, time and the sequence"


async def test_on_time_decides_when_the_budget_is_refilled() -> None:
    clock = Clock()
    manager = new_manager(clock)
    begin(manager)
    assert [manager.wake_at_ms] == [None]
    clock.orders = 2
    assert len(manager.on_price(ticker(ANCHOR)).actions) == 2
    assert manager.wake_at_ms == START_MS + 1_000
    clock.ms += 1_000
    clock.orders = 1_000
    assert len(manager.on_time().actions) == 4


async def test_a_condition_that_already_is_so_leaves_no_record() -> None:
    manager = ready()
    assert manager.set_condition(Condition.STARTING, False) is NOTHING
    assert manager.set_condition(Condition.PAUSED, True, "operator").records[0].entry == ConditionChanged(
        condition=Condition.PAUSED, active=True, reason="operator"
    )
    assert manager.set_condition(Condition.PAUSED, True) is NOTHING


async def test_a_halt_is_said_in_every_outcome() -> None:
    manager = ready()
    manager.on_price(ticker(ANCHOR))
    outcome = manager.set_trading_state(TradingStateChanged(state=TradingState.HALTED, reason="second bot"))
    assert outcome.halted == "second bot"
    assert outcome.actions == ()
    assert manager.set_condition(Condition.PAUSED, True).halted == "second bot"


async def test_the_manager_tells_its_state_in_one_line() -> None:
    manager = ready()
    outcome = manager.on_price(ticker(ANCHOR))
    assert repr(manager) == "<PositionManager BTCUSDT ACTIVE slots=6 resting=0 in_flight=6 net_lots=0>"
    accept_all(manager, HonestExchange(), outcome.actions)
    assert repr(manager) == "<PositionManager BTCUSDT ACTIVE slots=6 resting=6 in_flight=0 net_lots=0>"


async def test_the_records_of_all_outcomes_replay_to_the_same_state() -> None:
    manager, exchange = new_manager(), HonestExchange()
    outcomes: list[Outcome] = []
    replayed = GridState.fresh()
    outcomes.append(manager.start_session(a_session(settings())))
    outcomes.append(manager.set_regime(reading()))
    outcomes.append(manager.on_price(ticker(ANCHOR)))
    outcomes.append(manager.set_condition(Condition.STARTING, False))
    for action in outcomes[-1].actions:
        assert isinstance(action, PlaceOrder)
        outcomes.append(manager.apply_action_results([exchange.accept(action)]))
    outcomes.append(manager.on_order_update(exchange.fill(exchange.live_orders()[0], 4)))
    outcomes.append(manager.apply_corrections([exchange.walk(0)]))
    for outcome in outcomes:
        for record in outcome.records:
            replayed.replay(record)
    assert replayed.image() == manager.image()

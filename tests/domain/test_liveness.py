"""After any stretch of trouble, a calm exchange finds the grid at rest: every exit in its place, and nothing churning.

Safety has its tests elsewhere; here the question is whether something waits for ever, or is cancelled and placed again
and again. Each seed is another grid, another mode and another stretch of trouble.
"""

from __future__ import annotations

import random

import pytest

from tests.domain.grid_bench import ANCHOR, Bench, instrument, reading, settings
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.events import (
    OrderAbsent,
    OrderRefused,
    RecordStatus,
    RejectReason,
    Side,
    Trend,
    Volatility,
)
from trio_grid.domain.inputs import Condition, ConditionChanged, Correction, TradesWalked, TradingState
from trio_grid.domain.instrument import MoneyUnits, QuantityLots
from trio_grid.domain.settings import GridSettings, Mode, Trailing
from trio_grid.domain.slot import OrderStatus
from trio_grid.domain.slot_book import ExitKind

MOST_ACTIONS_OF_ONE_EVENT = 200
MINUTE_MS = 60_000


class Trouble:
    """One grid in one stretch of trouble, on an exchange that matches by price and knocks out reduce-only orders."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        units = instrument(
            min_notional_units=MoneyUnits(self.chance.choice([50, 250]) * 10**8),
            min_quantity_lots=QuantityLots(self.chance.choice([1, 3])),
        )
        self.bench = Bench(self._settings(), units)
        self.price = ANCHOR
        self.bench.open_door(ANCHOR)

    def _settings(self) -> GridSettings:
        chance = self.chance
        return settings(
            chance.choice(list(Mode)),
            levels_below=chance.randint(1, 8),
            levels_above=chance.randint(1, 8),
            trailing=chance.choice(list(Trailing)),
            max_open_orders=chance.choice([1, 2, 3, 5, 8, 180]),
            max_inventory_lots=chance.choice([None, QuantityLots(30), QuantityLots(100)]),
            skew_milli=chance.choice([0, 500]),
            closings_post_only=chance.random() < 0.2,
            volatility_scale_milli=chance.choice([0, 3_000]),
            stride_dwell_ms=chance.choice([0, MINUTE_MS]),
        )

    def event(self) -> None:
        bench, chance = self.bench, self.chance
        match chance.choices(
            ["price", "time", "foreign", "end", "regime", "restart", "answers"], [9, 2, 1, 1, 1, 1, 6]
        )[0]:
            case "price":
                self.price = max(2_000, self.price + chance.randint(-700, 700))
                bench.price(self.price)
            case "time":
                bench.pass_time(chance.choice([300, 5_000, MINUTE_MS]))
            case "foreign":
                trade = bench.exchange.foreign_trade(chance.choice(list(Side)), chance.randint(1, 25))
                bench.tell(TradesWalked(trades=(trade,), watermark=0))
            case "end" if bench.exchange.live_orders():
                name = chance.choice(bench.exchange.live_orders())
                bench.tell(bench.exchange.end(name, chance.choice([RecordStatus.CANCELED, RecordStatus.EXPIRED])))
            case "regime":
                volatility, trend = chance.choice(list(Volatility)), chance.choice(list(Trend))
                bench.tell(reading(trend=trend, volatility=volatility, atr_ticks=chance.choice([50, 300, 900])))
            case "restart":
                bench.restart()
                bench.open_door(self.price)
            case _:
                self.answer(refusals=0.08)
        self.catch_up()

    def answer(self, refusals: float = 0.0) -> None:
        """Answer what waits; what a real exchange would refuse is refused, and by chance something more."""
        actions, self.bench.actions = self.bench.actions, []
        for action in actions:
            if not isinstance(action, PlaceOrder):
                self.bench.tell(self.bench.exchange.cancel(action.client_order_id))
                continue
            reason = self._refusal(action)
            if reason is None and self.chance.random() < refusals:
                reason = self.chance.choice([RejectReason.MARGIN, RejectReason.OPEN_ORDERS])
            if reason is None:
                self.bench.tell(self.bench.exchange.accept(action))
            else:
                name = action.client_order_id
                self.bench.tell(OrderRefused(client_order_id=name, reason=reason, code=-1, message="no"))

    def _refusal(self, action: PlaceOrder) -> RejectReason | None:
        if action.reduce_only and self.bench.exchange.position_lots * action.side.sign >= 0:
            return RejectReason.REDUCE_ONLY
        if action.post_only and (self.price - (action.price_ticks or 0)) * action.side.sign <= 0:
            return RejectReason.POST_ONLY
        return None

    def catch_up(self) -> None:
        """Match by the price, knock out, look at the position, and resolve what nobody knows."""
        bench, exchange = self.bench, self.bench.exchange
        for name in exchange.live_orders():
            order = exchange.orders[name]
            side = order.action.side.sign
            price = order.action.price_ticks
            room = max(0, -exchange.position_lots * side) if order.action.reduce_only else order.action.quantity_lots
            left = min(order.action.quantity_lots - order.executed_lots, room)
            if left and (price is None or (price - self.price) * side > 0):
                bench.tell(exchange.fill(name, left if self.chance.random() < 0.7 else self.chance.randint(1, left)))
        for name in exchange.live_orders():
            action = exchange.orders[name].action
            if action.reduce_only and exchange.position_lots * action.side.sign >= 0:
                bench.tell(exchange.end(name, RecordStatus.EXPIRED, 4))
        bench.tell(exchange.observe(bench.state.sequence))
        for slot in bench.state.grid.book.in_order():
            if slot.order is not None and slot.order.status is OrderStatus.UNKNOWN:
                name = slot.order.client_order_id
                known = name in exchange.orders
                evidence = (
                    exchange.record(name) if known else OrderAbsent(client_order_id=name, asked_at_ms=bench.now_ms)
                )
                bench.tell(Correction(rung=slot.rung, version=slot.version, evidence=evidence))

    def calm_down(self, rounds: int) -> int:
        """Let a calm exchange answer everything while time passes; return how many actions that took."""
        before = len(self.bench.all_actions)
        for _ in range(rounds):
            self.answer()
            self.catch_up()
            self.bench.pass_time(MINUTE_MS + 10_000)
        self.answer()
        return len(self.bench.all_actions) - before

    def exits_that_wait(self) -> list[int]:
        """Return rungs that hold inventory which the filters, the position and the room would let out."""
        grid = self.bench.state.grid
        if grid.sum("unsettled") >= grid.order_capacity():
            return []
        waiting = []
        for slot in grid.book.in_order():
            kind = grid.exit_kind(slot)
            if slot.order is not None or not slot.inventory_lots or kind is ExitKind.DUST:
                continue
            neutral, left = grid.settings.mode is Mode.NEUTRAL, grid.reducible_lots(slot.use)
            plain = neutral and kind is ExitKind.PLAIN
            # In long and short mode the nearest exit closes what the position covers, be it a part.
            part = not neutral and not grid.reduce_only_lots(slot.use) and left >= grid.instrument.min_quantity_lots
            if plain or part or left >= slot.inventory_lots:
                waiting.append(slot.rung)
        return waiting


@pytest.mark.parametrize("first_seed", range(0, 200, 25))
def test_after_any_trouble_the_grid_comes_to_rest_with_every_exit_in_place(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 25):
        trouble = Trouble(seed)
        bench = trouble.bench
        for _ in range(120):
            before = len(bench.all_actions)
            trouble.event()
            assert len(bench.all_actions) - before < MOST_ACTIONS_OF_ONE_EVENT, f"seed {seed}: a storm of actions"
        bench.tell(reading())
        bench.tell(ConditionChanged(condition=Condition.PAUSED, active=False))
        trouble.calm_down(40)
        assert trouble.calm_down(20) <= 25, f"seed {seed}: orders are cancelled and placed again and again"
        assert bench.trading_state() is TradingState.ACTIVE, f"seed {seed}: {bench.state.grid.fields.state_reason}"
        assert trouble.exits_that_wait() == [], f"seed {seed}: exits wait for nothing"
        bench.check_books()

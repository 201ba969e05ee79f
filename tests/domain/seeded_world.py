"""A seeded world around a grid: prices, a clock, an order budget, an exchange, and messages that come late or never.

One world can drive several states at once: it only says what happens next, and takes the actions that were decided.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import attrs

from tests.domain.grid_bench import BOT, START_MS, reading
from tests.domain.honest_exchange import HonestExchange
from trio_grid.domain.actions import Action, CancelOrder, PlaceOrder
from trio_grid.domain.events import (
    CancelOutcomeLost,
    Liquidity,
    OrderAbsent,
    OrderNotSent,
    OrderOutcomeLost,
    OrderRefused,
    OrderUpdate,
    RecordStatus,
    RejectReason,
    Side,
    Trend,
    Volatility,
)
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import (
    Condition,
    ConditionChanged,
    Correction,
    Input,
    SessionStarted,
    TradesWalked,
    TradingState,
    TradingStateChanged,
)
from trio_grid.domain.instrument import Instrument
from trio_grid.domain.settings import GridSettings
from trio_grid.domain.slot import OrderStatus

BUDGET_WINDOW_MS = 10_000


@attrs.define
class Budget:
    """An order-count limit: so many orders in each window of ten seconds."""

    per_window: int
    window: int = 0
    used: int = 0

    def at(self, now_ms: int) -> tuple[int, int]:
        """Return how many orders may be placed now, and when the next window begins."""
        window = now_ms // BUDGET_WINDOW_MS
        if window != self.window:
            self.window, self.used = window, 0
        return max(0, self.per_window - self.used), (window + 1) * BUDGET_WINDOW_MS


class World:
    """What happens around a grid. `calm` worlds have prices that mostly stay where they are, and few events."""

    def __init__(
        self, seed: int, settings: GridSettings, units: Instrument, per_window: int, half: int, *, calm: bool = False
    ) -> None:
        self.rng = random.Random(seed)
        self.settings, self.units = settings, units
        self.exchange = HonestExchange()
        self.budget = Budget(per_window)
        self.now_ms = START_MS
        self.half = half
        self.calm = calm
        self.to_send: list[Action] = []
        self.messages: list[Input] = []
        self.session = 0

    # Events ---------------------------------------------------------------------------------------------------------

    def session_start(self) -> SessionStarted:
        """Begin the next session; whatever was under way is lost."""
        self.session += 1
        for action in self.to_send:
            if isinstance(action, PlaceOrder) and self.rng.random() < 0.5:
                self.exchange.accept(action)
        self.to_send.clear()
        self.messages.clear()
        first = self.session == 1
        return SessionStarted(
            bot_id=BOT,
            session=self.session,
            instrument=self.units,
            settings=self.settings,
            baseline_lots=0 if first else None,
            trade_watermark=0 if first else None,
        )

    def take(self, actions: Sequence[Action]) -> None:
        """Take what was decided; it is sent some steps later."""
        self.to_send += actions
        self.budget.used += sum(isinstance(action, PlaceOrder) for action in actions)

    def move(self) -> None:
        """Move price and clock."""
        rng = self.rng
        self.now_ms += rng.choice([0, 1, 50, 400, 2_500, 9_000])
        self.exchange.now_ms = self.now_ms
        if self.calm:
            size = rng.choice([0, 1, 1, 2, 3, 5, 8] + [60] * (rng.random() < 0.02))
        else:
            size = rng.choice([0, 1, 7, 40, 130, 300, 700] + [4_000] * (rng.random() < 0.05))
        self.half = max(self.half + rng.choice([-1, 1]) * size, 400_000)
        self._match()

    def _match(self) -> None:
        """Let the price fill what it has reached, sometimes in part."""
        for name in self.exchange.live_orders():
            order = self.exchange.orders[name]
            limit, side = order.action.price_ticks, order.action.side
            if limit is None or (self.half - 2 * limit) * side.sign <= 0:
                self._fill(name)

    def _fill(self, name: str) -> None:
        order, rng = self.exchange.orders[name], self.rng
        left = order.action.quantity_lots - order.executed_lots
        lots = left if rng.random() < 0.7 else rng.randint(1, left)
        if order.action.reduce_only:
            room = max(0, -self.exchange.position_lots * order.action.side.sign)
            if room < left:
                self.messages.append(self.exchange.end(name, RecordStatus.EXPIRED, 4))
                return
        self.messages.append(self.exchange.fill(name, lots, None if order.action.price_ticks else self.half // 2))

    def send(self) -> None:
        """Send the oldest action; most are taken, some are refused, lost or never leave."""
        action, rng = self.to_send.pop(0), self.rng
        name = action.client_order_id
        if isinstance(action, CancelOrder):
            answer = self.exchange.cancel(name)
            self.messages.append(
                answer if rng.random() < 0.9 else CancelOutcomeLost(client_order_id=name, detail="timeout")
            )
            return
        fate = rng.random()
        if fate < 0.75:
            self.messages.append(self.exchange.accept(action))
            self._match()
        elif fate < 0.9:
            reason = rng.choice(list(RejectReason))
            self.messages.append(OrderRefused(client_order_id=name, reason=reason, code=-1, message="no"))
        elif fate < 0.95:
            self.messages.append(OrderNotSent(client_order_id=name, detail="no connection"))
        else:
            if rng.random() < 0.5:
                self.exchange.accept(action)
            self.messages.append(
                OrderOutcomeLost(
                    client_order_id=name, request_time_ms=self.now_ms, recv_window_ms=5_000, detail="timeout"
                )
            )

    def next_message(self) -> Input | None:
        """Take a message out of the air: mostly the oldest, sometimes another, sometimes it is lost or comes again."""
        if not self.messages:
            return None
        rng = self.rng
        place = 0 if rng.random() < 0.8 else rng.randrange(len(self.messages))
        message = self.messages.pop(place)
        chance = rng.random()
        if chance < 0.05 and isinstance(message, OrderUpdate):
            return None
        if chance < 0.12:
            self.messages.append(message)
        return message

    def reconcile(self, state: GridState) -> list[Input]:
        """Compare a state with the exchange: trades, each unsettled order, the position."""
        grid = state.grid
        found: list[Input] = [self.exchange.walk(grid.fields.trade_watermark)]
        for slot in grid.book.in_order():
            if slot.order is None or slot.status is OrderStatus.PENDING:
                continue
            name = slot.order.client_order_id
            if name in self.exchange.orders:
                found.append(Correction(rung=slot.rung, version=slot.version, evidence=self.exchange.record(name)))
            else:
                absent = OrderAbsent(client_order_id=name, asked_at_ms=self.now_ms)
                found.append(Correction(rung=slot.rung, version=slot.version, evidence=absent))
        found.append(self.exchange.observe(grid.fields.sequence))
        return found

    def event(self, state: GridState) -> list[Input]:
        """Return what happens next beside the price; most often a message, else nothing, else something rare."""
        rng = self.rng
        if self.to_send and rng.random() < 0.7:
            self.send()
        if self.messages and rng.random() < 0.8:
            message = self.next_message()
            return [] if message is None else [message]
        chance = rng.random() * (8.0 if self.calm else 1.0)
        if chance < 0.06:
            return self.reconcile(state)
        if chance < 0.10:
            return [self._reading()]
        if chance < 0.11:
            return [ConditionChanged(condition=rng.choice(list(Condition)), active=rng.random() < 0.4)]
        if chance < 0.16:
            return [ConditionChanged(condition=condition, active=False) for condition in state.grid.fields.conditions]
        if chance < 0.165:
            return [TradingStateChanged(state=TradingState.REDUCING, reason="told", flatten=rng.random() < 0.5)]
        if chance < 0.25 and state.grid.fields.trading_state is not TradingState.ACTIVE:
            return [TradingStateChanged(state=TradingState.ACTIVE, reason="told")]
        if 0.25 < chance < 0.253:
            trade = self.exchange.foreign_trade(rng.choice(list(Side)), rng.randint(1, 8), self.half // 2)
            return [TradesWalked(trades=(trade,), watermark=0)] if rng.random() < 0.5 else []
        return []

    def _reading(self) -> Input:
        rng = self.rng
        return reading(
            trend=rng.choice([Trend.RANGE, Trend.RANGE, Trend.BULL, Trend.BEAR]),
            volatility=rng.choice(list(Volatility)),
            liquidity=rng.choice([Liquidity.NORMAL] * 7 + [Liquidity.THIN]),
            brake=rng.random() < 0.1,
            stale=rng.random() < 0.05,
            atr_ticks=rng.choice([50, 400, 700, 1_400, 2_600]),
            size_factor_milli=rng.choice([100, 400, 1_000]),
        )

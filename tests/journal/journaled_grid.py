"""A grid that trades against a small market and journals everything, for tests of recovery and replay.

The books are the real reducer's, the journal is a real file. The market is the least that makes a journal varied:
orders are acknowledged, filled in one or two parts when the price crosses them, cancelled, refused or left unknown.
"""

from __future__ import annotations

import random

from tests.journal.journal_samples import INSTRUMENT, LATTICE, START_MS
from trio_grid.domain.actions import Action, CancelOrder, PlaceOrder
from trio_grid.domain.events import (
    CancelAcknowledged,
    FundingRecord,
    Liquidity,
    OrderAcknowledged,
    OrderOutcomeLost,
    OrderRecord,
    OrderRefused,
    OrderUpdate,
    RecordStatus,
    RegimeReading,
    RejectReason,
    Side,
    Trade,
    Trend,
    Volatility,
)
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import (
    Condition,
    ConditionChanged,
    Input,
    JournalRecord,
    LatticeAnchored,
    PositionAccepted,
    SessionStarted,
)
from trio_grid.domain.instrument import MoneyUnits, PriceTicks, QuantityLots
from trio_grid.domain.settings import GridSettings, LatticeSettings, Mode
from trio_grid.journal.recovery import recover
from trio_grid.journal.sqlite_journal import Journal

START_TICKS = 600_000


def grid_settings(lattice: LatticeSettings = LATTICE) -> GridSettings:
    return GridSettings(
        mode=Mode.NEUTRAL,
        lattice=lattice,
        levels_below=6,
        levels_above=6,
        base_per_level_lots=QuantityLots(20),
        volatility_scale_milli=1_000,
        size_by_volatility=False,
    )


class JournaledGrid:
    """One life of a bot on a journal; `step` moves the price once and settles what follows.

    `resting` are the orders that rested at the end of the life before.
    """

    def __init__(self, journal: Journal, seed: int, resting: dict[str, OrderRecord] | None = None) -> None:
        self.journal = journal
        self.state = recover(journal) or GridState.fresh()
        self.dice = random.Random(seed)
        self.now_ms = START_MS + 1_000 * (self.state.sequence + 1)
        self.ticks = START_TICKS
        self.orders = {} if resting is None else resting
        self.unsent: list[JournalRecord] = []
        self.trades = self.state.sequence * 10
        first = self.state.sequence == 0
        lattice = (
            LATTICE if first or self.state.grid.fields.settings is None else self.state.grid.fields.settings.lattice
        )
        identity = journal.establish_identity(INSTRUMENT, lattice, created_ms=START_MS, venue="paper")
        session = journal.begin_session(started_ms=self.now_ms)
        self.take(
            SessionStarted(
                bot_id=identity.bot_id,
                session=session,
                instrument=INSTRUMENT,
                settings=grid_settings(lattice),
                baseline_lots=0 if first else None,
                trade_watermark=0 if first else None,
            )
        )
        if first:
            self.take(LatticeAnchored(anchor_ticks=PriceTicks(START_TICKS)))
        self.take(self.reading())
        self.take(ConditionChanged(condition=Condition.STARTING, active=False, reason="reconciled"))

    def reading(self) -> RegimeReading:
        return RegimeReading(
            close_time_ms=self.now_ms,
            trend=self.dice.choice((Trend.RANGE, Trend.RANGE, Trend.RANGE, Trend.BULL, Trend.BEAR)),
            volatility=self.dice.choice((Volatility.NORMAL, Volatility.HIGH)),
            liquidity=Liquidity.NORMAL,
            brake=False,
            stale=False,
            atr_ticks=self.dice.randrange(100, 700),
            size_factor_milli=1_000,
            rsi_milli=50_000,
        )

    def take(self, entry: Input) -> None:
        self.unsent.append(self.state.apply(entry, self.now_ms))

    def step(self) -> None:
        """Move the price, let the market meet the orders, decide, commit in one transaction each."""
        self.now_ms += self.dice.randrange(1, 2_000)
        self.ticks = max(560_000, min(640_000, self.ticks + self.dice.randrange(-700, 701)))
        for order in [order for order in self.orders.values() if self.crossed(order)]:
            self.fill(order)
        if self.dice.random() < 0.05:
            self.take(self.reading())
        if self.dice.random() < 0.02:
            self.take(
                FundingRecord(record_id=self.now_ms, amount_units=MoneyUnits(-77), asset="USDT", time_ms=self.now_ms)
            )
        if self.dice.random() < 0.01:
            self.take(PositionAccepted(difference_lots=0, words="looked at it: fine"))
        self.decide()
        self.save()

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def run_until(self, sequence: int) -> None:
        while self.state.sequence < sequence:
            self.step()

    def decide(self) -> None:
        while (record := self.state.decide(2 * self.ticks + 1, self.now_ms, 4, self.now_ms + 500)) is not None:
            self.unsent.append(record)
            for action in getattr(record.entry, "actions", ()):
                self.answer(action)

    def save(self) -> None:
        self.journal.commit(self.unsent)
        self.unsent.clear()

    def answer(self, action: Action) -> None:
        if isinstance(action, CancelOrder):
            order = self.orders.pop(action.client_order_id)
            self.take(CancelAcknowledged(order=self.changed(order, RecordStatus.CANCELED, order.executed_lots)))
        elif self.dice.random() < 0.05 and action.post_only:
            self.take(
                OrderRefused(
                    client_order_id=action.client_order_id,
                    reason=RejectReason.POST_ONLY,
                    code=-5022,
                    message="would take",
                )
            )
        else:
            order = self.placed(action)
            if self.dice.random() < 0.05:
                self.take(
                    OrderOutcomeLost(
                        client_order_id=action.client_order_id,
                        request_time_ms=self.now_ms,
                        recv_window_ms=5_000,
                        detail="timed out",
                    )
                )
            self.orders[order.client_order_id] = order
            self.take(OrderAcknowledged(order=order))

    def placed(self, action: PlaceOrder) -> OrderRecord:
        return OrderRecord(
            client_order_id=action.client_order_id,
            order_id=self.state.sequence + 1,
            side=action.side,
            price_ticks=action.price_ticks or PriceTicks(0),
            quantity_lots=action.quantity_lots,
            executed_lots=QuantityLots(0),
            status=RecordStatus.NEW,
            reduce_only=action.reduce_only,
            update_time_ms=self.now_ms,
        )

    def crossed(self, order: OrderRecord) -> bool:
        if order.side is Side.BUY:
            return self.ticks < order.price_ticks or order.price_ticks == 0
        return self.ticks > order.price_ticks

    def fill(self, order: OrderRecord) -> None:
        left = order.quantity_lots - order.executed_lots
        part = left if left < 2 or self.dice.random() < 0.5 else self.dice.randrange(1, left)
        status = RecordStatus.FILLED if part == left else RecordStatus.PARTIALLY_FILLED
        record = self.changed(order, status, order.executed_lots + part)
        self.trades += 1
        trade = Trade(
            trade_id=self.trades,
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            side=order.side,
            price_ticks=order.price_ticks or PriceTicks(self.ticks),
            quantity_lots=QuantityLots(part),
            realized_pnl_units=MoneyUnits(0),
            fee_units=MoneyUnits(part * 1_200),
            fee_asset="USDT",
            maker=True,
            time_ms=self.now_ms,
        )
        if status is RecordStatus.FILLED:
            del self.orders[order.client_order_id]
        else:
            self.orders[order.client_order_id] = record
        self.take(OrderUpdate(order=record, trade=trade))

    def changed(self, order: OrderRecord, status: RecordStatus, executed: int) -> OrderRecord:
        return OrderRecord(
            client_order_id=order.client_order_id,
            order_id=order.order_id,
            side=order.side,
            price_ticks=order.price_ticks,
            quantity_lots=order.quantity_lots,
            executed_lots=QuantityLots(executed),
            status=status,
            reduce_only=order.reduce_only,
            update_time_ms=self.now_ms,
        )

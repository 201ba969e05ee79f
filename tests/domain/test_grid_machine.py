"""Hypothesis drives the reducer through everything that can happen, and checks the books after each step.

`TRIO_GRID_LARGE=1` runs the large profile.
"""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import settings as profile
from hypothesis.stateful import invariant, run_state_machine_as_test

from tests.domain.grid_bench import traded_lots
from tests.domain.network_machine import MAX_INVENTORY, NetworkMachine
from trio_grid.domain.client_order_id import decode
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import Condition, TradingState
from trio_grid.domain.slot import Use

LARGE = bool(os.environ.get("TRIO_GRID_LARGE"))
MACHINE = profile(max_examples=4_000 if LARGE else 200, stateful_step_count=150 if LARGE else 60, deadline=None)
FILTERS = [Condition.PAUSED, Condition.KLINES_STALE, Condition.PRICE_STALE, Condition.USER_STREAM_SILENT]


class GridMachine(NetworkMachine):
    """One grid, one honest exchange, a bad network, and what always holds."""

    @invariant()
    def at_most_one_unsettled_order_per_slot(self) -> None:
        """F19: also on the exchange, apart from orders whose intent was lost."""
        exchange = self.bench.exchange
        live = Counter(traded_slot(name) for name in exchange.live_orders() if name in self.seen_ids)
        assert all(count == 1 for count in live.values()), live

    @invariant()
    def inventory_is_the_sum_of_the_trades_that_were_booked(self) -> None:
        grid = self.bench.state.grid
        booked = [
            trade
            for trade in self.bench.exchange.trades
            if trade.trade_id <= grid.fields.trade_watermark or trade.trade_id in grid.booked
        ]
        net = sum(trade.side.sign * trade.quantity_lots for trade in booked)
        assert grid.position_lots == net
        for slot in grid.book.in_order():
            if slot.inventory_lots or slot.order is not None:
                assert slot.inventory_lots == traded_lots(self.bench.exchange, slot, {t.trade_id for t in booked})

    @invariant()
    def exposure_stays_within_the_limit(self) -> None:
        """F4: whatever fills of what is under way, as long as nobody else trades and no intent was lost."""
        if not self.disturbed:
            for use in Use:
                assert self.bench.state.grid.worst_lots(use) <= MAX_INVENTORY

    @invariant()
    def sums_and_indices_are_those_of_the_slots(self) -> None:
        grid = self.bench.state.grid
        fresh = GridState.from_image(self.bench.state.image()).grid
        assert fresh.book.sums == grid.book.sums
        assert {use: list(keys) for use, keys in fresh.candidates.waiting.items()} == {
            use: list(keys) for use, keys in grid.candidates.waiting.items()
        }
        for name in ("occupied", "delayed_exits", "cooling"):
            assert list(getattr(fresh.book, name)) == list(getattr(grid.book, name))
        for name in ("waiting_exits", "small_exits", "resting_exits", "resting_opens", "half_way"):
            for use in Use:
                assert list(getattr(fresh.book, name)[use]) == list(getattr(grid.book, name)[use])

    @invariant()
    def no_closing_is_blocked_by_a_filter(self) -> None:
        """R10: whatever the market and the operator's pause say, closings are permitted."""
        grid = self.bench.state.grid
        blocking = set(grid.fields.conditions) - set(FILTERS) - {Condition.STOPPING, Condition.FILTERS_CHANGED}
        if not blocking and grid.fields.trading_state is not TradingState.HALTED:
            assert grid.permissions.closes

    @invariant()
    def nothing_is_halted_by_an_honest_exchange(self) -> None:
        fields = self.bench.state.grid.fields
        assert fields.trading_state is not TradingState.HALTED, fields.state_reason

    @invariant()
    def the_last_decision_is_final(self) -> None:
        """A decision leaves nothing to decide: asking again at once concludes nothing."""
        bench = self.bench
        if bench.half is not None:
            assert bench.state.decide(bench.half, bench.now_ms, bench.orders, bench.refill_at_ms) is None

    def teardown(self) -> None:
        """The journal's rows give the same state again."""
        if not hasattr(self, "bench"):
            return
        replayed = GridState.fresh()
        for row in self.bench.rows:
            replayed.replay(row)
        assert replayed.image() == self.bench.state.image()


def traded_slot(name: str) -> str:
    """Return the rung of an id as text."""
    parts = decode(name)
    return "?" if parts is None else str(parts.rung)


def test_the_books_hold_whatever_the_network_does() -> None:
    run_state_machine_as_test(GridMachine, settings=MACHINE)

"""The ledger in every mode, over liquidations: wallet = deposits + income rows, positions = trades, exactly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.exchange.paper.scripted_market import START_MS, UNIT, quote, scripted
from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.exchange import PaperExchange
from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.engine.symbols import FUNDING_INTERVAL_MS

NAMES, SYMBOL = ("ann", "bob"), "TESTUSDT"
ORDER = st.tuples(
    st.just("order"),
    st.sampled_from(NAMES),
    st.sampled_from(["BUY", "SELL"]),
    st.sampled_from(["GTC", "GTC", "IOC", "MARKET"]),
    st.integers(-12, 12),
    st.sampled_from([60, 700, 1_400, 3_000]),
    st.sampled_from(["LONG", "SHORT"]),
    st.booleans(),
)
STEP = st.tuples(st.just("step"), st.integers(-120, 120), st.integers(1, 6), st.integers(0, 400))
MARGIN = st.tuples(st.just("margin"), st.sampled_from(NAMES), st.integers(1, 2), st.integers(1, 3 * UNIT))
FUNDING = st.tuples(st.just("funding"))
FLOW = st.lists(st.one_of(ORDER, ORDER, ORDER, STEP, STEP, MARGIN, FUNDING), min_size=5, max_size=50)
CRASH = [*(("order", name, "BUY", "MARKET", 0, 1_400, "LONG", False) for name in NAMES), ("step", -200, 2, 0)]
"""How every flow ends: with as much as a poor account can buy, then a fall that it cannot bear."""
# Shrinking a flow of orders takes minutes and seldom makes it clearer than its last act.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


class Ledger:
    """Plays a flow in one mode and holds the books against the trades after each act."""

    def __init__(self, *, hedge: bool, isolated: bool, depth_lots: int) -> None:
        self.exchange, self.market, *traders = scripted(balance=60 if isolated else 8, depth_lots=depth_lots)
        self.traders = dict(zip(NAMES, traders, strict=True))
        self.hedge, self.isolated = hedge, isolated
        self.bid, self.time_ms = 1000, 0
        for name in NAMES:
            if hedge:
                self.exchange.change_position_mode(name, {"dualSidePosition": "true"}, START_MS)
            if isolated:
                self.exchange.change_margin_type(name, {"symbol": SYMBOL, "marginType": "ISOLATED"}, START_MS)

    def play(self, act: tuple[Any, ...]) -> None:
        before = {name: self.exchange.account_of(name).cross_units for name in NAMES}
        try:
            getattr(self, f"_{act[0]}")(*act[1:])
        except PaperRefusal:
            assert before == {name: self.exchange.account_of(name).cross_units for name in NAMES}
        for name in NAMES:
            self.check(self.exchange, name)

    def _order(self, name: str, side: str, tif: str, offset: int, lots: int, place: str, reduce: bool) -> None:
        extra = {"positionSide": place} if self.hedge else {"reduceOnly": "true"} if reduce else {}
        if tif == "MARKET":
            self.traders[name].market(side, lots, **extra)
        else:
            self.traders[name].limit(side, self.bid + offset, lots, tif, **extra)

    def _step(self, move: int, spread: int, lots: int) -> None:
        self.time_ms, self.bid = self.time_ms + 100, max(600, min(1400, self.bid + move))
        tape = [(self.bid, lots, True)] if lots else []
        self.market.add(quote(self.time_ms, self.bid, self.bid + spread, *tape))
        self.exchange.advance(START_MS + self.time_ms)

    def _margin(self, name: str, kind: int, units: int) -> None:
        place = {"positionSide": "LONG"} if self.hedge else {}
        params = {"symbol": SYMBOL, "amount": f"{units / UNIT:.8f}", "type": str(kind)}
        self.exchange.change_position_margin(name, params | place, self.exchange.now_ms)

    def _funding(self) -> None:
        for desk in self.exchange.desks.values():
            self.exchange.settlement.pay_funding(desk, START_MS + FUNDING_INTERVAL_MS)

    def check(self, exchange: PaperExchange, name: str) -> None:
        account = exchange.account_of(name)
        assert account.wallet_units == sum(row.units for row in account.income)
        trades = list(account.trades.get(SYMBOL, ()))
        held = dict.fromkeys(account.sides, 0)
        for trade in trades:
            held[trade.position_side] += trade.side.sign * trade.quantity_lots
        for side, lots in held.items():
            position = account.position(SYMBOL, side)
            assert position.lots == lots
            assert self.isolated or position.isolated_units == 0
            assert lots or position.isolated_units == 0, "a flat position has no wallet"
            closing = [o for o in account.open_on(SYMBOL).values() if o.reduce_only and o.position_side is side]
            assert all(order.side.sign * lots < 0 for order in closing)
        if self.hedge:
            long, short = held.values()
            assert long >= 0 >= short, "a long position is never short"
        assert self.isolated or account.cross_units >= 0 or next(account.held(), None) is not None


@pytest.mark.parametrize("isolated", [False, True], ids=["cross", "isolated"])
@pytest.mark.parametrize("hedge", [False, True], ids=["one-way", "hedge"])
def test_the_ledger_is_exact_in_every_mode(hedge: bool, isolated: bool) -> None:
    liquidations: list[int] = []

    @settings(max_examples=60, deadline=None, phases=PHASES, derandomize=True)
    @given(FLOW, st.sampled_from([400, 400, 2]))
    def flows(flow: list[tuple[Any, ...]], depth_lots: int) -> None:
        ledger = Ledger(hedge=hedge, isolated=isolated, depth_lots=depth_lots)
        for act in [*flow, *CRASH]:
            ledger.play(act)
        exchange = ledger.exchange
        for name in NAMES:
            ids = [order.client_order_id for order in exchange.account_of(name).orders.get(SYMBOL, {}).values()]
            liquidations.append(sum(one.startswith("autoclose-") for one in ids))
        buys = exchange.desks[SYMBOL].book.best_order(Side.BUY)
        sells = exchange.desks[SYMBOL].book.best_order(Side.SELL)
        assert buys is None or sells is None or buys.price_ticks < sells.price_ticks

    flows()
    assert sum(liquidations) > 30, "the flows liquidate too"

"""Properties of the whole exchange under random orders of two accounts and a random market."""

from __future__ import annotations

from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.exchange.paper.scripted_market import START_MS, UNIT, ScriptedMarket, Trader, quote, scripted
from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.exchange import PaperExchange, UserEvent
from trio_grid.exchange.paper.engine.persistence import exchange_document
from trio_grid.exchange.paper.engine.refusals import PaperRefusal

ORDER = st.tuples(
    st.just("order"),
    st.sampled_from(["ann", "bob"]),
    st.sampled_from(["BUY", "SELL"]),
    st.sampled_from(["GTC", "GTC", "GTX", "IOC", "FOK", "MARKET"]),
    st.integers(985, 1015),
    st.integers(50, 400),
    st.booleans(),
)
CANCEL = st.tuples(st.just("cancel"), st.sampled_from(["ann", "bob"]), st.integers(0, 10))
ROW = st.tuples(st.integers(-6, 6), st.integers(1, 300), st.booleans())
STEP = st.tuples(st.just("step"), st.integers(-8, 8), st.integers(1, 4), st.lists(ROW, max_size=3))
# Shrinking a flow of orders takes minutes and seldom makes it clearer than its last act.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
FLOW = st.lists(st.one_of(ORDER, ORDER, ORDER, CANCEL, STEP, STEP), min_size=5, max_size=60)


class Run:
    """Plays a flow and checks the books after each act."""

    def __init__(self, model: str, balance: int = 1_000) -> None:
        self.balance_units = balance * UNIT
        self.exchange, self.market, ann, bob = scripted(fill_model=model, balance=balance)
        self.traders: dict[str, Trader] = {"ann": ann, "bob": bob}
        self.bid, self.time_ms = 1000, 0
        self.told: dict[str, dict[int, dict[str, Any]]] = {"ann": {}, "bob": {}}
        self.trade_ids: dict[str, list[int]] = {"ann": [], "bob": []}
        self.best_before = (1000, 1001)

    def play(self, act: tuple[Any, ...]) -> None:
        book = self.exchange.desks["TESTUSDT"].book
        self.best_before = (book.best(Side.BUY), book.best(Side.SELL))
        if act[0] == "order":
            self._order(*act[1:])
        elif act[0] == "cancel":
            _, name, pick = act
            resting = list(self.exchange.account_of(name).open_on("TESTUSDT"))
            if resting:
                self.traders[name].cancel(resting[pick % len(resting)])
        else:
            self._step(*act[1:])
        self._take_events()
        self.check()

    def _order(self, name: str, side: str, tif: str, price: int, lots: int, reduce_only: bool) -> None:
        extra = {"reduceOnly": "true"} if reduce_only else {}
        trader, opposite = self.traders[name], self.best_before[1] if side == "BUY" else self.best_before[0]
        try:
            if tif == "MARKET":
                body = trader.market(side, lots, **extra)
            else:
                body = trader.limit(side, price, lots, tif, **extra)
        except PaperRefusal:
            return
        order = self.exchange.account_of(name).orders["TESTUSDT"][body["orderId"]]
        sign = 1 if side == "BUY" else -1
        if order.executed_lots:
            average = order.executed_cost / order.executed_lots
            assert (average - opposite) * sign >= 0, "nobody takes at better than the best price"
            if tif != "MARKET":
                assert (price - average) * sign >= 0, "nobody takes beyond the limit"
            assert tif != "GTX", "post-only never takes"
        if tif == "FOK":
            assert order.executed_lots == lots

    def _step(self, move: int, spread: int, rows: list[tuple[int, int, bool]]) -> None:
        self.time_ms += 100
        old, self.bid = self.bid, max(900, min(1100, self.bid + move))
        tape = [(old + offset, lots, maker) for offset, lots, maker in rows]
        self.market.add(quote(self.time_ms, self.bid, self.bid + spread, *tape))
        self.exchange.advance(START_MS + self.time_ms)

    def _take_events(self) -> None:
        for event in self.exchange.take_events():
            if not isinstance(event, UserEvent) or event.kind != "ORDER_TRADE_UPDATE":
                continue
            order = event.payload["o"]
            before = self.told[event.account].get(order["i"])
            if before is not None:
                assert before["X"] in ("NEW", "PARTIALLY_FILLED"), "nothing follows a terminal event"
                assert float(order["z"]) >= float(before["z"])
            else:
                assert order["x"] == "NEW", "an order's first event is NEW"
            self.told[event.account][order["i"]] = order
            if order["x"] in ("TRADE", "CALCULATED"):
                self.trade_ids[event.account].append(order["t"])

    def check(self) -> None:
        exchange = self.exchange
        book = exchange.desks["TESTUSDT"].book
        buys, sells = list(book.orders(Side.BUY)), list(book.orders(Side.SELL))
        keys = [(-order.price_ticks, order.sequence) for order in buys]
        assert keys == sorted(keys)
        keys = [(order.price_ticks, order.sequence) for order in sells]
        assert keys == sorted(keys)
        if buys and sells:
            assert buys[0].price_ticks < sells[0].price_ticks, "the accounts' book is never crossed"
        assert book.best(Side.BUY) < book.best(Side.SELL)
        resting = {order.order_id for order in (*buys, *sells)}
        wanted: set[int] = set()
        for name, ids in self.trade_ids.items():
            self._check_account(name, ids)
            wanted |= set(exchange.account_of(name).open_on("TESTUSDT"))
        assert resting == wanted, "open orders rest in the book, closed ones do not"

    def _check_account(self, name: str, ids: list[int]) -> None:
        account = self.exchange.account_of(name)
        trades = list(account.trades.get("TESTUSDT", ()))
        assert [trade.trade_id for trade in trades] == ids == sorted(set(ids))
        by_order: dict[int, int] = {}
        for trade in trades:
            by_order[trade.order_id] = by_order.get(trade.order_id, 0) + trade.quantity_lots
        for order in account.orders.get("TESTUSDT", {}).values():
            assert order.executed_lots == by_order.get(order.order_id, 0) <= order.quantity_lots
            assert order.status.value == self.told[name][order.order_id]["X"]
        position = account.position("TESTUSDT")
        assert position.lots == sum(trade.side.sign * trade.quantity_lots for trade in trades)
        realized, fees = sum(t.realized_units for t in trades), sum(t.fee_units for t in trades)
        other = sum(row.units for row in account.income if row.kind in ("FUNDING_FEE", "INSURANCE_CLEAR"))
        assert account.wallet_units == self.balance_units + realized - fees + other
        assert account.wallet_units >= 0 or position.lots, "a flat account owes nothing"
        left = abs(position.lots)
        for order in account.open_on("TESTUSDT").values():
            if order.reduce_only:
                assert order.side.sign * position.lots < 0
                assert left > 0


@settings(max_examples=150, deadline=None, phases=PHASES)
@given(FLOW, st.sampled_from(["through", "queue", "optimistic"]), st.sampled_from([3, 1_000]))
def test_books_hold_whatever_happens(flow: list[tuple[Any, ...]], model: str, balance: int) -> None:
    run = Run(model, balance)
    for act in flow:
        run.play(act)


def _document(flow: list[tuple[Any, ...]]) -> bytes:
    run = Run("queue")
    for act in flow:
        run.play(act)
    return exchange_document(run.exchange)


@settings(max_examples=25, deadline=None, phases=PHASES)
@given(FLOW)
def test_the_same_inputs_give_the_same_bytes(flow: list[tuple[Any, ...]]) -> None:
    assert _document(flow) == _document(flow)


def test_two_accounts_trading_with_each_other_lose_only_fees() -> None:
    exchange, _, ann, bob = scripted(quote(0, 900, 1100))
    for price, lots in ((1000, 100), (1010, 70), (990, 300)):
        ann.limit("SELL", price, lots)
        bob.limit("BUY", price, lots)
        ann.limit("BUY", price - 3, lots)
        bob.limit("SELL", price - 3, lots)
    fees = sum(t.fee_units for name in ("ann", "bob") for t in exchange.account_of(name).trades["TESTUSDT"])
    assert (ann.lots, bob.lots) == (0, 0)
    assert ann.wallet + bob.wallet == 20_000 * UNIT - fees
    assert isinstance(exchange, PaperExchange)
    assert isinstance(exchange.desks["TESTUSDT"].market, ScriptedMarket)

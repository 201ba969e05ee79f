"""Spot's wallets: how they open, that nothing is lost, and that they are kept."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.exchange.paper.scripted_market import UNIT, scripted
from tests.exchange.paper_spot.spot_trader import SYMBOL, SpotTrader, amount, go_on, priced, quote, spot_market, told
from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange
from trio_grid.exchange.paper.engine.persistence import exchange_document, restore_exchange
from trio_grid.exchange.paper.engine.refusals import PaperRefusal

TYPES = (
    "LIMIT",
    "LIMIT",
    "LIMIT",
    "IOC",
    "FOK",
    "LIMIT_MAKER",
    "MARKET",
    "QUOTE",
    "STOP_LOSS_LIMIT",
    "STOP_LOSS",
    "TAKE_PROFIT",
)
MODES = ("EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "DECREMENT", "NONE")
ORDER = st.tuples(
    st.just("order"), st.sampled_from(["ann", "bob"]), st.sampled_from(["BUY", "SELL"]), st.sampled_from(TYPES),
    st.integers(985, 1015), st.integers(50, 400), st.sampled_from(MODES),
)  # fmt: skip
CANCEL = st.tuples(st.just("cancel"), st.sampled_from(["ann", "bob"]), st.integers(0, 10))
AMEND = st.tuples(st.just("amend"), st.sampled_from(["ann", "bob"]), st.integers(0, 10), st.integers(50, 200))
ROW = st.tuples(st.integers(-6, 6), st.integers(1, 300), st.booleans())
STEP = st.tuples(st.just("step"), st.integers(-8, 8), st.integers(1, 4), st.lists(ROW, max_size=3))
FLOW = st.lists(st.one_of(ORDER, ORDER, ORDER, CANCEL, AMEND, STEP, STEP), min_size=5, max_size=50)
# Shrinking a flow of orders takes minutes and seldom makes it clearer than its last act.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
BALANCE = 100


def test_an_account_opens_with_both_wallets() -> None:
    exchange, _, ann, _ = spot_market()
    exchange.open_account(AccountSpec(name="eve", balance_units=250 * UNIT))
    events = told(exchange, "eve")
    assert [(one["e"], one["a"], one["d"]) for one in events] == [
        ("balanceUpdate", "USDT", "250.00000000"),
        ("balanceUpdate", "TEST", "1.00000000"),
    ]
    assert {asset: str(free) for asset, (free, _) in SpotTrader(exchange, "eve").balances().items()} == {
        "TEST": "1.00000000",
        "USDT": "250.00000000",
    }
    before = exchange.account_of("ann").wallet_units
    ann.market("BUY", 100)
    assert exchange.account_of("ann").wallet_units == before, "the perpetuals' wallet is another one"


class Flow:
    """Plays random orders of two accounts over a random market and checks the books after each act."""

    def __init__(self) -> None:
        self.exchange, self.market, *traders = spot_market(balance=BALANCE)
        self.traders = {trader.name: trader for trader in traders}
        self.bid, self.time_ms = 1000, 0

    def play(self, act: tuple[Any, ...]) -> None:
        if act[0] == "step":
            _, move, spread, rows = act
            self.bid, self.time_ms = max(900, min(1100, self.bid + move)), self.time_ms + 250
            tape = [(self.bid + offset, lots, maker) for offset, lots, maker in rows]
            go_on(self.exchange, self.market, quote(self.time_ms, self.bid, self.bid + spread, *tape))
        else:
            try:
                getattr(self, act[0])(*act[1:])
            except PaperRefusal:
                return
            finally:
                self.check()
        self.check()

    def order(self, name: str, side: str, kind: str, price: int, lots: int, mode: str) -> None:
        trader, options = self.traders[name], {"selfTradePreventionMode": mode}
        if kind == "LIMIT_MAKER":
            trader.place(side, kind, **priced(price, lots), **options)
        elif kind == "MARKET":
            trader.market(side, lots, **options)
        elif kind == "QUOTE":
            trader.place(side, "MARKET", quoteOrderQty=lots / 10, **options)
        elif kind == "STOP_LOSS_LIMIT":
            trader.place(side, kind, **priced(price, lots), timeInForce="GTC", stopPrice=price / 10, **options)
        elif kind in ("STOP_LOSS", "TAKE_PROFIT"):
            trader.place(side, kind, quantity=amount(lots), stopPrice=price / 10, **options)
        else:
            trader.limit(side, price, lots, "GTC" if kind == "LIMIT" else kind, **options)

    def picked(self, name: str, pick: int) -> int | None:
        resting = list(self.exchange.spot.account_of(name).open_on(SYMBOL))
        return resting[pick % len(resting)] if resting else None

    def cancel(self, name: str, pick: int) -> None:
        order_id = self.picked(name, pick)
        if order_id is not None:
            self.traders[name].ask("cancel_order", orderId=order_id)

    def amend(self, name: str, pick: int, lots: int) -> None:
        order_id = self.picked(name, pick)
        if order_id is not None:
            self.traders[name].ask("amend_order", orderId=order_id, newQty=amount(lots))

    def check(self) -> None:
        check_books(self.exchange)


def check_books(exchange: PaperExchange) -> None:
    """Every unit is accounted for: what came in, what was traded, what was paid as fee; what is held has its order."""
    spot = exchange.spot
    symbol, settlement = spot.symbols[SYMBOL], spot.settlement
    for account in settlement.accounts.values():
        quote_units, base_units = BALANCE * UNIT, UNIT
        for trade in account.trades.get(SYMBOL, ()):
            sign = 1 if trade.side is Side.BUY else -1
            quote_units -= sign * trade.price_ticks * trade.quantity_lots * symbol.unit
            base_units += sign * trade.quantity_lots * symbol.lot_units
        fees = {asset: 0 for asset in ("USDT", "TEST")}
        for trade in account.trades.get(SYMBOL, ()):
            fees[trade.fee_asset] += trade.fee_units
        assert account.fees.get("USDT", 0) == fees["USDT"]
        assert account.fees.get("TEST", 0) == fees["TEST"]
        held = {"USDT": 0, "TEST": 0}
        for order in account.open_on(SYMBOL).values():
            if order.side is Side.SELL:
                held["TEST"] += order.remaining_lots * symbol.lot_units
            else:
                held["USDT"] += (order.price_ticks or order.stop_ticks) * order.remaining_lots * symbol.unit
        for asset, whole in (("USDT", quote_units), ("TEST", base_units)):
            balance = account.balance(asset)
            assert balance.free >= 0
            assert balance.locked == held[asset]
            assert balance.free + balance.locked == whole - fees[asset]
        for order in account.orders.get(SYMBOL, {}).values():
            assert order.remaining_lots >= 0
            assert order.locked_units == (settlement.need(symbol, order) if order.is_open else 0)
    resting = {order.order_id for side in Side for order in spot.desks[SYMBOL].book.orders(side)}
    waiting = set(spot.desks[SYMBOL].stops)
    assert resting | waiting == {
        order_id for account in settlement.accounts.values() for order_id in account.open_on(SYMBOL)
    }


@settings(max_examples=60, deadline=None, phases=PHASES, derandomize=True)
@given(FLOW)
def test_no_unit_is_ever_lost_and_what_is_held_belongs_to_an_open_order(acts: list[tuple[Any, ...]]) -> None:
    flow = Flow()
    for act in acts:
        flow.play(act)


@settings(max_examples=20, deadline=None, phases=PHASES, derandomize=True)
@given(FLOW, st.integers(1, 49))
def test_a_restored_exchange_goes_on_as_the_saved_one(acts: list[tuple[Any, ...]], cut: int) -> None:
    flow = Flow()
    for act in acts[:cut]:
        flow.play(act)
    document = exchange_document(flow.exchange)
    copy = Flow()
    restore_exchange(copy.exchange, document)
    copy.market.add(*flow.market._steps[len(copy.market._steps) :])
    copy.bid, copy.time_ms = flow.bid, flow.time_ms
    assert exchange_document(copy.exchange) == document
    for act in acts[cut:]:
        flow.play(act)
        copy.play(act)
    assert exchange_document(copy.exchange) == exchange_document(flow.exchange)


def test_spot_sleeps_until_somebody_asks_for_it() -> None:
    exchange, market, _, _ = scripted(quote(0, 1000, 1001, (1000, 7, True)))
    go_on(exchange, market, quote(250, 1001, 1002, (1002, 3, False)))
    assert (exchange.spot.desks, exchange.take_events()[0].kind) == ({}, "aggTrade")
    rows = exchange.spot.klines({"symbol": SYMBOL, "interval": "1m"}, exchange.now_ms)
    own = exchange.klines({"symbol": SYMBOL, "interval": "1m"}, exchange.now_ms)
    assert [[float(value) for value in row] for row in rows] == [[float(value) for value in row] for row in own]
    trades = exchange.spot.recent_trades({"symbol": SYMBOL}, exchange.now_ms)
    assert [(row["price"], row["qty"]) for row in trades] == [
        ("100.00000000", "0.00700000"),
        ("100.20000000", "0.00300000"),
    ]


def test_a_document_of_another_spot_symbol_is_refused() -> None:
    exchange, _, ann, _ = spot_market()
    ann.limit("BUY", 900, 100)
    document = exchange_document(exchange)
    assert b'"spot":' in document
    other, _, _, _ = scripted()
    with pytest.raises(ValueError, match="spot symbol"):
        restore_exchange(other, document.replace(b'"lot_size":"0.001","closed":', b'"lot_size":"0.002","closed":'))


def test_a_restored_exchange_knows_which_orders_wait_for_a_stop_price_and_who_came_first() -> None:
    exchange, _, ann, bob = spot_market(quote(0, 1000, 1001, (1000, 1, True)))
    stop = ann.place("SELL", "STOP_LOSS_LIMIT", stopPrice="98", timeInForce="GTC", **priced(970, 60))["orderId"]
    first = bob.limit("BUY", 1000, 60)["orderId"]
    second = ann.limit("BUY", 1000, 60)["orderId"]
    copy, market, ann, bob = spot_market(quote(0, 1000, 1001, (1000, 1, True)))
    restore_exchange(copy, exchange_document(exchange))
    assert ann.locked("TEST") == Decimal("0.06")
    go_on(copy, market, quote(250, 1000, 1001, (1000, 110, True)))
    assert (bob.order(first)["status"], ann.order(second)["status"]) == ("FILLED", "NEW")
    assert (ann.order(stop)["isWorking"], ann.order(stop)["status"]) == (False, "NEW")
    go_on(copy, market, quote(500, 975, 976, (980, 1, True)))
    assert ann.order(stop)["status"] == "FILLED"

"""The exchange as a document: a restored one goes on as the saved one would have, byte for byte."""

from __future__ import annotations

import json
import stat
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.exchange.paper.scripted_market import START_MS
from trio_grid.domain.events import Side
from trio_grid.exchange.paper.build import build_exchange
from trio_grid.exchange.paper.engine import persistence
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange
from trio_grid.exchange.paper.engine.persistence import exchange_document, restore_exchange
from trio_grid.exchange.paper.engine.records import PaperOrder
from trio_grid.exchange.paper.server.state_file import load_state, save_state

SYMBOL = {"symbol": "BTCUSDT"}
ORDER = SYMBOL | {"type": "LIMIT", "timeInForce": "GTX", "quantity": "0.004"}


def lively(seed: int = 3) -> PaperExchange:
    """An exchange in the middle of things: fills, orders of every kind, a countdown, eaten levels, amendments."""
    exchange = fresh(seed)
    bid = Decimal(exchange.book_ticker(SYMBOL, START_MS)["bidPrice"])  # type: ignore[call-overload]
    for rung in range(1, 8):
        exchange.place_order("ann", ORDER | {"side": "BUY", "price": f"{bid - 20 * rung}"}, START_MS)
        exchange.place_order("ann", ORDER | {"side": "SELL", "price": f"{bid + 20 * rung}"}, START_MS)
    till = {"timeInForce": "GTD", "goodTillDate": str(START_MS + 900_000)}
    exchange.place_order("ann", ORDER | till | {"side": "BUY", "price": f"{bid - 1500}"}, START_MS)
    exchange.countdown_cancel_all("bob", SYMBOL | {"countdownTime": "120000"}, START_MS)
    exchange.place_order("bob", ORDER | {"side": "BUY", "price": f"{bid - 900}"}, START_MS)
    [*_, amended] = exchange.open_orders("ann", SYMBOL, START_MS)
    change = {"orderId": str(amended["orderId"]), "side": "BUY", "quantity": "0.005", "price": f"{bid - 1400}"}
    exchange.modify_order("ann", SYMBOL | change, START_MS)
    place_conditionals(exchange, bid)
    now = START_MS + 45_000
    market = SYMBOL | {"type": "MARKET", "side": "BUY", "quantity": "0.3"}
    exchange.place_order("bob", market, now)
    exchange.take_events()
    return exchange


def place_conditionals(exchange: PaperExchange, bid: Decimal) -> None:
    algo = SYMBOL | {"algoType": "CONDITIONAL", "quantity": "0.004"}
    trailing = algo | {"type": "TRAILING_STOP_MARKET", "callbackRate": "0.1"}
    for side in ("BUY", "SELL"):
        exchange.place_conditional("ann", trailing | {"side": side}, START_MS)
        exchange.place_conditional("ann", trailing | {"side": side, "callbackRate": "0.4"}, START_MS)
        stop = {"type": "STOP_MARKET", "side": side, "workingType": "MARK_PRICE"}
        exchange.place_conditional(
            "bob", algo | stop | {"triggerPrice": f"{bid + (40 if side == 'BUY' else -40)}"}, START_MS
        )
    # One that triggers and whose order then rests.
    limit = {"type": "TAKE_PROFIT", "side": "BUY", "triggerPrice": f"{bid - 5}", "price": f"{bid - 900}"}
    exchange.place_conditional("bob", algo | limit, START_MS)


def fresh(seed: int = 3) -> PaperExchange:
    return build_exchange(
        start_ms=START_MS, seed=seed, accounts=[AccountSpec(name="ann"), AccountSpec(name="bob", leverage=50)]
    )


def test_a_restored_exchange_is_the_same_and_goes_on_the_same() -> None:
    saved = lively()
    document = exchange_document(saved)
    restored = fresh()
    restore_exchange(restored, document)
    assert exchange_document(restored) == document
    restored.take_events()
    before = {order.algo_id: order.status for order in saved.conditionals.values()}
    # Some wait and some have triggered, of which one has an order resting.
    assert set(before.values()) == {"NEW", "TRIGGERED", "FINISHED"}
    for exchange in (saved, restored):
        exchange.advance(START_MS + 1_000_000)
    assert before != {order.algo_id: order.status for order in saved.conditionals.values()}
    assert [event.payload for event in saved.take_events()] == [event.payload for event in restored.take_events()]
    assert exchange_document(saved) == exchange_document(restored)
    assert saved.order_amendments("ann", SYMBOL, 0) == restored.order_amendments("ann", SYMBOL, 0) != []
    assert saved.account_information("ann", {}, 0) == restored.account_information("ann", {}, 0)


def test_orders_that_rested_meanwhile_are_met_by_the_market_on_the_way() -> None:
    document = exchange_document(lively())
    restored = fresh()
    restore_exchange(restored, document)
    before = len(restored.open_orders("ann", SYMBOL, START_MS))
    assert before > 2
    restored.advance(START_MS + 30 * 60_000)
    after = restored.open_orders("ann", SYMBOL, START_MS)
    assert len(after) < before
    assert "BTCUSDT" not in {order["symbol"] for order in restored.open_orders("bob", SYMBOL, START_MS)}


def test_the_place_in_the_queue_is_kept() -> None:
    saved = lively()
    for order in saved.account_of("ann").open_on("BTCUSDT").values():
        order.queue_lots = 1
    restored = fresh()
    restore_exchange(restored, exchange_document(saved))
    book = restored.desks["BTCUSDT"].book
    mine = [order for side in Side for order in book.orders(side) if order.account == "ann"]
    assert mine
    assert {order.queue_lots for order in mine} == {1}


def test_accounts_that_the_document_does_not_know_stay_as_they_were_opened() -> None:
    document = exchange_document(lively())
    restored = fresh()
    restored.open_account(AccountSpec(name="new", balance_units=5))
    restore_exchange(restored, document)
    assert restored.accounts == ("ann", "bob", "new")
    assert restored.account_of("new").wallet_units == 5


def test_a_document_does_not_grow_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "KEPT_CLOSED_ORDERS", 3)
    monkeypatch.setattr(persistence, "KEPT_TRADES", 4)
    monkeypatch.setattr(persistence, "KEPT_INCOME", 5)
    saved = lively()
    saved.advance(START_MS + 300_000)
    document = exchange_document(saved)
    restored = fresh()
    restore_exchange(restored, document)
    before, after = saved.account_of("ann"), restored.account_of("ann")
    assert len(before.trades["BTCUSDT"]) > 4
    assert list(after.trades["BTCUSDT"]) == list(before.trades["BTCUSDT"])[-4:]
    assert list(after.income) == list(before.income)[-5:]
    assert after.open_orders == before.open_orders
    assert len(after.orders["BTCUSDT"]) == 3 + len(before.open_on("BTCUSDT"))
    assert after.wallet_units == before.wallet_units


class Counted(dict[int, PaperOrder]):
    """Orders that count how many of them were looked at."""

    looks = 0

    def __getitem__(self, order_id: int) -> PaperOrder:
        self.looks += 1
        return super().__getitem__(order_id)

    def values(self) -> Any:
        raise AssertionError("every order was looked at")

    items = __iter__ = values


def test_the_work_of_a_document_does_not_grow_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistence, "KEPT_CLOSED_ORDERS", 3)
    saved = lively()
    saved.advance(START_MS + 300_000)
    account = saved.account_of("ann")
    orders, resting = account.orders["BTCUSDT"], account.open_on("BTCUSDT")
    old = next(order for order in orders.values() if not order.is_open)
    # A long past: a thousand closed orders before all others.
    past = {-number: msgspec.structs.replace(old, order_id=-number) for number in range(1_000, 0, -1)}
    counted = Counted({**past, **orders})
    kept = persistence.kept_orders(counted, resting)
    assert [order.order_id for order in kept] == [order.order_id for order in persistence.kept_orders(orders, resting)]
    assert sum(not order.is_open for order in kept) == 3
    assert {order.order_id for order in kept if order.is_open} == set(resting)
    assert counted.looks <= len(orders)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"{", "cannot be read"),
        (b"{}", "cannot be read"),
        (b"[1, 2]", "cannot be read"),
        (b'{"format": 3}', "cannot be read"),
    ],
)
def test_a_damaged_document_is_refused(document: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        restore_exchange(fresh(), document)


def test_a_document_of_another_market_is_refused() -> None:
    document = exchange_document(lively(seed=3))
    with pytest.raises(ValueError, match="seed 4"):
        restore_exchange(fresh(seed=4), document)
    other = json.loads(document)
    other["desks"] = {"ETHUSDT": other["desks"]["BTCUSDT"]}
    with pytest.raises(ValueError, match="ETHUSDT"):
        restore_exchange(fresh(), json.dumps(other).encode())
    other = json.loads(document)
    other["desks"]["BTCUSDT"]["tick_size"] = "0.01"
    with pytest.raises(ValueError, match=r"tick 0\.01"):
        restore_exchange(fresh(), json.dumps(other).encode())
    other = json.loads(document) | {"format": "something else"}
    with pytest.raises(ValueError, match="something else"):
        restore_exchange(fresh(), json.dumps(other).encode())


def test_the_state_file_is_whole_private_and_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "exchange.json"
    assert load_state(path) is None
    save_state(path, b"one")
    save_state(path, b"two")
    assert load_state(path) == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [child.name for child in tmp_path.iterdir()] == ["exchange.json"]
    with pytest.raises(OSError, match="No such file"):
        save_state(tmp_path / "nowhere" / "exchange.json", b"three")

"""Stopped and started again on the same journal, with the exchange as its own process and its market going on."""

from __future__ import annotations

import signal
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.endtoend.books import agreement, journal_snapshot, no_id_twice, one_live_order_per_slot
from tests.endtoend.directed_exchange import directed_exchange
from tests.endtoend.grids import INTERVAL, LEVELS, long_grid
from tests.endtoend.market_tapes import LONG_S, swinging, write_tape
from tests.endtoend.processes import Account, bot_config, command, exchange_process, started, until
from trio_grid.domain.client_order_id import decode

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

WATCHED_S = 2.0
"""How long a bot that must not act is watched: one that acts wrongly does so at the first price."""


def ladder(account: Account) -> dict[str, tuple[str, Decimal, Decimal]]:
    """What rests: client order id -> side, price, executed quantity."""
    return {
        order["clientOrderId"]: (order["side"], Decimal(order["price"]), Decimal(order["executedQty"]))
        for order in account.open_orders()
    }


def full_ladder(account: Account, count: int = LEVELS) -> dict[str, tuple[str, Decimal, Decimal]]:
    def look() -> dict[str, tuple[str, Decimal, Decimal]] | None:
        resting = ladder(account)
        return resting if len(resting) == count else None

    return until(look, f"{count} orders rest")


def two_sells(account: Account) -> dict[Decimal, str] | None:
    sells = {Decimal(order["price"]): order["origQty"] for order in account.open_orders() if order["side"] == "SELL"}
    return sells if len(sells) == 2 else None


def test_f17_s15_restart_goes_on_with_the_same_ladder(tmp_path: Path) -> None:
    journal = tmp_path / "bot.sqlite3"
    with directed_exchange() as exchange:
        account = exchange.account()
        config = bot_config(tmp_path, exchange.urls, long_grid("keep"), journal=journal)
        with started(tmp_path, "run", config) as bot:
            before_ids = full_ladder(account)
            before = agreement(account, journal).snapshot
            assert bot.stop()[0] == 0
        assert ladder(account) == before_ids
        # The price moves by a third of an interval while nobody looks: a fresh anchor would be another one.
        exchange.quote(600_250)
        with started(tmp_path, "run", config) as bot:
            bot.wait_for("INFO trading ")
            time.sleep(WATCHED_S)
            code, shown = bot.stop()
            assert code == 0, shown
        after = journal_snapshot(journal)
        assert (after.anchor_ticks, after.session) == (before.anchor_ticks, before.session + 1)
        assert [slot.rung for slot in after.slots] == [slot.rung for slot in before.slots]
        assert ladder(account) == before_ids, "not one order was added, moved or taken away"
        assert no_id_twice(account) == LEVELS
        assert f"resting: {LEVELS} orders" in shown
        assert "orders: 0\n" in shown


def test_restart_after_cancel_opening_keeps_exits_and_lattice(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "BTCUSDT-aggTrades.csv", swinging(3), seconds=LONG_S)
    journal = tmp_path / "bot.sqlite3"
    with exchange_process(tmp_path, "--market", tape) as urls:
        account = Account(urls["rest_url"])
        config = bot_config(tmp_path, urls, long_grid(), journal=journal)
        anchors: set[int | None] = set()
        exits: dict[str, Any] = {}
        for _ in range(3):
            with started(tmp_path, "run", config) as bot:
                bot.wait_for("INFO trading ")
                kept = set(exits) & set(ladder(account))
                until(lambda: account.position() > 0 and len(account.trades()) > 2, "something is held")
                one_live_order_per_slot(account)
                code, shown = bot.stop(signal.SIGTERM)
            assert code == 0, shown
            assert "ties out: yes" in shown
            assert "(0 to open," in shown
            exits = ladder(account)
            assert all((parts := decode(name)) is not None and parts.role == "c" for name in exits)
            # The exchange goes on trading what rests; the summary has compared books and account at the stop.
            snapshot = journal_snapshot(journal)
            anchors.add(snapshot.anchor_ticks)
            anchor = snapshot.instrument.price(snapshot.anchor_ticks or 0)
            orders = account.all_orders()
            off_lattice = [order for order in orders if (Decimal(order["price"]) - anchor) % INTERVAL]
            assert not off_lattice, "a second lattice"
            assert kept <= {order["clientOrderId"] for order in orders}
        assert len(anchors) == 1
        no_id_twice(account)
    assert command(tmp_path, "journal", "replay", journal)[0] == 0


@pytest.mark.parametrize("end", ["stopped in order", "killed"])
def test_s3_orders_filled_wholly_and_in_part_while_the_bot_is_down(tmp_path: Path, end: str) -> None:
    journal = tmp_path / "bot.sqlite3"
    with directed_exchange() as exchange:
        account = exchange.account()
        config = bot_config(tmp_path, exchange.urls, long_grid("keep", anchor=60_000), journal=journal)
        with started(tmp_path, "run", config) as bot:
            placed = full_ladder(account)
            assert {price for _, price, _ in placed.values()} == {Decimal(59_950 - INTERVAL * k) for k in range(LEVELS)}
            if end == "killed":
                bot.kill()
            else:
                assert bot.stop()[0] == 0
        assert account.trades() == []
        # Sellers: one takes the price through 59,950, another sells a part of what bids at 59,900.
        exchange.quote(599_300)
        exchange.sell(599_000, 4)
        left = ladder(account)
        assert {price: executed for _, price, executed in left.values()} == {
            Decimal(59_900): Decimal("0.004"),
            Decimal(59_850): Decimal(0),
            Decimal(59_800): Decimal(0),
        }
        assert account.position() == Decimal("0.014")
        with started(tmp_path, "run", config) as bot:
            bot.wait_for("INFO trading ")
            agreed = agreement(account, journal)
            assert agreed.position == Decimal("0.014")
            held = {slot.rung: slot.inventory_lots for slot in agreed.snapshot.slots if slot.inventory_lots}
            assert held == {-1: 10, -2: 4}
            # The rest of the opening was given up: the price stands more than half way to its exit.
            exits = until(lambda: two_sells(account), "an exit for each of them rests")
            assert exits == {Decimal(60_000): "0.010", Decimal(59_950): "0.004"}
            one_live_order_per_slot(account)
            code, shown = bot.stop()
        assert code == 0, shown
        assert "ties out: yes" in shown
        assert "position: 0.014 BTC" in shown
        no_id_twice(account)
    assert command(tmp_path, "journal", "replay", journal)[0] == 0

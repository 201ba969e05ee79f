"""The bot's books, read from its journal beside the running bot, against the exchange's account."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from tests.endtoend.processes import PATIENCE_S, Account, until
from trio_grid.domain.client_order_id import decode
from trio_grid.domain.instrument import money_decimal
from trio_grid.domain.snapshot import PositionSnapshot, take_snapshot
from trio_grid.journal.reader import read_journal
from trio_grid.journal.recovery import recover_from

BALANCE = Decimal(10_000)
POLL_S = 0.1
"""Each look asks the exchange and replays the journal's tail."""


@attrs.frozen
class Agreement:
    """One moment at which journal and account showed the same trades."""

    snapshot: PositionSnapshot
    position: Decimal
    trades: int


def journal_snapshot(journal: Path) -> PositionSnapshot:
    """Return the books at the journal's end; the bot may go on writing."""
    with read_journal(journal) as reader:
        state = recover_from(reader)
    assert state is not None
    return take_snapshot(state.grid, 0, None)


def agreement(account: Account, journal: Path, within_s: float = PATIENCE_S) -> Agreement:
    """Wait for a moment between two trades that both sides know of, and compare everything to the last digit.

    The bot learns of a trade some milliseconds after the account: only the number of trades is waited for. Books that
    count one twice or lose one never get there.
    """

    def look() -> Agreement | None:
        before = account.trades()
        snapshot = journal_snapshot(journal)
        if snapshot.ledger.trades != len(before):
            return None
        position, wallet = account.position(), account.wallet()
        if len(account.trades()) != len(before):
            return None
        compare(snapshot, before, position, wallet)
        return Agreement(snapshot, position, len(before))

    return until(look, "journal and account show the same trades", within_s, POLL_S)


def compare(
    snapshot: PositionSnapshot,
    trades: list[dict[str, Any]],
    position: Decimal,
    wallet: Decimal,
    start: Decimal = BALANCE,
) -> None:
    """Assert that books and account are equal: position, slots, wallet, fees, realized PnL."""
    instrument, ledger = snapshot.instrument, snapshot.ledger
    signed = sum(Decimal(trade["qty"]) * (1 if trade["side"] == "BUY" else -1) for trade in trades)
    slots = sum(slot.inventory_lots * (1 if slot.use == "LONG" else -1) for slot in snapshot.slots)
    assert instrument.quantity(snapshot.position_lots) == position == signed
    assert instrument.quantity(slots) == position == instrument.quantity(snapshot.net_lots)
    assert money_decimal(ledger.wallet_change_units("USDT")) == wallet - start
    assert money_decimal(dict(ledger.fees).get("USDT", 0)) == sum(
        (Decimal(trade["commission"]) for trade in trades), Decimal(0)
    )
    assert money_decimal(ledger.exchange_realized_units) == sum(
        (Decimal(trade["realizedPnl"]) for trade in trades), Decimal(0)
    )


def until_outcomes_are_known(journal: Path) -> None:
    """Wait until no order's outcome is open: one whose sending a kill cut off counts as absent after a minute (R4)."""

    def known() -> bool:
        return all(slot.status not in ("UNKNOWN", "PENDING") for slot in journal_snapshot(journal).slots)

    until(known, "every order's outcome is known", PATIENCE_S, POLL_S)


def one_live_order_per_slot(account: Account) -> int:
    """Assert that no slot has two orders on the exchange; return how many rest."""
    orders = account.open_orders()
    slots = Counter[int]()
    for order in orders:
        parts = decode(order["clientOrderId"])
        assert parts is not None, f"an order of nobody: {order}"
        slots[parts.rung] += 1
    doubled = {rung: count for rung, count in slots.items() if count > 1}
    assert not doubled, f"slots with more than one live order: {doubled}"
    return len(orders)


def no_id_twice(account: Account) -> int:
    """Assert that every order of the account had its own client order id; return how many there were."""
    ids = Counter(order["clientOrderId"] for order in account.all_orders())
    repeated = {name: count for name, count in ids.items() if count > 1}
    assert not repeated, f"client order ids used more than once: {repeated}"
    return len(ids)

"""Reconciliation's thinking: a snapshot beside the exchange's open orders, and what follows from the comparison.

Pure: it neither asks nor books. What it finds as a correction carries the version that its snapshot saw, so that an
answer which is older than an update changes nothing (R8); what it does not find is a question, never a conclusion: an
order that is missing among the open ones may be filled, cancelled, or not there yet (S17).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from trio_grid.domain.client_order_id import decode
from trio_grid.domain.events import OrderRecord
from trio_grid.domain.inputs import Correction
from trio_grid.domain.slot import InventorySlot, OrderStatus
from trio_grid.domain.snapshot import PositionSnapshot


class OrderComparison(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of the exchange's open orders says about a snapshot.

    `corrections` go to the manager as they are. `missing` are slots whose order is not settled and not in the list:
    their trades are walked, then each is queried by its client order id. `strays` are ours and in no slot: each is
    queried and adopted, or cancelled by its id. `newer` are ours by a later session than this one: a second bot runs
    (F28). `foreign` are shown and never touched (R12); `other_bots` are those of them that speak this grammar.
    """

    corrections: tuple[Correction, ...]
    missing: tuple[InventorySlot, ...]
    strays: tuple[OrderRecord, ...]
    newer: tuple[OrderRecord, ...]
    foreign: tuple[OrderRecord, ...]
    other_bots: tuple[OrderRecord, ...]


def compare_orders(snapshot: PositionSnapshot, open_orders: Iterable[OrderRecord]) -> OrderComparison:
    """Compare the slots of a snapshot with every open order of the symbol, read after the snapshot was taken."""
    by_name = {record.client_order_id: record for record in open_orders}
    corrections: list[Correction] = []
    missing: list[InventorySlot] = []
    for slot in snapshot.slots:
        if slot.order is None:
            continue
        record = by_name.pop(slot.order.client_order_id, None)
        if record is not None:
            corrections.append(Correction(rung=slot.rung, version=slot.version, evidence=record))
        elif slot.order.status is not OrderStatus.PENDING:
            # The answer to a PENDING order is under way: its absence from the list says nothing yet.
            missing.append(slot)
    strays: list[OrderRecord] = []
    newer: list[OrderRecord] = []
    foreign: list[OrderRecord] = []
    for record in by_name.values():
        parts = decode(record.client_order_id)
        if parts is None or parts.bot != snapshot.bot_id:
            foreign.append(record)
        elif parts.session > snapshot.session:
            newer.append(record)
        else:
            strays.append(record)
    return OrderComparison(
        corrections=tuple(corrections),
        missing=tuple(missing),
        strays=tuple(strays),
        newer=tuple(newer),
        foreign=tuple(foreign),
        other_bots=tuple(record for record in foreign if decode(record.client_order_id) is not None),
    )


def open_questions(snapshot: PositionSnapshot) -> tuple[InventorySlot, ...]:
    """Return the slots whose order's fate nobody knows: each is to be queried by its client order id (R4)."""
    return tuple(slot for slot in snapshot.slots if slot.status is OrderStatus.UNKNOWN)

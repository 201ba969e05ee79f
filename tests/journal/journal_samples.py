"""Values that journal tests share: an instrument, a lattice, and records that look like a bot's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.client_order_id import OrderIdParts, encode
from trio_grid.domain.events import OrderAcknowledged, OrderRecord, OrderUpdate, RecordStatus, Side, Trade
from trio_grid.domain.inputs import Decision, Entry, JournalRecord
from trio_grid.domain.instrument import MoneyUnits, PriceTicks, QuantityLots
from trio_grid.domain.settings import LatticeSettings, Spacing
from trio_grid.journal.sqlite_journal import Journal
from trio_grid.testing.instruments import BTCUSDT

INSTRUMENT = BTCUSDT
LATTICE = LatticeSettings(spacing=Spacing.ARITHMETIC, interval_ticks=500)
START_MS = 1_700_000_000_000


def order_id(rung: int, *, role: str = "o", generation: int = 1) -> str:
    return encode(OrderIdParts(bot="k3Jx9a", session=1, generation=generation, role=role, rung=rung, stride=1))


def entry(sequence: int) -> Entry:
    """Return the sequence's entry: a decision, its acknowledgement, and a fill in turn; about 300 bytes each."""
    rung = sequence % 40 - 20
    identifier = order_id(rung, generation=sequence)
    price = PriceTicks(600_000 + rung * 500)
    order = OrderRecord(
        client_order_id=identifier,
        order_id=sequence,
        side=Side.BUY,
        price_ticks=price,
        quantity_lots=QuantityLots(10),
        executed_lots=QuantityLots(0),
        status=RecordStatus.NEW,
        reduce_only=False,
        update_time_ms=START_MS + sequence,
    )
    if sequence % 3 == 0:
        return OrderAcknowledged(order=order)
    if sequence % 3 == 1:
        place = PlaceOrder(
            client_order_id=identifier,
            side=Side.BUY,
            quantity_lots=QuantityLots(10),
            price_ticks=price,
            post_only=True,
            reduce_only=False,
        )
        return Decision(
            half_ticks=1_200_001,
            budget_orders=5,
            budget_refill_at_ms=START_MS,
            centre=0,
            actions=(place, CancelOrder(client_order_id=order_id(rung + 1))),
        )
    trade = Trade(
        trade_id=sequence,
        order_id=sequence,
        client_order_id=identifier,
        side=Side.BUY,
        price_ticks=price,
        quantity_lots=QuantityLots(4),
        realized_pnl_units=MoneyUnits(0),
        fee_units=MoneyUnits(48_000),
        fee_asset="USDT",
        maker=True,
        time_ms=START_MS + sequence,
    )
    return OrderUpdate(order=order, trade=trade)


def records(first: int, count: int) -> tuple[JournalRecord, ...]:
    return tuple(JournalRecord(sequence=n, now_ms=START_MS + n, entry=entry(n)) for n in range(first, first + count))


def fill(journal: Journal, count: int, *, batch: int = 3) -> None:
    """Commit `count` records behind the last one, `batch` of them in each transaction."""
    while count > 0:
        size = min(batch, count)
        journal.commit(records(journal.last_sequence + 1, size))
        count -= size


def sequences(found: Sequence[JournalRecord]) -> list[int]:
    return [record.sequence for record in found]


def damage_byte(path: Path, offset: int) -> None:
    """Flip one bit of a file that nobody has open."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x04
    path.write_bytes(content)

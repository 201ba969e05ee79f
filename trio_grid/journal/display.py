"""Journal records as lines that a person can read, and the slots that a record is about.

Owns the wording of `journal show`. It must never fail on a record that could be decoded: what it cannot dress up, it
shows in ticks and lots.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator

import msgspec

from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.client_order_id import decode
from trio_grid.domain.events import (
    CancelAcknowledged,
    CancelOutcomeLost,
    CancelRefused,
    FundingRecord,
    OrderAbsent,
    OrderAcknowledged,
    OrderNotSent,
    OrderOutcomeLost,
    OrderRecord,
    OrderRefused,
    OrderUpdate,
    RegimeReading,
    Trade,
)
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import (
    ConditionChanged,
    Correction,
    Decision,
    Entry,
    FiltersChanged,
    InventoryWrittenOff,
    JournalRecord,
    LatticeAnchored,
    PositionAccepted,
    PositionObserved,
    SessionStarted,
    StraySeen,
    TradesWalked,
    TradingStateChanged,
)
from trio_grid.domain.instrument import Instrument, money_decimal
from trio_grid.errors import JournalError
from trio_grid.journal.reader import JournalReader

KINDS: tuple[str, ...] = tuple(sorted(kind.__name__ for kind in Entry.__args__))
_INSTRUMENT_KINDS = (SessionStarted.__name__, FiltersChanged.__name__)


def select(
    reader: JournalReader, *, kinds: tuple[str, ...] = (), slot: int | None = None, limit: int | None = None
) -> tuple[JournalRecord, ...]:
    """Return the last `limit` records (None: all) of these kinds (none: any) about a slot (None: any), ascending."""
    found: list[JournalRecord] = []
    for record in reader.backwards(kinds=kinds):
        if slot is not None and slot not in rungs_of(record.entry):
            continue
        found.append(record)
        if limit is not None and len(found) >= limit:
            break
    return tuple(reversed(found))


def lines(reader: JournalReader, records: Iterable[JournalRecord]) -> Iterator[str]:
    """Give one line for each record, prices and quantities in the units that held at that record."""
    instrument: Instrument | None = None
    known = False
    for record in records:
        if isinstance(record.entry, SessionStarted | FiltersChanged):
            instrument, known = record.entry.instrument, True
        elif not known:
            instrument, known = _instrument_before(reader, record.sequence), True
        yield line(record, instrument)


def line(record: JournalRecord, instrument: Instrument | None) -> str:
    """Return one record as one line: sequence, time (UTC), kind, what happened."""
    time = datetime.datetime.fromtimestamp(record.now_ms / 1000, datetime.UTC).isoformat(" ", "milliseconds")
    kind = type(record.entry).__name__
    return f"{record.sequence:>9}  {time.removesuffix('+00:00')}  {kind:<19} {_Wording(instrument).of(record.entry)}"


def rungs_of(entry: Entry) -> frozenset[int]:
    """Return the slots that an entry is about; none for what concerns the grid as a whole."""
    match entry:
        case Decision():
            identifiers = [action.client_order_id for action in entry.actions]
        case OrderUpdate() | OrderAcknowledged() | CancelAcknowledged() | StraySeen():
            identifiers = [entry.order.client_order_id]
        case OrderRefused() | OrderOutcomeLost() | OrderNotSent() | CancelRefused() | CancelOutcomeLost():
            identifiers = [entry.client_order_id]
        case TradesWalked():
            identifiers = [trade.client_order_id for trade in entry.trades]
        case Correction():
            return frozenset((entry.rung,))
        case InventoryWrittenOff():
            return frozenset(entry.rungs)
        case _:
            return frozenset()
    return frozenset(parts.rung for parts in map(decode, identifiers) if parts is not None)


def _instrument_before(reader: JournalReader, sequence: int) -> Instrument | None:
    """Return the units that held before a record: from a record, or from the image that pruning left."""
    for record in reader.backwards(before=sequence, kinds=_INSTRUMENT_KINDS):
        if isinstance(record.entry, SessionStarted | FiltersChanged):
            return record.entry.instrument
    earlier = [image for image in reader.image_sequences() if image < sequence]
    if not earlier:
        return None
    try:
        return GridState.from_image(reader.image(earlier[-1]).image).grid.fields.instrument
    except (JournalError, msgspec.DecodeError, ValueError):
        return None  # `journal verify` complains of a damaged image; showing goes on in ticks and lots


class _Wording:
    """Words for entries; with an instrument in its units, without one in ticks and lots."""

    def __init__(self, instrument: Instrument | None) -> None:
        self._instrument = instrument

    def of(self, entry: Entry) -> str:
        match entry:
            case Decision():
                return self._decision(entry)
            case OrderUpdate():
                fill = "" if entry.trade is None else f"; {self._trade(entry.trade)}"
                return self._order(entry.order) + fill
            case OrderAcknowledged() | CancelAcknowledged() | StraySeen():
                return self._order(entry.order)
            case OrderRefused():
                return f"{_name(entry.client_order_id)} {entry.reason}: {entry.message} (code {entry.code})"
            case CancelRefused():
                return f"{_name(entry.client_order_id)}: {entry.message} (code {entry.code})"
            case OrderOutcomeLost() | OrderNotSent() | CancelOutcomeLost():
                return f"{_name(entry.client_order_id)}: {entry.detail}"
            case Correction():
                evidence = entry.evidence
                what = f"{_name(evidence.client_order_id)} does not exist"
                if not isinstance(evidence, OrderAbsent):
                    what = self._order(evidence)
                return f"slot {entry.rung} at version {entry.version}: {what}"
            case TradesWalked():
                return "; ".join((f"watermark {entry.watermark}", *map(self._trade, entry.trades)))
            case RegimeReading():
                return self._regime(entry)
            case _:
                return self._administration(entry)

    def _administration(self, entry: Entry) -> str:
        match entry:
            case SessionStarted():
                baseline = "" if entry.baseline_lots is None else f", baseline {self._quantity(entry.baseline_lots)}"
                mode = entry.settings.mode
                return f"bot {entry.bot_id} session {entry.session}, {entry.instrument.symbol}, mode {mode}{baseline}"
            case LatticeAnchored():
                return f"at {self._price(entry.anchor_ticks)}"
            case FiltersChanged():
                return f"tick size {entry.instrument.tick_size}, lot size {entry.instrument.lot_size}"
            case _:
                return self._words(entry)

    def _words(self, entry: Entry) -> str:
        match entry:
            case ConditionChanged():
                return f"{entry.condition} {'begins' if entry.active else 'ends'}{_because(entry.reason)}"
            case TradingStateChanged():
                return f"{entry.state}{', flatten' if entry.flatten else ''}{_because(entry.reason)}"
            case PositionObserved():
                return f"{self._quantity(entry.position_lots)}, fence {entry.fence}"
            case PositionAccepted():
                return f"{self._quantity(entry.difference_lots)} as foreign{_because(entry.words)}"
            case InventoryWrittenOff():
                return f"slots {', '.join(map(str, entry.rungs))}{_because(entry.words)}"
            case FundingRecord():
                return f"{money_decimal(entry.amount_units):f} {entry.asset} (record {entry.record_id})"
            case _:
                return str(entry)

    def _decision(self, decision: Decision) -> str:
        parts = [
            f"at {self._half(decision.half_ticks)}, centre {decision.centre}",
            *map(self._action, decision.actions),
        ]
        return "; ".join((*parts, *decision.notices))

    def _action(self, action: PlaceOrder | CancelOrder) -> str:
        if isinstance(action, CancelOrder):
            return f"cancel {_name(action.client_order_id)}"
        flags = ("" if not action.post_only else " post-only") + ("" if not action.reduce_only else " reduce-only")
        price = "market" if action.price_ticks is None else self._price(action.price_ticks)
        quantity = self._quantity(action.quantity_lots)
        return f"place {_name(action.client_order_id)} {action.side} {quantity} @ {price}{flags}"

    def _order(self, order: OrderRecord) -> str:
        price = self._price(order.price_ticks) if order.price_ticks else "market"
        executed = f"{self._quantity(order.executed_lots)} of {self._quantity(order.quantity_lots)}"
        return f"{_name(order.client_order_id)} {order.side} {executed} @ {price} {order.status}"

    def _trade(self, trade: Trade) -> str:
        fee = f"fee {money_decimal(trade.fee_units):f} {trade.fee_asset} ({'maker' if trade.maker else 'taker'})"
        what = f"{trade.side} {self._quantity(trade.quantity_lots)} @ {self._price(trade.price_ticks)}"
        return f"trade {trade.trade_id} {_name(trade.client_order_id)} {what}, {fee}"

    def _regime(self, reading: RegimeReading) -> str:
        flags = f"{reading.trend} {reading.volatility} {reading.liquidity}"
        brake = (" BRAKE" if reading.brake else "") + (" STALE" if reading.stale else "")
        size = f"size x{reading.size_factor_milli / 1000:.3f}"
        return f"{flags}{brake}, RSI {reading.rsi_milli / 1000:.1f}, ATR {self._price(reading.atr_ticks)}, {size}"

    def _price(self, ticks: int) -> str:
        return f"{ticks} ticks" if self._instrument is None else f"{self._instrument.price(ticks):f}"

    def _half(self, half_ticks: int) -> str:
        if self._instrument is None:
            return f"{half_ticks} half ticks"
        return f"{self._instrument.tick_size * half_ticks / 2:f}"

    def _quantity(self, lots: int) -> str:
        return f"{lots} lots" if self._instrument is None else f"{self._instrument.quantity(lots):f}"


def _name(client_order_id: str) -> str:
    parts = decode(client_order_id)
    if parts is None:
        return f"[{client_order_id}: not ours]" if client_order_id else "[no id]"
    return f"[{client_order_id} slot {parts.rung} {'opening' if parts.role == 'o' else 'closing'}]"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""

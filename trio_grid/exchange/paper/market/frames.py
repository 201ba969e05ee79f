"""Owns recordings of stream messages: one JSON text a line, alone or after the time in ns at which it was received.

It must never open a file. Messages are replayed in the order in which they were received; the time of one is its own,
never before the one before it. Spot's quotes have none: it is that of their arrival, set right by how far the last
message with a time of its own had been away from that. What is no quote, depth or trade is passed over; what cannot be
read is a fault that names file and line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from trio_grid.domain.instrument import Instrument
from trio_grid.errors import ConfigError, MalformedAnswer
from trio_grid.exchange.paper.market.book_rows import DepthRow, LotScale, QuoteRow
from trio_grid.exchange.paper.market.rows import UNIT_DIGITS, RawRow, TradeRow
from trio_grid.exchange.protocol.market_messages import (
    BookQuote,
    MarketData,
    PublicTrade,
    facts_of_frame,
    parse_market_data,
)
from trio_grid.exchange.protocol.messages import Ignored

_NS_PER_MS = 1_000_000

FrameRow = TradeRow | QuoteRow | DepthRow


def is_frame(text: str) -> bool:
    """True if a line holds a stream message: its JSON object begins the line, or follows a time."""
    head, brace, _ = text.partition("{")
    return bool(brace) and (not head.strip() or head.strip().isdigit())


def frame_rows(rows: Iterable[RawRow], instrument: Instrument) -> Iterator[FrameRow]:
    """Yield trades, quotes and depth messages; the one field of a raw row is its line.

    Raises:
        ConfigError: a message cannot be read, or is of another symbol (a snapshot does not say of which it is, so a
            recording may hold one symbol only).
    """
    ignored: Ignored = Counter()
    scale, clock, carry = LotScale(instrument), _FrameClock(), 0
    lot = int(instrument.lot_size * 10**UNIT_DIGITS)
    for row in rows:
        found = _read(row, instrument, ignored)
        if found is None:
            continue
        last = clock.time_of(row, found.time_ms)
        if isinstance(found, PublicTrade):
            lots, carry = divmod(found.quantity_units + carry, lot)
            yield TradeRow(last, found.price_ticks, lots, found.buyer_is_maker)
        elif isinstance(found, BookQuote):
            if found.bid_units and found.ask_units and last:
                yield _quote(row, found, last, scale)
        elif last:
            yield DepthRow(last, found)


class _FrameClock:
    """The times of messages: never falling; 0 before the first that is known."""

    def __init__(self) -> None:
        self._last = 0
        self._ahead_ms: int | None = None

    def time_of(self, row: RawRow, own_ms: int | None) -> int:
        head = row.fields[0].partition("{")[0].strip()
        received_ms = int(head) // _NS_PER_MS if head else None
        if own_ms is not None and received_ms is not None:
            self._ahead_ms = own_ms - received_ms
        elif own_ms is None and received_ms is not None and self._ahead_ms is not None:
            own_ms = received_ms + self._ahead_ms
        self._last = max(self._last, own_ms or 0)
        return self._last


def _read(row: RawRow, instrument: Instrument, ignored: Ignored) -> MarketData | None:
    text = _message(row)
    if not text:
        return None
    try:
        found = parse_market_data(text, instrument, ignored)
    except MalformedAnswer as error:
        raise ConfigError([f"{row.file}, line {row.line}: {error}"]) from error
    if ignored["other symbol"]:
        raise ConfigError(
            [f"{row.file}, line {row.line}: a message of another symbol than {instrument.symbol}: {text[:120]}"]
        )
    return found


def _quote(row: RawRow, quote: BookQuote, time_ms: int, scale: LotScale) -> QuoteRow:
    if not 0 < quote.bid_ticks < quote.ask_ticks:
        raise ConfigError([f"{row.file}, line {row.line}: bookTicker {quote.update_id}: the bid is not below the ask"])
    return QuoteRow(
        time_ms,
        quote.bid_ticks,
        quote.ask_ticks,
        scale.lots_up(quote.bid_units),
        scale.lots_up(quote.ask_units),
        quote.update_id,
    )


def sample_frames(rows: Iterable[RawRow]) -> tuple[int, int, int, bool]:
    """Return the time of the first message, the decimals of prices and of traded quantities, and whether one traded.

    Raises:
        ConfigError: a line is no stream message, or cannot be read.
    """
    first = prices = quantities = 0
    traded = False
    for row in rows:
        text = _message(row)
        if text:
            try:
                facts = facts_of_frame(text)
            except MalformedAnswer as error:
                raise ConfigError([f"{row.file}, line {row.line}: {error}"]) from error
            first = first or facts.time_ms
            prices, quantities = max(prices, facts.price_decimals), max(quantities, facts.quantity_decimals)
            traded = traded or facts.is_trade
    return first, min(prices, UNIT_DIGITS), min(quantities, UNIT_DIGITS), traded


def _message(row: RawRow) -> str:
    """Return a line's JSON text; empty for an empty line."""
    text = row.fields[0].strip()
    if text and not is_frame(text):
        raise ConfigError([f"{row.file}, line {row.line}: {text[:60]!r} is not a stream message"])
    return text[text.find("{") :] if text else ""

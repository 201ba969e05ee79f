"""Owns the dump formats that speak of the book: bookTicker (best prices) and bookDepth (depth by distance), as rows.

It must never open a file and never guess: a bad field is a fault that names file, line, field and value. Strangers'
quantities are rounded up to whole lots, since a level that is there must not vanish.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby

import msgspec

from trio_grid.domain.events import Side
from trio_grid.domain.instrument import Instrument
from trio_grid.exchange.paper.market.book_shape import mixed
from trio_grid.exchange.paper.market.rows import (
    BOOK_DEPTH,
    BOOK_TICKER,
    UNIT_DIGITS,
    RawRow,
    RowReader,
    check_columns,
    data_rows,
    fault,
    time_of,
    units_of,
)
from trio_grid.exchange.protocol.order_book import BookSnapshot, BookUpdate

JITTER_MS = 1_000
"""How far a quote's time may lie behind the one before: matching and publishing are not in one order to the ms."""
_MILLION = 1_000_000


class QuoteRow(msgspec.Struct, frozen=True):
    """Best prices and quantities at a time. A quantity or `update_id` of 0 is not recorded."""

    time_ms: int
    bid_ticks: int
    ask_ticks: int
    bid_lots: int = 0
    ask_lots: int = 0
    update_id: int = 0


class BandsRow(msgspec.Struct, frozen=True):
    """Depth of both sides as (distance from the mid price in ppm, quantity up to there in lots), nearest first."""

    time_ms: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class DepthRow(msgspec.Struct, frozen=True):
    """A depth message at a time."""

    time_ms: int
    change: BookUpdate | BookSnapshot


class LotScale:
    """Turns quantities in units of 1e-8 into whole lots, upwards."""

    def __init__(self, instrument: Instrument) -> None:
        self._lot = int(instrument.lot_size * 10**UNIT_DIGITS)

    def lots_up(self, units: int) -> int:
        """Return the smallest number of lots that is not less."""
        return -(-units // self._lot)


def quote_rows(rows: Iterable[RawRow], instrument: Instrument) -> Iterator[QuoteRow]:
    """Yield quotes; a row of which one side is empty is left out, since it has no price."""
    reader, scale, last = RowReader(instrument), LotScale(instrument), -1
    for row in data_rows(rows):
        check_columns(row, BOOK_TICKER)
        time_ms = time_of(row, BOOK_TICKER.time, "transaction_time")
        if time_ms < last - JITTER_MS:
            wanted = f"at or after {last}, the row before it: sort the file by transaction_time and update_id"
            raise fault(row, "transaction_time", row.fields[BOOK_TICKER.time], wanted)
        last = max(last, time_ms)
        if units_of(row, 1, "best_bid_price") == 0 or units_of(row, 3, "best_ask_price") == 0:
            continue
        bid, ask = reader.price(row, 1, "best_bid_price"), reader.price(row, 3, "best_ask_price")
        if bid >= ask:
            raise fault(row, "best_ask_price", row.fields[3], f"above the best bid {row.fields[1]}")
        bid_units, ask_units = units_of(row, 2, "best_bid_qty"), units_of(row, 4, "best_ask_qty")
        for name, column, units in (("best_bid_qty", 2, bid_units), ("best_ask_qty", 4, ask_units)):
            if units <= 0:
                raise fault(row, name, row.fields[column], "a positive quantity")
        yield QuoteRow(last, bid, ask, scale.lots_up(bid_units), scale.lots_up(ask_units), _update_id(row))


def _update_id(row: RawRow) -> int:
    text = row.fields[0].strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise fault(row, "update_id", text, "a whole number")
    return int(text)


def band_rows(rows: Iterable[RawRow], instrument: Instrument) -> Iterator[BandsRow]:
    """Yield the depth of each time; the rows of one time follow each other, one for each distance."""
    scale, last = LotScale(instrument), -1
    for text, group in groupby(data_rows(rows), key=lambda row: row.fields[0].strip()):
        same_time = list(group)
        sides: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        for row in same_time:
            check_columns(row, BOOK_DEPTH)
            ppm, units = _distance_ppm(row), units_of(row, 2, "depth")
            if units < 0:
                raise fault(row, "depth", row.fields[2], "zero or more")
            sides[Side.BUY if ppm < 0 else Side.SELL][abs(ppm)] = scale.lots_up(units)
        time_ms = depth_time_of(same_time[0], text)
        if time_ms < last:
            raise fault(same_time[0], "timestamp", text, f"at or after {last} ms, the row before it")
        last = time_ms
        yield BandsRow(time_ms, _ascending(sides[Side.BUY]), _ascending(sides[Side.SELL]))


def depth_time_of(row: RawRow, text: str) -> int:
    """Return the time of a bookDepth row in ms: `YYYY-MM-DD hh:mm:ss` in UTC, or a number like everywhere else."""
    if "-" not in text:
        return time_of(row, 0, "timestamp")
    try:
        return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()) * 1_000
    except ValueError:
        raise fault(row, "timestamp", text, "a time as YYYY-MM-DD hh:mm:ss, or in milliseconds since 1970") from None


def _distance_ppm(row: RawRow) -> int:
    ppm: int = units_of(row, 1, "percentage") // 10 ** (UNIT_DIGITS - 4)
    if not 0 < abs(ppm) < _MILLION:
        raise fault(row, "percentage", row.fields[1], "a distance of more than 0 and less than 100 percent")
    return ppm


def _ascending(side: dict[int, int]) -> tuple[tuple[int, int], ...]:
    """Return a side's bands; what a farther distance holds is at least what a nearer one holds."""
    bands, most = [], 0
    for ppm in sorted(side):
        most = max(most, side[ppm])
        bands.append((ppm, most))
    return tuple(bands)


def band_level_lots(
    bands: tuple[tuple[int, int], ...], seed: int, side: Side, price_ticks: int, distance_ticks: int, best_ticks: int
) -> int:
    """Return the quantity at a price when only the depth by distance is known; 0 beyond the farthest distance.

    A band's quantity is spread over its ticks, each with 0.2 to 1.8 of the average; where the average is less than a
    lot, some ticks are empty. The same question has the same answer however often it is asked.
    """
    near_ppm = near_lots = 0
    for ppm, lots in bands:
        if distance_ticks * _MILLION <= ppm * best_ticks:
            break
        near_ppm, near_lots = ppm, lots
    else:
        return 0
    noise = mixed(seed * 0x51_7C_C1_B7 + price_ticks * 2 + (side is Side.BUY))
    ticks_ppm = max(1, (ppm - near_ppm) * best_ticks)
    numerator = (lots - near_lots) * _MILLION * (200 + noise % 1601)
    whole, rest = divmod(numerator, ticks_ppm * 1_000)
    return whole + (rest * 1_000 > (noise >> 32) % 1_000 * ticks_ppm * 1_000)

"""Owns the exchange's public dump format: which columns a file has, and its text fields as rows of whole units.

It must never open a file and never guess: a bad field is a fault that names file, line, field and value.
Klines have 12 columns (or 6: open time and OHLCV), aggTrades 7 or 8, trades 6 or 7, bookTicker 7, bookDepth 4; a header
is allowed. Times in microseconds (spot dumps since 2025) become milliseconds. Rows of the book are read by `book_rows`,
stream messages by `frames`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import msgspec

from trio_grid.domain.instrument import Instrument
from trio_grid.errors import ConfigError

UNIT_DIGITS = 8
_SCALE: int = 10**UNIT_DIGITS
_LARGEST_UNITS = 10**30
"""No price or quantity comes near it; a file's exponent must not make a number of a million digits."""
_MICROSECONDS_FROM = 100_000_000_000_000


class RawRow(msgspec.Struct, frozen=True):
    """One line of a file: its place and its text fields."""

    file: str
    line: int
    fields: Sequence[str]


class KlineRow(msgspec.Struct, frozen=True):
    """One recorded kline in ticks and lots."""

    open_time_ms: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    volume_lots: int


class TradeRow(msgspec.Struct, frozen=True):
    """One recorded trade or aggregate trade in ticks and lots."""

    time_ms: int
    price_ticks: int
    quantity_lots: int
    buyer_is_maker: bool


class Layout(msgspec.Struct, frozen=True):
    """Where the fields of a file are: the columns of its prices and quantities, and that of the maker's flag or -1.

    `columns` is how many a row must have at least. `is_tape` says that the file holds what was traded.
    """

    kind: str
    columns: int
    time: int
    prices: tuple[int, ...]
    quantities: tuple[int, ...]
    maker: int = -1
    is_tape: bool = True

    @property
    def price(self) -> int:
        """The first column of a price."""
        return self.prices[0]

    @property
    def quantity(self) -> int:
        """The first column of a quantity."""
        return self.quantities[0]


KLINES = Layout("klines", 6, 0, (1, 2, 3, 4), (5,))
AGG_TRADES = Layout("aggTrades", 7, 5, (1,), (2,), 6)
TRADES = Layout("trades", 6, 4, (1,), (2,), 5)
BOOK_TICKER = Layout("bookTicker", 7, 5, (1, 3), (2, 4), is_tape=False)
BOOK_DEPTH = Layout("bookDepth", 4, 0, (), (), is_tape=False)
FRAMES = Layout("frames", 1, -1, (), ())


def fault(row: RawRow, field: str, value: str, allowed: str) -> ConfigError:
    """Return the error that names file, line, field, value and what would be right."""
    return ConfigError([f"{row.file}, line {row.line}, field {field}: {value!r} is not {allowed}"])


def _is_flag(text: str) -> bool:
    return text.strip().lower() in ("true", "false")


def is_header(row: RawRow) -> bool:
    """True if a file's first line names its columns."""
    return not row.fields[0].strip().lstrip("-")[:1].isdigit()


def layout_of(row: RawRow) -> Layout:
    """Return the layout of a file by its first data line.

    Raises:
        ConfigError: the line is none of the public dump's formats.
    """
    fields = row.fields
    if len(fields) in (7, 8) and _is_flag(fields[6]) and not _is_flag(fields[5]):
        return AGG_TRADES
    if len(fields) in (6, 7) and _is_flag(fields[5]):
        return TRADES
    if not any(_is_flag(field) for field in fields):
        if len(fields) in (6, 11, 12):
            return KLINES
        if len(fields) == BOOK_TICKER.columns:
            return BOOK_TICKER
        if len(fields) == BOOK_DEPTH.columns:
            return BOOK_DEPTH
    raise ConfigError(
        [
            f"{row.file}, line {row.line}: {len(fields)} columns are neither klines (12 or 6) nor aggTrades (7, 8) "
            f"nor trades (6, 7) nor bookTicker (7) nor bookDepth (4) of the public dump format: "
            f"{','.join(fields)[:120]!r}"
        ]
    )


def data_rows(rows: Iterable[RawRow]) -> Iterator[RawRow]:
    """Yield the data lines of files in their order: headers and empty lines are left out."""
    file = ""
    for row in rows:
        first, file = row.file != file, row.file
        if not row.fields or (len(row.fields) == 1 and not row.fields[0].strip()):
            continue
        if not (first and is_header(row)):
            yield row


def units_of(row: RawRow, index: int, field: str) -> int:
    """Return a decimal field in units of 1e-8."""
    text = row.fields[index].strip()
    whole, _, fraction = text.partition(".")
    if (whole + fraction).isascii() and (whole + fraction).isdigit() and len(fraction.rstrip("0")) <= UNIT_DIGITS:
        return int(whole or "0") * _SCALE + int(fraction[:UNIT_DIGITS].ljust(UNIT_DIGITS, "0"))
    try:
        value = Decimal(text).scaleb(UNIT_DIGITS)
        if value.is_finite() and abs(value) < _LARGEST_UNITS and value == value.to_integral_value():
            return int(value)
    except ArithmeticError:
        pass
    raise fault(row, field, text, "a decimal number of at most eight decimals")


def time_of(row: RawRow, index: int, field: str) -> int:
    """Return a time field in milliseconds."""
    text = row.fields[index].strip()
    if not (text.isascii() and text.isdigit() and 12 <= len(text) <= 17):
        raise fault(row, field, text, "a time in milliseconds or microseconds since 1970")
    value = int(text)
    return value // 1000 if value >= _MICROSECONDS_FROM else value


def needed_decimals(rows: Iterable[RawRow], layout: Layout) -> tuple[int, int]:
    """Return how many decimals the prices and the quantities of some rows need."""
    price_digits = quantity_digits = 0
    for row in rows:
        price_digits = max([price_digits, *(_digits(row, index) for index in layout.prices)])
        quantity_digits = max([quantity_digits, *(_digits(row, index) for index in layout.quantities)])
    return min(price_digits, UNIT_DIGITS), min(quantity_digits, UNIT_DIGITS)


def _digits(row: RawRow, index: int) -> int:
    if index >= len(row.fields):
        return 0
    return len(row.fields[index].strip().partition(".")[2].rstrip("0"))


class RowReader:
    """Turns raw rows into rows in the instrument's ticks and lots.

    A price between two ticks is a fault. A quantity between two lots is cut and the rest carried to the next row,
    since it only says how much strangers traded.
    """

    def __init__(self, instrument: Instrument) -> None:
        scale = 10**UNIT_DIGITS
        self._tick = int(instrument.tick_size * scale)
        self._lot = int(instrument.lot_size * scale)
        self._tick_text = str(instrument.tick_size)
        self._carry = 0

    def price(self, row: RawRow, index: int, field: str) -> int:
        """Return a price in ticks; it must be positive and on the tick."""
        units = units_of(row, index, field)
        ticks, rest = divmod(units, self._tick)
        if rest or ticks <= 0:
            raise fault(row, field, row.fields[index], f"a positive multiple of the tick size {self._tick_text}")
        return ticks

    def _quantity(self, row: RawRow, index: int, field: str) -> int:
        units = units_of(row, index, field)
        if units < 0:
            raise fault(row, field, row.fields[index], "zero or more")
        lots, self._carry = divmod(units + self._carry, self._lot)
        return lots

    def kline(self, row: RawRow) -> KlineRow:
        """Return a kline; open, high, low and close must be in order."""
        found = KlineRow(
            time_of(row, 0, "open_time"),
            self.price(row, 1, "open"),
            self.price(row, 2, "high"),
            self.price(row, 3, "low"),
            self.price(row, 4, "close"),
            self._quantity(row, 5, "volume"),
        )
        if found.high_ticks < max(found.open_ticks, found.close_ticks):
            raise fault(row, "high", row.fields[2], "at or above open and close")
        if found.low_ticks > min(found.open_ticks, found.close_ticks):
            raise fault(row, "low", row.fields[3], "at or below open and close")
        return found

    def trade(self, row: RawRow, layout: Layout) -> TradeRow:
        """Return a trade."""
        flag = row.fields[layout.maker].strip().lower()
        if flag not in ("true", "false"):
            raise fault(row, "is_buyer_maker", row.fields[layout.maker], "true or false")
        return TradeRow(
            time_of(row, layout.time, "time"),
            self.price(row, layout.price, "price"),
            self._quantity(row, layout.quantity, "quantity"),
            flag == "true",
        )


def kline_rows(rows: Iterable[RawRow], instrument: Instrument) -> Iterator[KlineRow]:
    """Yield klines; opening times must grow from row to row (a gap is kept, a repetition is a fault)."""
    reader, last = RowReader(instrument), -1
    for row in data_rows(rows):
        check_columns(row, KLINES)
        kline = reader.kline(row)
        if kline.open_time_ms <= last:
            raise fault(row, "open_time", row.fields[0], f"after {last}, the row before it")
        last = kline.open_time_ms
        yield kline


def trade_rows(rows: Iterable[RawRow], instrument: Instrument, layout: Layout) -> Iterator[TradeRow]:
    """Yield trades; times must not fall from row to row."""
    reader, last = RowReader(instrument), -1
    for row in data_rows(rows):
        check_columns(row, layout)
        trade = reader.trade(row, layout)
        if trade.time_ms < last:
            raise fault(row, "time", row.fields[layout.time], f"at or after {last}, the row before it")
        last = trade.time_ms
        yield trade


def check_columns(row: RawRow, layout: Layout) -> None:
    """Refuse a row with too few columns."""
    if len(row.fields) < layout.columns:
        found = len(row.fields)
        raise ConfigError([f"{row.file}, line {row.line}: {found} columns, {layout.kind} need {layout.columns}"])

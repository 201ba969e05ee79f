"""Owns the reading of dump files: CSV or lines of JSON, plain or in gz or zip, and Parquet where pyarrow is installed.

It must never interpret a field: `market.rows`, `market.book_rows` and `market.frames` do. A fault names the file.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import msgspec

from trio_grid.domain.instrument import Instrument
from trio_grid.errors import ConfigError
from trio_grid.exchange.paper.engine.symbols import default_instrument
from trio_grid.exchange.paper.market.book_rows import BandsRow, QuoteRow, band_rows, depth_time_of, quote_rows
from trio_grid.exchange.paper.market.frames import frame_rows, is_frame, sample_frames
from trio_grid.exchange.paper.market.replay import MINUTE_MS, ReplayMarket, TimedRow
from trio_grid.exchange.paper.market.rows import (
    BOOK_DEPTH,
    BOOK_TICKER,
    FRAMES,
    KLINES,
    KlineRow,
    Layout,
    RawRow,
    data_rows,
    kline_rows,
    layout_of,
    needed_decimals,
    time_of,
    trade_rows,
)

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SAMPLE_ROWS = 5_000
_BLOCK_BYTES = 1 << 20
_TEXT_SUFFIXES = (".csv", ".jsonl", ".ndjson")
_SYMBOL = re.compile(r"(?<![A-Z0-9])([A-Z0-9]{2,20}(?:USDT|USDC|FDUSD|BUSD))(?![A-Z0-9])")


class BookFiles(msgspec.Struct, frozen=True):
    """Files of one kind that say something of the book, in the order of time."""

    paths: tuple[Path, ...]
    layout: Layout
    instrument: Instrument

    def rows(self) -> Iterator[QuoteRow | BandsRow]:
        """Read the files from the beginning."""
        raw = raw_rows(self.paths)
        return quote_rows(raw, self.instrument) if self.layout is BOOK_TICKER else band_rows(raw, self.instrument)


class Recording(msgspec.Struct, frozen=True):
    """Recorded files of one symbol: a tape, in the order of time, and what is recorded of the book beside it."""

    paths: tuple[Path, ...]
    instrument: Instrument
    layout: Layout
    interval_ms: int
    books: tuple[BookFiles, ...] = ()

    def rows(self) -> Iterator[KlineRow | TimedRow]:
        """Read the tape from the beginning."""
        raw = raw_rows(self.paths)
        if self.layout is KLINES:
            return kline_rows(raw, self.instrument)
        if self.layout is FRAMES:
            return frame_rows(raw, self.instrument)
        return trade_rows(raw, self.instrument, self.layout)

    @property
    def name(self) -> str:
        """The files' names."""
        return ", ".join(path.name for path in (*self.paths, *(path for book in self.books for path in book.paths)))


def raw_rows(paths: Sequence[Path]) -> Iterator[RawRow]:
    """Yield the lines of files, one file after the other.

    Raises:
        ConfigError: a file is missing, of an unknown kind, or damaged.
    """
    for path in paths:
        try:
            yield from _file_rows(path)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, UnicodeDecodeError, csv.Error) as error:
            raise ConfigError([f"{path}: cannot be read: {error}"]) from error


def _file_rows(path: Path) -> Iterator[RawRow]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet_rows(path)
    elif suffix == ".zip":
        with zipfile.ZipFile(_buffered(path)) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(_TEXT_SUFFIXES)]
            if len(names) != 1:
                raise ConfigError([f"{path}: holds {len(names)} CSV files, one is needed"])
            with archive.open(names[0]) as member:
                yield from _text_rows(path, member)
    elif suffix == ".gz":
        with gzip.GzipFile(fileobj=_buffered(path)) as packed:
            yield from _text_rows(path, packed)
    elif suffix in _TEXT_SUFFIXES:
        yield from _text_rows(path, _buffered(path))
    else:
        raise ConfigError([f"{path}: is neither .csv nor .csv.gz nor .zip nor .jsonl nor .parquet"])


class _Reopened(io.RawIOBase):
    """A file that is open only while a block of it is read.

    A replay goes on for days and is dropped at any row: nothing may stay open meanwhile, nor depend on being closed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = 0
        self._size = path.stat().st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._place)
            count = file.readinto(view)
        self._place += count
        return count


def _buffered(path: Path) -> io.BufferedReader:
    return io.BufferedReader(_Reopened(path), _BLOCK_BYTES)


def _text_rows(path: Path, stream: IO[bytes] | io.BufferedIOBase) -> Iterator[RawRow]:
    """Yield a text's rows: the fields of a CSV line, or a stream message as one field; the first line says which."""
    # Closed here: a wrapper that is merely dropped, when only the first rows were wanted, keeps what it wraps.
    with io.TextIOWrapper(cast(IO[bytes], stream), encoding="utf-8-sig", newline="") as text:
        first = text.readline()
        lines = chain([first], text) if first else iter(())
        if is_frame(first):
            for line, content in enumerate(lines, start=1):
                yield RawRow(path.name, line, [content])
        else:
            for line, fields in enumerate(csv.reader(lines), start=1):
                yield RawRow(path.name, line, fields)


def _parquet_rows(path: Path) -> Iterator[RawRow]:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigError([f"{path}: reading Parquet needs pyarrow, which is not installed"]) from None
    line = 0
    for batch in parquet.ParquetFile(path).iter_batches():
        columns = [column.to_pylist() for column in batch.columns]
        for values in zip(*columns, strict=True):
            line += 1
            yield RawRow(path.name, line, [_parquet_text(value) for value in values])


def _parquet_text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.8f}"
    timestamp = getattr(value, "timestamp", None)
    return str(round(timestamp() * 1000)) if callable(timestamp) else str(value)


def _named_symbols(paths: Sequence[Path]) -> set[str]:
    return {match.group(1) for path in paths if (match := _SYMBOL.search(path.name.upper()))}


def symbol_of(paths: Sequence[Path]) -> str:
    """Return the symbol that the files' names speak of.

    Raises:
        ConfigError: they speak of none, or of several.
    """
    found = _named_symbols(paths)
    if len(found) != 1:
        names = ", ".join(path.name for path in paths)
        raise ConfigError([f"the files' names do not say one symbol ({sorted(found) or 'none'}): {names}"])
    return found.pop()


def open_recording(
    paths: Sequence[Path], *, symbol: str | None = None, instrument: Instrument | None = None
) -> Recording:
    """Look into recorded files: what they hold, of which symbol, with which tick and lot.

    Files of a kind are put in the order of their first row. One kind of tape is needed (klines, trades, aggTrades or
    stream messages); beside it there may be files of bookTicker and bookDepth. A symbol may be given where the names do
    not say it; names that say another one are a fault. Without an instrument it is the symbol's own from the table,
    made finer where the first rows' decimals need it.

    Raises:
        ConfigError: a file cannot be read, or the files do not belong together.
    """
    if not paths:
        raise ConfigError(["no market file is given"])
    if symbol is not None and (others := _named_symbols(paths) - {symbol}):
        names = ", ".join(path.name for path in paths)
        raise ConfigError([f"the recording is of {', '.join(sorted(others))} by its name, not of {symbol}: {names}"])
    samples = [_look_into(path) for path in paths]
    tapes = [sample for sample in samples if sample.layout.is_tape]
    books = [sample for sample in samples if not sample.layout.is_tape]
    layout = _tape_layout(tapes, books)
    if instrument is None:
        instrument = default_instrument(
            symbol or symbol_of(paths),
            max(sample.price_decimals for sample in samples),
            max(sample.quantity_decimals for sample in tapes),
        )
    tapes.sort(key=lambda sample: sample.first_ms)
    interval = tapes[0].interval_ms if layout is KLINES else MINUTE_MS
    return Recording(
        tuple(sample.path for sample in tapes), instrument, layout, interval, _book_files(books, instrument)
    )


def _tape_layout(tapes: Sequence[_Sample], books: Sequence[_Sample]) -> Layout:
    """Return the one kind of tape; what goes with it is limited by what would contradict it."""
    if not tapes:
        names = ", ".join(f"{sample.path.name} ({sample.layout.kind})" for sample in books)
        raise ConfigError([f"nothing was traded in these files, give klines, aggTrades or trades with them: {names}"])
    kinds = sorted({sample.layout.kind for sample in tapes})
    if len(kinds) > 1:
        raise ConfigError([f"the files are of different kinds: {kinds}"])
    layout = tapes[0].layout
    refused = {
        KLINES.kind: (BOOK_TICKER, "the way of the price inside a kline is not recorded"),
        FRAMES.kind: (BOOK_TICKER, "the messages hold the quotes"),
    }
    book, why = refused.get(layout.kind, (None, ""))
    for sample in books:
        if sample.layout is book:
            raise ConfigError([f"{sample.path.name}: {sample.layout.kind} cannot go with {layout.kind}: {why}"])
    return layout


def _book_files(books: Sequence[_Sample], instrument: Instrument) -> tuple[BookFiles, ...]:
    found = []
    for layout in (BOOK_TICKER, BOOK_DEPTH):
        samples = sorted((sample for sample in books if sample.layout is layout), key=lambda sample: sample.first_ms)
        if samples:
            found.append(BookFiles(tuple(sample.path for sample in samples), layout, instrument))
    return tuple(found)


class _Sample(msgspec.Struct, frozen=True):
    """What the first rows of a file say."""

    path: Path
    layout: Layout
    first_ms: int
    price_decimals: int
    quantity_decimals: int
    interval_ms: int


def _look_into(path: Path) -> _Sample:
    raw = list(islice(raw_rows([path]), _SAMPLE_ROWS))
    if raw and is_frame(raw[0].fields[0] if raw[0].fields else ""):
        first_ms, prices, quantities, traded = sample_frames(raw)
        if not traded:
            raise ConfigError([f"{path.name}: there is no trade in its first {len(raw)} messages"])
        return _Sample(path, FRAMES, first_ms, prices, quantities, MINUTE_MS)
    rows = list(data_rows(raw))
    if not rows:
        raise ConfigError([f"{path}: there is no row of data in it"])
    layout = layout_of(rows[0])
    prices, quantities = needed_decimals(rows, layout)
    if layout is BOOK_DEPTH:
        return _Sample(path, layout, depth_time_of(rows[0], rows[0].fields[0].strip()), 0, 0, MINUTE_MS)
    interval = MINUTE_MS
    if layout is KLINES:
        times = [time_of(row, 0, "open_time") for row in rows]
        interval = min((b - a for a, b in pairwise(times) if b > a), default=MINUTE_MS)
    return _Sample(path, layout, time_of(rows[0], layout.time, "time"), prices, quantities, interval)


def replay_market(
    recording: Recording, *, begin_ms: int | None = None, history_minutes: int = 150, seed: int = 1
) -> ReplayMarket:
    """Return the market that replays a recording."""
    return ReplayMarket(
        recording.instrument,
        recording.rows,
        name=recording.name,
        begin_ms=begin_ms,
        history_minutes=history_minutes,
        interval_ms=recording.interval_ms,
        seed=seed,
        open_book_rows=[book.rows for book in recording.books],
    )

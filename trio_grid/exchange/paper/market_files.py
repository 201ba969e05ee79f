"""Owns the reading of dump files: CSV, plain or in gz or zip, and Parquet where pyarrow is installed.

It must never interpret a field: `market_rows` does. A fault names the file.
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
from itertools import islice, pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import msgspec

from trio_grid.domain.instrument import Instrument
from trio_grid.errors import ConfigError
from trio_grid.exchange.paper.engine.symbols import default_instrument
from trio_grid.exchange.paper.market.replay import MINUTE_MS, ReplayMarket
from trio_grid.exchange.paper.market.rows import (
    KLINES,
    KlineRow,
    Layout,
    RawRow,
    TradeRow,
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
_SYMBOL = re.compile(r"(?<![A-Z0-9])([A-Z0-9]{2,20}(?:USDT|USDC|FDUSD|BUSD))(?![A-Z0-9])")


class Recording(msgspec.Struct, frozen=True):
    """Dump files of one symbol and one kind, in the order of time; instrument and layout found in them."""

    paths: tuple[Path, ...]
    instrument: Instrument
    layout: Layout
    interval_ms: int

    def rows(self) -> Iterator[KlineRow | TradeRow]:
        """Read the files from the beginning."""
        raw = raw_rows(self.paths)
        if self.layout is KLINES:
            return kline_rows(raw, self.instrument)
        return trade_rows(raw, self.instrument, self.layout)

    @property
    def name(self) -> str:
        """The files' names."""
        return ", ".join(path.name for path in self.paths)


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
            names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
            if len(names) != 1:
                raise ConfigError([f"{path}: holds {len(names)} CSV files, one is needed"])
            with archive.open(names[0]) as member:
                yield from _csv_rows(path, member)
    elif suffix == ".gz":
        with gzip.GzipFile(fileobj=_buffered(path)) as packed:
            yield from _csv_rows(path, packed)
    elif suffix == ".csv":
        yield from _csv_rows(path, _buffered(path))
    else:
        raise ConfigError([f"{path}: is neither .csv nor .csv.gz nor .zip nor .parquet"])


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


def _csv_rows(path: Path, stream: IO[bytes] | io.BufferedIOBase) -> Iterator[RawRow]:
    # Closed here: a wrapper that is merely dropped, when only the first rows were wanted, keeps what it wraps.
    with io.TextIOWrapper(cast(IO[bytes], stream), encoding="utf-8-sig", newline="") as text:
        for line, fields in enumerate(csv.reader(text), start=1):
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
    """Look into dump files: what they hold, of which symbol, with which tick and lot.

    Files are put in the order of their first row. A symbol may be given where the names do not say it; names that say
    another one are a fault. Without an instrument it is the symbol's own from the table, made
    finer where the first rows' decimals need it.

    Raises:
        ConfigError: a file cannot be read, or the files do not belong together.
    """
    if not paths:
        raise ConfigError(["no market file is given"])
    if symbol is not None and (others := _named_symbols(paths) - {symbol}):
        names = ", ".join(path.name for path in paths)
        raise ConfigError([f"the recording is of {', '.join(sorted(others))} by its name, not of {symbol}: {names}"])
    samples = {path: list(islice(data_rows(raw_rows([path])), _SAMPLE_ROWS)) for path in paths}
    for path, rows in samples.items():
        if not rows:
            raise ConfigError([f"{path}: there is no row of data in it"])
    layouts = {path: layout_of(rows[0]) for path, rows in samples.items()}
    layout = layouts[paths[0]]
    if any(other is not layout for other in layouts.values()):
        raise ConfigError([f"the files are of different kinds: {sorted({x.kind for x in layouts.values()})}"])
    ordered = sorted(paths, key=lambda path: time_of(samples[path][0], layout.time, "time"))
    if instrument is None:
        needs = [needed_decimals(rows, layout) for rows in samples.values()]
        instrument = default_instrument(
            symbol or symbol_of(paths), max(need[0] for need in needs), max(need[1] for need in needs)
        )
    interval = MINUTE_MS
    if layout is KLINES:
        times = [time_of(row, 0, "open_time") for row in samples[ordered[0]]]
        interval = min((b - a for a, b in pairwise(times) if b > a), default=MINUTE_MS)
    return Recording(tuple(ordered), instrument, layout, interval)


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
    )

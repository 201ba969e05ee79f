"""Replays: dump files of every kind, faults that name their place, candles that equal the recording, gaps kept."""

from __future__ import annotations

import gzip
import importlib.util
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_grid.errors import ConfigError
from trio_grid.exchange.paper.build import build_exchange
from trio_grid.exchange.paper.engine.candles import MINUTE_MS
from trio_grid.exchange.paper.engine.exchange import AccountSpec, MarketEvent, PaperExchange
from trio_grid.exchange.paper.engine.persistence import exchange_document, restore_exchange
from trio_grid.exchange.paper.engine.symbols import default_instrument
from trio_grid.exchange.paper.market.replay import kline_path
from trio_grid.exchange.paper.market.rows import AGG_TRADES, KLINES, TRADES, KlineRow, TradeRow
from trio_grid.exchange.paper.market_files import open_recording, replay_market, symbol_of

T0 = 1_700_000_040_000
HOUR_MS = 60 * MINUTE_MS
DATA = Path(__file__).parents[4] / "shared/data"
recorded = [pytest.mark.recorded, pytest.mark.skipif(not DATA.exists(), reason="no recorded data here")]


def kline_line(minute: int, *prices: str, volume: str = "12.5", width: int = 12) -> str:
    start = T0 + minute * MINUTE_MS
    if width == 6:
        return ",".join([str(start), *prices, volume])
    return ",".join([str(start), *prices, volume, str(start + MINUTE_MS - 1), "1.0", "9", "1.0", "1.0", "0"])


LINES = [
    kline_line(0, "100.0", "101.0", "99.5", "100.5"),
    kline_line(1, "100.5", "100.9", "100.1", "100.2"),
    kline_line(2, "100.2", "100.2", "98.0", "98.1"),
    kline_line(5, "98.0", "99.0", "97.5", "98.8"),
]
HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_quote,ignore"


def written(folder: Path, name: str, lines: list[str]) -> Path:
    path, text = folder / name, "\n".join(lines) + "\n"
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name.removesuffix(".zip") + ".csv", text)
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def minutes_of(exchange: PaperExchange, limit: int = 1500) -> list[list[Any]]:
    rows = exchange.klines({"symbol": exchange.symbols[0], "interval": "1m", "limit": str(limit)}, exchange.now_ms)
    return [row[:6] for row in rows]


@pytest.mark.parametrize("name", ["XYZUSDT-1m-2024-01.csv", "XYZUSDT-1m-2024-01.csv.gz", "XYZUSDT-1m-2024-01.zip"])
@pytest.mark.parametrize("header", [False, True])
def test_every_packing_with_and_without_header_gives_the_recorded_candles(
    tmp_path: Path, name: str, header: bool
) -> None:
    path = written(tmp_path, name, [HEADER, *LINES] if header else LINES)
    exchange = build_exchange(start_ms=0, market_files=[path], history_minutes=1)
    assert (exchange.symbols, exchange.start_ms, exchange.follows_wall_clock) == (("XYZUSDT",), T0 + MINUTE_MS, False)
    exchange.advance(T0 + 10 * MINUTE_MS)
    found = [(row[0], *(Decimal(value) for value in row[1:])) for row in minutes_of(exchange)]
    wanted = [line.split(",") for line in LINES]
    assert found == [(int(row[0]), *(Decimal(value) for value in row[1:6])) for row in wanted]
    assert exchange.ended


def test_short_klines_trades_and_aggregate_trades_are_told_apart(tmp_path: Path) -> None:
    short = written(tmp_path, "AAAUSDT-um-1m.csv", [kline_line(0, "1.0", "1.1", "0.9", "1.0", width=6)])
    assert open_recording([short]).layout is KLINES
    rows = [f"{n},0.70{n},19.0,{n},{n},{T0 + n},true" for n in range(1, 4)]
    agg = written(tmp_path, "futures-BBBUSDT-aggTrades.csv", ["agg_trade_id,price,quantity,f,l,transact_time,m", *rows])
    assert open_recording([agg]).layout is AGG_TRADES
    spot = written(tmp_path, "spot-CCCUSDT-aggTrades.csv", [f"{row},True" for row in rows])
    assert open_recording([spot]).layout is AGG_TRADES
    trades = written(tmp_path, "DDDUSDT-trades.csv", [f"{n},0.5,2,1.0,{T0 + n},{n % 2 == 0}" for n in range(3)])
    assert open_recording([trades]).layout is TRADES
    spot_trades = written(tmp_path, "EEEUSDT-trades.csv", [f"1,0.5,2,1.0,{T0}000,True,True"])
    recording = open_recording([spot_trades])
    assert recording.layout is TRADES
    assert replay_market(recording, history_minutes=0).next_time_ms() == T0, "microseconds become milliseconds"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (kline_line(3, "x", "101.0", "99.5", "100.5"), "line 4, field open: 'x' is not a decimal number"),
        (kline_line(3, "100.0", "99.0", "98.0", "98.5"), "line 4, field high: '99.0' is not at or above"),
        (kline_line(3, "100.0", "101.0", "100.5", "100.6"), "line 4, field low: '100.5' is not at or below"),
        (kline_line(3, "0", "0", "0", "0"), "line 4, field open: '0' is not a positive multiple of the tick size"),
        (kline_line(3, "-5", "101.0", "99.5", "100.5"), "line 4, field open: '-5' is not a positive multiple"),
        (kline_line(3, "1", "1", "1", "1", volume="-2"), "line 4, field volume: '-2' is not zero or more"),
        (kline_line(3, "1", "1", "1", "1", volume="nan"), "line 4, field volume: 'nan' is not a decimal number"),
        (kline_line(2, "1", "1", "1", "1"), "line 4, field open_time: '1700000160000' is not after 1700000160000"),
        ("soon,1,1,1,1,1", "line 4, field open_time: 'soon' is not a time in milliseconds"),
        ("1700000220000,1,1", "line 4: 3 columns, klines need 6"),
    ],
)
def test_a_bad_row_names_file_line_field_and_value(tmp_path: Path, line: str, words: str) -> None:
    path = written(tmp_path, "XYZUSDT-1m.csv", [*LINES[:3], line])
    with pytest.raises(ConfigError) as caught:
        build_exchange(start_ms=0, market_files=[path], history_minutes=0).advance(T0 + HOUR_MS)
    assert str(caught.value).startswith(f"XYZUSDT-1m.csv, {words}")


def test_a_price_finer_than_the_first_rows_is_a_fault_and_never_rounded(tmp_path: Path) -> None:
    lines = [kline_line(n, "100.0", "101.0", "99.5", "100.5") for n in range(5_001)]
    path = written(tmp_path, "XYZUSDT-1m.csv", [*lines, kline_line(5_002, "100.05", "101.0", "99.5", "100.5")])
    with pytest.raises(ConfigError, match=r"line 5002, field open: '100\.05' .* tick size 0\.1"):
        list(open_recording([path]).rows())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("XYZUSDT-1m.csv", b"", "there is no row of data"),
        ("XYZUSDT-1m.csv", b"a,b,c\n", "there is no row of data"),
        ("XYZUSDT-1m.csv", b"1,2,3\n", "are neither klines"),
        ("XYZUSDT-1m.csv", b"\xff\xfe\x00\n", "cannot be read"),
        ("XYZUSDT-1m.csv.gz", b"no gzip", "cannot be read"),
        ("XYZUSDT-1m.zip", b"no zip", "cannot be read"),
        ("XYZUSDT-1m.txt", b"1", "is neither .csv"),
        ("prices.csv", (LINES[0] + "\n").encode(), "do not say one symbol"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        open_recording([tmp_path / name])
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_of_a_short_recording_the_first_half_is_history(tmp_path: Path) -> None:
    path = written(tmp_path, "XYZUSDT-1m.csv", LINES)
    exchange = build_exchange(start_ms=0, market_files=[path])
    assert T0 < exchange.start_ms < T0 + 5 * MINUTE_MS
    assert minutes_of(exchange)
    exchange.take_events()
    exchange.advance(T0 + HOUR_MS)
    assert [event.kind for event in exchange.take_events()].count("kline") > 2


@pytest.mark.parametrize(("begin_ms", "words"), [(T0 - 1, "at or before"), (T0 + HOUR_MS, "ends at 17000003999")])
def test_a_beginning_outside_the_recording_is_refused(tmp_path: Path, begin_ms: int, words: str) -> None:
    path = written(tmp_path, "XYZUSDT-1m.csv", LINES)
    with pytest.raises(ConfigError, match=words):
        build_exchange(start_ms=0, market_files=[path], begin_ms=begin_ms)


def test_missing_files_and_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        open_recording([tmp_path / "XYZUSDT-1m.csv"])
    with pytest.raises(ConfigError, match="no market file"):
        open_recording([])
    klines = written(tmp_path, "XYZUSDT-1m.csv", LINES)
    trades = written(tmp_path, "XYZUSDT-trades.csv", [f"1,0.5,2,1.0,{T0},True"])
    with pytest.raises(ConfigError, match="different kinds"):
        open_recording([klines, trades])
    with pytest.raises(ConfigError, match="is of XYZUSDT by its name, not of BTCUSDT"):
        open_recording([klines], symbol="BTCUSDT")
    nameless = written(tmp_path, "prices.csv", LINES)
    assert open_recording([nameless], symbol="BTCUSDT").instrument.symbol == "BTCUSDT"
    with pytest.raises(ConfigError, match="do not say one symbol"):
        symbol_of([Path("ABCUSDT-1m.csv"), Path("XYZUSDT-1m.csv")])


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_parquet_without_pyarrow_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "XYZUSDT-1m.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match="needs pyarrow, which is not installed"):
        open_recording([tmp_path / "XYZUSDT-1m.parquet"])


def test_a_quantity_between_two_lots_is_carried_on(tmp_path: Path) -> None:
    path = written(tmp_path, "BTCUSDT-trades.csv", [f"{n},60000.1,0.0004,24.0,{T0 + n},True" for n in range(10)])
    instrument = default_instrument("BTCUSDT")
    rows = open_recording([path], instrument=instrument).rows()
    assert [row.quantity_lots for row in rows if isinstance(row, TradeRow)] == [0, 0, 1, 0, 1, 0, 0, 1, 0, 1]


def test_files_are_put_in_the_order_of_time(tmp_path: Path) -> None:
    later = written(tmp_path, "XYZUSDT-1m-a.csv", [HEADER, *LINES[2:]])
    earlier = written(tmp_path, "XYZUSDT-1m-b.csv", [HEADER, *LINES[:2]])
    recording = open_recording([later, earlier])
    assert recording.paths == (earlier, later)
    assert len(list(recording.rows())) == 4


@st.composite
def klines(draw: st.DrawFn) -> KlineRow:
    prices = sorted(draw(st.lists(st.integers(1, 5_000), min_size=4, max_size=4)))
    first, last = draw(st.sampled_from([(1, 2), (2, 1), (0, 3), (3, 0), (1, 1), (0, 1), (3, 2)]))
    row = KlineRow(T0, prices[first], prices[3], prices[0], prices[last], draw(st.integers(4, 3_000)))
    return row


@given(klines())
def test_a_klines_path_visits_its_four_prices_and_has_its_volume(row: KlineRow) -> None:
    path = kline_path(row)
    offsets, trades = [offset for offset, _ in path], [trade for _, trade in path]
    assert offsets == sorted(set(offsets))
    assert offsets[0] >= 0
    assert offsets[-1] < MINUTE_MS
    prices = [trade.price_ticks for trade in trades]
    assert (prices[0], prices[-1]) == (row.open_ticks, row.close_ticks)
    assert (max(prices), min(prices)) == (row.high_ticks, row.low_ticks)
    low_first = prices.index(row.low_ticks) <= prices.index(row.high_ticks)
    if row.open_ticks not in (row.low_ticks, row.high_ticks):
        assert low_first == (row.close_ticks >= row.open_ticks)
    assert sum(trade.quantity_lots for trade in trades) == row.volume_lots
    assert path == kline_path(row)


def test_a_kline_without_volume_makes_a_flat_candle_and_no_trade(tmp_path: Path) -> None:
    lines = [LINES[0], kline_line(1, "100.5", "100.5", "100.5", "100.5", volume="0"), LINES[2]]
    exchange = build_exchange(start_ms=0, market_files=[written(tmp_path, "XYZUSDT.csv", lines)], history_minutes=0)
    exchange.advance(T0 + 5 * MINUTE_MS)
    rows = minutes_of(exchange)
    assert [row[0] for row in rows] == [T0, T0 + MINUTE_MS, T0 + 2 * MINUTE_MS]
    assert Decimal(rows[1][5]) == 0
    assert {Decimal(value) for value in rows[1][1:5]} == {Decimal("100.5")}


def test_a_restored_replay_goes_on_at_its_place_and_notices_another_recording(tmp_path: Path) -> None:
    path = written(tmp_path, "XYZUSDT-1m.csv", LINES)

    def fresh(file: Path = path) -> PaperExchange:
        return build_exchange(start_ms=0, market_files=[file], history_minutes=1, accounts=[AccountSpec(name="ann")])

    saved = fresh()
    saved.advance(T0 + 2 * MINUTE_MS + 17_000)
    document = exchange_document(saved)
    restored = fresh()
    restore_exchange(restored, document)
    assert restored.now_ms == T0 + 2 * MINUTE_MS + 17_000
    saved.take_events()
    restored.take_events()
    for exchange in (saved, restored):
        exchange.advance(T0 + 10 * MINUTE_MS)
    assert [event.payload for event in saved.take_events()] == [event.payload for event in restored.take_events()]
    assert minutes_of(saved) == minutes_of(restored)
    changed = written(tmp_path / "..", path.name, LINES[:2])
    with pytest.raises(ValueError, match="has changed"):
        restore_exchange(fresh(changed), document)
    other = written(tmp_path, "XYZUSDT-1m-other.csv", LINES)
    with pytest.raises(ValueError, match="is not the recording"):
        restore_exchange(fresh(other), document)


# real recordings -----------------------------------------------------------------------------------------------------


def recorded_rows(path: Path, start_ms: int, end_ms: int) -> Iterator[list[str]]:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            fields = line.strip().split(",")
            if fields[0].isdigit() and start_ms <= int(fields[0]) < end_ms:
                yield fields[:6]


WINDOWS = {
    "crash of 2022-09-21": ("spot_1m/BTCUSDT-1m-2022-09.csv.gz", 1_663_781_400_000, 2),
    "crash of 2022-11-08": ("spot_1m/BTCUSDT-1m-2022-11.csv.gz", 1_667_934_000_000, 3),
    "outage of 2023-03-24": ("spot_1m/BTCUSDT-1m-2023-03.csv.gz", 1_679_657_400_000, 4),
    "ether": ("spot_1m/ETHUSDT-1m-2022-06.csv.gz", 1_655_078_400_000, 2),
    "solana": ("spot_1m/SOLUSDT-1m-2022-01.csv.gz", 1_641_600_000_000, 2),
    "perpetual, short format": ("usdm_1m/BTCUSDT-um-1m-2023-07.csv.gz", 1_690_000_020_000, 2),
}


@pytest.mark.recorded
@pytest.mark.skipif(not DATA.exists(), reason="no recorded data here")
@pytest.mark.parametrize("name", list(WINDOWS))
def test_candles_of_a_real_recording_equal_it_and_gaps_are_kept(name: str) -> None:
    file, begin_ms, hours = WINDOWS[name]
    exchange = build_exchange(start_ms=0, market_files=[DATA / file], begin_ms=begin_ms, history_minutes=30)
    exchange.advance(begin_ms + hours * HOUR_MS - 1)
    wanted = list(recorded_rows(DATA / file, begin_ms - 30 * MINUTE_MS, begin_ms + hours * HOUR_MS))
    found = minutes_of(exchange)
    assert [row[0] for row in found] == [int(row[0]) for row in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        assert [Decimal(value) for value in ours[1:5]] == [Decimal(value) for value in theirs[1:5]]
        # Where a volume lies between two lots the rest is carried on.
        assert (
            abs(Decimal(ours[5]) - Decimal(theirs[5])) < exchange.desks[exchange.symbols[0]].symbol.instrument.lot_size
        )
    if name.startswith("outage"):
        assert len(found) == 30 + hours * 60 - 80
        gap = [event for event in exchange.take_events() if 1_679_661_660_000 < event.time_ms < 1_679_666_400_000]
        assert not [event for event in gap if isinstance(event, MarketEvent)]


@pytest.mark.recorded
@pytest.mark.skipif(not DATA.exists(), reason="no recorded data here")
@pytest.mark.parametrize(
    ("file", "count"),
    [
        ("aggtrades/futures-APEUSDT-aggTrades-2024-10-18.zip", 45_342),
        ("aggtrades/spot-PEPEUSDT-aggTrades-2024-10-27.zip", 57_229),
    ],
)
def test_a_real_day_of_trades_is_replayed_whole(file: str, count: int) -> None:
    recording = open_recording([DATA / file])
    assert sum(1 for _ in recording.rows()) == count
    exchange = build_exchange(start_ms=0, market_files=[DATA / file], history_minutes=60)
    before = sum(row[8] for row in exchange.klines({"symbol": exchange.symbols[0], "interval": "1m"}, 0))
    trades = 0
    exchange.take_events()
    while not (done := exchange.advance(exchange.start_ms + 24 * HOUR_MS, max_steps=5_000)) or trades == 0:
        trades += sum(event.kind == "aggTrade" for event in exchange.take_events())
        if done:
            break
    trades += sum(event.kind == "aggTrade" for event in exchange.take_events())
    assert before + trades == count


@pytest.mark.recorded
@pytest.mark.skipif(not DATA.exists(), reason="no recorded data here")
def test_a_ladder_in_the_crash_is_filled_at_its_own_prices_and_ties_out() -> None:
    file, begin_ms, hours = WINDOWS["crash of 2022-09-21"]
    exchange = build_exchange(
        start_ms=0,
        market_files=[DATA / file],
        begin_ms=begin_ms,
        history_minutes=30,
        accounts=[AccountSpec(name="ann")],
    )
    symbol = {"symbol": "BTCUSDT"}
    bid = Decimal(exchange.book_ticker(symbol, 0)["bidPrice"])  # type: ignore[call-overload]
    limit = symbol | {"type": "LIMIT", "timeInForce": "GTX", "quantity": "0.01"}
    prices = {}
    for rung in range(1, 21):
        for side, sign in (("BUY", -1), ("SELL", 1)):
            price = bid + sign * 20 * rung
            body = exchange.place_order("ann", limit | {"side": side, "price": str(price)}, 0)
            prices[body["orderId"]] = price
    exchange.advance(begin_ms + hours * HOUR_MS)
    trades = exchange.user_trades("ann", symbol, 0)
    assert len({row["orderId"] for row in trades}) > 20
    assert all(Decimal(row["price"]) == prices[row["orderId"]] for row in trades)
    rows = exchange.income("ann", {"limit": "1000"}, 0)
    assert sum(Decimal(row["income"]) for row in rows) == Decimal(exchange.balances("ann", {}, 0)[0]["balance"])

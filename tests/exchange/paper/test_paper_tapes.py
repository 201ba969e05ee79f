"""Recorded books: quotes, depth by distance and stream messages are served as they were; faults name their place."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.paper.test_paper_replay import written
from trio_grid.domain.events import Side
from trio_grid.errors import ConfigError
from trio_grid.exchange.paper.build import build_exchange
from trio_grid.exchange.paper.engine.exchange import AccountSpec, MarketEvent, PaperExchange
from trio_grid.exchange.paper.engine.persistence import exchange_document, restore_exchange
from trio_grid.exchange.paper.market_files import open_recording, replay_market

T0 = 1_700_000_040_000
SYMBOL = {"symbol": "XYZUSDT"}
QUOTES_HEADER = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"


def trade(second: float, price: str, quantity: str = "1.25", maker: bool = True) -> str:
    return f"{int(second * 10)},{price},{quantity},0,{T0 + int(second * 1000)},{maker}"


def quote(second: float, bid: str, bid_quantity: str, ask: str, ask_quantity: str, number: int | None = None) -> str:
    at = T0 + int(second * 1000)
    return f"{int(second * 10) if number is None else number},{bid},{bid_quantity},{ask},{ask_quantity},{at},{at + 3}"


TRADES = [trade(0, "100.0"), trade(1, "100.1", maker=False), trade(60, "99.0"), trade(61, "99.5"), trade(300, "98.0")]
QUOTES = [
    quote(0, "100.0", "5.25", "100.1", "7.00"),
    quote(0.5, "99.9", "4.00", "100.1", "6.00"),
    quote(60, "98.9", "3.00", "99.3", "2.00"),
    quote(61, "98.8", "1.50", "99.6", "9.00"),
]


def files(folder: Path, trades: list[str] = TRADES, quotes: list[str] = QUOTES) -> list[Path]:
    return [
        written(folder, "XYZUSDT-bookTicker-2024-01-15.zip", [QUOTES_HEADER, *quotes]),
        written(folder, "XYZUSDT-trades-2024-01-15.csv", trades),
    ]


def started(paths: list[Path], **more: Any) -> PaperExchange:
    return build_exchange(start_ms=0, market_files=paths, begin_ms=T0 + 10, history_minutes=1, **more)


def best(exchange: PaperExchange) -> tuple[str, ...]:
    body: Any = exchange.book_ticker(SYMBOL, exchange.now_ms)
    return tuple(body[name] for name in ("bidPrice", "bidQty", "askPrice", "askQty"))


def numbers(rows: list[list[str]]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(quantity)) for price, quantity in rows]


def test_trades_and_quotes_of_one_symbol_together_make_tape_and_book(tmp_path: Path) -> None:
    exchange = build_exchange(start_ms=0, market_files=files(tmp_path), begin_ms=T0 + 400, history_minutes=1)
    for second, wanted in (
        (0.4, ("100.0", "5.25", "100.1", "7.00")),
        (0.5, ("99.9", "4.00", "100.1", "6.00")),
        (1, ("99.9", "4.00", "100.1", "6.00")),
        (60, ("98.9", "3.00", "99.3", "2.00")),
        (61, ("98.8", "1.50", "99.6", "9.00")),
    ):
        exchange.advance(T0 + int(second * 1000))
        assert [Decimal(value) for value in best(exchange)] == [Decimal(value) for value in wanted], second
    prints = [event.payload for event in exchange.take_events() if isinstance(event, MarketEvent)]
    assert [row["p"] for row in prints if row["e"] == "trade"] == ["100.1", "99.0", "99.5"]


def test_a_trade_does_not_move_a_recorded_quote_until_the_quotes_have_ended(tmp_path: Path) -> None:
    exchange = started(files(tmp_path))
    exchange.advance(T0 + 61_000)
    assert best(exchange)[0::2] == ("98.8", "99.6"), "the trade of that time was at 99.5"
    exchange.advance(T0 + 301_000)
    assert best(exchange)[0::2] == ("98.0", "98.1"), "four minutes after the last quote the trade leads"


def test_the_place_in_a_recording_with_a_book_is_kept(tmp_path: Path) -> None:
    paths = files(tmp_path)
    exchange, restored = started(paths), started(paths)
    exchange.advance(T0 + 60_500)
    restore_exchange(restored, exchange_document(exchange))
    assert best(restored) == best(exchange) == ("98.9", "3.00", "99.3", "2.00")
    for other in (exchange, restored):
        other.advance(T0 + 61_000)
    assert best(restored) == best(exchange)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (quote(62, "x", "1", "99", "1"), "line 6, field best_bid_price: 'x' is not a decimal number"),
        (quote(62, "99.0", "1", "99.0", "1"), "line 6, field best_ask_price: '99.0' is not above the best bid 99.0"),
        (quote(62, "98.05", "1", "99.0", "1"), "line 6, field best_bid_price: '98.05' is not a positive multiple"),
        (quote(62, "98.0", "0", "99.0", "1"), "line 6, field best_bid_qty: '0' is not a positive quantity"),
        (quote(62, "98.0", "1", "99.0", "-1"), "line 6, field best_ask_qty: '-1' is not a positive quantity"),
        (quote(59.9, "98.0", "1", "99.0", "1"), "line 6, field transaction_time: '1700000099900' is not at or after"),
        ("7,98.0,1,99.0,1,soon,1", "line 6, field transaction_time: 'soon' is not a time in milliseconds"),
        ("id,98.0,1,99.0,1,1700000102000,1", "line 6, field update_id: 'id' is not a whole number"),
        ("7,98.0,1,99.0,1", "line 6: 5 columns, bookTicker need 7"),
    ],
)
def test_a_bad_quote_names_file_line_field_and_value(tmp_path: Path, line: str, words: str) -> None:
    # The first rows are looked into for their decimals, so the bad price is beyond them by its own decimals alone.
    instrument = open_recording(files(tmp_path)).instrument
    paths = files(tmp_path, quotes=[*QUOTES, line])
    with pytest.raises(ConfigError) as caught:
        started(paths, instrument=instrument).advance(T0 + 600_000)
    assert str(caught.value).startswith(f"XYZUSDT-bookTicker-2024-01-15.zip, {words}")


def test_rows_that_say_nothing_new_are_passed_over(tmp_path: Path) -> None:
    late = [quote(60.5, "97.0", "1", "97.1", "1", number=1), quote(60.6, "0", "0", "99.3", "2", number=900)]
    exchange = started(files(tmp_path, quotes=[*QUOTES[:3], *late]))
    exchange.advance(T0 + 60_900)
    assert best(exchange) == ("98.9", "3.00", "99.3", "2.00"), "an older update, and a book with one side"


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["quotes"], r"nothing was traded in these files.*XYZUSDT-bookTicker.csv \(bookTicker\)"),
        (["depth"], r"nothing was traded in these files.*XYZUSDT-bookDepth.csv \(bookDepth\)"),
        (["klines", "quotes"], "bookTicker cannot go with klines: the way of the price inside a kline is not recorded"),
        (["frames", "quotes"], "bookTicker cannot go with frames: the messages hold the quotes"),
        (["klines", "trades"], "different kinds"),
        (["frames", "trades"], "different kinds"),
    ],
)
def test_kinds_that_do_not_belong_together_are_refused(tmp_path: Path, names: list[str], words: str) -> None:
    made = {
        "quotes": lambda: written(tmp_path, "XYZUSDT-bookTicker.csv", QUOTES),
        "depth": lambda: written(tmp_path, "XYZUSDT-bookDepth.csv", DEPTH),
        "klines": lambda: written(tmp_path, "XYZUSDT-1m.csv", [f"{T0},1.0,1.1,0.9,1.0,5"]),
        "trades": lambda: written(tmp_path, "XYZUSDT-trades.csv", TRADES),
        "frames": lambda: written(tmp_path, "XYZUSDT-wire.jsonl", FRAMES),
    }
    with pytest.raises(ConfigError, match=words):
        open_recording([made[name]() for name in names])


# Depth by distance ----------------------------------------------------------------------------------------------------

DEPTH = [
    f"2023-11-14 22:14:{second:02d},{percentage},{depth},1"
    for second, factor in ((0, 1), (30, 2))
    for percentage, depth in ((-2, 900 * factor), (-1, 400 * factor), (1, 300 * factor), (2, 500 * factor))
]
DEPTH_HEADER = "timestamp,percentage,depth,notional"


def side_total(exchange: PaperExchange, side: str, from_price: float, to_price: float) -> float:
    market = next(iter(exchange.desks.values())).market
    total = 0
    for ticks in range(round(from_price * 10), round(to_price * 10)):
        total += market.level_lots(Side(side), ticks)
    return total / 100


def test_depth_by_distance_is_spread_over_the_prices_behind_the_best(tmp_path: Path) -> None:
    paths = [
        written(tmp_path, "XYZUSDT-trades.csv", [trade(second, "1000.1", "0.25") for second in range(60)]),
        written(tmp_path, "XYZUSDT-bookDepth.csv", [DEPTH_HEADER, *DEPTH]),
    ]
    exchange = started(paths)
    exchange.advance(T0 + 10_000)
    assert side_total(exchange, "BUY", 990.1, 1000.1) == pytest.approx(400, rel=0.15)
    assert side_total(exchange, "BUY", 980.1, 1000.1) == pytest.approx(900, rel=0.15)
    assert side_total(exchange, "SELL", 1000.3, 1010.3) == pytest.approx(300, rel=0.2)
    assert side_total(exchange, "BUY", 900.0, 979.0) == 0, "beyond the farthest distance nothing is known"
    body = exchange.depth(SYMBOL | {"limit": "100"}, exchange.now_ms)
    assert len(body["bids"]) == len(body["asks"]) == 100
    exchange.advance(T0 + 31_000)
    assert side_total(exchange, "BUY", 980.1, 1000.1) == pytest.approx(1_800, rel=0.15)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2023-11-14 22:15,1,1,1", "field timestamp: '2023-11-14 22:15' is not a time as YYYY-MM-DD hh:mm:ss"),
        ("2023-11-14 22:13:00,1,1,1", "field timestamp: '2023-11-14 22:13:00' is not at or after"),
        ("2023-11-14 22:15:00,0,1,1", "field percentage: '0' is not a distance"),
        ("2023-11-14 22:15:00,100,1,1", "field percentage: '100' is not a distance"),
        ("2023-11-14 22:15:00,1,-4,1", "field depth: '-4' is not zero or more"),
        ("2023-11-14 22:15:00,1,1", "3 columns, bookDepth need 4"),
    ],
)
def test_a_bad_row_of_depth_names_its_place(tmp_path: Path, line: str, words: str) -> None:
    paths = [
        written(tmp_path, "XYZUSDT-trades.csv", TRADES),
        written(tmp_path, "XYZUSDT-bookDepth.csv", [DEPTH_HEADER, *DEPTH, line]),
    ]
    with pytest.raises(ConfigError) as caught:
        started(paths).advance(T0 + 600_000)
    assert "XYZUSDT-bookDepth.csv, line 10" in str(caught.value)
    assert words in str(caught.value)


# Stream messages ------------------------------------------------------------------------------------------------------


def frame(second: float, stream: str, **event: Any) -> str:
    received_ns = (T0 + int(second * 1000) - 1_270) * 1_000_000
    times = {"E": T0 + int(second * 1000), "T": T0 + int(second * 1000), "s": "XYZUSDT"}
    return f"{received_ns} " + json.dumps({"stream": f"xyzusdt@{stream}", "data": {**times, **event}})


def depth_frame(second: float, first: int, last: int, previous: int, bids: Any = (), asks: Any = ()) -> str:
    return frame(second, "depth@100ms", e="depthUpdate", U=first, u=last, pu=previous, b=list(bids), a=list(asks))


def quote_frame(second: float, number: int, bid: list[str], ask: list[str]) -> str:
    return frame(second, "bookTicker", e="bookTicker", u=number, b=bid[0], B=bid[1], a=ask[0], A=ask[1])


def trade_frame(second: float, price: str, quantity: str = "1.25") -> str:
    return frame(second, "trade", e="trade", t=int(second * 10), p=price, q=quantity, X="MARKET", m=True)


SNAPSHOT = json.dumps(
    {
        "lastUpdateId": 12,
        "bids": [["100.0", "5.00"], ["99.7", "2.00"], ["90.0", "8.005"]],
        "asks": [["100.1", "7.00"], ["100.4", "1.00"]],
    }
)
FRAMES = [
    depth_frame(0, 5, 9, 4, bids=[["100.0", "4.00"]]),
    trade_frame(0, "100.0"),
    depth_frame(0.1, 10, 13, 9, bids=[["99.9", "3.00"]]),
    f"{(T0 + 100 - 1_270) * 1_000_000} {SNAPSHOT}",
    quote_frame(0.2, 13, ["100.0", "5.00"], ["100.1", "7.00"]),
    depth_frame(60, 14, 20, 13, bids=[["100.0", "0.00"], ["99.9", "2.50"]], asks=[["100.2", "1.25"]]),
    quote_frame(61, 22, ["99.9", "1.50"], ["100.2", "1.25"]),
    trade_frame(61, "99.9"),
    frame(62, "markPrice", e="markPriceUpdate", p="1"),
    depth_frame(62, 30, 33, 28, bids=[["99.9", "9.00"]]),
    trade_frame(63, "99.9"),
]


def depth_of(exchange: PaperExchange) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
    body = exchange.depth(SYMBOL | {"limit": "1000"}, exchange.now_ms)
    return numbers(body["bids"]), numbers(body["asks"])


def D(*rows: tuple[str, str]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(price), Decimal(quantity)) for price, quantity in rows]


@pytest.mark.parametrize("name", ["XYZUSDT-wire.jsonl", "XYZUSDT-wire.gz", "XYZUSDT-wire.jsonl.gz"])
def test_recorded_messages_are_served_with_the_recorded_book(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    text = ("\n".join(FRAMES) + "\n").encode()
    path.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    exchange = started([path])
    exchange.advance(T0 + 1_000)
    bids, asks = depth_of(exchange)
    # Strangers' 8.005 is more than 800 lots of 0.01: a level is rounded up, never away.
    assert bids == D(("100.0", "5.00"), ("99.9", "3.00"), ("99.7", "2.00"), ("90.0", "8.01"))
    assert asks == D(("100.1", "7.00"), ("100.4", "1.00"))
    exchange.advance(T0 + 60_000)
    bids, asks = depth_of(exchange)
    assert bids == D(("99.9", "2.50"), ("99.7", "2.00"), ("90.0", "8.01"))
    assert asks == D(("100.1", "7.00"), ("100.2", "1.25"), ("100.4", "1.00"))
    exchange.advance(T0 + 61_000)
    bids, asks = depth_of(exchange)
    assert (bids[0], asks[0]) == (*D(("99.9", "1.50")), *D(("100.2", "1.25"))), "the quote is newer than the depth"
    assert len(asks) == 2, "what lies inside the newer quote is gone"


def test_levels_far_apart_are_all_found(tmp_path: Path) -> None:
    exchange = started([written(tmp_path, "XYZUSDT-wire.jsonl", FRAMES)])
    exchange.advance(T0 + 1_000)
    body = exchange.depth(SYMBOL | {"limit": "5"}, exchange.now_ms)
    assert [price for price, _ in body["bids"]] == ["100.0", "99.9", "99.7", "90.0"]


def test_what_came_before_the_first_price_is_part_of_the_book(tmp_path: Path) -> None:
    lines = [FRAMES[0], *FRAMES[2:4], trade_frame(0.2, "100.0"), trade_frame(2, "100.0")]
    exchange = build_exchange(start_ms=0, market_files=[written(tmp_path, "XYZUSDT-wire.jsonl", lines)])
    exchange.advance(T0 + 1_500)
    assert depth_of(exchange)[0] == D(("100.0", "5.00"), ("99.9", "3.00"), ("99.7", "2.00"), ("90.0", "8.01"))


def test_depth_older_than_the_quote_does_not_turn_it_back(tmp_path: Path) -> None:
    ahead = quote_frame(30, 40, ["99.7", "1.00"], ["100.4", "0.50"])
    exchange = started(
        [written(tmp_path, "XYZUSDT-wire.jsonl", [*FRAMES[:5], ahead, FRAMES[5], trade_frame(63, "99.7")])]
    )
    exchange.advance(T0 + 60_500)
    assert best(exchange) == ("99.7", "1.00", "100.4", "0.50")


@pytest.mark.parametrize("side", [["0.0", "0.00"], ["99.9", "0.00"]])
def test_a_quote_with_an_empty_side_keeps_the_one_before(tmp_path: Path, side: list[str]) -> None:
    empty = quote_frame(30, 40, side, ["100.1", "7.00"])
    exchange = started([written(tmp_path, "XYZUSDT-wire.jsonl", [*FRAMES[:5], empty, trade_frame(63, "99.7")])])
    exchange.advance(T0 + 31_000)
    assert best(exchange) == ("100.0", "5.00", "100.1", "7.00")


def test_a_gap_in_the_depth_is_not_papered_over(tmp_path: Path) -> None:
    exchange = started([written(tmp_path, "XYZUSDT-wire.jsonl", FRAMES)])
    exchange.advance(T0 + 63_000)
    bids, _ = depth_of(exchange)
    assert bids[0] == (Decimal("99.9"), Decimal("1.50")), "the last quote stands"
    assert bids[1][0] == Decimal("99.8"), "behind it the usual shape, not levels that may be gone"


def test_quotes_without_a_time_are_placed_by_their_arrival(tmp_path: Path) -> None:
    timeless = quote_frame(30, 15, ["99.5", "5.00"], ["100.0", "7.00"])
    head, body = timeless.split(" ", 1)
    message = json.loads(body)
    for name in ("e", "E", "T"):
        del message["data"][name]
    lines = [*FRAMES[:5], f"{head} {json.dumps(message)}", FRAMES[-1]]
    market = replay_market(open_recording([written(tmp_path, "XYZUSDT-wire.jsonl", lines)]), history_minutes=0)
    times = []
    while market.next_time_ms() is not None:
        times.append(market.step().time_ms - T0)
    assert times == [0, 100, 200, 30_000, 63_000]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("what is this", "line 12: 'what is this' is not a stream message"),
        ("{broken", "line 12: WebSocket frame: JSON is malformed"),
        (trade_frame(70, "x"), "line 12: trade: Invalid decimal string - at `$.p`"),
        (trade_frame(70, "99.95"), "line 12: trade 700: XYZUSDT price 99.95 is not a whole multiple of 0.1"),
        (quote_frame(70, 50, ["5.0", "1"], ["5.0", "1"]), "line 12: bookTicker 50: the bid is not below the ask"),
        (trade_frame(70, "1.0").replace("XYZUSDT", "ABCUSDT"), "line 12: a message of another symbol than XYZUSDT"),
    ],
)
def test_a_bad_message_names_file_and_line(tmp_path: Path, line: str, words: str) -> None:
    good = written(tmp_path, "XYZUSDT-good.jsonl", FRAMES)
    instrument = open_recording([good]).instrument
    path = written(tmp_path, "XYZUSDT-wire.jsonl", [*FRAMES, line])
    with pytest.raises(ConfigError) as caught:
        started([path], instrument=instrument).advance(T0 + 600_000)
    assert str(caught.value).startswith(f"XYZUSDT-wire.jsonl, {words}")


def test_messages_without_a_trade_are_no_tape(tmp_path: Path) -> None:
    path = written(tmp_path, "XYZUSDT-wire.jsonl", [FRAMES[0], FRAMES[4]])
    with pytest.raises(ConfigError, match="there is no trade in its first 2 messages"):
        open_recording([path])


def test_an_order_meets_the_recorded_levels(tmp_path: Path) -> None:
    accounts = [AccountSpec(name="ann", balance_units=10**14)]
    exchange = started([written(tmp_path, "XYZUSDT-wire.jsonl", FRAMES)], accounts=accounts)
    exchange.advance(T0 + 1_000)
    params = SYMBOL | {"side": "SELL", "type": "LIMIT", "timeInForce": "IOC", "quantity": "9", "price": "99.7"}
    order = exchange.place_order("ann", params | {"newOrderRespType": "RESULT"}, exchange.now_ms)
    trades = exchange.user_trades("ann", SYMBOL, exchange.now_ms)
    assert [(row["price"], Decimal(row["qty"])) for row in trades] == [
        ("100.0", Decimal("5")), ("99.9", Decimal("3")), ("99.7", Decimal("1")),
    ]  # fmt: skip
    assert order["status"] == "FILLED"


WIRE = Path(__file__).parents[4] / "shared" / "data" / "wire"


@pytest.mark.recorded
@pytest.mark.skipif(not WIRE.exists(), reason="recorded frames are not part of the repository")
def test_the_end_of_a_recording_is_served_level_by_level(tmp_path: Path) -> None:
    """A hundred levels of each side equal those of the messages, put together here by hand."""
    with gzip.open(WIRE / "usdm_ethusdt_20240808.gz", "rt") as lines:
        frames = [next(lines) for _ in range(6_000)]
    while "depthUpdate" not in frames[-1]:
        del frames[-1]
    path = written(tmp_path, "ETHUSDT-wire.jsonl", [line.strip() for line in frames])
    exchange = build_exchange(start_ms=0, market_files=[path])
    events = [message.get("data", message) for message in (json.loads(line[line.index("{") :]) for line in frames)]
    (snapshot,) = (event for event in events if "lastUpdateId" in event)
    sides = {"b": dict(numbers(snapshot["bids"])), "a": dict(numbers(snapshot["asks"]))}
    for event in events:
        if event.get("e") == "depthUpdate" and event["u"] >= snapshot["lastUpdateId"]:
            for side in "ba":
                sides[side].update(numbers(event[side]))
    exchange.advance(events[-1]["T"])
    assert exchange.ended
    body = exchange.depth({"symbol": "ETHUSDT", "limit": "100"}, exchange.now_ms)
    for side, name, direction in (("b", "bids", -1), ("a", "asks", 1)):
        levels = sorted(
            ((price, lots) for price, lots in sides[side].items() if lots), key=lambda row: direction * row[0]
        )
        assert numbers(body[name]) == levels[:100]

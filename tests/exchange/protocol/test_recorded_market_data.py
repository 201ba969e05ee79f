"""Every recorded market frame goes through the parsers with nothing lost; the book built from them is the real one."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.exchange.protocol.test_messages import instrument
from trio_grid.domain.events import Side
from trio_grid.domain.instrument import Instrument
from trio_grid.exchange.protocol.market_messages import (
    BookQuote,
    MarketData,
    PublicTrade,
    parse_market_data,
)
from trio_grid.exchange.protocol.messages import Ignored, parse_book_ticker
from trio_grid.exchange.protocol.order_book import BookSnapshot, BookState, BookUpdate, OrderBook

WIRE = Path(__file__).parents[4] / "shared" / "data" / "wire"

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif(not WIRE.exists(), reason="recorded frames are not part of the repository"),
]

COMPARED_DEPTH = 25
"""Every so many depth messages are compared level by level; the book's equality speaks for the others."""
COMPARED_QUOTES = 1


@attrs.frozen
class Recording:
    """One symbol's files, one after the other, and what is in them."""

    name: str
    market: Instrument
    events: dict[str, int]
    compared: int
    transient: int = 0

    def frames(self) -> Iterator[str]:
        for path in sorted(WIRE.glob(f"{self.name}_*.gz")):
            with gzip.open(path, "rt") as lines:
                for line in lines:
                    yield line[line.index("{") :]


def recording(name: str, tick: str, lot: str, counts: tuple[int, int, int, int], *rest: int) -> Recording:
    kinds = ("BookQuote", "PublicTrade", "BookUpdate", "BookSnapshot")
    symbol = name.split("_")[1].upper()
    market = instrument(symbol, tick=tick, lot=lot, margin="USDT")
    return Recording(name, market, dict(zip(kinds, counts, strict=True)), *rest)


RECORDINGS = [
    recording("usdm_btcusdt", "0.1", "0.001", (66_089, 21_313, 6_551, 1), 6_545),
    recording("usdm_ethusdt", "0.01", "0.001", (53_992, 14_076, 6_586, 1), 6_579),
    # In two moments of a fast sweep spot's bookTicker leaves out a state that a depth message happens to end with.
    recording("spot_btcusdt", "0.01", "0.00001", (73_174, 19_904, 6_495, 1), 6_492, 2),
    recording("spot_ethusdt", "0.01", "0.0001", (58_758, 14_515, 6_470, 1), 6_468),
]


def event_in(frame: str) -> dict[str, Any]:
    message = json.loads(frame)
    event: dict[str, Any] = message.get("data", message)
    return event


def assert_same_levels(market: Instrument, levels: Any, raw: list[list[str]]) -> None:
    assert [(market.price(price), Decimal(units).scaleb(-8)) for price, units in levels] == [
        (Decimal(price), Decimal(quantity)) for price, quantity in raw
    ]


def assert_nothing_lost(market: Instrument, found: MarketData, raw: dict[str, Any]) -> None:
    if isinstance(found, BookQuote):
        assert (found.update_id, found.time_ms) == (raw["u"], raw.get("T"))
        assert (market.price(found.bid_ticks), market.price(found.ask_ticks)) == (Decimal(raw["b"]), Decimal(raw["a"]))
        assert (Decimal(found.bid_units).scaleb(-8), Decimal(found.ask_units).scaleb(-8)) == (
            Decimal(raw["B"]),
            Decimal(raw["A"]),
        )
    elif isinstance(found, PublicTrade):
        assert (found.trade_id, found.time_ms, found.buyer_is_maker) == (raw["t"], raw["T"], raw["m"])
        assert market.price(found.price_ticks) == Decimal(raw["p"])
        assert Decimal(found.quantity_units).scaleb(-8) == Decimal(raw["q"])
    elif isinstance(found, BookUpdate):
        assert (found.first_id, found.last_id, found.previous_id) == (raw["U"], raw["u"], raw.get("pu"))
        assert found.time_ms == raw.get("T", raw["E"])
        assert_same_levels(market, found.bids, raw["b"])
        assert_same_levels(market, found.asks, raw["a"])
    else:
        assert (found.last_id, found.time_ms) == (raw["lastUpdateId"], raw.get("T"))
        assert_same_levels(market, found.bids, raw["bids"])
        assert_same_levels(market, found.asks, raw["asks"])


def is_compared(found: MarketData, number: int) -> bool:
    if isinstance(found, BookUpdate):
        return number % COMPARED_DEPTH == 0
    return not isinstance(found, BookQuote) or number % COMPARED_QUOTES == 0


@pytest.mark.slow
@pytest.mark.parametrize("recorded", RECORDINGS, ids=lambda recorded: recorded.name)
def test_every_frame_is_read_and_the_book_built_from_them_shows_the_recorded_best_prices(recorded: Recording) -> None:
    """After each depth message the book's best equals the newest quote that is not newer than the message."""
    ignored: Ignored = Counter()
    kinds: Counter[str] = Counter()
    book, market = OrderBook(), recorded.market
    quotes: list[BookQuote] = []
    checks: list[tuple[int, tuple[int, int], tuple[int, int]]] = []
    for frame in recorded.frames():
        found = parse_market_data(frame, market, ignored)
        assert found is not None
        kind = type(found).__name__
        kinds[kind] += 1
        if is_compared(found, kinds[kind]):
            assert_nothing_lost(market, found, event_in(frame))
        if isinstance(found, BookQuote):
            quotes.append(found)
        elif isinstance(found, BookSnapshot):
            book.take_snapshot(found)
        elif isinstance(found, BookUpdate) and book.apply(found) is BookState.LIVE:
            bid, ask = book.best(Side.BUY), book.best(Side.SELL)
            assert bid is not None
            assert ask is not None
            checks.append((found.last_id, bid, ask))
    assert (kinds, ignored) == (recorded.events, {})
    assert (book.gaps, book.state) == (0, BookState.LIVE)
    assert compare(quotes, checks) == (recorded.compared, recorded.transient)


def compare(quotes: list[BookQuote], checks: list[tuple[int, tuple[int, int], tuple[int, int]]]) -> tuple[int, int]:
    """Return how many books were compared with the newest quote of their time, and how many differ from it."""
    place = differing = 0
    assert all(later.update_id > quote.update_id for quote, later in pairwise(quotes))
    for last_id, bid, ask in checks:
        while place < len(quotes) and quotes[place].update_id <= last_id:
            place += 1
        assert place, "a quote came before the first book"
        quote = quotes[place - 1]
        if (bid, ask) != ((quote.bid_ticks, quote.bid_units), (quote.ask_ticks, quote.ask_units)):
            differing += 1
    return len(checks), differing


@pytest.mark.parametrize("recorded", RECORDINGS[:2], ids=lambda recorded: recorded.name)
def test_the_bots_own_reader_of_tickers_loses_none_and_counts_the_rest(recorded: Recording) -> None:
    ignored: Ignored = Counter()
    read = 0
    for number, frame in enumerate(recorded.frames()):
        if number == 10_000:
            break
        found = parse_book_ticker(frame, recorded.market, ignored)
        if found is not None:
            read += 1
            raw = event_in(frame)
            assert recorded.market.price(found.bid_ticks) == Decimal(raw["b"])
            assert recorded.market.price(found.ask_ticks) == Decimal(raw["a"])
            assert found.time_ms == raw["T"]
    assert set(ignored) == {"event trade", "event depthUpdate", "event None"}
    assert read + sum(ignored.values()) == 10_000

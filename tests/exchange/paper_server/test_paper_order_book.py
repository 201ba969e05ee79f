"""The client's order book, kept from the paper exchange's own streams: its best prices are those of the book ticker."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import trio

from tests.exchange.paper.test_paper_replay import written
from tests.exchange.paper.test_paper_tapes import FRAMES, started
from tests.exchange.paper_server.raw_client import SYMBOL, RawSocket, raw_rest, raw_socket
from trio_grid.domain.events import Side
from trio_grid.domain.instrument import money_units
from trio_grid.exchange.paper.engine.exchange import AccountSpec
from trio_grid.exchange.paper.engine.symbols import default_instrument
from trio_grid.exchange.protocol.market_messages import BookQuote, parse_depth_snapshot, parse_market_data
from trio_grid.exchange.protocol.order_book import BookState, BookUpdate, OrderBook
from trio_grid.testing.instruments import BTCUSDT
from trio_grid.testing.memory_network import MemoryNetwork
from trio_grid.testing.paper import PaperHandle, open_paper_exchange

STREAMS = "/public/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker"


class Follower:
    """Keeps a book and the quotes; counts the comparisons of the two."""

    def __init__(self, socket: RawSocket) -> None:
        self._socket = socket
        self._quotes: list[BookQuote] = []
        self._known = 0
        self.book = OrderBook()
        self.compared = 0

    async def follow(self, depth_messages: int) -> None:
        """Read until so many depth messages have been taken.

        The quotes up to a depth message's version have come before it: both leave the server in order.
        """
        while depth_messages:
            frame = json.dumps(await self._socket.receive())
            found = parse_market_data(frame, BTCUSDT, Counter())
            if isinstance(found, BookQuote):
                self._quotes.append(found)
            elif isinstance(found, BookUpdate):
                depth_messages -= 1
                if self.book.apply(found) is BookState.LIVE:
                    self._compare(found.last_id)

    def _compare(self, last_id: int) -> None:
        quote = next((quote for quote in reversed(self._quotes) if quote.update_id <= last_id), None)
        if quote is not None:
            assert self.book.best(Side.BUY) == (quote.bid_ticks, quote.bid_units)
            assert self.book.best(Side.SELL) == (quote.ask_ticks, quote.ask_units)
            self.compared += 1


async def test_book_from_stream_and_snapshot_shows_the_exchanges_best_prices_and_an_order_of_ours(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest, raw_socket(paper_exchange, STREAMS) as socket:
        with trio.fail_after(60):
            follower = Follower(socket)
            await follower.follow(2)
            assert follower.book.state is BookState.NEEDS_SNAPSHOT
            body = json.dumps(await rest.get("/fapi/v1/depth", symbol=SYMBOL, limit=1000))
            assert follower.book.take_snapshot(parse_depth_snapshot(body, BTCUSDT)) is not BookState.NEEDS_SNAPSHOT
            await follower.follow(25)
            bid = follower.book.best(Side.BUY)
            assert bid is not None
            order = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "3.000"}
            placed = await rest.ask("POST", "/fapi/v1/order", **order, price=BTCUSDT.price(bid[0] - 400))
            await follower.follow(25)
            left = await rest.ask("GET", "/fapi/v1/order", symbol=SYMBOL, orderId=placed["orderId"])
    assert (follower.book.gaps, follower.book.state) == (0, BookState.LIVE)
    assert follower.compared > 40
    assert len(follower.book.levels(Side.BUY)) >= 100
    rest_of_it = Decimal(left["origQty"]) - Decimal(left["executedQty"])
    assert follower.book.units_at(Side.BUY, bid[0] - 400) > money_units(rest_of_it) > 0


async def test_a_lost_message_is_noticed_and_a_new_snapshot_mends_the_book(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest, raw_socket(paper_exchange, STREAMS) as socket:

        async def snapshot() -> None:
            body = json.dumps(await rest.get("/fapi/v1/depth", symbol=SYMBOL, limit=1000))
            follower.book.take_snapshot(parse_depth_snapshot(body, BTCUSDT))

        with trio.fail_after(60):
            follower = Follower(socket)
            await follower.follow(2)
            await snapshot()
            await follower.follow(5)
            assert follower.book.state is BookState.LIVE
            await socket.event("depthUpdate")
            await follower.follow(2)
            assert (follower.book.state, follower.book.gaps) == (BookState.NEEDS_SNAPSHOT, 1)
            await snapshot()
            await follower.follow(5)
            assert follower.book.state is BookState.LIVE
    assert follower.compared > 5


async def test_a_recorded_book_is_served_by_rest_and_stream_as_it_was(autojump_clock: object, tmp_path: Path) -> None:
    exchange = started([written(tmp_path, "XYZUSDT-wire.jsonl", FRAMES)], accounts=[AccountSpec(name="ann")])
    market = default_instrument("XYZUSDT", 1, 2)
    book, ignored = OrderBook(), Counter[str]()
    path = "/public/stream?streams=xyzusdt@depth@100ms"
    async with (
        open_paper_exchange(exchange, network=MemoryNetwork(), start_ms=exchange.start_ms) as handle,
        raw_rest(handle) as rest,
        raw_socket(handle, path) as socket,
    ):
        with trio.move_on_after(60.5):
            while True:
                found = parse_market_data(json.dumps(await socket.receive()), market, ignored)
                assert isinstance(found, BookUpdate)
                if book.apply(found) is BookState.NEEDS_SNAPSHOT:
                    body = json.dumps(await rest.get("/fapi/v1/depth", symbol="XYZUSDT", limit=1000))
                    book.take_snapshot(parse_depth_snapshot(body, market))
    assert (book.state, ignored) == (BookState.LIVE, {})
    assert book.levels(Side.BUY) == [(999, 250_000_000), (997, 200_000_000), (900, 801_000_000)]
    assert book.levels(Side.SELL) == [(1_001, 700_000_000), (1_002, 125_000_000), (1_004, 100_000_000)]

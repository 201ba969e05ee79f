"""The local order book: the sync rule of futures and of spot, gaps, late snapshots, and equality with the true book."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_grid.domain.events import Side
from trio_grid.exchange.protocol.order_book import BookSnapshot, BookState, BookUpdate, Levels, OrderBook

SNAPSHOT = BookSnapshot(last_id=100, bids=((50, 7), (49, 3)), asks=((51, 4), (53, 9)))


def update(first: int, last: int, previous: int | None = None, bids: Levels = (), asks: Levels = ()) -> BookUpdate:
    return BookUpdate(first_id=first, last_id=last, previous_id=previous, bids=bids, asks=asks, time_ms=1)


def shown(book: OrderBook) -> tuple[Any, ...]:
    return book.state, book.best(Side.BUY), book.best(Side.SELL)


def test_nothing_is_shown_before_a_snapshot() -> None:
    book = OrderBook()
    assert book.apply(update(1, 5, 0, bids=((50, 1),))) is BookState.NEEDS_SNAPSHOT
    assert shown(book) == (BookState.NEEDS_SNAPSHOT, None, None)
    assert (book.levels(Side.BUY), book.units_at(Side.BUY, 50)) == ([], 0)


def test_futures_rule_old_updates_are_dropped_and_the_first_contains_the_snapshot() -> None:
    book = OrderBook()
    for entry in (
        update(80, 90, 79, bids=((50, 999),)),
        update(91, 99, 90, bids=((48, 999),)),
        update(100, 104, 99, bids=((50, 0),)),
        update(105, 109, 104, asks=((51, 0), (52, 8))),
    ):
        book.apply(entry)
    assert book.take_snapshot(SNAPSHOT) is BookState.LIVE
    assert shown(book) == (BookState.LIVE, (49, 3), (52, 8))
    assert book.levels(Side.SELL) == [(52, 8), (53, 9)]
    assert book.levels(Side.SELL, 1) == [(52, 8)]
    assert (book.last_id, book.gaps, book.units_at(Side.BUY, 49)) == (109, 0, 3)


@pytest.mark.parametrize(
    ("first", "state"),
    [
        (update(101, 104, 100), BookState.LIVE),
        (update(95, 104, 94), BookState.LIVE),
        (update(98, 100, 97), BookState.LIVE),
        (update(90, 99, 89), BookState.JOINING),
        (update(102, 104, 101), BookState.NEEDS_SNAPSHOT),
        (update(101, 104), BookState.LIVE),
        (update(95, 104), BookState.LIVE),
        (update(98, 100), BookState.JOINING),
        (update(102, 104), BookState.NEEDS_SNAPSHOT),
    ],
)
def test_which_first_update_joins_a_snapshot(first: BookUpdate, state: BookState) -> None:
    """With `pu` (futures) it may end at the snapshot's id; without (spot) it must go beyond it."""
    book = OrderBook()
    assert book.take_snapshot(SNAPSHOT) is BookState.JOINING
    assert book.best(Side.BUY) == (50, 7), "a snapshot stands by itself"
    assert book.apply(first) is state
    assert (book.best(Side.BUY) is None) == (state is BookState.NEEDS_SNAPSHOT)


@pytest.mark.parametrize(
    ("entries", "gaps"),
    [
        ([update(100, 104, 99), update(105, 106, 104), update(107, 108, 106)], 0),
        ([update(100, 104, 99), update(110, 112, 104)], 0),
        ([update(100, 104, 99), update(105, 106, 103)], 1),
        ([update(100, 104, 99), update(106, 107, 105)], 1),
        ([update(100, 104), update(105, 106)], 0),
        ([update(100, 104), update(106, 107)], 1),
        ([update(100, 104), update(100, 104), update(90, 95)], 0),
    ],
)
def test_each_update_continues_the_one_before_or_the_book_asks_anew(entries: list[BookUpdate], gaps: int) -> None:
    book = OrderBook()
    book.take_snapshot(SNAPSHOT)
    for entry in entries:
        book.apply(entry)
    assert book.gaps == gaps
    assert (book.state is BookState.NEEDS_SNAPSHOT) == bool(gaps)


def test_after_a_gap_the_next_snapshot_goes_on_with_what_was_kept() -> None:
    book = OrderBook()
    book.take_snapshot(SNAPSHOT)
    book.apply(update(100, 104, 99))
    book.apply(update(110, 115, 108, bids=((47, 1),)))
    book.apply(update(116, 120, 115, bids=((46, 2),)))
    assert shown(book) == (BookState.NEEDS_SNAPSHOT, None, None)
    older = BookSnapshot(last_id=105, bids=((45, 1),), asks=((51, 1),))
    assert book.take_snapshot(older) is BookState.NEEDS_SNAPSHOT, "it does not reach what was kept"
    fresh = BookSnapshot(last_id=112, bids=((45, 1),), asks=((51, 1),))
    assert book.take_snapshot(fresh) is BookState.LIVE
    assert book.levels(Side.BUY) == [(47, 1), (46, 2), (45, 1)]
    assert book.gaps == 2
    assert repr(book) == "<OrderBook LIVE last_id=120 waiting=0 gaps=2>"


def test_an_older_snapshot_does_not_turn_a_live_book_back() -> None:
    book = OrderBook()
    book.take_snapshot(SNAPSHOT)
    book.apply(update(100, 104, 99, bids=((50, 0),)))
    assert book.take_snapshot(SNAPSHOT) is BookState.LIVE
    assert (book.best(Side.BUY), book.last_id) == ((49, 3), 104)


def test_sides_that_meet_are_a_book_that_cannot_be_right() -> None:
    book = OrderBook()
    book.take_snapshot(SNAPSHOT)
    assert book.apply(update(100, 104, 99, bids=((51, 1),))) is BookState.NEEDS_SNAPSHOT
    assert book.gaps == 1


def test_what_waits_for_a_snapshot_is_bounded() -> None:
    book = OrderBook(max_waiting=10)
    for number in range(1, 1_000):
        book.apply(update(number, number, number - 1))
    assert int(repr(book).split("waiting=")[1].split()[0]) <= 10
    assert book.take_snapshot(BookSnapshot(last_id=998, bids=((1, 1),), asks=((2, 1),))) is BookState.LIVE
    assert book.last_id == 999


CHANGES = st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.integers(0, 3)), min_size=3, max_size=60)


@given(changes=CHANGES, sizes=st.lists(st.integers(1, 6), min_size=1, max_size=12), data=st.data(), spot=st.booleans())
def test_any_stream_and_any_snapshot_give_the_true_book_or_ask_for_another(
    changes: list[tuple[bool, int, int]], sizes: list[int], data: st.DataObject, spot: bool
) -> None:
    """A true book changes one level at a time; the stream batches the changes, a message may get lost."""
    truth: list[dict[tuple[bool, int], int]] = [{}]
    for is_bid, distance, units in changes:
        level = (is_bid, 100 - distance if is_bid else 100 + distance)
        truth.append({**truth[-1], level: units})
    stream: list[BookUpdate] = []
    begin = 0
    while begin < len(changes):
        end = min(len(changes), begin + sizes[len(stream) % len(sizes)])
        touched = {(c[0], 100 - c[1] if c[0] else 100 + c[1]) for c in changes[begin:end]}
        sides = [
            tuple((price, truth[end][bid, price]) for bid, price in touched if bid is side) for side in (True, False)
        ]
        stream.append(update(begin + 1, end, None if spot else begin, bids=sides[0], asks=sides[1]))
        begin = end
    taken_at, known = data.draw(st.integers(0, len(stream))), data.draw(st.integers(0, len(changes)))
    lost = data.draw(st.none() | st.integers(0, len(stream) - 1))

    def levels(at: int, is_bid: bool) -> Levels:
        return tuple((price, units) for (bid, price), units in truth[at].items() if bid is is_bid and units)

    book = OrderBook()
    for number, entry in enumerate([*stream, None]):
        if number == taken_at:
            book.take_snapshot(BookSnapshot(last_id=known, bids=levels(known, True), asks=levels(known, False)))
        if entry is None or number == lost:
            continue
        book.apply(entry)
        if book.state is BookState.LIVE:
            for side, is_bid in ((Side.BUY, True), (Side.SELL, False)):
                assert sorted(book.levels(side)) == sorted(levels(book.last_id, is_bid))
                best = (max if is_bid else min)(levels(book.last_id, is_bid), default=None)
                assert book.best(side) == best
    missed = (
        lost is not None and stream[lost].last_id > known and any(e.first_id > stream[lost].last_id for e in stream)
    )
    if missed:
        assert book.state is not BookState.LIVE or book.last_id < len(changes), "a lost message was not noticed"

"""The slot book: who occupies a cell, also when late trades have made cells overlap."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import example, given
from hypothesis import strategies as st

from tests.domain.grid_bench import BOT, LEVEL_LOTS, Bench, placed, reading, rung_price, settings
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.client_order_id import OrderIdParts, encode
from trio_grid.domain.events import Side
from trio_grid.domain.inputs import Condition, ConditionChanged
from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.domain.slot import InventorySlot, OrderStatus, Use
from trio_grid.domain.slot_book import ExitKind, SlotBook


def held(rung: int, stride: int) -> InventorySlot:
    return InventorySlot(
        rung=rung,
        stride=stride,
        use=Use.LONG,
        open_price_ticks=PriceTicks(rung_price(rung)),
        exit_price_ticks=PriceTicks(rung_price(rung + stride)),
        inventory_lots=1,
    )


def book_of(cells: Iterable[tuple[int, int]]) -> SlotBook:
    book = SlotBook(lambda slot: ExitKind.PLAIN)
    for rung, stride in cells:
        book.put(rung, held(rung, stride))
    return book


@example(cells={0: 6, 1: 1}, gone=set(), rung=3, stride=1)
@given(
    cells=st.dictionaries(st.integers(-12, 12), st.integers(1, 6), max_size=8),
    gone=st.sets(st.integers(-12, 12), max_size=4),
    rung=st.integers(-14, 14),
    stride=st.integers(1, 4),
)
def test_an_overlap_is_found_whatever_the_cells(cells: dict[int, int], gone: set[int], rung: int, stride: int) -> None:
    book = book_of(cells.items())
    for empty in gone & set(cells):
        book.put(empty, None)
        del cells[empty]
    overlapping = {other for other, width in cells.items() if other < rung + stride and other + width > rung}
    occupant = book.occupant(rung, stride)
    assert (occupant is None) is (not overlapping)
    assert occupant is None or occupant.rung in overlapping
    assert book.overlaps(rung, stride) is bool(overlapping)


@given(cells=st.dictionaries(st.integers(-12, 12), st.integers(1, 6), max_size=8))
def test_taking_everything_out_leaves_nothing_behind(cells: dict[int, int]) -> None:
    book = book_of(cells.items())
    for rung in cells:
        book.put(rung, None)
    assert len(book) == 0
    assert not any(book.sums.values())
    assert list(book.occupied) == []
    assert book.occupant(0, 100) is None


def test_a_late_trade_of_a_wider_cell_keeps_the_cells_under_it_closed() -> None:
    """A cell of stride 3 is filled late, when its rungs are used one by one: none of them is opened beside it."""
    bench = Bench(settings(levels_below=6))
    bench.ladder()
    bench.tell(ConditionChanged(condition=Condition.PAUSED, active=True))
    bench.settle()
    late = PlaceOrder(
        client_order_id=encode(OrderIdParts(bot=BOT, session=1, generation=99, role="o", rung=-6, stride=3)),
        side=Side.BUY,
        quantity_lots=QuantityLots(LEVEL_LOTS),
        price_ticks=PriceTicks(rung_price(-6)),
        post_only=True,
        reduce_only=False,
    )
    bench.exchange.accept(late)
    bench.tell(bench.exchange.fill(late.client_order_id))
    bench.settle()
    narrow = encode(OrderIdParts(bot=BOT, session=1, generation=98, role="o", rung=-5, stride=1))
    bench.exchange.accept(
        PlaceOrder(
            client_order_id=narrow,
            side=Side.BUY,
            quantity_lots=QuantityLots(1),
            price_ticks=PriceTicks(rung_price(-5)),
            post_only=True,
            reduce_only=False,
        )
    )
    bench.tell(bench.exchange.fill(narrow))
    bench.settle()
    opened = placed(
        bench.tell(ConditionChanged(condition=Condition.PAUSED, active=False), reading(size_factor_milli=999))
    )
    assert set(opened) == {-1, -2, -3}, "-4 lies under the wide cell, although a narrow one begins above it"
    assert bench.status(-6) is OrderStatus.LOCKED
    bench.check_books()

"""The grid's life in one piece: a ladder, a fill, its closing, a round trip."""

from __future__ import annotations

import pytest

from tests.domain.grid_bench import ANCHOR, LEVEL_LOTS, Bench, placed, rung_price, settings
from trio_grid.domain.events import Side
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.settings import Mode
from trio_grid.domain.slot import OrderStatus, Role


def test_nothing_is_placed_before_price_reading_and_reconciliation() -> None:
    bench = Bench()
    assert bench.price(ANCHOR) == []
    assert bench.all_actions == []


@pytest.mark.parametrize(
    ("mode", "rungs"),
    [(Mode.LONG, {-1, -2, -3}), (Mode.SHORT, {0, 1, 2}), (Mode.NEUTRAL, {-1, -2, -3, 0, 1, 2})],
)
def test_a_ladder_is_built_on_the_sides_of_its_mode(mode: Mode, rungs: set[int]) -> None:
    bench = Bench(settings(mode))
    orders = placed(bench.open_door())
    assert set(orders) == rungs
    for rung, order in orders.items():
        assert order.post_only
        assert not order.reduce_only
        assert order.quantity_lots == LEVEL_LOTS
        assert order.side is (Side.BUY if rung < 0 else Side.SELL)
        assert order.price_ticks == rung_price(rung if rung < 0 else rung + 1)


def test_a_fill_gets_its_closing_and_the_closing_makes_a_round_trip() -> None:
    bench = Bench()
    bench.ladder()
    bench.price(rung_price(-1))
    closing = placed(bench.fill(-1))[-1]
    assert (closing.side, closing.price_ticks, closing.quantity_lots) == (Side.SELL, rung_price(0), LEVEL_LOTS)
    assert closing.reduce_only
    assert not closing.post_only
    bench.settle()
    assert bench.status(-1) is OrderStatus.LOCKED
    assert bench.resting(Role.CLOSE) == {-1: rung_price(0)}

    bench.price(rung_price(0))
    bench.fill(-1)
    ledger = bench.state.grid.fields.ledger
    assert ledger.round_trips == 1
    assert ledger.slot_realized_ticks_lots == LEVEL_LOTS * (rung_price(0) - rung_price(-1))
    assert bench.state.grid.net_lots == 0
    bench.settle()
    assert bench.status(-1) is OrderStatus.LOCKED, "the cell opens again"
    bench.check_books()


def test_an_image_restores_the_state_exactly() -> None:
    bench = Bench(settings(Mode.NEUTRAL))
    bench.ladder()
    bench.fill(-1, 3)
    image = bench.state.image()
    assert GridState.from_image(image).image() == image

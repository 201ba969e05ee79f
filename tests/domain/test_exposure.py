"""Worst-case exposure (F4): everything in flight counts, and a reduce-only order stops at zero."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_grid.domain.risk import Exposure
from trio_grid.domain.slot import Use


@pytest.mark.parametrize(
    ("position", "buys", "sells", "ro_buys", "ro_sells", "long", "short"),
    [
        (0, 0, 0, 0, 0, 0, 0),
        (5, 0, 0, 0, 0, 5, -5),
        (5, 3, 0, 0, 0, 8, -5),
        (5, 0, 3, 0, 0, 5, -2),
        (5, 0, 3, 0, 5, 5, 3),
        # A reduce-only SELL beyond the position does not open a short.
        (5, 0, 0, 0, 9, 5, 0),
        # A reduce-only BUY while long cannot add to it.
        (5, 0, 0, 4, 0, 5, -5),
        (-5, 0, 0, 9, 0, 0, 5),
        (-5, 2, 4, 3, 0, 0, 9),
    ],
)
def test_worst_cases(position: int, buys: int, sells: int, ro_buys: int, ro_sells: int, long: int, short: int) -> None:
    exposure = Exposure(
        position_lots=position,
        buy_lots=buys,
        sell_lots=sells,
        reduce_only_buy_lots=ro_buys,
        reduce_only_sell_lots=ro_sells,
    )
    assert exposure.worst_long_lots == exposure.worst_lots(Use.LONG) == long
    assert exposure.worst_short_lots == exposure.worst_lots(Use.SHORT) == short


@given(
    position=st.integers(-20, 20),
    orders=st.lists(
        st.tuples(st.sampled_from([1, -1]), st.integers(1, 10), st.booleans(), st.integers(0, 10)), max_size=8
    ),
    data=st.data(),
)
def test_no_order_of_fills_passes_the_worst_case(
    position: int, orders: list[tuple[int, int, bool, int]], data: st.DataObject
) -> None:
    """Fill any of the orders, in any order, wholly or in part: the position stays within the worst cases."""
    exposure = Exposure(
        position_lots=position,
        buy_lots=sum(lots for sign, lots, reduce_only, _ in orders if sign > 0 and not reduce_only),
        sell_lots=sum(lots for sign, lots, reduce_only, _ in orders if sign < 0 and not reduce_only),
        reduce_only_buy_lots=sum(lots for sign, lots, reduce_only, _ in orders if sign > 0 and reduce_only),
        reduce_only_sell_lots=sum(lots for sign, lots, reduce_only, _ in orders if sign < 0 and reduce_only),
    )
    for sign, lots, reduce_only, part in data.draw(st.permutations(orders)):
        executed = min(lots, part)
        if reduce_only:
            executed = min(executed, max(0, -sign * position))
        position += sign * executed
        assert position <= exposure.worst_long_lots
        assert -position <= exposure.worst_short_lots

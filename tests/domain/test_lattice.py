"""The lattice: exact prices, an exact inverse without scanning, and cells that are worth opening."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trio_grid.domain import lattice as lattice_module
from trio_grid.domain.client_order_id import MAX_RUNG, MAX_STRIDE
from trio_grid.domain.instrument import RATE_SCALE, PriceTicks
from trio_grid.domain.lattice import Lattice, ratio_for_range
from trio_grid.domain.settings import LatticeSettings, Spacing

ANCHOR = 600_000


def arithmetic(
    interval: int,
    divisor: int = 1,
    anchor: int = ANCHOR,
    lowest_rung: int | None = None,
    highest_rung: int | None = None,
) -> Lattice:
    shape = LatticeSettings(
        spacing=Spacing.ARITHMETIC,
        interval_ticks=interval,
        interval_divisor=divisor,
        lowest_rung=lowest_rung,
        highest_rung=highest_rung,
    )
    return Lattice(shape, anchor)


def geometric(
    ratio_ppm: int, anchor: int = ANCHOR, lowest_rung: int | None = None, highest_rung: int | None = None
) -> Lattice:
    shape = LatticeSettings(
        spacing=Spacing.GEOMETRIC, ratio_ppm=ratio_ppm, lowest_rung=lowest_rung, highest_rung=highest_rung
    )
    return Lattice(shape, anchor)


arithmetics = st.builds(arithmetic, st.integers(1, 5_000), st.integers(1, 40), st.integers(1, 1_000_000))
geometrics = st.builds(geometric, st.integers(100, 50_000), st.integers(1, 1_000_000))
lattices = st.one_of(arithmetics, geometrics)


def exact(lattice: Lattice, rung: int) -> Fraction:
    """The real price of a rung, from the settings' own formula."""
    shape = lattice.settings
    if shape.spacing is Spacing.ARITHMETIC:
        return lattice.anchor_ticks + Fraction(rung * shape.interval_ticks, shape.interval_divisor)
    return lattice.anchor_ticks * Fraction(1_000_000 + shape.ratio_ppm, 1_000_000) ** rung


@settings(deadline=None)
@given(lattices, st.integers(-300, 300))
def test_a_price_is_the_exact_one_rounded_once_towards_the_anchor(lattice: Lattice, rung: int) -> None:
    rounded = math.floor if rung >= 0 else math.ceil
    assert lattice.price(rung) == rounded(exact(lattice, rung))


@settings(deadline=None)
@given(lattices, st.integers(-400, 400))
def test_prices_never_fall_as_the_rung_rises(lattice: Lattice, rung: int) -> None:
    assert lattice.price(rung) <= lattice.price(rung + 1)
    assert lattice.price(0) == lattice.anchor_ticks


def test_a_geometric_price_depends_on_the_rung_alone() -> None:
    upwards, downwards = geometric(2_137), geometric(2_137)
    rungs = range(-1_500, 1_501)
    assert [upwards.price(rung) for rung in rungs] == [downwards.price(rung) for rung in reversed(rungs)][::-1]


def test_known_prices() -> None:
    assert [geometric(10_000, 1_000).price(k) for k in (-2, -1, 0, 1, 2, 70)] == [981, 991, 1_000, 1_010, 1_020, 2_006]
    assert [arithmetic(10, 3, 100).price(k) for k in (-4, -2, -1, 0, 1, 2, 3)] == [87, 94, 97, 100, 103, 106, 110]


def test_the_cache_is_bounded_and_forgetting_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lattice_module, "CACHED_PRICES", 64)
    lattice = geometric(1_000)
    first = [lattice.price(rung) for rung in range(1_000)]
    assert lattice._cached_price.cache_info().currsize == 64
    assert [lattice.price(rung) for rung in range(1_000)] == first


@settings(deadline=None)
@given(lattices, st.integers(-200, 200), st.integers(-3, 3))
def test_rung_at_or_below_inverts_prices(lattice: Lattice, rung: int, half_ticks_off: int) -> None:
    half_ticks = max(2, 2 * lattice.price(rung) + half_ticks_off)
    found = lattice.rung_at_or_below(half_ticks)
    assert 2 * lattice.price(found) <= half_ticks < 2 * lattice.price(found + 1)


@settings(deadline=None)
@given(lattices, st.integers(10, 30_000))
@example(geometric(50_000, 1), 1)
@example(arithmetic(1, 40, 1), 1)
def test_rung_at_or_below_any_price_or_clamped(lattice: Lattice, thousandths: int) -> None:
    half_ticks = max(2, 2 * lattice.anchor_ticks * thousandths // 1_000)
    found = lattice.rung_at_or_below(half_ticks)
    assert 2 * lattice.price(found) <= half_ticks or found == -MAX_RUNG
    assert half_ticks < 2 * lattice.price(found + 1) or found == MAX_RUNG


def test_rungs_that_lie_exactly_on_a_tick_are_told_from_their_neighbours() -> None:
    # Powers of 11/10 that are whole: where the fixed-point start is one step off and exact prices decide.
    upwards, downwards = geometric(100_000, 10**9), geometric(100_000, 11**9)
    for rung in range(1, 10):
        assert upwards.price(rung) * 10**rung == 10**9 * 11**rung
        assert upwards.rung_at_or_below(2 * upwards.price(rung)) == rung
        assert upwards.rung_at_or_below(2 * upwards.price(rung) - 1) == rung - 1
        assert downwards.price(-rung) * 11**rung == 11**9 * 10**rung
        assert downwards.rung_at_or_below(2 * downwards.price(-rung)) == -rung
        assert downwards.rung_at_or_below(2 * downwards.price(-rung) - 1) == -rung - 1


def test_on_a_plateau_the_highest_rung_is_found() -> None:
    slow = arithmetic(1, 4, 100)
    assert [slow.price(k) for k in range(-5, 9)] == [99, 99, 100, 100, 100, 100, 100, 100, 100, 101, 101, 101, 101, 102]
    assert [slow.rung_at_or_below(half) for half in (198, 199, 200, 201, 202)] == [-4, -4, 3, 3, 7]
    tiny = geometric(1_000, 3)
    assert [tiny.price(k) for k in (0, -1, -405, -406, -1_099, -1_100, -9_999)] == [3, 3, 3, 2, 2, 1, 1]
    assert tiny.rung_at_or_below(4) == max(k for k in range(-900, 0) if tiny.price(k) == 2)
    assert tiny.rung_at_or_below(2) == max(k for k in range(-1_500, 0) if tiny.price(k) == 1)


def test_below_one_tick_is_taken_as_one_tick() -> None:
    for lattice in (arithmetic(100), geometric(1_000)):
        assert lattice.rung_at_or_below(-7) == lattice.rung_at_or_below(0) == lattice.rung_at_or_below(2)


@pytest.mark.parametrize(
    "lattice",
    [arithmetic(1_000, lowest_rung=-3, highest_rung=8), geometric(1_000, lowest_rung=-3, highest_rung=8)],
    ids=["arithmetic", "geometric"],
)
def test_a_fixed_range_clamps(lattice: Lattice) -> None:
    assert lattice.rung_at_or_below(2) == -3
    assert lattice.rung_at_or_below(2 * lattice.price(-3) - 1) == -3
    assert lattice.rung_at_or_below(2 * lattice.price(5)) == 5
    assert lattice.rung_at_or_below(2 * lattice.price(8) + 10**9) == 8
    assert lattice.contains_cell(-3, 11)
    assert not lattice.contains_cell(-4, 4)
    assert not lattice.contains_cell(5, 4)


class CountingLattice(Lattice):
    """Counts exact prices, which are the only cost that grows with the distance from the anchor."""

    __slots__ = ("computed",)
    computed: int

    def _exact_price(self, rung: int) -> PriceTicks:
        self.computed += 1
        return super()._exact_price(rung)


@pytest.mark.parametrize("percent", [1, 50, 99, 100, 101, 200, 1_000])
def test_the_inverse_costs_at_most_four_exact_prices_however_far(percent: int) -> None:
    shape = LatticeSettings(spacing=Spacing.GEOMETRIC, ratio_ppm=400)
    for half_ticks in range(2 * ANCHOR * percent // 100, 2 * ANCHOR * percent // 100 + 400, 7):
        lattice = CountingLattice(shape, ANCHOR)
        lattice.computed = 0
        found = lattice.rung_at_or_below(half_ticks)
        assert lattice.computed <= 4
        assert 2 * lattice.price(found) <= half_ticks < 2 * lattice.price(found + 1)


@settings(deadline=None)
@given(lattices, st.integers(30, 3_000), st.sampled_from([1, 2, 3, 7, 16]))
def test_nearest_multiple_is_nearest(lattice: Lattice, thousandths: int, stride: int) -> None:
    half_ticks = max(2, 2 * lattice.anchor_ticks * thousandths // 1_000)
    found = lattice.nearest_multiple(half_ticks, stride)
    assert found % stride == 0
    if abs(found) + 2 * stride < MAX_RUNG:
        distances = [abs(half_ticks - 2 * lattice.price(found + step * stride)) for step in (-1, 0, 1)]
        assert distances[1] == min(distances)


def test_nearest_multiple_takes_the_lower_one_at_the_middle() -> None:
    lattice = arithmetic(10, 1, 1_000)
    assert [lattice.nearest_multiple(half, 1) for half in (2_009, 2_010, 2_011)] == [0, 0, 1]
    assert [lattice.nearest_multiple(half, 1) for half in (1_991, 1_990, 1_989)] == [0, -1, -1]
    assert [lattice.nearest_multiple(half, 4) for half in (2_040, 2_041, 1_960, 1_961)] == [0, 4, -4, 0]


def test_nearest_multiple_stays_inside_a_fixed_range() -> None:
    lattice = arithmetic(10, 1, 1_000, lowest_rung=-6, highest_rung=7)
    assert lattice.nearest_multiple(2, 4) == -4
    assert lattice.nearest_multiple(10_000, 4) == 4
    assert lattice.nearest_multiple(2_000, 4) == 0
    assert arithmetic(10, 1, 1_000, lowest_rung=1, highest_rung=3).nearest_multiple(2_040, 4) == 0


@settings(deadline=None)
@given(lattices, st.integers(-200, 200), st.integers(1, 16), st.integers(-10_000, 100_000))
def test_a_viable_cell_earns_a_tick_after_fees(lattice: Lattice, rung: int, stride: int, fee_rate: int) -> None:
    lower, upper = lattice.price(rung), lattice.price(rung + stride)
    assert lattice.cell_width(rung, stride) == upper - lower
    earned = upper - lower - Fraction((lower + upper) * fee_rate, RATE_SCALE)
    assert lattice.cell_is_viable(rung, stride, fee_rate) == (lower >= 1 and earned >= 1)


def test_viability_at_its_edge() -> None:
    assert not arithmetic(240).cell_is_viable(0, 1, 20_000)  # fees 0.02 % x (600,000 + 600,240) = 240.048 ticks
    assert not arithmetic(241).cell_is_viable(0, 1, 20_000)
    assert arithmetic(242).cell_is_viable(0, 1, 20_000)
    assert arithmetic(1).cell_is_viable(0, 1, 0)
    assert not arithmetic(1, 2).cell_is_viable(0, 1, 0)
    assert not arithmetic(100, 1, 150).cell_is_viable(-2, 1, 0)


@settings(deadline=None)
@given(st.integers(1, 100_000), st.integers(1, 400), st.data())
def test_ratio_for_range_is_the_largest_that_fits(lower: int, levels: int, data: st.DataObject) -> None:
    upper = data.draw(st.integers(lower + lower * levels // 900_000 + 1, 20 * lower + 20))
    ratio = ratio_for_range(lower, upper, levels)
    assert geometric(ratio, lower).price(levels) <= upper
    assert geometric(ratio + 1, lower).price(levels) > upper


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 10, 1), "lower_ticks is 0; allowed: a whole number of at least 1"),
        ((10, 20, 0), "levels is 0; allowed: a whole number of at least 1"),
        ((10, 10, 3), "upper_ticks is 10; allowed: more than 10"),
        ((10, 9, 3), "upper_ticks is 9; allowed: more than 10"),
        ((10_000_000, 10_000_001, 100), "allowed: more than 10000000 by 100 levels of at least 1 ppm each"),
    ],
)
def test_ratio_for_range_refuses(arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ratio_for_range(*arguments)


def test_unusable_arguments_are_named_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="anchor_ticks is 0; allowed"):
        arithmetic(10, anchor=0)
    with pytest.raises(ValueError, match=r"lowest_rung is 5; allowed: -999999\.\.4"):
        arithmetic(10, lowest_rung=5, highest_rung=4)
    with pytest.raises(ValueError, match=r"highest_rung is 1000000; allowed: 0\.\.999999"):
        arithmetic(10, lowest_rung=0, highest_rung=MAX_RUNG + 1)
    with pytest.raises(ValueError, match=r"stride is 0; allowed: a whole number 1\.\.999"):
        arithmetic(10).nearest_multiple(2_000, 0)
    with pytest.raises(ValueError, match="half_ticks is 9223372036854775808; allowed"):
        geometric(10).rung_at_or_below(2**63)
    with pytest.raises(ValueError, match="rung is 1000999; allowed"):
        geometric(10).price(MAX_RUNG + MAX_STRIDE + 1)


def test_an_unbounded_lattice_ends_where_client_order_ids_do() -> None:
    lattice = arithmetic(1, anchor=5_000_000)
    assert (lattice.lowest_rung, lattice.highest_rung) == (-MAX_RUNG, MAX_RUNG)
    assert lattice.rung_at_or_below(2 * 3_000_000) == -MAX_RUNG
    assert lattice.rung_at_or_below(2 * 7_000_000) == MAX_RUNG
    assert geometric(1, anchor=5).rung_at_or_below(2**40) == MAX_RUNG


def test_the_picture_of_a_lattice() -> None:
    assert repr(geometric(1_000)) == "<Lattice geometric 1001/1000 anchor_ticks=600000>"
    assert repr(arithmetic(10, 3)) == "<Lattice arithmetic 10/3 anchor_ticks=600000>"

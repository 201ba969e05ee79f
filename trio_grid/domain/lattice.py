"""The lattice: which price belongs to which rung, for the whole life of a journal.

Owns rung prices, their inverse, and the width that makes a cell worth opening. It must never move: a price depends on
the settings, the anchor and the rung alone, so that a restart, a detour of the market or another order of questions
gives the same prices. Integers only, in ticks; nothing is rounded twice.

Every price is rounded once, towards the anchor: down above it, up below it. With x(k) the exact price of rung k and P a
whole number of ticks, p(k) <= P therefore means x(k) < P + 1 at or above the anchor and x(k) <= P below it. These are
conditions on the exact prices, so the inverse needs no search among rounded ones, and rungs that share a tick (a
plateau) are no special case.
"""

from __future__ import annotations

import functools
import math

from trio_grid.domain.client_order_id import MAX_RUNG, MAX_STRIDE
from trio_grid.domain.instrument import RATE_SCALE, PriceTicks
from trio_grid.domain.settings import LatticeSettings, Spacing

PPM = 1_000_000
CACHED_PRICES = 16_384
"""Prices remembered per lattice: more than any window holds, and a few megabytes."""
_MAX_HALF_TICKS = 2**63 - 1
_FRACTION_BITS = 128
"""Of the fixed-point powers that the inverse starts from: an error of 2^-100 even after a million multiplications."""


class Lattice:
    """The rung prices of one grid: `p(k)` in ticks, k any whole number, p(0) the anchor, never falling as k rises.

    Arithmetic: anchor + k x interval_ticks / interval_divisor; far below the anchor this is less than one tick, and no
    cell there is viable. Geometric: anchor x ((1,000,000 + ratio_ppm) / 1,000,000)^k, never below one tick. Both are
    exact and rounded once towards the anchor. Without a fixed range the lattice ends where the rungs of client order
    ids do, at +-999,999.

    Raises ValueError, naming field, value and what is allowed, for an anchor or a range that cannot be used.
    """

    __slots__ = (
        "_cached_price",
        "_denominator",
        "_numerator",
        "_powers",
        "anchor_ticks",
        "highest_rung",
        "lowest_rung",
        "settings",
    )

    def __init__(self, settings: LatticeSettings, anchor_ticks: int) -> None:
        if type(anchor_ticks) is not int or not 1 <= anchor_ticks <= _MAX_HALF_TICKS:
            raise ValueError(f"anchor_ticks is {anchor_ticks!r}; allowed: a whole number of at least 1")
        self.settings = settings
        self.anchor_ticks = PriceTicks(anchor_ticks)
        self.lowest_rung = -MAX_RUNG if settings.lowest_rung is None else settings.lowest_rung
        self.highest_rung = MAX_RUNG if settings.highest_rung is None else settings.highest_rung
        if not -MAX_RUNG <= self.lowest_rung <= self.highest_rung:
            raise ValueError(
                f"lowest_rung is {self.lowest_rung}; allowed: {-MAX_RUNG}..{self.highest_rung} (highest_rung)"
            )
        if self.highest_rung > MAX_RUNG:
            raise ValueError(f"highest_rung is {self.highest_rung}; allowed: {self.lowest_rung}..{MAX_RUNG}")
        if settings.spacing is Spacing.ARITHMETIC:
            self._numerator, self._denominator = settings.interval_ticks, settings.interval_divisor
            self._powers: tuple[int, ...] = ()
        else:
            common = math.gcd(PPM + settings.ratio_ppm, PPM)  # 1001/1000 needs half the digits of 1001000/1000000
            self._numerator, self._denominator = (PPM + settings.ratio_ppm) // common, PPM // common
            self._powers = _fixed_point_powers(self._numerator, self._denominator)
        self._cached_price = functools.lru_cache(maxsize=CACHED_PRICES)(self._exact_price)

    def __repr__(self) -> str:
        """Return the lattice's shape and anchor."""
        step = f"{self._numerator}/{self._denominator}"
        return f"<Lattice {self.settings.spacing.value} {step} anchor_ticks={self.anchor_ticks}>"

    def price(self, rung: int) -> PriceTicks:
        """Return p(rung) in ticks.

        Raises:
            ValueError: the rung lies more than the widest cell beyond what a client order id can carry.
        """
        return self._cached_price(rung)

    def cell_width(self, rung: int, stride: int) -> int:
        """Return p(rung + stride) - p(rung) in ticks: what one lot earns in a round trip of the cell, before fees."""
        return self.price(rung + stride) - self.price(rung)

    def contains_cell(self, rung: int, stride: int) -> bool:
        """Return whether both ends of the cell lie inside the lattice's range."""
        return self.lowest_rung <= rung and rung + stride <= self.highest_rung

    def cell_is_viable(self, rung: int, stride: int, maker_fee_rate: int) -> bool:
        """Return whether a round trip of the cell leaves at least one tick after its fees, both legs paid as maker.

        `maker_fee_rate` is in parts of 1e-8; a rebate is negative. A cell below one tick is not viable.
        """
        lower, upper = self.price(rung), self.price(rung + stride)
        return lower >= 1 and (upper - lower - 1) * RATE_SCALE >= (lower + upper) * maker_fee_rate

    def rung_at_or_below(self, half_ticks: int) -> int:
        """Return the highest rung k with 2 x p(k) <= half_ticks, clamped to the lattice's range.

        `half_ticks` is twice a price in ticks. Where rungs share a tick this is the highest of them. Below one tick
        nothing trades: such a price (a reference price after its skew) is taken as one tick.

        Raises:
            ValueError: half_ticks is not a whole number below 2^63.
        """
        if type(half_ticks) is not int or half_ticks > _MAX_HALF_TICKS:
            raise ValueError(f"half_ticks is {half_ticks!r}; allowed: a whole number of at most {_MAX_HALF_TICKS}")
        ticks = max(half_ticks // 2, 1)
        rung = self._geometric_rung(ticks) if self._powers else self._arithmetic_rung(ticks)
        return min(max(rung, self.lowest_rung), self.highest_rung)

    def nearest_multiple(self, half_ticks: int, stride: int) -> int:
        """Return the multiple of stride whose price is nearest to half_ticks / 2; the lower of the two at the middle.

        It is a multiple inside the lattice's range; if the range holds none, it is the last one below the range.

        Raises:
            ValueError: half_ticks as in `rung_at_or_below`, or stride is not 1..999.
        """
        if type(stride) is not int or not 1 <= stride <= MAX_STRIDE:
            raise ValueError(f"stride is {stride!r}; allowed: a whole number 1..{MAX_STRIDE}")
        last = self.highest_rung // stride * stride
        first = min(-(-self.lowest_rung // stride) * stride, last)
        lower = max(first, self.rung_at_or_below(half_ticks) // stride * stride)
        if lower >= last:
            return last
        upper = lower + stride
        return lower if half_ticks - 2 * self.price(lower) <= 2 * self.price(upper) - half_ticks else upper

    def _exact_price(self, rung: int) -> PriceTicks:
        if abs(rung) > MAX_RUNG + MAX_STRIDE:  # guards memory too: a geometric price has about 10 bits per rung
            raise ValueError(f"rung is {rung}; allowed: -{MAX_RUNG + MAX_STRIDE}..{MAX_RUNG + MAX_STRIDE}")
        if self._powers:
            return PriceTicks(_geometric_ticks(self.anchor_ticks, self._numerator, self._denominator, rung))
        distance = abs(rung) * self._numerator // self._denominator
        return PriceTicks(self.anchor_ticks + distance if rung >= 0 else self.anchor_ticks - distance)

    def _arithmetic_rung(self, ticks: int) -> int:
        """Solve k x interval / divisor < above + 1 at or over the anchor, <= above under it."""
        above = ticks - self.anchor_ticks
        if above >= 0:
            return ((above + 1) * self._denominator - 1) // self._numerator
        return above * self._denominator // self._numerator

    def _geometric_rung(self, ticks: int) -> int:
        """Take the exponent from fixed-point powers, at most one step off, and settle it by exact prices."""
        if ticks >= self.anchor_ticks:
            rung = self._exponent_below(((ticks + 1) << _FRACTION_BITS) // self.anchor_ticks)
        else:
            rung = -self._exponent_below((self.anchor_ticks << _FRACTION_BITS) // ticks) - 1
        if rung > self.highest_rung or rung < self.lowest_rung:
            return rung  # the caller clamps; exact prices of a million rungs' distance would cost seconds
        while self.price(rung) > ticks:
            rung -= 1
        while self.price(rung + 1) <= ticks:
            rung += 1
        return rung

    def _exponent_below(self, bound: int) -> int:
        """Return the largest n whose n-th power of the ratio, in fixed point, is below a bound in fixed point."""
        exponent, reached = 0, 1 << _FRACTION_BITS
        for position in range(len(self._powers) - 1, -1, -1):
            candidate = reached * self._powers[position] >> _FRACTION_BITS
            if candidate < bound:
                exponent += 1 << position
                reached = candidate
        return exponent


def ratio_for_range(lower_ticks: int, upper_ticks: int, levels: int) -> int:
    """Return the largest ratio in ppm with which a geometric lattice from lower_ticks has p(levels) <= upper_ticks.

    Raises:
        ValueError: lower_ticks or levels below 1, or the range is too narrow for that many levels.
    """
    for name, value in (("lower_ticks", lower_ticks), ("levels", levels)):
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} is {value!r}; allowed: a whole number of at least 1")
    # p(levels) <= upper means x(levels) < upper + 1; one level more than the whole range is reached by upper / lower.
    largest, too_large = 0, (upper_ticks + 1) * PPM // lower_ticks + 1
    while too_large - largest > 1:
        middle = (largest + too_large) // 2
        if _geometric_ticks(lower_ticks, PPM + middle, PPM, levels) <= upper_ticks:
            largest = middle
        else:
            too_large = middle
    if largest < 1 or upper_ticks <= lower_ticks:
        raise ValueError(
            f"upper_ticks is {upper_ticks}; allowed: more than {lower_ticks} by {levels} levels of at least 1 ppm each"
        )
    return largest


def _geometric_ticks(anchor_ticks: int, numerator: int, denominator: int, rung: int) -> int:
    """Return anchor x (numerator / denominator)^rung, exact, rounded once towards the anchor; the ratio is above 1."""
    distance = abs(rung)
    grown: int = numerator**distance
    shrunk: int = denominator**distance
    return anchor_ticks * grown // shrunk if rung >= 0 else -(-anchor_ticks * shrunk // grown)


def _fixed_point_powers(numerator: int, denominator: int) -> tuple[int, ...]:
    """Return ratio^(2^j) with 128 fraction bits for j = 0, 1, ... until 2^j rungs cover all rungs or all prices."""
    powers = [(numerator << _FRACTION_BITS) // denominator]
    while (1 << len(powers)) <= MAX_RUNG and powers[-1].bit_length() < _FRACTION_BITS + 64:
        powers.append(powers[-1] * powers[-1] >> _FRACTION_BITS)
    return tuple(powers)

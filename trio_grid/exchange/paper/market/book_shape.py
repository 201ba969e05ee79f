"""Owns the shape of the strangers' book behind its best prices: a fixed function of seed, side, price and distance.

It must never draw from a generator: the same question has the same answer however often it is asked.
"""

from __future__ import annotations

from trio_grid.domain.events import Side

_MASK = (1 << 64) - 1
_DEEPEST_FACTOR = 50


def mixed(value: int) -> int:
    """Return 64 well mixed bits of a whole number (the finalizer of SplitMix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def level_lots(seed: int, side: Side, price_ticks: int, distance_ticks: int, top_lots: int) -> int:
    """Return strangers' quantity `distance_ticks` behind the best price: deeper is thicker, and uneven; at least 1.

    `top_lots` is what a level near the best price holds on average. Level sizes spread over 0.2 .. 1.8 of the average,
    and the average grows by one tenth of `top_lots` per tick, up to fifty times.
    """
    noise = mixed(seed * 0x51_7C_C1_B7 + price_ticks * 2 + (side is Side.BUY)) % 1601
    average = top_lots * min(10 + distance_ticks, 10 * _DEEPEST_FACTOR)
    return max(1, average * (200 + noise) // 10_000)

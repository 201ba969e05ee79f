"""The grids of the end-to-end tests, as the tables of a configuration. Each test adds what it is about."""

from __future__ import annotations

UNFILTERED = """
[regime]
trend_filter = false
liquidity_filter = false
anomaly_brake = false
"""
"""A test that waits for orders must not wait for the weather."""


def busy_grid(policy: str = "cancel-opening") -> str:
    """A narrow neutral grid that trades all the time on `market_tapes.swinging`."""
    return f"""
[grid]
symbol = "BTCUSDT"
mode = "neutral"
interval = 30
levels = 6
max_stride = 1
[size]
base_per_level = 0.010
by_volatility = false
[limits]
max_inventory = 0.3
[exit]
policy = "{policy}"
{UNFILTERED}"""


INTERVAL = 50
LEVELS = 4


def long_grid(policy: str = "cancel-opening", anchor: int | None = None) -> str:
    """A wide long grid of four levels, 0.010 on each: few orders, whose prices a test can name."""
    where = "" if anchor is None else f"anchor = {anchor}\n"
    return f"""
[grid]
symbol = "BTCUSDT"
mode = "long"
{where}interval = {INTERVAL}
levels = {LEVELS}
skew = 0
max_stride = 1
[size]
base_per_level = 0.010
by_volatility = false
[limits]
max_inventory = 0.2
[exit]
policy = "{policy}"
{UNFILTERED}"""

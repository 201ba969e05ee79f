"""Markets for the end-to-end tests, written as files in the public dump format at test time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

START_MS = 1_750_006_830_000
"""2025-06-15 17:00:30 UTC: an hour after a funding, and half a minute before new request weights."""
HISTORY_MINUTES = 180
"""What the exchange takes as history of a recording, before trading begins."""
MIDDLE = 60_000.0
LONG_S = 1_800.0
"""The length of a tape that must not end before its test does, on whatever machine."""

PricePath = Callable[[float], float]
"""Price at a time in seconds after the beginning of trading."""


def swinging(seed: int) -> PricePath:
    """A price that swings by 100 within seconds: every few levels are passed many times in a minute."""
    random = Random(f"swinging {seed}")
    phases = [random.uniform(0, 2 * math.pi) for _ in range(3)]

    def path(seconds: float) -> float:
        waves = ((90.0, 9.0), (45.0, 3.1), (15.0, 0.9))
        return MIDDLE + sum(
            height * math.sin(2 * math.pi * seconds / period + phase)
            for (height, period), phase in zip(waves, phases, strict=True)
        )

    return path


def write_tape(
    path: Path,
    price: PricePath,
    *,
    seconds: float,
    step_s: float = 0.1,
    quantity: Callable[[Random], float] = lambda random: random.uniform(0.001, 0.02),
    seed: int = 1,
) -> Path:
    """Write aggregate trades: quiet history round the middle, then the path, one trade in each step."""
    random = Random(f"tape {seed}")
    begin_ms = START_MS - HISTORY_MINUTES * 60_000
    rows = [(time_ms, MIDDLE + random.uniform(-8, 8), 0.5) for time_ms in range(begin_ms, START_MS, 10_000)]
    for index in range(round(seconds / step_s)):
        offset_s = index * step_s
        rows.append((START_MS + round(offset_s * 1000), price(offset_s), quantity(random)))
    return write_rows(path, rows)


def write_rows(path: Path, rows: Sequence[tuple[int, float, float]]) -> Path:
    """Write (time in ms, price, quantity) as aggregate trades; a price below the one before is a seller's."""
    lines = ["agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"]
    last = MIDDLE
    for number, (time_ms, price, quantity) in enumerate(rows, start=1):
        sells = "true" if price < last else "false"
        last = price
        lines.append(f"{number},{price:.1f},{quantity:.3f},{number},{number},{time_ms},{sells}")
    path.write_text("\n".join(lines) + "\n")
    return path

"""Klines for tests of the regime: hand-made, generated from a seed, and recorded ones where the data is present."""

from __future__ import annotations

import csv
import gzip
import random
from decimal import Decimal
from pathlib import Path

import pytest

from trio_grid.domain.events import Kline
from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.domain.regime import MINUTE_MS

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data"
START_MS = 1_700_000_040_000 // MINUTE_MS * MINUTE_MS


def kline(minute: int, close: int, volume: int = 1_000, spread: int = 0, start_ms: int = START_MS) -> Kline:
    """A kline whose range is `spread` ticks on both sides of its close."""
    return Kline(
        open_time_ms=start_ms + minute * MINUTE_MS,
        open_ticks=PriceTicks(close),
        high_ticks=PriceTicks(close + spread),
        low_ticks=PriceTicks(close - spread),
        close_ticks=PriceTicks(close),
        volume_lots=QuantityLots(volume),
        closed=True,
    )


def random_klines(seed: int, count: int, volatility: int = 40) -> list[Kline]:
    """A seeded random walk with quiet and wild stretches, and volumes with heavy tails."""
    randomly = random.Random(seed)
    price, klines = 100_000, []
    for minute in range(count):
        wild = 6 if (minute // 37) % 4 == 3 else 1
        move = round(randomly.gauss(0, volatility * wild))
        opened, price = price, max(price + move, 1_000)
        reach = abs(round(randomly.gauss(0, volatility * wild)))
        klines.append(
            Kline(
                open_time_ms=START_MS + minute * MINUTE_MS,
                open_ticks=PriceTicks(opened),
                high_ticks=PriceTicks(max(opened, price) + reach),
                low_ticks=PriceTicks(min(opened, price) - reach // 2),
                close_ticks=PriceTicks(price),
                volume_lots=QuantityLots(round(randomly.lognormvariate(6, 1.3)) * wild),
                closed=True,
            )
        )
    return klines


def recorded_rows(name: str) -> list[list[str]]:
    with gzip.open(RECORDED / name, "rt") as file:
        return [row for row in csv.reader(file) if row[0].isdigit()]


def recorded_klines(name: str, tick: str, lot: str) -> list[Kline]:
    def units(text: str, unit: str) -> int:
        return int(Decimal(text) / Decimal(unit))

    return [
        Kline(
            open_time_ms=int(row[0]),
            open_ticks=PriceTicks(units(row[1], tick)),
            high_ticks=PriceTicks(units(row[2], tick)),
            low_ticks=PriceTicks(units(row[3], tick)),
            close_ticks=PriceTicks(units(row[4], tick)),
            volume_lots=QuantityLots(units(row[5], lot)),
            closed=True,
        )
        for row in recorded_rows(name)
    ]


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (RECORDED / name).exists(), reason=f"no recorded {name}")

"""Put the statistics of real klines and of the synthetic markets side by side, as a table and as a plot.

    python tools/market_statistics.py [KLINES...] [--svg FILE] [--minutes N] [--seeds N]

KLINES are 1-minute klines in Binance's dump format. The table goes to the standard output in Markdown, the plot to an
SVG file that this tool writes itself. The synthetic markets are made minute by minute from their seeds, so that the
same command gives the same figures.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from trio_grid.exchange.paper.engine.symbols import default_instrument
from trio_grid.exchange.paper.market.rows import KlineRow
from trio_grid.exchange.paper.market.synthetic import CHARACTERS, SyntheticMarket, SyntheticSettings
from trio_grid.exchange.paper.market_files import open_recording

MINUTE_MS = 60_000
START_MS = 1_750_000_020_000
STEP_MS = 2_000
"""Longer than the live steps, which changes the way of the price inside a minute a little and the minutes hardly."""
LAGS = (1, 2, 5, 15, 30, 60, 120, 240, 480, 720)
COLOURS = {"real": "#1f2937", "calibrated": "#2563eb", "lively": "#f59e0b"}


class Minute(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """High, low, close and volume of one minute, in whatever units."""

    high: float
    low: float
    close: float
    volume: float


class Series(msgspec.Struct, frozen=True):
    """Runs of minutes without a gap, of one market."""

    name: str
    runs: list[list[Minute]]

    def returns(self) -> list[list[float]]:
        """Log returns from close to close, of each run."""
        return [[math.log(b.close / a.close) for a, b in pairwise(run)] for run in self.runs]

    def volumes(self) -> list[float]:
        """Volumes of all minutes that have a return."""
        return [minute.volume for run in self.runs for minute in run[1:]]

    def ranges(self) -> list[float]:
        """Heights of all minutes that have a return, relative to the price."""
        return [math.log(minute.high / minute.low) for run in self.runs for minute in run[1:]]


def real_minutes(path: Path) -> list[Minute]:
    """Return the minutes of a kline file."""
    rows = (row for row in open_recording([path]).rows() if isinstance(row, KlineRow))
    return [Minute(row.high_ticks, row.low_ticks, row.close_ticks, row.volume_lots) for row in rows]


def synthetic_minutes(settings: SyntheticSettings, minutes: int, seed: int) -> list[Minute]:
    """Return the first minutes of a synthetic market."""
    instrument = default_instrument("BTCUSDT")
    coarse = msgspec.structs.replace(settings, step_ms=STEP_MS)
    market = SyntheticMarket(
        instrument, start_ms=START_MS, seed=seed, start_price=60_000.0, history_minutes=0, settings=coarse
    )
    found: list[Minute] = []
    place, high, low, close, volume = START_MS // MINUTE_MS, 0, 0, 600_000, 0
    while len(found) < minutes:
        step = market.step()
        while place < step.time_ms // MINUTE_MS:
            found.append(Minute(high or close, low or close, close, volume))
            place, high, low, volume = place + 1, 0, 0, 0
        for row in step.trades:
            close = row.price_ticks
            high, low = max(high, close), min(low or close, close)
            volume += row.quantity_lots
    return found[:minutes]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies; the values are sorted."""
    return values[min(len(values) - 1, int(share * len(values)))]


def autocorrelation(runs: Sequence[Sequence[float]], lag: int) -> float:
    """Return how values are correlated with those `lag` places later in the same run."""
    count = sum(map(len, runs))
    mean = sum(map(sum, runs)) / count
    variance = sum((value - mean) ** 2 for run in runs for value in run) / count
    pairs = [(a - mean) * (b - mean) for run in runs for a, b in zip(run, run[lag:], strict=False)]
    return sum(pairs) / len(pairs) / variance if pairs and variance else math.nan


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's rank correlation (ties in the order of their places)."""
    ranks = []
    for values in (first, second):
        order = sorted(range(len(values)), key=values.__getitem__)
        rank = [0] * len(values)
        for place, index in enumerate(order):
            rank[index] = place
        ranks.append(rank)
    mean = (len(first) - 1) / 2
    both = float(sum((a - mean) * (b - mean) for a, b in zip(*ranks, strict=True)))
    return both / float(sum((a - mean) ** 2 for a in ranks[0]))


def statistics_of(series: Series) -> dict[str, float]:
    """Return the figures of a market by their names; a ratio has no unit, returns are in basis points."""
    returns = series.returns()
    sizes = [[abs(value) for value in run] for run in returns]
    flat = sorted(size for run in sizes for size in run)
    deviation = math.sqrt(sum(size * size for size in flat) / len(flat))
    volumes, ranges = series.volumes(), series.ranges()
    ordered = sorted(volumes)
    logs = [math.log(volume) for volume in volumes if volume > 0]
    mean_log = sum(logs) / len(logs)
    median, usual = quantile(flat, 0.5), quantile(ordered, 0.5)
    return {
        "standard deviation, bp": deviation * 1e4,
        "median size, bp": median * 1e4,
        "sizes, 90 % to median": quantile(flat, 0.9) / median,
        "sizes, 99 % to median": quantile(flat, 0.99) / median,
        "sizes, 99.9 % to median": quantile(flat, 0.999) / median,
        "beyond 3 deviations, %": 100 * sum(size > 3 * deviation for size in flat) / len(flat),
        "autocorrelation of returns, 1 min": autocorrelation(returns, 1),
        "autocorrelation of sizes, 1 min": autocorrelation(sizes, 1),
        "autocorrelation of sizes, 5 min": autocorrelation(sizes, 5),
        "autocorrelation of sizes, 15 min": autocorrelation(sizes, 15),
        "autocorrelation of sizes, 60 min": autocorrelation(sizes, 60),
        "height to size": sum(ranges) / sum(flat),
        "deviation of log volume": math.sqrt(sum((value - mean_log) ** 2 for value in logs) / len(logs)),
        "volume, 90 % to median": quantile(ordered, 0.9) / usual,
        "volume, 99 % to median": quantile(ordered, 0.99) / usual,
        "rank correlation of volume and size": rank_correlation(volumes, [size for run in sizes for size in run]),
        "rank correlation of volume and height": rank_correlation(volumes, ranges),
    }


def table(columns: dict[str, dict[str, float]]) -> str:
    """Return the figures of several markets as a Markdown table."""
    names = list(columns)
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for figure in columns[names[0]]:
        lines.append(f"| {figure} | " + " | ".join(f"{columns[name][figure]:.2f}" for name in names) + " |")
    return "\n".join(lines) + "\n"


# The plot -------------------------------------------------------------------------------------------------------------

Points = list[tuple[float, float]]
WIDTH, HEIGHT, MARGIN = 420, 270, 46


class Panel(msgspec.Struct, frozen=True):
    """One diagram: a curve for each market; `log_x` and `log_y` say which axes are logarithmic."""

    title: str
    x_name: str
    y_name: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]
    curve: Callable[[Series], Points]
    log_x: bool = True
    log_y: bool = True

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point lies in the panel."""
        across = _share(x, self.x_range, self.log_x)
        up = _share(y, self.y_range, self.log_y)
        return MARGIN + across * (WIDTH - MARGIN - 12), HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN)


def _share(value: float, limits: tuple[float, float], log: bool) -> float:
    low, high = limits
    if log:
        return math.log(max(value, low) / low) / math.log(high / low)
    return (value - low) / (high - low)


def beyond(values: Sequence[float]) -> Points:
    """Return (multiple of the median, share of the values that are larger), for a logarithmic plot."""
    ordered = sorted(values)
    median = quantile(ordered, 0.5)
    count = len(ordered)
    wanted = sorted({count - max(1, round(count * 10 ** (-step / 10))) for step in range(3, 45)})
    return [(ordered[place] / median, (count - place) / count) for place in wanted if ordered[place] > 0]


def clusters(series: Series) -> Points:
    """Return (lag in minutes, autocorrelation of sizes), as far as the runs are long enough."""
    sizes = [[abs(value) for value in run] for run in series.returns()]
    longest = max(map(len, sizes))
    return [(lag, autocorrelation(sizes, lag)) for lag in LAGS if lag < longest // 2]


def volume_by_height(series: Series) -> Points:
    """Return (decile of the minute's height, mean volume there as a multiple of the mean)."""
    pairs = sorted(zip(series.ranges(), series.volumes(), strict=True))
    mean = sum(volume for _, volume in pairs) / len(pairs)
    tenths = [pairs[len(pairs) * part // 10 : len(pairs) * (part + 1) // 10] for part in range(10)]
    return [(part + 1, sum(volume for _, volume in tenth) / len(tenth) / mean) for part, tenth in enumerate(tenths)]


PANELS = (
    Panel("Sizes of 1-minute returns", "multiple of the median size", "share of minutes beyond it", (0.5, 60),
          (1e-4, 1), (1, 2, 5, 10, 20, 50), (1e-4, 1e-3, 1e-2, 1e-1, 1),
          lambda series: beyond([abs(value) for run in series.returns() for value in run])),
    Panel("Clusters of volatility", "lag in minutes", "autocorrelation of sizes", (1, 720), (-0.1, 0.5),
          (1, 5, 15, 60, 240, 720), (0, 0.1, 0.2, 0.3, 0.4, 0.5), clusters, log_y=False),
    Panel("Volume of a minute", "multiple of the median volume", "share of minutes beyond it", (0.5, 60), (1e-4, 1),
          (1, 2, 5, 10, 20, 50), (1e-4, 1e-3, 1e-2, 1e-1, 1), lambda series: beyond(series.volumes())),
    Panel("Volume by the height of the minute", "decile of height", "mean volume, multiple of the mean", (1, 10),
          (0.1, 6), (1, 2, 3, 4, 5, 6, 7, 8, 9, 10), (0.1, 0.2, 0.5, 1, 2, 5), volume_by_height, log_x=False),
)  # fmt: skip


def svg(markets: Sequence[Series]) -> str:
    """Return the plot: four panels, a curve for each market."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {2 * HEIGHT + 30}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{2 * WIDTH}" height="{2 * HEIGHT + 30}" fill="white"/>',
    ]
    for place, market in enumerate(markets):
        x = 60 + 240 * place
        lines.append(f'<path d="M{x} 16h24" stroke="{COLOURS[market.name]}" stroke-width="2"/>')
        lines.append(f'<text x="{x + 30}" y="20">{market.name}</text>')
    for place, panel in enumerate(PANELS):
        lines.append(f'<g transform="translate({place % 2 * WIDTH} {30 + place // 2 * HEIGHT})">')
        lines += _panel_lines(panel, markets)
        lines.append("</g>")
    return "\n".join([*lines, "</svg>", ""])


def _panel_lines(panel: Panel, markets: Sequence[Series]) -> Iterator[str]:
    yield f'<text x="{MARGIN}" y="24" font-size="13" font-weight="bold">{panel.title}</text>'
    bottom = HEIGHT - MARGIN
    for tick in panel.x_ticks:
        x, _ = panel.place(tick, panel.y_range[1])
        yield f'<path d="M{x:.1f} {MARGIN}V{bottom}" stroke="#e5e7eb"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{tick:g}</text>'
    for tick in panel.y_ticks:
        _, y = panel.place(panel.x_range[0], tick)
        yield f'<path d="M{MARGIN} {y:.1f}H{WIDTH - 12}" stroke="#e5e7eb"/>'
        yield f'<text x="{MARGIN - 4}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
    yield f'<text x="{(MARGIN + WIDTH) / 2}" y="{bottom + 30}" text-anchor="middle">{panel.x_name}</text>'
    yield f'<text x="{MARGIN}" y="38" fill="#6b7280">{panel.y_name}</text>'
    for market in markets:
        points = [(x, y) for x, y in panel.curve(market) if panel.x_range[0] <= x <= panel.x_range[1]]
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in (panel.place(*point) for point in points))
        yield f'<polyline points="{way}" fill="none" stroke="{COLOURS[market.name]}" stroke-width="2"/>'


def main(arguments: list[str]) -> int:
    """Print the table and write the plot."""
    parser = argparse.ArgumentParser(description="Statistics of real klines and of the synthetic markets.")
    parser.add_argument(
        "klines", nargs="*", type=Path, help="1-minute klines; without them the synthetic markets alone"
    )
    parser.add_argument("--svg", type=Path, help="where to write the plot")
    parser.add_argument("--minutes", type=int, default=20_000, help="length of each synthetic run (default: 20000)")
    parser.add_argument("--seeds", type=int, default=3, help="number of synthetic runs (default: 3)")
    options = parser.parse_args(arguments)
    markets = [Series("real", [real_minutes(path) for path in options.klines])] if options.klines else []
    for name in ("calibrated", "lively"):
        seeds = range(1, options.seeds + 1)
        markets.append(Series(name, [synthetic_minutes(CHARACTERS[name], options.minutes, seed) for seed in seeds]))
    sys.stdout.write(table({market.name: statistics_of(market) for market in markets}))
    if options.svg is not None:
        options.svg.write_text(svg(markets))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

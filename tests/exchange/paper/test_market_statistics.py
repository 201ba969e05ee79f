"""The calibrated synthetic market has the statistics of real 1-minute klines, within stated bands."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tools.market_statistics import Series, main, real_minutes, statistics_of, svg, synthetic_minutes
from trio_grid.cli.paper_host import market_character
from trio_grid.exchange.paper.market.synthetic import CALIBRATED, CHARACTERS, LIVELY

DATA = Path(__file__).parents[4] / "shared" / "data" / "spot_1m"

BANDS = {
    "standard deviation, bp": (4.0, 20.0),
    "median size, bp": (2.0, 8.0),
    "sizes, 90 % to median": (2.8, 4.4),
    "sizes, 99 % to median": (6.0, 15.0),
    "sizes, 99.9 % to median": (11.0, 40.0),
    "beyond 3 deviations, %": (0.8, 2.2),
    "autocorrelation of returns, 1 min": (-0.12, 0.12),
    "autocorrelation of sizes, 1 min": (0.2, 0.55),
    "autocorrelation of sizes, 15 min": (0.06, 0.35),
    "height to size": (1.6, 2.2),
    "deviation of log volume": (0.6, 1.3),
    "volume, 90 % to median": (2.1, 4.9),
    "volume, 99 % to median": (4.0, 20.0),
    "rank correlation of volume and size": (0.3, 0.65),
    "rank correlation of volume and height": (0.6, 0.9),
}
"""Wide enough for each month of BTCUSDT from January to June 2022, and for a few days of the synthetic market."""


def outside(figures: dict[str, float]) -> dict[str, float]:
    return {name: figures[name] for name, (low, high) in BANDS.items() if not low <= figures[name] <= high}


@pytest.fixture(scope="module")
def calibrated() -> Series:
    """A day and a half of each of two seeds."""
    return Series("calibrated", [synthetic_minutes(CALIBRATED, 2_200, seed) for seed in (1, 3)])


def test_the_calibrated_market_has_real_tails_clusters_and_volumes(calibrated: Series) -> None:
    assert outside(statistics_of(calibrated)) == {}


def test_the_bands_tell_the_lively_market_from_a_real_one() -> None:
    figures = statistics_of(Series("lively", [synthetic_minutes(LIVELY, 400, 1)]))
    assert {"autocorrelation of returns, 1 min", "height to size", "deviation of log volume"} <= set(outside(figures))


def test_the_same_seed_gives_the_same_minutes() -> None:
    assert synthetic_minutes(CALIBRATED, 30, 5) == synthetic_minutes(CALIBRATED, 30, 5)
    assert synthetic_minutes(CALIBRATED, 30, 5) != synthetic_minutes(CALIBRATED, 30, 6)


@pytest.mark.recorded
@pytest.mark.skipif(not DATA.exists(), reason="recorded klines are not part of the repository")
@pytest.mark.parametrize("month", ["2022-01", "2022-05"])
def test_real_months_lie_in_the_same_bands(month: str) -> None:
    real = Series("real", [real_minutes(DATA / f"BTCUSDT-1m-{month}.csv.gz")])
    assert outside(statistics_of(real)) == {}


def test_volatility_multiplies_a_character_and_keeps_what_else_it_is() -> None:
    for name, usual in CHARACTERS.items():
        doubled = market_character(2, name)
        assert doubled.fundamental_volatility == 2 * usual.fundamental_volatility
        assert doubled.flow_deviation == 2 * usual.flow_deviation
        assert (doubled.slow_deviation, doubled.volume_exponent) == (usual.slow_deviation, usual.volume_exponent)


def test_bursts_lift_the_volatility_and_die_down() -> None:
    steady = msgspec.structs.replace(
        CALIBRATED, volatility_deviation=0.0, medium_deviation=0.0, slow_deviation=0.0, jump_chance=0.0
    )
    figures = {
        rate: statistics_of(Series("x", [synthetic_minutes(settings, 400, 4)]))
        for rate in (0.0, 6.0)
        for settings in [msgspec.structs.replace(steady, bursts_per_hour=rate, burst_size=1.0)]
    }
    assert figures[6.0]["standard deviation, bp"] > 1.3 * figures[0.0]["standard deviation, bp"]
    assert figures[6.0]["sizes, 99 % to median"] > 1.2 * figures[0.0]["sizes, 99 % to median"]


def test_the_plot_has_a_curve_for_each_market_in_each_panel(calibrated: Series) -> None:
    text = svg([calibrated, Series("lively", [synthetic_minutes(LIVELY, 60, 2)])])
    assert text.count("<polyline") == 8
    assert text.startswith("<svg")
    assert "nan" not in text


def test_the_tool_prints_the_table_and_writes_the_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--minutes", "60", "--seeds", "1", "--svg", str(tmp_path / "plot.svg")]) == 0
    assert (tmp_path / "plot.svg").read_text().endswith("</svg>\n")
    printed = capsys.readouterr().out
    assert printed.startswith("| | calibrated | lively |")
    assert "rank correlation of volume and height" in printed

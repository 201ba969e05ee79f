"""`trio-grid check`: all faults at once, the whole ladder, fees, worst case."""

from __future__ import annotations

from pathlib import Path

import pytest

from trio_grid.cli import main


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def check(capsys: pytest.CaptureFixture[str], *overrides: str, code: int = 0) -> tuple[str, str]:
    words = [word for override in overrides for word in ("--set", override)]
    assert main(["check", *words]) == code
    said = capsys.readouterr()
    return said.out, said.err


def test_the_default_configuration_has_no_faults(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out, err = check(capsys)
    assert "12 of 12 levels would be placed" in out
    assert "no faults found" in out
    assert err == ""
    assert list(tmp_path.iterdir()) == []


def test_all_faults_come_at_once_with_path_and_what_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = check(
        capsys, "grid.interval=0", "size.quote_per_level=-5", "exit.policy=run-away", "limits.maximum=3", code=2
    )
    for path in ("$.grid.interval", "$.size.quote_per_level", "$.exit.policy", "$.limits"):
        assert path in err


def test_what_does_not_fit_the_filters_is_a_fault_with_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = check(capsys, "grid.interval=30.05", "size.quote_per_level=20", "limits.max_inventory=0.0005", code=2)
    for path in ("$.grid.interval", "$.size.quote_per_level", "$.limits.max_inventory"):
        assert path in err


def test_cells_that_cannot_earn_their_fees_are_a_fault_and_say_so_level_by_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, err = check(capsys, "grid.interval=20", code=2)
    assert out.count("not more than one tick plus fees") == 12
    assert "cannot earn their fees" in err


def test_f13_a_skipped_level_shows_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = check(capsys, "limits.max_inventory=0.02")
    assert "6 of 12 levels would be placed" in out
    assert out.count("skipped: ") == 6
    assert out.count("max_inventory") >= 6


def test_the_worst_case_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = check(capsys, "grid.interval=100", "grid.levels=2", "size.quote_per_level=6000", "limits.max_inventory=1")
    # 6,000 at 59,900 and at 59,800 is 0.100 BTC each.
    assert "position +0.200 BTC, notional 11970 USDT, average entry 59850.00" in out
    assert "initial margin 598.50 at leverage 20" in out
    # (10,000 - 0.2 x (59,850 - p)) = 0.005 x 0.2 x p  =>  p = 9,899.497...
    assert "liquidation at about 9899.50, 83.5 % from the average entry" in out


@pytest.mark.parametrize(
    ("overrides", "said", "left_out"),
    [
        (
            ["limits.max_inventory=0.1"],
            "price falls further, the window follows it and opens more, up to limits",
            "no limit",
        ),
        (["grid.trailing=up"], "position +", "window follows"),
        (["grid.trailing=none", "grid.mode=neutral", "grid.interval=100"], "position +", "window follows"),
        (["grid.mode=short", "limits.max_inventory=0.1"], "price rises further", "falls"),
        (["grid.mode=neutral", "grid.interval=100"], "price falls or rises further", "no limit"),
    ],
)
def test_the_worst_case_tells_of_a_window_that_follows_the_price(
    overrides: list[str], said: str, left_out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = check(capsys, *overrides)
    worst = out.partition("worst case")[2]
    assert said in worst
    assert left_out not in worst


def test_the_fees_stand_against_the_spacing(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = check(capsys, "grid.interval=100")
    assert "maker 0.0200 %, taker 0.0500 %" in out
    # (59,900 + 60,000) x 0.0002 = 23.98 of 100.
    assert "spread 100.00, maker fees 23.9800, left 76.0200 (76.0 % of the spread)" in out


@pytest.mark.parametrize("mode", ["long", "short", "neutral"])
def test_every_mode_has_its_sides(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = check(capsys, f"grid.mode={mode}", "grid.interval=100")
    assert ("BUY: position +" in out) is (mode in ("long", "neutral"))
    assert ("SELL: position -" in out) is (mode in ("short", "neutral"))


def test_a_fixed_range_and_geometric_spacing_are_planned_too(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = check(capsys, 'grid={symbol="BTCUSDT", mode="neutral", spacing="geometric", interval_percent=0.5}')
    assert "levels would be placed" in out
    out, _ = check(capsys, 'grid={symbol="BTCUSDT", mode="neutral", range={lower=58000, upper=62000, levels=20}}')
    assert "levels would be placed" in out

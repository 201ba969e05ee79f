"""The anomaly brake's further symbols from the command line: on the embedded exchange, on another one, in `check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.endtoend.grids import long_grid
from tests.endtoend.processes import bot_config, command, exchange_process, started

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

WATCH = ("--set", 'regime.watch_symbols=["ETHUSDT", "SOLUSDT"]')


def test_the_embedded_exchange_has_a_market_for_each_watched_symbol(tmp_path: Path) -> None:
    with started(tmp_path, "run", *WATCH) as bot:
        bot.wait_for("INFO trading ")
        for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
            bot.wait_for(f"kline subscription confirmed symbol={symbol} interval=1m")
        code, shown = command(tmp_path, "status")
        assert (code, "ETHUSDT votes, SOLUSDT votes" in shown) == (0, True), shown
        code, shown = bot.stop()
    assert code == 0, shown
    assert "ties out: yes" in shown
    assert command(tmp_path, "journal", "replay", tmp_path / "var" / "paper.sqlite3")[0] == 0
    # The exchange's file holds three markets; another set of symbols is another exchange.
    code, shown = command(tmp_path, "run")
    assert code == 2
    assert "run --fresh" in shown


def test_check_asks_the_exchange_for_every_watched_symbol(tmp_path: Path) -> None:
    code, shown = command(tmp_path, "check", *WATCH)
    assert (code, "the 1-minute klines of BTCUSDT, ETHUSDT, SOLUSDT" in shown) == (0, True), shown
    grid = long_grid().replace("anomaly_brake = false", "")
    with exchange_process(tmp_path, "--symbol", "BTCUSDT", "--symbol", "ETHUSDT") as urls:
        config = bot_config(tmp_path, urls, grid)
        assert command(tmp_path, "check", config, "--set", 'regime.watch_symbols=["ETHUSDT"]')[0] == 0
        code, shown = command(tmp_path, "check", config, *WATCH)
        assert code == 2
        assert "$.regime.watch_symbols: SOLUSDT is refused by the exchange" in shown
        code, shown = command(tmp_path, "run", config, *WATCH)
        assert code == 3
        assert "SOLUSDT cannot be watched" in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--symbol", "btc"), "'btc' is no symbol; allowed: one such as BTCUSDT"),
        (("--symbol", "BTCUSDT", "--symbol", "BTCUSDT"), "BTCUSDT is given twice"),
    ],
)
def test_symbols_that_the_exchange_cannot_have_are_refused(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    code, shown = command(tmp_path, "exchange", *words)
    assert code == 2
    assert told in shown

"""The live picture and the summary, drawn from a bot that really traded."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from rich.console import Console
from trio.testing import MockClock

from tests.supervisor.bot_bench import bench, waves
from trio_grid.cli.output import LogHandler, table
from trio_grid.cli.picture import LivePicture
from trio_grid.cli.summary import summary_lines
from trio_grid.services.log_line import line


@pytest.mark.parametrize(("width", "height"), [(120, 40), (80, 24), (60, 18)])
async def test_the_picture_shows_everything_and_fits(
    autojump_clock: MockClock, tmp_path: Path, width: int, height: int
) -> None:
    async with bench(tmp_path, waves(1_600, 40_000)) as exchange:
        async with exchange.bot("grid.levels=20") as running:
            picture = LivePicture(running.bot, Console(), LogHandler())
            picture.draw(width, height)
            await running.until(lambda: running.snapshot().ledger.round_trips >= 1)
            lines = picture.draw(width, height).plain.rstrip("\n").split("\n")
        assert len(lines) <= height
        assert max(map(len, lines)) <= width
        text = "\n".join(lines)
        for words in ("BTCUSDT long  price", "trend", "reconciled", "position", "PnL      realized", "slot use",
                      "<- price", "LOCKED", "fill   "):  # fmt: skip
            assert words in text
        assert ("more slots" in text) is (height < 40)


async def test_the_summary_has_one_figure_a_line_to_the_last_digit(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path, waves(1_600, 40_000)) as exchange:
        async with exchange.bot() as running:
            await running.until(lambda: running.snapshot().ledger.round_trips >= 2)
        report = running.report
        lines = summary_lines(report)
        counters, ledger = report.after.counters, report.after.ledger
        assert f"fills: {counters.fills}" in lines
        assert f"round trips: {ledger.round_trips}" in lines
        assert f"orders: {counters.orders_placed}" in lines
        assert "ties out: yes" in lines
        wallet = exchange.wallet_units - 10_000 * 10**8
        assert any(text.startswith(f"account PnL: {wallet / 10**8:+.8f} USDT") for text in lines)
        assert sum(text.startswith("  ") for text in lines) == len(exchange.open_ids())


def test_log_lines_quote_what_has_spaces_and_stay_one_line() -> None:
    assert line("a b", x=1, y="two words", z="") == 'a b x=1 y="two words" z=""'
    assert line("m", text='say "hi"\nthere') == 'm text="say \\"hi\\" there"'


def test_a_handler_whose_reader_has_gone_stays_silent() -> None:
    written: list[str] = []

    def gone(text: str) -> None:
        written.append(text)
        raise BrokenPipeError

    handler = LogHandler(gone)
    record = logging.LogRecord("trio_grid", logging.INFO, __file__, 1, "kline subscription confirmed", None, None)
    handler.emit(record)
    handler.emit(record)
    assert len(written) == 1
    assert written[0].endswith("Z INFO kline subscription confirmed")


def test_tables_are_aligned() -> None:
    rows = [("slot", "price"), ("-3", "9.5"), ("12", "10.25")]
    assert table(rows, right=frozenset({0, 1})) == ["slot  price", "  -3    9.5", "  12  10.25"]

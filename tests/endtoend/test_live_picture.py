"""The bot on a terminal: the picture tells what its user wants to know, and leaves the terminal and the summary."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest

from tests.endtoend.processes import ROOT, TRIO_GRID
from tests.tooling.terminals import open_terminals

LARGEST_PICTURE = 20_000
LONGEST_S = 300.0
"""The market decides when there is a fill of each kind; it takes some ten seconds."""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WANTED = {
    "price": r"BTCUSDT long +price \d+\.\d+",
    "trading state": r"ACTIVE trading",
    "trend": r"trend (RANGE|BULL|BEAR) \(RSI \d+\.\d\)",
    "volatility": r"volatility (NORMAL|HIGH) \(ATR \d+\.\d+\)",
    "liquidity": r"liquidity (NORMAL|THIN)",
    "use, prices and status of a slot": r"-?\d+ LONG +\d+\.\d+ +\d+\.\d+ LOCKED",
    "inventory and exit of a slot": r"LOCKED +0\.00\d +SELL 0\.00\d at \d+\.\d+",
    "opening of a slot": r"LOCKED +- +BUY 0\.00\d at \d+\.\d+",
    "where the price stands": r"\d+\.\d+ +<- price",
    "net position": r"position 0\.0\d\d BTC",
    "PnL": r"PnL +realized [-+]?\d+\.\d+ +unrealized [-+]?\d+\.\d+",
    "fees": r"fees 0\.\d+ USDT",
    "round trips": r"fills \d+  round trips \d+",
    "latest fills": r"fill +\d\d:\d\d:\d\d  BUY +0\.00\d at \d+\.\d+  slot -?\d+ opens",
    "last reconciliation": r"reconciled \d+ s ago, position agrees",
}


@pytest.mark.sockets
@pytest.mark.slow
def test_the_picture_shows_what_a_user_wants_to_know(tmp_path: Path) -> None:
    foreground = ROOT / "tools" / "foreground.py"
    market = ("--set", "paper.volatility=2", "--set", "grid.max_stride=1", "--set", "regime.trend_filter=false")
    run = ("env", f"PYTHONPATH={ROOT}", "TERM=xterm-256color", sys.executable, foreground, *TRIO_GRID, "run")
    wanted = {name: re.compile(pattern) for name, pattern in WANTED.items()}
    with open_terminals(tmp_path) as start:
        terminal = start(*run, *market)
        # Each is looked for where it can still come: the picture is drawn again and again, and gets long.
        seen_to = 0
        limit = time.monotonic() + LONGEST_S
        while wanted:
            assert time.monotonic() < limit, f"{sorted(wanted)}: {plain(terminal.shown[-LARGEST_PICTURE:])}"
            terminal.read_more(f"these never came: {sorted(wanted)}")
            shown = plain(terminal.shown[max(0, seen_to - LARGEST_PICTURE) :])
            seen_to = len(terminal.shown)
            wanted = {name: pattern for name, pattern in wanted.items() if not pattern.search(shown)}
        terminal.press(b"\x03")
        assert terminal.code() == 0, terminal.shown[-2_000:]
    shown = plain(terminal.shown)
    summary = shown[shown.rindex("--- BTCUSDT") :]
    assert "stopped by SIGINT" in summary
    assert re.search(r"^fills: [1-9]\d*$", summary, re.MULTILINE)
    assert summary.rstrip().endswith("ties out: yes")


def plain(text: str) -> str:
    return ESCAPES.sub("", text).replace("\r", "")

"""The bot on a terminal: the picture tells what its user wants to know, and leaves the terminal and the summary."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.endtoend.processes import ROOT, TRIO_GRID
from tests.tooling.terminals import open_terminals

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
def test_the_picture_shows_what_a_user_wants_to_know_and_for_ends_it(tmp_path: Path) -> None:
    foreground = ROOT / "tools" / "foreground.py"
    market = ("--set", "paper.volatility=2", "--set", "grid.max_stride=1", "--set", "regime.trend_filter=false")
    run = ("env", f"PYTHONPATH={ROOT}", "TERM=xterm-256color", sys.executable, foreground, *TRIO_GRID, "run")
    with open_terminals(tmp_path) as start:
        terminal = start(*run, "--for", "15s", *market)
        assert terminal.code() == 0, terminal.shown[-2_000:]
    shown = ESCAPES.sub("", terminal.shown).replace("\r", "")
    missing = [name for name, pattern in WANTED.items() if not re.search(pattern, shown)]
    assert not missing, shown[-6_000:]
    summary = shown[shown.rindex("--- BTCUSDT") :]
    assert "stopped by --for 15s is over" in summary
    assert re.search(r"^fills: [1-9]\d*$", summary, re.MULTILINE)
    assert summary.rstrip().endswith("ties out: yes")

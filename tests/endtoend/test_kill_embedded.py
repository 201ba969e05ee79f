"""SIGKILL of `run` itself: bot and embedded exchange die together, and both go on from what they had written."""

from __future__ import annotations

import re
import time
from pathlib import Path
from random import Random

import pytest

from tests.endtoend.books import agreement, no_id_twice, one_live_order_per_slot, until_outcomes_are_known
from tests.endtoend.processes import Account, Program, command, started, until

KILLS = 8
MARKET = (
    "--set", "paper.volatility=2", "--set", "grid.max_stride=1", "--set", "regime.trend_filter=false",
    "--set", "risk.startup_timeout_s=600", "--set", "risk.shutdown_deadline_s=300",
)  # fmt: skip


def account_of(bot: Program) -> Account:
    """The account on the exchange that a bot has embedded, over HTTP."""
    found = re.search(r"paper exchange is up rest_url=(\S+)", bot.shown())
    assert found is not None
    return Account(found[1])


@pytest.mark.sockets
@pytest.mark.slow
def test_bot_and_exchange_killed_together(tmp_path: Path) -> None:
    random = Random(8)
    journal = tmp_path / "var" / "paper.sqlite3"
    trades = 0
    for kill in range(KILLS + 1):
        with started(tmp_path, "run", *MARKET) as bot:
            bot.wait_for("INFO trading ")
            account = account_of(bot)
            one_live_order_per_slot(account)
            agreed = agreement(account, journal)
            assert agreed.trades >= trades, "the exchange forgot trades that the bot had booked"
            trades = agreed.trades
            time.sleep(random.uniform(0, 2))
            if kill < KILLS:
                bot.kill()
                continue
            until(lambda account=account: len(account.trades()) > KILLS, "enough was traded")  # type: ignore[misc]
            no_id_twice(account)
            until_outcomes_are_known(journal)
            code, shown = bot.stop()
            assert code == 0, shown
            assert "ties out: yes" in shown
    assert command(tmp_path, "journal", "verify", journal)[0] == 0
    assert command(tmp_path, "journal", "replay", journal)[0] == 0

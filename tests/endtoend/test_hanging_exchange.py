"""The exchange's process stands still for a while: sockets stay open, requests get no answer, prices are late.

What was sent meanwhile has an unknown outcome (F1, F2); afterwards the books equal the account again.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.endtoend.books import agreement, no_id_twice, one_live_order_per_slot
from tests.endtoend.grids import busy_grid
from tests.endtoend.market_tapes import LONG_S, swinging, write_tape
from tests.endtoend.processes import Account, bot_config, command, exchange_process, started, until

HANGS_S = (1.5, 8.0)
PRICE_STALE_S = 2
"""Less than the second hang, so that its doors close; a machine that stalls may close them at other times too."""


@pytest.mark.sockets
@pytest.mark.slow
def test_f1_f2_an_exchange_that_hangs_and_comes_back(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "BTCUSDT-aggTrades.csv", swinging(7), seconds=LONG_S)
    journal = tmp_path / "bot.sqlite3"
    with exchange_process(tmp_path, "--market", tape) as urls:
        account = Account(urls["rest_url"])
        config = bot_config(tmp_path, urls, busy_grid("cancel-all"), journal=journal, price_stale_s=PRICE_STALE_S)
        with started(tmp_path, "run", config) as bot:
            bot.wait_for("INFO trading ")
            for hang_s in HANGS_S:
                trades = len(account.trades())
                until(lambda trades=trades: len(account.trades()) > trades + 3, "the bot trades")  # type: ignore[misc]
                urls.program.process.send_signal(signal.SIGSTOP)
                try:
                    time.sleep(hang_s)
                finally:
                    urls.program.process.send_signal(signal.SIGCONT)
                agreed = agreement(account, journal)
                one_live_order_per_slot(account)
                assert agreed.snapshot.trading_state == "ACTIVE"
            trades = len(account.trades())
            until(lambda: len(account.trades()) > trades + 3, "the bot trades again")
            bot.wait_for("condition=PRICE_STALE active=True")
            bot.wait_for("condition=PRICE_STALE active=False")
            code, shown = bot.stop()
        assert code == 0, shown
        assert "resting: 0 orders" in shown
        agreement(account, journal)
        no_id_twice(account)
    assert command(tmp_path, "journal", "replay", journal)[0] == 0

"""SIGKILL at random moments, twenty times in a row, over real sockets; the exchange is a process of its own.

After each restart the books equal the account to the last digit, a slot has at most one live order, and the slots add
up to the position; in the end no client order id was used twice. The account is read by a stranger's HTTP client.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import pytest

from tests.endtoend.books import agreement, no_id_twice, one_live_order_per_slot, until_outcomes_are_known
from tests.endtoend.grids import busy_grid
from tests.endtoend.market_tapes import LONG_S, swinging, write_tape
from tests.endtoend.processes import Account, bot_config, command, exchange_process, started, until

KILLS = 20
LONGEST_LIFE_S = 1.2
START_TAKES_S = 1.2


@pytest.mark.sockets
@pytest.mark.slow
def test_killed_twenty_times_in_a_row(tmp_path: Path) -> None:
    random = Random(20)
    tape = write_tape(tmp_path / "BTCUSDT-aggTrades.csv", swinging(1), seconds=LONG_S)
    journal = tmp_path / "bot.sqlite3"
    with exchange_process(tmp_path, "--market", tape) as urls:
        account = Account(urls["rest_url"])
        config = bot_config(tmp_path, urls, busy_grid("cancel-all"), journal=journal)
        sessions = 0
        for kill in range(KILLS + 1):
            if kill % 5 == 4:
                # A life that is cut off while it starts: it may have been anywhere between nothing and trading.
                with started(tmp_path, "run", config) as bot:
                    time.sleep(random.uniform(0.3, START_TAKES_S))
                    bot.kill()
            with started(tmp_path, "run", config) as bot:
                # Twenty starts may use up a minute's request weight: the bot then waits for the next one, as it should.
                bot.wait_for("INFO trading ")
                one_live_order_per_slot(account)
                agreed = agreement(account, journal)
                one_live_order_per_slot(account)
                assert agreed.snapshot.session > sessions
                sessions = agreed.snapshot.session
                if kill < KILLS:
                    time.sleep(random.uniform(0, LONGEST_LIFE_S))
                    bot.kill()
                    continue
                until(lambda: min(len(account.trades()), len(account.all_orders())) > 5 * KILLS, "enough for a drill")
                until_outcomes_are_known(journal)
                code, shown = bot.stop()
                assert code == 0, shown
                # Where twenty starts have used up the minute's request weight, the bot cannot ask; `agreement` can.
                assert "ties out: no:" not in shown
                assert "resting: 0 orders" in shown
        assert account.open_orders() == []
        agreement(account, journal)
        assert no_id_twice(account) > 5 * KILLS
    assert command(tmp_path, "journal", "verify", journal)[0] == 0
    code, shown = command(tmp_path, "journal", "replay", journal)
    assert (code, "no difference" in shown) == (0, True), shown

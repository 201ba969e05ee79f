"""`trio-grid exchange --faults FILE` as its own process, and a bot of its own process that gets over all of it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.endtoend.books import agreement, no_id_twice, one_live_order_per_slot
from tests.endtoend.grids import busy_grid
from tests.endtoend.market_tapes import LONG_S, swinging, write_tape
from tests.endtoend.processes import Account, bot_config, command, started, until

FAULTS = """
seed = 3
[[fault]]
kind = "no-answer"
when.nth = 2
match.request = "order.place"
[[fault]]
kind = "unknown-error"
when.nth = 4
match.request = "order.place"
[[fault]]
kind = "late-answer"
delay_ms = 400
when.nth = 5
match.request = "order.place"
[[fault]]
kind = "reset-after"
when.nth = 6
match.request = "order.place"
[[fault]]
kind = "cut-answer"
when.nth = 1
match.request = "GET /fapi/v1/openOrders"
[[fault]]
kind = "gateway-error"
when.nth = 2
match.request = "GET /fapi/v1/openOrders"
[[fault]]
kind = "stale-read"
age_ms = 500
when.times = 3
match.request = "GET /fapi/v1/order"
[[fault]]
kind = "duplicated-event"
delay_ms = 200
when = { every = 2, times = 6 }
match.event = "ORDER_TRADE_UPDATE"
[[fault]]
kind = "delayed-event"
delay_ms = 300
when = { every = 5, times = 4 }
[[fault]]
kind = "strange-event"
form = "unknown-enums"
when = { every = 3, times = 6 }
[[fault]]
kind = "cut-frame"
when.nth = 40
match.path = "/public"
[[fault]]
kind = "close-connections"
when.from_s = 3
match.transport = "user"
[[fault]]
kind = "expire-listen-key"
when.from_s = 5
"""


@pytest.mark.sockets
@pytest.mark.slow
def test_a_bot_gets_over_every_fault_of_a_file(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "BTCUSDT-aggTrades.csv", swinging(7), seconds=LONG_S)
    journal, faults = tmp_path / "bot.sqlite3", tmp_path / "faults.toml"
    faults.write_text(FAULTS)
    kinds = [line.split('"')[1] for line in FAULTS.splitlines() if line.startswith("kind")]
    with started(tmp_path, "exchange", "--market", tape, "--faults", faults) as exchange:
        urls = json.loads(exchange.wait_for("\n").splitlines()[0])
        account = Account(urls["rest_url"])
        config = bot_config(tmp_path, urls, busy_grid("cancel-all"), journal=journal, reconcile_interval_s=2)
        with started(tmp_path, "run", config) as bot:
            for kind in kinds:
                exchange.wait_for(f" fault {kind} happens")
            trades = len(account.trades())
            until(lambda: len(account.trades()) > trades + 3, "the bot trades on")
            agreement(account, journal)
            one_live_order_per_slot(account)
            code, shown = bot.stop()
        assert code == 0, shown
        assert "resting: 0 orders" in shown
        agreement(account, journal)
        no_id_twice(account)
        code, shown = exchange.stop(signal.SIGTERM)
        assert code == 0, shown
        assert "Traceback" not in shown
    assert command(tmp_path, "journal", "replay", journal)[0] == 0


def test_a_file_that_cannot_be_used_is_refused_with_2(tmp_path: Path) -> None:
    faults = tmp_path / "faults.toml"
    faults.write_text('[[fault]]\nkind = "no-answer"\nwhen.nth = 0\n')
    code, shown = command(tmp_path, "exchange", "--faults", faults)
    assert code == 2
    assert f"{faults}: $.fault[0].when.nth: 0 is refused; allowed: a whole number, at least 1" in shown
    assert "Traceback" not in shown

"""The edges of a run: a recording that ends, an exchange that is silent, a second signal, files that are one's own."""

from __future__ import annotations

import os
import re
import signal
import stat
from pathlib import Path

import pytest

from tests.endtoend.books import agreement, no_id_twice, one_live_order_per_slot
from tests.endtoend.grids import busy_grid
from tests.endtoend.market_tapes import LONG_S, swinging, write_tape
from tests.endtoend.processes import Account, Program, bot_config, command, exchange_process, started, until

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

EMBEDDED = '[exchange]\nkind = "paper"\n'


TAPE_S = 20.0
"""Long enough for the bot to start and trade on it on a very busy machine; the end itself is waited for."""


def test_a_recording_that_ends_is_told_and_the_stop_is_clean(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "BTCUSDT-aggTrades.csv", swinging(5), seconds=TAPE_S)
    config = tmp_path / "replay.toml"
    config.write_text(f'{EMBEDDED}[risk]\nprice_stale_s = 1\n[journal]\npath = "replay.sqlite3"\n{busy_grid()}')
    arguments = ("run", config, "--market", tape)
    with started(tmp_path, *arguments) as bot:
        bot.wait_for("INFO fill ")
        bot.wait_for("the recording has ended")
        bot.wait_for("condition=PRICE_STALE active=True")
        code, shown = bot.stop()
    assert code == 0
    assert "Traceback" not in shown
    assert "ties out: yes" in shown
    assert int(re.findall(r"^fills: (\d+)$", shown, re.MULTILINE)[0]) > 0
    code, shown = command(tmp_path, *arguments)
    assert code == 2
    assert "is at its end: `run --fresh` starts it over" in shown
    with started(tmp_path, *arguments, "--fresh") as bot:
        bot.wait_for("session=1 fresh=True")
        code, shown = bot.stop()
    assert code == 0
    assert command(tmp_path, "journal", "replay", tmp_path / "replay.sqlite3")[0] == 0


def test_journal_exchange_file_and_control_socket_are_their_owners(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with started(tmp_path, "run", "--set", 'journal.path="own/bot.sqlite3"') as bot:
            bot.wait_for("INFO trading ")
            # The exchange's file is written beside its name and then renamed, mode and all: the name is looked at.
            files = sorted(path for path in (tmp_path / "own").iterdir() if path.suffix != ".new")
            assert {file.name for file in files} >= {
                "bot.sqlite3", "bot.sqlite3-wal", "bot.sqlite3-shm", "bot.sqlite3.lock", "bot.sqlite3.control"
            }  # fmt: skip
            for path in files:
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path.name
            code, _ = bot.stop()
            assert code == 0
        for path in (tmp_path / "own").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path.name
        assert not (tmp_path / "own" / "bot.sqlite3.control").exists()
    finally:
        os.umask(before)


def test_an_exchange_that_cannot_be_reached_is_waited_for_and_then_refused(tmp_path: Path) -> None:
    nobody = "127.0.0.1:9"
    urls = {"rest_url": f"http://{nobody}", "ws_url": f"ws://{nobody}", "ws_api_url": f"ws://{nobody}/ws-fapi/v1"}
    config = bot_config(tmp_path, urls, busy_grid(), startup_timeout_s=5)
    code, shown = command(tmp_path, "run", config)
    assert code == 3
    assert "waiting" in shown
    assert "nothing was placed or cancelled" in shown


def hang(exchange: Program) -> None:
    """Let the exchange's process stand still: connections stay open, and nothing is answered."""
    exchange.process.send_signal(signal.SIGSTOP)


def test_f23_a_second_signal_cuts_an_unanswered_exit_policy_short_and_says_so(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "BTCUSDT-aggTrades.csv", swinging(6), seconds=LONG_S)
    journal = tmp_path / "bot.sqlite3"
    with exchange_process(tmp_path, "--market", tape) as urls:
        account = Account(urls["rest_url"])
        # The deadline is far beyond the test's own patience: only a deadline that was shortened lets it pass.
        config = bot_config(tmp_path, urls, busy_grid("cancel-all"), journal=journal, shutdown_deadline_s=600)
        with started(tmp_path, "run", config) as bot:
            bot.wait_for("INFO fill ")
            exchange = urls.program
            hang(exchange)
            try:
                bot.process.send_signal(signal.SIGINT)
                bot.wait_for("stop requested")
                bot.process.send_signal(signal.SIGINT)
                code, shown = bot.end()
            finally:
                exchange.process.send_signal(signal.SIGCONT)
        assert code == 5, shown
        assert "NOT CONFIRMED" in shown
        assert "exit policy is cut short" in shown
        assert "Traceback" not in shown
        # The next start finds everything again, and can leave nothing behind.
        with started(tmp_path, "run", config) as bot:
            bot.wait_for("INFO trading ")
            one_live_order_per_slot(account)
            agreement(account, journal)
            code, shown = bot.stop()
        assert code == 0, shown
        assert "resting: 0 orders" in shown
        assert until(lambda: account.open_orders() == [], "nothing rests")
        agreement(account, journal)
        no_id_twice(account)
    assert command(tmp_path, "journal", "replay", journal)[0] == 0

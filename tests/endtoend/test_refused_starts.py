"""Starts that are refused: each says in words what is wrong and what to do, with its exit code and no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.endtoend.market_tapes import write_steps
from tests.endtoend.processes import SECRET_ENV, Account, bot_config, command, exchange_process, started, until

pytestmark = [pytest.mark.sockets, pytest.mark.slow]

GRID = """
[grid]
symbol = "BTCUSDT"
interval = 50
levels = 4
[size]
base_per_level = 0.010
[exit]
policy = "keep"
"""


@attrs.frozen
class Place:
    folder: Path
    config: Path
    account: Account

    def run(self, *words: object) -> tuple[int, str]:
        return command(self.folder, "run", self.config, "--for", "2s", *words)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An exchange whose price stands still, and a bot's configuration for it."""
    tape = write_steps(tmp_path / "BTCUSDT-aggTrades.csv", [(0.0, 60_010.0, 0.01)])
    with exchange_process(tmp_path, "--market", tape) as urls:
        yield Place(tmp_path, bot_config(tmp_path, urls, GRID), Account(urls["rest_url"]))


def other_journal(place: Place) -> tuple[str, str]:
    return "--set", f'journal.path="{place.folder / "other.sqlite3"}"'


def test_r12_orders_of_another_bot_and_a_position_that_no_slot_explains(place: Place) -> None:
    with started(place.folder, "run", place.config) as first:
        until(lambda: len(place.account.open_orders()) == 4, "the first bot's ladder rests")
        first.kill()
    mine = {order["clientOrderId"] for order in place.account.open_orders()}
    code, shown = place.run(*other_journal(place))
    assert code == 4, shown
    assert all(name in shown for name in mine)
    assert "--cancel-strays" in shown
    assert {order["clientOrderId"] for order in place.account.open_orders()} == mine, "nothing was touched"
    code, shown = place.run(*other_journal(place), "--cancel-strays")
    assert code == 0, shown
    assert "ties out: yes" in shown
    assert not mine & {order["clientOrderId"] for order in place.account.open_orders()}
    # The first bot's journal finds its orders cancelled, and the other's in its way.
    code, shown = place.run()
    assert code == 4, shown


def test_wrong_key_unknown_symbol_other_lattice_and_fees(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    code, shown = place.run()
    assert (code, "ties out: yes" in shown) == (0, True), shown
    code, shown = place.run("--set", "grid.interval=60")
    assert code == 3
    assert "interval: the journal has 50, the configuration 60" in shown
    assert "--new-lattice" in shown
    code, shown = place.run(*other_journal(place), "--set", "grid.symbol=ETHUSDT")
    assert code == 3
    assert "Check grid.symbol" in shown
    place.run("--set", 'exit.policy="cancel-all"')
    code, shown = place.run(*other_journal(place), "--set", "grid.interval=10")
    assert code == 3
    assert "cannot earn their fees" in shown
    assert place.account.open_orders() == []
    monkeypatch.setattr("tests.endtoend.processes.SECRET", "wrong")
    code, shown = place.run()
    assert code == 3
    assert "Check the key and secret" in shown
    assert "wrong" not in shown
    assert SECRET_ENV not in shown

"""Starts that are refused: each says in words what is wrong and what to do, with its exit code and no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.endtoend.directed_exchange import directed_exchange
from tests.endtoend.grids import LEVELS, long_grid
from tests.endtoend.processes import SECRET_ENV, Account, bot_config, command, started, until

pytestmark = [pytest.mark.sockets, pytest.mark.slow]


@attrs.frozen
class Place:
    folder: Path
    config: Path
    account: Account

    def refused(self, *words: object) -> tuple[int, str]:
        """Start it, and see it end by itself."""
        return command(self.folder, "run", self.config, *words)

    def run(self, *words: object) -> str:
        """Start it, let it trade, stop it in order; return what it said."""
        with started(self.folder, "run", self.config, *words) as bot:
            bot.wait_for("INFO trading ")
            until(lambda: len(self.account.open_orders()) == LEVELS, "its ladder rests")
            code, shown = bot.stop()
        assert code == 0, shown
        return shown


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An exchange whose price stands still, and a bot's configuration for it."""
    with directed_exchange() as exchange:
        yield Place(tmp_path, bot_config(tmp_path, exchange.urls, long_grid("keep")), exchange.account())


def other_journal(place: Place) -> tuple[str, str]:
    return "--set", f'journal.path="{place.folder / "other.sqlite3"}"'


def test_r12_orders_of_another_bot_and_a_position_that_no_slot_explains(place: Place) -> None:
    with started(place.folder, "run", place.config) as first:
        until(lambda: len(place.account.open_orders()) == LEVELS, "the first bot's ladder rests")
        first.kill()
    mine = {order["clientOrderId"] for order in place.account.open_orders()}
    code, shown = place.refused(*other_journal(place))
    assert code == 4, shown
    assert all(name in shown for name in mine)
    assert "--cancel-strays" in shown
    assert {order["clientOrderId"] for order in place.account.open_orders()} == mine, "nothing was touched"
    assert "ties out: yes" in place.run(*other_journal(place), "--cancel-strays")
    assert not mine & {order["clientOrderId"] for order in place.account.open_orders()}
    # The first bot's journal finds its orders cancelled, and the other's in its way.
    code, shown = place.refused()
    assert code == 4, shown


def test_wrong_key_unknown_symbol_other_lattice_and_fees(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "ties out: yes" in place.run()
    code, shown = place.refused("--set", "grid.interval=60")
    assert code == 3
    assert "interval: the journal has 50, the configuration 60" in shown
    assert "--new-lattice" in shown
    code, shown = place.refused(*other_journal(place), "--set", "grid.symbol=ETHUSDT")
    assert code == 3
    assert "Check grid.symbol" in shown
    place.run("--set", 'exit.policy="cancel-all"')
    code, shown = place.refused(*other_journal(place), "--set", "grid.interval=10")
    assert code == 3
    assert "cannot earn their fees" in shown
    assert place.account.open_orders() == []
    monkeypatch.setattr("tests.endtoend.processes.SECRET", "wrong")
    code, shown = place.refused()
    assert code == 3
    assert "Check the key and secret" in shown
    assert "wrong" not in shown
    assert SECRET_ENV not in shown

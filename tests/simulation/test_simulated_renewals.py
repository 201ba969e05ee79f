"""Days of one life: each connection is renewed before the exchange cuts it, and the bot's trading notices nothing.

The exchange enforces its limit. The plain run lives three short days of ten minutes; `just drills` lives three real
ones in one of the two runs.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.simulation.rig import ALL, run_simulation
from tests.simulation.wiretap import Wiretap
from trio_grid.domain.inputs import ConditionChanged, Outcome
from trio_grid.exchange.binance import streams, subscriptions, ws_api
from trio_grid.exchange.paper.server import websocket_gate
from trio_grid.testing.bot import KLINE_STREAM, LOTS, ORDER_ENTRY, PRICE_STREAM, USER_STREAM, Simulation

TARGETS = (USER_STREAM, PRICE_STREAM, KLINE_STREAM, ORDER_ENTRY)
DAYS = 3
SHORT_DAY_S = 600.0
PATIENT = ("risk.price_stale_s=200", "risk.klines_stale_s=400", "risk.startup_timeout_s=300")


async def round_trip(sim: Simulation) -> None:
    life = sim.lives[-1]
    trips = life.snapshot().ledger.round_trips
    await sim.quote(598_900)
    await life.until(lambda: life.snapshot().net_lots == LOTS and life.quiet(), "a fill and its closing")
    await sim.quote(600_100)
    await life.until(lambda: life.snapshot().ledger.round_trips == trips + 1 and life.quiet(), "the round trip")
    await sim.quote(600_000)


@pytest.mark.drill
@pytest.mark.parametrize("entry_busy", [False, True])
def test_no_connection_reaches_the_exchanges_limit_and_trading_goes_on_through_each_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry_busy: bool
) -> None:
    assert streams.RENEW_AFTER_S < websocket_gate.CONNECTION_LIFE_S == 24 * 3600
    day_s = websocket_gate.CONNECTION_LIFE_S if ALL and not entry_busy else SHORT_DAY_S
    renew_s = day_s * streams.RENEW_AFTER_S / websocket_gate.CONNECTION_LIFE_S
    monkeypatch.setattr(websocket_gate, "CONNECTION_LIFE_S", day_s)
    for module in (subscriptions, ws_api):
        monkeypatch.setattr(module, "RENEW_AFTER_S", renew_s)

    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        began = trio.current_time()
        changes: list[str] = []

        def look(outcome: Outcome) -> None:
            entries = [record.entry for record in outcome.records]
            changes.extend(str(entry.condition) for entry in entries if isinstance(entry, ConditionChanged))

        bot = life.bot
        assert bot is not None
        assert bot.desk is not None
        bot.desk.dispatcher.watch(look)
        tap = Wiretap(sim)
        first = {target: sim.links(life, target) for target in TARGETS}
        for day in range(1, DAYS + 1):
            # In the middle of the overlap, and, in one of the two runs, with requests on their way.
            await trio.sleep_until(began + day * renew_s - (0 if entry_busy else 5))
            await round_trip(sim)
        await trio.sleep_until(began + DAYS * day_s + 60)
        for target in TARGETS:
            assert not any(link.open for link in first[target]), f"{target} is as old as the exchange allows"
            assert len(sim.links(life, target)) == 1
        board = bot.board
        assert (board.user_stream_losses, board.reconnects, changes) == (0, {}, [])
        assert not tap.requests("POST /fapi/v1/order", "DELETE /fapi/v1/order")
        names = [message.body["newClientOrderId"] for message in tap.orders]
        assert len(names) == len(set(names))
        fills = life.snapshot().counters.fills
        assert (life.snapshot().ledger.round_trips, fills) == (DAYS, 2 * DAYS)
        report = await life.stopped()
        assert not report.tie_out.differences

    run_simulation(script, tmp_path, *PATIENT, "risk.reconcile_interval_s=3600", heartbeat_ms=60_000)

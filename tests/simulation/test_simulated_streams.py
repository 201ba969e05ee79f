"""Streams that break, go silent, expire or grow old: doors close, exits stay, reconciliation comes before trading."""

from __future__ import annotations

import pytest
import trio

from tests.simulation.rig import simulated
from tests.simulation.wiretap import Wiretap, market_frames, order_answers
from trio_grid.domain.inputs import Condition
from trio_grid.testing.bot import KLINE_STREAM, LOTS, ORDER_ENTRY, PRICE_STREAM, USER_STREAM, Simulation
from trio_grid.testing.memory_network import Direction, Link


def roles(sim: Simulation) -> list[str]:
    """Return the roles of our resting orders, sorted: c closes, o opens."""
    return sorted(parts.role for _, parts in sim.ours(sim.resting()))


async def filled_once(sim: Simulation) -> None:
    """Fill the first level; its closing and three openings rest afterwards."""
    await sim.quote(598_900)
    await sim.lives[-1].until(lambda: roles(sim) == ["c", "o", "o", "o"], "a fill and its closing")


@simulated()
async def test_r11_after_the_user_stream_broke_the_bot_reconciles_before_it_trades(sim: Simulation) -> None:
    life = await sim.trading_bot()
    tap = Wiretap(sim)
    # New connections fail for a while: what fills meanwhile is told to nobody.
    sim.network.refuse(life.owner)
    for link in sim.links(life, USER_STREAM):
        link.cut()
    await sim.quote(598_900)
    await trio.sleep(5)
    assert sim.position_lots() == LOTS
    assert not tap.orders, "an order was placed while the user stream was down"
    assert "user stream is down" in life.snapshot().closed_doors
    sim.network.refuse(life.owner, False)
    await life.until(lambda: roles(sim) == ["c", "o", "o", "o"], "the closing of what filled meanwhile")
    subscribed = next(
        index for index, message in enumerate(tap.messages) if message.method == "SUBSCRIBE"
    )  # the private stream's: the others stood
    asked = [message.method for message in tap.messages[subscribed : tap.messages.index(tap.orders[0])]]
    for question in ("GET /fapi/v1/userTrades", "GET /fapi/v1/openOrders", "GET /fapi/v3/positionRisk"):
        assert question in asked
    assert life.snapshot().net_lots == LOTS
    await life.stopped()


@pytest.mark.parametrize("target", [PRICE_STREAM, KLINE_STREAM, ORDER_ENTRY])
def test_a_connection_that_breaks_is_opened_again_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, target: str
) -> None:
    @simulated()
    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        before = sim.links(life, target)
        assert len(before) == 1
        for link in before:
            link.cut()
        await sim.quote(598_900)
        await life.until(lambda: roles(sim) == ["c", "o", "o", "o"], "a fill and its closing")
        await life.until(lambda: len(sim.links(life, target)) == 1, "a new connection")
        await sim.quote(600_100)
        await life.until(lambda: sim.position_lots() == 0, "the round trip")
        report = await life.stopped()
        assert not report.tie_out.differences

    script(tmp_path_factory.mktemp("broken"))


@simulated("risk.reconcile_interval_s=900", heartbeat_ms=5_000)
async def test_f5_an_expired_listen_key_gets_a_new_one_and_the_gap_is_closed_by_rest(sim: Simulation) -> None:
    life = await sim.trading_bot()
    tap = Wiretap(sim)
    # The keepalives never arrive, so the key dies after an hour; a new one cannot be had for a while.
    tap.lose(lambda link, direction, data: data.startswith(b"PUT /fapi/v1/listenKey"))
    give_back = tap.lose(lambda link, direction, data: data.startswith(b"POST /fapi/v1/listenKey"))
    await life.until(
        lambda: "user stream is down" in life.snapshot().closed_doors, "the key's end", patience_s=3_700, look_every_s=1
    )
    assert any(message.body.get("e") == "listenKeyExpired" for message in tap.messages)
    await sim.quote(598_900)
    await trio.sleep(3)
    assert sim.position_lots() == LOTS
    assert life.snapshot().net_lots == 0, "nobody can have told it yet"
    give_back()
    await life.until(lambda: roles(sim) == ["c", "o", "o", "o"], "the fill found by REST, and its closing")
    await sim.quote(598_890)
    await sim.quote(600_100)
    await life.until(lambda: life.snapshot().net_lots == 0 and life.quiet(), "the new stream speaks")
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated()
async def test_f6_r14_silent_prices_cancel_openings_keep_exits_and_reconnect(sim: Simulation) -> None:
    life = await sim.trading_bot()
    await filled_once(sim)
    tap = Wiretap(sim)
    give_back = tap.lose(lambda link, direction, data: b'"bookTicker"' in data and market_frames(link, direction, data))
    await trio.sleep(9.5)
    assert roles(sim) == ["c", "o", "o", "o"]
    await life.until(lambda: roles(sim) == ["c"], "openings cancelled, the exit left", patience_s=2)
    assert Condition.PRICE_STALE in life.snapshot().conditions
    first = sim.links(life, PRICE_STREAM)
    await life.until(lambda: sim.links(life, PRICE_STREAM) not in ([], first), "a new connection", patience_s=30)
    assert not tap.orders, "something was opened on a price that is stale"
    give_back()
    await life.until(lambda: roles(sim) == ["c", "o", "o", "o"], "the ladder is back")
    assert not life.snapshot().closed_doors
    await life.stopped()


@simulated()
async def test_f6_r14_silent_klines_cancel_openings_keep_exits_and_reconnect(sim: Simulation) -> None:
    life = await sim.trading_bot()
    await filled_once(sim)
    tap = Wiretap(sim)
    give_back = tap.lose(lambda link, direction, data: b'"kline"' in data and market_frames(link, direction, data))
    await life.until(lambda: roles(sim) == ["c"], "openings cancelled, the exit left", patience_s=110)
    assert Condition.KLINES_STALE in life.snapshot().conditions
    first = sim.links(life, KLINE_STREAM)
    await life.until(lambda: sim.links(life, KLINE_STREAM) not in ([], first), "a new connection", patience_s=30)
    give_back()
    await life.until(lambda: roles(sim) == ["c", "o", "o", "o"], "the ladder is back")
    await life.stopped()


@simulated()
async def test_f6_r14_a_silent_user_stream_cancels_openings_keeps_exits_and_reconnects(sim: Simulation) -> None:
    life = await sim.trading_bot()
    await filled_once(sim)
    tap = Wiretap(sim)

    def said(link: Link, direction: Direction, data: bytes) -> bool:
        return direction is Direction.TO_CLIENT and link.target.startswith(USER_STREAM) and b'"e":' in data

    give_back = tap.lose(said)
    first = sim.links(life, USER_STREAM)
    await trio.sleep(1)  # what the stream said before cannot be taken for an answer to what is sent now
    await sim.quote(598_100)  # the window follows: one more opening is accepted, and no report of it comes
    await life.until(
        lambda: Condition.USER_STREAM_SILENT in life.snapshot().conditions, "the silence noticed", patience_s=15
    )
    await life.until(lambda: roles(sim) == ["c"], "openings cancelled, the exit left", patience_s=10)
    await life.until(lambda: sim.links(life, USER_STREAM) not in ([], first), "a new connection", patience_s=40)
    give_back()
    await life.until(lambda: roles(sim).count("o") == 3 and life.quiet(), "the ladder is back")
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated()
async def test_f6_a_link_that_carries_nothing_any_more_is_found_by_its_pings(sim: Simulation) -> None:
    """Not even pongs come: the peer is gone without a word."""
    life = await sim.trading_bot()
    first = sim.links(life, USER_STREAM)
    for link in first:
        link.stall(Direction.TO_CLIENT)
    await sim.quote(598_900)
    await life.until(lambda: sim.links(life, USER_STREAM) not in ([], first), "a new connection", patience_s=45)
    await life.until(lambda: roles(sim) == ["c", "o", "o", "o"], "the fill found, and its closing")
    assert life.snapshot().net_lots == LOTS
    await life.stopped()


@simulated()
async def test_order_answers_that_never_come_do_not_stop_the_bot(sim: Simulation) -> None:
    """The WebSocket API is deaf for a minute: orders live by the user stream's word, none is sent twice (F1)."""
    tap = Wiretap(sim)
    give_back = tap.lose(order_answers)
    life = await sim.trading_bot()
    await filled_once(sim)
    await trio.sleep(60)
    give_back()
    await sim.quote(600_100)
    await life.until(lambda: life.snapshot().net_lots == 0 and life.quiet(), "the round trip")
    assert len(tap.orders) == len(sim.orders()), "an order was sent that the exchange does not show, or twice"
    report = await life.stopped()
    assert not report.tie_out.differences

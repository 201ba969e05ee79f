"""The account and its exchange: other people's orders, a second bot, clocks, limits, bans, and a journal that fails."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import trio

from tests.simulation.rig import simulated
from tests.simulation.wiretap import Message, Wiretap
from trio_grid.domain.client_order_id import OrderIdParts, encode
from trio_grid.domain.inputs import TradingState
from trio_grid.errors import JournalError, TrioGridError
from trio_grid.testing.bot import LOTS, Life, Simulation


def rungs(sim: Simulation, role: str) -> list[int]:
    """Return the rungs of our resting orders of a role."""
    return sorted(parts.rung for _, parts in sim.ours(sim.resting()) if parts.role == role)


def errors_of(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the errors in a group, or the one."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from errors_of(inner)
    elif error is not None:
        yield error


@pytest.mark.parametrize("policy", ["cancel-opening", "cancel-all", "flatten"])
def test_s16_f18_f22_orders_of_others_are_counted_and_never_touched(
    tmp_path_factory: pytest.TempPathFactory, policy: str
) -> None:
    @simulated(f'exit.policy="{policy}"')
    async def script(sim: Simulation) -> None:
        early = await sim.by_hand(side="BUY", price=597_500, quantity=5, newClientOrderId="mine-1")
        life = await sim.trading_bot()
        late = await sim.by_hand(side="SELL", price=602_000, quantity=5, newClientOrderId="web_x")
        await sim.quote(598_900)
        await life.until(lambda: rungs(sim, "c") == [-1] and life.quiet(), "a fill")
        await sim.by_hand(side="BUY", quantity=3)
        await life.until(lambda: life.snapshot().foreign_lots == 3, "a foreign trade is counted as foreign")
        assert life.snapshot().net_lots == LOTS
        assert sim.position_lots() == LOTS + 3
        await trio.sleep(61)
        assert life.bot is not None
        assert life.bot.board.reconciliation is not None
        assert life.bot.board.reconciliation.foreign_orders == 2
        await life.stopped()
        resting = {order.order_id for order in sim.resting()}
        assert {early["orderId"], late["orderId"]} <= resting, "an order of somebody else was cancelled"
        assert sim.position_lots() == (3 if policy == "flatten" else LOTS + 3)

    script(tmp_path_factory.mktemp("foreign"))


@simulated()
async def test_f28_an_order_of_a_newer_session_stops_the_older_bot(sim: Simulation) -> None:
    life = await sim.trading_bot()
    snapshot = life.snapshot()
    tap = Wiretap(sim)
    newer = encode(
        OrderIdParts(bot=snapshot.bot_id, session=snapshot.session + 1, generation=1, role="o", rung=-9, stride=1)
    )
    await sim.by_hand(side="BUY", price=591_000, quantity=10, newClientOrderId=newer)
    await life.until(lambda: life.snapshot().trading_state is TradingState.HALTED, "halted", patience_s=65)
    sent = len(tap.orders)
    await sim.quote(598_900)
    await trio.sleep(10)
    assert len(tap.orders) == sent, "a halted bot places nothing, not even exits"
    assert len(rungs(sim, "o")) == 3, "what rests stays: two filled nothing, and the other bot's"
    life.stop.request("the operator")
    await life.until_ended()
    assert life.report is not None
    assert "newer session" in life.report.after.state_reason
    # The other bot's intent is in the other bot's journal; take its order away before the journals are compared.
    orders = sim.exchange.exchange.account_of("testkey").orders[sim.symbol]
    [stranger] = [order for order in orders.values() if order.client_order_id == newer]
    del orders[stranger.order_id]


@simulated()
async def test_f9_a_clock_that_is_behind_is_read_again_and_the_order_goes_out(sim: Simulation) -> None:
    """The exchange's clock leaps ahead by more than recvWindow: -1021, a new reading, and the next intent succeeds."""
    life = await sim.trading_bot()
    tap = Wiretap(sim)
    sim.exchange.server.clock.start_ms += 20_000
    await sim.quote(598_900)
    await life.until(lambda: rungs(sim, "c") == [-1] and len(rungs(sim, "o")) == 3, "closing and ladder", patience_s=30)
    assert any("-1021" in str(message.body) for message in tap.messages), "the skew was not met, so this shows nothing"
    assert len({message.body["newClientOrderId"] for message in tap.orders}) == len(tap.orders)
    await sim.quote(600_100)
    await life.until(lambda: life.snapshot().net_lots == 0 and life.quiet(), "the round trip")
    report = await life.stopped()
    assert not report.tie_out.differences


def asked(messages: list[Message], since: float, until: float) -> list[Message]:
    """Return the requests that count (all but pings and frames of streams) between two moments."""
    return [
        message
        for message in messages
        if since < message.at < until
        and (message.is_order or message.is_cancel or message.method.split(" ")[0] in ("GET", "POST", "PUT", "DELETE"))
    ]


@simulated()
async def test_f10_a_ban_stops_everything_until_it_ends(sim: Simulation) -> None:
    life = await sim.trading_bot()
    tap = Wiretap(sim)
    await trio.sleep(10)
    sim.exchange.server.limits.ban("127.0.0.1", sim.now_ms() + 180_000)
    banned_at = trio.current_time()
    await life.until(lambda: life.snapshot().trading_state is TradingState.HALTED, "halted", patience_s=90)
    halted_at = trio.current_time()
    await sim.quote(598_900)
    await trio.sleep(banned_at + 178 - trio.current_time())
    assert not asked(tap.messages, halted_at, banned_at + 179), "a banned address that goes on is banned for longer"
    await trio.sleep(15)
    assert sim.position_lots() == LOTS
    await life.until(lambda: life.snapshot().net_lots == LOTS, "the books are right once asking is allowed again")
    report = await life.stopped()
    assert report.after.trading_state is TradingState.HALTED
    assert report.exit.confirmed, "after the ban the exit policy works"


@simulated('exit.policy="cancel-all"')
async def test_f10_f23_a_stop_in_a_ban_says_that_orders_may_rest(sim: Simulation) -> None:
    life = await sim.trading_bot()
    sim.exchange.server.limits.ban("127.0.0.1", sim.now_ms() + 600_000)
    life.stop.request("the operator")
    await life.until_ended()
    assert life.report is not None
    assert not life.report.exit.confirmed
    assert life.report.duration_s < 25
    assert len(sim.resting()) == 3
    await trio.sleep(600)
    again = await sim.trading_bot()
    report = await again.stopped()
    assert report.exit.confirmed
    assert not sim.resting()


@simulated()
async def test_f10_a_429_is_obeyed_and_trading_goes_on_after_it(sim: Simulation) -> None:
    """Somebody else at our address used up the minute's weight; orders cost none of it, questions wait."""
    life = await sim.trading_bot()
    tap = Wiretap(sim)
    limits = sim.exchange.server.limits
    await life.until(lambda: sim.now_ms() % 60_000 > 55_000, "the end of a minute")
    await life.until(lambda: sim.now_ms() % 60_000 < 1_000, "a new minute")
    began_ms = sim.now_ms()
    limits.spend_weight("127.0.0.1", limits.settings.weight.limit, began_ms)
    spent_at = trio.current_time()
    minute_ends = spent_at + (60_000 - began_ms % 60_000) / 1000
    await life.until(lambda: asked(tap.messages, spent_at, math.inf), "a question, which is refused", patience_s=60)
    refused_at = asked(tap.messages, spent_at, math.inf)[0].at
    assert refused_at < minute_ends
    await trio.sleep(minute_ends - 1 - trio.current_time())
    assert not asked(tap.messages, refused_at, minute_ends), "it asked again before Retry-After"
    await trio.sleep(max(0.0, minute_ends + 20 - trio.current_time()))
    assert life.snapshot().trading_state is TradingState.ACTIVE
    await sim.quote(598_900)
    await life.until(lambda: rungs(sim, "c") == [-1] and life.quiet(), "trading goes on")
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated()
async def test_f25_r13_a_journal_that_fails_stops_the_bot_with_nothing_sent_unrecorded(sim: Simulation) -> None:
    life = await sim.trading_bot()
    assert life.journal is not None
    database = life.journal._db
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    bid = 598_900
    while not life.ended.is_set() and trio.current_time() < 300:
        bid = 599_600 if bid == 598_900 else 598_900
        await sim.quote(bid)
        await sim.quote(bid)
        await trio.sleep(1)
    await life.until_ended()
    found = [error for error in errors_of(life.error) if isinstance(error, JournalError)]
    assert found, life.error
    assert found[0].exit_code == 4
    assert all(isinstance(error, TrioGridError) for error in errors_of(life.error))
    sim.check_journal()  # every order on the exchange was recorded before it was sent
    assert rungs(sim, "o") == [], "cancels go on, and the exit policy was applied"
    assert life.report is not None
    assert life.report.exit.confirmed
    assert life.report.after.trading_state is TradingState.HALTED
    again = await sim.trading_bot()
    assert again.snapshot().net_lots == sim.position_lots()
    report = await again.stopped()
    assert not report.tie_out.differences


@simulated(heartbeat_ms=5_000)
async def test_f21_funding_is_booked_from_the_exchange_s_own_records(sim: Simulation) -> None:
    """A position is held across a funding time: wallet and ledger move by the same amount."""
    life: Life = await sim.trading_bot("risk.reconcile_interval_s=600", "risk.price_stale_s=60")
    await sim.quote(598_900)
    await life.until(lambda: rungs(sim, "c") == [-1] and life.quiet(), "a position")
    wait_s = (sim.exchange.exchange.next_funding_ms - sim.now_ms()) / 1000
    await trio.sleep(wait_s + 20)
    await life.until(lambda: life.snapshot().ledger.funding_units, "the funding is booked")
    report = await life.stopped()
    assert report.tie_out.checked
    assert not report.tie_out.differences


@simulated()
async def test_f11_another_program_that_used_up_the_order_count_is_waited_out(sim: Simulation) -> None:
    """-1015 comes although the bot itself has placed next to nothing: one refusal, then the window's end."""
    life = await sim.trading_bot()
    tap = Wiretap(sim)
    limits = sim.exchange.server.limits
    await life.until(lambda: sim.now_ms() % 60_000 < 1_000, "a new minute")
    most = tuple(limit.limit for limit in limits.settings.orders)
    left = tuple(limit.limit - count for limit, count in limits.order_counts("testkey", sim.now_ms()))
    limits.spend_orders("testkey", left, sim.now_ms())
    assert tuple(count for _, count in limits.order_counts("testkey", sim.now_ms())) == most
    spent_at = trio.current_time()
    await sim.quote(598_900)
    await life.until(lambda: tap.orders, "orders that are refused")
    await trio.sleep(spent_at + 50 - trio.current_time())
    assert len(tap.orders) <= 6, f"{len(tap.orders)} orders were sent against a limit that has not ended"
    assert rungs(sim, "c") == []
    await life.until(lambda: rungs(sim, "c") == [-1] and len(rungs(sim, "o")) == 3, "after the window", patience_s=30)
    report = await life.stopped()
    assert not report.tie_out.differences

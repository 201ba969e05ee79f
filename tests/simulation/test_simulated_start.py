"""Start: nothing is placed before everything is ready (R11), and a start that cannot be is refused."""

from __future__ import annotations

import pytest
import trio

from tests.simulation.rig import simulated
from tests.simulation.wiretap import Wiretap
from trio_grid.errors import ConfigError, StartRefused, TrioGridError, UnexplainedHoldings
from trio_grid.testing.bot import KLINE_STREAM, LOTS, PRICE_STREAM, USER_STREAM, Life, Simulation
from trio_grid.testing.memory_network import Direction, Link


def refusal(life: Life) -> TrioGridError:
    """Return the one error that ended a life."""
    error: BaseException | None = life.error
    while isinstance(error, BaseExceptionGroup):
        assert len(error.exceptions) == 1, error
        error = error.exceptions[0]
    assert isinstance(error, TrioGridError), error
    return error


@simulated()
async def test_r11_nothing_is_placed_before_streams_price_klines_and_reconciliation(sim: Simulation) -> None:
    tap = Wiretap(sim)
    life = await sim.trading_bot()
    first_order = tap.messages.index(tap.orders[0])
    before = tap.messages[:first_order]
    for target in (USER_STREAM, PRICE_STREAM, KLINE_STREAM):
        confirmed = [
            message
            for message in before
            if message.link.target.startswith(target)
            and message.direction is Direction.TO_CLIENT
            and message.body.get("id") is not None
        ]
        assert confirmed, f"{target} was not confirmed before the first order"
    prices = [message for message in before if message.body.get("e") == "bookTicker"]
    assert prices
    last_stream = max(before.index(message) for message in before if message.method == "SUBSCRIBE")
    asked = [message.method for message in before[last_stream:]]
    for question in ("GET /fapi/v1/userTrades", "GET /fapi/v1/openOrders", "GET /fapi/v3/positionRisk"):
        assert question in asked, f"{question} was not asked between the last stream and the first order"
    assert len(tap.orders) == 3
    await life.stopped()


@pytest.mark.parametrize(
    ("target", "waits_for"),
    [(USER_STREAM, "user stream"), (PRICE_STREAM, "first price"), (KLINE_STREAM, "klines"), ("rest", "reconciliation")],
)
def test_r11_each_part_is_waited_for(tmp_path_factory: pytest.TempPathFactory, target: str, waits_for: str) -> None:
    @simulated()
    async def script(sim: Simulation) -> None:
        tap = Wiretap(sim)
        session_began = "GET /fapi/v1/allOrders"  # the last question before the session begins

        def silenced(link: Link, direction: Direction, data: bytes) -> bool:
            if target == "rest":
                seen = bool(tap.requests(session_began)) and data.startswith(b"GET /fapi/v1/openOrders")
                return seen and direction is Direction.TO_SERVER
            return link.target.startswith(target) and direction is Direction.TO_CLIENT

        give_back = tap.lose(silenced)
        life = await sim.start_bot()
        await trio.sleep(40)
        assert not sim.orders()
        assert not life.trading
        assert life.bot is not None
        assert waits_for in life.bot.board.waiting_for
        give_back()
        await life.until_trading()
        await life.until(lambda: len(sim.resting()) == 3, "the ladder")
        await life.stopped()

    script(tmp_path_factory.mktemp("waits"))


@simulated("risk.startup_timeout_s=30")
async def test_r11_a_start_that_takes_too_long_is_refused_with_nothing_placed(sim: Simulation) -> None:
    tap = Wiretap(sim)
    tap.lose(lambda link, direction, data: link.target.startswith(KLINE_STREAM) and direction is Direction.TO_CLIENT)
    life = await sim.start_bot()
    began_at = trio.current_time()
    await life.until_ended()
    assert trio.current_time() - began_at < 31
    error = refusal(life)
    assert isinstance(error, StartRefused)
    assert error.exit_code == 3
    assert "klines" in str(error)
    assert not tap.orders
    assert not tap.cancels
    sim.check_nothing_left(life.owner)


@simulated()
async def test_r11_a_first_reconciliation_that_finds_no_server_is_waited_out(sim: Simulation) -> None:
    """Not one byte comes through for a while; the bot says what it waits for and then starts."""
    sim.network.refuse("bot 1")
    life = await sim.start_bot()
    await trio.sleep(20)
    assert life.bot is not None
    assert "clock" in life.bot.board.waiting_for
    sim.network.refuse("bot 1", False)
    assert await life.until_trading()
    await life.until(lambda: len(sim.resting()) == 3, "the ladder")
    await life.stopped()


@simulated()
async def test_f14_hedge_mode_is_refused_with_the_way_to_change_it(sim: Simulation) -> None:
    tap = Wiretap(sim)
    tap.change(b'"dualSidePosition":false', b'"dualSidePosition":true ')
    life = await sim.start_bot()
    await life.until_ended()
    error = refusal(life)
    assert isinstance(error, StartRefused)
    assert "one-way" in str(error)
    assert not tap.orders


@simulated()
async def test_r12_a_position_that_no_slot_explains_is_refused_and_shown(sim: Simulation) -> None:
    await sim.by_hand(side="BUY", quantity=7)
    life = await sim.start_bot()
    await life.until_ended()
    error = refusal(life)
    assert isinstance(error, UnexplainedHoldings)
    assert error.exit_code == 4
    assert "0.007" in str(error)
    allowed = await sim.start_bot(allow_foreign_position=True)
    await allowed.until_trading()
    await allowed.until(lambda: len(sim.resting()) == 3, "the ladder")
    assert allowed.snapshot().baseline_lots == 7
    assert allowed.snapshot().net_lots == 0
    await allowed.stopped()
    assert sim.position_lots() == 7


@simulated("grid.interval=20")
async def test_f13_a_ladder_that_cannot_earn_its_fees_is_refused(sim: Simulation) -> None:
    life = await sim.start_bot()
    await life.until_ended()
    error = refusal(life)
    assert isinstance(error, StartRefused | ConfigError)
    assert not sim.orders()


@simulated()
async def test_f17_s15_a_restart_goes_on_with_the_same_lattice_and_slots(sim: Simulation) -> None:
    first = await sim.trading_bot('exit.policy="keep"')
    await sim.quote(598_900)
    await first.until_quiet()
    before = {order.client_order_id for order in sim.resting()}
    await first.stopped()
    await sim.quote(599_430)  # another first price than that of the first start
    second = await sim.trading_bot('exit.policy="keep"')
    assert second.snapshot().anchor_ticks == 600_000
    assert {order.client_order_id for order in sim.resting()} == before, "a second ladder beside the first"
    held = {slot.rung: slot.inventory_lots for slot in second.snapshot().slots if slot.inventory_lots}
    assert held == {-1: LOTS}
    await second.stopped()


@simulated()
async def test_s3_f16_orders_that_fill_while_the_bot_is_down_are_adopted_with_the_traded_quantity(
    sim: Simulation,
) -> None:
    first = await sim.trading_bot('exit.policy="keep"')
    await first.stopped()
    await sim.quote(598_200)
    await sim.trade(598_000, 4, seller_takes=True)
    assert sim.position_lots() == LOTS + 4
    second = await sim.trading_bot()
    held = {slot.rung: slot.inventory_lots for slot in second.snapshot().slots if slot.inventory_lots}
    assert held == {-1: LOTS, -2: 4}
    report = await second.stopped()
    assert report.after.position_lots == LOTS + 4

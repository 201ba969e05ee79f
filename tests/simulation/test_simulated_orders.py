"""Orders whose outcome is lost, late, refused or overtaken: none is doubled, forgotten, or booked twice."""

from __future__ import annotations

import pytest
import trio

from tests.simulation.rig import simulated
from tests.simulation.wiretap import Wiretap, order_answers, order_events
from trio_grid.domain.client_order_id import decode
from trio_grid.domain.inputs import Condition
from trio_grid.domain.slot import OrderStatus
from trio_grid.exchange.paper.server.request_limits import ORDER_LIMITS, LimitSettings
from trio_grid.exchange.protocol.rate_limits import ORDERS, RateLimit
from trio_grid.testing.bot import LOTS, ORDER_ENTRY, USER_STREAM, Life, Simulation
from trio_grid.testing.memory_network import Direction, Link


def pause(life: Life, active: bool = True) -> None:
    """What the control command does."""
    assert life.bot is not None
    assert life.bot.desk is not None
    desk = life.bot.desk
    desk.dispatcher.carry_out(desk.manager.set_condition(Condition.PAUSED, active, "the test"))


def rungs(sim: Simulation, role: str) -> list[int]:
    """Return the rungs of our resting orders of a role."""
    return sorted(parts.rung for _, parts in sim.ours(sim.resting()) if parts.role == role)


def locked(life: Life) -> int:
    """Return how many slots have an order that the exchange has shown as live."""
    return sum(slot.status is OrderStatus.LOCKED for slot in life.snapshot().slots)


def no_order_entry(link: Link, direction: Direction, data: bytes) -> bool:
    """Let no connection to the WebSocket API come about."""
    if link.target.startswith(ORDER_ENTRY):
        link.cut()
    return False


async def round_trip(sim: Simulation, life: Life) -> None:
    """Buy one level, sell it, and find the books right."""
    await sim.quote(598_900)
    await life.until(lambda: rungs(sim, "c") == [-1] and life.quiet(), "a closing")
    await sim.quote(600_100)
    await life.until(lambda: life.snapshot().net_lots == 0 and life.quiet(), "the round trip")


@simulated()
async def test_f1_accepted_with_no_answer_on_the_websocket_is_not_sent_again(sim: Simulation) -> None:
    tap = Wiretap(sim)
    give_back = [tap.lose(order_answers), tap.lose(order_events)]
    life = await sim.start_bot()
    await life.until(lambda: len(sim.resting()) == 3, "the ladder on the exchange")
    await life.until(
        lambda: all(slot.status is OrderStatus.UNKNOWN for slot in life.snapshot().slots), "nobody knows", patience_s=6
    )
    assert life.snapshot().counters.orders_placed == 3
    await life.until(lambda: locked(life) == 3, "the exchange's record settles it", patience_s=30)
    for end in give_back:
        end()
    await trio.sleep(15)
    assert len(tap.orders) == len(sim.orders()) == 3, "an order was sent twice"
    await round_trip(sim, life)
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated()
async def test_f1_accepted_with_no_answer_by_rest_is_not_sent_again(sim: Simulation) -> None:
    """The WebSocket API cannot be had, so orders take the fallback; its answers and the reports are lost."""
    tap = Wiretap(sim)
    deaf: list[Link] = []

    def answers_to_orders(link: Link, direction: Direction, data: bytes) -> bool:
        if direction is Direction.TO_SERVER and data.startswith(b"POST /fapi/v1/order?"):
            deaf.append(link)
        return direction is Direction.TO_CLIENT and link in deaf

    tap.lose(no_order_entry)
    give_back = [tap.lose(answers_to_orders), tap.lose(order_events)]
    life = await sim.start_bot()
    await life.until(lambda: len(sim.resting()) == 3, "the ladder on the exchange")
    assert {message.method for message in tap.orders} == {"POST /fapi/v1/order"}
    await life.until(lambda: locked(life) == 3, "the exchange's record settles it", patience_s=30)
    for end in give_back:
        end()
    await trio.sleep(15)
    assert len(tap.orders) == len(sim.orders()) == 3, "an order was sent twice"
    await round_trip(sim, life)
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated()
async def test_f1_r4_a_request_that_never_arrives_is_proved_absent_before_the_next(
    sim: Simulation,
) -> None:
    tap = Wiretap(sim)
    frames: list[bytes] = []

    def orders_vanish(link: Link, direction: Direction, data: bytes) -> bool:
        vanish = direction is Direction.TO_SERVER and link.target.startswith(ORDER_ENTRY) and data[:1] == b"\x81"
        frames.extend([data] if vanish else [])
        return vanish

    give_back = tap.lose(orders_vanish)
    life = await sim.start_bot()
    await life.until(lambda: frames, "the orders are sent")
    sent_at = tap.orders[0].at
    give_back()
    assert not sim.orders()
    await life.until(lambda: len(sim.resting()) == 3, "the ladder")
    # Timestamp + recvWindow + 1 s, and then two answers 2 s apart.
    assert trio.current_time() - sent_at > 5 + 1 + 2 - 0.001
    questions = [message.at for message in tap.requests("GET /fapi/v1/order")]
    assert len([at for at in questions if at - sent_at > 6]) >= 6, "three orders, two questions each"
    assert {parts.generation for _, parts in sim.ours(sim.orders())} == {4, 5, 6}, "an id that was sent was used again"
    await life.stopped()


@simulated()
async def test_f2_orders_accepted_during_an_outage_are_found_with_their_fills(sim: Simulation) -> None:
    """The network breaks while the ladder is sent: all of it was accepted, and a part fills before it is back."""
    tap = Wiretap(sim)
    give_back = [tap.lose(order_answers), tap.lose(order_events)]
    life = await sim.start_bot()
    await life.until(lambda: len(sim.resting()) == 3, "the ladder on the exchange")
    sim.network.refuse(life.owner)
    sim.network.cut(life.owner)
    for end in give_back:
        end()
    await sim.quote(599_300)
    await sim.trade(599_000, 6, seller_takes=True)
    await trio.sleep(40)
    assert life.snapshot().net_lots == 0
    sim.network.refuse(life.owner, False)
    await life.until(lambda: life.snapshot().net_lots == 6, "the fill is found")
    await life.until(life.quiet, "quiet")
    assert sorted(parts.rung for _, parts in sim.ours(sim.resting()) if parts.role == "o")[-1] >= -2
    assert len({parts.generation for _, parts in sim.ours(sim.orders())}) == len(sim.orders())
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated()
async def test_f3_f7_a_cancel_that_meets_a_fill_keeps_the_fill(sim: Simulation) -> None:
    life = await sim.trading_bot()
    tap = Wiretap(sim)
    [entry] = sim.links(life, ORDER_ENTRY)
    entry.stall(Direction.TO_SERVER)
    pause(life)
    await life.until(lambda: len(tap.cancels) == 3, "the cancels are on their way")
    slots = life.snapshot().slots
    assert [slot.status for slot in slots] == [OrderStatus.CANCELLING] * 3
    await sim.quote(598_900)
    await life.until(lambda: life.snapshot().net_lots == LOTS, "the fill is told while the cancel is on its way")
    entry.resume(Direction.TO_SERVER)
    await life.until(lambda: rungs(sim, "c") == [-1] and life.quiet(), "the closing; an exit is allowed while paused")
    refused = [message for message in tap.messages if "-2011" in str(message.body)]
    assert refused, "the cancel met no order"
    assert rungs(sim, "o") == []
    assert life.snapshot().net_lots == LOTS == sim.position_lots()
    pause(life, False)
    await sim.quote(600_100)
    await life.until(lambda: life.snapshot().net_lots == 0 and len(rungs(sim, "o")) == 3, "the round trip")
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated()
async def test_f3_f7_a_cancel_refused_before_the_fill_is_known_is_a_question(sim: Simulation) -> None:
    """-2011 arrives while the user stream is slow: not cancelled, not absent, but filled."""
    life = await sim.trading_bot()
    [stream] = sim.links(life, USER_STREAM)
    [entry] = sim.links(life, ORDER_ENTRY)
    entry.stall(Direction.TO_SERVER)
    stream.stall(Direction.TO_CLIENT)
    pause(life)
    await sim.quote(598_900)
    entry.resume(Direction.TO_SERVER)
    await life.until(lambda: life.snapshot().net_lots == LOTS, "asked and booked", patience_s=5)
    stream.resume(Direction.TO_CLIENT)
    await life.until(lambda: rungs(sim, "c") == [-1] and life.quiet(), "the closing")
    assert life.snapshot().net_lots == LOTS, "the late report must not book the fill again"
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated()
async def test_f8_an_opening_that_would_take_is_refused_once_and_never_takes(sim: Simulation) -> None:
    tap = Wiretap(sim)
    life = await sim.start_bot()
    await life.until(lambda: sim.links(life, ORDER_ENTRY), "order entry")
    [entry] = sim.links(life, ORDER_ENTRY)
    entry.stall(Direction.TO_SERVER)
    await life.until(lambda: tap.orders, "the orders are on their way")
    await sim.quote(598_500)  # the first level would now take
    entry.resume(Direction.TO_SERVER)
    await life.until(lambda: any("-5022" in str(message.body) for message in tap.messages), "the refusal")
    await life.until(lambda: len(rungs(sim, "o")) == 3 and life.quiet(), "the ladder below the price")
    assert sim.position_lots() == 0
    refusals = [message for message in tap.messages if "-5022" in str(message.body)]
    assert len(refusals) == 1
    await sim.quote(599_800)
    await life.until(lambda: -1 in rungs(sim, "o"), "the level is opened once the price is above it")
    assert sim.position_lots() == 0
    await life.stopped()


@pytest.mark.parametrize("levels", [40])
def test_f11_a_big_ladder_is_paced_by_the_order_count(tmp_path_factory: pytest.TempPathFactory, levels: int) -> None:
    minute = next(limit for limit in ORDER_LIMITS if limit.interval == "MINUTE")
    limits = LimitSettings(
        orders=(RateLimit(rate_limit_type=ORDERS, interval="SECOND", interval_num=10, limit=15), minute)
    )

    @simulated(f"grid.levels={levels}", "limits.max_inventory=1", limits=limits)
    async def script(sim: Simulation) -> None:
        tap = Wiretap(sim)
        life = await sim.start_bot()
        await life.until(lambda: len(sim.resting()) == levels, "the whole ladder")
        assert not [message for message in tap.messages if "-1015" in str(message.body)]
        by_window: dict[int, int] = {}
        for order in sim.orders():
            by_window[order.time_ms // 10_000] = by_window.get(order.time_ms // 10_000, 0) + 1
        assert max(by_window.values()) <= 15
        assert len(by_window) >= 3, "the limit was not met, so this shows nothing"
        first = min(sim.orders(), key=lambda order: order.sequence)
        assert first.price_ticks == 599_000, "nearest the price first"
        await life.stopped()

    script(tmp_path_factory.mktemp("paced"))


@simulated()
async def test_f15_a_position_reduced_by_hand_is_never_overclosed(sim: Simulation) -> None:
    life = await sim.trading_bot()
    tap = Wiretap(sim)
    await sim.quote(598_900)
    await life.until(lambda: rungs(sim, "c") == [-1] and life.quiet(), "a closing")
    await sim.by_hand(side="SELL", quantity=6)
    await life.until(lambda: life.snapshot().foreign_lots == -6, "the owner's trade is seen")
    await life.until(life.quiet, "quiet")
    assert life.snapshot().position_lots == sim.position_lots() == LOTS - 6
    assert rungs(sim, "o") == [], "openings stop while a part of the position is missing"
    sent = len(tap.orders)
    await trio.sleep(30)
    assert len(tap.orders) == sent, "the bot tries again and again"
    await sim.quote(600_100)  # the closing may trade four lots and is knocked out then
    await life.until(lambda: life.snapshot().net_lots == 6 and life.quiet(), "the knock-out is understood")
    await trio.sleep(30)
    assert sim.position_lots() == 0, "a take-profit opened a short"
    assert len(tap.orders) <= sent + 2, "the bot tries again and again"
    closings = [order for order, parts in sim.ours(sim.orders()) if parts.role == "c"]
    assert all(order.reduce_only for order in closings)
    await sim.by_hand(side="BUY", quantity=6)
    await life.until(lambda: life.snapshot().net_lots == 0, "the position is there again, so the rest is closed")
    assert sim.position_lots() == 0
    await life.until(lambda: len(rungs(sim, "o")) == 3, "the ladder is back")
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated()
async def test_s12_a_closing_that_fills_before_its_own_answer_ends_the_round_trip(sim: Simulation) -> None:
    life = await sim.trading_bot()
    [entry] = sim.links(life, ORDER_ENTRY)
    entry.stall(Direction.TO_CLIENT)
    await sim.quote(598_900)
    await life.until(lambda: rungs(sim, "c") == [-1], "the closing rests, its answer does not come")
    await sim.quote(600_100)
    await life.until(lambda: life.snapshot().net_lots == 0, "the round trip is booked")
    entry.resume(Direction.TO_CLIENT)
    await life.until(lambda: life.quiet() and -1 in rungs(sim, "o"), "the slot opens again, late answers or not")
    [slot] = [slot for slot in life.snapshot().slots if slot.rung == -1]
    assert slot.inventory_lots == 0
    assert life.snapshot().ledger.round_trips == 1
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated()
async def test_f27_fills_that_arrive_before_the_answers_are_booked_once(sim: Simulation) -> None:
    tap = Wiretap(sim)
    life = await sim.start_bot()
    await life.until(lambda: sim.links(life, ORDER_ENTRY), "order entry")
    [entry] = sim.links(life, ORDER_ENTRY)
    entry.stall(Direction.TO_CLIENT)
    await life.until(lambda: len(sim.resting()) == 3, "the ladder on the exchange")
    await sim.quote(599_300)
    await sim.trade(599_000, 4, seller_takes=True)
    await sim.trade(599_000, 6, seller_takes=True)
    await life.until(lambda: life.snapshot().net_lots == LOTS, "the fills")
    entry.resume(Direction.TO_CLIENT)
    await life.until(life.quiet, "quiet")
    assert life.snapshot().net_lots == LOTS == sim.position_lots()
    assert len({message.body["newClientOrderId"] for message in tap.orders}) == len(tap.orders)
    report = await life.stopped()
    assert not report.tie_out.differences


@pytest.mark.parametrize("path", ["order.place", "POST /fapi/v1/order"])
@pytest.mark.parametrize(("mode", "side"), [("long", "BUY"), ("short", "SELL"), ("neutral", None)])
def test_s18_every_flag_is_on_the_wire(
    tmp_path_factory: pytest.TempPathFactory, mode: str, side: str | None, path: str
) -> None:
    @simulated(f'grid.mode="{mode}"')
    async def script(sim: Simulation) -> None:
        tap = Wiretap(sim)
        if path != "order.place":
            tap.lose(no_order_entry)
        life = await sim.trading_bot()
        for bid in (598_900, 600_100, 601_100, 599_900):
            await sim.quote(bid)
            await life.until_quiet()
        closings = 0
        for message in tap.orders:
            words = message.body
            parts = decode(str(words["newClientOrderId"]))
            assert parts is not None
            opens = parts.role == "o"
            assert words["timeInForce"] == ("GTX" if opens else "GTC")
            assert words["reduceOnly"] == ("false" if opens or mode == "neutral" else "true")
            assert side is None or words["side"] == side or not opens
            closings += not opens
        assert closings
        assert {message.method for message in tap.orders} == {path}
        report = await life.stopped()
        assert not report.tie_out.differences

    script(tmp_path_factory.mktemp("flags"))


@simulated()
async def test_f23_flatten_repeats_a_cancel_that_was_cut_off(sim: Simulation) -> None:
    """The stop comes while cancels are on their way to a deaf link: they are decided again, or lots would stay held."""
    life = await sim.trading_bot('exit.policy="flatten"')
    await sim.quote(598_900)
    await life.until_quiet()
    await sim.trade(598_000, 4, seller_takes=True)
    await life.until_quiet()
    tap = Wiretap(sim)
    give_back = tap.lose(
        lambda link, direction, data: link.target.startswith(ORDER_ENTRY) and direction is Direction.TO_SERVER
    )
    pause(life)
    await life.until(lambda: tap.cancels, "cancels that nobody receives")
    give_back()
    report = await life.stopped()
    assert report.exit.confirmed, report.exit
    assert sim.position_lots() == 0
    assert not sim.resting()

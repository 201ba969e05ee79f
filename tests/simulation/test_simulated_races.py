"""Answers that are older than what is known, parts of fills, and a market that turns: each fact is booked once."""

from __future__ import annotations

import pytest
import trio

from tests.simulation.rig import simulated
from tests.simulation.wiretap import Wiretap
from trio_grid.domain.events import Trend
from trio_grid.domain.inputs import Condition
from trio_grid.testing.bot import FIRST_BID_TICKS, LOTS, Life, Simulation
from trio_grid.testing.memory_network import Direction, Link


def rungs(sim: Simulation, role: str) -> list[int]:
    """Return the rungs of our resting orders of a role."""
    return sorted(parts.rung for _, parts in sim.ours(sim.resting()) if parts.role == role)


def held(life: Life) -> dict[int, int]:
    """Return the inventory of each slot that has some."""
    return {slot.rung: slot.inventory_lots for slot in life.snapshot().slots if slot.inventory_lots}


def pause(life: Life, active: bool = True) -> None:
    """What the control command does."""
    assert life.bot is not None
    assert life.bot.desk is not None
    desk = life.bot.desk
    desk.dispatcher.carry_out(desk.manager.set_condition(Condition.PAUSED, active, "the test"))


@pytest.mark.parametrize("question", ["/fapi/v1/openOrders", "/fapi/v1/userTrades", "/fapi/v3/positionRisk"])
def test_s7_f20_an_answer_of_t1_changes_nothing_that_an_update_of_t1_5_has_changed(
    tmp_path_factory: pytest.TempPathFactory, question: str
) -> None:
    """The exchange answers before a fill, and the answer arrives after the fill's report (R8)."""

    @simulated()
    async def script(sim: Simulation) -> None:
        life = await sim.trading_bot()
        await sim.quote(598_900)
        await life.until(lambda: rungs(sim, "c") == [-1] and life.quiet(), "a closing")
        late: list[Link] = []

        def hold(link: Link, direction: Direction, data: bytes) -> bool:
            if not late and direction is Direction.TO_SERVER and data.startswith(f"GET {question}".encode()):
                link.stall(Direction.TO_CLIENT)
                late.append(link)
            return False

        Wiretap(sim).lose(hold)
        await life.until(lambda: late, "the minute's reconciliation asks", patience_s=65)
        await sim.quote(597_900)  # the second level fills
        await sim.quote(600_100)  # and both are sold
        await life.until(lambda: life.snapshot().net_lots == 0 and life.quiet(), "all of it told by the user stream")
        fills = life.snapshot().counters.fills
        late[0].resume(Direction.TO_CLIENT)
        await trio.sleep(3)
        snapshot = life.snapshot()
        assert snapshot.counters.fills == fills
        if "openOrders" in question:
            assert snapshot.counters.stale_corrections, "records of T1 were taken for news"
        assert held(life) == {}
        assert snapshot.position_lots == sim.position_lots() == 0
        assert not snapshot.closed_doors
        assert len(rungs(sim, "o")) == 3
        report = await life.stopped()
        assert not report.tie_out.differences

    script(tmp_path_factory.mktemp("fence"))


@simulated()
async def test_s9_f16_a_part_of_an_opening_that_is_then_cancelled_becomes_inventory_with_its_own_close(
    sim: Simulation,
) -> None:
    life = await sim.trading_bot()
    await sim.quote(599_300)
    await sim.trade(599_000, 4, seller_takes=True)
    await life.until(lambda: held(life) == {-1: 4}, "the part")
    assert -1 in rungs(sim, "o"), "partly filled, it stays the slot's one order"
    pause(life)
    await life.until(lambda: rungs(sim, "o") == [] and life.quiet(), "the rest is cancelled")
    [(closing, _)] = sim.ours(sim.resting())
    assert (closing.quantity_lots, closing.price_ticks, closing.reduce_only) == (4, FIRST_BID_TICKS, True)
    await sim.quote(600_100)
    await life.until(lambda: held(life) == {} and life.quiet(), "the round trip")
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated()
async def test_f16_a_closing_filled_in_parts_closes_its_slot_once(sim: Simulation) -> None:
    life = await sim.trading_bot()
    await sim.quote(598_900)
    await life.until(lambda: rungs(sim, "c") == [-1] and life.quiet(), "a closing")
    for lots in (3, 1, 2):
        await sim.trade(600_000, lots, seller_takes=False)
    await life.until(lambda: held(life) == {-1: LOTS - 6}, "parts of the closing")
    assert life.snapshot().ledger.round_trips == 0
    assert rungs(sim, "c") == [-1]
    await sim.trade(600_000, 99, seller_takes=False)
    await life.until(lambda: held(life) == {} and life.quiet(), "the rest of it")
    assert life.snapshot().ledger.round_trips == 1
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated("regime.trend_filter=true", "grid.levels=6")
async def test_s13_r10_a_falling_market_stops_buys_and_no_take_profit(sim: Simulation) -> None:
    life = await sim.trading_bot()
    await sim.quote(598_900)
    await life.until(lambda: rungs(sim, "c") == [-1] and life.quiet(), "a closing")
    bid = 598_900
    reading = life.snapshot().reading
    for _ in range(25):
        if reading is not None and reading.trend is Trend.BEAR:
            break
        bid -= 20
        await sim.quote(bid)
        await sim.trade(bid, 100, seller_takes=True)
        await trio.sleep(60)
        reading = life.snapshot().reading
    assert reading is not None
    assert reading.trend is Trend.BEAR
    assert any("BEAR" in door for door in life.snapshot().closed_doors)
    await life.until(lambda: rungs(sim, "o") == [], "resting buys are cancelled")
    assert rungs(sim, "c") == [-1], "the exit stays"
    await sim.quote(600_100)
    await life.until(lambda: held(life) == {}, "and works")
    report = await life.stopped()
    assert not report.tie_out.differences


@simulated('grid.mode="neutral"', 'exit.policy="flatten"')
async def test_neutral_slots_of_both_uses_are_flattened_one_by_one(sim: Simulation) -> None:
    """Long and short inventory are not matched with each other, and nothing is left of either."""
    life = await sim.trading_bot()
    await sim.quote(598_900)
    await life.until(lambda: held(life) == {-1: LOTS}, "long inventory")
    pause(life)  # or the fall would fill every level on its way
    await life.until(lambda: rungs(sim, "o") == [] and life.quiet(), "no openings")
    await sim.quote(598_200)
    await life.until(lambda: life.snapshot().half_ticks == 2 * 598_200 + 1, "the price is known")
    pause(life, False)
    await life.until(lambda: -2 in rungs(sim, "o") and life.quiet(), "a sell below the inventory's exit")
    await sim.trade(599_000, 3, seller_takes=False)
    await life.until(lambda: len({slot.use for slot in life.snapshot().slots if slot.inventory_lots}) == 2, "both uses")
    report = await life.stopped()
    assert report.exit.confirmed, report.exit
    assert held(life) == {}
    assert sim.position_lots() == 0
    assert not sim.resting()
    assert not report.tie_out.differences

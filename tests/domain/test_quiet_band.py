"""The quiet band: deciding only outside it gives the same actions and the same state, byte for byte."""

from __future__ import annotations

import os
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st

from tests.domain.grid_bench import ANCHOR, INSTRUMENT, LATTICE, Bench, instrument, reading, rung_price, settings
from tests.domain.seeded_world import World
from trio_grid.domain.actions import Action
from trio_grid.domain.events import OrderRefused, RejectReason
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import Condition, ConditionChanged, Decision, Input, LatticeAnchored
from trio_grid.domain.instrument import Instrument, MoneyUnits, PriceTicks, QuantityLots
from trio_grid.domain.lattice import Lattice
from trio_grid.domain.quiet_band import HIGHEST_HALF_TICKS, NEVER_MS, OrdersLeft, Probe, QuietBand
from trio_grid.domain.settings import GridSettings, LatticeSettings, Mode, OnLimit, Spacing, Trailing

LARGE = bool(os.environ.get("TRIO_GRID_LARGE"))
EXAMPLES, STEPS = (600, 600) if LARGE else (60, 150)

LATTICES = [
    LATTICE,
    LatticeSettings(spacing=Spacing.GEOMETRIC, ratio_ppm=900),
    LatticeSettings(spacing=Spacing.ARITHMETIC, interval_ticks=997, interval_divisor=2),
    LatticeSettings(spacing=Spacing.ARITHMETIC, interval_ticks=500, lowest_rung=-4, highest_rung=5),
]


@st.composite
def grids(draw: st.DrawFn) -> GridSettings:
    """Draw settings: all modes, spacings, ways of trailing, strides, limits."""

    def maybe(value: Any) -> Any:
        return draw(st.sampled_from([None, None, value]))

    return GridSettings(
        mode=draw(st.sampled_from(list(Mode))),
        lattice=draw(st.sampled_from(LATTICES)),
        levels_below=draw(st.integers(1, 6)),
        levels_above=draw(st.integers(1, 6)),
        trailing=draw(st.sampled_from(list(Trailing))),
        skew_milli=draw(st.sampled_from([0, 500, 900])),
        centre_hysteresis_milli=draw(st.sampled_from([0, 150])),
        base_per_level_lots=QuantityLots(10),
        volatility_scale_milli=draw(st.sampled_from([0, 1_000])),
        stride_dwell_ms=draw(st.sampled_from([0, 60_000])),
        max_open_orders=draw(st.sampled_from([2, 5, 180])),
        max_inventory_lots=maybe(QuantityLots(35)),
        max_notional_units=maybe(MoneyUnits(2_000 * 10**8)),
        stop_loss_ticks=maybe(PriceTicks(draw(st.sampled_from([ANCHOR - 4_000, ANCHOR + 4_000])))),
        take_profit_ticks=maybe(PriceTicks(draw(st.sampled_from([ANCHOR - 5_000, ANCHOR + 5_000])))),
        trigger_ticks=maybe(PriceTicks(ANCHOR + 300)),
        max_drawdown_units=maybe(MoneyUnits(30 * 10**8)),
        on_limit=draw(st.sampled_from(list(OnLimit))),
        closings_post_only=draw(st.booleans()),
        size_by_volatility=draw(st.booleans()),
    )


UNITS = st.sampled_from(
    [
        INSTRUMENT,
        instrument(min_quantity_lots=QuantityLots(3)),
        instrument(min_notional_units=MoneyUnits(250 * 10**8)),
        instrument(max_market_quantity_lots=QuantityLots(4)),
    ]
)


@attrs.define
class Follower:
    """A state, the actions it decided, and how often it was asked at a new price."""

    state: GridState
    everywhere: bool
    actions: list[Action] = attrs.field(factory=list)
    prices: int = 0
    decisions: int = 0

    def price(self, world: World) -> None:
        """Meet a price: decide always, or only outside the band."""
        self.prices += 1
        band = self.state.band
        inside = band is not None and band.holds(world.half, world.now_ms, self.state.sequence)
        if self.everywhere or not inside:
            self.decisions += 1
            self.decide(world)

    def tell(self, world: World, entries: list[Input]) -> None:
        for entry in entries:
            self.state.apply(entry, world.now_ms)
        self.decide(world)

    def decide(self, world: World) -> None:
        orders, refill_at_ms = world.budget.at(world.now_ms)
        row = self.state.decide(world.half, world.now_ms, orders, refill_at_ms)
        if row is not None:
            assert isinstance(row.entry, Decision)
            self.actions += row.entry.actions

    def take(self) -> list[Action]:
        taken, self.actions = self.actions, []
        return taken


def agree(world: World, a: Follower, b: Follower) -> None:
    """Assert that both decided the same and are the same, byte for byte; let the world take the actions."""
    taken = a.take()
    assert taken == b.take()
    assert a.state.image() == b.state.image()
    world.take(taken)


def drive(world: World, steps: int, restarts: bool = True) -> tuple[Follower, Follower]:
    """Let A decide at every price and B only outside its band; compare them after each step."""
    a, b = Follower(GridState.fresh(), True), Follower(GridState.fresh(), False)
    both = (a, b)
    opened: list[Input] = [
        world.session_start(),
        LatticeAnchored(anchor_ticks=PriceTicks(world.half // 2)),
        reading(),
        ConditionChanged(condition=Condition.STARTING, active=False),
    ]
    happens = opened
    for _ in range(steps):
        if happens:
            for follower in both:
                follower.tell(world, happens)
            agree(world, a, b)
        world.move()
        for follower in both:
            follower.price(world)
        agree(world, a, b)
        happens = world.event(a.state)
        if restarts and world.rng.random() < 0.004:
            for follower in both:
                follower.state = GridState.from_image(follower.state.image())
            happens = [world.session_start(), reading()]
    return a, b


@run(max_examples=EXAMPLES, deadline=None)
@given(
    chosen=grids(), units=UNITS, per_window=st.sampled_from([0, 1, 2, 3, 1_000]), seed=st.integers(0, 2**32), calm=...
)
def test_deciding_only_outside_the_band_changes_nothing(
    chosen: GridSettings, units: Instrument, per_window: int, seed: int, calm: bool
) -> None:
    world = World(seed, chosen, units, per_window, 2 * ANCHOR + 37, calm=calm)
    drive(world, STEPS)


@pytest.mark.parametrize("mode", list(Mode))
def test_in_a_quiet_market_the_band_is_not_left_at_most_prices(mode: Mode) -> None:
    """Not vacuous: B is asked at less than a quarter of the prices."""
    world = World(7, settings(mode), INSTRUMENT, 1_000, 2 * ANCHOR, calm=True)
    _, b = drive(world, 2_000, restarts=False)
    assert b.prices == 2_000
    assert b.decisions < b.prices // 4


# Edges ---------------------------------------------------------------------------------------------------------------


def quiet(**changes: Any) -> tuple[Bench, QuietBand]:
    bench = Bench(settings(Mode.NEUTRAL, **changes))
    bench.ladder(ANCHOR + 20)
    bench.fill_and_settle(-1)
    bench.decide()
    band = bench.state.band
    assert band is not None
    return bench, band


def actions_at(bench: Bench, half: int, now_ms: int) -> list[Action]:
    """Decide at another price and time on a copy of the state; return the actions."""
    copy = GridState.from_image(bench.state.image())
    row = copy.decide(half, now_ms, bench.orders, bench.refill_at_ms)
    return [] if row is None else list(row.entry.actions) if isinstance(row.entry, Decision) else []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_drawdown_units": MoneyUnits(10**9)},
        {"stop_loss_ticks": PriceTicks(ANCHOR - 40)},
        {"trailing": Trailing.NONE},
    ],
)
def test_nothing_follows_at_the_edges_inside_and_something_may_just_outside(changes: dict[str, Any]) -> None:
    bench, band = quiet(**changes)
    assert band.low < band.high
    inside = [band.low, (band.low + band.high) // 2, band.high - 1]
    for half in inside:
        for now_ms in (bench.now_ms, min(band.wake_at_ms - 1, bench.now_ms + 10**9)):
            assert band.holds(half, now_ms, bench.state.sequence)
            copy = GridState.from_image(bench.state.image())
            assert copy.decide(half, now_ms, bench.orders, bench.refill_at_ms) is None
    assert not band.holds(band.low - 1, bench.now_ms, bench.state.sequence)
    assert not band.holds(band.high, bench.now_ms, bench.state.sequence)
    assert not band.holds(band.low, band.wake_at_ms, bench.state.sequence)
    assert not band.holds(band.low, bench.now_ms, bench.state.sequence + 1)


def test_the_edges_of_a_ladder_are_the_prices_at_which_the_centre_moves() -> None:
    bench = Bench(settings(Mode.NEUTRAL, centre_hysteresis_milli=100))
    bench.ladder()
    bench.decide()
    band = bench.state.band
    assert band is not None
    assert band.high == 2 * (ANCHOR + 300) + 1
    assert band.low == 2 * (ANCHOR - 300) + 1
    assert actions_at(bench, band.high, bench.now_ms)
    assert actions_at(bench, band.low - 1, bench.now_ms)
    assert band.wake_at_ms == NEVER_MS


def test_a_pause_after_a_refusal_wakes_the_grid() -> None:
    bench = Bench(settings(levels_below=1))
    bench.open_door()
    name = bench.actions[0].client_order_id
    bench.tell(OrderRefused(client_order_id=name, reason=RejectReason.MARGIN, code=-2019, message="no"))
    band = bench.state.band
    assert band is not None
    assert band.wake_at_ms == bench.now_ms + 250
    assert actions_at(bench, 2 * ANCHOR, band.wake_at_ms - 1) == []
    assert len(actions_at(bench, 2 * ANCHOR, band.wake_at_ms)) == 1


# The Probe -----------------------------------------------------------------------------------------------------------


@given(
    half=st.integers(2, 4_000_000),
    thresholds=st.lists(st.integers(0, 4_000_000), max_size=6),
    offsets=st.lists(st.tuples(st.integers(-1_000, 1_000), st.integers(1, 5)), max_size=3),
    deadlines=st.lists(st.integers(0, 2_000), max_size=4),
    other=st.integers(2, 4_000_000),
    now=st.integers(0, 2_000),
    later=st.integers(0, 2_000),
    which=st.sampled_from(LATTICES),
)
def test_a_probe_gives_the_same_answers_everywhere_in_its_band(
    half: int,
    thresholds: list[int],
    offsets: list[tuple[int, int]],
    deadlines: list[int],
    other: int,
    now: int,
    later: int,
    which: LatticeSettings,
) -> None:
    lattice = Lattice(which, ANCHOR)

    def answers(price: int, time: int) -> tuple[list[Any], QuietBand]:
        probe = Probe(price, time, lattice)
        given_answers: list[Any] = [probe.below(threshold) for threshold in thresholds]
        given_answers += [probe.cell(offset, stride) for offset, stride in offsets]
        given_answers += [probe.due(deadline) for deadline in deadlines]
        return given_answers, probe.band(1)

    first, band = answers(half, now)
    assert band.holds(half, now, 1)
    for price in {other, band.low, min(band.high - 1, 10**9), half}:
        for time in {now, max(now, later), band.wake_at_ms - 1}:
            if price >= 2 and time >= now and band.holds(price, time, 1):
                assert answers(price, time)[0] == first
    if thresholds and not offsets and band.high < HIGHEST_HALF_TICKS:
        assert answers(band.high, now)[0] != first


def test_a_budget_that_is_spent_asks_when_there_is_more() -> None:
    probe = Probe(10, 100, Lattice(LATTICE, ANCHOR))
    assert OrdersLeft(1, 500).covers_one(probe)
    assert probe.wake_at_ms == NEVER_MS
    assert not OrdersLeft(0, 500).covers_one(probe)
    assert probe.wake_at_ms == 500
    assert rung_price(0) == ANCHOR

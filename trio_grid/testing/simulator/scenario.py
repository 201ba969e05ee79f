"""What happens in one simulated run: grid, market, faults, operator; plain values drawn from one seed.

Owns the ranges from which a seed draws. Nothing here runs; a scenario can be written by hand, cut, and printed.
"""

from __future__ import annotations

import enum
import random

import attrs

from trio_grid.testing.faults import Fault, FaultPlan
from trio_grid.testing.faults.plan import PASSING, draw_plan

MEAN_PAUSE_S = 4.0
"""Mean pause between two moves of the market."""
FAULTS_PER_HOUR = 240
CALM_TAIL = 0.1
"""The last part of a run in which nothing new goes wrong, before everything has to come to rest."""
MODES = ("long", "short", "neutral")


class Leg(enum.StrEnum):
    """How the market behaves for a while."""

    FLAT = "flat"
    QUIET = "quiet"
    LIVELY = "lively"
    CRASH = "crash"
    RALLY = "rally"
    GAP = "gap"
    WICK = "flash wick"


@attrs.frozen(kw_only=True)
class Move:
    """The market moves: `bid_ticks` from then on, and `lots` of a stranger's trade at the best price before it.

    `seller_takes` says which side's resting orders that trade meets.
    """

    at_s: float
    bid_ticks: int
    lots: int = 0
    seller_takes: bool = True


class ActKind(enum.StrEnum):
    """What operator, machine or owner of the account do to the bot."""

    PAUSE = "pause"
    RESUME = "resume"
    RESTART = "restart"
    """An orderly stop that keeps the orders, and a new start."""
    CRASH = "crash"
    """The process dies; what its kernel had taken over still arrives."""
    POWER_LOSS = "power loss"
    """The machine dies with its network, and the journal loses what was not synced."""
    ORDER_BY_HAND = "order by hand"
    """The account's owner places an order far from the market beside the bot, and leaves it."""


@attrs.frozen(kw_only=True)
class Act:
    """Something that is done to the bot at a time."""

    at_s: float
    kind: ActKind


@attrs.frozen(kw_only=True)
class Scenario:
    """One run. Times are seconds since the exchange began to serve; `settings` are `--set` words."""

    seed: int
    duration_s: float
    settings: tuple[str, ...] = ()
    moves: tuple[Move, ...] = ()
    faults: FaultPlan = attrs.Factory(FaultPlan)
    acts: tuple[Act, ...] = ()

    def words(self) -> str:
        """Return the scenario in one line."""
        acts = ", ".join(f"{act.kind} at {act.at_s:.0f} s" for act in self.acts)
        faults = ", ".join(f"{fault.kind} at {fault.when.from_s:.0f} s" for fault in self.faults.faults)
        return f"seed {self.seed}: {' '.join(self.settings)}; {len(self.moves)} moves; {acts}; {faults}"


def draw_scenario(
    seed: int, *, hours: float = 1.0, kinds: tuple[Fault, ...] = PASSING, faults: bool = True
) -> Scenario:
    """Return the scenario of a seed: the same seed, hours and kinds give the same one."""
    chance = random.Random(f"scenario {seed}")  # noqa: S311 - chance that repeats is the purpose
    duration_s = hours * 3_600
    troubled_s = duration_s * (1 - CALM_TAIL)
    count = round(hours * FAULTS_PER_HOUR * chance.uniform(0.2, 1.5)) if faults else 0
    return Scenario(
        seed=seed,
        duration_s=duration_s,
        settings=_draw_settings(chance),
        moves=tuple(_draw_moves(chance, duration_s)),
        faults=draw_plan(seed, count=max(count, 1), horizon_s=troubled_s, kinds=kinds) if faults else FaultPlan(),
        acts=tuple(_draw_acts(chance, troubled_s)) if faults else (),
    )


def _draw_settings(chance: random.Random) -> tuple[str, ...]:
    words = [f'grid.mode="{chance.choice(MODES)}"', f"grid.levels={chance.randint(2, 5)}"]
    if chance.random() < 0.3:
        words.append("limits.max_inventory=0.03")
    if chance.random() < 0.3:
        words.append("grid.skew=0.5")
    if chance.random() < 0.3:
        words.append('grid.closings="post-only"')
    return tuple(words)


def _draw_moves(chance: random.Random, duration_s: float) -> list[Move]:
    moves: list[Move] = []
    at_s, bid = 0.0, 600_000.0
    leg, leg_ends_s = Leg.LIVELY, 0.0
    while at_s < duration_s:
        if at_s >= leg_ends_s:
            leg = chance.choice(tuple(Leg))
            leg_ends_s = at_s + chance.uniform(10, 180)
            if leg is Leg.GAP:
                bid += chance.choice((-1, 1)) * chance.uniform(1_500, 6_000)
            if leg is Leg.WICK:
                depth = chance.choice((-1, 1)) * chance.uniform(1_500, 9_000)
                moves.append(Move(at_s=at_s, bid_ticks=round(bid + depth)))
                at_s += chance.uniform(0.05, 1.0)
        drift, spread = _LEGS[leg]
        # A pull home keeps a long run near the grid, so that there is something to trade.
        bid += drift + chance.gauss(0, spread) + (600_000 - bid) * 0.01
        lots = chance.choice((0, 0, 1, 3, 12))
        moves.append(Move(at_s=round(at_s, 3), bid_ticks=round(bid), lots=lots, seller_takes=chance.random() < 0.5))
        at_s += chance.expovariate(1 / MEAN_PAUSE_S)
    return moves


_LEGS: dict[Leg, tuple[float, float]] = {
    Leg.FLAT: (0, 0),
    Leg.QUIET: (0, 60),
    Leg.LIVELY: (0, 500),
    Leg.CRASH: (-400, 300),
    Leg.RALLY: (400, 300),
    Leg.GAP: (0, 200),
    Leg.WICK: (0, 150),
}
"""Drift and spread of a move, in ticks of a grid whose interval is 1,000."""


def _draw_acts(chance: random.Random, until_s: float) -> list[Act]:
    acts = []
    for _ in range(chance.randint(0, max(1, round(until_s / 300)))):
        at_s, kind = round(chance.uniform(20, max(21, until_s)), 3), chance.choice(tuple(ActKind))
        acts.append(Act(at_s=at_s, kind=kind))
        if kind is ActKind.PAUSE:
            acts.append(Act(at_s=at_s + chance.uniform(5, 60), kind=ActKind.RESUME))
    # Whatever was paused is resumed before the end, so that there is a ladder to look at.
    return [*sorted(acts, key=lambda act: act.at_s), Act(at_s=until_s, kind=ActKind.RESUME)]

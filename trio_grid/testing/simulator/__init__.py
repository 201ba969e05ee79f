"""The simulator: the whole bot, its wire protocol included, repeatable from one seed.

`draw_scenario(seed, ...)` says what happens, `simulate(scenario, folder)` lets it happen and returns what was found.
"""

from trio_grid.testing.simulator.run import Outcome, simulate
from trio_grid.testing.simulator.scenario import Act, ActKind, Leg, Scenario, draw_scenario

__all__ = ["Act", "ActKind", "Leg", "Outcome", "Scenario", "draw_scenario", "simulate"]

"""What holds for all tests: whatever is left to chance is the same each time, so that a red run can be repeated.

That is Hypothesis' search and the order in which Trio runs its tasks. `just search` searches anew each time, and finds
more. No example has a deadline and none is too slow: a busy machine is no fault of the code.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from trio_grid.testing.seeded import seeded_scheduler

SEARCHING = os.environ.get("TRIO_GRID_LARGE") == "1"

settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeat", settings.get_profile("search"), derandomize=True, database=None)
settings.load_profile("search" if SEARCHING else "repeat")


@pytest.fixture(autouse=True)
def _the_same_order_of_tasks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Seed Trio's scheduler by the test's name."""
    if SEARCHING:
        yield
        return
    with seeded_scheduler(request.node.nodeid):
        yield

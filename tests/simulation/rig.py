"""How a simulation is written here: an async function that gets the `Simulation` and runs by seed and virtual time."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio

from trio_grid.testing.bot import Simulation, open_simulation
from trio_grid.testing.seeded import seeded_run

ALL = os.environ.get("TRIO_GRID_DRILLS") == "all"
"""`just drills` takes every step of a drill, the plain run a sample."""

Script = Callable[[Simulation], Awaitable[None]]


def simulated(*overrides: str, seed: int = 1, **options: Any) -> Callable[[Script], Callable[[Path], None]]:
    """Make a test of a script; `overrides` are `--set` words, `options` those of `open_simulation`."""

    def decorate(script: Script) -> Callable[[Path], None]:
        def test(tmp_path: Path) -> None:
            run_simulation(script, tmp_path, *overrides, seed=seed, **options)

        test.__name__ = getattr(script, "__name__", "script")
        test.__doc__ = script.__doc__
        test.__module__ = script.__module__
        return test

    return decorate


def run_simulation(
    script: Script,
    folder: Path,
    *overrides: str,
    seed: int = 1,
    instruments: tuple[trio.abc.Instrument, ...] = (),
    **options: Any,
) -> None:
    """Run a script once; its own error comes out of the nurseries, with the seed noted on it."""

    async def main() -> None:
        async with open_simulation(folder, *overrides, seed=seed, **options) as simulation:
            await script(simulation)

    try:
        seeded_run(seed, main, *instruments)
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        error.add_note(f"seed {seed}")
        # A pytest report of the one assertion reads better than the groups around it, and loses nothing of its own.
        raise error from None  # noqa: ASYNC123

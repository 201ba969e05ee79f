"""`trio-grid simulate`: the whole bot and the whole exchange in one process, run after run, each from one seed.

Owns the command's options, its progress and its report. What happens and what must hold is the simulator's.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from trio_grid.cli.output import say

if TYPE_CHECKING:
    from trio_grid.testing.simulator import Outcome

MOST_SEEDS = 1_000_000
LAST_EVENTS = 25


@attrs.frozen(kw_only=True)
class SimulateOptions:
    """What was asked for; seeds are first and last."""

    first: int
    last: int
    hours: float
    faults: bool
    jobs: int
    explain: bool


def add_simulate_parser(subparsers: Any) -> None:
    """Add the command to the program's parser; its handler is `simulate_command`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "simulate",
        help="run the whole bot against the whole exchange in virtual time, under faults drawn from seeds",
        description="Each seed draws a market, a grid, faults, restarts and operator actions; what must hold is checked"
        " after every event. Exit code 1 if anything was violated.",
    )
    parser.add_argument(
        "--seeds", type=_seeds, default=(1, 20), metavar="A..B", help="the seeds to run (default: 1..20)"
    )
    parser.add_argument("--hours", type=_hours, default=0.2, metavar="H", help="virtual hours of a run (default: 0.2)")
    parser.add_argument(
        "--faults", choices=("all", "none"), default="all", help="whether the world misbehaves (default: all)"
    )
    parser.add_argument(
        "--jobs", type=_jobs, default=os.cpu_count() or 1, metavar="N", help="processes (default: all processors)"
    )
    parser.add_argument("--explain", action="store_true", help="print the whole timeline of each run")
    parser.set_defaults(handler=simulate_command)


def simulate_command(arguments: argparse.Namespace) -> int:
    """Run the command."""
    first, last = arguments.seeds
    return run_seeds(
        SimulateOptions(
            first=first,
            last=last,
            hours=arguments.hours,
            faults=arguments.faults == "all",
            jobs=arguments.jobs,
            explain=arguments.explain,
        )
    )


def run_seed(seed: int, options: SimulateOptions) -> Outcome:
    """Run one seed in a folder of its own."""
    # Here and not above: no other command should wait for the test kit to be imported.
    from trio_grid.testing.simulator import draw_scenario, simulate

    logging.disable(logging.CRITICAL)
    scenario = draw_scenario(seed, hours=options.hours, faults=options.faults)
    with tempfile.TemporaryDirectory(prefix="trio-grid-sim-") as folder:
        return simulate(scenario, Path(folder))


def run_seeds(options: SimulateOptions) -> int:
    """Run every seed, print violations as they come and a summary at the end; return the exit code."""
    begun = time.monotonic()
    done = violated = fills = 0
    total = options.last - options.first + 1
    for outcome in _outcomes(options):
        done += 1
        fills += outcome.fills
        if outcome.violation:
            violated += 1
            _tell(outcome)
        if options.explain:
            say("\n".join((outcome.scenario.words(), *outcome.timeline)))
        if sys.stderr.isatty():
            rate = done / (time.monotonic() - begun)
            sys.stderr.write(f"\r{done}/{total} seeds, {rate:.2f} a second, {violated} violated ")
            sys.stderr.flush()
    seconds = time.monotonic() - begun
    hours = done * options.hours
    say(
        f"{done} seeds, {hours:g} virtual hours, {fills} fills, {violated} violated;"
        f" {seconds:.0f} s, {hours * 3_600 / max(seconds, 1e-9):.0f} virtual seconds a second"
    )
    return 1 if violated else 0


def _outcomes(options: SimulateOptions) -> Iterator[Outcome]:
    seeds = range(options.first, options.last + 1)
    if options.jobs == 1 or len(seeds) == 1:
        yield from (run_seed(seed, options) for seed in seeds)
        return
    # Fresh processes: a fork would share Trio's and the journal's state with this one.
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(run_seed, seed, options) for seed in seeds]
        for run in as_completed(runs):
            yield run.result()


def _tell(outcome: Outcome) -> None:
    say(f"VIOLATED by seed {outcome.scenario.seed}: {outcome.violation}")
    say(f"  {outcome.scenario.words()}")
    for line in outcome.timeline[-LAST_EVENTS:]:
        say(f"  {line}")


def _seeds(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    try:
        seeds = (int(first), int(last if dots else first))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of seeds: allowed is A..B, as 1..20, or one") from None
    if not 0 <= seeds[0] <= seeds[1] or seeds[1] - seeds[0] >= MOST_SEEDS:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are 0 <= A <= B, at most {MOST_SEEDS} seeds")
    return seeds


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0.01 <= hours <= 1_000:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are 0.01 to 1000 hours")
    return hours


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed are 1 to 256 processes")
    return int(text)

"""Explore the core's worlds and print what was seen: `python -m tests.model [--slots N] [--air N] ...`."""

import argparse
import sys
import time

from tests.model.explore import Explorer
from tests.model.moves import Bounds


def main(arguments: list[str]) -> int:
    """Explore, print the counts, and return 1 if a bad world or one without a way to rest was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--slots", type=int, default=1, help="cells of the grid")
    parser.add_argument("--air", type=int, default=1, help="messages under way to the bot at once")
    parser.add_argument("--ghosts", type=int, default=0, help="requests without an outcome that may still arrive")
    parser.add_argument("--generations", type=int, help="orders that each slot may use up (default: any number)")
    parser.add_argument("--depth", type=int, help="moves from the first world (default: any number)")
    options = parser.parse_args(arguments)
    bounds = Bounds(air=options.air, ghosts=options.ghosts, generations=options.generations)
    begun = time.monotonic()
    found = Explorer(options.slots, bounds, options.depth).run()
    seconds = time.monotonic() - begun
    for name, count in found.taken.items():
        print(f"{count:>10,}  {name}")
    extent = "complete" if found.complete else f"cut at depth {found.depth}"
    print(f"{found.worlds:,} worlds, {found.moves:,} moves, depth {found.depth}, {extent}, {seconds:.0f} s")
    print(f"{found.quiet:,} quiet worlds; from {found.restless:,} no quiet one can be reached")
    if found.bad:
        print(f"BAD: {found.bad}")
        print("\n".join(f"  {number:>3}  {step}" for number, step in enumerate(found.trace, start=1)))
    return 1 if found.bad or found.restless else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

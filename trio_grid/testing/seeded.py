"""Runs of the whole stack that are the same, byte for byte, for the same seed.

Owns the only use of Trio's and wsproto's private names in the project: Trio has no public switch for a deterministic
scheduler, and wsproto takes its masks from the system's randomness. Every name is put back after the run.
"""

from __future__ import annotations

import random
import types
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio
import trio.testing
import wsproto.frame_protocol
import wsproto.utilities

ResultT = TypeVar("ResultT")


def seeded_run(
    seed: int,
    main: Callable[[], Awaitable[ResultT]],
    *instruments: trio.abc.Instrument,
    clock: trio.abc.Clock | None = None,
) -> ResultT:
    """Run `main` under MockClock (autojump) with every source of chance seeded, and return its result.

    Trio sorts each batch of runnable tasks and then shuffles it by its generator: with the switch on and the generator
    seeded, equal deadlines and sets of tasks no longer show. Do not call it inside a Hypothesis test with a seed of its
    own: Hypothesis seeds the same generator.
    """
    import trio._core._run as runner  # the private names live here and nowhere else

    module: Any = runner
    masks: Any = random.Random(f"mask {seed}")  # noqa: S311 - chance that repeats is the purpose
    frames: Any = wsproto.frame_protocol
    utilities: Any = wsproto.utilities
    kept = (
        module._ALLOW_DETERMINISTIC_SCHEDULING,
        module._r.getstate(),
        random.getstate(),
        frames.os,
        utilities.os,
    )
    try:
        module._ALLOW_DETERMINISTIC_SCHEDULING = True
        module._r.seed(seed)
        random.seed(f"global {seed}")
        frames.os = utilities.os = types.SimpleNamespace(urandom=masks.randbytes)
        if clock is None:
            clock = trio.testing.MockClock(autojump_threshold=0)
        return trio.run(main, clock=clock, instruments=list(instruments))
    finally:
        module._ALLOW_DETERMINISTIC_SCHEDULING = kept[0]
        module._r.setstate(kept[1])
        random.setstate(kept[2])
        frames.os, utilities.os = kept[3], kept[4]

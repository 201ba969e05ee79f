"""Runs of the whole stack that are the same, byte for byte, for the same seed.

Owns the only use of Trio's and wsproto's private names in the project: Trio has no public switch for a deterministic
scheduler, and wsproto takes its masks from the system's randomness. Every name is put back after the run.
"""

from __future__ import annotations

import contextlib
import random
import types
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import trio
import trio.testing
import wsproto.frame_protocol
import wsproto.utilities

ResultT = TypeVar("ResultT")


@contextlib.contextmanager
def seeded_scheduler(seed: int | str) -> Iterator[None]:
    """Let Trio choose the same order of runnable tasks each time, in every run inside the context.

    Trio sorts each batch of runnable tasks and then shuffles it by its generator: with the switch on and the generator
    seeded, equal deadlines and sets of tasks no longer show.
    """
    import trio._core._run as runner  # the private names live here and nowhere else

    module: Any = runner
    kept = module._ALLOW_DETERMINISTIC_SCHEDULING, module._r.getstate()
    try:
        module._ALLOW_DETERMINISTIC_SCHEDULING = True
        module._r.seed(seed)
        yield
    finally:
        module._ALLOW_DETERMINISTIC_SCHEDULING = kept[0]
        module._r.setstate(kept[1])


def seeded_run(
    seed: int,
    main: Callable[[], Awaitable[ResultT]],
    *instruments: trio.abc.Instrument,
    clock: trio.abc.Clock | None = None,
) -> ResultT:
    """Run `main` under MockClock (autojump) with every source of chance seeded, and return its result.

    Do not call it inside a Hypothesis test with a seed of its own: Hypothesis seeds the same generator.
    """
    masks: Any = random.Random(f"mask {seed}")  # noqa: S311 - chance that repeats is the purpose
    frames: Any = wsproto.frame_protocol
    utilities: Any = wsproto.utilities
    kept = random.getstate(), frames.os, utilities.os
    try:
        random.seed(f"global {seed}")
        frames.os = utilities.os = types.SimpleNamespace(urandom=masks.randbytes)
        if clock is None:
            clock = trio.testing.MockClock(autojump_threshold=0)
        with seeded_scheduler(seed):
            return trio.run(main, clock=clock, instruments=list(instruments))
    finally:
        random.setstate(kept[0])
        frames.os, utilities.os = kept[1], kept[2]

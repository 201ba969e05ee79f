import os
import random
import subprocess
import sys
from typing import Any

import pytest
import trio
import wsproto.frame_protocol

from trio_grid.testing.drills import IN_BOT, CancelAtStep, StepTrace, marked_tasks
from trio_grid.testing.seeded import seeded_run


async def chancy() -> list[object]:
    """Equal deadlines, a lock, a set of tasks, global chance: everything whose order could differ."""
    seen: list[object] = []
    lock = trio.Lock()

    async def worker(number: int) -> None:
        await trio.sleep(1)
        async with lock:
            seen.append((number, random.random()))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(worker, number)
    masks: Any = wsproto.frame_protocol
    seen.append(masks.os.urandom(8))
    return seen


def test_same_seed_same_steps_and_another_seed_others() -> None:
    traces = [StepTrace() for _ in range(3)]
    results = [seeded_run(seed, chancy, trace) for seed, trace in zip((1, 1, 2), traces, strict=True)]
    assert results[0] == results[1] != results[2]
    assert traces[0].digest() == traces[1].digest() != traces[2].digest()
    assert traces[0].steps > 100


def test_everything_private_is_put_back() -> None:
    import trio._core._run as runner

    before = (runner._ALLOW_DETERMINISTIC_SCHEDULING, runner._r.getstate(), random.getstate())

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        seeded_run(3, fail)
    assert (runner._ALLOW_DETERMINISTIC_SCHEDULING, runner._r.getstate(), random.getstate()) == before
    masks: Any = wsproto.frame_protocol
    assert masks.os is os


SESSION = """
import hashlib
from tests.exchange.paper_server.session_for_seeds import session
from trio_grid.testing.drills import StepTrace
from trio_grid.testing.seeded import seeded_run
trace = StepTrace()
print(hashlib.sha256(repr(seeded_run(5, session, trace)).encode()).hexdigest(), trace.digest())
"""


def test_the_whole_server_repeats_whatever_the_hash_seed() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", SESSION],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "77")
    }
    assert len(outputs) == 1


def test_cancel_at_every_step_hits_each_step_once_and_leaves_nothing() -> None:
    def run(instrument: CancelAtStep) -> list[str]:
        async def part() -> None:
            IN_BOT.set(True)
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(trio.sleep, 1)

        async def main() -> list[str]:
            with trio.CancelScope() as scope:
                instrument.scope = scope
                await part()
            IN_BOT.set(False)
            return list(marked_tasks())

        return seeded_run(4, main, instrument)

    counter = CancelAtStep()
    assert run(counter) == []
    assert counter.count > 5
    for k in range(1, counter.count + 1):
        drill = CancelAtStep(k)
        assert run(drill) == []
        assert drill.where, k

"""Shutdown drills: cancel a part of the program just before its k-th task step, for every k.

Owns the instruments and the mark that tells the tasks under drill from the rest. An exception in an instrument is only
logged by Trio and switches the instrument off, so they record, and the test asserts afterwards.
"""

from __future__ import annotations

import contextvars
import hashlib
from collections.abc import Iterator

import trio

IN_BOT: contextvars.ContextVar[bool] = contextvars.ContextVar("in_bot", default=False)
"""Set to True first thing in the task under drill; every task that it starts inherits it (libraries' tasks too)."""


class CancelAtStep(trio.abc.Instrument):
    """Counts the steps of the marked tasks, from the moment that `scope` is set; cancels it just before step k.

    With k None it only counts. Runs must be seeded (`seeded_run`), or step k is not the same step twice. `again_after`
    cancels `second_scope` that many steps later: the drill of a second signal inside the exit policy.
    """

    def __init__(self, k: int | None = None, *, again_after: int | None = None) -> None:
        self.k = k
        self.count = 0
        self.where = ""
        self.scope: trio.CancelScope | None = None
        self.second_scope: trio.CancelScope | None = None
        self._again_after = again_after

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count one step."""
        if self.scope is None or not task.context.get(IN_BOT, False):
            return
        self.count += 1
        if self.k is None:
            return
        if self.count == self.k:
            self.where = task.name
            self.scope.cancel(reason=f"drill at step {self.k}")
        elif self._again_after is not None and self.count == self.k + self._again_after and self.second_scope:
            self.second_scope.cancel(reason=f"second drill at step {self.count}")


class StepTrace(trio.abc.Instrument):
    """Hashes the order of all task steps: two runs that differ anywhere differ here first."""

    def __init__(self) -> None:
        self.steps = 0
        self._hash = hashlib.sha256()
        self._numbers: dict[trio.lowlevel.Task, int] = {}
        self._spawned = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Number the task: tasks of one function are told apart by the order of their births."""
        self._spawned += 1
        self._numbers[task] = self._spawned

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Forget the task."""
        self._numbers.pop(task, None)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Add one step."""
        self.steps += 1
        self._hash.update(f"{self._numbers.get(task, 0)} {task.name}\n".encode())

    def digest(self) -> str:
        """Return the hash of all steps so far."""
        return self._hash.hexdigest()


def marked_tasks(task: trio.lowlevel.Task | None = None) -> Iterator[str]:
    """Yield the names of the marked tasks that are alive below a task (the root task by default)."""
    if task is None:
        task = trio.lowlevel.current_root_task()
        assert task is not None, "marked_tasks is called inside trio.run"  # noqa: S101 - a misuse by the test itself
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            if child.context.get(IN_BOT, False):
                yield child.name
            yield from marked_tasks(child)

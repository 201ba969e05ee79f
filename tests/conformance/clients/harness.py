"""What every client's script shares: its operations in order, each carried out once, and one line of JSON for each.

Owns the form of the report that `tools/conformance.py` reads. It runs inside the client's own environment, so it knows
the standard library alone, nothing of the project and no client. It must never decide what counts as right: each
operation asserts that itself.
"""

import asyncio
import inspect
import json
import os
import re
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SEEN_AFTER_S = 0.5
"""How long to wait for an event before bringing about another one: the subscription may not have stood yet."""

PATIENCE_S = 120.0
"""Nothing on the loopback address takes this long: who waits longer waits for an answer that does not come."""

Body = Callable[[Any], Any]


@dataclass(frozen=True)
class Target:
    """The exchange to drive and the keys to do it with; texts all of them, without a trailing slash."""

    rest_url: str
    ws_url: str
    ws_api_url: str
    spot_ws_url: str
    spot_ws_api_url: str
    key: str
    secret: str
    second_key: str
    second_secret: str
    ed25519_key: str
    ed25519_private_pem: str

    @property
    def host(self) -> str:
        """The exchange's address without a scheme."""
        return self.rest_url.partition("://")[2]


class NotOffered(Exception):
    """The client has no call for what was asked."""


class Plain:
    """An asynchronous object, called from another thread as if it were a plain one; `unwrapped` is the object."""

    def __init__(self, unwrapped: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.unwrapped, self._loop = unwrapped, loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.unwrapped, name)
        if not callable(value):
            return value

        def call(*args: Any, **named: Any) -> Any:
            answer = value(*args, **named)
            if not inspect.isawaitable(answer):
                return answer
            return asyncio.run_coroutine_threadsafe(_result(answer), self._loop).result(PATIENCE_S)

        return call


class Suite:
    """The operations of one client, in the order in which they were written down."""

    def __init__(self) -> None:
        self._bodies: dict[str, Body] = {}
        self._not_offered: dict[str, str] = {}

    def operation(self, name: str) -> Callable[[Body], Body]:
        """Return a decorator: the function carries out the operation of this name, and raises if it went wrong."""

        def register(body: Body) -> Body:
            assert name not in self._bodies, name
            self._bodies[name] = body
            return body

        return register

    def not_offered(self, reason: str, *names: str) -> None:
        """Say that the client has no call for these operations, and why."""
        for name in names:
            assert name not in self._bodies, name
            self._not_offered[name] = reason

    def include(self, *others: "Suite") -> None:
        """Take over the operations of other suites, after the ones that are here."""
        for other in others:
            assert not other._bodies.keys() & self._bodies.keys()
            self._bodies |= other._bodies
            self._not_offered |= other._not_offered

    def run(self, make: Callable[[Target], Any]) -> None:
        """Carry out everything with a client made by `make` (plain or a coroutine function); read the target's JSON."""
        target = Target(**json.loads(sys.argv[1]))
        for name, reason in self._not_offered.items():
            report(name, "not offered", reason)
        asyncio.run(self._run(make, target))

    async def _run(self, make: Callable[[Target], Any], target: Target) -> None:
        desk = await _result(make(target))
        hung = False
        for name, body in self._bodies.items():
            try:
                await asyncio.wait_for(_called(body, desk), PATIENCE_S)
            except NotOffered as error:
                report(name, "not offered", str(error))
            except Exception as error:
                report(name, "failed", told(error))
                hung |= isinstance(error, TimeoutError) and not inspect.iscoroutinefunction(body)
            else:
                report(name, "ok")
        close = getattr(desk, "close", None)
        if close is not None:
            await _result(close())
        if hung:
            # A thread that waits for ever would keep the program from ending.
            os._exit(1)


async def _called(body: Body, desk: Any) -> None:
    """Carry out one operation: a plain function in a thread of its own, so that it may wait for the loop."""
    if inspect.iscoroutinefunction(body):
        await body(desk)
    else:
        await asyncio.to_thread(body, desk)


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def told(error: BaseException) -> str:
    """Return what went wrong, and on which line of the client's script."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent == HERE]
    lines = [f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}" for frame in own[-2:]]
    return "\n    ".join([*traceback.format_exception_only(error)[-1].strip().splitlines(), *lines])


def report(operation: str, outcome: str, detail: str = "") -> None:
    """Write one line of the report."""
    sys.stdout.write(json.dumps({"operation": operation, "outcome": outcome, "detail": detail}) + "\n")
    sys.stdout.flush()


def snake(name: str) -> str:
    """Return a parameter's name in Python's spelling."""
    return re.sub(r"([A-Z])", r"_\1", name).lower()


async def seen(watched: Awaitable[Any], act: Callable[[], Awaitable[Any]]) -> Any:
    """Return what `watched` comes back with; `act` brings it about, again and again until it has come."""
    task = asyncio.ensure_future(watched)
    while not task.done():
        await act()
        await asyncio.wait({task}, timeout=SEEN_AFTER_S)
    return task.result()


class NotRaised(AssertionError):
    """The client took for a success what the exchange had to refuse."""


def refused(kind: type[BaseException], call: Callable[[], Any], *, code: int) -> BaseException:
    """Call and return the client's exception, which must be exactly of this class and name the exchange's code."""
    try:
        answer = call()
    except kind as error:
        return _checked(kind, error, code)
    raise NotRaised(f"{kind.__name__} was expected, the answer is {answer!r}")


async def refused_later(kind: type[BaseException], answer: Awaitable[Any], *, code: int) -> BaseException:
    """Await and return the client's exception: see `refused`."""
    try:
        result = await answer
    except kind as error:
        return _checked(kind, error, code)
    raise NotRaised(f"{kind.__name__} was expected, the answer is {result!r}")


def _checked(kind: type[BaseException], error: BaseException, code: int) -> BaseException:
    assert type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}"
    assert str(code) in str(error) or getattr(error, "code", None) == code, f"{code} is not in {error!r}"
    return error

"""Confirmed subscriptions that outlive the exchange's 24-hour limit on a connection.

Owns the change from an old connection to a new one: the new one is opened and confirmed while the old one still
speaks, then takes over with no event missing, none out of order and none twice. It never reconnects after a loss: the
owner of a subscription does, and reconciles before it trades again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

import attrs
import trio

from trio_grid.errors import ExchangeError, ExchangeUnreachable, RequestRefused
from trio_grid.exchange.binance.connector import background_nursery
from trio_grid.exchange.binance.streams import CLOSE_TIMEOUT_S, OPEN_TIMEOUT_S, RENEW_AFTER_S, Link
from trio_grid.exchange.protocol import wire
from trio_grid.exchange.protocol.messages import decode
from trio_grid.exchange.protocol.requests import subscribe_request

log = logging.getLogger(__name__)

OVERLAP_S = 3.0
"""How long both connections are read: longer than one of them can lag behind the other on a link that works."""

RENEWAL_RETRY_S = 60.0
"""After a second connection that could not be opened; the first one lives on meanwhile."""

EventT = TypeVar("EventT")
Frame = str | bytes


@attrs.define(eq=False)
class Opened:
    """A connection with a confirmed subscription, the frames that came before the confirmation, and its end.

    Whoever holds it open does so until `released` is set, and sets `closed` when it is gone.
    """

    link: Link
    early: list[Frame]
    released: trio.Event = attrs.Factory(trio.Event)
    closed: trio.Event = attrs.Factory(trio.Event)


@attrs.define(eq=False)
class _Successor:
    """The connection that is to take over: what it has said so far, and whether it is still being listened to."""

    opened: Opened
    frames: deque[Frame]
    listening: trio.CancelScope = attrs.Factory(trio.CancelScope)
    done: trio.Event = attrs.Factory(trio.Event)


Opener = Callable[[], AbstractAsyncContextManager[Opened]]


class StreamSubscription(Generic[EventT]):
    """The events of one confirmed subscription; iterate it until it raises.

    While two connections overlap, the old one's frames are given out and remembered, the new one's are kept. Each
    carries its events in order, and the new one carries all since its confirmation; so what it has said, less what was
    given out, is exactly what follows.
    """

    def __init__(self, name: str, opened: Opened, parse: Callable[[Frame], EventT | None]) -> None:
        self._name = name
        self._opened = opened
        self._parse = parse
        self._kept = deque(opened.early)
        self._successor: _Successor | None = None
        self._given: set[Frame] | None = None
        self._repeats: set[Frame] | None = None
        self._failed = False
        self.renewals = 0

    def __repr__(self) -> str:
        return f"<StreamSubscription on {self._opened.link!r} renewals={self.renewals}>"

    def __aiter__(self) -> StreamSubscription[EventT]:
        return self

    async def __anext__(self) -> EventT:
        """Return the next event.

        Raises:
            ExchangeUnreachable: the connection has ended.
            ListenKeyGone: the user stream's key has gone.
            MalformedAnswer: an event cannot be read, so what it said is lost: reconnect and reconcile.
        """
        while True:
            event = self._parse(await self._next_frame())
            if event is not None:
                return event

    async def _next_frame(self) -> Frame:
        while True:
            lost: ExchangeError | None = None
            frame: Frame = ""
            if self._kept:
                frame = self._kept.popleft()
                await trio.lowlevel.checkpoint()
            else:
                try:
                    frame = await self._opened.link.receive()
                except ExchangeError as error:
                    lost = error
            if lost is not None:
                if await self._taken_over():
                    continue
                raise lost
            if self._repeats is not None:
                if frame in self._repeats:
                    continue
                # In order: the first that is new ends the search for repetitions.
                self._repeats = None
            if self._given is not None:
                self._given.add(frame)
            return frame

    async def fail(self, failure: ExchangeError) -> None:
        """End the subscription for a reason of our own; the consumer gets it as the error of its next event."""
        self._failed = True
        await self._opened.link.fail(failure)

    async def close(self) -> None:
        """Say good-bye on the connection that is in use, waiting only briefly."""
        self._opened.released.set()
        with trio.move_on_after(2 * CLOSE_TIMEOUT_S):
            await self._opened.closed.wait()

    # Renewal --------------------------------------------------------------------------------------------------------

    async def keep_renewing(self, nursery: trio.Nursery, open_one: Opener) -> None:
        """Open a second connection whenever the first grows old, and let it take over; runs for ever."""
        pause_s = RENEW_AFTER_S
        while True:
            await trio.sleep(pause_s)
            if self._successor is not None:
                # The consumer has not come back for so long that the last change is not even complete.
                pause_s = RENEWAL_RETRY_S
                continue
            try:
                opened: Opened = await nursery.start(hold_open, open_one)
            except ExchangeError as error:
                log.warning("%s: no second connection yet, the first one goes on: %s", self._name, error)
                pause_s = max(RENEWAL_RETRY_S, getattr(error, "retry_after_s", None) or 0.0)
                continue
            pause_s = RENEW_AFTER_S if await self._overlap(opened) else RENEWAL_RETRY_S

    async def _overlap(self, opened: Opened) -> bool:
        """Listen to both connections for a while, then end the old one; return whether the new one took over."""
        self._given = set()
        successor = self._successor = _Successor(opened, deque(opened.early))
        try:
            with successor.listening:
                successor.listening.deadline = trio.current_time() + OVERLAP_S
                while True:
                    successor.frames.append(await opened.link.receive())
        except ExchangeError as error:
            log.warning("%s: the second connection was lost before it took over: %s", self._name, error)
            self._successor = self._given = None
            opened.released.set()
            return False
        finally:
            successor.done.set()
        # What the old one has received is still given out; its end then hands over to the new one.
        old = self._opened
        await old.link.fail(ExchangeUnreachable(f"{self._name}: another connection took over"))
        old.released.set()
        return True

    async def _taken_over(self) -> bool:
        """Go on with the successor, if there is one and the connection ended because of it or beside it."""
        successor = self._successor
        if successor is None or self._failed:
            return False
        successor.listening.cancel()
        await successor.done.wait()
        if self._successor is None:
            return False
        self._opened, self._kept = successor.opened, successor.frames
        self._repeats, self._given, self._successor = self._given, None, None
        self.renewals += 1
        log.info("%s: renewed before the 24-hour limit, with no event missing", self._name)
        return True


@asynccontextmanager
async def open_subscription(
    name: str, open_one: Opener, parse: Callable[[Frame], EventT | None]
) -> AsyncIterator[StreamSubscription[EventT]]:
    """Open a subscription that is renewed while the context is open; `open_one` opens one connection of it.

    Raises:
        ExchangeError: whatever the first connection met.
    """
    async with background_nursery() as nursery:
        opened: Opened = await nursery.start(hold_open, open_one)
        subscription = StreamSubscription(name, opened, parse)
        nursery.start_soon(subscription.keep_renewing, nursery, open_one)
        yield subscription
        await subscription.close()


async def hold_open(open_one: Opener, *, task_status: trio.TaskStatus[Opened]) -> None:
    """Hold one connection open until it is released."""
    gone = trio.Event()
    try:
        async with open_one() as opened:
            opened.closed = gone
            task_status.started(opened)
            await opened.released.wait()
    finally:
        gone.set()


async def subscribe(link: Link, streams: Sequence[str]) -> Opened:
    """Subscribe and wait for the confirmation.

    Raises:
        ExchangeUnreachable: no confirmation in time, or the connection ended.
        RequestRefused: the exchange refused the request.
    """
    early: list[Frame] = []
    with trio.move_on_after(OPEN_TIMEOUT_S):
        await link.send([subscribe_request(1, list(streams))])
        while True:
            frame = await link.receive()
            answer = decode(frame, wire.Answer, what="answer to SUBSCRIBE")
            if answer.error is not None:
                raise RequestRefused(answer.error.code or 0, answer.error.msg)
            if answer.id is not None:
                return Opened(link, early)
            early.append(frame)
    raise ExchangeUnreachable(f"{link!r}: the subscription was not confirmed in {OPEN_TIMEOUT_S:g} s")

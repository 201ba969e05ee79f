"""The WebSocket API: one persistent connection, requests matched to answers by id.

Owns the connection's life (it reconnects in the background) and the certainty of each request: answered, certainly not
sent, or open. It never sends anything twice and never tries another path; what to do with an open outcome is not
decided here.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence

import attrs
import msgspec
import trio

from trio_grid.errors import ExchangeError, MalformedAnswer
from trio_grid.exchange.binance.clock import ServerClock
from trio_grid.exchange.binance.connector import Connector
from trio_grid.exchange.binance.limits import Gate
from trio_grid.exchange.binance.streams import Link, NothingSent, open_link
from trio_grid.exchange.protocol import wire
from trio_grid.exchange.protocol.messages import Ignored, decode
from trio_grid.exchange.protocol.rate_limits import REQUEST_WEIGHT, RateLimit, RateLimits
from trio_grid.exchange.protocol.requests import WS_HANDSHAKE_WEIGHT, websocket_request
from trio_grid.exchange.protocol.signing import ParamValue, Signer, signed_websocket_params

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 15.0
"""Between attempts to connect: doubled each time, started over by a connection that stood."""


@attrs.frozen
class Request:
    """One request, unsigned: method and parameters."""

    method: str
    params: dict[str, ParamValue]


@attrs.frozen
class Unanswered:
    """Nothing says what became of a request that may have been sent; `request_time_ms` is the timestamp in it."""

    request_time_ms: int
    detail: str


@attrs.frozen
class Answered:
    """The exchange's answer to the request that carried `request_time_ms`."""

    request_time_ms: int
    answer: wire.Answer


class _Batch:
    """Requests that went out in one write, and what has come back."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.answers: dict[int, wire.Answer] = {}
        self.waiting = set(ids)
        self.done = trio.Event()
        self.detail = ""

    def answer(self, answer: wire.Answer, request_id: int) -> None:
        self.answers[request_id] = answer
        self.waiting.discard(request_id)
        if not self.waiting:
            self.done.set()

    def lose(self, detail: str) -> None:
        self.detail = detail
        self.done.set()


class WebSocketApi:
    """Requests over one connection; `run` keeps it open, `call` uses it."""

    def __init__(
        self,
        connect: Connector,
        url: str,
        signer: Signer,
        clock: ServerClock,
        limits: RateLimits,
        gate: Gate,
        recv_window_ms: int,
        ignored: Ignored,
    ) -> None:
        self._connect = connect
        self._url = url
        self._signer = signer
        self._clock = clock
        self._limits = limits
        self._recv_window_ms = recv_window_ms
        self._gate = gate
        self._link: Link | None = None
        self._batches: dict[int, _Batch] = {}
        self._ids = itertools.count(1)
        self._connected = trio.Event()
        self._ignored = ignored

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<WebSocketApi {self._url} {state} in_flight={len(self._batches)}>"

    @property
    def connected(self) -> bool:
        """Whether requests can be sent now."""
        return self._link is not None

    async def wait_connected(self) -> None:
        """Return when requests can be sent."""
        await self._connected.wait()

    async def run(self) -> None:
        """Keep the connection open, for ever: after each loss connect again, with growing pauses."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                async with open_link(self._connect, self._url, "", name="WebSocket API", gate=self._gate) as link:
                    self._limits.spend(REQUEST_WEIGHT, WS_HANDSHAKE_WEIGHT, self._clock.now_ms())
                    pause_s = FIRST_PAUSE_S
                    await self._receive(link)
            except ExchangeError as error:
                if pause_s == FIRST_PAUSE_S:
                    # Said once for each loss, not at every attempt.
                    log.warning("the WebSocket API is down, orders go by REST until it stands again: %s", error)
            await trio.sleep(max(pause_s, self._gate.blocked_s()))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _receive(self, link: Link) -> None:
        self._link = link
        self._connected.set()
        log.info("the WebSocket API is connected: orders go over it")
        detail = "the client was closed"
        try:
            while True:
                self._settle(await link.receive())
        except ExchangeError as error:
            detail = str(error)
            raise
        finally:
            self._link = None
            self._connected = trio.Event()
            for batch in list(self._batches.values()):
                batch.lose(detail)

    def _settle(self, frame: str | bytes) -> None:
        try:
            answer = decode(frame, wire.Answer, what="answer of the WebSocket API")
        except MalformedAnswer:
            # Its request stays open and ends by its deadline: unknown, which is what an unreadable answer means.
            self._ignored["malformed answer"] += 1
            return
        self._observe(answer.rate_limits)
        batch = self._batches.pop(answer.id, None) if isinstance(answer.id, int) else None
        if batch is None or not isinstance(answer.id, int):
            self._ignored["answer to no open request"] += 1
        else:
            batch.answer(answer, answer.id)

    def _observe(self, counts: msgspec.Raw) -> None:
        try:
            self._limits.observe(decode(counts, tuple[RateLimit, ...], what="rateLimits"), self._clock.now_ms())
        except MalformedAnswer:
            self._ignored["malformed rateLimits"] += 1

    async def call(self, requests: Sequence[Request], *, timeout_s: float) -> list[Answered | Unanswered]:
        """Sign and send requests in one write, and return one result each, in their order.

        Raises:
            NothingSent: there is no connection, or it broke before the first byte; none of the requests was sent.
        """
        link = self._link
        if link is None:
            raise NothingSent("the WebSocket API is not connected")
        time_ms = self._clock.now_ms()
        ids = [next(self._ids) for _ in requests]
        frames = [self._frame(request_id, request, time_ms) for request_id, request in zip(ids, requests, strict=True)]
        batch = _Batch(ids)
        self._batches.update(dict.fromkeys(ids, batch))
        try:
            with trio.move_on_after(timeout_s) as waiting:
                await self._send(link, frames, batch)
                await batch.done.wait()
        finally:
            for request_id in batch.waiting:
                self._batches.pop(request_id, None)
        detail = f"no answer within {timeout_s:g} s" if waiting.cancelled_caught else batch.detail
        return [
            Answered(time_ms, batch.answers[request_id]) if request_id in batch.answers else Unanswered(time_ms, detail)
            for request_id in ids
        ]

    async def _send(self, link: Link, frames: Sequence[str], batch: _Batch) -> None:
        try:
            await link.send(frames)
        except NothingSent:
            raise
        except ExchangeError as error:
            batch.lose(str(error))

    def _frame(self, request_id: int, request: Request, time_ms: int) -> str:
        timed: dict[str, ParamValue] = {
            **request.params,
            "recvWindow": self._recv_window_ms,
            "timestamp": time_ms,
        }
        return websocket_request(request_id, request.method, signed_websocket_params(self._signer, timed))

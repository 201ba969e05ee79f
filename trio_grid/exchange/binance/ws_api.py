"""The WebSocket API: one persistent connection, requests matched to answers by id.

Owns the connection's life (it logs on, reconnects and renews in the background) and the certainty of each request:
answered, certainly not sent, or open. It never sends anything twice and never tries another path; what to do with an
open outcome is not decided here.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence

import attrs
import msgspec
import trio

from trio_grid.errors import (
    ClockSkew,
    ExchangeError,
    ExchangeOverloaded,
    ExchangeUnreachable,
    LogonRefused,
    MalformedAnswer,
    RateLimited,
    RequestRefused,
)
from trio_grid.exchange.binance.clock import ServerClock
from trio_grid.exchange.binance.connector import Connector
from trio_grid.exchange.binance.limits import Gate, retry_after_of
from trio_grid.exchange.binance.streams import OPEN_TIMEOUT_S, RENEW_AFTER_S, Link, NothingSent, open_link
from trio_grid.exchange.protocol import wire
from trio_grid.exchange.protocol.error_codes import error_of
from trio_grid.exchange.protocol.messages import Ignored, decode
from trio_grid.exchange.protocol.rate_limits import REQUEST_WEIGHT, RateLimit, RateLimits
from trio_grid.exchange.protocol.requests import (
    WS_HANDSHAKE_WEIGHT,
    WS_LOGON,
    WS_LOGON_WEIGHT,
    websocket_request,
)
from trio_grid.exchange.protocol.signing import Ed25519Signer, ParamValue, Signer, signed_websocket_params

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 15.0
"""Between attempts to connect: doubled each time, started over by a connection that stood."""

STABLE_AFTER_S = 5.0
"""A connection that ends sooner did not stand: one that is accepted and dropped would be opened four times a second."""


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


class _Session:
    """One connection that takes requests, logged on where the key can; retired, it waits for its last answers."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.batches: dict[int, _Batch] = {}
        self.receiving = trio.CancelScope()
        self.ended = trio.Event()
        self._retired = False

    def send(self, ids: Sequence[int]) -> _Batch:
        batch = _Batch(ids)
        self.batches.update(dict.fromkeys(ids, batch))
        return batch

    def forget(self, batch: _Batch) -> None:
        for request_id in batch.waiting:
            self.batches.pop(request_id, None)
        self._end_if_idle()

    def retire(self) -> None:
        self._retired = True
        self._end_if_idle()

    def lose(self, detail: str) -> None:
        for batch in list(self.batches.values()):
            batch.lose(detail)
        self.ended.set()

    def _end_if_idle(self) -> None:
        if self._retired and not self.batches:
            self.receiving.cancel()


class WebSocketApi:
    """Requests over one connection; `run` keeps it open and renews it, `call` uses it."""

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
        *,
        resynchronize: Callable[[], Awaitable[None]],
    ) -> None:
        """`resynchronize` reads the exchange's clock again; it is asked after a logon was refused for its time."""
        self._connect = connect
        self._url = url
        self._signer = signer
        self._clock = clock
        self._limits = limits
        self._recv_window_ms = recv_window_ms
        self._gate = gate
        self._ignored = ignored
        self._resynchronize = resynchronize
        self._session: _Session | None = None
        self._refusal: LogonRefused | None = None
        self._ids = itertools.count(1)
        self._changed = trio.Event()
        self.renewals = 0

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        in_flight = 0 if self._session is None else len(self._session.batches)
        return f"<WebSocketApi {self._url} {state} in_flight={in_flight}>"

    @property
    def connected(self) -> bool:
        """Whether requests can be sent now."""
        return self._session is not None

    @property
    def _logs_on(self) -> bool:
        """Whether the key opens a session (Ed25519 alone does); else each request carries key and signature."""
        return isinstance(self._signer, Ed25519Signer)

    async def wait_connected(self) -> None:
        """Return when requests can be sent.

        Raises:
            LogonRefused: the exchange does not accept the key for a session.
        """
        while self._session is None:
            self._raise_refusal()
            await self._changed.wait()

    # The connection's life ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection open, for ever: after each loss connect again, and renew it before the exchange cuts it."""
        pause_s = FIRST_PAUSE_S
        async with trio.open_nursery() as nursery:
            while True:
                session: _Session = await nursery.start(self._hold)
                self._adopt(session)
                opened_at = trio.current_time()
                with trio.move_on_after(RENEW_AFTER_S):
                    await session.ended.wait()
                    stood = trio.current_time() - opened_at >= STABLE_AFTER_S
                    pause_s = FIRST_PAUSE_S if stood else min(2 * pause_s, LONGEST_PAUSE_S)
                    await trio.sleep(pause_s)

    def _adopt(self, session: _Session) -> None:
        """Send new requests over this session; what is in flight on the one before is still awaited there."""
        previous, self._session = self._session, session
        self._refusal = None
        self._tell_change()
        if previous is None:
            log.info("the WebSocket API is connected: orders go over it")
        else:
            previous.retire()
            self.renewals += 1
            log.info("the WebSocket API was renewed before the 24-hour limit: orders go over the new connection")

    async def _hold(self, *, task_status: trio.TaskStatus[_Session]) -> None:
        """Open a connection, trying until it stands, and serve it to its end."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await self._open_and_serve(task_status)
                return
            except LogonRefused as error:
                if self._refusal is None:
                    log.critical("no session on the WebSocket API: %s", error)
                self._refusal, pause_s = error, LONGEST_PAUSE_S
                self._tell_change()
            except ExchangeError as error:
                if pause_s == FIRST_PAUSE_S and self._session is None:
                    # Said once for each loss, not at every attempt.
                    log.warning("the WebSocket API is down, orders go by REST until it stands again: %s", error)
            await trio.sleep(max(pause_s, self._gate.blocked_s()))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _open_and_serve(self, task_status: trio.TaskStatus[_Session]) -> None:
        async with open_link(self._connect, self._url, "", name="WebSocket API", gate=self._gate) as link:
            self._limits.spend(REQUEST_WEIGHT, WS_HANDSHAKE_WEIGHT, self._clock.now_ms())
            if self._logs_on:
                await self._log_on(link)
            session = _Session(link)
            task_status.started(session)
            detail = "the client was closed"
            try:
                with session.receiving:
                    while True:
                        self._settle(session, await link.receive())
            except ExchangeError as error:
                detail = str(error)
                if session is self._session:
                    log.warning("the WebSocket API is down, orders go by REST until it stands again: %s", error)
            finally:
                if session is self._session:
                    self._session = None
                    self._tell_change()
                session.lose(detail)

    def _tell_change(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    # The session's logon --------------------------------------------------------------------------------------------

    async def _log_on(self, link: Link) -> None:
        """Open the session: requests after it carry neither key nor signature.

        Raises:
            LogonRefused: the key, its kind or its signature is not accepted.
            ExchangeError: anything that may pass.
        """
        # A timestamp by the wall clock could be refused, which would look like a fault of the key.
        await self._clock.wait_synchronized()
        own_id = next(self._ids)
        params: dict[str, ParamValue] = {"recvWindow": self._recv_window_ms, "timestamp": self._clock.now_ms()}
        self._limits.spend(REQUEST_WEIGHT, WS_LOGON_WEIGHT, self._clock.now_ms())
        with trio.move_on_after(OPEN_TIMEOUT_S):
            await link.send([websocket_request(own_id, WS_LOGON, signed_websocket_params(self._signer, params))])
            while True:
                answer = decode(await link.receive(), wire.Answer, what="answer to session.logon")
                self._observe(answer.rate_limits)
                if answer.id == own_id:
                    await self._judge_logon(answer)
                    return
        raise ExchangeUnreachable(f"session.logon was not answered in {OPEN_TIMEOUT_S:g} s")

    async def _judge_logon(self, answer: wire.Answer) -> None:
        if answer.status == 200 and answer.error is None:
            return
        body = answer.error or wire.WireErrorBody()
        error = error_of(answer.status or 0, body.code, body.msg, retry_after_s=retry_after_of(body))
        if isinstance(error, RateLimited):
            raise self._gate.refused(error)
        if isinstance(error, ClockSkew):
            await self._resynchronize()
        elif isinstance(error, RequestRefused) and not isinstance(error, ExchangeOverloaded):
            raise LogonRefused(error.code, error.message) from error
        raise error

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise LogonRefused(self._refusal.code, self._refusal.message)

    # Requests -------------------------------------------------------------------------------------------------------

    def _settle(self, session: _Session, frame: str | bytes) -> None:
        try:
            answer = decode(frame, wire.Answer, what="answer of the WebSocket API")
        except MalformedAnswer:
            # Its request stays open and ends by its deadline: unknown, which is what an unreadable answer means.
            self._ignored["malformed answer"] += 1
            return
        self._observe(answer.rate_limits)
        batch = session.batches.pop(answer.id, None) if isinstance(answer.id, int) else None
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
            LogonRefused: there is no connection because the exchange refuses the key; none was sent.
        """
        session = self._session
        if session is None:
            self._raise_refusal()
            raise NothingSent("the WebSocket API is not connected")
        time_ms = self._clock.now_ms()
        ids = [next(self._ids) for _ in requests]
        frames = [self._frame(request_id, request, time_ms) for request_id, request in zip(ids, requests, strict=True)]
        batch = session.send(ids)
        try:
            with trio.move_on_after(timeout_s) as waiting:
                await self._send(session.link, frames, batch)
                await batch.done.wait()
        finally:
            session.forget(batch)
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
        params = timed if self._logs_on else signed_websocket_params(self._signer, timed)
        return websocket_request(request_id, request.method, params)

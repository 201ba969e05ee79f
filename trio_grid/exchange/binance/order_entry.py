"""Placing and cancelling: WebSocket API first, REST for what certainly was not sent.

Owns the translation of every answer into a result of the domain. An outcome that is not known stays unknown: it is
never repeated on the other path (R4), and a refusal as duplicate is never taken for proof that no order exists.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.events import (
    CancelAcknowledged,
    CancelOutcomeLost,
    CancelRefused,
    CancelResult,
    OrderAcknowledged,
    OrderNotSent,
    OrderOutcomeLost,
    OrderRefused,
    PlacementResult,
)
from trio_grid.domain.instrument import Instrument
from trio_grid.errors import (
    Banned,
    ClockSkew,
    CredentialsRefused,
    DuplicateClientOrderId,
    ExchangeError,
    ExchangeOverloaded,
    ExchangeUnreachable,
    LogonRefused,
    MalformedAnswer,
    OrderOutcomeUnknown,
    RateLimited,
    RequestRefused,
)
from trio_grid.exchange.binance.clock import ServerClock
from trio_grid.exchange.binance.limits import Gate, retry_after_of
from trio_grid.exchange.binance.rest import RestClient
from trio_grid.exchange.binance.streams import NothingSent
from trio_grid.exchange.binance.ws_api import Answered, Request, Unanswered, WebSocketApi
from trio_grid.exchange.protocol import wire
from trio_grid.exchange.protocol.error_codes import error_of, reject_reason
from trio_grid.exchange.protocol.known_keys import ORDER_SAMPLE, KeyCensus, unknown_in_order
from trio_grid.exchange.protocol.messages import Ignored
from trio_grid.exchange.protocol.rate_limits import ORDERS, REQUEST_WEIGHT, RateLimits
from trio_grid.exchange.protocol.records import parse_order
from trio_grid.exchange.protocol.requests import WS_CANCEL, WS_PLACE, Endpoint, cancel_params, place_params

ORDER_TIMEOUT_S = 5.0
"""As long as the usual recvWindow: after it the exchange would not accept the request any more."""

PARALLEL_REST_REQUESTS = 4
"""Below the pool's connections, so that queries find one free while orders go out by REST."""


class OrderEntry:
    """Sends the decisions' actions; each call returns one result per action, in their order."""

    def __init__(
        self,
        websocket: WebSocketApi | None,
        rest: RestClient,
        clock: ServerClock,
        limits: RateLimits,
        gate: Gate,
        recv_window_ms: int,
        ignored: Ignored,
    ) -> None:
        self._websocket = websocket
        self._rest = rest
        self._clock = clock
        self._limits = limits
        self._gate = gate
        self._recv_window_ms = recv_window_ms
        self._ignored = ignored
        self._census = KeyCensus(ignored, unknown_in_order, every=ORDER_SAMPLE)

    async def wait_connected(self) -> None:
        """Return when the WebSocket API stands; without one, at once."""
        if self._websocket is None:
            await trio.lowlevel.checkpoint()
        else:
            await self._websocket.wait_connected()

    async def place(self, instrument: Instrument, orders: Sequence[PlaceOrder]) -> tuple[PlacementResult, ...]:
        """Send new orders; see `Execution.place`."""
        return (await self.send(instrument, (), orders))[1]

    async def cancel(self, instrument: Instrument, orders: Sequence[CancelOrder]) -> tuple[CancelResult, ...]:
        """Send cancels; see `Execution.cancel`."""
        return (await self.send(instrument, orders, ()))[0]

    async def send(
        self, instrument: Instrument, cancels: Sequence[CancelOrder], orders: Sequence[PlaceOrder]
    ) -> tuple[tuple[CancelResult, ...], tuple[PlacementResult, ...]]:
        """Send cancels, then new orders, in one write; see `Execution.send`."""
        held_back = self._held_back()
        if held_back is not None:
            return (
                tuple(
                    CancelOutcomeLost(client_order_id=cancel.client_order_id, detail=held_back) for cancel in cancels
                ),
                tuple(OrderNotSent(client_order_id=order.client_order_id, detail=held_back) for order in orders),
            )
        self._limits.spend(ORDERS, len(orders), self._clock.now_ms())
        requests = [
            *(Request(WS_CANCEL, cancel_params(instrument, cancel)) for cancel in cancels),
            *(Request(WS_PLACE, place_params(instrument, order)) for order in orders),
        ]
        answers = await self._by_websocket(requests, placing=bool(orders))
        errors: list[ExchangeError] = []
        if answers is None:
            cancelled, placed = await self._all_by_rest(instrument, cancels, orders, errors)
        else:
            self._limits.spend(REQUEST_WEIGHT, len(cancels), self._clock.now_ms())
            of_cancels, of_orders = answers[: len(cancels)], answers[len(cancels) :]
            cancelled = tuple(
                self._cancelled(instrument, cancel, answer, errors)
                for cancel, answer in zip(cancels, of_cancels, strict=True)
            )
            placed = tuple(
                self._placed(instrument, order, answer, errors) for order, answer in zip(orders, of_orders, strict=True)
            )
        await self._after(errors)
        return cancelled, placed

    # The two paths ---------------------------------------------------------------------------------------------------

    def _held_back(self) -> str | None:
        until_ms = self._limits.blocked_until(self._clock.now_ms())
        return None if until_ms is None else f"held back until {until_ms}: the exchange's limit has not ended"

    async def _by_websocket(self, requests: Sequence[Request], *, placing: bool) -> list[Answered | Unanswered] | None:
        """Return the answers, or None if certainly nothing was sent.

        Raises:
            LogonRefused: new orders were to be sent; cancels alone go by REST, so that a stop can clean up.
        """
        if self._websocket is None or not self._clock.synchronized:
            return None
        try:
            return await self._websocket.call(requests, timeout_s=ORDER_TIMEOUT_S)
        except NothingSent:
            return None
        except LogonRefused:
            if placing:
                raise
            return None

    async def _all_by_rest(
        self,
        instrument: Instrument,
        cancels: Sequence[CancelOrder],
        orders: Sequence[PlaceOrder],
        errors: list[ExchangeError],
    ) -> tuple[tuple[CancelResult, ...], tuple[PlacementResult, ...]]:
        """Send each by itself; cancels first."""
        cancelled: dict[int, CancelResult] = {}
        placed: dict[int, PlacementResult] = {}
        slots = trio.CapacityLimiter(PARALLEL_REST_REQUESTS)

        async def cancel_one(index: int, cancel: CancelOrder) -> None:
            async with slots:
                cancelled[index] = await self._cancel_by_rest(instrument, cancel, errors)

        async def place_one(index: int, order: PlaceOrder) -> None:
            async with slots:
                placed[index] = await self._place_by_rest(instrument, order, errors)

        async with trio.open_nursery() as nursery:
            for index, cancel in enumerate(cancels):
                nursery.start_soon(cancel_one, index, cancel)
        async with trio.open_nursery() as nursery:
            for index, order in enumerate(orders):
                nursery.start_soon(place_one, index, order)
        return (
            tuple(cancelled[index] for index in range(len(cancels))),
            tuple(placed[index] for index in range(len(orders))),
        )

    async def _place_by_rest(
        self, instrument: Instrument, order: PlaceOrder, errors: list[ExchangeError]
    ) -> PlacementResult:
        times: list[int] = []
        try:
            body = await self._rest.call(
                Endpoint.PLACE_ORDER, place_params(instrument, order), urgent=True, timestamp=times.append
            )
            return OrderAcknowledged(order=parse_order(body, instrument, self._ignored))
        except ExchangeUnreachable as error:
            return OrderNotSent(client_order_id=order.client_order_id, detail=str(error))
        except (OrderOutcomeUnknown, MalformedAnswer) as error:
            return self._lost(order, times[-1] if times else self._clock.now_ms(), str(error))
        except RequestRefused as error:
            errors.append(error)
            return self._refused(order, error, times[-1] if times else self._clock.now_ms())

    async def _cancel_by_rest(
        self, instrument: Instrument, order: CancelOrder, errors: list[ExchangeError]
    ) -> CancelResult:
        try:
            body = await self._rest.call(Endpoint.CANCEL_ORDER, cancel_params(instrument, order), urgent=True)
            return CancelAcknowledged(order=parse_order(body, instrument, self._ignored))
        except RequestRefused as error:
            errors.append(error)
            return self._cancel_refused(order, error)
        except (ExchangeUnreachable, MalformedAnswer) as error:
            return CancelOutcomeLost(client_order_id=order.client_order_id, detail=str(error))

    # From answers to results -----------------------------------------------------------------------------------------

    def _placed(
        self, instrument: Instrument, order: PlaceOrder, answer: Answered | Unanswered, errors: list[ExchangeError]
    ) -> PlacementResult:
        if isinstance(answer, Unanswered):
            return self._lost(order, answer.request_time_ms, answer.detail)
        error = self._error_in(answer.answer)
        if isinstance(error, RequestRefused):
            errors.append(error)
            return self._refused(order, error, answer.request_time_ms)
        if error is not None:
            return self._lost(order, answer.request_time_ms, str(error))
        self._census.look(answer.answer.result)
        try:
            return OrderAcknowledged(order=parse_order(answer.answer.result, instrument, self._ignored))
        except MalformedAnswer as malformed:
            return self._lost(order, answer.request_time_ms, str(malformed))

    def _cancelled(
        self, instrument: Instrument, order: CancelOrder, answer: Answered | Unanswered, errors: list[ExchangeError]
    ) -> CancelResult:
        if isinstance(answer, Unanswered):
            return CancelOutcomeLost(client_order_id=order.client_order_id, detail=answer.detail)
        error = self._error_in(answer.answer)
        if isinstance(error, RequestRefused):
            errors.append(error)
            return self._cancel_refused(order, error)
        if error is not None:
            return CancelOutcomeLost(client_order_id=order.client_order_id, detail=str(error))
        try:
            return CancelAcknowledged(order=parse_order(answer.answer.result, instrument, self._ignored))
        except MalformedAnswer as malformed:
            return CancelOutcomeLost(client_order_id=order.client_order_id, detail=str(malformed))

    def _error_in(self, answer: wire.Answer) -> RequestRefused | OrderOutcomeUnknown | None:
        if answer.status == 200 and answer.error is None:
            return None
        if answer.error is None or answer.status is None:
            return OrderOutcomeUnknown(f"an answer with status {answer.status} and no error in it")
        error = error_of(answer.status, answer.error.code, answer.error.msg, retry_after_s=retry_after_of(answer.error))
        if isinstance(error, RateLimited):
            return self._gate.refused(error)
        return error

    def _lost(self, order: PlaceOrder, request_time_ms: int, detail: str) -> OrderOutcomeLost:
        return OrderOutcomeLost(
            client_order_id=order.client_order_id,
            request_time_ms=request_time_ms,
            recv_window_ms=self._recv_window_ms,
            detail=detail,
        )

    def _refused(self, order: PlaceOrder, error: RequestRefused, request_time_ms: int) -> PlacementResult:
        if isinstance(error, DuplicateClientOrderId):
            # An order under this id exists, so this is the opposite of proof that none does: it is looked up.
            return self._lost(order, request_time_ms, str(error))
        return OrderRefused(
            client_order_id=order.client_order_id, reason=reject_reason(error), code=error.code, message=error.message
        )

    def _cancel_refused(self, order: CancelOrder, error: RequestRefused) -> CancelResult:
        if isinstance(error, RateLimited | ExchangeOverloaded | ClockSkew):
            return CancelOutcomeLost(client_order_id=order.client_order_id, detail=str(error))
        return CancelRefused(client_order_id=order.client_order_id, code=error.code, message=error.message)

    async def _after(self, errors: Sequence[ExchangeError]) -> None:
        """Do what a refusal asks for beside its result: read the clock again, or tell the caller to stop."""
        for error in errors:
            if isinstance(error, Banned | CredentialsRefused):
                raise error
        if any(isinstance(error, ClockSkew) for error in errors):
            try:
                await self._rest.synchronize_clock(again=True)
            except (ExchangeUnreachable, RateLimited):
                # The next order meets the same refusal and asks again.
                return

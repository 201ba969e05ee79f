"""The gate that every request passes, whatever its transport: weight, key, time, signature, order counts, then the
exchange.

Owns the order of those checks and the answer's parts. It must never format an answer for a transport.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from trio_grid.exchange.paper.engine.exchange import PaperExchange
from trio_grid.exchange.paper.engine.refusals import PaperRefusal, Refusal
from trio_grid.exchange.paper.server.authentication import ApiKey, KeyRing, check_time
from trio_grid.exchange.paper.server.disturbance import Asked, Delivery, Disturbance, Transport, View
from trio_grid.exchange.paper.server.exchange_task import ExchangeTask
from trio_grid.exchange.paper.server.listen_keys import ListenKeys
from trio_grid.exchange.paper.server.operations import Call, Operation, Security
from trio_grid.exchange.paper.server.request_limits import LimitRefusal, RequestLimits
from trio_grid.exchange.paper.server.server_clock import ServerClock
from trio_grid.exchange.paper.spot.refusals import DetailedRefusal
from trio_grid.exchange.protocol.rate_limits import RateLimit

logger = logging.getLogger(__name__)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What to answer: `body` is the result, or None with `error` (code, message) set; `delivery` None is as usual."""

    status: int
    body: Any = None
    error: tuple[int, str] | None = None
    error_data: Any = None
    used_weight: int = 0
    order_counts: tuple[tuple[RateLimit, int], ...] = ()
    retry_after_s: int | None = None
    retry_at_ms: int | None = None
    order_counts_only: bool = False
    delivery: Delivery | None = None


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """How a request says who it is from: an API key with a signature over a payload, or a session's proved key."""

    key: str | None = None
    payload: bytes = b""
    signature: str | None = None
    session: ApiKey | None = None


@attrs.define
class RequestGate:
    """Answers operations for one exchange; `of_spot` is where spot has other ways: times in microseconds, a header."""

    exchange: PaperExchange
    task: ExchangeTask
    clock: ServerClock
    keys: KeyRing
    limits: RequestLimits
    listen_keys: ListenKeys
    disturbance: Disturbance | None = None
    of_spot: bool = False

    async def answer(
        self,
        operation: Operation,
        parameters: Mapping[str, str],
        credentials: Credentials,
        address: str,
        *,
        transport: Transport = Transport.REST,
    ) -> Answer:
        """Answer one request. Never raises for anything that a client can cause."""

        async def carry_out(view: View | None = None) -> Answer:
            return await self._carry_out(operation, parameters, credentials, address, view)

        if self.disturbance is None:
            return await carry_out()
        key = credentials.session.key if credentials.session is not None else credentials.key
        asked = Asked(
            transport=transport,
            operation=operation,
            parameters=parameters,
            account=self.keys.account_of(key),
            address=address,
        )
        return await self.disturbance.answer(asked, carry_out)

    async def _carry_out(
        self,
        operation: Operation,
        parameters: Mapping[str, str],
        credentials: Credentials,
        address: str,
        view: View | None,
    ) -> Answer:
        now_ms = self.clock.now_ms()
        used = self.limits.used_weight(address, now_ms)
        account, counted = "", False
        try:
            used = self.limits.spend_weight(address, operation.weight(parameters), now_ms)
            account = self.admit(operation.security, parameters, credentials, now_ms)
            if operation.orders is not None:
                self.limits.spend_orders(account, operation.orders(parameters), now_ms)
                counted = True
            body = await self.task.call(
                lambda at_ms: operation.run(
                    Call(
                        exchange=self.exchange if view is None else view(self.exchange, at_ms),
                        limits=self.limits,
                        listen_keys=self.listen_keys,
                        account=account,
                        parameters=parameters,
                        now_ms=at_ms,
                        uptime_ms=self.clock.uptime_ms(),
                    )
                )
            )
            return Answer(
                status=200,
                body=body,
                used_weight=used,
                order_counts_only=operation.counts_orders_only,
                order_counts=self.limits.order_counts(account, now_ms) if operation.orders is not None else (),
            )
        except PaperRefusal as refusal:
            data = refusal.data if isinstance(refusal, DetailedRefusal) else None
            if counted and data is None and not self.limits.settings.counts_refused_orders:
                self.limits.give_back_order(account, now_ms)
            error = (refusal.code, refusal.message)
            return Answer(status=refusal.http_status, error=error, error_data=data, used_weight=used)
        except LimitRefusal as refusal:
            return Answer(
                status=refusal.status,
                error=(refusal.code, refusal.message),
                used_weight=self.limits.used_weight(address, now_ms),
                retry_after_s=refusal.retry_after_s,
                retry_at_ms=refusal.retry_at_ms,
            )

    def admit(self, security: Security, parameters: Mapping[str, str], credentials: Credentials, now_ms: int) -> str:
        """Return the account that a request speaks for; empty for a public one.

        Raises:
            PaperRefusal: key, time or signature do not hold.
        """
        if security is Security.NONE:
            return ""
        key = credentials.session if credentials.key is None else None
        if key is None:
            key = self.keys.identify(credentials.key)
        else:
            self.keys.identify(key.key)
        if security is Security.SIGNED:
            enforced, fine = self.clock.runs_at_real_speed, self.of_spot
            check_time(parameters, now_ms, enforced=enforced, takes_microseconds=fine)
            if credentials.session is not key:
                if not credentials.signature:
                    raise Refusal.MANDATORY.refuse("signature")
                self.keys.verify(key, credentials.payload, credentials.signature)
        return key.account

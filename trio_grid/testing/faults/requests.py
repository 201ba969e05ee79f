"""The faults of requests: lost, unanswered, late, refused, spoilt, answered from the past.

Owns what each kind does to one request, on REST and on the WebSocket API alike. It must never carry a request out
twice.
"""

import enum
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import msgspec
import trio

from trio_grid.exchange.paper.engine.exchange import PaperExchange
from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.server.api_tables import REST_ROUTES, WEBSOCKET_METHODS
from trio_grid.exchange.paper.server.disturbance import Asked, CarryOut, Delivery, Transport
from trio_grid.exchange.paper.server.operations import Operation, batch_items
from trio_grid.exchange.paper.server.request_gate import Answer
from trio_grid.exchange.paper.server.spot_tables import SPOT_METHODS, SPOT_ROUTES
from trio_grid.testing.faults.model import Fault, Milliseconds, Place
from trio_grid.testing.faults.scene import Scene

Named = tuple[Transport, Operation]


ROUTES = REST_ROUTES | SPOT_ROUTES


def _named_requests() -> dict[str, tuple[Named, ...]]:
    found: dict[str, tuple[Named, ...]] = {}
    for path, methods in ROUTES.items():
        for verb, operation in methods.items():
            found[f"{verb} {path}"] = ((Transport.REST, operation),)
    for table in (WEBSOCKET_METHODS, SPOT_METHODS):
        for method, operation in table.items():
            found[method] = (*found.get(method, ()), (Transport.WS_API, operation))
    return found


NAMED_REQUESTS = _named_requests()
"""Every request by the name that fault files use; a method can be one of the futures' and one of the spot API."""


def _reads() -> frozenset[str]:
    """Return the names of the operations that only look at a futures account: of spot wallets no copies are kept."""
    return frozenset(
        operation.name
        for methods in REST_ROUTES.values()
        for method, operation in methods.items()
        if method == "GET" and operation.security.name == "SIGNED"
    )


READS = _reads()


def orders_in(asked: Asked) -> list[Mapping[str, str]]:
    """Return the orders that a request wants to place: one, those of a batch, or the parameters of any other."""
    if "batchOrders" in asked.parameters:
        try:
            return batch_items(asked.parameters)
        except PaperRefusal:
            return []
    return [asked.parameters]


@attrs.frozen(kw_only=True)
class RequestFault(Fault):
    """What happens to a request."""

    place = Place.REQUEST
    matches: ClassVar[tuple[str, ...]] = ("transport", "request", "side", "symbol", "account", "reduce_only")
    transports: ClassVar[tuple[Transport, ...]] = (Transport.REST, Transport.WS_API)

    def wrong(self) -> list[tuple[str, str]]:
        """Refuse a request that the exchange does not have, or that does not go by the transport."""
        name = self.match.request
        if name is None:
            return []
        found = NAMED_REQUESTS.get(name)
        if found is None:
            return [("match.request", f'"{name}" is no request of this exchange; allowed: a route or method of it')]
        transport = self.match.transport
        goes_by = found[0][0]
        if goes_by not in self.transports or transport not in (None, goes_by):
            words = " or ".join((transport,) if transport is not None else self.transports)
            return [("match.request", f'"{name}" goes by {goes_by}; allowed: a request by {words}')]
        return []

    def concerns(self, asked: Asked) -> bool:
        """Return whether the fault may happen to a request."""
        match = self.match
        if asked.transport not in self.transports or match.transport not in (None, asked.transport):
            return False
        if match.request is not None:
            named = ((transport, operation.name) for transport, operation in NAMED_REQUESTS[match.request])
            if (asked.transport, asked.operation.name) not in named:
                return False
        if match.account not in (None, asked.account):
            return False
        if match.side is None and match.symbol is None and match.reduce_only is None:
            return True
        return any(self._is_meant(order) for order in orders_in(asked))

    def _is_meant(self, order: Mapping[str, str]) -> bool:
        match = self.match
        reduces = order.get("reduceOnly", "false").lower() == "true"
        return (
            (match.side is None or order.get("side") == match.side)
            and (match.symbol is None or order.get("symbol") == match.symbol)
            and (match.reduce_only is None or ("side" in order and reduces is match.reduce_only))
        )

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Answer a request that the fault happens to."""
        raise NotImplementedError


def refusal(scene: Scene, asked: Asked, status: int, code: int, message: str, **more: Any) -> Answer:
    """Return an answer with Binance's code and message, and the weight as it stands."""
    used = scene.server.limits.used_weight(asked.address, scene.now_ms())
    return Answer(status=status, error=(code, message), used_weight=used, **more)


def delivered(answer: Answer, **changes: Any) -> Answer:
    """Return an answer that leaves in another way, beside what was wanted of it before."""
    delivery = msgspec.structs.replace(answer.delivery or Delivery(), **changes)
    return msgspec.structs.replace(answer, delivery=delivery)


# Lost, unanswered, late -----------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class LostRequest(RequestFault):
    """The request never reaches the engine, and nothing answers; the connection stays open."""

    kind = "lost-request"
    rows = "F1, S10"

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Say nothing."""
        return Answer(status=200, delivery=Delivery(silent=True))


@attrs.frozen(kw_only=True)
class LateRequest(RequestFault):
    """The request reaches the engine late; what follows on its connection waits. Its timestamp is checked then."""

    kind = "late-request"
    rows = "F1, F9, S10"

    delay_ms: Milliseconds = 6_000
    """How late, in real milliseconds."""

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Wait, then carry it out."""
        await trio.sleep(self.delay_ms / 1000)
        return await carry_out()


@attrs.frozen(kw_only=True)
class NoAnswer(RequestFault):
    """The request is carried out and never answered; the connection stays open."""

    kind = "no-answer"
    rows = "F1, F2, S10"

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Carry it out and say nothing."""
        return delivered(await carry_out(), silent=True)


@attrs.frozen(kw_only=True)
class LateAnswer(RequestFault):
    """The request is carried out at once and answered late: its events come first."""

    kind = "late-answer"
    rows = "S7, S12, F20, F27"

    delay_ms: Milliseconds = 8_000
    """How late, in real milliseconds."""

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Carry it out and let the answer wait."""
        answer = await carry_out()
        before_s = answer.delivery.delay_s if answer.delivery is not None else 0.0
        return delivered(answer, delay_s=before_s + self.delay_ms / 1000)


@attrs.frozen(kw_only=True)
class ResetBefore(RequestFault):
    """The connection is reset before the request reaches the engine."""

    kind = "reset-before"
    rows = "F1, F2"

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Reset the connection."""
        return Answer(status=200, delivery=Delivery(cut_share=0.0))


@attrs.frozen(kw_only=True)
class ResetAfter(RequestFault):
    """The request is carried out, then the connection is reset instead of an answer."""

    kind = "reset-after"
    rows = "F1, F2"

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Carry it out and reset the connection."""
        return delivered(await carry_out(), cut_share=0.0)


@attrs.frozen(kw_only=True)
class CutAnswer(RequestFault):
    """The request is carried out; the connection is reset in the middle of the answer's body or frame."""

    kind = "cut-answer"
    rows = "F1, F2"

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Carry it out and send half of the answer."""
        return delivered(await carry_out(), cut_share=0.5)


class Spoilt(enum.Enum):
    """What is left of a JSON text."""

    TRUNCATED = "truncated"
    GARBAGE = "garbage"
    EMPTY = "empty"
    OTHER_TYPE = "other-type"
    NO_FIELDS = "no-fields"

    def of(self, text: bytes) -> bytes:
        """Return the spoilt text."""
        rests = {
            Spoilt.TRUNCATED: text[: len(text) // 2],
            Spoilt.GARBAGE: b'}{"e":"\x01 no JSON',
            Spoilt.EMPTY: b"",
            Spoilt.OTHER_TYPE: b'["something else"]',
            Spoilt.NO_FIELDS: b"{}",
        }
        return rests[self]


@attrs.frozen(kw_only=True)
class MalformedAnswer(RequestFault):
    """The request is carried out, and its answer cannot be read."""

    kind = "malformed-answer"
    rows = "F1, S10, S19"

    form: Spoilt = Spoilt.TRUNCATED
    """What is left of the JSON text."""

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Carry it out and spoil the answer."""
        return delivered(await carry_out(), rewrite=self.form.of)


@attrs.frozen(kw_only=True)
class StaleRead(RequestFault):
    """A query about the account is answered from some time ago: orders and trades that are newer are missing."""

    kind = "stale-read"
    rows = "S3, S7, S17, F4, F20"

    age_ms: Milliseconds = 3_000
    """How long ago, in the exchange's milliseconds."""

    def wrong(self) -> list[tuple[str, str]]:
        """Refuse requests that are no query about an account."""
        found = super().wrong()
        name = self.match.request
        if not found and name is not None and NAMED_REQUESTS[name][0][1].name not in READS:
            return [("match.request", f'"{name}" reads no account; allowed: a signed GET route of /fapi')]
        return found

    def concerns(self, asked: Asked) -> bool:
        """Return whether the request only looks at an account."""
        return asked.operation.name in READS and super().concerns(asked)

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Have the question answered from a copy of the accounts."""

        def view(exchange: PaperExchange, now_ms: int) -> PaperExchange:
            return scene.view(exchange, now_ms, self.age_ms)

        return await carry_out(view)

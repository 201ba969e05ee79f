"""The faults of requests that are refused: errors of the exchange, of what stands before it, and its limits.

Owns the answers' words as the real exchange has them. Each kind says whether the request was carried out all the same.
"""

import enum
from typing import Annotated, ClassVar

import attrs
import msgspec

from trio_grid.config.rules import AtLeast, AtMost
from trio_grid.exchange.paper.server.api_tables import EXCHANGE_INFO, PLACE, PLACE_BATCH, TEST_ORDER
from trio_grid.exchange.paper.server.disturbance import Asked, CarryOut, Delivery, Transport
from trio_grid.exchange.paper.server.operations import Operation
from trio_grid.exchange.paper.server.request_gate import Answer
from trio_grid.testing.faults.model import LONGEST_FILE_S, Sentence
from trio_grid.testing.faults.requests import ROUTES, RequestFault, delivered, orders_in, refusal
from trio_grid.testing.faults.scene import Scene

UNKNOWN_ERROR = "Unknown error, please check your request or try again later."
UNAVAILABLE = "Service Unavailable."
THROTTLED = (
    "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again."
)
INTERNAL_ERROR = "Internal error; unable to process your request. Please try again."
UNEXPECTED_RESPONSE = "An unexpected response was received from the message bus. Execution status unknown."
BACKEND_TIMEOUT = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
NOT_OPENING = "Invalid symbol status for opening position."

NEW_ORDERS = frozenset(operation.name for operation in (PLACE, PLACE_BATCH, TEST_ORDER))
Seconds = Annotated[int, AtLeast(1), AtMost(LONGEST_FILE_S)]


def reduces_only(asked: Asked) -> bool:
    """Return whether everything that a request places is reduce-only."""
    return all(order.get("reduceOnly", "false").lower() == "true" for order in orders_in(asked))


def page(title: str) -> bytes:
    """Return what a gateway shows instead of JSON."""
    return f"<html>\r\n<head><title>{title}</title></head>\r\n<body><h1>{title}</h1></body>\r\n</html>\r\n".encode()


def path_of(operation: Operation) -> str:
    """Return the first REST path of an operation."""
    return next((path for path, rows in ROUTES.items() if operation in rows.values()), "/")


# 503 and its relatives ------------------------------------------------------------------------------------------------


class BodyForm(enum.Enum):
    """The two bodies that the exchange's 503 has been seen with."""

    CODE = "code"
    PATH = "path"


@attrs.frozen(kw_only=True)
class UnknownError(RequestFault):
    """503 "Unknown error": the request was carried out, or not; nobody can tell."""

    kind = "unknown-error"
    rows = "F1, S10"

    executed: bool = True
    """Whether the request was carried out."""
    form: BodyForm = BodyForm.CODE
    """The body: code and message, or time, path and message without any code (REST alone)."""

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Refuse it, carried out or not."""
        if self.executed:
            await carry_out()
        answer = refusal(scene, asked, 503, -1000, UNKNOWN_ERROR)
        if self.form is BodyForm.CODE or asked.transport is not Transport.REST:
            return answer
        body = msgspec.json.encode(
            {"timestamp": scene.now_ms(), "path": path_of(asked.operation), "msg": UNKNOWN_ERROR}
        )
        return delivered(answer, rewrite=lambda _: body)


@attrs.frozen(kw_only=True)
class ServiceUnavailable(RequestFault):
    """503 "Service Unavailable.": certainly not carried out."""

    kind = "service-unavailable"
    rows = "F1"

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Refuse it."""
        return refusal(scene, asked, 503, -1000, UNAVAILABLE)


@attrs.frozen(kw_only=True)
class Throttled(RequestFault):
    """503 -1008: new orders are throttled and not carried out; reduce-only orders and cancels pass."""

    kind = "throttled"
    rows = "F1, S13"

    def concerns(self, asked: Asked) -> bool:
        """Return whether it places anything that is not reduce-only."""
        return asked.operation.name in NEW_ORDERS and not reduces_only(asked) and super().concerns(asked)

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Refuse it."""
        return refusal(scene, asked, 503, -1008, THROTTLED)


@attrs.frozen(kw_only=True)
class InternalError(RequestFault):
    """503 -1001 "Internal error": certainly not carried out."""

    kind = "internal-error"
    rows = "F1"

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Refuse it."""
        return refusal(scene, asked, 503, -1001, INTERNAL_ERROR)


@attrs.frozen(kw_only=True)
class UnexpectedResponse(RequestFault):
    """503 -1006: an unexpected response of the message bus; carried out or not."""

    kind = "unexpected-response"
    rows = "F1, S10"

    executed: bool = True
    """Whether the request was carried out."""

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Refuse it, carried out or not."""
        if self.executed:
            await carry_out()
        return refusal(scene, asked, 503, -1006, UNEXPECTED_RESPONSE)


@attrs.frozen(kw_only=True)
class BackendTimeout(RequestFault):
    """408 -1007: the backend did not answer in time; carried out or not."""

    kind = "backend-timeout"
    rows = "F1, S10"

    executed: bool = True
    """Whether the request was carried out."""

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Refuse it, carried out or not."""
        if self.executed:
            await carry_out()
        return refusal(scene, asked, 408, -1007, BACKEND_TIMEOUT)


@attrs.frozen(kw_only=True)
class GatewayError(RequestFault):
    """A gateway answers with a page of HTML; carried out or not."""

    kind = "gateway-error"
    rows = "F1, S10"
    transports: ClassVar[tuple[Transport, ...]] = (Transport.REST,)

    status: Annotated[int, AtLeast(500), AtMost(599)] = 502
    """The HTTP status."""
    executed: bool = False
    """Whether the request was carried out."""

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Show the page."""
        if self.executed:
            await carry_out()
        html = page(f"{self.status} Bad Gateway")
        return Answer(status=self.status, delivery=Delivery(rewrite=lambda _: html, content_type="text/html"))


@attrs.frozen(kw_only=True)
class Firewall(RequestFault):
    """403: the firewall before the exchange blocks the request with a page of HTML."""

    kind = "firewall"
    rows = "F10"
    transports: ClassVar[tuple[Transport, ...]] = (Transport.REST,)

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Show the page."""
        html = page("403 Forbidden")
        return Answer(status=403, delivery=Delivery(rewrite=lambda _: html, content_type="text/html"))


@attrs.frozen(kw_only=True)
class Refused(RequestFault):
    """The request is refused with a code and a message of the file, and not carried out."""

    kind = "refused"
    rows = "F7, F8, F13, F14, F15"

    code: Annotated[int, AtMost(-1)] = -2010
    """Binance's code."""
    message: Sentence = "NEW_ORDER_REJECTED"
    """Its text."""
    status: Annotated[int, AtLeast(400), AtMost(599)] = 400
    """The HTTP status."""

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Refuse it."""
        return refusal(scene, asked, self.status, self.code, self.message)


# Limits ---------------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class TooManyRequests(RequestFault):
    """429 -1003: too much request weight; not carried out."""

    kind = "too-many-requests"
    rows = "F10"

    retry_after_s: Seconds | None = 5
    """What the answer asks to wait, in real seconds."""

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Refuse it."""
        limit = scene.server.limits.settings.weight.limit
        words = f"Too many requests; current limit is {limit} requests per minute. Please use the websocket for live "
        return refusal(
            scene, asked, 429, -1003, words + "updates to avoid polling the API.", **waiting(scene, self.retry_after_s)
        )


@attrs.frozen(kw_only=True)
class TooManyOrders(RequestFault):
    """429 -1015: too many new orders; not carried out. Cancels and queries pass."""

    kind = "too-many-orders"
    rows = "F11"

    retry_after_s: Seconds | None = None
    """What the answer asks to wait, in real seconds; the real exchange need not say it."""

    def concerns(self, asked: Asked) -> bool:
        """Return whether it places anything."""
        return asked.operation.orders is not None and super().concerns(asked)

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Refuse it."""
        limit = scene.server.limits.settings.orders[0]
        words = f"Too many new orders; current limit is {limit.limit} orders per {limit.interval_num} {limit.interval}."
        return refusal(scene, asked, 429, -1015, words, **waiting(scene, self.retry_after_s))


def waiting(scene: Scene, retry_after_s: int | None) -> dict[str, int | None]:
    """Return the fields of an answer that asks to wait."""
    if retry_after_s is None:
        return {}
    return {"retry_after_s": retry_after_s, "retry_at_ms": scene.now_ms() + 1000 * retry_after_s}


@attrs.frozen(kw_only=True)
class Ban(RequestFault):
    """418: the client's address is banned for a time, for every request and handshake."""

    kind = "ban"
    rows = "F10"

    ban_s: Seconds = 120
    """How long, in exchange seconds."""

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Ban the address; the exchange then refuses by itself."""
        scene.server.limits.ban(asked.address, scene.now_ms() + 1000 * self.ban_s)
        return await carry_out()


# The symbol -----------------------------------------------------------------------------------------------------------


class Status(enum.Enum):
    """The states of a symbol that do not let positions be opened."""

    PENDING_TRADING = "PENDING_TRADING"
    PRE_SETTLE = "PRE_SETTLE"
    SETTLING = "SETTLING"
    CLOSE = "CLOSE"


@attrs.frozen(kw_only=True)
class SymbolStatus(RequestFault):
    """A symbol is not TRADING: exchangeInfo says so, and orders that are not reduce-only are refused (-4140)."""

    kind = "symbol-status"
    rows = "F13"
    matches: ClassVar[tuple[str, ...]] = ("symbol",)
    triggers: ClassVar[tuple[str, ...]] = ("from_s", "to_s")

    status: Status = Status.PRE_SETTLE
    """What the symbol is instead of TRADING."""

    def concerns(self, asked: Asked) -> bool:
        """Return whether it asks for the symbols or places anything that opens."""
        if asked.operation.name == EXCHANGE_INFO.name:
            return True
        return asked.operation.name in NEW_ORDERS and not reduces_only(asked) and super().concerns(asked)

    async def answer(self, scene: Scene, asked: Asked, carry_out: CarryOut) -> Answer:
        """Tell the status, or refuse the order."""
        if asked.operation.name != EXCHANGE_INFO.name:
            return refusal(scene, asked, 400, -4140, NOT_OPENING)
        answer = await carry_out()
        if answer.error is not None:
            return answer
        symbols = [
            {**row, "status": self.status.value} if self.match.symbol in (None, row["symbol"]) else row
            for row in answer.body["symbols"]
        ]
        return msgspec.structs.replace(answer, body={**answer.body, "symbols": symbols})

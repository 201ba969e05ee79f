"""REST: one Starlette route per path of the table, each an async endpoint that hands its request to the gate.

Owns the form of HTTP requests and answers: parameters from the query and a form body whatever its content type,
Binance's error bodies and headers. It must never decide what a request means.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any, cast
from urllib.parse import parse_qsl

import msgspec
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.server.api_tables import REST_ROUTES
from trio_grid.exchange.paper.server.authentication import split_signature
from trio_grid.exchange.paper.server.connection_streams import RESET
from trio_grid.exchange.paper.server.disturbance import Delivery
from trio_grid.exchange.paper.server.operations import Operation
from trio_grid.exchange.paper.server.request_gate import Answer, Credentials, RequestGate
from trio_grid.exchange.paper.server.spot_tables import REMOVED_ROUTES, SPOT_ROUTES
from trio_grid.exchange.paper.server.spot_time_units import answer_in_microseconds

logger = logging.getLogger(__name__)

LARGEST_BODY_BYTES = 256 * 1024
LARGEST_DRAINED_BYTES = 16 * 1024 * 1024
Endpoint = Callable[[Request], Awaitable[Response]]


def make_app(gate: RequestGate, spot_gate: RequestGate) -> Starlette:
    """Return the Starlette app that serves the REST tables of futures and spot."""
    routes = []
    for table, own_gate in ((REST_ROUTES, gate), (SPOT_ROUTES, spot_gate)):
        for path, methods in table.items():
            route = Route(path, _endpoint(own_gate, methods), methods=sorted(methods))
            # Starlette adds HEAD to every GET; Binance has none.
            route.methods = set(methods)
            routes.append(route)
    routes.extend(Route(path, _removed, methods=list(methods)) for path, methods in REMOVED_ROUTES.items())
    app = Starlette(
        routes=routes,
        exception_handlers={404: _unknown_route, 405: _wrong_method},
    )
    # Starlette sends a path with one slash too many elsewhere, orders too; Binance does not know such a path.
    app.router.redirect_slashes = False
    app.add_middleware(_Dated, now_ms=gate.clock.now_ms)
    return app


class _Dated:
    """Adds the `Date` header in the exchange's time: the web server's own would read the wall clock."""

    def __init__(self, app: ASGIApp, now_ms: Callable[[], int]) -> None:
        self._app, self._now_ms = app, now_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""

        async def send_dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(self._now_ms() // 1000, usegmt=True).encode()
                message = {**message, "headers": [*message["headers"], (b"date", date)]}
            await send(message)

        await self._app(scope, receive, send_dated)


def form_parameters(query: bytes, body: bytes) -> dict[str, str]:
    """Return the parameters of a request; the first of a name wins, and the query wins over the body.

    Raises:
        PaperRefusal: -1100, a name or value is not UTF-8 after decoding.
    """
    parameters: dict[str, str] = {}
    try:
        for part in (query, body):
            for name, value in parse_qsl(part.decode("ascii"), keep_blank_values=True, errors="strict"):
                parameters.setdefault(name, value)
    except UnicodeError:
        return _form_parameters_of_any_bytes(query, body)
    except ValueError:
        raise _illegal_characters() from None
    return parameters


def _form_parameters_of_any_bytes(query: bytes, body: bytes) -> dict[str, str]:
    """Take raw UTF-8 too: some clients post JSON in a form without encoding it."""
    parameters: dict[str, str] = {}
    try:
        for part in (query, body):
            for name, value in parse_qsl(part.decode("utf-8"), keep_blank_values=True, errors="strict"):
                parameters.setdefault(name, value)
    except ValueError:
        raise _illegal_characters() from None
    return parameters


def _illegal_characters() -> PaperRefusal:
    return PaperRefusal(-1100, "Illegal characters found in a parameter.")


def _endpoint(gate: RequestGate, methods: dict[str, Operation]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        operation = methods[request.method]
        address = request.client.host if request.client else ""
        query: bytes = request.scope["query_string"]
        try:
            body = await _limited_body(request)
            parameters = form_parameters(query, body)
        except PaperRefusal as refusal:
            return _json(refusal.http_status, refusal.body())
        payload, signature = split_signature(query, body)
        credentials = Credentials(key=request.headers.get("x-mbx-apikey", ""), payload=payload, signature=signature)
        try:
            answer = await gate.answer(operation, parameters, credentials, address)
            return render(_in_wanted_unit(answer, request), of_spot=True) if gate.of_spot else render(answer)
        except Exception:
            # A fault of ours, shown with its traceback; the client gets the exchange's words for it.
            logger.exception("a fault of the paper exchange in %s %s", request.method, request.url.path)
            return _json(500, {"code": -1000, "msg": "An unknown error occurred while processing the request."})

    return endpoint


def _in_wanted_unit(answer: Answer, request: Request) -> Answer:
    """Return an answer of spot with its times in the unit that a header asks for."""
    if request.headers.get("x-mbx-time-unit", "").upper() != "MICROSECOND" or answer.body is None:
        return answer
    return msgspec.structs.replace(answer, body=answer_in_microseconds(answer.body))


async def _limited_body(request: Request) -> bytes:
    """Read the body. One that is too large is read to its end and dropped, so that the client hears the answer.

    Raises:
        PaperRefusal: it is too large, or ended before its announced length.
    """
    body = bytearray()
    received = 0
    while received <= LARGEST_DRAINED_BYTES:
        message = await request.receive()
        if message["type"] != "http.request":
            raise PaperRefusal(-1000, "The request ended before its body was complete.")
        part: bytes = message.get("body", b"")
        received += len(part)
        if received <= LARGEST_BODY_BYTES:
            body += part
        if not message.get("more_body", False):
            break
    if received > LARGEST_BODY_BYTES:
        raise PaperRefusal(-1101, "Too many parameters sent for this endpoint.", 413)
    return bytes(body)


def render(answer: Answer, *, of_spot: bool = False) -> Response:
    """Return the HTTP form of an answer."""
    # On order endpoints, whose weight is 0, the exchange shows -1.
    headers = {"x-mbx-used-weight-1m": "-1" if answer.order_counts_only else str(answer.used_weight)}
    if of_spot:
        headers["x-mbx-used-weight"] = str(answer.used_weight)
    for limit, count in answer.order_counts:
        headers[limit.header.lower()] = str(count)
    if answer.retry_after_s is not None:
        headers["retry-after"] = str(answer.retry_after_s)
    body = answer.body if answer.error is None else {"code": answer.error[0], "msg": answer.error[1]}
    if answer.error_data is not None:
        body["data"] = answer.error_data
    if answer.delivery is not None:
        return _DisturbedResponse(answer.delivery, answer.status, headers, msgspec.json.encode(body))
    return _json(answer.status, body, headers)


class _DisturbedResponse(Response):
    """A response that leaves as a disturbance wants it."""

    def __init__(self, delivery: Delivery, status: int, headers: dict[str, str], content: bytes) -> None:
        content = content if delivery.rewrite is None else delivery.rewrite(content)
        super().__init__(content, status, headers, delivery.content_type)
        self._delivery = delivery

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it, or what is to be seen of it."""
        delivery = self._delivery
        await trio.sleep(delivery.delay_s)
        if delivery.silent:
            while (await receive())["type"] != "http.disconnect":
                pass
        elif delivery.cut_share is None:
            await super().__call__(scope, receive, send)
        else:
            if delivery.cut_share:
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                part = bytes(self.body)[: int(len(self.body) * delivery.cut_share)]
                await send({"type": "http.response.body", "body": part, "more_body": True})
            cast(Callable[[], None], scope[RESET])()


def _json(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, "application/json")


async def _removed(request: Request) -> Response:
    """Answer for a route that the exchange has removed: its web server's own page, no JSON."""
    with contextlib.suppress(PaperRefusal):
        await _limited_body(request)
    page = "<html>\r\n<head><title>410 Gone</title></head>\r\n<body><h1>410 Gone</h1></body>\r\n</html>\r\n"
    return Response(page, 410, media_type="text/html")


async def _unknown_route(request: Request, error: Exception) -> Response:
    # The body is read first: a connection closed on a client that still sends would lose the answer.
    with contextlib.suppress(PaperRefusal):
        await _limited_body(request)
    path, method = request.url.path, request.method
    return _json(404, {"code": -5000, "msg": f"Path {path}, Method {method} is invalid"})


async def _wrong_method(request: Request, error: Exception) -> Response:
    # Starlette joins a set of strings: unsorted, the header would differ with the hash seed.
    allowed = error.headers or {} if isinstance(error, HTTPException) else {}
    answer = await _unknown_route(request, error)
    answer.status_code = 405
    answer.headers["allow"] = ", ".join(sorted(name.strip() for name in allowed.get("Allow", "").split(",") if name))
    return answer

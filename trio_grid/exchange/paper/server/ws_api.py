"""The WebSocket API: JSON requests on one connection, answered in their order, with an optional Ed25519 session.

Owns the connection's session and the form of requests and answers. Requests are carried out one after the other, so a
client that does not read its answers holds up nobody but itself.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from trio_grid.exchange.paper.engine.refusals import PaperRefusal, Refusal
from trio_grid.exchange.paper.server.api_tables import WEBSOCKET_METHODS
from trio_grid.exchange.paper.server.authentication import ApiKey, check_time, percent_decoded
from trio_grid.exchange.paper.server.disturbance import Delivery, Transport
from trio_grid.exchange.paper.server.operations import Operation, Security, fixed, literal_parameters
from trio_grid.exchange.paper.server.request_gate import Answer, Credentials, RequestGate
from trio_grid.exchange.paper.server.request_limits import wire_limit
from trio_grid.exchange.protocol.signing import websocket_payload

logger = logging.getLogger(__name__)

HANDSHAKE_WEIGHT = 5
LOGON_WEIGHT = 2
NO_ID = msgspec.Raw(b"null")


class _Request(msgspec.Struct, kw_only=True):
    """One request; names beyond these are ignored, as the exchange does."""

    id: msgspec.Raw = NO_ID
    method: str = ""
    params: dict[str, msgspec.Raw] | None = None


class WebSocketApiSession:
    """One connection of the WebSocket API: feed it texts, send what it answers."""

    methods = WEBSOCKET_METHODS

    def __init__(self, gate: RequestGate, address: str, query: str) -> None:
        self._gate, self._address = gate, address
        self._connected_since = gate.clock.now_ms()
        self._key: ApiKey | None = None
        self._authorized_since: int | None = None
        options = dict(parse_qsl(query))
        self._shows_limits = options.get("returnRateLimits", "true").lower() != "false"

    async def answer_text(self, message: str | bytes) -> tuple[bytes, Delivery | None]:
        """Return the answer to one message, whatever it is, and how it leaves (None: as usual)."""
        try:
            request = msgspec.json.decode(message, type=_Request)
            request_id = _checked_id(request.id)
            parameters = literal_parameters(request.params or {})
        except (msgspec.DecodeError, UnicodeError):
            answer = Answer(status=400, error=(-1135, "JSON Request is not valid."))
            return self._render(NO_ID, answer, False), None
        shows_limits = parameters.get("returnRateLimits", str(self._shows_limits)).lower() != "false"
        try:
            answer = await self._dispatch(request.method, parameters)
        except PaperRefusal as refusal:
            answer = Answer(status=refusal.http_status, error=(refusal.code, refusal.message))
        except Exception:
            # A fault of ours, shown with its traceback; the exchange answers -1000 and the connection lives on.
            logger.exception("a fault of the paper exchange in %s", request.method)
            answer = Answer(status=500, error=(-1000, "An unknown error occurred while processing the request."))
        return self._render(request_id, answer, shows_limits), answer.delivery

    async def _dispatch(self, method: str, parameters: Mapping[str, str]) -> Answer:
        if not method:
            raise Refusal.MANDATORY.refuse("method")
        if method == "session.logon":
            return await self._local(LOGON_WEIGHT, lambda now_ms: self._logon(parameters, now_ms))
        if method == "session.status":
            return await self._local(LOGON_WEIGHT, self._status)
        if method == "session.logout":
            return await self._local(LOGON_WEIGHT, self._logout)
        operation = self.methods.get(method)
        if operation is None:
            raise PaperRefusal(-1104, f"Unknown method '{method}'.")
        credentials = self._credentials(parameters)
        return await self._gate.answer(operation, parameters, credentials, self._address, transport=Transport.WS_API)

    def _credentials(self, parameters: Mapping[str, str]) -> Credentials:
        if "apiKey" not in parameters and self._key is not None:
            return Credentials(session=self._key)
        return Credentials(
            key=parameters.get("apiKey", ""),
            payload=websocket_payload(parameters),
            signature=_signature(parameters),
        )

    async def _local(self, weight: int, answer: Any) -> Answer:
        """Answer a request about the connection itself, through the same gate as all others."""
        operation = Operation("session", Security.NONE, fixed(weight), lambda call: answer(call.now_ms))
        return await self._gate.answer(operation, {}, Credentials(), self._address, transport=Transport.WS_API)

    def _logon(self, parameters: Mapping[str, str], now_ms: int) -> Any:
        key = self._gate.keys.identify(parameters.get("apiKey"))
        if (kind := self._gate.keys.kind_of(key)) != "ED25519":
            raise PaperRefusal(-4056, f"{kind} API key is not supported.")
        enforced, fine = self._gate.clock.runs_at_real_speed, self._gate.of_spot
        check_time(parameters, now_ms, enforced=enforced, takes_microseconds=fine)
        signature = _signature(parameters)
        if not signature:
            raise Refusal.MANDATORY.refuse("signature")
        self._gate.keys.verify(key, websocket_payload(parameters), signature)
        self._key, self._authorized_since = key, now_ms
        return self._status(now_ms)

    def _logout(self, now_ms: int) -> Any:
        self._key = self._authorized_since = None
        return self._status(now_ms)

    def _status(self, now_ms: int) -> Any:
        return {
            "apiKey": self._key.key if self._key else None,
            "authorizedSince": self._authorized_since,
            "connectedSince": self._connected_since,
            "returnRateLimits": self._shows_limits,
            "serverTime": now_ms,
        }

    def _render(self, request_id: msgspec.Raw, answer: Answer, shows_limits: bool) -> bytes:
        body: dict[str, Any] = {"id": request_id, "status": answer.status}
        if answer.error is None:
            body["result"] = answer.body
        else:
            body["error"] = {"code": answer.error[0], "msg": answer.error[1]}
            if answer.error_data is not None:
                body["error"]["data"] = answer.error_data
            if answer.retry_at_ms is not None:
                now_ms = self._gate.clock.now_ms()
                body["error"]["data"] = {"serverTime": now_ms, "retryAfter": answer.retry_at_ms}
        if shows_limits:
            weight = wire_limit(self._gate.limits.settings.weight, answer.used_weight)
            counts = [wire_limit(limit, count) for limit, count in answer.order_counts]
            body["rateLimits"] = counts if answer.order_counts_only and counts else [weight, *counts]
        return msgspec.json.encode(body)


def _signature(parameters: Mapping[str, str]) -> str | None:
    """Return the signature; some clients percent-encode a Base64 one as if it went into an address."""
    signature = parameters.get("signature")
    return signature if signature is None else percent_decoded(signature.encode())


def _checked_id(request_id: msgspec.Raw) -> msgspec.Raw:
    """Return the id as it was written: a whole number, a string or null.

    Raises:
        msgspec.ValidationError: it is something else.
    """
    msgspec.json.decode(request_id, type=int | str | None)
    return request_id

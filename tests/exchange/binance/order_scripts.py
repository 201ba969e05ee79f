"""Orders, and the exchange's side of order entry, for the tests of both."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import trio_websocket

from tests.exchange.binance.scripted_exchange import (
    bitcoin,
    order_body,
)
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.events import (
    Side,
)

BITCOIN = bitcoin()


def limit(name: str = "id-1", **changes: Any) -> PlaceOrder:
    fields: dict[str, Any] = {
        "client_order_id": name,
        "side": Side.BUY,
        "quantity_lots": 2,
        "price_ticks": 600_000,
        "post_only": True,
        "reduce_only": False,
    }
    return PlaceOrder(**{**fields, **changes})


class WsApi:
    """The server's side of the WebSocket API in a test: keeps each request, answers by a function of it."""

    def __init__(self, answer: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
        self.answer = answer
        self.requests: list[dict[str, Any]] = []

    async def __call__(self, connection: trio_websocket.WebSocketConnection, path: str) -> None:
        while True:
            request = json.loads(await connection.get_message())
            self.requests.append(request)
            answer = self.answer(request)
            if answer is not None:
                await connection.send_message(json.dumps({"id": request["id"], **answer}))


def accepted(request: dict[str, Any]) -> dict[str, Any]:
    params = request["params"]
    name = params.get("newClientOrderId") or params["origClientOrderId"]
    status = "NEW" if request["method"] == "order.place" else "CANCELED"
    return {"status": 200, "result": order_body(clientOrderId=name, status=status)}


def refusal(status: int, code: int, message: str, **data: Any) -> dict[str, Any]:
    return {"status": status, "error": {"code": code, "msg": message, **({"data": data} if data else {})}}


def assert_signed(params: dict[str, Any]) -> None:
    payload = "&".join(f"{key}={params[key]}" for key in sorted(params) if key != "signature")
    assert params["signature"] == hmac.new(b"testsecret", payload.encode(), hashlib.sha256).hexdigest()
    assert params["apiKey"] == "testkey"

"""A client made by hand, its signing and frames its own: the server is not tested by the mind that made its client."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import trio
import trio_websocket

from trio_grid.testing.paper import PaperHandle

KEY, SECRET = "testkey", "testsecret"
SYMBOL = "BTCUSDT"
FAR_BELOW = "0.97"


def hmac_hex(secret: str, payload: str) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def form(**params: object) -> str:
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in params.items())


def signed(handle: PaperHandle, secret: str = SECRET, /, **params: object) -> str:
    text = form(**params, timestamp=handle.now_ms())
    return f"{text}&signature={hmac_hex(secret, text)}"


class RawRest:
    """REST with one key."""

    def __init__(self, handle: PaperHandle, http: httpx.AsyncClient, key: str = KEY, secret: str = SECRET) -> None:
        self.handle, self.http, self.key, self.secret = handle, http, key, secret

    @property
    def headers(self) -> dict[str, str]:
        return {"X-MBX-APIKEY": self.key}

    async def get(self, path: str, **params: object) -> Any:
        answer = await self.http.get(f"{path}?{form(**params)}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def send(self, method: str, path: str, **params: object) -> httpx.Response:
        query = signed(self.handle, self.secret, **params)
        return await self.http.request(method, f"{path}?{query}", headers=self.headers)

    async def ask(self, method: str, path: str, **params: object) -> Any:
        answer = await self.send(method, path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def listen_key(self) -> str:
        answer = await self.http.post("/fapi/v1/listenKey", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["listenKey"])

    async def resting_price(self, side: str = "BUY") -> str:
        """A price that rests: 2 % away from the market, on the tick."""
        book = await self.get("/fapi/v1/ticker/bookTicker", symbol=SYMBOL)
        price = float(book["bidPrice"]) * 0.98 if side == "BUY" else float(book["askPrice"]) * 1.02
        return f"{price:.1f}"

    async def place_resting(self, side: str = "BUY", quantity: str = "0.002", **more: object) -> Any:
        return await self.ask(
            "POST",
            "/fapi/v1/order",
            symbol=SYMBOL,
            side=side,
            type="LIMIT",
            timeInForce="GTC",
            quantity=quantity,
            price=await self.resting_price(side),
            **more,
        )

    async def buy_at_market(self, quantity: str = "0.002", **more: object) -> Any:
        return await self.ask(
            "POST", "/fapi/v1/order", symbol=SYMBOL, side="BUY", type="MARKET", quantity=quantity, **more
        )


@asynccontextmanager
async def raw_rest(handle: PaperHandle, key: str = KEY, secret: str = SECRET) -> AsyncIterator[RawRest]:
    async with handle.http() as http:
        yield RawRest(handle, http, key, secret)


class RawSocket:
    """A WebSocket whose messages are JSON."""

    def __init__(self, connection: trio_websocket.WebSocketConnection) -> None:
        self.connection = connection

    async def send(self, message: Any) -> None:
        await self.connection.send_message(message if isinstance(message, str | bytes) else json.dumps(message))

    async def receive(self) -> Any:
        return json.loads(await self.connection.get_message())

    async def request(self, message: Any) -> Any:
        """Send a request and return its answer; events that come in between are passed over."""
        await self.send(message)
        while True:
            answer = await self.receive()
            if "id" in answer and ("result" in answer or "error" in answer):
                return answer

    async def event(self, kind: str) -> Any:
        """Return the next event of a kind, unwrapped."""
        while True:
            message = await self.receive()
            payload = message.get("data", message) if isinstance(message, dict) else message
            if isinstance(payload, dict) and payload.get("e") == kind:
                return payload

    async def until_closed(self) -> tuple[int, list[Any]]:
        """Receive until the connection ends; return the close code (1006 without a close frame) and what came."""
        received: list[Any] = []
        try:
            while True:
                received.append(await self.receive())
        except trio_websocket.ConnectionClosed as closed:
            return (1006 if closed.reason is None else closed.reason.code), received

    async def is_silent_for(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self.connection.get_message()
            return False
        return True


@asynccontextmanager
async def raw_socket(handle: PaperHandle, path: str, owner: str = "") -> AsyncIterator[RawSocket]:
    port = int(handle.urls.rest_url.rsplit(":", 1)[1])
    stream: Any = await handle.connector(owner)("127.0.0.1", port, False)
    async with stream, trio.open_nursery() as nursery:
        connection = await trio_websocket.wrap_client_stream(nursery, stream, f"127.0.0.1:{port}", path)
        yield RawSocket(connection)
        with trio.move_on_after(1):
            await connection.aclose()
        nursery.cancel_scope.cancel()

"""Spot's requests by a client made by hand."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from tests.exchange.paper_server.raw_client import KEY, SECRET, SYMBOL, RawRest, hmac_hex

API = "/ws-api/v3"


def joined(params: dict[str, Any]) -> str:
    """Parameters as the WebSocket API signs them: sorted, in plain text."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params))


def with_hmac(params: dict[str, Any]) -> dict[str, Any]:
    params = {**params, "apiKey": KEY}
    return {**params, "signature": hmac_hex(SECRET, joined(params))}


async def resting_order(rest: RawRest, side: str = "BUY", **more: object) -> dict[str, object]:
    """Parameters of a LIMIT order 2 % away from the market."""
    book = await rest.get("/api/v3/ticker/bookTicker", symbol=SYMBOL)
    best = Decimal(book["bidPrice"]) * Decimal("0.98") if side == "BUY" else Decimal(book["askPrice"]) * Decimal("1.02")
    return {
        "symbol": SYMBOL, "side": side, "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.00100",
        "price": f"{best:.2f}", **more,
    }  # fmt: skip


async def place_resting(rest: RawRest, side: str = "BUY", **more: object) -> Any:
    return await rest.ask("POST", "/api/v3/order", **await resting_order(rest, side, **more))


def listed(*names: str) -> str:
    return json.dumps(list(names), separators=(",", ":"))

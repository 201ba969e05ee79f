"""A session through the whole server, whose every byte must repeat for the same seed."""

from __future__ import annotations

import json

import trio

from tests.exchange.paper_server.raw_client import raw_rest, raw_socket
from trio_grid.testing.paper import open_paper_exchange


async def session() -> list[str]:
    seen: list[str] = []
    async with open_paper_exchange(seed=7, history_minutes=10) as handle, raw_rest(handle) as rest:
        key = await rest.listen_key()
        path = f"/stream?streams=btcusdt@bookTicker/btcusdt@kline_1m/btcusdt@depth20@100ms/{key}"
        async with raw_socket(handle, path) as socket, raw_socket(handle, "/ws-fapi/v1") as api:
            await rest.place_resting()
            await rest.buy_at_market()
            wrong = await rest.http.patch("/fapi/v1/order")
            seen.append(str(sorted(wrong.headers.items())))
            seen.append(json.dumps(await api.request({"id": 1, "method": "ping"})))
            with trio.move_on_after(60):
                while True:
                    seen.append(json.dumps(await socket.receive()))
    return seen

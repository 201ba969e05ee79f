"""Conditional orders on the wire: the algo endpoints, the two methods of the WebSocket API, ALGO_UPDATE."""

import json
from typing import Any

import pytest
import trio

from tests.exchange.paper_server.raw_client import SYMBOL, RawRest, raw_rest, raw_socket
from tests.exchange.paper_server.test_paper_recorded_shapes import EXAMPLES, missing_or_other, shape
from tests.exchange.paper_server.test_paper_ws_api import with_hmac
from trio_grid.testing.paper import PaperHandle

ALGO = {"algoType": "CONDITIONAL", "symbol": SYMBOL, "quantity": "0.002"}


async def stop_order(rest: RawRest, side: str = "SELL", **more: object) -> dict[str, object]:
    """A stop 2 % away from the market."""
    trigger = await rest.resting_price("BUY" if side == "SELL" else "SELL")
    return {**ALGO, "side": side, "type": "STOP_MARKET", "triggerPrice": trigger, **more}


async def test_an_algo_order_is_placed_queried_listed_and_cancelled(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        answer = await rest.send("POST", "/fapi/v1/algoOrder", **await stop_order(rest, clientAlgoId="mine-1"))
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-mbx-order-count-10s"] == "1"
        placed = answer.json()
        assert (placed["clientAlgoId"], placed["algoStatus"], placed["orderType"]) == ("mine-1", "NEW", "STOP_MARKET")
        found = await rest.ask("GET", "/fapi/v1/algoOrder", algoId=placed["algoId"])
        assert found["actualOrderId"] == ""
        assert [row["algoId"] for row in await rest.ask("GET", "/fapi/v1/openAlgoOrders", symbol=SYMBOL)] == [
            placed["algoId"]
        ]
        # The regular orders' lists do not show it.
        assert await rest.ask("GET", "/fapi/v1/openOrders", symbol=SYMBOL) == []
        gone = await rest.ask("DELETE", "/fapi/v1/algoOrder", clientAlgoId="mine-1")
        assert gone == {"algoId": placed["algoId"], "clientAlgoId": "mine-1", "code": "200", "msg": "success"}
        await rest.ask("POST", "/fapi/v1/algoOrder", **await stop_order(rest))
        assert (await rest.ask("DELETE", "/fapi/v1/algoOpenOrders", symbol=SYMBOL))["code"] == 200
        every = await rest.ask("GET", "/fapi/v1/allAlgoOrders", symbol=SYMBOL)
        assert [row["algoStatus"] for row in every] == ["CANCELED", "CANCELED"]
        again = await rest.send("DELETE", "/fapi/v1/algoOrder", algoId=placed["algoId"])
        assert (again.status_code, again.json()) == (400, {"code": -2011, "msg": "Unknown order sent."})
        unknown = await rest.send("GET", "/fapi/v1/algoOrder", algoId=5)
        assert (unknown.status_code, unknown.json()) == (400, {"code": -2013, "msg": "Order does not exist."})


async def test_a_stop_triggers_and_tells_its_life_on_the_user_stream(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        listen_key = await rest.listen_key()
        book = await rest.get("/fapi/v1/ticker/bookTicker", symbol=SYMBOL)
        async with raw_socket(paper_exchange, f"/private/ws?listenKey={listen_key}") as stream:
            near = f"{float(book['askPrice']) + 5:.1f}"
            order = await rest.ask(
                "POST", "/fapi/v1/algoOrder", **await stop_order(rest, "BUY") | {"triggerPrice": near}
            )
            told: list[str] = []
            with trio.fail_after(600):
                while "FINISHED" not in told:
                    event = await stream.receive()
                    if event["e"] in ("ALGO_UPDATE", "ORDER_TRADE_UPDATE"):
                        told.append(event["o"]["X"])
        found = await rest.ask("GET", "/fapi/v1/algoOrder", algoId=order["algoId"])
        placed = await rest.ask("GET", "/fapi/v1/order", symbol=SYMBOL, orderId=found["actualOrderId"])
    assert (told[:4], told[-2:]) == (["NEW", "TRIGGERING", "NEW", "TRIGGERED"], ["FILLED", "FINISHED"])
    assert (found["algoStatus"], placed["status"], placed["type"]) == ("FINISHED", "FILLED", "MARKET")
    assert placed["clientOrderId"] == order["clientAlgoId"]


async def test_algo_orders_over_the_websocket_api(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest, raw_socket(paper_exchange, "/ws-fapi/v1") as socket:
        params: dict[str, Any] = await stop_order(rest, timestamp=paper_exchange.now_ms())
        placed = await socket.request({"id": 1, "method": "algoOrder.place", "params": with_hmac(params)})
        assert (placed["status"], placed["result"]["algoStatus"]) == (200, "NEW")
        # The id as text, as one well-known client sends it.
        one = {"algoId": str(placed["result"]["algoId"]), "timestamp": paper_exchange.now_ms()}
        gone = await socket.request({"id": 2, "method": "algoOrder.cancel", "params": with_hmac(one)})
        assert (gone["status"], gone["result"]["code"]) == (200, "200")
        late = {**params, "triggerPrice": "1000000"}
        refused = await socket.request({"id": 3, "method": "algoOrder.place", "params": with_hmac(late)})
    assert (refused["status"], refused["error"]["code"]) == (400, -2021)


@pytest.mark.recorded
@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the recorded examples are not part of the repository")
async def test_algo_answers_have_the_exchanges_names_and_types(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        answers = {"new_algo_order": await rest.ask("POST", "/fapi/v1/algoOrder", **await stop_order(rest))}
        one = {"algoId": answers["new_algo_order"]["algoId"]}
        answers["query_algo_order"] = await rest.ask("GET", "/fapi/v1/algoOrder", **one)
        answers["current_all_algo_open_orders"] = await rest.ask("GET", "/fapi/v1/openAlgoOrders")
        answers["query_all_algo_orders"] = await rest.ask("GET", "/fapi/v1/allAlgoOrders", symbol=SYMBOL)
        answers["cancel_algo_order"] = await rest.ask("DELETE", "/fapi/v1/algoOrder", **one)
        answers["cancel_all_algo_open_orders"] = await rest.ask("DELETE", "/fapi/v1/algoOpenOrders", symbol=SYMBOL)
    for name, answer in answers.items():
        example = json.loads((EXAMPLES / f"rest_api__{name}_success.json").read_text())["response"]
        # The example writes null as a text; the exchange itself sends null.
        for row in example if isinstance(example, list) else [example]:
            row.pop("icebergQuantity", None)
        assert missing_or_other(shape(example), shape(answer)) == [], name

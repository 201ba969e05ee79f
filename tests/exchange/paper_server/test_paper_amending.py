"""Amendments on the wire: one by REST, several by REST, one by the WebSocket API, and what was amended."""

import json

from tests.exchange.paper_server.raw_client import SYMBOL, raw_rest, raw_socket
from tests.exchange.paper_server.test_paper_ws_api import with_hmac
from trio_grid.testing.paper import PaperHandle


async def test_an_order_is_amended_and_its_history_told(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        order = await rest.place_resting()
        change = {"symbol": SYMBOL, "orderId": order["orderId"], "side": "BUY", "price": order["price"]}
        answer = await rest.send("PUT", "/fapi/v1/order", **change, quantity="0.003", modifyId=9)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["origQty"], answer.json()["modifyId"], answer.json()["pair"]) == ("0.003", 9, SYMBOL)
        # It counts as an order: the placement and the amendment.
        assert answer.headers["x-mbx-order-count-10s"] == "2"
        same = await rest.send("PUT", "/fapi/v1/order", **change, quantity="0.003")
        assert (same.status_code, same.json()) == (400, {"code": -5027, "msg": "No need to modify the order."})
        [row] = await rest.ask("GET", "/fapi/v1/orderAmendment", symbol=SYMBOL, orderId=order["orderId"])
    assert row["amendment"]["origQty"] == {"before": "0.002", "after": "0.003"}
    assert (row["amendment"]["modifyId"], row["amendment"]["count"]) == (9, 1)


async def test_a_batch_of_amendments_answers_each_item_in_its_order(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        first, second = await rest.place_resting(), await rest.place_resting("SELL")
        items = [
            {"symbol": SYMBOL, "orderId": second["orderId"], "side": "SELL", "price": second["price"],
             "quantity": 0.004},
            {"symbol": SYMBOL, "orderId": 5, "side": "BUY", "price": first["price"], "quantity": "0.004"},
            {"symbol": SYMBOL, "orderId": str(first["orderId"]), "side": "BUY", "price": first["price"],
             "quantity": "0.005"},
        ]  # fmt: skip
        answer = await rest.ask("PUT", "/fapi/v1/batchOrders", batchOrders=json.dumps(items))
        assert [row.get("origQty") for row in answer] == ["0.004", None, "0.005"]
        assert answer[1] == {"code": -2013, "msg": "Order does not exist."}
        too_many = await rest.send("PUT", "/fapi/v1/batchOrders", batchOrders=json.dumps([items[0]] * 6))
        assert (too_many.status_code, too_many.json()["code"]) == (400, -4082)
        ids = json.dumps([first["orderId"]] * 11)
        cancels = await rest.send("DELETE", "/fapi/v1/batchOrders", symbol=SYMBOL, orderIdList=ids)
        assert (cancels.status_code, cancels.json()["code"]) == (400, -4032)


async def test_an_order_is_amended_over_the_websocket_api(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest, raw_socket(paper_exchange, "/ws-fapi/v1") as socket:
        order = await rest.place_resting()
        listen_key = await rest.listen_key()
        async with raw_socket(paper_exchange, f"/private/ws?listenKey={listen_key}") as stream:
            params = {
                "symbol": SYMBOL, "origClientOrderId": order["clientOrderId"], "side": "BUY", "price": order["price"],
                "quantity": "0.004", "timestamp": paper_exchange.now_ms(),
            }  # fmt: skip
            answer = await socket.request({"id": 1, "method": "order.modify", "params": with_hmac(params)})
            assert (answer["status"], answer["result"]["origQty"]) == (200, "0.004")
            told = (await stream.event("ORDER_TRADE_UPDATE"))["o"]
    assert (told["x"], told["X"], told["q"], told["V"]) == ("AMENDMENT", "NEW", "0.004", "NONE")

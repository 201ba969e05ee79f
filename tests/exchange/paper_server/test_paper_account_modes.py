"""Account settings over the wire: what bots set before they trade, and the events that tell of it."""

import json

from tests.exchange.paper_server.raw_client import SYMBOL, raw_rest, raw_socket
from trio_grid.testing.paper import PaperHandle


async def test_isolated_margin_from_the_switch_to_the_last_reduction(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    async with raw_rest(paper_exchange) as rest:
        key = await rest.listen_key()
        async with raw_socket(paper_exchange, f"/private/ws?listenKey={key}") as events:
            answer = await rest.ask("POST", "/fapi/v1/marginType", symbol=SYMBOL, marginType="ISOLATED")
            assert answer == {"code": 200, "msg": "success"}
            switched = await events.event("ACCOUNT_UPDATE")
            assert (switched["a"]["m"], switched["a"]["P"][0]["mt"]) == ("MARGIN_TYPE_CHANGE", "isolated")
            await rest.ask("POST", "/fapi/v1/leverage", symbol=SYMBOL, leverage=10)
            await rest.buy_at_market()
            opened = (await events.event("ACCOUNT_UPDATE"))["a"]
            assert float(opened["P"][0]["iw"]) > 0
            assert float(opened["B"][0]["cw"]) < float(opened["B"][0]["wb"])
            [row] = await rest.ask("GET", "/fapi/v3/positionRisk", symbol=SYMBOL)
            assert float(row["isolatedWallet"]) == float(opened["P"][0]["iw"])
            lower = await rest.send("POST", "/fapi/v1/leverage", symbol=SYMBOL, leverage=5)
            assert (lower.status_code, lower.json()["code"]) == (400, -4161)
            held = await rest.send("POST", "/fapi/v1/marginType", symbol=SYMBOL, marginType="CROSSED")
            assert (held.status_code, held.json()["code"]) == (400, -4048)
            added = await rest.ask("POST", "/fapi/v1/positionMargin", symbol=SYMBOL, amount="1.5", type=1)
            assert (added["amount"], added["type"]) == (1.5, 1)
            moved = (await events.event("ACCOUNT_UPDATE"))["a"]
            assert moved["m"] == "MARGIN_TRANSFER"
            assert float(moved["P"][0]["iw"]) > float(opened["P"][0]["iw"])
            too_much = await rest.send("POST", "/fapi/v1/positionMargin", symbol=SYMBOL, amount=10**6, type=2)
            assert (too_much.status_code, too_much.json()["code"]) == (400, -4051)
        history = await rest.ask("GET", "/fapi/v1/positionMargin/history", symbol=SYMBOL)
        assert [(row["type"], row["deltaType"]) for row in history] == [(1, "TRADE"), (1, "USER_ADJUST")]


async def test_hedge_mode_over_the_wire(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        assert await rest.ask("GET", "/fapi/v1/positionSide/dual") == {"dualSidePosition": False}
        answer = await rest.ask("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
        assert answer == {"code": 200, "msg": "success"}
        assert await rest.ask("GET", "/fapi/v1/positionSide/dual") == {"dualSidePosition": True}
        refused = await rest.send("POST", "/fapi/v1/order", symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.002")
        assert (refused.status_code, refused.json()["code"]) == (400, -4061)
        order = {"symbol": SYMBOL, "type": "MARKET", "quantity": "0.002"}
        items = [
            {**order, "side": "BUY", "positionSide": "LONG"},
            {**order, "side": "SELL", "positionSide": "SHORT"},
            {**order, "side": "SELL", "positionSide": "LONG", "quantity": "0.003"},
            {**order, "side": "SELL", "positionSide": "LONG", "reduceOnly": "true"},
        ]
        long, short, too_large, named = await rest.ask("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps(items))
        assert (long["positionSide"], short["positionSide"]) == ("LONG", "SHORT")
        assert (too_large["code"], named["code"]) == (-2022, -1106)
        rows = await rest.ask("GET", "/fapi/v3/positionRisk", symbol=SYMBOL)
        assert [(row["positionSide"], row["positionAmt"]) for row in rows] == [("LONG", "0.002"), ("SHORT", "-0.002")]
        held = await rest.send("POST", "/fapi/v1/positionSide/dual", dualSidePosition="false")
        assert (held.status_code, held.json()["code"]) == (400, -4068)
        closed = await rest.ask(
            "POST", "/fapi/v1/order", **order, side="SELL", positionSide="LONG", newOrderRespType="RESULT"
        )
        assert (closed["status"], closed["reduceOnly"]) == ("FILLED", True)
        [left] = await rest.ask("GET", "/fapi/v3/positionRisk")
        assert left["positionSide"] == "SHORT"


async def test_modes_of_the_whole_account_over_the_wire(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        for path, name in (("/fapi/v1/multiAssetsMargin", "multiAssetsMargin"), ("/fapi/v1/feeBurn", "feeBurn")):
            assert await rest.ask("GET", path) == {name: False}
            assert (await rest.ask("POST", path, **{name: "true"}))["code"] == 200
            assert await rest.ask("GET", path) == {name: True}
        isolated = await rest.send("POST", "/fapi/v1/marginType", symbol=SYMBOL, marginType="ISOLATED")
        assert (isolated.status_code, isolated.json()["code"]) == (400, -4168)
        status = await rest.ask("GET", "/fapi/v1/apiTradingStatus", symbol=SYMBOL)
        assert status["indicators"] == {}

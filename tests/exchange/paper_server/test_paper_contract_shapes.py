"""Amendments and the contract's own figures against the exchange's examples (names and types)."""

import json
from typing import Any

import pytest

from tests.exchange.paper_server.raw_client import SYMBOL, raw_rest
from tests.exchange.paper_server.test_paper_recorded_shapes import EXAMPLES, missing_or_other, shape
from trio_grid.testing.paper import PaperHandle

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the recorded examples are not part of the repository"),
]


async def test_answers_have_the_exchanges_names_and_types(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    answers: dict[str, Any] = {}
    async with raw_rest(paper_exchange) as rest:
        order = await rest.place_resting()
        change = {"symbol": SYMBOL, "orderId": order["orderId"], "side": "BUY", "price": order["price"], "modifyId": 1}
        answers["modify_order"] = await rest.ask("PUT", "/fapi/v1/order", **change, quantity="0.003")
        items = json.dumps([{**change, "quantity": "0.004"}])
        answers["modify_multiple_orders"] = await rest.ask("PUT", "/fapi/v1/batchOrders", batchOrders=items)
        answers["get_order_modify_history"] = await rest.ask("GET", "/fapi/v1/orderAmendment", symbol=SYMBOL)
        answers["old_trades_lookup"] = await rest.ask("GET", "/fapi/v1/historicalTrades", symbol=SYMBOL)
        answers["open_interest"] = await rest.get("/fapi/v1/openInterest", symbol=SYMBOL)
        answers["adl_risk"] = await rest.get("/fapi/v1/symbolAdlRisk", symbol=SYMBOL)
        await rest.buy_at_market()
        answers["position_adl_quantile_estimation"] = await rest.ask("GET", "/fapi/v1/adlQuantile")
    for name, answer in answers.items():
        example = json.loads((EXAMPLES / f"rest_api__{name}_success.json").read_text())["response"]
        for row in example if isinstance(example, list) else [example]:
            # One example mixes an item's refusal into an item's answer.
            row.pop("code", None)
            row.pop("msg", None)
        assert missing_or_other(shape(example), shape(answer)) == [], name

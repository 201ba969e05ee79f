"""Settings of an account as a whole: the assets that count as margin, fees in BNB; and what is told of its income."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exchange.paper.scripted_market import START_MS, quote, scripted
from trio_grid.exchange.paper.engine.account import DAY_MS
from trio_grid.exchange.paper.engine.exchange import UserEvent
from trio_grid.exchange.paper.engine.persistence import exchange_document, restore_exchange
from trio_grid.exchange.paper.engine.refusals import PaperRefusal

SYMBOL = {"symbol": "TESTUSDT"}
ON, OFF = {"multiAssetsMargin": "true"}, {"multiAssetsMargin": "false"}


def code_of(call: Any, *arguments: Any) -> int:
    with pytest.raises(PaperRefusal) as caught:
        call(*arguments)
    return caught.value.code


def test_multi_assets_mode_and_isolated_margin_exclude_each_other() -> None:
    exchange, _, ann, _ = scripted(quote(0, 999, 1001), depth_lots=1_000)
    switch, isolate = exchange.change_multi_assets, exchange.change_margin_type
    assert code_of(switch, "ann", OFF, START_MS) == -4171
    isolate("ann", SYMBOL | {"marginType": "ISOLATED"}, START_MS)
    assert code_of(switch, "ann", ON, START_MS) == -4167
    isolate("ann", SYMBOL | {"marginType": "CROSSED"}, START_MS)
    order = ann.limit("BUY", 990, 100)
    assert code_of(switch, "ann", ON, START_MS) == -4170
    ann.cancel(order["orderId"])
    exchange.take_events()
    assert switch("ann", ON, START_MS) == {"code": 200, "msg": "success"}
    [event] = [event for event in exchange.take_events() if isinstance(event, UserEvent)]
    assert (event.kind, event.payload["ai"]) == ("ACCOUNT_CONFIG_UPDATE", {"j": True})
    assert exchange.multi_assets_mode("ann", {}, START_MS) == {"multiAssetsMargin": True}
    assert exchange.account_config("ann", {}, START_MS)["multiAssetsMargin"] is True
    assert exchange.account_information("ann", {}, START_MS, version=2)["multiAssetsMargin"] is True
    assert code_of(isolate, "ann", SYMBOL | {"marginType": "ISOLATED"}, START_MS) == -4168
    assert code_of(switch, "ann", ON, START_MS) == -4171
    assert exchange.multi_assets_mode("bob", {}, START_MS) == {"multiAssetsMargin": False}
    # One asset is all that there is, so the figures are the same in either mode.
    ann.market("BUY", 100)
    body = exchange.account_information("ann", {}, START_MS)
    switch("ann", OFF, START_MS)
    assert exchange.account_information("ann", {}, START_MS) == body


def test_fee_burn_is_kept_and_fees_stay_in_the_margin_asset_without_bnb() -> None:
    exchange, _, ann, _ = scripted(quote(0, 999, 1001), depth_lots=1_000)
    assert exchange.fee_burn("ann", {}, START_MS) == {"feeBurn": False}
    ann.market("BUY", 100)
    assert exchange.change_fee_burn("ann", {"feeBurn": "true"}, START_MS) == {"code": 200, "msg": "success"}
    assert exchange.fee_burn("ann", {}, START_MS) == {"feeBurn": True}
    assert exchange.account_information("ann", {}, START_MS, version=2)["feeBurn"] is True
    ann.market("BUY", 100)
    fees = {(row["commission"], row["commissionAsset"]) for row in exchange.user_trades("ann", SYMBOL, START_MS)}
    assert fees == {("0.00500500", "USDT")}
    assert code_of(exchange.change_fee_burn, "ann", {}, START_MS) == -1102
    assert code_of(exchange.change_fee_burn, "ann", {"feeBurn": "maybe"}, START_MS) == -1102
    other, _, _, _ = scripted(quote(0, 999, 1001), depth_lots=1_000)
    restore_exchange(other, exchange_document(exchange))
    assert other.fee_burn("ann", {}, START_MS) == {"feeBurn": True}


def test_income_is_told_of_any_window_and_of_the_last_seven_days_without_one() -> None:
    exchange, _, ann, _ = scripted(quote(0, 999, 1001), depth_lots=1_000)
    ann.market("BUY", 100)
    later = START_MS + 10 * DAY_MS
    exchange.advance(later)
    assert exchange.income("ann", {}, later) == []
    both = exchange.income("ann", {"startTime": str(START_MS)}, later)
    assert [row["incomeType"] for row in both] == ["TRANSFER", "COMMISSION"]
    assert exchange.income("ann", {"startTime": str(START_MS), "limit": "1"}, later) == both[:1]
    assert exchange.income("ann", {"endTime": str(START_MS), "limit": "1"}, later) == both[1:]
    assert exchange.income("ann", {"startTime": str(START_MS), "endTime": str(later)}, later) == both
    assert exchange.income("ann", {"startTime": str(START_MS + 1)}, later) == []
    assert exchange.income("ann", {"startTime": str(START_MS), "incomeType": "COMMISSION"}, later) == both[1:]
    backwards = {"startTime": str(later), "endTime": str(START_MS)}
    assert code_of(exchange.income, "ann", backwards, later) == -1130


def test_no_quantitative_rule_is_ever_near() -> None:
    exchange, _, _, _ = scripted()
    assert exchange.trading_status("ann", SYMBOL, START_MS) == {"indicators": {}, "updateTime": START_MS}
    assert code_of(exchange.trading_status, "ann", {"symbol": "NOPE"}, START_MS) == -1121

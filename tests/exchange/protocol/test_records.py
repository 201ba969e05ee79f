"""REST bodies as records: what is mandatory, what is exact, and what an absence means."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from tests.exchange.binance.scripted_exchange import bitcoin, exchange_info, order_body, without
from trio_grid import errors
from trio_grid.domain.events import OrderRecord, RecordStatus, Side
from trio_grid.domain.instrument import Instrument
from trio_grid.errors import MalformedAnswer, StartRefused, UnknownSymbol
from trio_grid.exchange.interface import AccountSummary
from trio_grid.exchange.protocol import wire
from trio_grid.exchange.protocol.messages import Ignored, decode
from trio_grid.exchange.protocol.records import (
    parse_account,
    parse_batch,
    parse_funding,
    parse_instrument,
    parse_klines,
    parse_order,
    parse_orders,
    parse_position,
    parse_trades,
)
from trio_grid.exchange.protocol.requests import Endpoint, decimal_text, klines_weight

BITCOIN = bitcoin()
NOW = 1_750_000_000_000


def test_an_order_becomes_a_record_in_ticks_and_lots() -> None:
    body = order_body(status="PARTIALLY_FILLED", executedQty="0.001", reduceOnly=True, side="SELL")
    record = parse_order(json.dumps(body), BITCOIN, Counter())
    assert (record.client_order_id, record.order_id, record.side) == ("id-1", 4087922044, Side.SELL)
    assert (record.price_ticks, record.quantity_lots, record.executed_lots) == (600_000, 2, 1)
    assert (record.status, record.reduce_only) == (RecordStatus.PARTIALLY_FILLED, True)


def test_s19_what_the_bot_needs_of_an_order_is_mandatory_and_what_comes_and_goes_is_not() -> None:
    needed = {
        "orderId", "symbol", "status", "clientOrderId", "price", "origQty", "executedQty", "side", "type", "reduceOnly",
        "updateTime",
    }  # fmt: skip
    for key, body in without(order_body()):
        if key in needed:
            with pytest.raises(MalformedAnswer):
                parse_order(json.dumps(body), BITCOIN, Counter())
        else:
            assert parse_order(json.dumps(body), BITCOIN, Counter()).client_order_id == "id-1"


def test_an_answer_about_another_symbol_is_malformed() -> None:
    with pytest.raises(MalformedAnswer, match="ETHUSDT"):
        parse_order(json.dumps(order_body(symbol="ETHUSDT")), BITCOIN, Counter())


def test_lists_of_orders_are_sorted_and_keep_to_the_symbol() -> None:
    bodies = [order_body(orderId=9), order_body(orderId=3), order_body(orderId=5, symbol="ETHUSDT")]
    assert [order.order_id for order in parse_orders(json.dumps(bodies), BITCOIN, Counter())] == [3, 9]


def test_an_order_status_that_is_new_is_counted() -> None:
    ignored: Ignored = Counter()
    parse_order(json.dumps(order_body(status="NEW_INSURANCE")), BITCOIN, ignored)
    assert ignored == {"status NEW_INSURANCE": 1}


def test_a_batch_keeps_records_and_errors_in_the_order_of_the_request() -> None:
    body = [order_body(), {"code": -1007, "msg": "Timeout"}, {"code": -4116, "msg": "dup"}, order_body(orderId=7)]
    first, unknown, duplicate, last = parse_batch(json.dumps(body), BITCOIN, Counter())
    assert isinstance(first, OrderRecord)
    assert isinstance(unknown, errors.OrderOutcomeUnknown)
    assert isinstance(duplicate, errors.DuplicateClientOrderId)
    assert isinstance(last, OrderRecord)
    assert last.order_id == 7


def trade_row(**changes: Any) -> dict[str, Any]:
    row = {
        "buyer": False,
        "commission": "0.07819010",
        "commissionAsset": "BNB",
        "id": 698759,
        "maker": False,
        "orderId": 25851813,
        "price": "7819.00",
        "qty": "0.002",
        "quoteQty": "15.63802",
        "realizedPnl": "-0.91539999",
        "side": "SELL",
        "positionSide": "BOTH",
        "symbol": "BTCUSDT",
        "time": 1569514978020,
    }
    return {**row, **changes}


def test_trades_are_exact_and_ascending() -> None:
    rows = [trade_row(id=5), trade_row(id=2), trade_row(id=3, symbol="ETHUSDT")]
    trades = parse_trades(json.dumps(rows), BITCOIN)
    assert [trade.trade_id for trade in trades] == [2, 5]
    trade = trades[0]
    assert (trade.price_ticks, trade.quantity_lots, trade.side, trade.client_order_id) == (78_190, 2, Side.SELL, "")
    assert (trade.realized_pnl_units, trade.fee_units, trade.fee_asset) == (-91_539_999, 7_819_010, "BNB")


def test_s3_a_trades_quantity_is_its_quantity_never_its_price() -> None:
    (trade,) = parse_trades(json.dumps([trade_row(price="50000.0", qty="0.001")]), BITCOIN)
    assert (trade.price_ticks, trade.quantity_lots) == (500_000, 1)


@pytest.mark.parametrize(
    "key", ["id", "orderId", "side", "price", "qty", "commission", "commissionAsset", "realizedPnl", "time", "maker"]
)
def test_s19_a_trade_without_one_of_its_fields_is_malformed(key: str) -> None:
    row = trade_row()
    del row[key]
    with pytest.raises(MalformedAnswer):
        parse_trades(json.dumps([row]), BITCOIN)


def test_klines_whose_close_time_has_passed_are_closed() -> None:
    rest = ["0", 1, "0", "0", "0"]
    opens = [NOW - 120_000, NOW - 60_000, NOW]
    rows = [[start, "1.0", "3.0", "0.5", "2.0", "9.0015", start + 59_999, *rest] for start in opens]
    klines = parse_klines(json.dumps(rows), BITCOIN, NOW)
    assert [kline.closed for kline in klines] == [True, True, False]
    assert (klines[0].volume_lots, klines[0].high_ticks) == (9_001, 30)
    with pytest.raises(MalformedAnswer):
        parse_klines("[[1499040000000]]", BITCOIN, NOW)


def risk(amount: str, liquidation: str = "0", symbol: str = "BTCUSDT", side: str = "BOTH") -> dict[str, Any]:
    return {
        "symbol": symbol,
        "positionSide": side,
        "positionAmt": amount,
        "liquidationPrice": liquidation,
        "updateTime": 5,
    }


def test_a_position_that_is_not_listed_is_flat_as_of_now() -> None:
    record, liquidation = parse_position("[]", BITCOIN, NOW)
    assert (record.position_lots, record.time_ms, liquidation) == (0, NOW, None)


@pytest.mark.parametrize("rows", [[risk("NaN")], [risk("1", "NaN")], [risk("1", "NaN"), risk("1", "5")]])
def test_numbers_that_are_none_are_malformed(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(MalformedAnswer):
        parse_position(json.dumps(rows), BITCOIN, NOW)


def test_a_short_position_and_its_liquidation_price_between_two_ticks() -> None:
    record, liquidation = parse_position(json.dumps([risk("-0.015", "70000.1733")]), BITCOIN, NOW)
    assert (record.position_lots, record.time_ms, liquidation) == (-15, 5, 700_001)


def account(**parts: Any) -> AccountSummary:
    bodies: dict[str, Any] = {
        "account": {
            "assets": [
                {"asset": "BNB", "walletBalance": "1", "unrealizedProfit": "0", "availableBalance": "1"},
                {"asset": "USDT", "walletBalance": "23.72469206", "unrealizedProfit": "-1.5", "availableBalance": "20"},
            ]
        },
        "symbol_config": [{"symbol": "BTCUSDT", "marginType": "CROSSED", "leverage": 21}],
        "account_config": {"dualSidePosition": True},
        "position_risk": [risk("0.5")],
    }
    bodies.update(parts)
    texts = {name: json.dumps(body) for name, body in bodies.items()}
    return parse_account(**texts, instrument=BITCOIN, now_ms=NOW)


def test_f14_the_account_is_put_together_from_its_four_answers_hedge_mode_included() -> None:
    assert account() == AccountSummary(
        wallet_balance_units=2_372_469_206,  # type: ignore[arg-type]
        available_balance_units=2_000_000_000,  # type: ignore[arg-type]
        unrealized_pnl_units=-150_000_000,  # type: ignore[arg-type]
        position_lots=500,
        leverage=21,
        margin_type="cross",
        hedge_mode=True,
    )
    assert (
        account(symbol_config=[{"symbol": "BTCUSDT", "marginType": "ISOLATED", "leverage": 3}]).margin_type
        == "isolated"
    )


def test_s19_an_account_that_does_not_list_what_was_asked_is_malformed() -> None:
    with pytest.raises(MalformedAnswer, match="USDT"):
        account(account={"assets": []})
    with pytest.raises(MalformedAnswer, match="BTCUSDT"):
        account(symbol_config=[])
    with pytest.raises(MalformedAnswer):
        account(account_config={})


def test_funding_is_the_symbols_own_and_ascending() -> None:
    row = {
        "symbol": "BTCUSDT",
        "incomeType": "FUNDING_FEE",
        "income": "-0.37500000",
        "asset": "USDT",
        "time": 9,
        "tranId": 2,
    }
    rows = [row, {**row, "time": 3, "tranId": 1}, {**row, "symbol": "ETHUSDT"}, {**row, "incomeType": "COMMISSION"}]
    records = parse_funding(json.dumps(rows), BITCOIN)
    assert [(record.record_id, record.amount_units) for record in records] == [(1, -37_500_000), (2, -37_500_000)]


# exchangeInfo


def parsed(fees: wire.WireCommissionRate | None = None, **changes: Any) -> Instrument:
    info = decode(json.dumps(exchange_info(**changes)), wire.WireExchangeInfo, what="test")
    return parse_instrument(info, "BTCUSDT", fees)


def filters(**changes: dict[str, Any] | None) -> list[dict[str, Any]]:
    result = []
    for entry in exchange_info()["symbols"][0]["filters"]:
        change = changes.get(entry["filterType"], {})
        if change is not None:
            result.append({**entry, **change})
    return result


def test_the_instrument_of_the_live_filters() -> None:
    fees = wire.WireCommissionRate(
        symbol="BTCUSDT", maker_commission_rate=Decimal("0.0002"), taker_commission_rate=Decimal("0.0004")
    )
    instrument = parsed(fees)
    assert (instrument.tick_size, instrument.lot_size) == (Decimal("0.10"), Decimal("0.001"))
    assert (instrument.min_price_ticks, instrument.max_price_ticks) == (5_568, 45_297_640)
    assert (instrument.min_quantity_lots, instrument.max_quantity_lots) == (1, 1_000_000)
    assert instrument.max_market_quantity_lots == 120_000
    assert (instrument.min_notional_units, instrument.max_open_orders) == (5_000_000_000, 200)
    assert (instrument.price_band_up_ppm, instrument.price_band_down_ppm) == (1_050_000, 950_000)
    assert (instrument.maker_fee_rate, instrument.taker_fee_rate) == (20_000, 40_000)


def test_filters_that_are_not_listed_have_the_documents_values_or_none() -> None:
    instrument = parsed(filters=filters(MAX_NUM_ORDERS=None, PERCENT_PRICE=None, MARKET_LOT_SIZE=None))
    assert (instrument.max_open_orders, instrument.max_market_quantity_lots) == (200, 1_000_000)


@pytest.mark.parametrize("name", ["PRICE_FILTER", "LOT_SIZE", "MIN_NOTIONAL"])
def test_s19_a_missing_filter_is_an_error_not_a_zero(name: str) -> None:
    with pytest.raises(MalformedAnswer, match=name):
        parsed(filters=filters(**{name: None}))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("PRICE_FILTER", {"tickSize": "0"}),
        ("PRICE_FILTER", {"tickSize": None}),
        ("PRICE_FILTER", {"minPrice": "556.85"}),
        ("LOT_SIZE", {"stepSize": "-1"}),
        ("LOT_SIZE", {"minQty": "0.0015"}),
        ("MIN_NOTIONAL", {"notional": None}),
        ("PERCENT_PRICE", {"multiplierUp": "1.00000001"}),
        ("LOT_SIZE", {"stepSize": "0.000000001"}),
    ],
)
def test_a_filter_that_cannot_be_used_is_an_error(name: str, change: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        parsed(filters=filters(**{name: change}))


def test_an_odd_symbol_does_not_hide_the_one_that_is_traded() -> None:
    body = exchange_info()
    odd = {"symbol": "ODDUSDT", "filters": [{"filterType": "NEW", "limit": "many"}], "status": None}
    body["symbols"] = [odd, *body["symbols"], odd]
    info = decode(json.dumps(body), wire.WireExchangeInfo, what="test")
    assert parse_instrument(info, "BTCUSDT", None).symbol == "BTCUSDT"
    with pytest.raises(MalformedAnswer):
        parse_instrument(info, "ODDUSDT", None)


def test_a_symbol_that_is_not_listed_or_not_trading_is_refused() -> None:
    info = decode(json.dumps(exchange_info()), wire.WireExchangeInfo, what="test")
    with pytest.raises(UnknownSymbol, match=r"ETHUSDT.*grid\.symbol") as caught:
        parse_instrument(info, "ETHUSDT", None)
    assert caught.value.code == -1121
    with pytest.raises(StartRefused, match="SETTLING"):
        parsed(status="SETTLING")


def test_decimals_are_written_plainly() -> None:
    texts = [decimal_text(Decimal(value)) for value in ("60000.00", "0.10", "1E+3", "1E-8", "0.00", "100", "5.5000")]
    assert texts == ["60000", "0.1", "1000", "0.00000001", "0", "100", "5.5"]


def test_weights_of_klines_and_names_of_endpoints() -> None:
    assert [klines_weight(limit) for limit in (99, 100, 499, 500, 1_000, 1_001, 1_500)] == [1, 2, 2, 5, 5, 10, 10]
    assert len(Endpoint.__members__) == len(list(Endpoint))

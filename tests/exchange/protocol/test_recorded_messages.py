"""Real messages of the exchange: nothing in them is lost, and none of them stops a parser."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.protocol.test_messages import instrument
from trio_grid import errors
from trio_grid.domain.events import OrderRecord, RecordStatus
from trio_grid.domain.instrument import Instrument, money_units
from trio_grid.errors import ListenKeyGone
from trio_grid.exchange.protocol import wire
from trio_grid.exchange.protocol.error_codes import error_of
from trio_grid.exchange.protocol.messages import (
    Ignored,
    decode,
    parse_book_ticker,
    parse_kline,
    parse_user_event,
)
from trio_grid.exchange.protocol.rate_limits import UsedLimit, parse_headers
from trio_grid.exchange.protocol.records import parse_batch, parse_order, parse_trades

SHARED = Path(__file__).parents[4] / "shared"
PAYLOADS = SHARED / "payloads"
OFFICIAL = PAYLOADS / "official_examples" / "derivatives_trading_usds_futures"

pytestmark = pytest.mark.skipif(not PAYLOADS.exists(), reason="recorded messages are not part of the repository")


def recorded_events() -> list[dict[str, Any]]:
    path = PAYLOADS / "recorded_user_stream.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def recorded_bodies() -> list[dict[str, Any]]:
    path = PAYLOADS / "recorded_rest.json"
    return json.loads(path.read_text()) if path.exists() else []


def instrument_for(symbol: str, *numbers: str) -> Instrument:
    """Return an instrument whose tick and lot are fine enough for the recording."""
    return instrument(symbol, tick="0.00001", lot="0.001", margin=symbol[-4:])


@pytest.mark.parametrize("recorded", recorded_events(), ids=lambda item: item["note"][:40] or item["source"][:40])
def test_every_recorded_user_event_goes_through_with_nothing_lost(recorded: dict[str, Any]) -> None:
    event = recorded["event"]
    inner = event.get("data", event)
    order = inner.get("o", {})
    market = instrument_for(order.get("s") or inner.get("s") or _first_symbol(inner) or "BTCUSDT")
    ignored: Ignored = Counter()
    if inner.get("e") == "listenKeyExpired":
        with pytest.raises(ListenKeyGone):
            parse_user_event(json.dumps(event), market, ignored)
        return
    parsed = parse_user_event(json.dumps(event), market, ignored)
    if inner.get("e") == "ORDER_TRADE_UPDATE":
        assert parsed is not None
        assert parsed.order is not None
        assert_same_order(parsed.order.order, order, market)
        assert (parsed.order.trade is not None) == (order["x"] == "TRADE")
        trade = parsed.order.trade
        if trade is not None:
            assert market.price(trade.price_ticks) == Decimal(order["L"])
            assert market.quantity(trade.quantity_lots) == Decimal(order["l"])
            assert (trade.fee_units, trade.fee_asset) == (money_units(Decimal(order["n"])), order["N"])
            assert trade.realized_pnl_units == money_units(Decimal(order["rp"]))
            assert (trade.trade_id, trade.maker, trade.time_ms) == (order["t"], order["m"], order["T"])
    elif inner.get("e") == "ACCOUNT_UPDATE":
        assert parsed is not None
        assert parsed.account is not None
        amounts = [Decimal(row["pa"]) for row in inner["a"]["P"] if row["s"] == market.symbol]
        assert parsed.account.position_lots == (market.quantity_lots(sum(amounts, Decimal(0))) if amounts else None)
        assert (parsed.account.reason, parsed.account.time_ms) == (inner["a"]["m"], inner["T"])
    else:
        assert parsed is None
        assert sum(ignored.values()) == 1


def _first_symbol(event: dict[str, Any]) -> str | None:
    positions = event.get("a", {}).get("P", []) if isinstance(event.get("a"), dict) else []
    return positions[0]["s"] if positions else None


def assert_same_order(record: OrderRecord, order: dict[str, Any], market: Instrument) -> None:
    assert (record.client_order_id, record.order_id) == (order["c"], order["i"])
    assert market.price(record.price_ticks) == Decimal(order["p"])
    assert market.quantity(record.quantity_lots) == Decimal(order["q"])
    assert market.quantity(record.executed_lots) == Decimal(order["z"])
    assert record.status is RecordStatus(order["X"])
    assert (record.side, record.reduce_only, record.update_time_ms) == (order["S"], order["R"], order["T"])


def test_the_recordings_are_all_there() -> None:
    assert len(recorded_events()) == 28
    assert len(recorded_bodies()) == 8


def test_trade_lite_and_the_order_update_of_one_fill_are_one_trade() -> None:
    ignored: Ignored = Counter()
    market = instrument_for("ETHUSDC")
    trades = []
    for recorded in recorded_events():
        event = recorded["event"]
        if event.get("e") in ("TRADE_LITE", "ORDER_TRADE_UPDATE") and "2026-04" in recorded["source"]:
            parsed = parse_user_event(json.dumps(event), market, ignored)
            if parsed is not None and parsed.order is not None and parsed.order.trade is not None:
                trades.append(parsed.order.trade.trade_id)
    assert trades == [702423109]
    assert ignored == {"TRADE_LITE": 1}


def test_every_recorded_rest_body_goes_through() -> None:
    batch, post_only, created, spot, testnet, headers, no_code, with_code = recorded_bodies()
    refused, placed = parse_batch(json.dumps(batch["body"]), instrument_for("PHBUSDT"), Counter())
    assert isinstance(refused, errors.PostOnlyWouldTake)
    assert isinstance(placed, OrderRecord)
    assert (placed.reduce_only, placed.client_order_id) == (True, "shrtnclsa772eeb9868c4dc98a43aab8fa64")
    assert type(error_of(400, post_only["body"]["code"], post_only["body"]["msg"])) is errors.PostOnlyWouldTake
    btc = instrument("BTCUSDT", tick="0.10", margin="USDT")
    order = parse_order(json.dumps(created["body"][0]), btc, Counter())
    assert (order.price_ticks, order.quantity_lots, order.update_time_ms) == (1_100_010, 200, 1739781831932)
    assert spot["body"]["orderId"] == "9780331417"
    litecoin = parse_order(json.dumps(testnet["body"]), instrument("LTCUSDT"), Counter())
    assert (litecoin.price_ticks, litecoin.quantity_lots) == (5_000, 200)
    assert parse_headers(headers["headers"].items()) == (UsedLimit("ORDERS", 10_000, 2), UsedLimit("ORDERS", 60_000, 2))
    for item in (no_code, with_code):
        body = decode(json.dumps(item["body"]), wire.WireErrorBody, what="503")
        assert type(error_of(503, body.code, body.msg)) is errors.OrderOutcomeUnknown


def official(name: str) -> bytes:
    return json.dumps(json.loads((OFFICIAL / f"{name}.json").read_text())["response"]).encode()


def test_official_stream_examples_parse() -> None:
    ticker = parse_book_ticker(
        official("websocket_streams__individual_symbol_book_ticker_streams_success"),
        instrument("BNBUSDT", tick="0.0001"),
        Counter(),
    )
    assert ticker is not None
    # The documents' kline has a low above its open, so it decodes, and the domain rightly refuses it.
    kline = official("websocket_streams__kline_candlestick_streams_success")
    assert decode(kline, wire.WireKlineEvent, what="kline").kline.low == Decimal("0.0015")
    with pytest.raises(errors.MalformedAnswer, match="out of order"):
        parse_kline(kline, instrument("BTCUSDT", tick="0.0001", lot="1"), Counter())
    (trade,) = parse_trades(official("rest_api__account_trade_list_success"), instrument("BTCUSDT"))
    assert (trade.trade_id, trade.fee_units, trade.realized_pnl_units) == (698759, 7_819_010, -91_539_999)

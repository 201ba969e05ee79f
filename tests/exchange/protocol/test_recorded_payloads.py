"""Every official example goes through our parsers: read with nothing lost, or counted with the reason why not.

An example that the exchange's own documents print with fields left out is a malformed answer, by name.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.exchange.protocol.test_messages import instrument
from trio_grid.domain.events import OrderRecord, Trade
from trio_grid.errors import MalformedAnswer, RequestRefused
from trio_grid.exchange.protocol import wire
from trio_grid.exchange.protocol.market_messages import (
    BookQuote,
    PublicTrade,
    parse_depth_snapshot,
    parse_market_data,
)
from trio_grid.exchange.protocol.messages import Ignored, decode, parse_kline, parse_user_event
from trio_grid.exchange.protocol.order_book import BookSnapshot, BookUpdate
from trio_grid.exchange.protocol.rate_limits import RateLimit
from trio_grid.exchange.protocol.records import parse_batch, parse_order, parse_trades

EXAMPLES = Path(__file__).parents[4] / "shared" / "payloads" / "official_examples"
FUTURES = EXAMPLES / "derivatives_trading_usds_futures"
SPOT = EXAMPLES / "spot"

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif(not EXAMPLES.exists(), reason="the official examples are not part of the repository"),
]

BODIES: dict[str, Any] = {
    "account_information_v2": wire.WireAccount,
    "account_information_v3": wire.WireAccount,
    "account_trade_list": list[wire.WireUserTrade],
    "all_orders": list[wire.WireOrder],
    "cancel_order": wire.WireOrder,
    "check_server_time": wire.WireServerTime,
    "current_all_open_orders": list[wire.WireOrder],
    "exchange_information": wire.WireExchangeInfo,
    "futures_account_configuration": wire.WireAccountConfig,
    "get_income_history": list[wire.WireIncome],
    "modify_order": wire.WireOrder,
    "new_order": wire.WireOrder,
    "position_information_v2": list[wire.WirePositionRisk],
    "position_information_v3": list[wire.WirePositionRisk],
    "query_current_open_order": wire.WireOrder,
    "query_order": wire.WireOrder,
    "start_user_data_stream": wire.WireListenKey,
    "symbol_configuration": list[wire.WireSymbolConfig],
    "test_order": wire.WireOrder,
    "user_commission_rate": wire.WireCommissionRate,
    "users_force_orders": list[wire.WireOrder],
}
"""What the client reads of USD-M futures, as a REST body or as the result of the WebSocket API."""
BATCHES = {
    "rest_api__place_multiple_orders",
    "rest_api__modify_multiple_orders",
    "rest_api__cancel_multiple_orders",
}


def examples(folder: Path, prefix: str) -> dict[str, Any]:
    """Response by name; a `subscription` example of a stream is the same message as its `success`."""
    paths = sorted(folder.glob(f"{prefix}__*.json"))
    return {path.stem.removesuffix("_success"): json.loads(path.read_text())["response"] for path in paths}


def same(value: Any, raw: Any) -> None:
    """Every field of what was read equals the raw field, as a number where it is one."""
    if isinstance(value, msgspec.Struct):
        assert isinstance(raw, dict)
        for field in msgspec.structs.fields(type(value)):
            if field.encode_name in raw:
                same(getattr(value, field.name), raw[field.encode_name])
            else:
                assert not field.required
    elif isinstance(value, msgspec.Raw):
        assert not bytes(value) or json.loads(bytes(value)) == raw
    elif isinstance(value, (list, tuple)):
        assert len(value) == len(raw)
        for inner, raw_inner in zip(value, raw, strict=True):
            same(inner, raw_inner)
    elif isinstance(value, bool) or value is None or isinstance(value, str):
        assert value == raw
    else:
        assert Decimal(value) == Decimal(str(raw))


def market_of(row: dict[str, Any]) -> Any:
    return instrument(row["symbol"], tick="0.00001", lot="0.001", margin="USDT")


def domain_events_of(shape: Any, body: Any) -> int:
    """Carry orders and trades on into the domain; nothing is lost there either. Return how many there were."""
    rows = body if isinstance(body, list) else [body]
    if shape in (wire.WireOrder, list[wire.WireOrder]):
        for row in rows:
            record, market = parse_order(json.dumps(row), market_of(row), Counter()), market_of(row)
            assert (record.order_id, record.client_order_id) == (row["orderId"], row["clientOrderId"])
            assert market.price(record.price_ticks) == Decimal(row["price"])
            assert market.quantity(record.quantity_lots) == Decimal(row["origQty"])
            assert market.quantity(record.executed_lots) == Decimal(row["executedQty"])
            assert (record.status, record.side, record.reduce_only) == (row["status"], row["side"], row["reduceOnly"])
            assert record.update_time_ms == row["updateTime"]
        return len(rows)
    if shape == list[wire.WireUserTrade]:
        for row in rows:
            (trade,) = parse_trades(json.dumps([row]), market_of(row))
            assert isinstance(trade, Trade)
            assert (trade.trade_id, trade.order_id, trade.time_ms) == (row["id"], row["orderId"], row["time"])
            assert market_of(row).price(trade.price_ticks) == Decimal(row["price"])
            assert market_of(row).quantity(trade.quantity_lots) == Decimal(row["qty"])
            assert Decimal(trade.realized_pnl_units).scaleb(-8) == Decimal(row["realizedPnl"])
            assert (Decimal(trade.fee_units).scaleb(-8), trade.fee_asset) == (
                Decimal(row["commission"]),
                row["commissionAsset"],
            )
        return len(rows)
    return 0


def test_what_the_client_reads_of_rest_is_read_whole_and_the_rest_is_never_an_error() -> None:
    counts: Counter[str] = Counter()
    for name, body in examples(FUTURES, "rest_api").items():
        text = json.dumps(body)
        shape = BODIES.get(name.removeprefix("rest_api__"))
        if shape is not None:
            same(decode(text, shape, what=name), body)
            counts["read"] += 1
            counts["domain events"] += domain_events_of(shape, body)
        elif name in BATCHES:
            (result,) = parse_batch(text, market_of(body[0]), Counter())
            # The documents merge an order and an error into one example; the error is what counts.
            assert isinstance(result, RequestRefused)
            counts["batches"] += 1
        elif name == "rest_api__order_book":
            with_ticks = instrument("BTCUSDT", tick="0.000001", lot="0.01", margin="USDT")
            assert parse_depth_snapshot(text, with_ticks).last_id == body["lastUpdateId"]
            counts["read"] += 1
        else:
            counts["not asked by the client"] += 1
        if isinstance(body, dict):
            code = decode(text, wire.WireErrorBody, what=name).code
            assert code is None or code >= 0, "a success is not taken for an error"
    assert counts == {"read": 22, "domain events": 10, "batches": 3, "not asked by the client": 68}


@pytest.mark.parametrize(("folder", "number"), [(FUTURES, 18), (SPOT, 55)])
def test_every_answer_of_the_websocket_api_keeps_its_id_status_result_and_counts(folder: Path, number: int) -> None:
    found = examples(folder, "websocket_api")
    reads = 0
    for name, body in found.items():
        answer = decode(json.dumps(body), wire.Answer, what=name)
        assert (answer.id, answer.status, answer.error) == (body.get("id"), body.get("status"), None)
        if "result" in body:
            assert json.loads(bytes(answer.result)) == body["result"]
        limits = body.get("rateLimits", [])
        same(decode(answer.rate_limits, list[RateLimit], what="rateLimits"), limits)
        shape = BODIES.get(name.removeprefix("websocket_api__")) if folder is FUTURES else None
        if shape is not None:
            same(decode(answer.result, shape, what=name), body["result"])
            reads += 1
    assert len(found) == number
    assert reads == (7 if folder is FUTURES else 0)


STREAMS = {
    "websocket_streams__aggregate_trade_streams": PublicTrade,
    "websocket_streams__all_book_tickers_stream": BookQuote,
    "websocket_streams__diff_book_depth_streams": BookUpdate,
    "websocket_streams__individual_symbol_book_ticker_streams": BookQuote,
    "websocket_streams__rpi_diff_book_depth_streams": BookUpdate,
    "websocket_streams__diff_book_depth": BookUpdate,
    "websocket_streams__partial_book_depth": BookSnapshot,
}
INCOMPLETE = {
    "websocket_streams__partial_book_depth_streams": "levels without a quantity",
    "websocket_streams__agg_trade": "no price and no quantity",
    "websocket_streams__trade": "no price and no quantity",
}
"""Examples from which the documents' own tests have left fields out: they cannot be read, and say so."""


def stream_symbol(body: Any) -> str:
    found = body.get("s", "BTCUSDT") if isinstance(body, dict) else "BTCUSDT"
    return str(found)


@pytest.mark.parametrize(
    ("folder", "wanted"),
    [
        (FUTURES, {"read": 10, "incomplete": 2, "counted": 28}),
        (SPOT, {"read": 4, "incomplete": 4, "counted": 22}),
    ],
)
def test_every_stream_example_is_read_counted_or_named_as_incomplete(folder: Path, wanted: dict[str, int]) -> None:
    counts: Counter[str] = Counter()
    ignored: Ignored = Counter()
    for name, body in examples(folder, "websocket_streams").items():
        base = name.removesuffix("_subscription")
        market = instrument(stream_symbol(body), tick="0.0001", lot="0.001", margin="USDT")
        text = json.dumps(body)
        if base in INCOMPLETE:
            with pytest.raises(MalformedAnswer):
                parse_market_data(text, market, ignored)
            counts["incomplete"] += 1
            continue
        parsed = parse_market_data(text, market, ignored)
        assert type(parsed) is STREAMS.get(base, type(None)), name
        counts["read" if base in STREAMS else "counted"] += 1
    assert counts == wanted
    assert sum(ignored.values()) == counts["counted"]


def test_no_stream_example_stops_the_readers_of_the_other_streams() -> None:
    market = instrument("BTCUSDT", tick="0.0001", lot="1")
    ignored: Ignored = Counter()
    bodies = [
        body
        for folder in (FUTURES, SPOT)
        for body in examples(folder, "websocket_streams").values()
        if not (isinstance(body, dict) and body.get("e") == "kline")
    ]
    for body in bodies:
        assert parse_kline(json.dumps(body), market, ignored) is None
        assert parse_user_event(json.dumps(body), market, ignored) is None
    assert sum(ignored.values()) == 2 * len(bodies) > 100


def test_every_file_is_in_one_of_these_tests() -> None:
    seen = sum(
        len(examples(folder, prefix))
        for folder in (FUTURES, SPOT)
        for prefix in ("rest_api", "websocket_api", "websocket_streams")
    )
    assert seen == len(list(EXAMPLES.rglob("*.json"))) == 283


def test_spot_rest_bodies_are_not_asked_and_none_is_taken_for_an_error() -> None:
    found = examples(SPOT, "rest_api")
    for name, body in found.items():
        if isinstance(body, dict):
            code = decode(json.dumps(body), wire.WireErrorBody, what=name).code
            assert code is None or code >= 0
    assert len(found) == 47
    depth = parse_depth_snapshot(
        json.dumps(found["rest_api__depth"]), instrument("BTCUSDT", tick="0.000001", lot="0.01", margin="USDT")
    )
    assert (depth.last_id, depth.bids, depth.time_ms) == (1027024, ((4_000_000, 43_100_000_000),), None)


def test_an_order_of_the_documents_is_a_record() -> None:
    body = examples(FUTURES, "rest_api")["rest_api__new_order"]
    assert isinstance(parse_order(json.dumps(body), market_of(body), Counter()), OrderRecord)

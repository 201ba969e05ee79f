"""Events from the wire: what must be there, what may be new, and that nothing is booked twice."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_grid.domain.events import AccountUpdate, OrderUpdate, RecordStatus, Side
from trio_grid.domain.instrument import Instrument, MoneyUnits, PriceTicks, QuantityLots
from trio_grid.errors import ListenKeyGone, MalformedAnswer
from trio_grid.exchange.protocol.messages import Ignored, parse_book_ticker, parse_kline, parse_user_event


def instrument(symbol: str = "ETHUSDC", tick: str = "0.01", lot: str = "0.001", margin: str = "USDC") -> Instrument:
    return Instrument(
        symbol=symbol,
        base_asset=symbol[:-4],
        quote_asset=symbol[-4:],
        margin_asset=margin,
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        min_price_ticks=PriceTicks(1),
        max_price_ticks=PriceTicks(10**9),
        min_quantity_lots=QuantityLots(1),
        max_quantity_lots=QuantityLots(10**9),
        max_market_quantity_lots=QuantityLots(10**9),
        min_notional_units=MoneyUnits(0),
        max_open_orders=200,
    )


ETHER = instrument()
TIME = 1776789210247


def order_event(**changes: Any) -> dict[str, Any]:
    order = {
        "s": "ETHUSDC",
        "c": "grid-1",
        "S": "BUY",
        "o": "LIMIT",
        "f": "GTX",
        "q": "0.02",
        "p": "2317.3",
        "ap": "2317.3",
        "sp": "0",
        "x": "TRADE",
        "X": "PARTIALLY_FILLED",
        "i": 58846581664,
        "l": "0.005",
        "z": "0.015",
        "L": "2317.3",
        "n": "0.00231730",
        "N": "BNB",
        "T": TIME,
        "t": 702423109,
        "b": "0",
        "a": "0",
        "m": True,
        "R": False,
        "wt": "CONTRACT_PRICE",
        "ot": "LIMIT",
        "ps": "BOTH",
        "cp": False,
        "rp": "-0.5",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
        "er": "0",
    }
    return {"e": "ORDER_TRADE_UPDATE", "T": TIME, "E": TIME + 1, "o": {**order, **changes}}


def parsed(event: Any, ignored: Ignored | None = None) -> Any:
    return parse_user_event(json.dumps(event), ETHER, Counter() if ignored is None else ignored)


def parsed_order(**changes: Any) -> OrderUpdate:
    update = parsed(order_event(**changes)).order
    assert isinstance(update, OrderUpdate)
    return update


def test_a_fill_becomes_an_order_record_and_a_trade() -> None:
    update = parsed_order()
    order, trade = update.order, update.trade
    assert trade is not None
    assert (order.client_order_id, order.order_id, order.side) == ("grid-1", 58846581664, Side.BUY)
    assert (order.price_ticks, order.quantity_lots, order.executed_lots) == (231730, 20, 15)
    assert (order.status, order.reduce_only, order.update_time_ms) == (RecordStatus.PARTIALLY_FILLED, False, TIME)
    assert (trade.trade_id, trade.order_id, trade.client_order_id) == (702423109, 58846581664, "grid-1")
    assert (trade.price_ticks, trade.quantity_lots, trade.side, trade.maker) == (231730, 5, Side.BUY, True)
    assert (trade.realized_pnl_units, trade.fee_units, trade.fee_asset) == (-50_000_000, 231_730, "BNB")


def test_integers_as_strings_and_decimals_as_numbers_mean_the_same() -> None:
    text = json.dumps(order_event()["o"] | {"i": "58846581664", "t": "702423109", "T": str(TIME), "q": 0.02, "er": 0})
    event = '{"e":"ORDER_TRADE_UPDATE","o":' + text + "}"
    update = parse_user_event(event, ETHER, Counter())
    assert update is not None
    assert update.order == parsed_order()


def test_padded_and_trimmed_numbers_mean_the_same() -> None:
    assert parsed_order(q="0.02000000", p="2317.300", z="0.0150") == parsed_order()


def test_every_key_of_the_order_that_the_bot_reads_is_mandatory() -> None:
    optional = {"ap", "sp", "b", "a", "wt", "ot", "ps", "cp", "pP", "si", "ss", "V", "pm", "gtd", "er"}
    for key in order_event()["o"]:
        event = order_event()
        del event["o"][key]
        if key in optional:
            assert parsed(event).order == parsed_order()
        else:
            with pytest.raises(MalformedAnswer):
                parsed(event)


def test_s19_a_fill_without_fee_fields_has_no_fee_but_half_a_fee_is_an_error() -> None:
    event = order_event()
    del event["o"]["n"], event["o"]["N"]
    trade = parsed(event).order.trade
    assert (trade.fee_units, trade.fee_asset) == (0, "USDC")
    for key in ("n", "N"):
        event = order_event()
        del event["o"][key]
        with pytest.raises(MalformedAnswer):
            parsed(event)


@pytest.mark.parametrize(
    ("execution", "status", "expected"),
    [
        ("NEW", "NEW", RecordStatus.NEW),
        ("CANCELED", "CANCELED", RecordStatus.CANCELED),
        ("EXPIRED", "EXPIRED", RecordStatus.EXPIRED),
        ("EXPIRED", "EXPIRED_IN_MATCH", RecordStatus.EXPIRED_IN_MATCH),
        ("REJECTED", "REJECTED", RecordStatus.REJECTED),
        ("AMENDMENT", "NEW", RecordStatus.NEW),
    ],
)
def test_s9_events_without_a_trade(execution: str, status: str, expected: RecordStatus) -> None:
    update = parsed_order(x=execution, X=status, l="0", z="0.015", L="0", t=0, er="4")
    assert (update.trade, update.order.status, update.order.executed_lots) == (None, expected, 15)
    assert update.order.expiry_reason == 4


def test_a_liquidation_that_carries_a_trade_books_it() -> None:
    assert parsed_order(x="CALCULATED", c="autoclose-1").trade is not None
    assert parsed_order(x="CALCULATED", c="autoclose-1", t=0).trade is None


@pytest.mark.parametrize("changes", [{"t": 0}, {"l": "0"}, {"L": "2317.305"}, {"l": "0.0005"}])
def test_a_trade_that_contradicts_itself_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        parsed_order(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"S": "HOLD"}, {"q": "NaN"}, {"p": "Infinity"}, {"z": None}, {"t": -5, "l": "x"}, {"l": "NaN"}, {"n": "NaN"}],
)
def test_nonsense_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        parsed_order(**changes)


def test_words_that_are_new_do_not_stop_the_parser_and_are_counted() -> None:
    ignored: Ignored = Counter()
    update = parsed(order_event(X="NEW_ADL", x="ADL", f="GTE_GTC", o="OTOCO", V="FUTURE", st="X", z="0", t=0), ignored)
    assert update.order.order.status is RecordStatus.NEW
    assert ignored == {"status NEW_ADL": 1, "execution ADL": 1}
    assert parsed(order_event(X="HALF")).order.order.status is RecordStatus.PARTIALLY_FILLED
    assert parsed(order_event(X="WHOLE", z="0.02")).order.order.status is RecordStatus.FILLED


def test_an_order_amended_below_what_it_traded_does_not_stop_the_stream() -> None:
    ignored: Ignored = Counter()
    order = parsed(order_event(x="CANCELED", X="CANCELED", q="0.01", l="0", t=0), ignored).order.order
    assert (order.quantity_lots, order.executed_lots, order.status) == (15, 15, RecordStatus.CANCELED)
    assert ignored == {"quantity below executed": 1}


def test_trade_lite_is_never_booked() -> None:
    ignored: Ignored = Counter()
    lite = {
        "e": "TRADE_LITE",
        "E": TIME,
        "T": TIME,
        "s": "ETHUSDC",
        "q": "0.020",
        "p": "2317.30",
        "m": True,
        "c": "grid-1",
        "S": "BUY",
        "L": "2317.30",
        "l": "0.020",
        "t": 702423109,
        "i": 58846581664,
    }
    assert parsed(lite, ignored) is None
    assert ignored == {"TRADE_LITE": 1}


def test_events_that_are_not_known_and_other_symbols_are_counted() -> None:
    ignored: Ignored = Counter()
    assert parsed({"e": "SOMETHING_NEW", "deep": {"er": [1]}}, ignored) is None
    assert parsed({"e": "MARGIN_CALL", "cw": "1"}, ignored) is None
    assert parsed({"result": None, "id": 4}, ignored) is None
    assert parsed(order_event(s="BTCUSDT"), ignored) is None
    assert ignored == {"event SOMETHING_NEW": 1, "MARGIN_CALL": 1, "no event type": 1, "other symbol": 1}


def test_a_combined_stream_wraps_the_same_events() -> None:
    assert parsed({"stream": "key", "data": order_event()}) == parsed(order_event())


@pytest.mark.parametrize("frame", ["", "[]", "12", "{", '{"e": 5}', b"\xff\xfe", '{"e": "ORDER_TRADE_UPDATE"}'])
def test_frames_that_are_no_events_are_malformed(frame: str | bytes) -> None:
    with pytest.raises(MalformedAnswer):
        parse_user_event(frame, ETHER, Counter())


def account_event(positions: list[dict[str, Any]] | None, reason: str = "ORDER") -> dict[str, Any]:
    change: dict[str, Any] = {"m": reason, "B": [{"a": "USDC", "wb": "37.87866827", "cw": "37.87866827", "bc": "0"}]}
    if positions is not None:
        change["P"] = positions
    return {"e": "ACCOUNT_UPDATE", "T": TIME, "E": TIME + 1, "a": change}


def position(amount: str, symbol: str = "ETHUSDC", side: str = "BOTH") -> dict[str, Any]:
    return {"s": symbol, "pa": amount, "ep": "2317.3", "cr": "0", "up": "0", "mt": "cross", "iw": "0", "ps": side}


@pytest.mark.parametrize(
    ("positions", "lots"),
    [
        ([position("-0.02")], -20),
        ([position("0.5", "BTCUSDT"), position("0.02")], 20),
        ([position("0.5", "BTCUSDT")], None),
        ([position("0.05", side="LONG"), position("-0.02", side="SHORT")], 30),
        ([], None),
        (None, None),
    ],
)
def test_account_updates_speak_of_the_symbols_position_or_of_none(
    positions: list[dict[str, Any]] | None, lots: int | None
) -> None:
    update = parsed(account_event(positions)).account
    assert update == AccountUpdate(reason="ORDER", position_lots=lots, time_ms=TIME)


def test_an_account_update_without_reason_or_time_is_malformed() -> None:
    event = account_event([])
    del event["a"]["m"]
    with pytest.raises(MalformedAnswer):
        parsed(event)
    event = account_event([])
    del event["T"]
    with pytest.raises(MalformedAnswer):
        parsed(event)


@pytest.mark.parametrize("time", ["1693427319838", 1693427319838])
def test_f5_an_expired_listen_key_is_an_error_whatever_the_form_of_its_time(time: str | int) -> None:
    with pytest.raises(ListenKeyGone):
        parsed({"e": "listenKeyExpired", "E": time, "listenKey": "KEY"})


# Market data


def ticker(**changes: Any) -> str:
    event = {
        "e": "bookTicker",
        "u": 400900217,
        "E": TIME + 2,
        "T": TIME,
        "s": "ETHUSDC",
        "b": "2317.29",
        "B": "31.21",
        "a": "2317.30",
        "A": "40.66",
        "ps": "ETHUSDC",
        "st": 1,
    }
    return json.dumps({**event, **changes})


def test_a_book_ticker_is_two_prices_and_a_time() -> None:
    result = parse_book_ticker(ticker(), ETHER, Counter())
    assert result is not None
    assert (result.bid_ticks, result.ask_ticks, result.time_ms, result.half_ticks) == (231729, 231730, TIME, 463459)


def test_other_market_events_are_counted() -> None:
    ignored: Ignored = Counter()
    assert parse_book_ticker(ticker(e="trade"), ETHER, ignored) is None
    assert parse_book_ticker(ticker(s="BTCUSDT"), ETHER, ignored) is None
    assert parse_kline(ticker(), ETHER, ignored) is None
    assert ignored == {"event trade": 1, "other symbol": 1, "event bookTicker": 1}


@pytest.mark.parametrize("changes", [{"b": "NaN"}, {"b": "2317.31"}, {"b": None}, {"a": "2317.301"}, {"T": 0}])
def test_a_book_ticker_that_cannot_be_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        parse_book_ticker(ticker(**changes), ETHER, Counter())


def test_a_book_with_one_empty_side_gives_no_price_and_is_counted() -> None:
    ignored: Ignored = Counter()
    assert parse_book_ticker(ticker(b="0.00", B="0"), ETHER, ignored) is None
    assert parse_book_ticker(ticker(a="0", A="0"), ETHER, ignored) is None
    assert ignored == {"one-sided book": 2}


def kline_event(**changes: Any) -> str:
    kline = {
        "t": 1638747660000,
        "T": 1638747719999,
        "s": "ETHUSDC",
        "i": "1m",
        "f": 100,
        "L": 200,
        "o": "2310.00",
        "c": "2320.00",
        "h": "2325.50",
        "l": "2305.00",
        "v": "12.34567",
        "n": 100,
        "x": True,
        "q": "1.0",
        "V": "5",
        "Q": "0.5",
        "B": "123456",
    }
    return json.dumps({"e": "kline", "E": 1638747660000, "s": "ETHUSDC", "k": {**kline, **changes}})


def test_a_kline_is_exact_in_prices_and_floored_in_volume() -> None:
    kline = parse_kline(kline_event(), ETHER, Counter())
    assert kline is not None
    assert (kline.open_ticks, kline.high_ticks, kline.low_ticks, kline.close_ticks) == (231000, 232550, 230500, 232000)
    assert (kline.open_time_ms, kline.volume_lots, kline.closed) == (1638747660000, 12345, True)


def test_klines_of_another_interval_are_counted_and_wrong_ones_malformed() -> None:
    ignored: Ignored = Counter()
    assert parse_kline(kline_event(i="5m"), ETHER, ignored) is None
    assert ignored == {"other symbol": 1}
    for changes in ({"h": "2300"}, {"v": "NaN"}, {"o": "2310.001"}, {"x": None}):
        with pytest.raises(MalformedAnswer):
            parse_kline(kline_event(**changes), ETHER, ignored)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["NaN", "1e400", "-0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_no_bytes_get_past_the_parsers_as_anything_but_events_or_malformed_answers(data: st.DataObject) -> None:
    event = data.draw(st.sampled_from([order_event(), account_event([position("1")]), json.loads(ticker())]))
    inner = event.get("o") or event.get("a", {}) if isinstance(event.get("a"), dict) else event.get("o") or event
    for key in data.draw(st.lists(st.sampled_from(sorted(inner)), max_size=3)):
        inner[key] = data.draw(JSON)
    frame = json.dumps(event)
    if data.draw(st.booleans()):
        frame = frame[: data.draw(st.integers(0, len(frame)))]
    for parse in (parse_user_event, parse_book_ticker, parse_kline):
        with contextlib.suppress(MalformedAnswer, ListenKeyGone):
            parse(frame, ETHER, Counter())

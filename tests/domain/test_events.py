"""Events are checked at birth, in the constructor and in `replace`, and come out of JSON as they went in."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.events import (
    AccountUpdate,
    BookTicker,
    CancelAcknowledged,
    CancelOutcomeLost,
    CancelRefused,
    Event,
    FundingRecord,
    Kline,
    Liquidity,
    OrderAbsent,
    OrderAcknowledged,
    OrderNotSent,
    OrderOutcomeLost,
    OrderRecord,
    OrderRefused,
    OrderUpdate,
    PositionRecord,
    RecordStatus,
    RegimeReading,
    RejectReason,
    Side,
    Trade,
    Trend,
    Volatility,
)
from trio_grid.domain.instrument import MoneyUnits, PriceTicks, QuantityLots

TICKER = BookTicker(bid_ticks=PriceTicks(599_999), ask_ticks=PriceTicks(600_001), time_ms=1_700_000_000_000)
KLINE = Kline(
    open_time_ms=1_700_000_040_000,
    open_ticks=PriceTicks(100),
    high_ticks=PriceTicks(120),
    low_ticks=PriceTicks(90),
    close_ticks=PriceTicks(110),
    volume_lots=QuantityLots(0),
    closed=True,
)
TRADE = Trade(
    trade_id=5,
    order_id=7,
    client_order_id="k3Jx9a-12-3451o-15x44",
    side=Side.SELL,
    price_ticks=PriceTicks(600_000),
    quantity_lots=QuantityLots(3),
    realized_pnl_units=MoneyUnits(-17),
    fee_units=MoneyUnits(-1),
    fee_asset="USDT",
    maker=True,
    time_ms=1_700_000_000_000,
)
ORDER = OrderRecord(
    client_order_id="k3Jx9a-12-3451o-15x44",
    order_id=7,
    side=Side.BUY,
    price_ticks=PriceTicks(600_000),
    quantity_lots=QuantityLots(5),
    executed_lots=QuantityLots(2),
    status=RecordStatus.PARTIALLY_FILLED,
    reduce_only=False,
    update_time_ms=1_700_000_000_000,
)
READING = RegimeReading(
    close_time_ms=1_700_000_099_999,
    trend=Trend.BULL,
    volatility=Volatility.HIGH,
    liquidity=Liquidity.THIN,
    brake=True,
    stale=False,
    atr_ticks=12,
    size_factor_milli=100,
    rsi_milli=70_001,
)
PLACE = PlaceOrder(
    client_order_id="k3Jx9a-12-3451o-15x44",
    side=Side.BUY,
    quantity_lots=QuantityLots(3),
    price_ticks=PriceTicks(600_000),
    post_only=True,
    reduce_only=False,
)
EVERY_EVENT: list[Event] = [
    TICKER,
    KLINE,
    TRADE,
    ORDER,
    READING,
    PLACE,
    CancelOrder(client_order_id="a"),
    OrderUpdate(order=ORDER, trade=TRADE),
    OrderUpdate(order=ORDER),
    PositionRecord(position_lots=-4, time_ms=1),
    FundingRecord(record_id=1, amount_units=MoneyUnits(-5), asset="USDT", time_ms=2),
    AccountUpdate(reason="FUNDING_FEE", position_lots=None, time_ms=3),
    OrderAcknowledged(order=ORDER),
    OrderRefused(client_order_id="a", reason=RejectReason.POST_ONLY, code=-5022, message="m"),
    OrderOutcomeLost(client_order_id="a", request_time_ms=1, recv_window_ms=5_000, detail="d"),
    OrderNotSent(client_order_id="a", detail="d"),
    CancelAcknowledged(order=ORDER),
    CancelRefused(client_order_id="a", code=-2011, message="m"),
    CancelOutcomeLost(client_order_id="a", detail="d"),
    OrderAbsent(client_order_id="a", asked_at_ms=1),
]


@pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: type(event).__name__)
def test_every_event_round_trips_through_json_with_its_name(event: Event) -> None:
    encoded = msgspec.json.encode(event)
    assert msgspec.json.decode(encoded, type=type(event)) == event
    assert msgspec.json.decode(encoded)["type"] == type(event).__name__


@pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: type(event).__name__)
def test_no_event_can_be_changed(event: Event) -> None:
    for field in event.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(event, field, None)


@pytest.mark.parametrize(
    ("event", "field", "lowest"),
    [
        (TICKER, "bid_ticks", 1),
        (TICKER, "ask_ticks", 1),
        (TICKER, "time_ms", 1),
        (KLINE, "open_time_ms", 0),
        (KLINE, "volume_lots", 0),
        (KLINE, "open_ticks", 1),
        (KLINE, "high_ticks", 1),
        (KLINE, "low_ticks", 1),
        (KLINE, "close_ticks", 1),
        (TRADE, "trade_id", 0),
        (TRADE, "order_id", 0),
        (TRADE, "time_ms", 0),
        (TRADE, "price_ticks", 1),
        (TRADE, "quantity_lots", 1),
        (TRADE, "realized_pnl_units", None),
        (TRADE, "fee_units", None),
        (ORDER, "order_id", 0),
        (ORDER, "price_ticks", 0),
        (ORDER, "quantity_lots", 0),
        (ORDER, "executed_lots", 0),
        (ORDER, "update_time_ms", 0),
        (ORDER, "expiry_reason", 0),
        (EVERY_EVENT[9], "position_lots", None),
        (EVERY_EVENT[9], "time_ms", None),
        (EVERY_EVENT[10], "record_id", 0),
        (EVERY_EVENT[10], "amount_units", None),
        (EVERY_EVENT[10], "time_ms", 0),
        (READING, "close_time_ms", 0),
        (READING, "atr_ticks", 0),
        (READING, "rsi_milli", 0),
        (READING, "size_factor_milli", 100),
    ],
)
def test_a_field_must_be_a_whole_number_in_its_range(event: Event, field: str, lowest: int | None) -> None:
    name = f"{type(event).__name__}.{field}"
    for strange in (1.0, True, "7", None):
        with pytest.raises(TypeError, match=f"^{name} must be a whole number, got {strange!r}$"):
            msgspec.structs.replace(event, **{field: strange})
    if lowest is not None:
        with pytest.raises(ValueError, match=f"^{name} must be at least {lowest}, got {lowest - 1}$"):
            msgspec.structs.replace(event, **{field: lowest - 1})


def test_a_bad_value_cannot_come_out_of_the_journal_either() -> None:
    encoded = msgspec.json.encode(TICKER).replace(b"599999", b"600002")
    with pytest.raises(msgspec.ValidationError, match="bid_ticks 600002 is above ask_ticks 600001"):
        msgspec.json.decode(encoded, type=BookTicker)


@settings(deadline=None)
@given(st.integers(1, 10**9), st.integers(0, 10**6))
def test_the_decision_price_is_the_sum_of_bid_and_ask(bid: int, spread: int) -> None:
    ticker = BookTicker(bid_ticks=PriceTicks(bid), ask_ticks=PriceTicks(bid + spread), time_ms=1)
    assert ticker.half_ticks == 2 * bid + spread
    if spread:
        with pytest.raises(ValueError, match="is above ask_ticks"):
            msgspec.structs.replace(ticker, bid_ticks=bid + spread, ask_ticks=bid)


def test_a_kline_exists_only_with_its_prices_in_order() -> None:
    accepted = 0
    for opened, high, low, close in itertools.product(range(1, 5), repeat=4):
        changes = {"open_ticks": opened, "high_ticks": high, "low_ticks": low, "close_ticks": close}
        if low <= min(opened, close) and max(opened, close) <= high:
            assert msgspec.structs.replace(KLINE, **changes).high_ticks == high
            accepted += 1
        else:
            with pytest.raises(ValueError, match="low, open, close and high are out of order"):
                msgspec.structs.replace(KLINE, **changes)
    assert accepted == 50


def test_an_order_cannot_have_executed_more_than_its_quantity() -> None:
    assert msgspec.structs.replace(ORDER, executed_lots=5).executed_lots == 5
    with pytest.raises(ValueError, match="executed 6 lots of 5"):
        msgspec.structs.replace(ORDER, executed_lots=6)


def test_sides_are_opposite_and_signed() -> None:
    assert (Side.BUY.sign, Side.SELL.sign) == (1, -1)
    assert (Side.BUY.opposite, Side.SELL.opposite) == (Side.SELL, Side.BUY)


def test_only_new_and_partly_filled_orders_can_still_trade() -> None:
    living = {status for status in RecordStatus if not status.is_terminal}
    assert living == {RecordStatus.NEW, RecordStatus.PARTIALLY_FILLED}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantity_lots": 0}, "quantity_lots must be at least 1, got 0"),
        ({"quantity_lots": 1.0}, r"quantity_lots must be at least 1, got 1\.0"),
        ({"price_ticks": 0}, "price_ticks must be at least 1, got 0"),
        ({"price_ticks": True}, "price_ticks must be at least 1, got True"),
        ({"price_ticks": None}, "post_only needs a price"),
    ],
)
def test_an_order_that_makes_no_sense_cannot_be_built(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        msgspec.structs.replace(PLACE, **changes)


def test_a_market_order_has_no_price() -> None:
    market = msgspec.structs.replace(PLACE, price_ticks=None, post_only=False, reduce_only=True)
    assert (market.price_ticks, market.reduce_only) == (None, True)

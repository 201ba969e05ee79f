"""Values are checked at birth (S19): what is missing or of the wrong kind is an error, never a zero."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.domain.grid_bench import READING
from trio_grid.domain import actions, events, inputs, settings
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.events import BookTicker, Event, FundingRecord, Kline, OrderRecord, RecordStatus, Side, Trade
from trio_grid.domain.instrument import MoneyUnits, PriceTicks, QuantityLots

TRADE = Trade(
    trade_id=1,
    order_id=2,
    client_order_id="x",
    side=Side.BUY,
    price_ticks=PriceTicks(3),
    quantity_lots=QuantityLots(4),
    realized_pnl_units=MoneyUnits(0),
    fee_units=MoneyUnits(5),
    fee_asset="USDT",
    maker=True,
    time_ms=6,
)
ORDER = OrderRecord(
    client_order_id="x",
    order_id=1,
    side=Side.SELL,
    price_ticks=PriceTicks(3),
    quantity_lots=QuantityLots(4),
    executed_lots=QuantityLots(0),
    status=RecordStatus.NEW,
    reduce_only=False,
    update_time_ms=7,
)
TICKER = BookTicker(bid_ticks=PriceTicks(10), ask_ticks=PriceTicks(11), time_ms=1)
KLINE = Kline(
    open_time_ms=0,
    open_ticks=PriceTicks(10),
    high_ticks=PriceTicks(12),
    low_ticks=PriceTicks(9),
    close_ticks=PriceTicks(11),
    volume_lots=QuantityLots(0),
    closed=True,
)
FUNDING = FundingRecord(record_id=1, amount_units=MoneyUnits(-5), asset="USDT", time_ms=1)


@pytest.mark.parametrize(
    "value", [TRADE, ORDER, TICKER, KLINE, READING, FUNDING], ids=lambda value: type(value).__name__
)
def test_s19_a_missing_field_is_an_error_and_never_a_zero(value: Event) -> None:
    """S19: an order without a time is not one of 1970."""
    full = msgspec.json.decode(msgspec.json.encode(value))
    required = [field.name for field in msgspec.structs.fields(type(value)) if field.required and field.name in full]
    assert "time_ms" in required or any(name.endswith("_time_ms") for name in required)
    for name in required:
        without = {key: item for key, item in full.items() if key != name}
        with pytest.raises(msgspec.ValidationError, match=f"missing required field `{name}`"):
            msgspec.convert(without, type(value))
        with pytest.raises(TypeError, match=name):
            type(value)(**{key: item for key, item in without.items() if key != "type"})


@pytest.mark.parametrize(
    ("value", "name", "wrong"),
    [
        (TRADE, "price_ticks", 3.0),
        (TRADE, "price_ticks", 0),
        (TRADE, "quantity_lots", 0),
        (TRADE, "quantity_lots", True),
        (TRADE, "time_ms", None),
        (TRADE, "time_ms", -1),
        (TRADE, "fee_units", "5"),
        (ORDER, "executed_lots", -1),
        (ORDER, "executed_lots", 5),
        (ORDER, "update_time_ms", None),
        (ORDER, "order_id", 1.5),
        (TICKER, "bid_ticks", 0),
        (TICKER, "bid_ticks", 12),
        (KLINE, "low_ticks", 11),
        (KLINE, "high_ticks", 10),
        (KLINE, "volume_lots", -1),
        (READING, "size_factor_milli", 99),
        (READING, "atr_ticks", 1.5),
        (FUNDING, "amount_units", 0.5),
        (FUNDING, "time_ms", None),
    ],
)
def test_a_wrong_value_cannot_be_built_nor_replaced(value: Event, name: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        msgspec.structs.replace(value, **{name: wrong})


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity_lots": 0},
        {"quantity_lots": 1.0},
        {"price_ticks": 0},
        {"price_ticks": None, "post_only": True},
    ],
)
def test_an_order_that_makes_no_sense_cannot_be_built(changes: dict[str, Any]) -> None:
    order = PlaceOrder(
        client_order_id="x",
        side=Side.BUY,
        quantity_lots=QuantityLots(1),
        price_ticks=PriceTicks(1),
        post_only=False,
        reduce_only=False,
    )
    with pytest.raises(ValueError, match="PlaceOrder"):
        msgspec.structs.replace(order, **changes)


def test_every_value_of_the_vocabulary_is_frozen_and_tagged_with_its_own_name() -> None:
    seen: set[str] = set()
    for module in (events, actions, inputs, settings):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Event) and kind.__module__ == module.__name__:
                config = kind.__struct_config__
                assert config.frozen
                if kind is not Event:
                    assert config.tag == kind.__name__
                    assert config.tag not in seen
                    seen.add(str(config.tag))
    assert len(seen) > 25

"""Instruments for tests: the filters of the real exchange where nothing else is said."""

from __future__ import annotations

from decimal import Decimal

from trio_grid.domain.instrument import Instrument, MoneyUnits, PriceTicks, QuantityLots

BTCUSDT = Instrument(
    symbol="BTCUSDT",
    base_asset="BTC",
    quote_asset="USDT",
    margin_asset="USDT",
    tick_size=Decimal("0.10"),
    lot_size=Decimal("0.001"),
    min_price_ticks=PriceTicks(5_568),
    max_price_ticks=PriceTicks(45_297_640),
    min_quantity_lots=QuantityLots(1),
    max_quantity_lots=QuantityLots(1_000_000),
    max_market_quantity_lots=QuantityLots(120_000),
    min_notional_units=MoneyUnits(50 * 10**8),
    max_open_orders=200,
)
"""The perpetual contract: tick 0.10, lot 0.001, notional at least 50, maker 0.02 %, taker 0.05 %."""

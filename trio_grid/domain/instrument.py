"""The one place where the exchange's decimals become the domain's integers and back.

Prices are whole ticks, quantities whole lots, money whole units of 1e-8 of an asset (R2). A decimal that is not a
whole number of ticks or lots is an error here, never rounded in silence.
"""

from __future__ import annotations

import functools
from decimal import ROUND_FLOOR, Decimal
from typing import NewType

import msgspec

PriceTicks = NewType("PriceTicks", int)
QuantityLots = NewType("QuantityLots", int)
MoneyUnits = NewType("MoneyUnits", int)

MONEY_UNITS_PER_ASSET = 100_000_000
RATE_SCALE = 100_000_000
"""Fee rates are whole parts of 1e-8: 0.0200 % is 20,000."""


class NotRepresentable(ValueError):
    """A decimal is not a whole number of the unit that it has to be expressed in."""


def whole_units(value: Decimal, unit: Decimal, name: str) -> int:
    """Return value / unit as an int.

    Raises:
        NotRepresentable: value is not finite or not a whole multiple of unit.
    """
    if not value.is_finite():
        raise NotRepresentable(f"{name} {value} is not a finite number")
    numerator, denominator = (value / unit).as_integer_ratio()
    if denominator != 1 or numerator * unit != value:
        raise NotRepresentable(f"{name} {value} is not a whole multiple of {unit}")
    return numerator


def money_units(value: Decimal) -> MoneyUnits:
    """Return an amount of an asset in units of 1e-8.

    Raises:
        NotRepresentable: value has more than eight decimals.
    """
    return MoneyUnits(whole_units(value, Decimal("0.00000001"), "amount"))


@functools.lru_cache(maxsize=64)
def _tick_lot_units(tick_size: Decimal, lot_size: Decimal) -> int:
    """Return the value of one tick times one lot; remembered, because every plan asks for it."""
    return whole_units(tick_size * lot_size, Decimal("0.00000001"), "tick size x lot size")


def money_decimal(units: int) -> Decimal:
    """Return an amount of money as an exact decimal with eight places."""
    return Decimal(units).scaleb(-8)


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol of the exchange: its units, its filters and its fees.

    `tick_size` and `lot_size` are exact decimals; every other size is in ticks, lots, 1e-8 units or 1e-8 parts, as the
    name says. `tick_lot_units` is the value of one tick times one lot in money units.
    """

    symbol: str
    base_asset: str
    quote_asset: str
    margin_asset: str
    tick_size: Decimal
    lot_size: Decimal
    min_price_ticks: PriceTicks
    max_price_ticks: PriceTicks
    min_quantity_lots: QuantityLots
    max_quantity_lots: QuantityLots
    max_market_quantity_lots: QuantityLots
    min_notional_units: MoneyUnits
    max_open_orders: int
    price_band_up_ppm: int = 1_050_000
    price_band_down_ppm: int = 950_000
    maker_fee_rate: int = 20_000
    taker_fee_rate: int = 50_000

    def __post_init__(self) -> None:
        if self.tick_size <= 0 or self.lot_size <= 0:
            raise ValueError(f"{self.symbol}: tick size {self.tick_size} and lot size {self.lot_size} must be positive")
        whole_units(self.tick_size * self.lot_size, Decimal("0.00000001"), f"{self.symbol}: tick size x lot size")

    @property
    def tick_lot_units(self) -> int:
        """Value of one tick times one lot in money units."""
        return _tick_lot_units(self.tick_size, self.lot_size)

    def price_ticks(self, price: Decimal) -> PriceTicks:
        """Return a price in whole ticks; raises NotRepresentable if it lies between two ticks."""
        return PriceTicks(whole_units(price, self.tick_size, f"{self.symbol} price"))

    def quantity_lots(self, quantity: Decimal) -> QuantityLots:
        """Return a quantity in whole lots; raises NotRepresentable if it lies between two lots."""
        return QuantityLots(whole_units(quantity, self.lot_size, f"{self.symbol} quantity"))

    def floor_price_ticks(self, price: Decimal) -> PriceTicks:
        """Return the highest tick not above a price."""
        return PriceTicks(int((price / self.tick_size).to_integral_value(ROUND_FLOOR)))

    def floor_quantity_lots(self, quantity: Decimal) -> QuantityLots:
        """Return the largest number of lots not above a quantity."""
        return QuantityLots(int((quantity / self.lot_size).to_integral_value(ROUND_FLOOR)))

    def price(self, ticks: int) -> Decimal:
        """Return a price in quote units, with the tick size's decimals."""
        return self.tick_size * ticks

    def quantity(self, lots: int) -> Decimal:
        """Return a quantity in base units, with the lot size's decimals."""
        return self.lot_size * lots

    def notional_units(self, price_ticks: int, quantity_lots: int) -> MoneyUnits:
        """Return price x quantity in money units of the quote asset, exactly."""
        return MoneyUnits(price_ticks * quantity_lots * self.tick_lot_units)

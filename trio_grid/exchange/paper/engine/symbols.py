"""Owns what the paper exchange knows of a symbol beyond its instrument: precisions, brackets, its exchangeInfo row.

It must never know accounts, orders or the market's place.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from trio_grid.domain.instrument import Instrument, MoneyUnits, PriceTicks, QuantityLots, money_units, whole_units
from trio_grid.exchange.paper.engine.brackets import Bracket, brackets_of

CONDITIONAL_TYPES = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
ORDER_TYPES = ("LIMIT", "MARKET", *CONDITIONAL_TYPES)
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTD")
TRIGGER_PROTECT_PPM = 50_000
"""How far last and mark price may be apart where a price-protected conditional order is to trigger: 5 %."""
FUNDING_INTERVAL_MS = 8 * 3_600_000
PERPETUAL_DELIVERY_MS = 4_133_404_800_000
_ONBOARD_MS = 1_569_398_400_000
_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "BTC")


class _Row(msgspec.Struct, frozen=True):
    """A symbol's mainnet filters, as text; `price_digits` and `quantity_digits` are the exchange's precisions."""

    tick: str
    lot: str
    min_price: str
    max_price: str
    max_quantity: str
    max_market_quantity: str
    min_notional: str
    price_digits: int
    quantity_digits: int


MONEY_DIGITS = 8
"""Money is counted in units of 1e-8."""
_TABLE: dict[str, _Row] = {
    "BTCUSDT": _Row("0.10", "0.001", "556.80", "4529764", "1000", "120", "50", 2, 3),
    "ETHUSDT": _Row("0.01", "0.001", "39.86", "306177", "10000", "2000", "20", 2, 3),
    "SOLUSDT": _Row("0.01", "0.01", "0.42", "6857", "1000000", "80000", "5", 4, 2),
    "BNBUSDT": _Row("0.01", "0.01", "6.60", "100000", "100000", "2000", "5", 3, 2),
    "XRPUSDT": _Row("0.0001", "0.1", "0.0143", "100000", "10000000", "2000000", "5", 4, 1),
    "APEUSDT": _Row("0.0001", "1", "0.0001", "10000", "3000000", "200000", "5", 7, 0),
}


class PaperSymbol(msgspec.Struct, frozen=True):
    """One tradable symbol. `price_digits` and `quantity_digits` are the decimals that REST pads to (-1111 above)."""

    instrument: Instrument
    price_digits: int
    quantity_digits: int
    brackets: tuple[Bracket, ...]
    funding_rate: int = 10_000
    """Paid every eight hours, in parts of 1e-8; 10,000 is the usual 0.01 %."""

    @property
    def name(self) -> str:
        """The symbol's name."""
        return self.instrument.symbol

    @property
    def unit(self) -> int:
        """Money units of one tick times one lot."""
        return self.instrument.tick_lot_units


def decimals(value: Decimal) -> int:
    """Return how many decimals a value needs, trailing zeros not counted."""
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def paper_symbol(instrument: Instrument, funding_rate: int = 10_000) -> PaperSymbol:
    """Return the exchange's view of an instrument; precisions come from the table or from tick and lot."""
    row = _TABLE.get(instrument.symbol)
    price_digits, quantity_digits = decimals(instrument.tick_size), decimals(instrument.lot_size)
    if row is not None:
        price_digits, quantity_digits = max(price_digits, row.price_digits), max(quantity_digits, row.quantity_digits)
    return PaperSymbol(
        instrument, price_digits, quantity_digits, brackets_of(instrument.symbol), funding_rate=funding_rate
    )


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return (base asset, quote asset) of a symbol's name; an unknown quote is taken for USDT."""
    for quote in _QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return symbol[: -len(quote)], quote
    return symbol, "USDT"


def default_instrument(symbol: str, price_decimals: int = 0, quantity_decimals: int = 0) -> Instrument:
    """Return the symbol's instrument with mainnet filters, made finer where recorded data needs it.

    `price_decimals` and `quantity_decimals` are the decimals that the data uses: a tick or lot that does not divide
    them gives way to the data's own, since a price is never rounded in silence. A symbol that the table does not know
    gets its tick and lot from the data alone.
    """
    base, quote = split_symbol(symbol)
    row = _TABLE.get(symbol)
    if row is None:
        tick = Decimal(1).scaleb(-(price_decimals or 4))
        lot = Decimal(1).scaleb(-min(quantity_decimals, MONEY_DIGITS - decimals(tick)))
        row = _Row(str(tick), str(lot), str(tick), str(tick * 10**9), str(lot * 10**9), str(lot * 10**8), "5", 0, 0)
    tick, lot = Decimal(row.tick), Decimal(row.lot)
    if decimals(tick) < price_decimals:
        tick = Decimal(1).scaleb(-price_decimals)
    if decimals(lot) < quantity_decimals or decimals(lot) + decimals(tick) > MONEY_DIGITS:
        # One tick times one lot is whole money: the finer the tick, the coarser the finest lot.
        lot = Decimal(1).scaleb(-min(max(quantity_decimals, decimals(lot)), MONEY_DIGITS - decimals(tick)))
    return make_instrument(
        symbol, base=base, quote=quote, tick=tick, lot=lot, min_price=Decimal(row.min_price),
        max_price=Decimal(row.max_price), min_quantity=max(lot, Decimal(row.lot)),
        max_quantity=Decimal(row.max_quantity), max_market_quantity=Decimal(row.max_market_quantity),
        min_notional=Decimal(row.min_notional),
    )  # fmt: skip


def make_instrument(
    symbol: str,
    *,
    base: str,
    quote: str,
    tick: Decimal,
    lot: Decimal,
    min_price: Decimal,
    max_price: Decimal,
    min_quantity: Decimal,
    max_quantity: Decimal,
    max_market_quantity: Decimal,
    min_notional: Decimal,
    max_open_orders: int = 200,
) -> Instrument:
    """Return an instrument from decimals; prices must be whole ticks and quantities whole lots (NotRepresentable)."""
    return Instrument(
        symbol=symbol,
        base_asset=base,
        quote_asset=quote,
        margin_asset=quote,
        tick_size=tick,
        lot_size=lot,
        min_price_ticks=PriceTicks(whole_units(min_price, tick, "minimum price")),
        max_price_ticks=PriceTicks(whole_units(max_price, tick, "maximum price")),
        min_quantity_lots=QuantityLots(whole_units(min_quantity, lot, "minimum quantity")),
        max_quantity_lots=QuantityLots(whole_units(max_quantity, lot, "maximum quantity")),
        max_market_quantity_lots=QuantityLots(whole_units(max_market_quantity, lot, "maximum market quantity")),
        min_notional_units=MoneyUnits(money_units(min_notional)),
        max_open_orders=max_open_orders,
    )


def plain(value: Decimal) -> str:
    """Return a decimal without exponent and without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _ratio(ppm: int) -> str:
    return f"{Decimal(ppm).scaleb(-6):.4f}"


def exchange_info_row(symbol: PaperSymbol) -> dict[str, Any]:
    """Return the symbol's row of exchangeInfo."""
    item = symbol.instrument
    lots = {"minQty": f"{item.quantity(item.min_quantity_lots):f}", "stepSize": f"{item.lot_size:f}"}
    filters: list[dict[str, Any]] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": plain(item.price(item.min_price_ticks)),
            "maxPrice": plain(item.price(item.max_price_ticks)),
            "tickSize": f"{item.tick_size:f}",
        },
        {"filterType": "LOT_SIZE", "maxQty": plain(item.quantity(item.max_quantity_lots)), **lots},
        {"filterType": "MARKET_LOT_SIZE", "maxQty": plain(item.quantity(item.max_market_quantity_lots)), **lots},
        {"filterType": "MAX_NUM_ORDERS", "limit": item.max_open_orders},
        {"filterType": "MIN_NOTIONAL", "notional": plain(Decimal(item.min_notional_units).scaleb(-8))},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": _ratio(item.price_band_up_ppm),
            "multiplierDown": _ratio(item.price_band_down_ppm),
            "multiplierDecimal": "4",
        },
    ]
    return {
        "symbol": item.symbol,
        "pair": item.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": PERPETUAL_DELIVERY_MS,
        "onboardDate": _ONBOARD_MS,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": item.base_asset,
        "quoteAsset": item.quote_asset,
        "marginAsset": item.margin_asset,
        "pricePrecision": symbol.price_digits,
        "quantityPrecision": symbol.quantity_digits,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"] if item.base_asset == "BTC" else [],
        "settlePlan": 0,
        "triggerProtect": _ratio(TRIGGER_PROTECT_PPM),
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": filters,
        "orderTypes": list(ORDER_TYPES),
        "timeInForce": list(TIMES_IN_FORCE),
        "permissionSets": ["GRID"],
    }

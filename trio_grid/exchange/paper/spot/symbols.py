"""Owns what spot knows of a symbol: its units and filters, how the market's units become spot's, its exchangeInfo row.

It must never know accounts, orders or the market's place. A spot symbol has the same market (the same strangers, the
same tape) as the perpetual of its name, in spot's own tick and lot.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from trio_grid.domain.instrument import Instrument, money_units
from trio_grid.exchange.paper.engine.symbols import make_instrument, plain

MONEY_UNIT = Decimal("0.00000001")
FEE_RATE = 100_000
"""Maker and taker pay 0.1 % of what they receive, in parts of 1e-8."""
BAND_UP, BAND_DOWN = 5, Decimal("0.2")
"""PERCENT_PRICE_BY_SIDE: a price may be at most five times, at least a fifth of the average price, on either side."""
AVERAGE_MINUTES = 5
MAX_AMENDMENTS = 10
MAX_STOP_ORDERS = 5
MAX_NOTIONAL = Decimal(9_000_000)
STP_DEFAULT = "EXPIRE_MAKER"
STP_MODES = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT")
ORDER_TYPES = (
    "LIMIT",
    "LIMIT_MAKER",
    "MARKET",
    "STOP_LOSS",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
)
TIMES_IN_FORCE = ("GTC", "IOC", "FOK")


class _Row(msgspec.Struct, frozen=True):
    """A symbol's filters on the spot market, as text."""

    tick: str
    lot: str
    max_price: str
    max_quantity: str
    max_market_quantity: str


_TABLE: dict[str, _Row] = {
    "BTCUSDT": _Row("0.01", "0.00001", "1000000", "9000", "120"),
    "ETHUSDT": _Row("0.01", "0.0001", "1000000", "9000", "2500"),
    "SOLUSDT": _Row("0.01", "0.001", "100000", "90000", "30000"),
    "BNBUSDT": _Row("0.01", "0.001", "100000", "900000", "8000"),
    "XRPUSDT": _Row("0.0001", "0.1", "10000", "9222449", "1000000"),
}
_MIN_NOTIONAL = "5"


class SpotSymbol(msgspec.Struct, frozen=True):
    """One spot symbol. One tick of the market is `tick_factor` of spot's ticks, one lot `lot_factor` of its lots."""

    instrument: Instrument
    tick_factor: int
    lot_factor: int

    @property
    def name(self) -> str:
        """The symbol's name."""
        return self.instrument.symbol

    @property
    def base(self) -> str:
        """The asset that is bought and sold."""
        return self.instrument.base_asset

    @property
    def quote(self) -> str:
        """The asset that is paid with."""
        return self.instrument.quote_asset

    @property
    def unit(self) -> int:
        """Units (1e-8) of the quote asset in one tick times one lot."""
        return self.instrument.tick_lot_units

    @property
    def lot_units(self) -> int:
        """Units (1e-8) of the base asset in one lot."""
        return int(self.instrument.lot_size / MONEY_UNIT)


def spot_symbol(market: Instrument) -> SpotSymbol:
    """Return the spot symbol of a market's instrument.

    Tick and lot are those of the exchange's spot market where its table knows the symbol and they divide the market's;
    else they are the market's own.
    """
    row = _TABLE.get(market.symbol)
    tick, lot = market.tick_size, market.lot_size
    if row is not None:
        tick, lot = _finer(Decimal(row.tick), tick), _finer(Decimal(row.lot), lot)
    if (tick * lot) % MONEY_UNIT != 0 or lot % MONEY_UNIT != 0:
        tick, lot = market.tick_size, market.lot_size
    whole = row or _Row("", "", plain(tick * 10**9), plain(lot * 10**9), plain(lot * 10**8))
    instrument = make_instrument(
        market.symbol,
        base=market.base_asset,
        quote=market.quote_asset,
        tick=tick,
        lot=lot,
        min_price=tick,
        max_price=Decimal(whole.max_price) // tick * tick,
        min_quantity=lot,
        max_quantity=Decimal(whole.max_quantity) // lot * lot,
        max_market_quantity=Decimal(whole.max_market_quantity) // lot * lot,
        min_notional=Decimal(_MIN_NOTIONAL),
    )
    instrument = msgspec.structs.replace(instrument, maker_fee_rate=FEE_RATE, taker_fee_rate=FEE_RATE)
    return SpotSymbol(instrument, int(market.tick_size / tick), int(market.lot_size / lot))


def _finer(wanted: Decimal, market: Decimal) -> Decimal:
    return wanted if market % wanted == 0 else market


def amount_text(units: int) -> str:
    """Return an amount of an asset with eight decimals."""
    return f"{Decimal(units).scaleb(-8):.8f}"


def price_text(symbol: SpotSymbol, ticks: int) -> str:
    """Return a price with eight decimals."""
    return f"{symbol.instrument.tick_size * ticks:.8f}"


def quantity_text(symbol: SpotSymbol, lots: int) -> str:
    """Return a quantity with eight decimals."""
    return f"{symbol.instrument.lot_size * lots:.8f}"


def cost_text(symbol: SpotSymbol, cost: int) -> str:
    """Return ticks x lots as an amount of the quote asset with eight decimals."""
    return amount_text(cost * symbol.unit)


def _eight(value: Decimal) -> str:
    return f"{value:.8f}"


def filters(symbol: SpotSymbol) -> list[dict[str, Any]]:
    """Return the symbol's filters as exchangeInfo lists them."""
    item = symbol.instrument
    step = _eight(item.lot_size)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": price_text(symbol, item.min_price_ticks),
            "maxPrice": price_text(symbol, item.max_price_ticks),
            "tickSize": _eight(item.tick_size),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": quantity_text(symbol, item.min_quantity_lots),
            "maxQty": quantity_text(symbol, item.max_quantity_lots),
            "stepSize": step,
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": _eight(Decimal(0)),
            "maxQty": quantity_text(symbol, item.max_market_quantity_lots),
            "stepSize": _eight(Decimal(0)),
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": plain(Decimal(BAND_UP)),
            "bidMultiplierDown": plain(BAND_DOWN),
            "askMultiplierUp": plain(Decimal(BAND_UP)),
            "askMultiplierDown": plain(BAND_DOWN),
            "avgPriceMins": AVERAGE_MINUTES,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": amount_text(item.min_notional_units),
            "applyMinToMarket": True,
            "maxNotional": amount_text(money_units(MAX_NOTIONAL)),
            "applyMaxToMarket": False,
            "avgPriceMins": AVERAGE_MINUTES,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": item.max_open_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": MAX_STOP_ORDERS},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": MAX_AMENDMENTS},
    ]


def exchange_info_row(symbol: SpotSymbol, *, with_permission_sets: bool = True) -> dict[str, Any]:
    """Return the symbol's row of exchangeInfo."""
    return {
        "symbol": symbol.name,
        "status": "TRADING",
        "baseAsset": symbol.base,
        "baseAssetPrecision": 8,
        "quoteAsset": symbol.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters(symbol),
        "permissions": [],
        "permissionSets": [["SPOT"]] if with_permission_sets else [],
        "defaultSelfTradePreventionMode": STP_DEFAULT,
        "allowedSelfTradePreventionModes": list(STP_MODES),
    }

"""REST bodies and WebSocket API results as domain records; the same strictness as `messages`."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal
from functools import partial

import msgspec

from trio_grid.domain.events import FundingRecord, Kline, OrderRecord, PositionRecord, Trade
from trio_grid.domain.instrument import (
    RATE_SCALE,
    Instrument,
    MoneyUnits,
    PriceTicks,
    QuantityLots,
    money_units,
    whole_units,
)
from trio_grid.errors import MalformedAnswer, OrderOutcomeUnknown, RequestRefused, SymbolNotTrading, UnknownSymbol
from trio_grid.exchange.interface import AccountSettings, AccountSummary
from trio_grid.exchange.protocol import wire
from trio_grid.exchange.protocol.error_codes import WireError, error_of
from trio_grid.exchange.protocol.messages import Ignored, build, decode, kline_of, quantity_of, side_of, status_of

DEFAULT_MAX_OPEN_ORDERS = 200
"""Of every USD-M symbol where exchangeInfo does not list MAX_NUM_ORDERS."""

Bytes = bytes | str | msgspec.Raw


def parse_order(body: Bytes, instrument: Instrument, ignored: Ignored) -> OrderRecord:
    """Return the record of one order."""
    return order_record(decode(body, wire.WireOrder, what="order"), instrument, ignored)


def parse_orders(body: Bytes, instrument: Instrument, ignored: Ignored) -> tuple[OrderRecord, ...]:
    """Return the records of a list of orders, those of other symbols left out, ascending by order id."""
    orders = decode(body, tuple[wire.WireOrder, ...], what="orders")
    ours = [order_record(order, instrument, ignored) for order in orders if order.symbol == instrument.symbol]
    return tuple(sorted(ours, key=lambda order: order.order_id))


def order_record(order: wire.WireOrder, instrument: Instrument, ignored: Ignored) -> OrderRecord:
    """Return an order's record in ticks and lots."""
    if order.symbol != instrument.symbol:
        raise MalformedAnswer(f"the answer is about {order.symbol}, asked was {instrument.symbol}")
    return build(
        f"order {order.client_order_id}",
        lambda: OrderRecord(
            client_order_id=order.client_order_id,
            order_id=order.order_id,
            side=side_of(order.side),
            price_ticks=instrument.price_ticks(order.price),
            quantity_lots=quantity_of(order.orig_qty, order.executed_qty, instrument, ignored),
            executed_lots=instrument.quantity_lots(order.executed_qty),
            status=status_of(order.status, order.executed_qty, order.orig_qty, ignored),
            reduce_only=order.reduce_only,
            update_time_ms=order.update_time,
        ),
    )


def parse_batch(
    body: Bytes, instrument: Instrument, ignored: Ignored
) -> tuple[OrderRecord | RequestRefused | OrderOutcomeUnknown, ...]:
    """Return one record or error per element of a batch's answer, in the order of the request."""
    results: list[OrderRecord | RequestRefused | OrderOutcomeUnknown] = []
    for raw in decode(body, tuple[msgspec.Raw, ...], what="batch of orders"):
        error = decode(raw, wire.WireErrorBody, what="element of a batch")
        if error.code is not None and error.code < 0:
            results.append(error_of(400, error.code, error.msg))
        else:
            results.append(parse_order(raw, instrument, ignored))
    return tuple(results)


def parse_trades(body: Bytes, instrument: Instrument) -> tuple[Trade, ...]:
    """Return the account's trades on the symbol, ascending by id; REST does not carry their client order ids."""
    rows = decode(body, tuple[wire.WireUserTrade, ...], what="userTrades")
    trades = [_user_trade(row, instrument) for row in rows if row.symbol == instrument.symbol]
    return tuple(sorted(trades, key=lambda trade: trade.trade_id))


def _user_trade(row: wire.WireUserTrade, instrument: Instrument) -> Trade:
    return build(
        f"trade {row.id}",
        lambda: Trade(
            trade_id=row.id,
            order_id=row.order_id,
            client_order_id="",
            side=side_of(row.side),
            price_ticks=instrument.price_ticks(row.price),
            quantity_lots=instrument.quantity_lots(row.qty),
            realized_pnl_units=money_units(row.realized_pnl),
            fee_units=money_units(row.commission),
            fee_asset=row.commission_asset,
            maker=row.maker,
            time_ms=row.time,
        ),
    )


def parse_klines(body: Bytes, instrument: Instrument, now_ms: int) -> tuple[Kline, ...]:
    """Return klines in ascending order; one whose close time has not passed is still open."""
    rows = decode(body, tuple[wire.KlineRow, ...], what="klines")
    return tuple(kline_of(row, instrument, closed=row.close_time < now_ms) for row in rows)


def parse_position(body: Bytes, instrument: Instrument, now_ms: int) -> tuple[PositionRecord, PriceTicks | None]:
    """Return the signed position and the liquidation price (None without one).

    Only symbols with a position or open orders are listed, so an empty list is a flat position as of now.
    """
    rows = [
        row
        for row in decode(body, tuple[wire.WirePositionRisk, ...], what="positionRisk")
        if row.symbol == instrument.symbol
    ]
    amount = sum((row.position_amt for row in rows), Decimal(0))
    liquidation = build("positionRisk", lambda: max((row.liquidation_price for row in rows), default=Decimal(0)))
    record = build(
        "positionRisk",
        lambda: PositionRecord(
            position_lots=instrument.quantity_lots(amount),
            time_ms=max((row.update_time for row in rows), default=now_ms),
        ),
    )
    # A liquidation price is computed, so it lies between ticks.
    return record, build("positionRisk", lambda: instrument.floor_price_ticks(liquidation)) if liquidation else None


def parse_account(
    account: Bytes,
    symbol_config: Bytes,
    account_config: Bytes,
    position_risk: Bytes,
    instrument: Instrument,
    now_ms: int,
) -> AccountSummary:
    """Return the account from its four answers: v3/account, symbolConfig, accountConfig, v3/positionRisk."""
    asset = _margin_asset(account, instrument)
    settings = parse_settings(symbol_config, account_config, instrument)
    position, liquidation = parse_position(position_risk, instrument, now_ms)
    return build(
        "account",
        lambda: AccountSummary(
            wallet_balance_units=money_units(asset.wallet_balance),
            available_balance_units=money_units(asset.available_balance),
            unrealized_pnl_units=money_units(asset.unrealized_profit),
            position_lots=position.position_lots,
            leverage=settings.leverage,
            margin_type=settings.margin_type,
            hedge_mode=settings.hedge_mode,
            liquidation_price_ticks=liquidation,
        ),
    )


def parse_wallet(account: Bytes, instrument: Instrument) -> MoneyUnits:
    """Return the wallet balance of the margin asset, from v3/account."""
    asset = _margin_asset(account, instrument)
    return build("account", lambda: money_units(asset.wallet_balance))


def _margin_asset(account: Bytes, instrument: Instrument) -> wire.WireAsset:
    assets = decode(account, wire.WireAccount, what="account").assets
    asset = next((asset for asset in assets if asset.asset == instrument.margin_asset), None)
    if asset is None:
        raise MalformedAnswer(f"account: it does not list the margin asset {instrument.margin_asset}")
    return asset


def parse_settings(symbol_config: Bytes, account_config: Bytes, instrument: Instrument) -> AccountSettings:
    """Return how the account trades the symbol, from symbolConfig and accountConfig."""
    configs = decode(symbol_config, tuple[wire.WireSymbolConfig, ...], what="symbolConfig")
    config = next((config for config in configs if config.symbol == instrument.symbol), None)
    if config is None:
        raise MalformedAnswer(f"symbolConfig: it does not list {instrument.symbol}")
    return AccountSettings(
        leverage=config.leverage,
        margin_type="isolated" if config.margin_type.upper() == "ISOLATED" else "cross",
        hedge_mode=decode(account_config, wire.WireAccountConfig, what="accountConfig").dual_side_position,
    )


def parse_funding(body: Bytes, instrument: Instrument) -> tuple[FundingRecord, ...]:
    """Return the funding payments on the symbol, ascending by time."""
    rows = [
        row
        for row in decode(body, tuple[wire.WireIncome, ...], what="income")
        if row.income_type == "FUNDING_FEE" and row.symbol == instrument.symbol
    ]
    records = [build("income", partial(_funding, row)) for row in rows]
    return tuple(sorted(records, key=lambda record: (record.time_ms, record.record_id)))


def _funding(row: wire.WireIncome) -> FundingRecord:
    return FundingRecord(record_id=row.tran_id, amount_units=money_units(row.income), asset=row.asset, time_ms=row.time)


# exchangeInfo -------------------------------------------------------------------------------------------------------


def parse_instrument(info: wire.WireExchangeInfo, symbol: str, fees: wire.WireCommissionRate | None) -> Instrument:
    """Return the symbol's units and filters; without `fees` the exchange's standard rates stand.

    Raises:
        UnknownSymbol: the exchange does not list the symbol (-1121).
        SymbolNotTrading: the symbol is listed but not trading.
        MalformedAnswer: a filter that prices or quantities need is missing.
    """
    names = (decode(raw, wire.WireSymbolName, what="exchangeInfo").symbol for raw in info.symbols)
    found = next((raw for raw, name in zip(info.symbols, names, strict=True) if name == symbol), None)
    if found is None:
        row = WireError.BAD_SYMBOL.value
        raise UnknownSymbol(row.code, f"{row.text} The exchange does not list {symbol}")
    listed = decode(found, wire.WireSymbol, what=f"exchangeInfo of {symbol}")
    if listed.status != "TRADING":
        raise SymbolNotTrading(f"{symbol} cannot be traded now: its status is {listed.status}")
    return build(f"exchangeInfo of {symbol}", lambda: _instrument(listed, fees))


def _instrument(listed: wire.WireSymbol, fees: wire.WireCommissionRate | None) -> Instrument:
    filters = {entry.filter_type: entry for entry in listed.filters}
    price, lot = _need(filters, "PRICE_FILTER"), _need(filters, "LOT_SIZE")
    market, notional = filters.get("MARKET_LOT_SIZE", lot), _need(filters, "MIN_NOTIONAL")
    tick, step = _positive(price.tick_size, "tickSize"), _positive(lot.step_size, "stepSize")
    orders, band = filters.get("MAX_NUM_ORDERS"), filters.get("PERCENT_PRICE")
    bands = (
        {}
        if band is None
        else {
            "price_band_up_ppm": _parts(band.multiplier_up, Decimal("0.000001"), "multiplierUp"),
            "price_band_down_ppm": _parts(band.multiplier_down, Decimal("0.000001"), "multiplierDown"),
        }
    )
    rates = (
        {}
        if fees is None
        else {
            "maker_fee_rate": _parts(fees.maker_commission_rate, Decimal(1) / RATE_SCALE, "makerCommissionRate"),
            "taker_fee_rate": _parts(fees.taker_commission_rate, Decimal(1) / RATE_SCALE, "takerCommissionRate"),
        }
    )
    return Instrument(
        symbol=listed.symbol,
        base_asset=listed.base_asset,
        quote_asset=listed.quote_asset,
        margin_asset=listed.margin_asset,
        tick_size=tick,
        lot_size=step,
        # The filter counts ticks from its own minimum; only a minimum on a tick makes that the same as whole ticks.
        min_price_ticks=PriceTicks(_parts(price.min_price, tick, "minPrice")),
        max_price_ticks=PriceTicks(_floor(price.max_price, tick, "maxPrice")),
        min_quantity_lots=QuantityLots(_parts(lot.min_qty, step, "minQty")),
        max_quantity_lots=QuantityLots(_floor(lot.max_qty, step, "maxQty")),
        max_market_quantity_lots=QuantityLots(_floor(market.max_qty, step, "maxQty")),
        min_notional_units=money_units(_present(notional.notional, "notional")),
        max_open_orders=DEFAULT_MAX_OPEN_ORDERS if orders is None or orders.limit is None else orders.limit,
        **bands,
        **rates,
    )


def _need(filters: dict[str, wire.WireFilter], name: str) -> wire.WireFilter:
    if name not in filters:
        raise MalformedAnswer(f"exchangeInfo: the filter {name} is missing")
    return filters[name]


def _present(value: Decimal | None, name: str) -> Decimal:
    if value is None:
        raise MalformedAnswer(f"exchangeInfo: {name} is missing in its filter")
    return value


def _positive(value: Decimal | None, name: str) -> Decimal:
    present = _present(value, name)
    if present <= 0:
        raise MalformedAnswer(f"exchangeInfo: {name} {present} is not positive")
    return present


def _parts(value: Decimal | None, unit: Decimal, name: str) -> int:
    return whole_units(_present(value, name), unit, name)


def _floor(value: Decimal | None, unit: Decimal, name: str) -> int:
    return int((_present(value, name) / unit).to_integral_value(ROUND_FLOOR))

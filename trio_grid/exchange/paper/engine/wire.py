"""Owns the texts: records of the exchange as JSON-ready Binance bodies and user-stream payloads.

It must never decide or change anything. REST pads numbers to the symbol's precision, ORDER_TRADE_UPDATE and
ACCOUNT_UPDATE trim them, TRADE_LITE pads, as recorded on the real exchange.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.account import PaperAccount
from trio_grid.exchange.paper.engine.records import (
    Amendment,
    Income,
    MarginMove,
    PaperOrder,
    PaperTrade,
    Position,
    PositionSide,
)
from trio_grid.exchange.paper.engine.symbols import PaperSymbol, plain

Body = dict[str, Any]


def price_text(symbol: PaperSymbol, ticks: int) -> str:
    """Return a price padded to the symbol's price precision."""
    return f"{symbol.instrument.tick_size * ticks:.{symbol.price_digits}f}"


def quantity_text(symbol: PaperSymbol, lots: int) -> str:
    """Return a quantity padded to the symbol's quantity precision."""
    return f"{symbol.instrument.lot_size * lots:.{symbol.quantity_digits}f}"


def money_text(units: int) -> str:
    """Return money units with eight decimals."""
    return f"{Decimal(units).scaleb(-8):.8f}"


def quote_text(symbol: PaperSymbol, cost: int) -> str:
    """Return ticks x lots as an amount of the quote asset, with all the decimals that price x quantity can have."""
    digits = min(8, symbol.price_digits + symbol.quantity_digits)
    return f"{Decimal(cost * symbol.unit).scaleb(-8):.{digits}f}"


def average_price(symbol: PaperSymbol, cost: int, lots: int) -> Decimal:
    """Return the average price of ticks x lots over lots, to at most eight decimals; 0 without lots."""
    if lots == 0:
        return Decimal(0)
    value = symbol.instrument.tick_size * cost / lots
    return value.quantize(Decimal(1).scaleb(-min(8, symbol.price_digits + symbol.quantity_digits)), ROUND_HALF_EVEN)


def average_text(symbol: PaperSymbol, cost: int, lots: int) -> str:
    """Return an average price, padded at least to the price precision."""
    text = plain(average_price(symbol, cost, lots))
    shown = len(text.partition(".")[2])
    return text if shown >= symbol.price_digits else f"{Decimal(text):.{symbol.price_digits}f}"


def entry_price(symbol: PaperSymbol, position: Position) -> Decimal:
    """Return the position's average entry price, 0 when flat."""
    if position.lots == 0:
        return Decimal(0)
    value = Decimal(position.cost_units).scaleb(-8) / (symbol.instrument.lot_size * abs(position.lots))
    return value.quantize(Decimal(1).scaleb(-min(8, symbol.price_digits + symbol.quantity_digits)), ROUND_HALF_EVEN)


def break_even_price(symbol: PaperSymbol, position: Position) -> Decimal:
    """Return entry x (1 + taker fee) for a long, x (1 - taker fee) for a short."""
    rate = Decimal(symbol.instrument.taker_fee_rate).scaleb(-8)
    value = entry_price(symbol, position) * (1 + rate if position.lots > 0 else 1 - rate)
    return value.quantize(Decimal("0.00000001"), ROUND_HALF_EVEN)


def mark_text(symbol: PaperSymbol, half_ticks: int) -> str:
    """Return a mark price with eight decimals."""
    return f"{symbol.instrument.tick_size * half_ticks / 2:.8f}"


def order_body(symbol: PaperSymbol, order: PaperOrder, *, with_time: bool = False) -> Body:
    """Return an order as every order endpoint shows it; queries add `time`."""
    body: Body = {
        "orderId": order.order_id,
        "symbol": order.symbol,
        "status": order.status.value,
        "clientOrderId": order.client_order_id,
        "price": price_text(symbol, order.price_ticks),
        "avgPrice": average_text(symbol, order.executed_cost, order.executed_lots),
        "origQty": quantity_text(symbol, order.quantity_lots),
        "executedQty": quantity_text(symbol, order.executed_lots),
        "cumQty": quantity_text(symbol, order.executed_lots),
        "cumQuote": quote_text(symbol, order.executed_cost),
        "timeInForce": order.time_in_force,
        "type": order.order_type,
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "side": order.side.value,
        "positionSide": order.position_side.value,
        "stopPrice": price_text(symbol, 0),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.order_type,
        "priceMatch": order.price_match,
        "selfTradePreventionMode": order.stp,
        "goodTillDate": order.good_till_ms,
    }
    if with_time:
        body["time"] = order.time_ms
    body["updateTime"] = order.update_time_ms
    return body


def amendment_body(symbol: PaperSymbol, row: Amendment) -> Body:
    """Return a row of the amendments' history; `modifyId` only where the amendment had one."""
    prices, lots = (row.price_before, row.price_after), (row.lots_before, row.lots_after)
    change: Body = {
        "price": dict(zip(("before", "after"), (price_text(symbol, ticks) for ticks in prices), strict=True)),
        "origQty": dict(zip(("before", "after"), (quantity_text(symbol, one) for one in lots), strict=True)),
        "count": row.count,
    }
    if row.modify_id is not None:
        change["modifyId"] = row.modify_id
    return {
        "amendmentId": row.amendment_id,
        "symbol": row.symbol,
        "pair": row.symbol,
        "orderId": row.order_id,
        "clientOrderId": row.client_order_id,
        "time": row.time_ms,
        "amendment": change,
    }


def trade_body(symbol: PaperSymbol, trade: PaperTrade) -> Body:
    """Return a row of userTrades."""
    item = symbol.instrument
    quantity = quantity_text(symbol, trade.quantity_lots)
    return {
        "symbol": item.symbol,
        "pair": item.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "side": trade.side.value,
        "price": price_text(symbol, trade.price_ticks),
        "qty": quantity,
        "baseQty": quantity,
        "realizedPnl": money_text(trade.realized_units),
        "marginAsset": item.margin_asset,
        "quoteQty": quote_text(symbol, trade.price_ticks * trade.quantity_lots),
        "commission": money_text(trade.fee_units),
        "commissionAsset": item.margin_asset,
        "time": trade.time_ms,
        "positionSide": trade.position_side.value,
        "buyer": trade.side is Side.BUY,
        "maker": trade.maker,
    }


def income_body(income: Income, asset: str) -> Body:
    """Return a row of the income history."""
    return {
        "symbol": income.symbol,
        "incomeType": income.kind,
        "income": money_text(income.units),
        "asset": asset,
        "info": income.info,
        "time": income.time_ms,
        "tranId": income.record_id,
        "tradeId": "" if income.trade_id is None else str(income.trade_id),
    }


def move_body(move: MarginMove, asset: str) -> Body:
    """Return a row of positionMargin/history; type 1 is what the position got, type 2 what it gave back."""
    return {
        "symbol": move.symbol,
        "type": 1 if move.units > 0 else 2,
        "deltaType": move.cause,
        "amount": money_text(abs(move.units)),
        "asset": asset,
        "time": move.time_ms,
        "positionSide": move.position_side.value,
        "clientTranId": "",
    }


# the user stream -----------------------------------------------------------------------------------------------------


def trade_lite_event(symbol: PaperSymbol, order: PaperOrder, trade: PaperTrade) -> Body:
    """Return the TRADE_LITE of a trade; it pads its numbers."""
    return {
        "e": "TRADE_LITE",
        "E": trade.time_ms,
        "T": trade.time_ms,
        "s": order.symbol,
        "q": quantity_text(symbol, order.quantity_lots),
        "p": price_text(symbol, order.price_ticks),
        "m": trade.maker,
        "c": order.client_order_id,
        "S": order.side.value,
        "L": price_text(symbol, trade.price_ticks),
        "l": quantity_text(symbol, trade.quantity_lots),
        "t": trade.trade_id,
        "i": order.order_id,
    }


def _trimmed_price(symbol: PaperSymbol, ticks: int) -> str:
    return plain(symbol.instrument.tick_size * ticks)


def _trimmed_quantity(symbol: PaperSymbol, lots: int) -> str:
    return plain(symbol.instrument.lot_size * lots)


def _trimmed_money(units: int) -> str:
    return plain(Decimal(units).scaleb(-8))


def order_event(
    symbol: PaperSymbol, account: PaperAccount, order: PaperOrder, execution: str, trade: PaperTrade | None = None
) -> Body:
    """Return an ORDER_TRADE_UPDATE; `execution` is its `x`, the order's own status its `X`."""
    bids = asks = 0
    for resting in account.open_on(order.symbol).values():
        amount = resting.price_ticks * resting.remaining_lots * symbol.unit
        if resting.side is Side.BUY:
            bids += amount
        else:
            asks += amount
    body: Body = {
        "s": order.symbol,
        "c": order.client_order_id,
        "S": order.side.value,
        "o": order.order_type,
        "f": order.time_in_force,
        "q": _trimmed_quantity(symbol, order.quantity_lots),
        "p": _trimmed_price(symbol, order.price_ticks),
        "ap": plain(average_price(symbol, order.executed_cost, order.executed_lots)),
        "sp": "0",
        "x": execution,
        "X": order.status.value,
        "i": order.order_id,
        "l": _trimmed_quantity(symbol, trade.quantity_lots) if trade else "0",
        "z": _trimmed_quantity(symbol, order.executed_lots),
        "L": _trimmed_price(symbol, trade.price_ticks) if trade else "0",
        "n": _trimmed_money(trade.fee_units) if trade else "0",
        "N": symbol.instrument.margin_asset,
        "T": order.update_time_ms,
        "t": trade.trade_id if trade else 0,
        "b": _trimmed_money(bids),
        "a": _trimmed_money(asks),
        "m": trade.maker if trade else False,
        "R": order.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": order.order_type,
        "ps": order.position_side.value,
        "cp": False,
        "rp": _trimmed_money(trade.realized_units) if trade else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": order.stp,
        "pm": order.price_match,
        "gtd": order.good_till_ms,
        "er": str(order.expiry_reason),
    }
    return {"e": "ORDER_TRADE_UPDATE", "T": order.update_time_ms, "E": order.update_time_ms, "o": body}


def account_event(
    account: PaperAccount, reason: str, change_units: int, time_ms: int, positions: list[Body], symbol: str = ""
) -> Body:
    """Return an ACCOUNT_UPDATE; `change_units` is `bc`, the change apart from PnL and commission.

    `symbol` is what a funding fee was paid for.
    """
    wallet, cross = _trimmed_money(account.wallet_units), _trimmed_money(account.cross_units)
    balance = {"a": account.asset, "wb": wallet, "cw": cross, "bc": _trimmed_money(change_units)}
    return {
        "e": "ACCOUNT_UPDATE",
        "T": time_ms,
        "E": time_ms,
        "a": {"B": [balance], "P": positions, "m": reason} | ({"S": symbol} if symbol else {}),
    }


def position_event_row(
    symbol: PaperSymbol, position: Position, side: PositionSide, unrealized_units: int, *, isolated: bool
) -> Body:
    """Return a position inside ACCOUNT_UPDATE."""
    return {
        "s": symbol.name,
        "pa": _trimmed_quantity(symbol, position.lots),
        "ep": plain(entry_price(symbol, position)),
        "cr": _trimmed_money(position.realized_units),
        "up": _trimmed_money(unrealized_units),
        "mt": "isolated" if isolated else "cross",
        "iw": _trimmed_money(position.isolated_units),
        "ps": side.value,
        "ma": symbol.instrument.margin_asset,
        "bep": plain(break_even_price(symbol, position)),
    }


def margin_call_event(account: PaperAccount, positions: list[Body], time_ms: int, *, cross: bool) -> Body:
    """Return a MARGIN_CALL; only that of the cross wallet tells the wallet."""
    wallet = {"cw": _trimmed_money(account.cross_units)} if cross else {}
    return {"e": "MARGIN_CALL", "E": time_ms, **wallet, "p": positions}


def margin_call_row(
    symbol: PaperSymbol, position: Position, side: PositionSide, half_ticks: int, unrealized: int, maintenance: int,
    *, isolated: bool,
) -> Body:  # fmt: skip
    """Return a position inside MARGIN_CALL."""
    return {
        "s": symbol.name,
        "ps": side.value,
        "pa": _trimmed_quantity(symbol, position.lots),
        "mt": "ISOLATED" if isolated else "CROSSED",
        "iw": _trimmed_money(position.isolated_units),
        "mp": plain(Decimal(mark_text(symbol, half_ticks))),
        "up": _trimmed_money(unrealized),
        "mm": _trimmed_money(maintenance),
    }

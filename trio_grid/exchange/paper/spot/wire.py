"""Owns the texts of spot's private side: orders, trades, balances and the events of the user stream.

It must never decide or change anything. All prices, quantities and amounts have eight decimals.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trio_grid.domain.events import Side
from trio_grid.exchange.paper.spot.account import SpotAccount
from trio_grid.exchange.paper.spot.records import Amendment, PreventedMatch, SpotOrder, SpotTrade
from trio_grid.exchange.paper.spot.symbols import SpotSymbol, amount_text, cost_text, price_text, quantity_text

Body = dict[str, Any]
ZERO = "0.00000000"


def _numbers(symbol: SpotSymbol, order: SpotOrder) -> Body:
    body: Body = {
        "price": price_text(symbol, order.price_ticks),
        "origQty": quantity_text(symbol, order.quantity_lots),
        "executedQty": quantity_text(symbol, order.executed_lots),
        "origQuoteOrderQty": amount_text(order.quote_units),
        "cummulativeQuoteQty": cost_text(symbol, order.executed_cost),
        "status": order.status.value,
        "timeInForce": order.time_in_force,
        "type": order.order_type,
        "side": order.side.value,
    }
    if order.stop_ticks:
        body["stopPrice"] = price_text(symbol, order.stop_ticks)
    if order.strategy_id is not None:
        body["strategyId"] = order.strategy_id
    if order.strategy_type is not None:
        body["strategyType"] = order.strategy_type
    if order.prevented_lots:
        body["preventedQuantity"] = quantity_text(symbol, order.prevented_lots)
    return body


def placed_body(symbol: SpotSymbol, order: SpotOrder, trades: Iterable[SpotTrade], response: str) -> Body:
    """Return the answer to a placement: ACK, RESULT or FULL."""
    body: Body = {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        "transactTime": order.time_ms,
    }
    if response == "ACK":
        return body
    body |= _numbers(symbol, order)
    body["workingTime"] = _working_time(order)
    body["selfTradePreventionMode"] = order.stp
    if response == "FULL":
        body["fills"] = [
            {
                "price": price_text(symbol, trade.price_ticks),
                "qty": quantity_text(symbol, trade.quantity_lots),
                "commission": amount_text(trade.fee_units),
                "commissionAsset": trade.fee_asset,
                "tradeId": trade.trade_id,
            }
            for trade in trades
        ]
    return body


def _working_time(order: SpotOrder) -> int:
    return order.triggered_ms or -1


def order_body(symbol: SpotSymbol, order: SpotOrder) -> Body:
    """Return an order as queries show it."""
    return {
        "symbol": order.symbol,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": order.client_order_id,
        **_numbers(symbol, order),
        "stopPrice": price_text(symbol, order.stop_ticks),
        "icebergQty": ZERO,
        "time": order.time_ms,
        "updateTime": order.update_time_ms,
        "isWorking": order.is_working,
        "workingTime": _working_time(order),
        "selfTradePreventionMode": order.stp,
    }


def cancelled_body(symbol: SpotSymbol, order: SpotOrder, cancel_id: str) -> Body:
    """Return an order as its cancellation shows it: the order's id is `origClientOrderId`, the cancel has its own."""
    return {
        "symbol": order.symbol,
        "origClientOrderId": order.client_order_id,
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": cancel_id,
        "transactTime": order.update_time_ms,
        **_numbers(symbol, order),
        "selfTradePreventionMode": order.stp,
    }


def amended_body(symbol: SpotSymbol, order: SpotOrder, change: Amendment) -> Body:
    """Return the answer to a reduction of an order's quantity."""
    return {
        "transactTime": change.time_ms,
        "executionId": change.execution_id,
        "amendedOrder": {
            "symbol": order.symbol,
            "orderId": order.order_id,
            "orderListId": -1,
            "origClientOrderId": change.old_client_id,
            "clientOrderId": order.client_order_id,
            "price": price_text(symbol, order.price_ticks),
            "qty": quantity_text(symbol, order.quantity_lots),
            "executedQty": quantity_text(symbol, order.executed_lots),
            "preventedQty": quantity_text(symbol, order.prevented_lots),
            "quoteOrderQty": amount_text(order.quote_units),
            "cumulativeQuoteQty": cost_text(symbol, order.executed_cost),
            "status": order.status.value,
            "timeInForce": order.time_in_force,
            "type": order.order_type,
            "side": order.side.value,
            "workingTime": _working_time(order),
            "selfTradePreventionMode": order.stp,
        },
    }


def amendment_body(symbol: SpotSymbol, change: Amendment) -> Body:
    """Return a row of the amendments request."""
    return {
        "symbol": symbol.name,
        "orderId": change.order_id,
        "executionId": change.execution_id,
        "origClientOrderId": change.old_client_id,
        "newClientOrderId": change.new_client_id,
        "origQty": quantity_text(symbol, change.old_lots),
        "newQty": quantity_text(symbol, change.new_lots),
        "time": change.time_ms,
    }


def trade_body(symbol: SpotSymbol, trade: SpotTrade) -> Body:
    """Return a row of myTrades."""
    return {
        "symbol": symbol.name,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "orderListId": -1,
        "price": price_text(symbol, trade.price_ticks),
        "qty": quantity_text(symbol, trade.quantity_lots),
        "quoteQty": cost_text(symbol, trade.price_ticks * trade.quantity_lots),
        "commission": amount_text(trade.fee_units),
        "commissionAsset": trade.fee_asset,
        "time": trade.time_ms,
        "isBuyer": trade.side is Side.BUY,
        "isMaker": trade.maker,
        "isBestMatch": True,
    }


def prevented_body(symbol: SpotSymbol, match: PreventedMatch) -> Body:
    """Return a row of myPreventedMatches."""
    body: Body = {
        "symbol": symbol.name,
        "preventedMatchId": match.match_id,
        "takerOrderId": match.taker_order_id,
        "makerSymbol": symbol.name,
        "makerOrderId": match.maker_order_id,
        "tradeGroupId": 1,
        "selfTradePreventionMode": match.mode,
        "price": price_text(symbol, match.price_ticks),
    }
    if match.taker_lots:
        body["takerPreventedQuantity"] = quantity_text(symbol, match.taker_lots)
    if match.maker_lots:
        body["makerPreventedQuantity"] = quantity_text(symbol, match.maker_lots)
    body["transactTime"] = match.time_ms
    return body


# the user stream -----------------------------------------------------------------------------------------------------


def execution_report(
    symbol: SpotSymbol,
    order: SpotOrder,
    execution: str,
    execution_id: int,
    *,
    trade: SpotTrade | None = None,
    client_id: str | None = None,
    original_id: str = "",
    reason: str = "NONE",
) -> Body:
    """Return an executionReport; `execution` is its `x`.

    At a cancellation and at an amendment `original_id` is the order's id and `client_id` the new one.
    """
    body: Body = {
        "e": "executionReport",
        "E": order.update_time_ms,
        "s": order.symbol,
        "c": order.client_order_id if client_id is None else client_id,
        "S": order.side.value,
        "o": order.order_type,
        "f": order.time_in_force,
        "q": quantity_text(symbol, order.quantity_lots),
        "p": price_text(symbol, order.price_ticks),
        "P": price_text(symbol, order.stop_ticks),
        "F": ZERO,
        "g": -1,
        "C": original_id,
        "x": execution,
        "X": order.status.value,
        "r": reason,
        "i": order.order_id,
        "l": quantity_text(symbol, trade.quantity_lots if trade else 0),
        "z": quantity_text(symbol, order.executed_lots),
        "L": price_text(symbol, trade.price_ticks if trade else 0),
        "n": amount_text(trade.fee_units) if trade else "0",
        "N": trade.fee_asset if trade else None,
        "T": order.update_time_ms,
        "t": trade.trade_id if trade else -1,
        "I": execution_id,
        "w": order.is_working and order.is_open and not order.takes_market_price,
        "m": trade.maker if trade else False,
        "M": trade is not None,
        "O": order.time_ms,
        "Z": cost_text(symbol, order.executed_cost),
        "Y": cost_text(symbol, trade.price_ticks * trade.quantity_lots if trade else 0),
        "Q": amount_text(order.quote_units),
    }
    if order.is_working:
        body["W"] = order.triggered_ms
    body["V"] = order.stp
    if order.strategy_id is not None:
        body["j"] = order.strategy_id
    if order.strategy_type is not None:
        body["J"] = order.strategy_type
    return body


def prevention_fields(symbol: SpotSymbol, order: SpotOrder, other: SpotOrder, match_id: int, lots: int) -> Body:
    """Return what an executionReport has more when self-trade prevention made it."""
    return {
        "v": match_id,
        "A": quantity_text(symbol, order.prevented_lots),
        "B": quantity_text(symbol, lots),
        "u": 1,
        "U": other.order_id,
        "Cs": symbol.name,
        "pl": quantity_text(symbol, lots),
        "pL": price_text(symbol, other.price_ticks or order.price_ticks),
        "pY": cost_text(symbol, (other.price_ticks or order.price_ticks) * lots),
    }


def position_event(account: SpotAccount, assets: Iterable[str], time_ms: int) -> Body:
    """Return an outboundAccountPosition: the balances that an event may have changed."""
    return {
        "e": "outboundAccountPosition",
        "E": time_ms,
        "u": account.update_time_ms,
        "B": [
            {
                "a": asset,
                "f": amount_text(account.balance(asset).free),
                "l": amount_text(account.balance(asset).locked),
            }
            for asset in assets
        ],
    }


def balance_event(asset: str, units: int, time_ms: int) -> Body:
    """Return a balanceUpdate: a deposit (positive) or a withdrawal."""
    return {"e": "balanceUpdate", "E": time_ms, "a": asset, "d": amount_text(units), "T": time_ms}

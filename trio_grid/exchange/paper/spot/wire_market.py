"""Owns the texts of spot's public side: klines, trades, books and tickers as JSON-ready bodies.

It must never decide or change anything. All prices and quantities have eight decimals.
"""

from __future__ import annotations

from typing import Any

from trio_grid.exchange.paper.engine.candles import Candle, close_time_of
from trio_grid.exchange.paper.engine.desk import PublicTrade
from trio_grid.exchange.paper.market.interface import TapeRow, Ticker
from trio_grid.exchange.paper.spot.symbols import SpotSymbol, cost_text, price_text, quantity_text

Body = dict[str, Any]


def kline_close_ms(interval: str, open_time_ms: int) -> int:
    """Return the last millisecond of a kline; spot also has seconds."""
    return open_time_ms + 999 if interval == "1s" else close_time_of(interval, open_time_ms)


def kline_row(symbol: SpotSymbol, interval: str, candle: Candle) -> list[Any]:
    """Return a row of the klines request."""
    return [
        candle.open_time_ms,
        price_text(symbol, candle.open_ticks),
        price_text(symbol, candle.high_ticks),
        price_text(symbol, candle.low_ticks),
        price_text(symbol, candle.close_ticks),
        quantity_text(symbol, candle.volume_lots),
        kline_close_ms(interval, candle.open_time_ms),
        cost_text(symbol, candle.quote),
        candle.trades,
        quantity_text(symbol, candle.taker_lots),
        cost_text(symbol, candle.taker_quote),
        "0",
    ]


def kline_event(symbol: SpotSymbol, interval: str, candle: Candle, time_ms: int, *, closed: bool) -> Body:
    """Return a kline stream payload."""
    row = kline_row(symbol, interval, candle)
    body = {
        "t": row[0],
        "T": row[6],
        "s": symbol.name,
        "i": interval,
        "f": candle.first_id,
        "L": candle.last_id,
        "o": row[1],
        "c": row[4],
        "h": row[2],
        "l": row[3],
        "v": row[5],
        "n": candle.trades,
        "x": closed,
        "q": row[7],
        "V": row[9],
        "Q": row[10],
        "B": "0",
    }
    return {"e": "kline", "E": time_ms, "s": symbol.name, "k": body}


def agg_trade_event(symbol: SpotSymbol, row: TapeRow, agg_id: int, trade_id: int, time_ms: int) -> Body:
    """Return an aggTrade stream payload."""
    return {
        "e": "aggTrade",
        "E": time_ms,
        "s": symbol.name,
        "a": agg_id,
        "p": price_text(symbol, row.price_ticks),
        "q": quantity_text(symbol, row.quantity_lots),
        "f": trade_id,
        "l": trade_id,
        "T": time_ms,
        "m": row.buyer_is_maker,
        "M": True,
    }


def trade_event(symbol: SpotSymbol, row: TapeRow, trade_id: int, time_ms: int) -> Body:
    """Return a trade stream payload."""
    return {
        "e": "trade",
        "E": time_ms,
        "s": symbol.name,
        "t": trade_id,
        "p": price_text(symbol, row.price_ticks),
        "q": quantity_text(symbol, row.quantity_lots),
        "T": time_ms,
        "m": row.buyer_is_maker,
        "M": True,
    }


def book_ticker_event(symbol: SpotSymbol, ticker: Ticker) -> Body:
    """Return a bookTicker stream payload: it has no event name and no times."""
    return {
        "u": ticker.update_id,
        "s": symbol.name,
        "b": price_text(symbol, ticker.bid_ticks),
        "B": quantity_text(symbol, ticker.bid_lots),
        "a": price_text(symbol, ticker.ask_ticks),
        "A": quantity_text(symbol, ticker.ask_lots),
    }


def trade_row(symbol: SpotSymbol, trade: PublicTrade) -> Body:
    """Return a row of the trades request."""
    return {
        "id": trade.last_id,
        "price": price_text(symbol, trade.row.price_ticks),
        "qty": quantity_text(symbol, trade.row.quantity_lots),
        "quoteQty": cost_text(symbol, trade.row.price_ticks * trade.row.quantity_lots),
        "time": trade.time_ms,
        "isBuyerMaker": trade.row.buyer_is_maker,
        "isBestMatch": True,
    }


def agg_trade_row(symbol: SpotSymbol, trade: PublicTrade) -> Body:
    """Return a row of the aggTrades request."""
    return {
        "a": trade.agg_id,
        "p": price_text(symbol, trade.row.price_ticks),
        "q": quantity_text(symbol, trade.row.quantity_lots),
        "f": trade.first_id,
        "l": trade.last_id,
        "T": trade.time_ms,
        "m": trade.row.buyer_is_maker,
        "M": True,
    }

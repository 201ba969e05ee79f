"""Owns the texts of the public side: klines, trades, book tickers and mark prices as JSON-ready bodies.

It must never decide or change anything.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from trio_grid.exchange.paper.engine.candles import Candle, close_time_of
from trio_grid.exchange.paper.engine.symbols import PaperSymbol
from trio_grid.exchange.paper.engine.wire import mark_text, price_text, quantity_text, quote_text
from trio_grid.exchange.paper.market.interface import TapeRow, Ticker

Body = dict[str, Any]


def kline_row(symbol: PaperSymbol, interval: str, candle: Candle) -> list[Any]:
    """Return a row of the klines request."""
    return [
        candle.open_time_ms,
        price_text(symbol, candle.open_ticks),
        price_text(symbol, candle.high_ticks),
        price_text(symbol, candle.low_ticks),
        price_text(symbol, candle.close_ticks),
        quantity_text(symbol, candle.volume_lots),
        close_time_of(interval, candle.open_time_ms),
        quote_text(symbol, candle.quote),
        candle.trades,
        quantity_text(symbol, candle.taker_lots),
        quote_text(symbol, candle.taker_quote),
        "0",
    ]


def kline_event(symbol: PaperSymbol, interval: str, candle: Candle, time_ms: int, *, closed: bool) -> Body:
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
    return {"e": "kline", "E": time_ms, "s": symbol.name, "k": body, "st": 1}


def agg_trade_event(symbol: PaperSymbol, row: TapeRow, agg_id: int, first_id: int, last_id: int, time_ms: int) -> Body:
    """Return an aggTrade stream payload."""
    quantity = quantity_text(symbol, row.quantity_lots)
    return {
        "e": "aggTrade",
        "E": time_ms,
        "s": symbol.name,
        "a": agg_id,
        "p": price_text(symbol, row.price_ticks),
        "q": quantity,
        "nq": quantity,
        "f": first_id,
        "l": last_id,
        "T": time_ms,
        "m": row.buyer_is_maker,
        "st": 1,
    }


def trade_event(symbol: PaperSymbol, row: TapeRow, trade_id: int, time_ms: int) -> Body:
    """Return a trade stream payload."""
    return {
        "e": "trade",
        "E": time_ms,
        "T": time_ms,
        "s": symbol.name,
        "t": trade_id,
        "p": price_text(symbol, row.price_ticks),
        "q": quantity_text(symbol, row.quantity_lots),
        "X": "MARKET",
        "m": row.buyer_is_maker,
    }


def book_ticker_event(symbol: PaperSymbol, ticker: Ticker) -> Body:
    """Return a bookTicker stream payload."""
    return {
        "e": "bookTicker",
        "u": ticker.update_id,
        "s": symbol.name,
        "ps": symbol.name,
        "b": price_text(symbol, ticker.bid_ticks),
        "B": quantity_text(symbol, ticker.bid_lots),
        "a": price_text(symbol, ticker.ask_ticks),
        "A": quantity_text(symbol, ticker.ask_lots),
        "T": ticker.time_ms,
        "E": ticker.time_ms,
        "st": 1,
    }


def rate_text(rate: int) -> str:
    """Return a rate in parts of 1e-8 as a decimal."""
    return f"{Decimal(rate).scaleb(-8):.8f}"


def mark_price_event(symbol: PaperSymbol, half_ticks: int, time_ms: int, next_funding_ms: int) -> Body:
    """Return a markPriceUpdate stream payload; the index price is the mark price, there being one market only."""
    mark = mark_text(symbol, half_ticks)
    return {
        "e": "markPriceUpdate",
        "E": time_ms,
        "s": symbol.name,
        "p": mark,
        "i": mark,
        "P": mark,
        "r": rate_text(symbol.funding_rate),
        "ap": mark,
        "T": next_funding_ms,
        "st": 1,
    }


def force_order_event(symbol: PaperSymbol, side: str, price: str, average: str, quantity: str, time_ms: int) -> Body:
    """Return a forceOrder stream payload: a liquidation that has happened."""
    order = {
        "s": symbol.name,
        "S": side,
        "o": "LIMIT",
        "f": "IOC",
        "q": quantity,
        "p": price,
        "ap": average,
        "X": "FILLED",
        "l": quantity,
        "z": quantity,
        "T": time_ms,
    }
    return {"e": "forceOrder", "E": time_ms, "o": order, "ps": symbol.name, "st": 1}

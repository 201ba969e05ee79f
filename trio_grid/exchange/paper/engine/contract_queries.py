"""Owns the answers about a contract beyond its trading: mark, index and premium klines, older trades, open interest,
forced closings and the risk of them.

It must never change anything but time, and never tell what this exchange cannot know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trio_grid.domain.events import Side
from trio_grid.exchange.paper.engine.account_queries import page, window
from trio_grid.exchange.paper.engine.candles import INTERVALS, close_time_of
from trio_grid.exchange.paper.engine.deleveraging import ADL_CLIENT_ID, quantile
from trio_grid.exchange.paper.engine.desk import Desk, PublicTrade
from trio_grid.exchange.paper.engine.mark_candles import MarkCandle
from trio_grid.exchange.paper.engine.market_queries import MarketQueries
from trio_grid.exchange.paper.engine.order_rules import limit_of, text_of, whole_of
from trio_grid.exchange.paper.engine.records import PaperOrder
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.engine.wire import mark_text, order_body, quantity_text

Params = Mapping[str, str]
Body = dict[str, Any]

CLOSE_TYPES = {"LIQUIDATION": "autoclose-", "ADL": ADL_CLIENT_ID}
"""How the client ids of forced orders begin."""

DEEPEST_LEVELS = 1_000


class ContractQueries(MarketQueries):
    """Questions about the contract."""

    # klines of prices that nobody trades at --------------------------------------------------------------------------

    def mark_price_klines(self, params: Params, now_ms: int) -> list[list[Any]]:
        """Return the klines of the mark price, ascending; the last one may be open."""
        self.advance(now_ms)
        return self._mark_rows(self.desk_of(params.get("symbol")), params)

    def index_price_klines(self, params: Params, now_ms: int) -> list[list[Any]]:
        """Return the klines of a pair's index price: the mark price, there being one market only."""
        self.advance(now_ms)
        return self._mark_rows(self.desk_of(text_of(params, "pair")), params)

    def premium_index_klines(self, params: Params, now_ms: int) -> list[list[Any]]:
        """Return the klines of the premium index.

        It is how far the book's bids are above or its asks below the index price, over that price. The index is the
        middle of the book, so it is 0 at all times.
        """
        self.advance(now_ms)
        desk, interval = self.desk_of(params.get("symbol")), _interval(params)
        zero = f"{0:.8f}"
        return [_row(interval, candle, [zero] * 4) for candle in self._mark_candles(desk, params)]

    def _mark_rows(self, desk: Desk, params: Params) -> list[list[Any]]:
        interval, symbol = _interval(params), desk.symbol
        return [
            _row(
                interval,
                candle,
                [
                    mark_text(symbol, half)
                    for half in (candle.open_half, candle.high_half, candle.low_half, candle.close_half)
                ],
            )
            for candle in self._mark_candles(desk, params)
        ]

    @staticmethod
    def _mark_candles(desk: Desk, params: Params) -> list[MarkCandle]:
        return desk.mark_candles.select(
            _interval(params),
            start_ms=whole_of(params, "startTime"),
            end_ms=whole_of(params, "endTime"),
            limit=limit_of(params, 500, 1500),
        )

    # trades and positions of all -------------------------------------------------------------------------------------

    def historical_trades(self, params: Params, now_ms: int) -> list[Body]:
        """Return public trades that are still remembered: from `fromId` on, or the newest; ascending."""
        self.advance(now_ms)
        desk = self.desk_of(params.get("symbol"))
        limit, first = limit_of(params, 100, 500), whole_of(params, "fromId")
        rows: list[PublicTrade] = [row for row in desk.tape if first is None or row.last_id >= first]
        return [self.trade_row(desk, row) for row in page(rows, limit, first is not None)]

    def open_interest(self, params: Params, now_ms: int) -> Body:
        """Return how much of a contract is open: what the accounts hold on the heavier side.

        The other side of every contract is another account or the strangers, who have no accounts of their own.
        """
        self.advance(now_ms)
        desk = self.desk_of(params.get("symbol"))
        held = [
            position.lots
            for account in self.settlement.accounts.values()
            for symbol, _, position in account.held()
            if symbol == desk.name
        ]
        longs, shorts = sum(lots for lots in held if lots > 0), -sum(lots for lots in held if lots < 0)
        return {
            "symbol": desk.name,
            "openInterest": quantity_text(desk.symbol, max(longs, shorts)),
            "time": self.now_ms,
        }

    # forced closings -------------------------------------------------------------------------------------------------

    def force_orders(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return an account's orders of liquidations and deleveraging of a window of at most seven days, ascending."""
        self.advance(now_ms)
        kind, limit = params.get("autoCloseType", ""), limit_of(params, 50, 100)
        if kind and kind not in CLOSE_TYPES:
            raise Refusal.BAD_PARAMETER.refuse("autoCloseType")
        start, end = window(params, self.now_ms)
        desks = [self.desk_of(params["symbol"])] if params.get("symbol") else list(self.desks.values())
        orders = self.account_of(account).orders
        prefixes = tuple(prefix for name, prefix in CLOSE_TYPES.items() if kind in ("", name))
        rows: list[tuple[Desk, PaperOrder]] = [
            (desk, order)
            for desk in desks
            for order in orders.get(desk.name, {}).values()
            if order.client_order_id.startswith(prefixes) and start <= order.time_ms <= end
        ]
        rows.sort(key=lambda row: row[1].time_ms)
        chosen = page(rows, limit, "startTime" in params)
        bodies = [order_body(desk.symbol, order, with_time=True) for desk, order in chosen]
        return [{**body, "pair": body["symbol"], "cumBase": body["executedQty"]} for body in bodies]

    def adl_quantiles(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return the places of an account's positions in the queue of deleveraging.

        The two sides of a cross symbol in hedge mode have one place, and HEDGE says so in place of BOTH.
        """
        self.advance(now_ms)
        owner, places = self.account_of(account), dict[str, dict[str, int]]()
        wanted = self.desk_of(params["symbol"]).name if params.get("symbol") else None
        for symbol in dict.fromkeys(symbol for symbol, _, _ in owner.held() if wanted in (None, symbol)):
            desk = self.desks[symbol]
            sides = {side.value: quantile(self.settlement, desk, owner, side) for side in owner.sides}
            third = "HEDGE" if owner.hedge and not owner.setting(symbol).isolated else "BOTH"
            if third == "HEDGE" and all(owner.position(symbol, side).lots for side in owner.sides):
                sides = dict.fromkeys(sides, max(sides.values()))
            places[symbol] = dict.fromkeys(("LONG", "SHORT", third), 0) | sides
        return [{"symbol": symbol, "adlQuantile": sides} for symbol, sides in places.items()]

    def adl_risk(self, params: Params, now_ms: int) -> Body | list[Body]:
        """Return the risk of deleveraging of a symbol, or of all: low, medium or high.

        Positions are deleveraged where a liquidation finds nobody in the book. So the risk goes by the largest position
        of any account: low if the book would take ten of that size, medium if it would take one, high if it would not.
        """
        self.advance(now_ms)
        desks = [self.desk_of(params["symbol"])] if params.get("symbol") else list(self.desks.values())
        rows = [{"symbol": desk.name, "adlRisk": self._risk(desk), "updateTime": self.now_ms} for desk in desks]
        return rows[0] if params.get("symbol") else rows

    def _risk(self, desk: Desk) -> str:
        worst = "low"
        for taker, sign in ((Side.BUY, 1), (Side.SELL, -1)):
            held = [
                sign * position.lots
                for account in self.settlement.accounts.values()
                for symbol, _, position in account.held()
                if symbol == desk.name
            ]
            largest = max(held, default=0)
            if largest > 0:
                room = sum(lots for _, lots in desk.book.depth(taker, DEEPEST_LEVELS))
                if largest > room:
                    return "high"
                worst = "medium" if 10 * largest > room else worst
        return worst


def _interval(params: Params) -> str:
    interval = text_of(params, "interval")
    if interval not in INTERVALS:
        raise Refusal.BAD_INTERVAL.refuse()
    return interval


def _row(interval: str, candle: MarkCandle, prices: list[str]) -> list[Any]:
    """Return a kline of a price that nobody trades at: no volumes, the number of updates in place of the trades."""
    closes = close_time_of(interval, candle.open_time_ms)
    return [candle.open_time_ms, *prices, "0", closes, "0", candle.updates, "0", "0", "0"]

"""Histories of the exchange, page by page: klines, orders, trades, funding.

Owns the paging rules of each endpoint. Pages are read until one is not full, so that nothing between them is missed;
what two pages share is returned once.
"""

from __future__ import annotations

from trio_grid.domain.events import FundingRecord, Kline, OrderRecord, Trade
from trio_grid.domain.instrument import Instrument
from trio_grid.exchange.binance.clock import ServerClock
from trio_grid.exchange.binance.rest import RestClient
from trio_grid.exchange.protocol.messages import Ignored
from trio_grid.exchange.protocol.records import parse_funding, parse_klines, parse_orders, parse_trades
from trio_grid.exchange.protocol.requests import Endpoint, klines_weight
from trio_grid.exchange.protocol.signing import ParamValue

PAGE = 1_000
MAX_KLINES = 1_500
WEEK_MS = 7 * 86_400_000
WINDOW_MS = WEEK_MS - 60_000
"""Time windows are held to a minute less than the seven days that the exchange allows."""


class History:
    """Reads histories through a REST client."""

    def __init__(self, rest: RestClient, clock: ServerClock, ignored: Ignored) -> None:
        self._rest = rest
        self._clock = clock
        self._ignored = ignored

    async def klines(
        self, instrument: Instrument, *, limit: int, start_ms: int | None, end_ms: int | None
    ) -> tuple[Kline, ...]:
        """Return up to `limit` 1-minute klines, ascending.

        Without a start the latest are returned; with one, the first at or after it.
        """
        limit = max(1, min(limit, MAX_KLINES))
        params: dict[str, ParamValue] = {"symbol": instrument.symbol, "interval": "1m", "limit": limit}
        if start_ms is not None:
            params["startTime"] = start_ms
        if end_ms is not None:
            params["endTime"] = end_ms
        body = await self._rest.call(Endpoint.KLINES, params, weight=klines_weight(limit))
        return parse_klines(body, instrument, self._clock.now_ms())

    async def orders_since(self, instrument: Instrument, start_ms: int) -> tuple[OrderRecord, ...]:
        """Return every order since a time (seven days at most), ascending by order id."""
        now_ms = self._clock.now_ms()
        params: dict[str, ParamValue] = {
            "symbol": instrument.symbol,
            "startTime": max(start_ms, now_ms - WINDOW_MS),
            "endTime": now_ms + 1_000,
            "limit": PAGE,
        }
        found: dict[int, OrderRecord] = {}
        while True:
            page = parse_orders(await self._rest.call(Endpoint.ALL_ORDERS, params), instrument, self._ignored)
            found.update((order.order_id, order) for order in page)
            if len(page) < PAGE:
                return tuple(found[order_id] for order_id in sorted(found))
            params = {"symbol": instrument.symbol, "orderId": max(found) + 1, "limit": PAGE}

    async def trades(
        self, instrument: Instrument, *, from_id: int | None, start_ms: int | None, order_id: int | None
    ) -> tuple[Trade, ...]:
        """Return the account's trades, ascending by id: from an id, from a time, of one order, or of the last week.

        Raises:
            ValueError: more than one of the three is given: the exchange does not combine them.
        """
        if sum(value is not None for value in (from_id, start_ms, order_id)) > 1:
            raise ValueError("at most one of from_id, start_ms and order_id may be given")
        if order_id is not None:
            return await self._trade_pages(instrument, {"orderId": order_id}, order_id=order_id)
        if start_ms is not None:
            return await self._trades_from_time(instrument, start_ms)
        return await self._trade_pages(instrument, {} if from_id is None else {"fromId": from_id})

    async def _trades_from_time(self, instrument: Instrument, start_ms: int) -> tuple[Trade, ...]:
        """Walk windows of a week until one holds a trade; from there on ids lead."""
        now_ms = self._clock.now_ms()
        while True:
            end_ms = start_ms + WINDOW_MS
            window: dict[str, ParamValue] = {"startTime": start_ms, "endTime": end_ms}
            page = await self._trade_page(instrument, window)
            if page:
                following = await self._trade_pages(instrument, {"fromId": page[-1].trade_id + 1})
                return (*page, *following)
            if end_ms > now_ms:
                return ()
            start_ms = end_ms

    async def _trade_pages(
        self, instrument: Instrument, first: dict[str, ParamValue], *, order_id: int | None = None
    ) -> tuple[Trade, ...]:
        found: dict[int, Trade] = {}
        params = first
        while True:
            page = await self._trade_page(instrument, params)
            found.update((trade.trade_id, trade) for trade in page if order_id in (None, trade.order_id))
            if len(page) < PAGE:
                return tuple(found[trade_id] for trade_id in sorted(found))
            params = {"fromId": page[-1].trade_id + 1}

    async def _trade_page(self, instrument: Instrument, params: dict[str, ParamValue]) -> tuple[Trade, ...]:
        query: dict[str, ParamValue] = {"symbol": instrument.symbol, **params, "limit": PAGE}
        return parse_trades(await self._rest.call(Endpoint.USER_TRADES, query), instrument)

    async def funding(self, instrument: Instrument, start_ms: int) -> tuple[FundingRecord, ...]:
        """Return the funding payments since a time, ascending; pages follow each other by time and overlap by one."""
        found: dict[int, FundingRecord] = {}
        while True:
            params: dict[str, ParamValue] = {
                "symbol": instrument.symbol,
                "incomeType": "FUNDING_FEE",
                "startTime": start_ms,
                "limit": PAGE,
            }
            page = parse_funding(await self._rest.call(Endpoint.INCOME, params), instrument)
            found.update((record.record_id, record) for record in page)
            if len(page) < PAGE or page[-1].time_ms == start_ms:
                return tuple(sorted(found.values(), key=lambda record: (record.time_ms, record.record_id)))
            start_ms = page[-1].time_ms

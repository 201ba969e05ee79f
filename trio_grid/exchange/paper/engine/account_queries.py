"""Owns the answers about one account: orders, trades, positions, balances, income, settings, in Binance's bodies.

It must never change anything but time: every question first lets the market come to its moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from trio_grid.domain.instrument import RATE_SCALE
from trio_grid.exchange.paper.engine.account import DAY_MS, PaperAccount
from trio_grid.exchange.paper.engine.amendments import Amendments
from trio_grid.exchange.paper.engine.brackets import notional_cap_units
from trio_grid.exchange.paper.engine.desk import Desk
from trio_grid.exchange.paper.engine.margin import AccountMargin, SymbolMargin, liquidation_price, symbol_margin
from trio_grid.exchange.paper.engine.order_rules import limit_of, whole_of
from trio_grid.exchange.paper.engine.records import PaperOrder, PaperTrade
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.engine.symbols import plain
from trio_grid.exchange.paper.engine.trading import plain_units
from trio_grid.exchange.paper.engine.wire import (
    break_even_price,
    entry_price,
    income_body,
    mark_text,
    money_text,
    order_body,
    quantity_text,
    trade_body,
)

Params = Mapping[str, str]
Body = dict[str, Any]
_Row = TypeVar("_Row")

WINDOW_MS = 7 * DAY_MS
"""allOrders, userTrades and income answer for at most seven days in one request."""


def _window(params: Params, now_ms: int) -> tuple[int, int]:
    """Return (startTime, endTime); either alone is completed to seven days, none means the last seven."""
    start, end = whole_of(params, "startTime"), whole_of(params, "endTime")
    if start is not None and end is not None and (end < start or end - start > WINDOW_MS):
        raise Refusal.BAD_PARAMETER.refuse("startTime")
    if start is None:
        end = now_ms if end is None else end
        return end - WINDOW_MS, end
    return start, start + WINDOW_MS if end is None else end


class AccountQueries(Amendments):
    """Questions of an account."""

    # orders and trades -----------------------------------------------------------------------------------------------

    def query_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Return one order, open or not; -2013 if the exchange does not show it."""
        self.advance(now_ms)
        desk, order = self.find_order(account, params, Refusal.NO_SUCH_ORDER)
        return order_body(desk.symbol, order, with_time=True)

    def open_order(self, account: str, params: Params, now_ms: int) -> Body:
        """Return one open order; -2013 if it is closed or unknown."""
        self.advance(now_ms)
        desk, order = self.find_order(account, params, Refusal.NO_SUCH_ORDER)
        if not order.is_open:
            raise Refusal.NO_SUCH_ORDER.refuse()
        return order_body(desk.symbol, order, with_time=True)

    def open_orders(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return the open orders of a symbol, or of all symbols, oldest first."""
        self.advance(now_ms)
        owner = self.account_of(account)
        return [
            order_body(desk.symbol, order, with_time=True)
            for desk in self._wanted(params)
            for order in owner.open_on(desk.name).values()
        ]

    def all_orders(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return orders by ascending id: from `orderId` on, or of a window of at most seven days."""
        self.advance(now_ms)
        owner, limit = self.account_of(account), limit_of(params, 500, 1000)
        first = whole_of(params, "orderId")
        start, end = _window(params, self.now_ms)
        rows: list[tuple[Desk, PaperOrder]] = [
            (desk, order)
            for desk in self._wanted(params)
            for order in owner.orders.get(desk.name, {}).values()
            if (order.order_id >= first if first is not None else start <= order.time_ms <= end)
        ]
        oldest_first = first is not None or "startTime" in params
        bodies = [order_body(desk.symbol, order, with_time=True) for desk, order in _page(rows, limit, oldest_first)]
        return [{**body, "pair": body["symbol"], "cumBase": body["executedQty"]} for body in bodies]

    def user_trades(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return trades by ascending id: from `fromId` on, of an order, or of a window of at most seven days."""
        self.advance(now_ms)
        desk = self.desk_of(params.get("symbol"))
        trades = self.account_of(account).trades.get(desk.name, ())
        limit, first = limit_of(params, 500, 1000), whole_of(params, "fromId")
        order_id = whole_of(params, "orderId")
        timed = params.get("startTime") or params.get("endTime")
        if first is not None and timed:
            raise Refusal.BAD_PARAMETER.refuse("fromId")
        start, end = _window(params, self.now_ms)
        rows: list[PaperTrade] = [
            trade
            for trade in trades
            if (order_id is None or trade.order_id == order_id)
            and (first is None or trade.trade_id >= first)
            and (first is not None or (order_id is not None and not timed) or start <= trade.time_ms <= end)
        ]
        oldest_first = first is not None or "startTime" in params
        return [trade_body(desk.symbol, trade) for trade in _page(rows, limit, oldest_first)]

    def income(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return income rows, ascending, of a window of at most seven days."""
        self.advance(now_ms)
        limit, kind, symbol = limit_of(params, 100, 1000), params.get("incomeType"), params.get("symbol")
        start, end = _window(params, self.now_ms)
        rows = [
            row
            for row in self.account_of(account).income
            if start <= row.time_ms <= end and kind in (None, "", row.kind) and symbol in (None, "", row.symbol)
        ]
        chosen = _page(rows, limit, "startTime" in params)
        return [income_body(row, self.margin_asset) for row in chosen]

    def _wanted(self, params: Params) -> list[Desk]:
        return [self.desk_of(params["symbol"])] if params.get("symbol") else list(self.desks.values())

    # positions and balances ------------------------------------------------------------------------------------------

    def position_risk(self, account: str, params: Params, now_ms: int, version: int = 3) -> list[Body]:
        """Return positions: version 3 only where there is one or an open order, version 2 for every symbol."""
        self.advance(now_ms)
        owner = self.account_of(account)
        rows: list[Body] = []
        for desk in self._wanted(params):
            if not desk.has_quote:
                continue
            if version == 2:
                rows.append(self._position_v2(owner, desk))
            elif owner.position(desk.name).lots or owner.open_on(desk.name):
                rows.append(self._position_v3(owner, desk))
        return rows

    def _liquidation_text(self, owner: PaperAccount, desk: Desk) -> str:
        price = liquidation_price(owner, self.settlement.marks(), desk.name)
        return plain(price) if price > 0 else "0"

    def _position_v3(self, owner: PaperAccount, desk: Desk) -> Body:
        symbol, position, row = desk.symbol, owner.position(desk.name), symbol_margin(owner, desk.marks)
        return {
            "symbol": desk.name,
            "positionSide": "BOTH",
            "positionAmt": quantity_text(symbol, position.lots),
            "entryPrice": plain(entry_price(symbol, position)),
            "breakEvenPrice": plain(break_even_price(symbol, position)),
            "markPrice": mark_text(symbol, desk.mark_half_ticks),
            "unRealizedProfit": money_text(row.unrealized_units),
            "liquidationPrice": self._liquidation_text(owner, desk),
            "isolatedMargin": "0",
            "notional": money_text(row.notional_units),
            "marginAsset": symbol.instrument.margin_asset,
            "isolatedWallet": "0",
            "initialMargin": money_text(row.initial_units),
            "maintMargin": money_text(row.maintenance_units),
            "positionInitialMargin": money_text(row.position_initial_units),
            "openOrderInitialMargin": money_text(row.order_initial_units),
            "adl": 1 if position.lots else 0,
            "bidNotional": money_text(row.bid_units),
            "askNotional": money_text(row.ask_units),
            "updateTime": position.update_time_ms,
        }

    def _position_v2(self, owner: PaperAccount, desk: Desk) -> Body:
        symbol, position, row = desk.symbol, owner.position(desk.name), symbol_margin(owner, desk.marks)
        return {
            "symbol": desk.name,
            "positionAmt": quantity_text(symbol, position.lots),
            "entryPrice": plain(entry_price(symbol, position)),
            "breakEvenPrice": plain(break_even_price(symbol, position)),
            "markPrice": mark_text(symbol, desk.mark_half_ticks),
            "unRealizedProfit": money_text(row.unrealized_units),
            "liquidationPrice": self._liquidation_text(owner, desk),
            "leverage": str(position.leverage),
            "maxNotionalValue": plain_units(notional_cap_units(symbol.brackets, position.leverage)),
            "marginType": "cross",
            "isolatedMargin": "0.00000000",
            "isAutoAddMargin": "false",
            "positionSide": "BOTH",
            "notional": money_text(row.notional_units),
            "isolatedWallet": "0",
            "updateTime": position.update_time_ms,
            "isolated": False,
            "adlQuantile": 1 if position.lots else 0,
        }

    def balances(self, account: str, params: Params, now_ms: int, version: int = 3) -> list[Body]:
        """Return the balance of the margin asset."""
        self.advance(now_ms)
        owner = self.account_of(account)
        margin = self.settlement.margin(owner)
        available = money_text(margin.available_units)
        return [
            {
                "accountAlias": f"paper-{owner.name}",
                "asset": owner.asset,
                "balance": money_text(owner.wallet_units),
                "crossWalletBalance": money_text(owner.wallet_units),
                "crossUnPnl": money_text(margin.unrealized_units),
                "availableBalance": available,
                "maxWithdrawAmount": money_text(max(0, min(margin.available_units, owner.wallet_units))),
                "marginAvailable": True,
                "updateTime": owner.update_time_ms,
            }
        ]

    def account_information(self, account: str, params: Params, now_ms: int, version: int = 3) -> Body:
        """Return the account: version 3 lists symbols with a position or orders, version 2 every symbol."""
        self.advance(now_ms)
        owner = self.account_of(account)
        margin = self.settlement.margin(owner)
        amounts = _margin_amounts(owner, margin)
        body: Body = {}
        if version == 2:
            body = {
                "feeTier": 0,
                "feeBurn": False,
                "canTrade": True,
                "canDeposit": True,
                "canWithdraw": True,
                "updateTime": 0,
                "multiAssetsMargin": False,
                "tradeGroupId": -1,
            }
        body |= {f"total{name[0].upper()}{name[1:]}": value for name, value in amounts.items()}
        body["availableBalance"] = money_text(margin.available_units)
        body["maxWithdrawAmount"] = money_text(max(0, min(margin.available_units, owner.wallet_units)))
        asset = {"asset": owner.asset, **amounts}
        asset["availableBalance"], asset["maxWithdrawAmount"] = body["availableBalance"], body["maxWithdrawAmount"]
        body["assets"] = [{**asset, "marginAvailable": True, "updateTime": owner.update_time_ms}]
        body["positions"] = [
            self._account_position(owner, desk, version)
            for desk in self.desks.values()
            if desk.has_quote and (version == 2 or owner.position(desk.name).lots or owner.open_on(desk.name))
        ]
        return body

    def _account_position(self, owner: PaperAccount, desk: Desk, version: int) -> Body:
        symbol, position, row = desk.symbol, owner.position(desk.name), symbol_margin(owner, desk.marks)
        body = {
            "symbol": desk.name,
            "positionSide": "BOTH",
            "positionAmt": quantity_text(symbol, position.lots),
            "unrealizedProfit": money_text(row.unrealized_units),
            "isolatedMargin": "0.00000000",
            "notional": money_text(row.notional_units),
            "isolatedWallet": "0",
            "initialMargin": money_text(row.initial_units),
            "maintMargin": money_text(row.maintenance_units),
            "updateTime": position.update_time_ms,
        }
        if version == 2:
            body |= _position_extras(desk, owner, row)
        return body

    # settings --------------------------------------------------------------------------------------------------------

    def symbol_config(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return margin type and leverage by symbol."""
        self.advance(now_ms)
        owner = self.account_of(account)
        rows = []
        for desk in self._wanted(params):
            leverage = owner.position(desk.name).leverage
            cap = plain_units(notional_cap_units(desk.symbol.brackets, leverage))
            rows.append(
                {
                    "symbol": desk.name,
                    "marginType": "CROSSED",
                    "isAutoAddMargin": False,
                    "leverage": leverage,
                    "maxNotionalValue": cap,
                }
            )
        return rows

    def account_config(self, account: str, params: Params, now_ms: int) -> Body:
        """Return the account's modes."""
        self.advance(now_ms)
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "dualSidePosition": False,
            "updateTime": 0,
            "multiAssetsMargin": False,
            "tradeGroupId": -1,
        }

    def position_mode(self, account: str, params: Params, now_ms: int) -> Body:
        """Return the position mode: one-way."""
        self.advance(now_ms)
        return {"dualSidePosition": False}

    def multi_assets_mode(self, account: str, params: Params, now_ms: int) -> Body:
        """Return the multi-assets mode: off."""
        self.advance(now_ms)
        return {"multiAssetsMargin": False}

    def commission_rate(self, account: str, params: Params, now_ms: int) -> Body:
        """Return the account's fee rates on a symbol."""
        self.advance(now_ms)
        item = self.desk_of(params.get("symbol")).symbol.instrument
        maker, taker = (plain(Decimal(rate).scaleb(-8)) for rate in (item.maker_fee_rate, item.taker_fee_rate))
        return {
            "symbol": item.symbol,
            "makerCommissionRate": maker,
            "takerCommissionRate": taker,
            "rpiCommissionRate": "0",
        }

    def leverage_brackets(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return the leverage brackets of a symbol, or of all."""
        self.advance(now_ms)
        rows: list[Body] = []
        for desk in self._wanted(params):
            brackets = [
                {
                    "bracket": row.number,
                    "initialLeverage": row.max_leverage,
                    "notionalCap": row.cap_units // 10**8,
                    "notionalFloor": row.floor_units // 10**8,
                    "maintMarginRatio": row.maintenance_rate / RATE_SCALE,
                    "cum": row.cum_units / 10**8,
                }
                for row in desk.symbol.brackets
            ]
            rows.append({"symbol": desk.name, "notionalCoef": 1.0, "brackets": brackets})
        return rows


def _page(rows: Sequence[_Row], limit: int, oldest_first: bool) -> Sequence[_Row]:
    """Return one page: the first rows where the request says from where on, else the newest; ascending either way."""
    return rows[:limit] if oldest_first else rows[-limit:]


def _margin_amounts(owner: PaperAccount, margin: AccountMargin) -> dict[str, str]:
    return {
        "initialMargin": money_text(margin.initial_units),
        "maintMargin": money_text(margin.maintenance_units),
        "walletBalance": money_text(owner.wallet_units),
        "unrealizedProfit": money_text(margin.unrealized_units),
        "marginBalance": money_text(margin.balance_units),
        "positionInitialMargin": money_text(margin.position_initial_units),
        "openOrderInitialMargin": money_text(margin.order_initial_units),
        "crossWalletBalance": money_text(owner.wallet_units),
        "crossUnPnl": money_text(margin.unrealized_units),
    }


def _position_extras(desk: Desk, owner: PaperAccount, row: SymbolMargin) -> Body:
    position = owner.position(desk.name)
    return {
        "positionInitialMargin": money_text(row.position_initial_units),
        "openOrderInitialMargin": money_text(row.order_initial_units),
        "leverage": str(position.leverage),
        "isolated": False,
        "entryPrice": plain(entry_price(desk.symbol, position)),
        "breakEvenPrice": plain(break_even_price(desk.symbol, position)),
        "maxNotional": plain_units(notional_cap_units(desk.symbol.brackets, position.leverage)),
        "bidNotional": money_text(row.bid_units),
        "askNotional": money_text(row.ask_units),
    }

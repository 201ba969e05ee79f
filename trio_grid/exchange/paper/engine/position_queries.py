"""Owns the answers about what an account has and how it is set: positions, balances, margins, modes, brackets.

It must never change anything but time: every question first lets the market come to its moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from trio_grid.domain.instrument import RATE_SCALE
from trio_grid.exchange.paper.engine.account import PaperAccount
from trio_grid.exchange.paper.engine.account_settings import AccountSettings
from trio_grid.exchange.paper.engine.brackets import notional_cap_units
from trio_grid.exchange.paper.engine.deleveraging import quantile
from trio_grid.exchange.paper.engine.desk import Desk
from trio_grid.exchange.paper.engine.margin import AccountMargin, PositionMargin, liquidation_price, position_margin
from trio_grid.exchange.paper.engine.records import PositionSide
from trio_grid.exchange.paper.engine.symbols import plain
from trio_grid.exchange.paper.engine.trading import plain_units
from trio_grid.exchange.paper.engine.wire import (
    break_even_price,
    entry_price,
    mark_text,
    money_text,
    quantity_text,
)

Params = Mapping[str, str]
Body = dict[str, Any]


class PositionQueries(AccountSettings):
    """Questions about positions, balances and settings."""

    def wanted(self, params: Params) -> list[Desk]:
        """Return the desk of the symbol that a request names, or all of them."""
        return [self.desk_of(params["symbol"])] if params.get("symbol") else list(self.desks.values())

    # positions -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _rows(owner: PaperAccount, desk: Desk, version: int) -> Iterator[tuple[PositionSide, PositionMargin]]:
        """Yield a symbol's positions: version 3 only where there is one or an open order, version 2 all of them."""
        orders = owner.open_on(desk.name).values()
        for side in owner.sides if desk.has_quote else ():
            if version == 2 or owner.position(desk.name, side).lots or any(o.position_side is side for o in orders):
                yield side, position_margin(owner, desk.marks, side)

    def position_risk(self, account: str, params: Params, now_ms: int, version: int = 3) -> list[Body]:
        """Return positions: version 3 only where there is one or an open order, version 2 for every symbol."""
        self.advance(now_ms)
        owner, body = self.account_of(account), self._position_v2 if version == 2 else self._position_v3
        return [
            body(owner, desk, side, row)
            for desk in self.wanted(params)
            for side, row in self._rows(owner, desk, version)
        ]

    def _liquidation_text(self, owner: PaperAccount, desk: Desk, side: PositionSide) -> str:
        price = liquidation_price(owner, self.settlement.marks(), desk.name, side)
        return plain(price) if price > 0 else "0"

    def _position_v3(self, owner: PaperAccount, desk: Desk, side: PositionSide, row: PositionMargin) -> Body:
        symbol, position = desk.symbol, owner.position(desk.name, side)
        return {
            "symbol": desk.name,
            "positionSide": side.value,
            "positionAmt": quantity_text(symbol, position.lots),
            "entryPrice": plain(entry_price(symbol, position)),
            "breakEvenPrice": plain(break_even_price(symbol, position)),
            "markPrice": mark_text(symbol, desk.mark_half_ticks),
            "unRealizedProfit": money_text(row.unrealized_units),
            "liquidationPrice": self._liquidation_text(owner, desk, side),
            "isolatedMargin": _isolated_text(row, position.isolated_units + row.unrealized_units),
            "notional": money_text(row.notional_units),
            "marginAsset": symbol.instrument.margin_asset,
            "isolatedWallet": _isolated_text(row, position.isolated_units),
            "initialMargin": money_text(row.initial_units),
            "maintMargin": money_text(row.maintenance_units),
            "positionInitialMargin": money_text(row.position_initial_units),
            "openOrderInitialMargin": money_text(row.order_initial_units),
            "adl": quantile(self.settlement, desk, owner, side),
            "bidNotional": money_text(row.bid_units),
            "askNotional": money_text(row.ask_units),
            "updateTime": position.update_time_ms,
        }

    def _position_v2(self, owner: PaperAccount, desk: Desk, side: PositionSide, row: PositionMargin) -> Body:
        symbol, position, leverage = desk.symbol, owner.position(desk.name, side), owner.setting(desk.name).leverage
        isolated = position.isolated_units + row.unrealized_units if row.isolated else 0
        return {
            "symbol": desk.name,
            "positionAmt": quantity_text(symbol, position.lots),
            "entryPrice": plain(entry_price(symbol, position)),
            "breakEvenPrice": plain(break_even_price(symbol, position)),
            "markPrice": mark_text(symbol, desk.mark_half_ticks),
            "unRealizedProfit": money_text(row.unrealized_units),
            "liquidationPrice": self._liquidation_text(owner, desk, side),
            "leverage": str(leverage),
            "maxNotionalValue": plain_units(notional_cap_units(symbol.brackets, leverage)),
            "marginType": "isolated" if row.isolated else "cross",
            "isolatedMargin": money_text(isolated),
            "isAutoAddMargin": "false",
            "positionSide": side.value,
            "notional": money_text(row.notional_units),
            "isolatedWallet": _isolated_text(row, position.isolated_units),
            "updateTime": position.update_time_ms,
            "isolated": row.isolated,
            "adlQuantile": quantile(self.settlement, desk, owner, side),
        }

    # balances --------------------------------------------------------------------------------------------------------

    def balances(self, account: str, params: Params, now_ms: int, version: int = 3) -> list[Body]:
        """Return the balance of the margin asset."""
        self.advance(now_ms)
        owner = self.account_of(account)
        margin = self.settlement.margin(owner)
        return [
            {
                "accountAlias": f"paper-{owner.name}",
                "asset": owner.asset,
                "balance": money_text(margin.wallet_units),
                "crossWalletBalance": money_text(margin.cross_wallet_units),
                "crossUnPnl": money_text(margin.cross_unrealized_units),
                "availableBalance": money_text(margin.available_units),
                "maxWithdrawAmount": _withdrawable(margin),
                "marginAvailable": True,
                "updateTime": owner.update_time_ms,
            }
        ]

    def account_information(self, account: str, params: Params, now_ms: int, version: int = 3) -> Body:
        """Return the account: version 3 lists symbols with a position or orders, version 2 every symbol."""
        self.advance(now_ms)
        owner = self.account_of(account)
        margin = self.settlement.margin(owner)
        amounts = _margin_amounts(margin)
        body: Body = {}
        if version == 2:
            body = {
                "feeTier": 0,
                "feeBurn": owner.fee_burn,
                "canTrade": True,
                "canDeposit": True,
                "canWithdraw": True,
                "updateTime": 0,
                "multiAssetsMargin": owner.multi_assets,
                "tradeGroupId": -1,
            }
        body |= {f"total{name[0].upper()}{name[1:]}": value for name, value in amounts.items()}
        body["availableBalance"] = money_text(margin.available_units)
        body["maxWithdrawAmount"] = _withdrawable(margin)
        asset = {"asset": owner.asset, **amounts}
        asset["availableBalance"], asset["maxWithdrawAmount"] = body["availableBalance"], body["maxWithdrawAmount"]
        body["assets"] = [{**asset, "marginAvailable": True, "updateTime": owner.update_time_ms}]
        body["positions"] = [
            _account_position(owner, desk, side, row, version)
            for desk in self.desks.values()
            for side, row in self._rows(owner, desk, version)
        ]
        return body

    # settings --------------------------------------------------------------------------------------------------------

    def symbol_config(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return margin type and leverage by symbol."""
        self.advance(now_ms)
        owner = self.account_of(account)
        rows = []
        for desk in self.wanted(params):
            setting = owner.setting(desk.name)
            cap = plain_units(notional_cap_units(desk.symbol.brackets, setting.leverage))
            rows.append(
                {
                    "symbol": desk.name,
                    "marginType": "ISOLATED" if setting.isolated else "CROSSED",
                    "isAutoAddMargin": False,
                    "leverage": setting.leverage,
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
            "dualSidePosition": self.account_of(account).hedge,
            "updateTime": 0,
            "multiAssetsMargin": self.account_of(account).multi_assets,
            "tradeGroupId": -1,
        }

    def position_mode(self, account: str, params: Params, now_ms: int) -> Body:
        """Return the position mode: hedge or one-way."""
        self.advance(now_ms)
        return {"dualSidePosition": self.account_of(account).hedge}

    def multi_assets_mode(self, account: str, params: Params, now_ms: int) -> Body:
        """Return the multi-assets mode: on or off."""
        self.advance(now_ms)
        return {"multiAssetsMargin": self.account_of(account).multi_assets}

    def fee_burn(self, account: str, params: Params, now_ms: int) -> Body:
        """Return whether fees are to be paid in BNB."""
        self.advance(now_ms)
        return {"feeBurn": self.account_of(account).fee_burn}

    def trading_status(self, account: str, params: Params, now_ms: int) -> Body:
        """Return the quantitative rules that an account has come near to: there are none here, so it never has."""
        self.advance(now_ms)
        self.wanted(params)
        return {"indicators": {}, "updateTime": self.now_ms}

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
        for desk in self.wanted(params):
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


def _isolated_text(row: PositionMargin, units: int) -> str:
    """Return an isolated amount; a cross position has a bare 0, by which clients tell the two apart."""
    return money_text(units) if row.isolated else "0"


def _withdrawable(margin: AccountMargin) -> str:
    return money_text(max(0, min(margin.available_units, margin.cross_wallet_units)))


def _margin_amounts(margin: AccountMargin) -> dict[str, str]:
    return {
        "initialMargin": money_text(margin.initial_units),
        "maintMargin": money_text(margin.maintenance_units),
        "walletBalance": money_text(margin.wallet_units),
        "unrealizedProfit": money_text(margin.unrealized_units),
        "marginBalance": money_text(margin.balance_units),
        "positionInitialMargin": money_text(margin.position_initial_units),
        "openOrderInitialMargin": money_text(margin.order_initial_units),
        "crossWalletBalance": money_text(margin.cross_wallet_units),
        "crossUnPnl": money_text(margin.cross_unrealized_units),
    }


def _account_position(owner: PaperAccount, desk: Desk, side: PositionSide, row: PositionMargin, version: int) -> Body:
    symbol, position = desk.symbol, owner.position(desk.name, side)
    isolated = position.isolated_units + row.unrealized_units if row.isolated else 0
    body = {
        "symbol": desk.name,
        "positionSide": side.value,
        "positionAmt": quantity_text(symbol, position.lots),
        "unrealizedProfit": money_text(row.unrealized_units),
        "isolatedMargin": money_text(isolated),
        "notional": money_text(row.notional_units),
        "isolatedWallet": _isolated_text(row, position.isolated_units),
        "initialMargin": money_text(row.initial_units),
        "maintMargin": money_text(row.maintenance_units),
        "updateTime": position.update_time_ms,
    }
    if version == 2:
        leverage = owner.setting(desk.name).leverage
        body |= {
            "positionInitialMargin": money_text(row.position_initial_units),
            "openOrderInitialMargin": money_text(row.order_initial_units),
            "leverage": str(leverage),
            "isolated": row.isolated,
            "entryPrice": plain(entry_price(symbol, position)),
            "breakEvenPrice": plain(break_even_price(symbol, position)),
            "maxNotional": plain_units(notional_cap_units(symbol.brackets, leverage)),
            "bidNotional": money_text(row.bid_units),
            "askNotional": money_text(row.ask_units),
        }
    return body

"""Owns the commands that change an account's settings: leverage, margin type, isolated margin, modes.

It must never change what an account owns. A refused command has changed nothing and told nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trio_grid.domain.instrument import money_units
from trio_grid.exchange.paper.engine.account import DAY_MS, PaperAccount
from trio_grid.exchange.paper.engine.amendments import Amendments
from trio_grid.exchange.paper.engine.brackets import notional_cap_units
from trio_grid.exchange.paper.engine.desk import Desk
from trio_grid.exchange.paper.engine.isolated import addable_units, note_move, removable_units
from trio_grid.exchange.paper.engine.order_rules import (
    decimal_of,
    flag_of,
    limit_of,
    position_side_of,
    text_of,
    whole_of,
)
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.engine.settlement import UserEvent
from trio_grid.exchange.paper.engine.symbols import MONEY_DIGITS, decimals
from trio_grid.exchange.paper.engine.trading import plain_units
from trio_grid.exchange.paper.engine.wire import move_body

Params = Mapping[str, str]
Body = dict[str, Any]

DONE: Body = {"code": 200, "msg": "success"}
MOVES_WINDOW_MS = 30 * DAY_MS
"""positionMargin/history answers for at most thirty days in one request."""


class AccountSettings(Amendments):
    """Settings."""

    def _tell_config(self, account: str, change: Body) -> None:
        payload = {"e": "ACCOUNT_CONFIG_UPDATE", "E": self.now_ms, "T": self.now_ms, **change}
        self.settlement.events.append(UserEvent(account, "ACCOUNT_CONFIG_UPDATE", self.now_ms, payload))

    # leverage and margin type ----------------------------------------------------------------------------------------

    def change_leverage(self, account: str, params: Params, now_ms: int) -> Body:
        """Set a symbol's leverage; refused if the margin or the bracket does not allow it.

        An isolated position keeps its wallet, so less leverage is refused while there is one (-4161).
        """
        self.advance(now_ms)
        desk, owner = self.desk_of(params.get("symbol")), self.account_of(account)
        text_of(params, "leverage")
        leverage = whole_of(params, "leverage") or 0
        cap = notional_cap_units(desk.symbol.brackets, leverage) if leverage >= 1 else 0
        if cap == 0:
            raise Refusal.BAD_LEVERAGE.refuse(leverage)
        setting = owner.setting(desk.name)
        if setting.isolated and leverage < setting.leverage and self._holds(owner, desk):
            raise Refusal.ISOLATED_LEVERAGE.refuse()
        before, setting.leverage = setting.leverage, leverage
        if desk.has_quote and (self._holds(owner, desk) or owner.open_on(desk.name)):
            margin = self.settlement.margin(owner)
            worst = max(row.worst_units for (name, _), row in margin.rows.items() if name == desk.name)
            if worst > cap or (leverage < before and margin.free_units < 0):
                setting.leverage = before
                refusal = Refusal.MAX_POSITION if worst > cap else Refusal.MAX_LEVERAGE_RATIO
                raise refusal.refuse()
        self._tell_config(account, {"ac": {"s": desk.name, "l": leverage}})
        return {"leverage": leverage, "maxNotionalValue": plain_units(cap), "symbol": desk.name}

    @staticmethod
    def _holds(owner: PaperAccount, desk: Desk) -> bool:
        return any(owner.position(desk.name, side).lots for side in owner.sides)

    def change_margin_type(self, account: str, params: Params, now_ms: int) -> Body:
        """Set a symbol's margin type, ISOLATED or CROSSED; only where there is neither order nor position."""
        self.advance(now_ms)
        desk, owner = self.desk_of(params.get("symbol")), self.account_of(account)
        wanted = text_of(params, "marginType")
        if wanted not in ("CROSSED", "ISOLATED"):
            raise Refusal.BAD_PARAMETER.refuse("marginType")
        setting, isolated = owner.setting(desk.name), wanted == "ISOLATED"
        if isolated and owner.multi_assets:
            raise Refusal.ISOLATED_MULTI_ASSETS.refuse()
        if setting.isolated is isolated:
            raise Refusal.SAME_MARGIN_TYPE.refuse()
        if self.has_orders(owner, desk.name):
            raise Refusal.MARGIN_TYPE_ORDERS.refuse()
        if self._holds(owner, desk):
            raise Refusal.MARGIN_TYPE_POSITION.refuse()
        setting.isolated = isolated
        self.settlement.tell_account(owner, "MARGIN_TYPE_CHANGE", 0, self.now_ms, (desk.name,))
        return dict(DONE)

    # isolated margin -------------------------------------------------------------------------------------------------

    def change_position_margin(self, account: str, params: Params, now_ms: int) -> Body:
        """Move margin by hand: type 1 gives the cross wallet's money to an isolated position, type 2 takes it back."""
        self.advance(now_ms)
        desk, owner = self.desk_of(params.get("symbol")), self.account_of(account)
        amount = decimal_of(params, "amount")
        text_of(params, "type")
        kind = whole_of(params, "type")
        if kind not in (1, 2):
            raise Refusal.BAD_PARAMETER.refuse("type")
        side = position_side_of(params)
        if side not in owner.sides:
            raise Refusal.POSITION_SIDE.refuse()
        if amount <= 0:
            raise Refusal.AMOUNT_NOT_POSITIVE.refuse()
        if decimals(amount) > MONEY_DIGITS:
            raise Refusal.PRECISION.refuse()
        if not owner.setting(desk.name).isolated:
            raise Refusal.NOT_ISOLATED.refuse()
        position = owner.position(desk.name, side)
        if position.lots == 0:
            raise Refusal.MARGIN_NO_POSITION.refuse()
        units = money_units(amount)
        if kind == 1 and units > addable_units(owner, self.settlement.marks()):
            raise Refusal.CROSS_BALANCE.refuse()
        if kind == 2 and units > removable_units(owner, desk.marks, side):
            raise Refusal.ISOLATED_BALANCE.refuse()
        moved = units if kind == 1 else -units
        position.isolated_units += moved
        position.update_time_ms = self.now_ms
        note_move(owner, desk.name, side, moved, "USER_ADJUST", self.now_ms)
        self.settlement.tell_account(owner, "MARGIN_TRANSFER", 0, self.now_ms, (desk.name,))
        return {"amount": float(amount), "code": 200, "msg": "Successfully modify position margin.", "type": kind}

    def position_margin_history(self, account: str, params: Params, now_ms: int) -> list[Body]:
        """Return the movements of a symbol's isolated margin, ascending, of a window of at most thirty days."""
        self.advance(now_ms)
        desk, owner = self.desk_of(params.get("symbol")), self.account_of(account)
        limit, kind = limit_of(params, 500, 1000), whole_of(params, "type")
        if kind not in (None, 1, 2):
            raise Refusal.BAD_PARAMETER.refuse("type")
        start, end = whole_of(params, "startTime"), whole_of(params, "endTime")
        if start is not None and end is not None and not start <= end <= start + MOVES_WINDOW_MS:
            raise Refusal.BAD_PARAMETER.refuse("startTime")
        last = end if end is not None else self.now_ms if start is None else start + MOVES_WINDOW_MS
        first = last - MOVES_WINDOW_MS if start is None else start
        rows = [
            move_body(move, owner.asset)
            for move in owner.moves
            if move.symbol == desk.name and first <= move.time_ms <= last and kind in (None, 1 if move.units > 0 else 2)
        ]
        return rows[:limit] if start is not None else rows[-limit:]

    # modes -----------------------------------------------------------------------------------------------------------

    def change_position_mode(self, account: str, params: Params, now_ms: int) -> Body:
        """Set one-way or hedge mode for every symbol; only where there is neither order nor position."""
        self.advance(now_ms)
        owner = self.account_of(account)
        text_of(params, "dualSidePosition")
        wanted = flag_of(params, "dualSidePosition")
        if wanted is owner.hedge:
            raise Refusal.SAME_POSITION_SIDE.refuse()
        if self.has_orders(owner):
            raise Refusal.POSITION_SIDE_ORDERS.refuse()
        if next(owner.held(), None) is not None:
            raise Refusal.POSITION_SIDE_POSITION.refuse()
        owner.hedge = wanted
        return dict(DONE)

    def change_multi_assets(self, account: str, params: Params, now_ms: int) -> Body:
        """Set multi-assets mode; accounts own one asset, so it changes only what may be isolated: nothing."""
        self.advance(now_ms)
        owner = self.account_of(account)
        text_of(params, "multiAssetsMargin")
        wanted = flag_of(params, "multiAssetsMargin")
        if wanted is owner.multi_assets:
            raise Refusal.SAME_MULTI_ASSETS.refuse()
        if wanted and any(setting.isolated for setting in owner.settings.values()):
            raise Refusal.MULTI_ASSETS_ISOLATED.refuse()
        if self.has_orders(owner):
            raise Refusal.MULTI_ASSETS_ORDERS.refuse()
        owner.multi_assets = wanted
        self._tell_config(account, {"ai": {"j": wanted}})
        return dict(DONE)

    def change_fee_burn(self, account: str, params: Params, now_ms: int) -> Body:
        """Set whether fees are to be paid in BNB. Accounts own none, and then fees stay in the margin asset."""
        self.advance(now_ms)
        text_of(params, "feeBurn")
        self.account_of(account).fee_burn = flag_of(params, "feeBurn")
        return dict(DONE)

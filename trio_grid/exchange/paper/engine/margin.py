"""Owns the margin arithmetic of cross positions: unrealized PnL, initial and maintenance margin, liquidation price.

It must never change anything. Mark prices are in half ticks (best bid + best ask), amounts in units of 1e-8.
The formulas are those of the exchange's documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import msgspec

from trio_grid.domain.events import Side
from trio_grid.domain.instrument import RATE_SCALE
from trio_grid.exchange.paper.engine.account import PaperAccount, round_half_even
from trio_grid.exchange.paper.engine.brackets import bracket_at, maintenance_units
from trio_grid.exchange.paper.engine.records import Position
from trio_grid.exchange.paper.engine.symbols import PaperSymbol


class Marks(msgspec.Struct, frozen=True):
    """A symbol together with its mark price in half ticks."""

    symbol: PaperSymbol
    half_ticks: int


class SymbolMargin(msgspec.Struct, frozen=True):
    """Margin of one position and its open orders; notionals at mark, all in money units."""

    notional_units: int
    unrealized_units: int
    bid_units: int
    ask_units: int
    position_initial_units: int
    order_initial_units: int
    maintenance_units: int

    @property
    def initial_units(self) -> int:
        """Initial margin of position and open orders together."""
        return self.position_initial_units + self.order_initial_units


class AccountMargin(msgspec.Struct, frozen=True):
    """Margin of the whole account. `available_units` is never negative; `free_units` may be."""

    wallet_units: int
    unrealized_units: int
    position_initial_units: int
    order_initial_units: int
    maintenance_units: int
    by_symbol: dict[str, SymbolMargin]

    @property
    def balance_units(self) -> int:
        """Margin balance: wallet + unrealized PnL."""
        return self.wallet_units + self.unrealized_units

    @property
    def initial_units(self) -> int:
        """Initial margin of all positions and open orders."""
        return self.position_initial_units + self.order_initial_units

    @property
    def free_units(self) -> int:
        """Margin balance less initial margins."""
        return self.balance_units - self.initial_units

    @property
    def available_units(self) -> int:
        """What new orders may use."""
        return max(0, self.free_units)


def notional_at_mark(symbol: PaperSymbol, lots: int, half_ticks: int) -> int:
    """Return |lots| x mark in money units, rounded half even where half a tick times a lot is not whole."""
    return round_half_even(abs(lots) * half_ticks * symbol.unit, 2)


def unrealized_units(position: Position, marks: Marks) -> int:
    """Return the position's PnL at mark."""
    if position.lots == 0:
        return 0
    value = notional_at_mark(marks.symbol, position.lots, marks.half_ticks)
    return value - position.cost_units if position.lots > 0 else position.cost_units - value


def symbol_margin(
    account: PaperAccount, marks: Marks, *, extra_side: Side | None = None, extra_units: int = 0
) -> SymbolMargin:
    """Return the margin on one symbol, with an order of `extra_units` notional on `extra_side` thought to be open.

    Open orders count on the heavier side; reduce-only orders need no margin.
    """
    symbol = marks.symbol
    position = account.position(symbol.name)
    bids = asks = 0
    for order in account.open_on(symbol.name).values():
        if order.reduce_only:
            continue
        amount = order.price_ticks * order.remaining_lots * symbol.unit
        if order.side is Side.BUY:
            bids += amount
        else:
            asks += amount
    if extra_side is Side.BUY:
        bids += extra_units
    elif extra_side is Side.SELL:
        asks += extra_units
    value = notional_at_mark(symbol, position.lots, marks.half_ticks)
    signed = value if position.lots >= 0 else -value
    heavier = max(abs(signed + bids), abs(signed - asks), value)
    position_initial = -(-value // position.leverage)
    return SymbolMargin(
        notional_units=signed,
        unrealized_units=unrealized_units(position, marks),
        bid_units=bids,
        ask_units=asks,
        position_initial_units=position_initial,
        order_initial_units=-(-heavier // position.leverage) - position_initial,
        maintenance_units=maintenance_units(symbol.brackets, value),
    )


def account_margin(
    account: PaperAccount, marks: Mapping[str, Marks], *, extra: tuple[str, Side, int] | None = None
) -> AccountMargin:
    """Return the account's margin over all symbols that it has a position or open orders on."""
    rows: dict[str, SymbolMargin] = {}
    for name, mark in marks.items():
        wanted = extra is not None and extra[0] == name
        held = account.positions.get(name)
        if not wanted and not (held and held.lots) and not account.open_orders.get(name):
            continue
        if extra is not None and wanted:
            rows[name] = symbol_margin(account, mark, extra_side=extra[1], extra_units=extra[2])
        else:
            rows[name] = symbol_margin(account, mark)
    return AccountMargin(
        wallet_units=account.wallet_units,
        unrealized_units=sum(row.unrealized_units for row in rows.values()),
        position_initial_units=sum(row.position_initial_units for row in rows.values()),
        order_initial_units=sum(row.order_initial_units for row in rows.values()),
        maintenance_units=sum(row.maintenance_units for row in rows.values()),
        by_symbol=rows,
    )


def health(account: PaperAccount, marks: Mapping[str, Marks]) -> tuple[int, int]:
    """Return (margin balance, maintenance margin); cheaper than the whole margin, for every step of the market."""
    balance, maintenance = account.wallet_units, 0
    for name, position in account.positions.items():
        mark = marks.get(name)
        if position.lots and mark is not None:
            value = notional_at_mark(mark.symbol, position.lots, mark.half_ticks)
            balance += value - position.cost_units if position.lots > 0 else position.cost_units - value
            maintenance += maintenance_units(mark.symbol.brackets, value)
    return balance, maintenance


def liquidation_price(account: PaperAccount, marks: Mapping[str, Marks], name: str) -> Decimal:
    """Return the mark price at which margin balance = maintenance margin, other symbols held still; 0 if there is none.

    Long: L = (cost - wallet - others - cum) / (lots x (1 - rate)); short: L = (cost + wallet + others + cum) /
    (lots x (1 + rate)), with the bracket that belongs to lots x L.
    """
    mark, position = marks[name], account.position(name)
    if position.lots == 0:
        return Decimal(0)
    total = account_margin(account, marks)
    own = total.by_symbol[name]
    others = total.unrealized_units - own.unrealized_units - (total.maintenance_units - own.maintenance_units)
    symbol, long = mark.symbol, position.lots > 0
    for bracket in reversed(symbol.brackets):
        cash = account.wallet_units + others + bracket.cum_units
        margin_part = position.cost_units - cash if long else position.cost_units + cash
        scale = RATE_SCALE - bracket.maintenance_rate if long else RATE_SCALE + bracket.maintenance_rate
        value = Decimal(margin_part) * RATE_SCALE / scale
        if value <= 0:
            continue
        if bracket_at(symbol.brackets, int(value)) is bracket:
            ticks = value / (abs(position.lots) * symbol.unit)
            rounding = ROUND_CEILING if long else ROUND_FLOOR
            return (ticks * symbol.instrument.tick_size).quantize(Decimal("0.00000001"), rounding=rounding)
    return Decimal(0)

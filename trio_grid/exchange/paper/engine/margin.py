"""Owns the margin arithmetic: unrealized PnL, initial and maintenance margin, liquidation price, cross and isolated.

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
from trio_grid.exchange.paper.engine.brackets import Bracket, bracket_at, maintenance_units
from trio_grid.exchange.paper.engine.records import Position, PositionSide
from trio_grid.exchange.paper.engine.symbols import PaperSymbol

Place = tuple[str, PositionSide]
"""Where a position is: its symbol and its side."""


class Marks(msgspec.Struct, frozen=True):
    """A symbol together with its mark price in half ticks."""

    symbol: PaperSymbol
    half_ticks: int


class ExtraOrder(msgspec.Struct, frozen=True):
    """An order that is thought to be open: what would it cost?"""

    symbol: str
    position_side: PositionSide
    side: Side
    notional_units: int


class PositionMargin(msgspec.Struct, frozen=True):
    """Margin of one position and the open orders of its side; notionals at mark, all in money units."""

    isolated: bool
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

    @property
    def worst_units(self) -> int:
        """The largest notional that the position can come to by its open orders."""
        return max(abs(self.notional_units + self.bid_units), abs(self.notional_units - self.ask_units))


class AccountMargin(msgspec.Struct, frozen=True):
    """Margin of the whole account. `available_units` is never negative; `free_units` may be.

    What is named `cross` leaves isolated positions out; everything else has them in.
    """

    wallet_units: int
    cross_wallet_units: int
    rows: dict[Place, PositionMargin]

    def _sum(self, name: str, *, isolated: bool | None = None) -> int:
        chosen = (row for row in self.rows.values() if isolated is None or row.isolated is isolated)
        return sum(getattr(row, name) for row in chosen)

    @property
    def unrealized_units(self) -> int:
        """Unrealized PnL of all positions."""
        return self._sum("unrealized_units")

    @property
    def cross_unrealized_units(self) -> int:
        """Unrealized PnL of the cross positions."""
        return self._sum("unrealized_units", isolated=False)

    @property
    def position_initial_units(self) -> int:
        """Initial margin of all positions."""
        return self._sum("position_initial_units")

    @property
    def order_initial_units(self) -> int:
        """Initial margin of all open orders."""
        return self._sum("order_initial_units")

    @property
    def isolated_order_units(self) -> int:
        """Initial margin of the open orders of isolated symbols: it waits in the cross wallet."""
        return self._sum("order_initial_units", isolated=True)

    @property
    def maintenance_units(self) -> int:
        """Maintenance margin of all positions."""
        return self._sum("maintenance_units")

    @property
    def cross_maintenance_units(self) -> int:
        """Maintenance margin of the cross positions."""
        return self._sum("maintenance_units", isolated=False)

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
        """Cross margin balance less the initial margins of what is cross and of isolated open orders."""
        cross = self.cross_wallet_units + self.cross_unrealized_units
        return cross - self._sum("initial_units", isolated=False) - self.isolated_order_units

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


def position_margin(
    account: PaperAccount, marks: Marks, place: PositionSide = PositionSide.BOTH, extra: ExtraOrder | None = None
) -> PositionMargin:
    """Return the margin of one position of a symbol, with an extra order thought to be open.

    Open orders count on the heavier side; reduce-only orders need no margin.
    """
    symbol, setting = marks.symbol, account.setting(marks.symbol.name)
    position = account.position(symbol.name, place)
    notionals = {Side.BUY: 0, Side.SELL: 0}
    for order in account.open_on(symbol.name).values():
        if not order.reduce_only and order.position_side is place:
            notionals[order.side] += order.price_ticks * order.remaining_lots * symbol.unit
    if extra is not None:
        notionals[extra.side] += extra.notional_units
    bids, asks = notionals[Side.BUY], notionals[Side.SELL]
    value = notional_at_mark(symbol, position.lots, marks.half_ticks)
    signed = value if position.lots >= 0 else -value
    heavier = max(abs(signed + bids), abs(signed - asks), value)
    position_initial = -(-value // setting.leverage)
    return PositionMargin(
        isolated=setting.isolated,
        notional_units=signed,
        unrealized_units=unrealized_units(position, marks),
        bid_units=bids,
        ask_units=asks,
        position_initial_units=position_initial,
        order_initial_units=-(-heavier // setting.leverage) - position_initial,
        maintenance_units=maintenance_units(symbol.brackets, value),
    )


def account_margin(
    account: PaperAccount, marks: Mapping[str, Marks], *, extra: ExtraOrder | None = None
) -> AccountMargin:
    """Return the account's margin over all symbols that it has a position or open orders on."""
    rows: dict[Place, PositionMargin] = {}
    for name, mark in marks.items():
        for side in account.sides:
            wanted = extra is not None and (extra.symbol, extra.position_side) == (name, side)
            if wanted or account.open_orders.get(name) or account.position(name, side).lots:
                rows[name, side] = position_margin(account, mark, side, extra if wanted else None)
    return AccountMargin(account.wallet_units, account.cross_units, rows)


class Health(msgspec.Struct, frozen=True):
    """What decides on liquidations: (margin balance, maintenance margin) of the cross wallet and isolated positions."""

    cross: tuple[int, int]
    isolated: dict[Place, tuple[int, int]]


def health(account: PaperAccount, marks: Mapping[str, Marks]) -> Health:
    """Return the account's health; cheaper than the whole margin, for every step of the market."""
    balance, maintenance = account.cross_units, 0
    isolated: dict[Place, tuple[int, int]] = {}
    for name, side, position in account.held():
        mark = marks.get(name)
        if mark is None:
            continue
        value = notional_at_mark(mark.symbol, position.lots, mark.half_ticks)
        profit = value - position.cost_units if position.lots > 0 else position.cost_units - value
        needed = maintenance_units(mark.symbol.brackets, value)
        if account.setting(name).isolated:
            isolated[name, side] = (position.isolated_units + profit, needed)
        else:
            balance += profit
            maintenance += needed
    return Health((balance, maintenance), isolated)


def liquidation_price(
    account: PaperAccount, marks: Mapping[str, Marks], name: str, place: PositionSide = PositionSide.BOTH
) -> Decimal:
    """Return the mark price at which margin balance = maintenance margin, other symbols held still; 0 if there is none.

    An isolated position stands alone with its own wallet; cross positions of one symbol (hedge mode has two) share the
    cross wallet and have one price. At the price P: cash + sum(lots x P) - sum(signed cost) = sum(|lots| x P x rate -
    cum), each position with the bracket that belongs to its notional at P.
    """
    mark = marks[name]
    if account.position(name, place).lots == 0:
        return Decimal(0)
    if account.setting(name).isolated:
        positions, cash = [account.position(name, place)], account.position(name, place).isolated_units
    else:
        positions = [row for symbol, _, row in account.held() if symbol == name]
        state = health(account, marks)
        own = health_of(positions, mark)
        cash = state.cross[0] - own[0] - (state.cross[1] - own[1])
    return _price_of(mark.symbol, positions, cash)


def health_of(positions: list[Position], mark: Marks) -> tuple[int, int]:
    """Return (unrealized PnL, maintenance margin) of positions of one symbol."""
    values = [notional_at_mark(mark.symbol, position.lots, mark.half_ticks) for position in positions]
    needed = sum(maintenance_units(mark.symbol.brackets, value) for value in values)
    return sum(unrealized_units(position, mark) for position in positions), needed


def _price_of(symbol: PaperSymbol, positions: list[Position], cash: int) -> Decimal:
    """Solve for the price: every position has to be in the bracket that was reckoned with."""
    net = sum(position.lots for position in positions)
    cost = sum(position.cost_units if position.lots > 0 else -position.cost_units for position in positions)
    largest = max(abs(position.lots) for position in positions)
    for bracket in reversed(symbol.brackets):
        ticks = Decimal(bracket.cap_units) / (largest * symbol.unit)
        rows = _brackets_at(symbol, positions, ticks)
        # The largest position's bracket is tried; those of the others follow from the price that it gives.
        for _ in positions:
            weight = sum(abs(p.lots) * row.maintenance_rate for p, row in zip(positions, rows, strict=True))
            weight -= net * RATE_SCALE
            if weight == 0:
                break
            room = cash - cost + sum(row.cum_units for row in rows)
            ticks = Decimal(room) * RATE_SCALE / (Decimal(weight) * symbol.unit)
            before, rows = rows, _brackets_at(symbol, positions, ticks)
            if ticks > 0 and rows == before:
                rounding = ROUND_CEILING if net > 0 else ROUND_FLOOR
                return (ticks * symbol.instrument.tick_size).quantize(Decimal("0.00000001"), rounding=rounding)
    return Decimal(0)


def _brackets_at(symbol: PaperSymbol, positions: list[Position], ticks: Decimal) -> list[Bracket]:
    return [bracket_at(symbol.brackets, int(ticks * abs(row.lots) * symbol.unit)) for row in positions]

"""Owns one account's money: wallet, positions, income; every change of the wallet has its income row.

It must never round twice: a position's cost is exact, a realized PnL is rounded once to 1e-8 and the rounding stays
with the position, so that from flat to flat the realized PnL sums up to the cash exactly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

from trio_grid.domain.instrument import RATE_SCALE
from trio_grid.exchange.paper.engine.records import (
    Amendment,
    Income,
    MarginMove,
    PaperOrder,
    PaperTrade,
    Position,
    PositionSide,
    SymbolSetting,
)
from trio_grid.exchange.paper.engine.symbols import PaperSymbol

DAY_MS = 86_400_000
UNFILLED_MEMORY_MS = 3 * DAY_MS
"""Cancelled or expired orders without a trade are forgotten after this, as on the real exchange."""
MEMORY_MS = 90 * DAY_MS
"""Everything else that is closed is forgotten after this."""
MOST_ORDERS, MOST_TRADES, MOST_INCOME, MOST_MOVES = 100_000, 100_000, 200_000, 100_000
"""Beyond these the oldest closed ones are forgotten earlier, so that no run grows without end."""
MOST_AMENDMENTS = 2_000
"""How many amendments of an account are remembered; they are all in the exchange's file."""


def round_half_even(numerator: int, denominator: int) -> int:
    """Return numerator / denominator as the nearest whole number, ties to even; the denominator is positive."""
    quotient, rest = divmod(numerator, denominator)
    if rest * 2 > denominator or (rest * 2 == denominator and quotient % 2 == 1):
        quotient += 1
    return quotient


def fee_units(notional_units: int, rate: int) -> int:
    """Return a fee, rounded half even to the unit; `rate` in parts of 1e-8."""
    return round_half_even(notional_units * rate, RATE_SCALE)


class PaperAccount:
    """Wallet, positions, orders, trades and income of one account, in one margin asset.

    `wallet_units` is all of the money; the part that isolated positions hold for themselves is not `cross_units`.
    """

    def __init__(self, name: str, asset: str, leverage: int) -> None:
        self.name = name
        self.asset = asset
        self.leverage = leverage
        self.hedge = self.multi_assets = self.fee_burn = False
        self.wallet_units = 0
        self.settings: dict[str, SymbolSetting] = {}
        self.positions: dict[str, dict[PositionSide, Position]] = {}
        self.open_orders: dict[str, dict[int, PaperOrder]] = {}
        self.orders: dict[str, dict[int, PaperOrder]] = {}
        self.trades: dict[str, deque[PaperTrade]] = {}
        self.income: deque[Income] = deque()
        self.amendments: deque[Amendment] = deque(maxlen=MOST_AMENDMENTS)
        self.moves: deque[MarginMove] = deque()
        self.margin_calls: set[str] = set()
        self.update_time_ms = 0

    @property
    def cross_units(self) -> int:
        """The cross wallet: all of the money but what isolated positions hold."""
        isolated = sum(row.isolated_units for sides in self.positions.values() for row in sides.values())
        return self.wallet_units - isolated

    @property
    def sides(self) -> tuple[PositionSide, ...]:
        """The positions that a symbol has in the account's mode: one, or in hedge mode a long and a short one."""
        return (PositionSide.LONG, PositionSide.SHORT) if self.hedge else (PositionSide.BOTH,)

    def setting(self, symbol: str) -> SymbolSetting:
        """Return the account's leverage and margin type on a symbol."""
        found = self.settings.get(symbol)
        if found is None:
            found = self.settings[symbol] = SymbolSetting(leverage=self.leverage)
        return found

    def position(self, symbol: str, side: PositionSide = PositionSide.BOTH) -> Position:
        """Return the account's position on a symbol; it exists from the first question on."""
        sides = self.positions.setdefault(symbol, {})
        found = sides.get(side)
        if found is None:
            found = sides[side] = Position()
        return found

    def held(self) -> Iterator[tuple[str, PositionSide, Position]]:
        """Yield every position that is not flat."""
        for symbol, sides in self.positions.items():
            for side, position in sides.items():
                if position.lots:
                    yield symbol, side, position

    def open_on(self, symbol: str) -> dict[int, PaperOrder]:
        """Return the open orders on a symbol by order id, oldest first."""
        return self.open_orders.setdefault(symbol, {})

    def add_order(self, order: PaperOrder) -> None:
        """Take a new order into the books."""
        self.orders.setdefault(order.symbol, {})[order.order_id] = order
        self.open_on(order.symbol)[order.order_id] = order

    def close_order(self, order: PaperOrder) -> None:
        """Take a terminal order out of the open ones."""
        self.open_on(order.symbol).pop(order.order_id, None)

    def book_income(self, income: Income) -> None:
        """Change the wallet by an income row; there is no other way to change it."""
        self.wallet_units += income.units
        self.income.append(income)
        self.update_time_ms = income.time_ms

    def apply_trade(
        self,
        symbol: PaperSymbol,
        signed_lots: int,
        price_ticks: int,
        time_ms: int,
        side: PositionSide = PositionSide.BOTH,
    ) -> int:
        """Move the position by a trade and return the realized PnL in money units, before the fee.

        An increase averages the entry, a reduction leaves it and realizes, a reversal does both at its price.
        """
        position = self.position(symbol.name, side)
        position.update_time_ms = time_ms
        held, unit = position.lots, symbol.unit
        position.lots += signed_lots
        if held == 0 or (held > 0) == (signed_lots > 0):
            position.cost_units += abs(signed_lots) * price_ticks * unit
            return 0
        closing = min(abs(held), abs(signed_lots))
        share = round_half_even(position.cost_units * closing, abs(held))
        proceeds = closing * price_ticks * unit
        realized = proceeds - share if held > 0 else share - proceeds
        opening = abs(signed_lots) - closing
        position.cost_units += opening * price_ticks * unit - share
        position.realized_units += realized
        return realized

    def forget(self, now_ms: int) -> None:
        """Drop what the exchange no longer shows: unfilled closed orders after 3 days, the rest after 90."""
        for orders in self.orders.values():
            gone = [
                order.order_id
                for order in orders.values()
                if not order.is_open
                and now_ms - order.update_time_ms > (MEMORY_MS if order.executed_lots else UNFILLED_MEMORY_MS)
            ]
            for order_id in gone:
                del orders[order_id]
            surplus = len(orders) - MOST_ORDERS
            for order_id in [row.order_id for row in orders.values() if not row.is_open][: max(0, surplus)]:
                del orders[order_id]
        for trades in self.trades.values():
            while trades and (len(trades) > MOST_TRADES or now_ms - trades[0].time_ms > MEMORY_MS):
                trades.popleft()
        while self.amendments and now_ms - self.amendments[0].time_ms > MEMORY_MS:
            self.amendments.popleft()
        while self.income and (len(self.income) > MOST_INCOME or now_ms - self.income[0].time_ms > MEMORY_MS):
            self.income.popleft()
        while self.moves and (len(self.moves) > MOST_MOVES or now_ms - self.moves[0].time_ms > MEMORY_MS):
            self.moves.popleft()

    def latest_income(self, count: int) -> list[Income]:
        """Return the newest income rows, oldest first."""
        return list(islice(self.income, max(0, len(self.income) - count), None))

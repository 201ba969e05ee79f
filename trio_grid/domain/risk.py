"""What may be done when: the permission table, worst-case exposure, and the limits as threshold prices.

Exits are exempt from every filter (R10): no market reading appears in the closing column.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from trio_grid.domain.events import Liquidity, RegimeReading, Trend
from trio_grid.domain.inputs import Condition, TradingState
from trio_grid.domain.settings import GridSettings
from trio_grid.domain.slot import Use


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the permission table: what a circumstance forbids."""

    name: str
    stops: tuple[Use, ...] = (Use.LONG, Use.SHORT)
    cancels_resting: bool = True
    stops_closings: bool = False


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision may do. Cancels are always permitted; `reasons` names every row that closed a door."""

    opens: tuple[Use, ...]
    closes: bool
    cancels_openings: tuple[Use, ...]
    reasons: tuple[str, ...] = ()

    def may_open(self, use: Use) -> bool:
        """Return whether new openings of a use are permitted."""
        return use in self.opens


_CONDITION_DOORS: dict[Condition, Door] = {
    Condition.STARTING: Door(name="starting: not reconciled yet", cancels_resting=False, stops_closings=True),
    Condition.USER_STREAM_DOWN: Door(name="user stream is down", cancels_resting=False, stops_closings=True),
    Condition.USER_STREAM_SILENT: Door(name="user stream is silent"),
    Condition.PRICE_STALE: Door(name="price is stale"),
    Condition.KLINES_STALE: Door(name="klines are stale"),
    Condition.PAUSED: Door(name="paused by the operator"),
    # What becomes of the orders that rest is for the exit policy to say: `keep` keeps them.
    Condition.STOPPING: Door(name="stopping", cancels_resting=False),
    Condition.FILTERS_CHANGED: Door(name="the exchange changed the symbol's filters"),
}


def closed_doors(
    state: TradingState, conditions: Iterable[Condition], reading: RegimeReading | None, settings: GridSettings
) -> tuple[Door, ...]:
    """Return every row of the table that applies, in a fixed order."""
    doors = [_CONDITION_DOORS[condition] for condition in sorted(conditions)]
    if state is TradingState.HALTED:
        doors.append(Door(name="halted by a safety rule", cancels_resting=False, stops_closings=True))
    elif state is TradingState.REDUCING:
        doors.append(Door(name="reducing"))
    if reading is None:
        # A session begins without one: the ladder that rests from the last session stays until the market is read.
        doors.append(Door(name="no regime reading yet", cancels_resting=False))
    elif reading.stale:
        doors.append(Door(name="regime reading is stale"))
    else:
        doors.extend(_regime_doors(reading, settings))
    return tuple(doors)


def _regime_doors(reading: RegimeReading, settings: GridSettings) -> Iterable[Door]:
    if settings.use_trend_filter and reading.trend is Trend.BULL:
        yield Door(name="trend filter: BULL", stops=(Use.SHORT,))
    if settings.use_trend_filter and reading.trend is Trend.BEAR:
        yield Door(name="trend filter: BEAR", stops=(Use.LONG,))
    if settings.use_liquidity_filter and reading.liquidity is Liquidity.THIN:
        yield Door(name="liquidity filter: THIN")
    if settings.use_anomaly_brake and reading.brake:
        # The brake sees a falling price on heavy volume: it is buying into the fall that has to stop.
        yield Door(name="anomaly brake", stops=(Use.LONG,))


def permissions(
    state: TradingState, conditions: Iterable[Condition], reading: RegimeReading | None, settings: GridSettings
) -> Permissions:
    """Return what the permission table permits: each door only takes away."""
    doors = closed_doors(state, conditions, reading, settings)
    return Permissions(
        opens=tuple(use for use in Use if not any(use in door.stops for door in doors)),
        closes=not any(door.stops_closings for door in doors),
        cancels_openings=tuple(use for use in Use if any(use in door.stops and door.cancels_resting for door in doors)),
        reasons=tuple(door.name for door in doors),
    )


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """Lots that may still change the position, summed over all unsettled orders (F4)."""

    position_lots: int
    buy_lots: int
    sell_lots: int
    reduce_only_buy_lots: int
    reduce_only_sell_lots: int

    @property
    def worst_long_lots(self) -> int:
        """Position if every unsettled BUY fills; reduce-only ones stop at zero."""
        reducible = min(self.reduce_only_buy_lots, max(0, -self.position_lots))
        return self.position_lots + reducible + self.buy_lots

    @property
    def worst_short_lots(self) -> int:
        """Position, counted downwards, if every unsettled SELL fills; reduce-only ones stop at zero."""
        reducible = min(self.reduce_only_sell_lots, max(0, self.position_lots))
        return -self.position_lots + reducible + self.sell_lots

    def worst_lots(self, use: Use) -> int:
        """Return the worst case in the direction of a use."""
        return self.worst_long_lots if use is Use.LONG else self.worst_short_lots

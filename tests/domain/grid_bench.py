"""A bench for tests of the domain core: a grid's state, an honest exchange, and the actions between them.

The bench does what the manager and the services do in the live system: apply an input, decide in the same breath, keep
the journal rows, hand the actions out. Nothing is sent by itself: a test takes what waits in `actions`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tests.domain.honest_exchange import HonestExchange
from trio_grid.domain.actions import Action, CancelOrder, PlaceOrder
from trio_grid.domain.client_order_id import OrderIdParts, decode
from trio_grid.domain.events import (
    Liquidity,
    OrderUpdate,
    RegimeReading,
    Trend,
    Volatility,
)
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import (
    Condition,
    ConditionChanged,
    Decision,
    Input,
    JournalRecord,
    LatticeAnchored,
    SessionStarted,
    TradingState,
)
from trio_grid.domain.instrument import Instrument, PriceTicks, QuantityLots
from trio_grid.domain.settings import GridSettings, LatticeSettings, Mode, Spacing
from trio_grid.domain.slot import InventorySlot, OrderStatus, Role, SlotOrder
from trio_grid.testing.instruments import BTCUSDT

BOT = "k3Jx9a"
START_MS = 1_700_000_000_000
ANCHOR = 600_000
"""Ticks of 0.10: a price of 60,000."""
INTERVAL = 500
LEVEL_LOTS = 10

INSTRUMENT = msgspec.structs.replace(
    BTCUSDT,
    min_price_ticks=PriceTicks(1),
    max_price_ticks=PriceTicks(10_000_000),
    max_quantity_lots=QuantityLots(1_000),
    max_market_quantity_lots=QuantityLots(500),
)
LATTICE = LatticeSettings(spacing=Spacing.ARITHMETIC, interval_ticks=INTERVAL)
SETTINGS = GridSettings(
    mode=Mode.LONG,
    lattice=LATTICE,
    levels_below=3,
    levels_above=3,
    skew_milli=0,
    base_per_level_lots=QuantityLots(LEVEL_LOTS),
    size_by_volatility=False,
)
READING = RegimeReading(
    close_time_ms=START_MS,
    trend=Trend.RANGE,
    volatility=Volatility.NORMAL,
    liquidity=Liquidity.NORMAL,
    brake=False,
    stale=False,
    atr_ticks=100,
    size_factor_milli=1_000,
    rsi_milli=50_000,
)


def settings(mode: Mode = Mode.LONG, **changes: Any) -> GridSettings:
    """Return the bench's settings with changes."""
    return msgspec.structs.replace(SETTINGS, mode=mode, **changes)


def instrument(**changes: Any) -> Instrument:
    """Return the bench's instrument with changes."""
    return msgspec.structs.replace(INSTRUMENT, **changes)


def reading(**changes: Any) -> RegimeReading:
    """Return a calm reading with changes."""
    return msgspec.structs.replace(READING, **changes)


class Bench:
    """One grid and its exchange. `half` is the last price, in half ticks (2 x a price in ticks)."""

    def __init__(
        self,
        chosen: GridSettings = SETTINGS,
        units: Instrument = INSTRUMENT,
        *,
        orders: int = 1_000,
        baseline_lots: int = 0,
    ) -> None:
        self.state = GridState.fresh()
        self.settings, self.units = chosen, units
        self.exchange = HonestExchange(baseline_lots)
        self.rows: list[JournalRecord] = []
        self.actions: list[Action] = []
        self.all_actions: list[Action] = []
        self.now_ms = START_MS
        self.half: int | None = None
        self.orders = orders
        self.refill_at_ms = START_MS
        self.session = 0
        self.notices: list[str] = []
        self.start(baseline_lots)

    # The way of an input --------------------------------------------------------------------------------------------

    def tell(self, *entries: Input) -> list[Action]:
        """Apply inputs, decide at the last price, and return the new actions."""
        for entry in entries:
            self.rows.append(self.state.apply(entry, self.now_ms))
            self.notices += self.state.grid.notices
        return self.decide()

    def decide(self) -> list[Action]:
        """Decide at the last price; return the new actions."""
        if self.half is None:
            return []
        row = self.state.decide(self.half, self.now_ms, self.orders, self.refill_at_ms)
        if row is None:
            return []
        self.rows.append(row)
        assert isinstance(row.entry, Decision)
        self.notices += row.entry.notices
        self.actions += row.entry.actions
        self.all_actions += row.entry.actions
        return list(row.entry.actions)

    def price(self, ticks: float) -> list[Action]:
        """Let the price (in ticks; halves are possible) become this one; return the new actions."""
        self.half = round(2 * ticks)
        if self.state.grid.fields.anchor_ticks is None:
            return self.tell(LatticeAnchored(anchor_ticks=PriceTicks(self.half // 2)))
        return self.decide()

    def pass_time(self, ms: int) -> list[Action]:
        """Let time pass, and decide again; return the new actions."""
        self.now_ms += ms
        return self.decide()

    # Sessions -------------------------------------------------------------------------------------------------------

    def start(self, baseline_lots: int | None = None, chosen: GridSettings | None = None) -> None:
        """Begin a session, without a reading and with STARTING."""
        self.session += 1
        self.settings = chosen or self.settings
        first = self.session == 1
        self.half = None
        self.actions.clear()
        self.tell(
            SessionStarted(
                bot_id=BOT,
                session=self.session,
                instrument=self.units,
                settings=self.settings,
                baseline_lots=baseline_lots if first else None,
                trade_watermark=0 if first else None,
            )
        )

    def restart(self, chosen: GridSettings | None = None) -> None:
        """Let the process die and start again from the image."""
        image = self.state.image()
        self.state = GridState.from_image(image)
        assert self.state.image() == image
        self.start(chosen=chosen)

    def open_door(self, at: float = ANCHOR, **changes: Any) -> list[Action]:
        """Give the first price and a reading, and end STARTING; return the actions that follow."""
        self.price(at)
        self.tell(reading(**changes))
        return self.tell(ConditionChanged(condition=Condition.STARTING, active=False))

    # The exchange ---------------------------------------------------------------------------------------------------

    def deliver(self) -> list[Action]:
        """Send what waits; the exchange accepts everything and answers. Return what follows from the answers."""
        sent, self.actions = self.actions, []
        followed: list[Action] = []
        for action in sent:
            if isinstance(action, PlaceOrder):
                followed += self.tell(self.exchange.accept(action))
            else:
                followed += self.tell(self.exchange.cancel(action.client_order_id))
        return followed

    def settle(self) -> None:
        """Deliver until nothing waits any more."""
        for _ in range(100):
            if not self.actions:
                return
            self.deliver()
        raise AssertionError("the grid does not come to rest")

    def ladder(self, at: float = ANCHOR, **changes: Any) -> None:
        """Open the door and let the whole ladder be placed."""
        self.open_door(at, **changes)
        self.settle()

    def fill(self, rung: int, lots: int | None = None) -> list[Action]:
        """Fill the order of a slot (wholly, or some lots) and report it; return what follows."""
        return self.tell(self.fill_silently(rung, lots))

    def fill_and_settle(self, *rungs: int) -> None:
        """Fill the orders of these slots one after the other, and deliver all that follows."""
        for rung in rungs:
            self.fill(rung)
            self.settle()

    def fill_silently(self, rung: int, lots: int | None = None) -> OrderUpdate:
        """Fill the order of a slot without telling the grid; return the report."""
        return self.exchange.fill(self.order(rung).client_order_id, lots)

    # Looks ----------------------------------------------------------------------------------------------------------

    def slot(self, rung: int) -> InventorySlot:
        """Return a slot that must exist."""
        slot = self.state.grid.book.get(rung)
        assert slot is not None, f"slot {rung} is not in use"
        return slot

    def order(self, rung: int) -> SlotOrder:
        """Return the order of a slot, which must have one."""
        order = self.slot(rung).order
        assert order is not None, f"slot {rung} has no order"
        return order

    def status(self, rung: int) -> OrderStatus:
        """Return the status of a slot's order; FREE if nothing is known of the slot."""
        slot = self.state.grid.book.get(rung)
        return OrderStatus.FREE if slot is None else slot.status

    def resting(self, role: Role = Role.OPEN) -> dict[int, int]:
        """Return price by rung of all unsettled orders of a role."""
        slots = self.state.grid.book.in_order()
        return {s.rung: s.order.price_ticks or 0 for s in slots if s.order is not None and s.order.role is role}

    def trading_state(self) -> TradingState:
        """Return the trading state. A method, so that a type checker does not take it for constant."""
        return self.state.grid.fields.trading_state

    def check_books(self) -> None:
        """Assert that inventory, position and rows agree with the exchange, and that the rows replay to this state."""
        grid = self.state.grid
        assert grid.position_lots == self.exchange.position_lots
        for slot in grid.book.in_order():
            assert slot.inventory_lots == traded_lots(self.exchange, slot), slot
        replayed = GridState.fresh()
        for row in self.rows:
            replayed.replay(row)
        assert replayed.image() == self.state.image()


def traded_lots(exchange: HonestExchange, slot: InventorySlot, only: set[int] | None = None) -> int:
    """Return the inventory of a slot as the exchange's trades have it; `only` names the trades that count."""
    lots = 0
    for trade in exchange.trades:
        if only is not None and trade.trade_id not in only:
            continue
        parts = decode(trade.client_order_id)
        if parts is not None and parts.bot == BOT and parts.rung == slot.rung:
            lots += trade.side.sign * slot.use.sign * trade.quantity_lots
    return lots


def parts_of(action: Action) -> OrderIdParts:
    """Return what the id of an action says."""
    parts = decode(action.client_order_id)
    assert parts is not None
    return parts


def placed(actions: list[Action]) -> dict[int, PlaceOrder]:
    """Return the placements among actions, by rung."""
    return {parts_of(action).rung: action for action in actions if isinstance(action, PlaceOrder)}


def cancelled(actions: list[Action]) -> list[int]:
    """Return the rungs whose orders are to be cancelled, ascending."""
    return sorted(parts_of(action).rung for action in actions if isinstance(action, CancelOrder))


def rung_price(rung: int) -> int:
    """Return the bench lattice's price of a rung, in ticks."""
    return ANCHOR + rung * INTERVAL

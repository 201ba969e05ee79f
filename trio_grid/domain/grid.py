"""The grid's books: every field of the state, its derived indices, and the questions a plan asks of them.

The fields are changed by the reducer's parts alone (`grid_state`, `booking`); a strategy only reads. Derived figures
are sums kept up to date by `SlotBook`, so that none of the questions here costs more when there are more slots.
"""

from __future__ import annotations

import enum

import msgspec

from trio_grid.domain.candidates import Candidates, window_at
from trio_grid.domain.events import Event, RegimeReading
from trio_grid.domain.inputs import Condition, TradingState
from trio_grid.domain.instrument import Instrument
from trio_grid.domain.lattice import Lattice
from trio_grid.domain.ledger import Ledger
from trio_grid.domain.risk import Exposure, Permissions, permissions
from trio_grid.domain.settings import GridSettings, Mode
from trio_grid.domain.slot import InventorySlot, Use
from trio_grid.domain.slot_book import ExitKind, SlotBook
from trio_grid.errors import InvariantBroken

SETTLED_REMEMBERED = 1_024
"""Client order ids of settled orders that are still recognised, so that a late duplicate is not taken for a stray."""
STRAYS_REMEMBERED = 256


class Trigger(enum.StrEnum):
    """How far the trigger price has come into play."""

    WAITING = "WAITING"
    ARMED_ABOVE = "ARMED_ABOVE"
    """The market stood at or above the trigger price; it fires when the price is at or below it."""
    ARMED_BELOW = "ARMED_BELOW"
    FIRED = "FIRED"


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """What happened so far, for reports; no decision depends on them."""

    orders_placed: int = 0
    orders_refused: int = 0
    cancels: int = 0
    fills: int = 0
    foreign_fills: int = 0
    duplicate_trades: int = 0
    stale_corrections: int = 0
    unknown_outcomes: int = 0
    never_existed: int = 0
    adopted: int = 0


class Suspicion(msgspec.Struct, frozen=True):
    """A position difference that was seen once."""

    difference_lots: int
    seen_at_ms: int


class Fields(Event, frozen=True, kw_only=True):
    """Every field of the state that is not a slot: what an image holds beside them."""

    sequence: int = 0
    bot_id: str = ""
    session: int = 0
    generation: int = 0
    instrument: Instrument | None = None
    settings: GridSettings | None = None
    anchor_ticks: int | None = None
    trading_state: TradingState = TradingState.ACTIVE
    flatten: bool = False
    state_reason: str = ""
    conditions: tuple[Condition, ...] = (Condition.STARTING,)
    reading: RegimeReading | None = None
    stride: int = 1
    stride_changed_at_ms: int = 0
    centre: int | None = None
    trigger: Trigger = Trigger.WAITING
    ledger: Ledger = Ledger()
    cash_ticks_lots: int = 0
    peak_realized_units: int = 0
    baseline_lots: int = 0
    foreign_lots: int = 0
    trade_watermark: int = 0
    booked_trades: tuple[int, ...] = ()
    settled: tuple[tuple[str, int], ...] = ()
    strays: tuple[tuple[str, int], ...] = ()
    position_question: bool = False
    suspicion: Suspicion | None = None
    last_booking: int = 0
    counters: Counters = Counters()


class Grid:
    """The live books of one grid. `fields` is replaced, never changed; slots are replaced one by one (R7)."""

    def __init__(self, fields: Fields | None = None, slots: tuple[InventorySlot, ...] = ()) -> None:
        self.fields = Fields() if fields is None else fields
        self.booked = set(self.fields.booked_trades)
        self.settled = dict(self.fields.settled)
        # Orders of ours that no slot has, with the lots of theirs that were booked: the reconciler asks about them.
        self.strays = dict(self.fields.strays)
        self.stamp = self.fields.sequence
        self.notices: list[str] = []
        self._lattice: Lattice | None = None
        self._permissions: Permissions | None = None
        self.reload(slots)

    def __repr__(self) -> str:
        """Return the state in one line."""
        symbol = self.fields.instrument.symbol if self.fields.instrument else "?"
        return (
            f"<Grid {symbol} {self.fields.trading_state} slots={len(self.book)}"
            f" unsettled={self.sum('unsettled')} net_lots={self.net_lots}>"
        )

    # Fields ---------------------------------------------------------------------------------------------------------

    def update(self, **changes: object) -> None:
        """Replace fields."""
        self.fields = msgspec.structs.replace(self.fields, **changes)
        self._permissions = None

    def count(self, **increments: int) -> None:
        """Add to the counters."""
        counters = self.fields.counters
        sums = {name: getattr(counters, name) + value for name, value in increments.items()}
        self.fields = msgspec.structs.replace(self.fields, counters=msgspec.structs.replace(counters, **sums))

    def frozen_fields(self) -> Fields:
        """Return the fields with the working sets folded in, in a canonical order."""
        return msgspec.structs.replace(
            self.fields,
            booked_trades=tuple(sorted(self.booked)),
            settled=tuple(self.settled.items()),
            strays=tuple(self.strays.items()),
        )

    @property
    def instrument(self) -> Instrument:
        """The symbol's units and filters; raises InvariantBroken before the first session."""
        if self.fields.instrument is None:
            raise InvariantBroken("the grid was asked for its instrument before a session started")
        return self.fields.instrument

    @property
    def settings(self) -> GridSettings:
        """The operator's settings; raises InvariantBroken before the first session."""
        if self.fields.settings is None:
            raise InvariantBroken("the grid was asked for its settings before a session started")
        return self.fields.settings

    @property
    def lattice(self) -> Lattice | None:
        """The lattice, None until it is anchored."""
        if self._lattice is None and self.fields.anchor_ticks is not None:
            self._lattice = Lattice(self.settings.lattice, self.fields.anchor_ticks)
        return self._lattice

    @property
    def permissions(self) -> Permissions:
        """What the permission table allows now."""
        if self._permissions is None:
            fields = self.fields
            self._permissions = permissions(fields.trading_state, fields.conditions, fields.reading, self.settings)
        return self._permissions

    # Slots ----------------------------------------------------------------------------------------------------------

    def put(self, slot: InventorySlot) -> None:
        """Replace a slot; its version becomes the record that is being written, if anything changed (R8)."""
        if slot.retries and slot.order is None and self.exit_kind(slot) is ExitKind.DUST and not self.in_window(slot):
            # Nothing would ever look at this cell again, so its refusals are not remembered (F24).
            slot = msgspec.structs.replace(slot, retries=0, retry_at_ms=0, reprice_ticks=0)
        old = self.book.get(slot.rung)
        if old is not None and msgspec.structs.replace(slot, version=old.version) == old:
            return
        slot = msgspec.structs.replace(slot, version=self.stamp)
        self.book.put(slot.rung, slot)
        self.candidates.touched(slot)

    def reload(self, slots: tuple[InventorySlot, ...]) -> None:
        """Index the slots anew: what an index says of them depends on instrument and mode, which have changed."""
        self.book = SlotBook(self.exit_kind)
        self.candidates = Candidates(self.book)
        self._lattice = None
        for slot in slots:
            self.book.put(slot.rung, slot)
        self.rebuild_window()

    def new_slot(self, rung: int, stride: int, use: Use) -> InventorySlot:
        """Return an empty slot with the lattice's own prices for its cell."""
        if self.lattice is None:
            raise InvariantBroken("a slot was needed before the lattice was anchored")
        lower, upper = self.lattice.price(rung), self.lattice.price(rung + stride)
        opening, exit_price = (lower, upper) if use is Use.LONG else (upper, lower)
        return InventorySlot(rung=rung, stride=stride, use=use, open_price_ticks=opening, exit_price_ticks=exit_price)

    def exit_kind(self, slot: InventorySlot) -> ExitKind:
        """Return how a slot's inventory can be closed, by the filters and the mode."""
        if slot.inventory_lots < self.instrument.min_quantity_lots:
            return ExitKind.DUST
        notional = self.instrument.notional_units(slot.exit_price_ticks, slot.inventory_lots)
        if self.settings.mode is Mode.NEUTRAL and notional < self.instrument.min_notional_units:
            return ExitKind.SMALL
        return ExitKind.PLAIN

    def rebuild_window(self) -> None:
        """Lay the window out anew: centre, stride, settings, units or sizes changed as a whole."""
        lattice, centre = self.lattice, self.fields.centre
        window = None
        if lattice is not None and centre is not None:
            window = window_at(centre, self.fields.stride, self.settings, lattice)
        self.candidates.rebuild(window, self.worth_opening)
        self.prune_cooling()

    def move_window(self, centre: int) -> None:
        """Move the centre, stride unchanged."""
        if self.lattice is None:
            raise InvariantBroken("the centre moved before the lattice was anchored")
        self.update(centre=centre)
        self.candidates.move(window_at(centre, self.fields.stride, self.settings, self.lattice))
        self.prune_cooling()

    def prune_cooling(self) -> None:
        """Forget refusals of cells that the window no longer has."""
        for _, rung in list(self.book.cooling):
            slot = self.book.get(rung)
            if slot is not None:
                self.put(slot)

    def in_window(self, slot: InventorySlot) -> bool:
        """Return whether the window has this very cell, for this use."""
        window = self.candidates.window
        return window is not None and window.stride == slot.stride and window.use_of(slot.rung) is slot.use

    # Questions ------------------------------------------------------------------------------------------------------

    def sum(self, name: str) -> int:
        """Return one of the slot book's sums."""
        return self.book.sums[name]

    @property
    def net_lots(self) -> int:
        """Long minus short inventory of all slots."""
        return self.sum("inventory_long") - self.sum("inventory_short")

    @property
    def position_lots(self) -> int:
        """The position that the exchange should show: baseline + foreign + net."""
        return self.fields.baseline_lots + self.fields.foreign_lots + self.net_lots

    @property
    def position_missing(self) -> bool:
        """True when foreign trades took part of what the slots hold (long and short mode)."""
        apart = self.fields.baseline_lots + self.fields.foreign_lots
        mode = self.settings.mode
        return (mode is Mode.LONG and apart < 0) or (mode is Mode.SHORT and apart > 0)

    def exposure(self) -> Exposure:
        """Return the sums from which the worst case follows."""
        return Exposure(
            position_lots=self.position_lots,
            buy_lots=self.sum("buy_lots"),
            sell_lots=self.sum("sell_lots"),
            reduce_only_buy_lots=self.sum("reduce_only_buy_lots"),
            reduce_only_sell_lots=self.sum("reduce_only_sell_lots"),
        )

    def worst_lots(self, use: Use) -> int:
        """Return the largest inventory, in the direction of a use, that what is under way can still lead to (F4).

        That is the worst case of the position, and no less than what slots of this use hold or are opening: in neutral
        mode inventory of the other use that has no closing yet lowers the position only until it gets one.
        """
        side = "long" if use is Use.LONG else "short"
        own = self.sum(f"inventory_{side}") + self.sum(f"opening_lots_{side}")
        return max(self.exposure().worst_lots(use), own)

    def reducible_lots(self, use: Use) -> int:
        """Return how many lots further reduce-only closings of a use may have: position less what is under way."""
        return self.position_lots * use.sign - self.reduce_only_lots(use)

    def reduce_only_lots(self, use: Use) -> int:
        """Return how many lots the unsettled reduce-only closings of a use still have."""
        return self.sum("reduce_only_sell_lots" if use is Use.LONG else "reduce_only_buy_lots")

    def order_capacity(self) -> int:
        """Return how many orders of ours may rest at once: the setting, and the filter less a tenth as reserve."""
        limit = self.instrument.max_open_orders
        return min(self.settings.max_open_orders, limit - max(1, limit // 10))

    def open_value(self, use: Use) -> int:
        """Return inventory at entry plus unsettled openings at limit price, in ticks x lots."""
        side = "long" if use is Use.LONG else "short"
        return self.sum(f"entry_{side}") + self.sum(f"opening_value_{side}")

    def level_lots(self, price_ticks: int) -> int:
        """Return the size of an opening at a price: the setting x the volatility factor, floored to the lot."""
        settings, instrument = self.settings, self.instrument
        factor = 1_000
        if settings.size_by_volatility and self.fields.reading is not None:
            factor = self.fields.reading.size_factor_milli
        if settings.base_per_level_lots is not None:
            lots = settings.base_per_level_lots * factor // 1_000
        else:
            units = (settings.quote_per_level_units or 0) * factor // 1_000
            levels = settings.levels_below + settings.levels_above
            units += max(0, self.realized_units) * settings.compounding_milli // (1_000 * levels)
            lots = units // (price_ticks * instrument.tick_lot_units)
        return min(lots, instrument.max_quantity_lots)

    def open_price_ticks(self, rung: int, stride: int, use: Use) -> int:
        """Return the price at which a cell opens."""
        if self.lattice is None:
            raise InvariantBroken("a price was needed before the lattice was anchored")
        return self.lattice.price(rung if use is Use.LONG else rung + stride)

    def why_not_worth_opening(self, rung: int, stride: int, use: Use) -> str | None:
        """Return why a cell is never opened with today's filters, fees and size; None if it may be."""
        lattice, instrument = self.lattice, self.instrument
        if lattice is None:
            return "the lattice has no anchor yet"
        if not lattice.cell_is_viable(rung, stride, instrument.maker_fee_rate):
            return f"the cell is {lattice.cell_width(rung, stride)} ticks wide: not more than one tick plus fees"
        price = self.open_price_ticks(rung, stride, use)
        if not instrument.min_price_ticks <= price <= instrument.max_price_ticks:
            return f"price {instrument.price(price)} is outside the exchange's price filter"
        lots = self.level_lots(price)
        if lots < instrument.min_quantity_lots:
            return (
                f"quantity {instrument.quantity(lots)} is below the minimum"
                f" {instrument.quantity(instrument.min_quantity_lots)}"
            )
        if instrument.notional_units(price, lots) < instrument.min_notional_units:
            return f"notional of {instrument.quantity(lots)} at {instrument.price(price)} is below the minimum"
        return None

    def worth_opening(self, rung: int, stride: int, use: Use) -> bool:
        """Return whether a cell may be opened with today's filters, fees and size."""
        return self.why_not_worth_opening(rung, stride, use) is None

    # Money ----------------------------------------------------------------------------------------------------------

    @property
    def realized_units(self) -> int:
        """Realized grid profit in money units: finished round trips less fees plus funding, in the margin asset."""
        ledger = self.fields.ledger
        trips = ledger.slot_realized_ticks_lots * self.instrument.tick_lot_units
        return (
            trips - ledger.fee_units(self.instrument.margin_asset) + ledger.funding_units(self.instrument.margin_asset)
        )

    def drawdown_bound(self) -> tuple[bool, int] | None:
        """Return the price at which the drawdown limit is hit: (True, t) below t, (False, t) at or above t.

        Equity at a price is cash + net x price, less fees plus funding: linear, so the limit is one threshold in half
        ticks. None: no limit, or no price can hit it.
        """
        limit = self.settings.max_drawdown_units
        if limit is None:
            return None
        unit = self.instrument.tick_lot_units
        trips = self.fields.ledger.slot_realized_ticks_lots * unit
        costs = self.realized_units - trips
        # 2 x equity = (2 x cash + net x half_ticks) x unit + 2 x costs; hit when it is <= 2 x (peak - limit).
        bound = 2 * (self.fields.peak_realized_units - limit - costs - self.fields.cash_ticks_lots * unit)
        slope = self.net_lots * unit
        if slope > 0:
            return True, bound // slope + 1
        if slope < 0:
            return False, -((bound) // -slope)
        return (False, 0) if bound >= 0 else None

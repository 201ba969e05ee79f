"""Owns the eye on the symbol's filters: they can change while the bot runs.

Changed limits and fees are taken over in one step. Changed units (tick size, lot size) begin a new session, which
rescales the books by its first record: no price or quantity in old units may be under way when they change.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from trio_grid.domain.inputs import Condition, FiltersChanged
from trio_grid.domain.instrument import Instrument
from trio_grid.errors import StartRefused, SymbolNotTrading
from trio_grid.services.desk import Desk
from trio_grid.services.log_line import line

log = logging.getLogger(__name__)


class FilterWatch:
    """Compares the exchange's filters with those in use, whenever the reconciler asks it to."""

    def __init__(self, desk: Desk, begin_again: Callable[[], None]) -> None:
        """`begin_again` asks for a new session; it ends this one without touching any order."""
        self._desk = desk
        self._begin_again = begin_again
        self.suspended = False
        """True while the exchange does not trade the symbol: it is to be asked again soon."""

    async def look(self) -> None:
        """Ask for the filters and take changes over.

        Raises:
            StartRefused: the new units do not divide the old ones; says what to do.
            ExchangeError: the question was not answered.
        """
        desk = self._desk
        old = desk.instrument
        try:
            new = await desk.market.instrument(old.symbol)
        except SymbolNotTrading as error:
            self._suspend(error)
            return
        self._resume()
        if new == old:
            return
        if (new.tick_size, new.lot_size) != (old.tick_size, old.lot_size):
            self._change_units(old, new)
            return
        # Orders under way are in the same units, so both sides of the step understand them.
        desk.dispatcher.carry_out(desk.manager.set_filters(FiltersChanged(instrument=new)))
        desk.instrument = new
        desk.dispatcher.carry_out(desk.manager.set_condition(Condition.FILTERS_CHANGED, False, "taken over"))
        changed = [name for name in new.__struct_fields__ if getattr(new, name) != getattr(old, name)]
        log.warning(line("the exchange changed the symbol's filters", changed=",".join(changed)))
        desk.board.alert(f"the exchange changed {', '.join(changed)}")

    def _suspend(self, error: SymbolNotTrading) -> None:
        """Close the door for openings, once; exits go on, which the exchange may still take."""
        if not self.suspended:
            self.suspended = True
            self._desk.board.alert(str(error))
            log.warning(line(str(error)))
            self._desk.dispatcher.carry_out(
                self._desk.manager.set_condition(Condition.FILTERS_CHANGED, True, str(error))
            )

    def _resume(self) -> None:
        if self.suspended:
            self.suspended = False
            self._desk.dispatcher.carry_out(
                self._desk.manager.set_condition(Condition.FILTERS_CHANGED, False, "the symbol is traded again")
            )

    def _change_units(self, old: Instrument, new: Instrument) -> None:
        words = (
            f"the exchange changed the units of {new.symbol}: tick size {old.tick_size} -> {new.tick_size}, lot size"
            f" {old.lot_size} -> {new.lot_size}"
        )
        self._desk.board.alert(words)
        self._desk.dispatcher.carry_out(self._desk.manager.set_condition(Condition.FILTERS_CHANGED, True, words))
        if old.tick_size % new.tick_size or old.lot_size % new.lot_size:
            raise StartRefused(
                f"{words}. The new units do not divide the old ones, so the books cannot be expressed in them: close"
                " what the bot holds by hand, cancel its orders, and begin with a new journal"
            )
        log.warning(line(f"{words}; a new session begins in the new units"))
        self._begin_again()

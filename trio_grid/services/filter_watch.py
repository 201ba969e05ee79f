"""Owns the eye on the symbol's filters: they can change while the bot runs.

Changed limits and fees are taken over in one step. Changed units (tick size, lot size) are not: prices and quantities
of both units would be under way at the same time, so the bot stops in order and is rescaled at its next start.
"""

from __future__ import annotations

import logging

from trio_grid.domain.inputs import Condition, FiltersChanged
from trio_grid.errors import StartRefused
from trio_grid.services.desk import Desk
from trio_grid.services.log_line import line

log = logging.getLogger(__name__)


class FilterWatch:
    """Compares the exchange's filters with those in use, whenever the reconciler asks it to."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def look(self) -> None:
        """Ask for the filters and take changes over.

        Raises:
            StartRefused: the units have changed; says what to do.
            ExchangeError: the question was not answered.
        """
        desk = self._desk
        old, new = desk.instrument, await desk.market.instrument(desk.instrument.symbol)
        if new == old:
            return
        if (new.tick_size, new.lot_size) != (old.tick_size, old.lot_size):
            words = (
                f"the exchange changed the units of {new.symbol}: tick size {old.tick_size} -> {new.tick_size}, lot"
                f" size {old.lot_size} -> {new.lot_size}"
            )
            desk.dispatcher.carry_out(desk.manager.set_condition(Condition.FILTERS_CHANGED, True, words))
            raise StartRefused(
                f"{words}. Start the bot again: its books are rescaled at the start if the new units divide the old"
                " ones; if they do not, close what it holds and begin with a new journal"
            )
        # Orders under way are in the same units, so both sides of the step understand them.
        desk.dispatcher.carry_out(desk.manager.set_filters(FiltersChanged(instrument=new)))
        desk.instrument = new
        desk.dispatcher.carry_out(desk.manager.set_condition(Condition.FILTERS_CHANGED, False, "taken over"))
        changed = [name for name in new.__struct_fields__ if getattr(new, name) != getattr(old, name)]
        log.warning(line("the exchange changed the symbol's filters", changed=",".join(changed)))
        desk.board.alert(f"the exchange changed {', '.join(changed)}")

"""Owns the bundle that every service works with. It holds references only and decides nothing."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from trio_grid.domain.instrument import Instrument
from trio_grid.exchange.interface import Execution, MarketData
from trio_grid.manager import PositionManager
from trio_grid.services.dispatch import Dispatcher
from trio_grid.services.reconnect import Backoff
from trio_grid.services.status_board import StatusBoard


@attrs.define(eq=False)
class Desk:
    """One instrument of one account, its manager and the way of its outcomes.

    `instrument` is replaced, in the same step as the manager's, when the exchange changes its filters. `jitter` returns
    numbers in [0, 1).
    """

    instrument: Instrument
    market: MarketData
    execution: Execution
    manager: PositionManager
    dispatcher: Dispatcher
    board: StatusBoard
    jitter: Callable[[], float]

    def backoff(self) -> Backoff:
        """Return a fresh backoff for one connection."""
        return Backoff(jitter=self.jitter)

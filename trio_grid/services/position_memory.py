"""Owns what the books' position was in the last seconds, so that a reading from then is known for what it is.

The exchange answers questions about positions from replicas, which can lag behind the trades that it has told already.
It must never excuse more than that: a reading that the books never showed is news, however young the last trade is.
"""

from __future__ import annotations

from collections import deque

import trio

from trio_grid.domain.events import OrderUpdate
from trio_grid.domain.inputs import Outcome, TradesWalked
from trio_grid.manager import PositionManager

REPLICA_LAG_S = 10.0
"""How old an answer may be. Longer than any lag that was seen; a difference that is real is told one pass later."""


class PositionMemory:
    """The positions of one session's books and when each was left; `look` watches the outcomes."""

    def __init__(self, manager: PositionManager) -> None:
        self._manager = manager
        self._now_lots = manager.position_lots
        self._left: deque[tuple[float, int]] = deque()

    def look(self, outcome: Outcome) -> None:
        """Take note of a position that trades have just changed."""
        if not any(_has_trades(record.entry) for record in outcome.records):
            return
        lots = self._manager.position_lots
        if lots != self._now_lots:
            self._left.append((trio.current_time(), self._now_lots))
            self._now_lots = lots
        self._forget()

    def was_lately(self, position_lots: int) -> bool:
        """Return whether the books said this, and say something else, within the last seconds."""
        self._forget()
        return position_lots != self._manager.position_lots and any(lots == position_lots for _, lots in self._left)

    def _forget(self) -> None:
        while self._left and trio.current_time() - self._left[0][0] > REPLICA_LAG_S:
            self._left.popleft()


def _has_trades(entry: object) -> bool:
    return isinstance(entry, TradesWalked) or (isinstance(entry, OrderUpdate) and entry.trade is not None)

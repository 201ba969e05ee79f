"""What a fault that happens has to work with: the server, its times, and the accounts as they were.

Owns the copies of accounts that stale reads are answered from; they are made only while such a fault can happen.
"""

from __future__ import annotations

import copy
from collections import deque

from trio_grid.exchange.paper.engine.account import PaperAccount
from trio_grid.exchange.paper.engine.exchange import PaperExchange
from trio_grid.exchange.paper.server.server import PaperServer

MOST_COPIES = 4_096
"""Beyond it the oldest go: a read is then answered from a little later than it should be."""


class Scene:
    """The server that misbehaves."""

    def __init__(self, server: PaperServer) -> None:
        self.server = server
        self.longest_age_ms = 0
        self._copies: deque[tuple[int, dict[str, PaperAccount]]] = deque(maxlen=MOST_COPIES)

    def now_ms(self) -> int:
        """Return the exchange's time."""
        return self.server.clock.now_ms()

    def elapsed_ms(self) -> int:
        """Return the exchange's milliseconds since it began to serve; a jump of its clock does not change them."""
        return self.server.clock.elapsed_ms()

    # Stale reads -----------------------------------------------------------------------------------------------------

    def remember(self, age_ms: int) -> None:
        """Keep copies of the accounts for so long, from now on."""
        self.longest_age_ms = max(self.longest_age_ms, age_ms)
        if not self._copies:
            self.note()

    def note(self) -> None:
        """Keep a copy of the accounts as they are now, if anybody will want to see them."""
        if not self.longest_age_ms:
            return
        now_ms = self.elapsed_ms()
        # The one copy that is older than all ages is what the accounts were at the longest age.
        while len(self._copies) > 1 and self._copies[1][0] <= now_ms - self.longest_age_ms:
            self._copies.popleft()
        self._copies.append((now_ms, copy.deepcopy(self.server.exchange.settlement.accounts)))

    def view(self, exchange: PaperExchange, now_ms: int, age_ms: int) -> PaperExchange:
        """Return the exchange with the accounts of `age_ms` ago; only to be read, and at once."""
        exchange.advance(now_ms)
        then_ms = self.elapsed_ms() - age_ms
        accounts = next((held for at_ms, held in reversed(self._copies) if at_ms <= then_ms), None)
        if accounts is None:
            accounts = self._copies[0][1]
        settlement = copy.copy(exchange.settlement)
        settlement.accounts, settlement.events = accounts, []
        seen = copy.copy(exchange)
        seen.settlement = settlement
        return seen

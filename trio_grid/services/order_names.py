"""Owns the way back from the exchange's order id to the client order id, which its trade records do not carry.

Bounded: what was forgotten is asked of the exchange. It must never guess a name.
"""

from __future__ import annotations

from trio_grid.domain.events import OrderRecord

REMEMBERED = 8_192


class OrderNames:
    """Client order ids by order id, the latest `REMEMBERED` of them."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def learn(self, record: OrderRecord) -> None:
        """Note the two ids of an order."""
        self.remember(record.order_id, record.client_order_id)

    def remember(self, order_id: int, client_order_id: str) -> None:
        """Note the two ids of an order."""
        if order_id not in self._names:
            self._names[order_id] = client_order_id
            if len(self._names) > REMEMBERED:
                del self._names[next(iter(self._names))]

    def get(self, order_id: int) -> str | None:
        """Return the client order id, or None if it is not known here."""
        return self._names.get(order_id)

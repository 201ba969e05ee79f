"""Owns what a resting order gets from the tape: three models of how near the tape must come.

It must never change orders. Common to all three: a trade strictly beyond an order's price fills it whole within its
step, since in price priority nothing could have traded there while it rested. They differ at the order's own price:

- `through`: a trade at the price gives nothing (pessimistic).
- `queue`: strangers' quantity in front of the order at its acceptance has to trade or leave first; after that the
  order gets what is left of each trade, so partial fills happen. A print beyond the price first gives its own quantity
  and the step's end the rest, so that a fill may come in two trades.
- `optimistic`: the first trade at the price fills the order whole.
"""

from __future__ import annotations

from typing import Protocol


class FillModel(Protocol):
    """How a resting order shares in a trade at its own price."""

    name: str

    def queue_lots(self, strangers_lots: int) -> int:
        """Return the queue in front of a new order where strangers hold `strangers_lots` at its price."""
        ...

    def passing_lots(self, remaining_lots: int, print_lots: int) -> int:
        """Return what a print of `print_lots` beyond its price gives an order at once."""
        ...

    def share_lots(self, remaining_lots: int, available_lots: int) -> int:
        """Return what an order with nobody left in front of it gets of a trade at its price."""
        ...


class StrictlyThrough:
    """At the price: nothing."""

    name = "through"

    def queue_lots(self, strangers_lots: int) -> int:
        """No queue is kept."""
        return 0

    def passing_lots(self, remaining_lots: int, print_lots: int) -> int:
        """The whole rest at once."""
        return remaining_lots

    def share_lots(self, remaining_lots: int, available_lots: int) -> int:
        """Nothing at the price."""
        return 0


class QueuePosition:
    """At the price: what is left after the queue."""

    name = "queue"

    def queue_lots(self, strangers_lots: int) -> int:
        """Everybody who is there already is in front."""
        return strangers_lots

    def passing_lots(self, remaining_lots: int, print_lots: int) -> int:
        """What the print's own quantity covers; the step's end gives the rest."""
        return min(remaining_lots, print_lots)

    def share_lots(self, remaining_lots: int, available_lots: int) -> int:
        """What is left of the trade."""
        return min(remaining_lots, available_lots)


class Optimistic:
    """At the price: everything, at once."""

    name = "optimistic"

    def queue_lots(self, strangers_lots: int) -> int:
        """No queue."""
        return 0

    def passing_lots(self, remaining_lots: int, print_lots: int) -> int:
        """The whole rest at once."""
        return remaining_lots

    def share_lots(self, remaining_lots: int, available_lots: int) -> int:
        """The whole rest, whatever the trade's quantity."""
        return remaining_lots


FILL_MODELS: dict[str, FillModel] = {model.name: model for model in (StrictlyThrough(), QueuePosition(), Optimistic())}
"""The models by name."""

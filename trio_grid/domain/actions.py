"""What the bot may ask of the exchange: place one order, or cancel one order. Nothing else exists.

Orders are never amended (R3).
"""

from __future__ import annotations

from trio_grid.domain.events import Event, Side
from trio_grid.domain.instrument import PriceTicks, QuantityLots


class PlaceOrder(Event, frozen=True, kw_only=True):
    """One order to place; `price_ticks` None means MARKET. `post_only` and `reduce_only` reach the wire (S18)."""

    client_order_id: str
    side: Side
    quantity_lots: QuantityLots
    price_ticks: PriceTicks | None
    post_only: bool
    reduce_only: bool

    def __post_init__(self) -> None:
        if type(self.quantity_lots) is not int or self.quantity_lots < 1:
            raise ValueError(f"PlaceOrder.quantity_lots must be at least 1, got {self.quantity_lots!r}")
        if self.price_ticks is not None and (type(self.price_ticks) is not int or self.price_ticks < 1):
            raise ValueError(f"PlaceOrder.price_ticks must be at least 1, got {self.price_ticks!r}")
        if self.post_only and self.price_ticks is None:
            raise ValueError("PlaceOrder.post_only needs a price: a MARKET order always takes")


class CancelOrder(Event, frozen=True, kw_only=True):
    """Cancel one order by its client order id."""

    client_order_id: str


Action = PlaceOrder | CancelOrder

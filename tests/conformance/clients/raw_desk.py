"""What clients without a language of their own share: they name Binance's routes and parameters, and return its bodies.

Owns the operations' needs; each client's script says which of its methods stands for a route.
"""

from decimal import ROUND_DOWN, Decimal
from typing import Any

from harness import NotOffered, NotRaised, Target

SYMBOL = "BTCUSDT"
TICK = Decimal("0.1")
LOT = "0.001"


class RawDesk:
    """One client behind `ask`, which takes a route and Binance's parameter names, and gives Python's own types."""

    target: Target

    def ask(self, route: str, **parameters: Any) -> Any:
        """Call the client's method for a route.

        Raises:
            NotOffered: the client has none.
            Exception: the client's own, for every refusal of the exchange.
        """
        raise NotImplementedError

    def needs(self, route: str) -> None:
        """Raise NotOffered when the client has no method for a route."""
        raise NotImplementedError

    def code_of(self, error: Any) -> int:
        """Return the exchange's code in an exception; raises AssertionError when it is not of the client's class."""
        raise NotImplementedError

    def stranger(self, **keys: str) -> "RawDesk":
        """Return a desk with another `key` or `secret`."""
        raise NotImplementedError

    def price(self, side: str, distance: str = "0.02") -> str:
        """Return a price at which an order of this side rests, a fraction away from the book."""
        book = self.ask("GET depth", symbol=SYMBOL, limit=5)
        best = Decimal(book["bids" if side == "BUY" else "asks"][0][0])
        price = best * (1 - Decimal(distance) if side == "BUY" else 1 + Decimal(distance))
        return str(price.quantize(TICK, ROUND_DOWN))

    def taking_price(self, side: str) -> str:
        """Return a price at which an order of this side trades at once."""
        return self.price("SELL" if side == "BUY" else "BUY", "0.005")

    def limit(self, side: str = "BUY", **parameters: Any) -> Any:
        """Place a LIMIT order; where nothing else is said it rests, good till cancelled."""
        return self.ask("POST order", **self.leg(side, **parameters))

    def leg(self, side: str = "BUY", **parameters: Any) -> dict[str, Any]:
        """Return the parameters of `limit`."""
        standard = {"quantity": "0.010", "timeInForce": "GTC"}
        if "price" not in parameters and "priceMatch" not in parameters:
            standard["price"] = self.price(side)
        return {"symbol": SYMBOL, "side": side, "type": "LIMIT", **standard, **parameters}

    def market(self, side: str, quantity: str = "0.010", **parameters: Any) -> Any:
        """Trade at once."""
        order = {"symbol": SYMBOL, "side": side, "type": "MARKET", "quantity": quantity, "newOrderRespType": "RESULT"}
        return self.ask("POST order", **order, **parameters)

    def cancel(self, order: Any) -> Any:
        """Cancel an order."""
        return self.ask("DELETE order", symbol=SYMBOL, orderId=order["orderId"])

    def query(self, order: Any) -> Any:
        """Ask for an order."""
        return self.ask("GET order", symbol=SYMBOL, orderId=order["orderId"])

    def cancel_all(self) -> Any:
        """Cancel every open order of the symbol."""
        return self.ask("DELETE allOpenOrders", symbol=SYMBOL)

    def position(self) -> Decimal:
        """Return the signed position."""
        rows = self.ask("GET positionRisk", symbol=SYMBOL)
        return sum((Decimal(row["positionAmt"]) for row in rows), Decimal(0))

    def flatten(self) -> None:
        """Leave no order and no position: one so near to the market may have traded meanwhile."""
        self.cancel_all()
        if position := self.position():
            self.market("SELL" if position > 0 else "BUY", str(abs(position)))

    def refused(self, code: int, route: str, **parameters: Any) -> None:
        """Ask, and assert that the client raises its own exception with this code."""
        try:
            answer = self.ask(route, **parameters)
        except NotOffered:
            raise
        except Exception as error:
            if (found := self.code_of(error)) != code:
                raise AssertionError(f"{found} instead of {code}") from error
        else:
            raise NotRaised(f"{code} was expected, the answer is {answer!r}")

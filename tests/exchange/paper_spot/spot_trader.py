"""Short ways to speak to the spot side of an exchange on a scripted market."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.exchange.paper.scripted_market import START_MS, ScriptedMarket, quote, scripted
from trio_grid.exchange.paper.engine.exchange import PaperExchange
from trio_grid.exchange.paper.market.interface import MarketStep
from trio_grid.exchange.paper.spot.settlement import SpotUserEvent

SYMBOL = "TESTUSDT"


class SpotTrader:
    """One account's hand on spot: prices as ticks of 0.1, quantities as lots of 0.001."""

    def __init__(self, exchange: PaperExchange, name: str) -> None:
        self.exchange, self.name, self.spot = exchange, name, exchange.spot

    def place(self, side: str, order_type: str = "LIMIT", **extra: object) -> Any:
        params = {"symbol": SYMBOL, "side": side, "type": order_type}
        params |= {name: str(value) for name, value in extra.items()}
        return self.spot.place_order(self.name, params, self.exchange.now_ms)

    def limit(self, side: str, price: int, lots: int, tif: str = "GTC", **extra: object) -> Any:
        return self.place(side, "LIMIT", timeInForce=tif, **(priced(price, lots) | extra))

    def market(self, side: str, lots: int, **extra: object) -> Any:
        return self.place(side, "MARKET", quantity=amount(lots), **extra)

    def ask(self, query: str, **params: object) -> Any:
        texts = {"symbol": SYMBOL} | {name: str(value) for name, value in params.items()}
        return getattr(self.spot, query)(self.name, texts, self.exchange.now_ms)

    def order(self, order_id: int) -> Any:
        return self.ask("query_order", orderId=order_id)

    def balances(self) -> dict[str, tuple[Decimal, Decimal]]:
        rows = self.ask("account_information")["balances"]
        return {row["asset"]: (Decimal(row["free"]), Decimal(row["locked"])) for row in rows}

    def free(self, asset: str) -> Decimal:
        return self.balances()[asset][0]

    def locked(self, asset: str) -> Decimal:
        return self.balances()[asset][1]


def amount(lots: int) -> str:
    return f"{Decimal(lots) / 1000}"


def priced(price: int, lots: int) -> dict[str, object]:
    return {"price": Decimal(price) / 10, "quantity": amount(lots)}


def spot_market(*steps: MarketStep, **options: Any) -> tuple[PaperExchange, ScriptedMarket, SpotTrader, SpotTrader]:
    """An exchange at its first step, its symbol awake on spot, with accounts "ann" and "bob"."""
    exchange, market, _, _ = scripted(*steps, **options)
    ann, bob = SpotTrader(exchange, "ann"), SpotTrader(exchange, "bob")
    exchange.spot.desk_named(SYMBOL)
    return exchange, market, ann, bob


def go_on(exchange: PaperExchange, market: ScriptedMarket, step: MarketStep) -> None:
    """Let one more step happen."""
    market.add(step)
    exchange.advance(step.time_ms)


def told(exchange: PaperExchange, account: str) -> list[Any]:
    """Take the events and return the payloads of an account's spot stream."""
    return [
        event.payload
        for event in exchange.take_events()
        if isinstance(event, SpotUserEvent) and event.account == account
    ]


def reports(exchange: PaperExchange, account: str) -> list[str]:
    """Take the events and name those of an account: x/X of order reports, else the kind."""
    return [f"{one['x']}/{one['X']}" if "x" in one else one["e"] for one in told(exchange, account)]


__all__ = [
    "START_MS", "SYMBOL", "SpotTrader", "amount", "go_on", "priced", "quote", "reports", "spot_market", "told",
]  # fmt: skip

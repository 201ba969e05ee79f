"""A market whose every step the test writes down, and short ways to speak to an exchange on it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from trio_grid.domain.events import Side
from trio_grid.domain.instrument import Instrument
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange, UserEvent
from trio_grid.exchange.paper.engine.symbols import make_instrument, paper_symbol
from trio_grid.exchange.paper.market.interface import MarketStep, TapeRow

START_MS = 1_790_000_000_000
UNIT = 100_000_000


def plain_instrument(symbol: str = "TESTUSDT", *, max_open_orders: int = 200) -> Instrument:
    """Tick 0.1, lot 0.001, at least 5 USDT of notional: a price of 100.0 is 1,000 ticks."""
    return make_instrument(
        symbol,
        base=symbol.removesuffix("USDT"),
        quote="USDT",
        tick=Decimal("0.1"),
        lot=Decimal("0.001"),
        min_price=Decimal("1.0"),
        max_price=Decimal(100_000),
        min_quantity=Decimal("0.001"),
        max_quantity=Decimal(1_000),
        max_market_quantity=Decimal(120),
        min_notional=Decimal(5),
        max_open_orders=max_open_orders,
    )


def quote(time_ms: int, bid: int, ask: int | None = None, *rows: tuple[int, int, bool]) -> MarketStep:
    """A step: the quote after it and its tape rows (price ticks, lots, buyer is maker)."""
    return MarketStep(
        START_MS + time_ms, tuple(TapeRow(*row) for row in rows), bid, bid + 1 if ask is None else ask, 50, 50
    )


class ScriptedMarket:
    """Plays the given steps; strangers hold `depth_lots` at every price from the quote outwards."""

    follows_wall_clock = True
    fills_quiet_minutes = True

    def __init__(self, steps: Sequence[MarketStep], *, symbol: str = "TESTUSDT", depth_lots: int = 50) -> None:
        self.symbol = symbol
        self.start_ms = START_MS
        self.depth_lots = depth_lots
        self._steps = list(steps)
        self._place = 0

    def add(self, *steps: MarketStep) -> None:
        """Write more steps."""
        self._steps += steps

    def next_time_ms(self) -> int | None:
        return self._steps[self._place].time_ms if self._place < len(self._steps) else None

    def step(self) -> MarketStep:
        self._place += 1
        return self._steps[self._place - 1]

    def skip_towards(self, now_ms: int) -> None:
        pass

    def level_lots(self, side: Side, price_ticks: int) -> int:
        now = self._steps[self._place - 1]
        inside = price_ticks > now.bid_ticks if side is Side.BUY else price_ticks < now.ask_ticks
        return 0 if inside else self.depth_lots

    def state(self) -> dict[str, Any]:
        return {"place": self._place}

    def restore(self, state: dict[str, Any]) -> None:
        self._place = state["place"]


class Trader:
    """One account's hand: prices as ticks, quantities as lots, answers as they are."""

    def __init__(self, exchange: PaperExchange, name: str, instrument: Instrument) -> None:
        self.exchange = exchange
        self.name = name
        self.instrument = instrument

    def params(self, side: str, price: int, lots: int, tif: str = "GTC", **extra: str) -> dict[str, str]:
        """Parameters of a LIMIT order."""
        item = self.instrument
        return {
            "symbol": item.symbol,
            "side": side,
            "type": "LIMIT",
            "timeInForce": tif,
            "price": f"{item.price(price):f}",
            "quantity": f"{item.quantity(lots):f}",
            **extra,
        }

    def limit(self, side: str, price: int, lots: int, tif: str = "GTC", **extra: str) -> dict[str, Any]:
        """Place a LIMIT order now."""
        params = self.params(side, price, lots, tif, **extra)
        return self.exchange.place_order(self.name, params, self.exchange.now_ms)

    def market(self, side: str, lots: int, **extra: str) -> dict[str, Any]:
        """Place a MARKET order now and return what became of it."""
        params = {
            "symbol": self.instrument.symbol,
            "side": side,
            "type": "MARKET",
            "quantity": f"{self.instrument.quantity(lots):f}",
            "newOrderRespType": "RESULT",
            **extra,
        }
        return self.exchange.place_order(self.name, params, self.exchange.now_ms)

    def order(self, order_id: int) -> dict[str, Any]:
        """Query an order by id."""
        params = {"symbol": self.instrument.symbol, "orderId": str(order_id)}
        return self.exchange.query_order(self.name, params, self.exchange.now_ms)

    def cancel(self, order_id: int) -> dict[str, Any]:
        """Cancel an order by id."""
        params = {"symbol": self.instrument.symbol, "orderId": str(order_id)}
        return self.exchange.cancel_order(self.name, params, self.exchange.now_ms)

    @property
    def lots(self) -> int:
        """Signed position."""
        return self.exchange.account_of(self.name).position(self.instrument.symbol).lots

    @property
    def wallet(self) -> int:
        """Wallet in money units."""
        return self.exchange.account_of(self.name).wallet_units


def scripted(
    *steps: MarketStep,
    fill_model: str = "queue",
    depth_lots: int = 50,
    balance: int = 10_000,
    max_open_orders: int = 200,
) -> tuple[PaperExchange, ScriptedMarket, Trader, Trader]:
    """An exchange on a scripted market at its first step, with accounts "ann" and "bob"."""
    instrument = plain_instrument(max_open_orders=max_open_orders)
    market = ScriptedMarket(steps or (quote(0, 1000),), depth_lots=depth_lots)
    specs = [AccountSpec(name=name, balance_units=balance * UNIT) for name in ("ann", "bob")]
    exchange = PaperExchange([(paper_symbol(instrument), market)], accounts=specs, fill_model=fill_model)
    exchange.advance(START_MS)
    exchange.take_events()
    return exchange, market, Trader(exchange, "ann", instrument), Trader(exchange, "bob", instrument)


def user_kinds(exchange: PaperExchange, account: str) -> list[str]:
    """Take the events and name those of an account: kind, and x/X of order events."""
    names = []
    for event in exchange.take_events():
        if isinstance(event, UserEvent) and event.account == account:
            order = event.payload.get("o")
            names.append(f"{order['x']}/{order['X']}" if order else event.kind)
    return names

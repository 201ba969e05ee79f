"""Owns spot's time and its happenings: the market's steps, closings of klines, stop prices that are met.

It must never read a clock. The markets are those of the exchange that spot belongs to: it tells spot of each step. A
symbol of which nobody has asked anything yet sleeps and costs nothing; it begins with what its market has shown so far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trio_grid.domain.events import RecordStatus, Side
from trio_grid.exchange.paper.engine.desk import Desk
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.market.interface import MarketStep
from trio_grid.exchange.paper.spot.account import SpotAccount
from trio_grid.exchange.paper.spot.desk import SpotDesk
from trio_grid.exchange.paper.spot.order_rules import Params, symbol_of
from trio_grid.exchange.paper.spot.records import SpotOrder
from trio_grid.exchange.paper.spot.settlement import SpotSettlement
from trio_grid.exchange.paper.spot.symbols import BAND_UP, SpotSymbol, spot_symbol

KLINE_UPDATE_MS = 1_000
BASE_UNITS = 100_000_000
"""What an account begins with of each base asset: one whole, as on the exchange's own spot test network."""


class SpotVenue:
    """Symbols, wallets and time of the spot side.

    `markets` are the desks whose markets spot shares; `come_to` brings the whole exchange to a time and returns it.
    """

    def __init__(
        self,
        markets: Mapping[str, Desk],
        events: list[Any],
        come_to: Callable[[int], int],
        start_ms: int,
    ) -> None:
        self._markets = markets
        self._come_to = come_to
        self.symbols: dict[str, SpotSymbol] = {
            name: spot_symbol(desk.symbol.instrument) for name, desk in markets.items()
        }
        self.settlement = SpotSettlement(events)
        self.start_ms = start_ms
        self.now_ms = start_ms

    @property
    def desks(self) -> dict[str, SpotDesk]:
        """The symbols that are awake."""
        return self.settlement.desks

    # accounts --------------------------------------------------------------------------------------------------------

    def open_account(self, name: str, quote_units: int) -> None:
        """Open a wallet: so much of each quote asset, and one whole of each base asset."""
        accounts = self.settlement.accounts
        account = accounts[name] = SpotAccount(name, len(accounts) + 1)
        quotes = dict.fromkeys(symbol.quote for symbol in self.symbols.values())
        bases = dict.fromkeys(symbol.base for symbol in self.symbols.values() if symbol.base not in quotes)
        for assets, units in ((quotes, quote_units), (bases, BASE_UNITS)):
            for asset in assets:
                if units:
                    self.settlement.deposit(account, asset, units, self.now_ms)

    def account_of(self, name: str) -> SpotAccount:
        """Return an account by its name (KeyError if there is none: the server knows its accounts)."""
        return self.settlement.accounts[name]

    # symbols ---------------------------------------------------------------------------------------------------------

    def desk_of(self, params: Params) -> SpotDesk:
        """Return the desk of the symbol that is asked for; -1102, -1100, -1121."""
        return self.desk_named(symbol_of(params))

    def desk_named(self, name: str) -> SpotDesk:
        """Return a symbol's desk, awake; -1121 for an unknown one."""
        symbol = self.symbols.get(name)
        if symbol is None:
            raise Refusal.BAD_SYMBOL.refuse()
        desk = self.desks.get(name)
        if desk is None:
            desk = self.desks[name] = SpotDesk(symbol, self._markets[name], self.settlement.events)
            desk.take_over()
            desk.close_candles(self.now_ms)
        return desk

    def asleep(self, name: str) -> SpotDesk:
        """Return a new desk of a symbol without a past: it is about to be restored."""
        desk = self.desks[name] = SpotDesk(self.symbols[name], self._markets[name], self.settlement.events)
        return desk

    # time ------------------------------------------------------------------------------------------------------------

    def advance(self, now_ms: int) -> None:
        """Come to a time up to which the markets have come: close the minutes that are over."""
        self.now_ms = max(self.now_ms, now_ms)
        for desk in self.desks.values():
            if desk.next_close_ms() is not None:
                desk.close_candles(self.now_ms)

    def next_event_ms(self) -> int | None:
        """Return when something happens by itself next, the markets' steps apart."""
        times = [time_ms for desk in self.desks.values() if (time_ms := desk.next_close_ms()) is not None]
        return min(times, default=None)

    def keep_house(self, now_ms: int) -> None:
        """Forget what is older than the exchange's memory."""
        for account in self.settlement.accounts.values():
            account.forget(now_ms)

    def take_step(self, name: str, step: MarketStep, now_ms: int) -> None:
        """Match one step of a market: its tape, then its quote, then the stop prices that were met."""
        desk = self.desks.get(name)
        if desk is None:
            return
        self.now_ms = max(self.now_ms, now_ms)
        desk.close_candles(now_ms)
        rows = desk.rows_of(step)

        def fill(order: SpotOrder, lots: int) -> None:
            self._fill_resting(desk, order, lots)

        desk.book.run_tape(rows, fill, lambda row: desk.print_row(row, now_ms))
        factor = desk.symbol.tick_factor
        if not rows:
            desk.candles.ensure(now_ms, desk.last_ticks or step.bid_ticks * factor)
        for order in desk.book.crossed(step.bid_ticks * factor, step.ask_ticks * factor):
            self._fill_resting(desk, order, order.remaining_lots)
        desk.take_step_quote(step)
        self.trigger_stops(desk, [row.price_ticks for row in rows])
        desk.publish_book(now_ms)
        desk.tell_candle(now_ms, KLINE_UPDATE_MS)

    def _fill_resting(self, desk: SpotDesk, order: SpotOrder, lots: int) -> None:
        """Give a resting order what the tape gives it; an earlier fill of the same step may have ended it."""
        lots = min(lots, order.remaining_lots)
        if order.is_open and lots > 0:
            trade_id = desk.take_trade_id()
            self.settlement.fill(order, order.price_ticks, lots, self.now_ms, maker=True, trade_id=trade_id)

    # matching --------------------------------------------------------------------------------------------------------

    @staticmethod
    def is_met(order: SpotOrder, price_ticks: int) -> bool:
        """Return whether a trade at a price meets an order's stop price."""
        rises = (order.side is Side.BUY) == order.order_type.startswith("STOP_LOSS")
        return price_ticks >= order.stop_ticks if rises else price_ticks <= order.stop_ticks

    def trigger_stops(self, desk: SpotDesk, prices: list[int]) -> None:
        """Let the orders work whose stop prices were met, oldest first; their own trades may meet others."""
        while prices and desk.stops:
            met = [order for order in desk.stops.values() if any(self.is_met(order, price) for price in prices)]
            prices = []
            for order in met:
                if desk.stops.pop(order.order_id, None) is not None:
                    prices.extend(self._work(desk, order))

    def _work(self, desk: SpotDesk, order: SpotOrder) -> list[int]:
        order.triggered_ms = order.update_time_ms = self.now_ms
        order.sequence = desk.take_sequence()
        self.settlement.tell(order, "NEW")
        if self.settlement.hold(order):
            self.settlement.tell_balances(order)
        return [trade.price_ticks for trade in self.match(desk, order)]

    def match(self, desk: SpotDesk, order: SpotOrder) -> list[Any]:
        """Match a working order, then let it rest or expire as its type says; return its trades."""
        market = order.takes_market_price
        limit = self.market_limit(desk, order.side) if market else order.price_ticks
        trades = []
        if order.time_in_force != "FOK" or self.fillable_lots(desk, order, limit) >= order.quantity_lots:
            trades = self.settlement.take(desk, order, limit, self.now_ms)
        if order.is_open:
            if market or order.time_in_force in ("IOC", "FOK"):
                self.settlement.end_order(order, RecordStatus.EXPIRED, self.now_ms)
            else:
                desk.book.rest(order)
        return trades

    @staticmethod
    def fillable_lots(desk: SpotDesk, order: SpotOrder, limit: int) -> int:
        """Return how much of an order could surely trade at once within a limit."""
        found = 0
        for offer in desk.book.offers(order.side, limit):
            other = offer.order
            if other is None or other.account != order.account or order.stp == "NONE":
                found += offer.lots
            if found >= order.remaining_lots:
                break
        return found

    def market_limit(self, desk: SpotDesk, side: Side) -> int:
        """Return the worst price at which a market order may trade: the price band's edge."""
        cost, lots = desk.average(self.now_ms)
        if side is Side.BUY:
            return min(BAND_UP * cost // lots, desk.symbol.instrument.max_price_ticks)
        return max(1, -(-cost // (BAND_UP * lots)))

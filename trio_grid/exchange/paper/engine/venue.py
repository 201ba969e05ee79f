"""Owns the exchange's time: which of the markets' steps, closings, fundings and deadlines comes next, and runs it.

It must never read a clock: time is what the caller passes. Everything due at one time happens in the order
(time, rank of its source, place of the source); all tape rows of one timestamp are matched, then one book ticker is
published.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from trio_grid.domain.events import RecordStatus
from trio_grid.exchange.paper.engine.account import PaperAccount
from trio_grid.exchange.paper.engine.desk import Desk
from trio_grid.exchange.paper.engine.fill_models import FILL_MODELS, FillModel
from trio_grid.exchange.paper.engine.liquidation import liquidate_if_due
from trio_grid.exchange.paper.engine.records import PaperOrder
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.engine.settlement import ER_REDUCE_ONLY, PaperEvent, Settlement
from trio_grid.exchange.paper.engine.symbols import FUNDING_INTERVAL_MS, PaperSymbol
from trio_grid.exchange.paper.market.interface import Market, MarketStep

HOUSEKEEPING_MS = 3_600_000
GOOD_TILL_CANCEL_MS = 365 * 86_400_000
"""How long an order that says no end rests; looked at when the house is kept, so to the hour."""
KLINE_UPDATE_MS = 250
_RANK_CANDLE, _RANK_HOUSEKEEPING, _RANK_FUNDING, _RANK_DEADLINE, _RANK_MARKET = range(5)
_Due = tuple[int, int, int, Callable[[int], None]]


class AccountSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An account to open: its name, its wallet in 1e-8 units of the margin asset, its first leverage.

    A symbol that does not allow that leverage begins with the highest that it allows.
    """

    name: str
    balance_units: int = 10_000 * 100_000_000
    leverage: int = 20


def _after(now_ms: int, interval_ms: int) -> int:
    return now_ms // interval_ms * interval_ms + interval_ms


class Venue:
    """Markets, accounts and time of one exchange. `markets` pairs each symbol with its market."""

    def __init__(
        self,
        markets: Sequence[tuple[PaperSymbol, Market]],
        *,
        accounts: Sequence[AccountSpec] = (),
        fill_model: str | FillModel = "queue",
    ) -> None:
        if not markets:
            raise ValueError("an exchange needs at least one market")
        model = FILL_MODELS[fill_model] if isinstance(fill_model, str) else fill_model
        self.desks: dict[str, Desk] = {symbol.name: Desk(symbol, market, model) for symbol, market in markets}
        self.margin_asset = markets[0][0].instrument.margin_asset
        self.settlement = Settlement(self.desks)
        self.start_ms = min(market.start_ms for _, market in markets)
        self.follows_wall_clock = all(market.follows_wall_clock for _, market in markets)
        self.now_ms = self.start_ms
        self.countdowns: dict[tuple[str, str], int] = {}
        self.good_till: dict[tuple[str, int], PaperOrder] = {}
        self.price_followers: list[Callable[[Desk], None]] = []
        self.next_funding_ms = _after(self.start_ms, FUNDING_INTERVAL_MS)
        self.next_housekeeping_ms = _after(self.start_ms, HOUSEKEEPING_MS)
        for desk in self.desks.values():
            self._make_history(desk)
        for spec in accounts:
            self.open_account(spec)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols' names."""
        return tuple(self.desks)

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts' names."""
        return tuple(self.settlement.accounts)

    @property
    def ended(self) -> bool:
        """True when no market has another step (the end of a replay)."""
        return all(desk.market.next_time_ms() is None for desk in self.desks.values())

    def open_account(self, spec: AccountSpec) -> None:
        """Open an account and pay its first balance in.

        Raises:
            ValueError: there is an account of that name, or the balance is negative.
        """
        if spec.name in self.settlement.accounts or spec.balance_units < 0 or not 1 <= spec.leverage <= 125:
            raise ValueError(f"cannot open account {spec.name!r} with {spec.balance_units} units")
        account = PaperAccount(spec.name, self.margin_asset, spec.leverage)
        for desk in self.desks.values():
            account.setting(desk.name).leverage = min(spec.leverage, desk.symbol.brackets[0].max_leverage)
        self.settlement.accounts[spec.name] = account
        if spec.balance_units:
            self.settlement.deposit(account, spec.balance_units, self.now_ms)

    def account_of(self, name: str) -> PaperAccount:
        """Return an account by its name (KeyError if there is none: the server knows its accounts)."""
        return self.settlement.accounts[name]

    def desk_of(self, name: str | None) -> Desk:
        """Return a symbol's desk; -1102 without a symbol, -1121 for an unknown one."""
        if not name:
            raise Refusal.MANDATORY.refuse("symbol")
        desk = self.desks.get(name)
        if desk is None:
            raise Refusal.BAD_SYMBOL.refuse()
        return desk

    def take_events(self) -> list[PaperEvent]:
        """Return every event since the last call, in order."""
        events, self.settlement.events[:] = list(self.settlement.events), []
        return events

    # time ------------------------------------------------------------------------------------------------------------

    def next_event_ms(self) -> int:
        """Return when something happens by itself next."""
        return max(self._next_due()[0], self.now_ms)

    def advance(self, now_ms: int, max_steps: int | None = None) -> bool:
        """Let everything up to and including `now_ms` happen; a time before the newest seen counts as that.

        Returns False if `max_steps` happenings were done and more are due: take the events and call again.
        """
        now_ms = max(now_ms, self.now_ms)
        for desk in self.desks.values():
            desk.market.skip_towards(now_ms)
        done = 0
        while (due := self._next_due())[0] <= now_ms:
            if max_steps is not None and done >= max_steps:
                return False
            self.now_ms = max(self.now_ms, due[0])
            due[3](self.now_ms)
            done += 1
        self.now_ms = now_ms
        return True

    def _next_due(self) -> _Due:
        best: _Due = (self.next_housekeeping_ms, _RANK_HOUSEKEEPING, 0, self._keep_house)
        live = False
        for index, desk in enumerate(self.desks.values()):
            step_ms, close_ms = desk.market.next_time_ms(), desk.candles.next_close_ms()
            live = live or step_ms is not None
            if step_ms is not None and (step_ms, _RANK_MARKET, index) < best[:3]:
                best = (step_ms, _RANK_MARKET, index, self._stepper(desk))
            # A flat candle of a market that has ended would be closed for ever.
            closes = close_ms is not None and (step_ms is not None or desk.candles.has_trades)
            if close_ms is not None and closes and (close_ms, _RANK_CANDLE, index) < best[:3]:
                best = (close_ms, _RANK_CANDLE, index, self._closer(desk))
        # Where every market has ended no mark price is left to pay funding at.
        if live and (self.next_funding_ms, _RANK_FUNDING, 0) < best[:3]:
            best = (self.next_funding_ms, _RANK_FUNDING, 0, self._pay_funding)
        for time_ms, action in self._deadlines():
            if (time_ms, _RANK_DEADLINE, 0) < best[:3]:
                best = (time_ms, _RANK_DEADLINE, 0, action)
        return best

    def _deadlines(self) -> list[tuple[int, Callable[[int], None]]]:
        rows: list[tuple[int, Callable[[int], None]]] = []
        if self.countdowns:
            rows.append((min(self.countdowns.values()), self._count_down))
        if self.good_till:
            rows.append((min(order.good_till_ms for order in self.good_till.values()), self._expire_good_till))
        return rows

    def _stepper(self, desk: Desk) -> Callable[[int], None]:
        return lambda now_ms: self._run_step(desk, desk.market.step(), now_ms)

    def _closer(self, desk: Desk) -> Callable[[int], None]:
        return lambda now_ms: self._close_candle(desk, now_ms)

    def _close_candle(self, desk: Desk, now_ms: int) -> None:
        desk.publish_candle(now_ms, self.settlement.events, desk.candles.close(), closed=True)

    def _keep_house(self, now_ms: int) -> None:
        self.next_housekeeping_ms = _after(now_ms, HOUSEKEEPING_MS)
        for account in self.settlement.accounts.values():
            account.forget(now_ms)
            for symbol, orders in account.open_orders.items():
                aged = [order for order in orders.values() if now_ms - order.time_ms >= GOOD_TILL_CANCEL_MS]
                for order in aged:
                    self.settlement.end_order(order, RecordStatus.EXPIRED, now_ms)
                if aged:
                    self.publish_book(self.desks[symbol])

    def _pay_funding(self, now_ms: int) -> None:
        self.next_funding_ms = _after(now_ms, FUNDING_INTERVAL_MS)
        for desk in self.desks.values():
            self.settlement.pay_funding(desk, now_ms)
        self._liquidate(now_ms)

    def _count_down(self, now_ms: int) -> None:
        for (name, symbol), deadline in list(self.countdowns.items()):
            if deadline <= now_ms:
                del self.countdowns[name, symbol]
                self.cancel_everything(self.account_of(name), symbol, now_ms)

    def _expire_good_till(self, now_ms: int) -> None:
        for key, order in list(self.good_till.items()):
            if not order.is_open:
                del self.good_till[key]
            elif order.good_till_ms <= now_ms:
                del self.good_till[key]
                self.settlement.end_order(order, RecordStatus.EXPIRED, now_ms)
                self.publish_book(self.desks[order.symbol])

    def cancel_everything(self, account: PaperAccount, symbol: str, now_ms: int) -> None:
        """Cancel all open orders of an account on a symbol, oldest first."""
        orders = list(account.open_on(symbol).values())
        for order in orders:
            self.settlement.end_order(order, RecordStatus.CANCELED, now_ms)
        if orders:
            self.publish_book(self.desks[symbol])

    def publish_book(self, desk: Desk) -> None:
        """Publish a book ticker after a change that did not come from the market."""
        if desk.has_quote:
            desk.publish_book(self.now_ms, self.settlement.events, always=False)

    # the market ------------------------------------------------------------------------------------------------------

    def _make_history(self, desk: Desk) -> None:
        """Run the market up to the exchange's beginning: candles and a quote, no events."""
        market = desk.market
        while (time_ms := market.next_time_ms()) is not None and time_ms < self.start_ms:
            while (close_ms := desk.candles.next_close_ms()) is not None and close_ms <= time_ms:
                desk.candles.close()
            step = market.step()
            for row in step.trades:
                desk.print_row(row, step.time_ms, None)
            if not step.trades:
                desk.candles.ensure(step.time_ms, desk.last_ticks or step.bid_ticks)
            desk.take_quote(step)
            desk.book_time_ms = step.time_ms
        while (close_ms := desk.candles.next_close_ms()) is not None and close_ms <= self.start_ms:
            desk.candles.close()

    def _run_step(self, desk: Desk, step: MarketStep, now_ms: int) -> None:
        """Match the tape of one timestamp, take the new quote, publish."""
        events = self.settlement.events

        def fill(order: PaperOrder, lots: int) -> None:
            self._fill_resting(desk, order, lots, now_ms)

        desk.book.run_tape(step.trades, fill, lambda row: desk.print_row(row, now_ms, events))
        if not step.trades:
            desk.candles.ensure(now_ms, desk.last_ticks or step.bid_ticks)
        for order in desk.book.crossed(step.bid_ticks, step.ask_ticks):
            self._fill_resting(desk, order, order.remaining_lots, now_ms)
        desk.take_quote(step)
        desk.publish_book(now_ms, events)
        candle = desk.candles.current
        if candle is not None and now_ms - desk.candle_told_ms >= KLINE_UPDATE_MS:
            desk.candle_told_ms = now_ms
            desk.publish_candle(now_ms, events, candle, closed=False)
        desk.publish_mark(now_ms, self.next_funding_ms, events)
        self._follow_prices(desk)
        self._liquidate(now_ms)

    def _fill_resting(self, desk: Desk, order: PaperOrder, lots: int, now_ms: int) -> None:
        """Give a resting order what the tape gives it; an earlier fill of the same step may have ended it."""
        lots = min(lots, order.remaining_lots)
        if not order.is_open or lots == 0:
            return
        settlement = self.settlement
        if order.reduce_only:
            lots = min(lots, settlement.reducible_lots(order))
            if lots == 0:
                settlement.end_order(order, RecordStatus.EXPIRED, now_ms, reason=ER_REDUCE_ONLY)
                return
        settlement.fill(order, order.price_ticks, lots, now_ms, maker=True, trade_id=desk.take_trade_id())
        settlement.knock_out(self.account_of(order.account), desk.name, now_ms)

    def _liquidate(self, now_ms: int) -> None:
        told = len(self.settlement.events)
        for account in self.settlement.accounts.values():
            liquidate_if_due(self.settlement, account, now_ms)
        if len(self.settlement.events) == told:
            return
        for desk in self.desks.values():
            # Orders have left the book, or traded in it.
            self.publish_book(desk)
            self._follow_prices(desk)

    def _follow_prices(self, desk: Desk) -> None:
        for follow in self.price_followers:
            follow(desk)

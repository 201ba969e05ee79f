"""Owns the paper exchange's face: time, commands, queries and events, all in Binance's words.

It must never read a clock, a socket or a file: every call carries the time, every effect is a value. The parts:
`venue` (time and markets), `trading`, `amendments` and `conditional_orders` (commands), `account_queries`,
`market_queries` and `contract_queries`, over `settlement` (money and user events), `desk` (one symbol's public side)
and `matching_engine` (price-time priority).
"""

from __future__ import annotations

from collections.abc import Sequence

from trio_grid.exchange.paper.engine.conditional_orders import ConditionalOrders
from trio_grid.exchange.paper.engine.contract_queries import ContractQueries
from trio_grid.exchange.paper.engine.desk import Desk, MarketEvent
from trio_grid.exchange.paper.engine.fill_models import FillModel
from trio_grid.exchange.paper.engine.settlement import PaperEvent, UserEvent
from trio_grid.exchange.paper.engine.symbols import PaperSymbol
from trio_grid.exchange.paper.engine.venue import AccountSpec
from trio_grid.exchange.paper.market.interface import Market, MarketStep
from trio_grid.exchange.paper.spot.exchange import SpotExchange

__all__ = ["AccountSpec", "MarketEvent", "PaperEvent", "PaperExchange", "UserEvent"]


class PaperExchange(ConditionalOrders, ContractQueries):
    """The whole embedded exchange: one object, owned by one task.

    Every command and query takes `now_ms`, the exchange's epoch in milliseconds, and first lets everything up to it
    happen; then `take_events` has what it caused. Bad input of any kind raises PaperRefusal and nothing else.
    `spot` has the spot side: the same markets and accounts, with wallets, orders and matching of its own.
    """

    def __init__(
        self,
        markets: Sequence[tuple[PaperSymbol, Market]],
        *,
        accounts: Sequence[AccountSpec] = (),
        fill_model: str | FillModel = "queue",
    ) -> None:
        super().__init__(markets, fill_model=fill_model)
        self.spot = SpotExchange(self.desks, self.settlement.events, self._come_to, self.start_ms)
        for spec in accounts:
            self.open_account(spec)

    def _come_to(self, now_ms: int) -> int:
        self.advance(now_ms)
        return self.now_ms

    def open_account(self, spec: AccountSpec) -> None:
        """Open an account with both its wallets: the perpetuals' balance is also what spot begins with."""
        super().open_account(spec)
        self.spot.open_account(spec.name, spec.balance_units)

    def advance(self, now_ms: int, max_steps: int | None = None) -> bool:
        """Let everything up to and including `now_ms` happen, on both sides."""
        done = super().advance(now_ms, max_steps)
        self.spot.advance(self.now_ms)
        return done

    def next_event_ms(self) -> int:
        """Return when something happens by itself next, on either side."""
        spot_ms = self.spot.next_event_ms()
        here_ms = super().next_event_ms()
        return here_ms if spot_ms is None else max(self.now_ms, min(here_ms, spot_ms))

    def _run_step(self, desk: Desk, step: MarketStep, now_ms: int) -> None:
        self.spot.take_step(desk.name, step, now_ms)
        super()._run_step(desk, step, now_ms)

    def _keep_house(self, now_ms: int) -> None:
        super()._keep_house(now_ms)
        self.spot.keep_house(now_ms)

    def __repr__(self) -> str:
        orders = sum(
            len(rows) for account in self.settlement.accounts.values() for rows in account.open_orders.values()
        )
        return (
            f"<PaperExchange {','.join(self.symbols)} now_ms={self.now_ms} accounts={len(self.accounts)} "
            f"open_orders={orders}>"
        )

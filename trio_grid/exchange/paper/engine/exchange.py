"""Owns the paper exchange's face: time, commands, queries and events, all in Binance's words.

It must never read a clock, a socket or a file: every call carries the time, every effect is a value. The parts:
`venue` (time and markets), `trading`, `amendments` and `conditional_orders` (commands), `account_queries`,
`market_queries` and `contract_queries`, over `settlement` (money and user events), `desk` (one symbol's public side)
and `matching_engine` (price-time priority).
"""

from __future__ import annotations

from trio_grid.exchange.paper.engine.conditional_orders import ConditionalOrders
from trio_grid.exchange.paper.engine.contract_queries import ContractQueries
from trio_grid.exchange.paper.engine.desk import MarketEvent
from trio_grid.exchange.paper.engine.settlement import PaperEvent, UserEvent
from trio_grid.exchange.paper.engine.venue import AccountSpec

__all__ = ["AccountSpec", "MarketEvent", "PaperEvent", "PaperExchange", "UserEvent"]


class PaperExchange(ConditionalOrders, ContractQueries):
    """The whole embedded exchange: one object, owned by one task.

    Every command and query takes `now_ms`, the exchange's epoch in milliseconds, and first lets everything up to it
    happen; then `take_events` has what it caused. Bad input of any kind raises PaperRefusal and nothing else.
    """

    def __repr__(self) -> str:
        orders = sum(
            len(rows) for account in self.settlement.accounts.values() for rows in account.open_orders.values()
        )
        return (
            f"<PaperExchange {','.join(self.symbols)} now_ms={self.now_ms} accounts={len(self.accounts)} "
            f"open_orders={orders}>"
        )

"""Owns the face of spot: time, commands, queries, all in Binance's words.

It must never read a clock, a socket or a file. The parts: `venue` (time, markets, matching), `trading` (commands),
`account_queries` and `market_queries`, over `settlement` (wallets and user events) and `desk` (one symbol's public
side). Its events go into the same list as those of the perpetuals, in the order in which they happened.
"""

from __future__ import annotations

from trio_grid.exchange.paper.spot.market_queries import SpotMarketQueries


class SpotExchange(SpotMarketQueries):
    """The spot side of one exchange. Bad input of any kind raises PaperRefusal and nothing else."""

    def __repr__(self) -> str:
        orders = sum(
            len(rows) for account in self.settlement.accounts.values() for rows in account.open_orders.values()
        )
        return f"<SpotExchange {','.join(self.symbols)} awake={len(self.desks)} open_orders={orders}>"

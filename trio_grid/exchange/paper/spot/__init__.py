"""The spot side of the paper exchange: its own wallets, orders and matching over the same markets, all of it pure."""

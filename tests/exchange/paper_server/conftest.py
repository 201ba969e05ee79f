from trio_grid.testing.pytest_plugin import memory_network, paper_exchange, paper_exchange_on_sockets

__all__ = ["memory_network", "paper_exchange", "paper_exchange_on_sockets"]

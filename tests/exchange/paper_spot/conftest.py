from collections.abc import AsyncIterator

import pytest

from trio_grid.testing.memory_network import MemoryNetwork
from trio_grid.testing.paper import PaperHandle, open_paper_exchange
from trio_grid.testing.pytest_plugin import memory_network, paper_exchange_on_sockets

__all__ = ["memory_network", "paper_exchange_on_sockets"]


@pytest.fixture
async def paper_exchange(memory_network: MemoryNetwork) -> AsyncIterator[PaperHandle]:
    """The kit's fixture with a shorter past, since these tests read little of it."""
    async with open_paper_exchange(network=memory_network, history_minutes=10) as handle:
        yield handle

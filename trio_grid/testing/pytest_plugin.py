"""Fixtures for tests against the paper exchange: name this module in `pytest_plugins`, or import what you use.

Owns the fixtures and nothing else. They need pytest-trio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from trio_grid.testing.memory_network import MemoryNetwork
from trio_grid.testing.paper import PaperHandle, open_paper_exchange


@pytest.fixture
def memory_network() -> MemoryNetwork:
    """A network in memory, empty."""
    return MemoryNetwork()


@pytest.fixture
async def paper_exchange(memory_network: MemoryNetwork) -> AsyncIterator[PaperHandle]:
    """The default paper exchange in memory; add the fixture `autojump_clock` (first) for virtual time."""
    async with open_paper_exchange(network=memory_network) as handle:
        yield handle


@pytest.fixture
async def paper_exchange_on_sockets() -> AsyncIterator[PaperHandle]:
    """The default paper exchange on a real loopback port, in real time."""
    async with open_paper_exchange(sockets=True) as handle:
        yield handle

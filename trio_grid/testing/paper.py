"""The paper exchange as a fixture: the real server in memory or on loopback sockets, with a handle on all its parts.

Owns the composition for tests and embedded use. It must never stand in for any part: what it starts is what `trio-grid
exchange` starts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import attrs
import httpx
import trio

from trio_grid.exchange.paper.build import HISTORY_MINUTES, build_exchange
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperEvent, PaperExchange
from trio_grid.exchange.paper.server.authentication import ApiKey
from trio_grid.exchange.paper.server.request_limits import LimitSettings
from trio_grid.exchange.paper.server.server import DEFAULT_KEY, PaperServer, PaperUrls
from trio_grid.exchange.paper.server.server_clock import ServerClock
from trio_grid.testing.faults import Fault, FaultInjector, FaultPlan, Injection
from trio_grid.testing.memory_http import http_client
from trio_grid.testing.memory_network import Connector, MemoryNetwork

START_MS = 1_750_000_000_000
"""Where a test's exchange begins when nothing else is said: 2025-06-15 15:06:40 UTC."""

DEFAULT_BALANCE_UNITS = 10_000 * 100_000_000

ResultT = TypeVar("ResultT")


async def connect_tcp(host: str, port: int, tls: bool) -> trio.SocketStream:
    """Open a plain TCP connection; the paper exchange speaks no TLS."""
    if tls:
        raise ConnectionRefusedError(f"{host}:{port} speaks no TLS")
    return await trio.open_tcp_stream(host, port)


@attrs.frozen
class PaperHandle:
    """A running paper exchange. `network` is None when it listens on sockets."""

    urls: PaperUrls
    server: PaperServer
    network: MemoryNetwork | None
    stop: Callable[[], None]
    faults: FaultInjector

    @property
    def exchange(self) -> PaperExchange:
        """The exchange itself: read it in tests; commands go through `call`, in their turn."""
        return self.server.exchange

    def now_ms(self) -> int:
        """Return the exchange's time."""
        return self.server.clock.now_ms()

    def connector(self, owner: str = "") -> Connector:
        """Return how a client reaches the exchange; `owner` names its links in the memory network."""
        return connect_tcp if self.network is None else self.network.connector(owner)

    def http(self, owner: str = "") -> httpx.AsyncClient:
        """Return an HTTP client of the exchange."""
        return http_client(self.connector(owner), self.urls.rest_url)

    def inject(self, fault: Fault) -> Injection:
        """Let a fault happen from now on; its times count from here. Raises ValueError for one that means nothing."""
        return self.faults.inject(fault)

    async def call(self, command: Callable[[int], ResultT]) -> ResultT:
        """Have the exchange's own task carry out a command."""
        return await self.server.call(command)


@asynccontextmanager
async def open_paper_exchange(
    exchange: PaperExchange | None = None,
    *,
    network: MemoryNetwork | None = None,
    sockets: bool = False,
    speed: float = 1.0,
    start_ms: int | None = None,
    seed: int = 1,
    history_minutes: int = HISTORY_MINUTES,
    keys: Sequence[ApiKey] | None = None,
    limits: LimitSettings | None = None,
    strict_routing: bool = False,
    before_telling: Callable[[Sequence[PaperEvent]], None] | None = None,
    faults: FaultPlan | None = None,
) -> AsyncIterator[PaperHandle]:
    """Serve an exchange while the context is open; in memory unless `sockets`.

    Without an exchange it makes the default seeded one, with one account (key `testkey`, secret `testsecret`). In
    memory it runs by whatever clock Trio runs by, MockClock included; with sockets it needs the real one.
    """
    if exchange is None:
        exchange = default_exchange(
            seed=seed, start_ms=START_MS if start_ms is None else start_ms, history_minutes=history_minutes
        )
    clock = ServerClock(exchange.start_ms if start_ms is None else start_ms, speed)
    injector = FaultInjector(FaultPlan(seed=seed) if faults is None else faults)
    server = PaperServer(
        exchange,
        clock=clock,
        keys=keys,
        limits=limits,
        strict_routing=strict_routing,
        seed=seed,
        before_telling=before_telling,
        disturbance=injector,
    )
    if not sockets and network is None:
        network = MemoryNetwork()
    async with trio.open_nursery() as nursery:
        if network is not None:
            urls = await nursery.start(server.run, [network.listen()])
        else:
            urls = await nursery.start(server.run, await trio.open_tcp_listeners(0, host="127.0.0.1"))
        yield PaperHandle(
            urls, server, network, lambda: nursery.cancel_scope.cancel(reason="test stops the exchange"), injector
        )
        nursery.cancel_scope.cancel(reason="context over")


def default_exchange(
    *, seed: int = 1, start_ms: int = START_MS, history_minutes: int = HISTORY_MINUTES
) -> PaperExchange:
    """Return the default seeded exchange: one market near 60,000, one account of 10,000 USDT.

    Making the klines before `start_ms` takes about 2 ms a minute: tests that need few ask for few.
    """
    account = AccountSpec(name=DEFAULT_KEY, balance_units=DEFAULT_BALANCE_UNITS)
    return build_exchange(start_ms=start_ms, seed=seed, accounts=(account,), history_minutes=history_minutes)

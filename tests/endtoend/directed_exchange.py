"""The paper exchange as its own process, on a market that moves when the test says so and never before.

With `directed_exchange` a test waits for what it needs, moves the market, and goes on: nothing depends on how long
anything takes. The module is the program as well; it serves over real sockets, as `trio-grid exchange` does, prints its
URLs, and carries out one JSON line after the other: `["quote", bid_ticks]`, `["sell", price_ticks, lots]`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import trio

from tests.endtoend.processes import PATIENCE_S, ROOT, Account
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange
from trio_grid.exchange.paper.engine.symbols import paper_symbol
from trio_grid.exchange.paper.server.server import DEFAULT_KEY, PaperServer
from trio_grid.exchange.paper.server.server_clock import ServerClock
from trio_grid.testing.scripted_market import ScriptedMarket

BID_TICKS = 600_100
BALANCE_UNITS = 10_000 * 10**8


@attrs.define
class DirectedExchange:
    """The running process: where it is reached, and the market in the test's hand."""

    process: subprocess.Popen[str]
    urls: dict[str, str]

    def account(self) -> Account:
        """The account, as a stranger's client sees it."""
        return Account(self.urls["rest_url"])

    def quote(self, bid_ticks: int) -> None:
        """Move the quote; who rests between the old and the new one is filled. Returns when it has happened."""
        self._tell("quote", bid_ticks)

    def sell(self, price_ticks: int, lots: int) -> None:
        """Let a stranger sell lots to who bids at a price. Returns when it has happened."""
        self._tell("sell", price_ticks, lots)

    def _tell(self, *command: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        assert json.loads(self.process.stdout.readline()) == list(command)


@contextmanager
def directed_exchange() -> Iterator[DirectedExchange]:
    """Run the exchange while the context is open; its end is the end of its input."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.endtoend.directed_exchange"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            yield DirectedExchange(process, json.loads(process.stdout.readline()))
            process.stdin.close()
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


async def serve() -> None:
    """Serve and obey until the input ends."""
    start_ms = int(time.time() * 1000)
    market = ScriptedMarket(start_ms=start_ms, bid_ticks=BID_TICKS)
    account = AccountSpec(name=DEFAULT_KEY, balance_units=BALANCE_UNITS)
    exchange = PaperExchange([(paper_symbol(market.instrument), market)], accounts=[account])
    server = PaperServer(exchange, clock=ServerClock(start_ms))

    def obey(command: list[object], now_ms: int) -> None:
        match command:
            case ["quote", int(bid_ticks)]:
                market.quote(now_ms, bid_ticks)
            case ["sell", int(price_ticks), int(lots)]:
                market.trade(now_ms, price_ticks, lots, seller_takes=True)
            case _:
                raise ValueError(f"no command: {command}")
        exchange.advance(now_ms)

    async with trio.open_nursery() as nursery:
        urls = await nursery.start(server.run, await trio.open_tcp_listeners(0, host="127.0.0.1"))
        print(json.dumps(attrs.asdict(urls)), flush=True)  # noqa: T201 - the program's answer
        while text := await trio.to_thread.run_sync(sys.stdin.readline):
            command = json.loads(text)
            await server.call(lambda now_ms, command=command: obey(command, now_ms))  # type: ignore[misc]
            print(text, end="", flush=True)  # noqa: T201 - the program's answer
        nursery.cancel_scope.cancel(reason="the test is over")


if __name__ == "__main__":
    trio.run(serve)

"""Programs of the project as real processes, and the exchange's account as a stranger's client sees it.

Whatever is started here is stopped by its pid when its context ends, also when the test failed. The account is read
with the standard library alone: a fault that client and server of the project share would not cancel out. Every wait is
for a condition, and its limit is far beyond what a busy machine needs: a limit that is met is a hang, never a load.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import attrs

ROOT = Path(__file__).resolve().parents[2]
TRIO_GRID = (sys.executable, "-W", "error", "-c", "import sys; from trio_grid.cli import main; sys.exit(main())")
PATIENCE_S = 180.0
POLL_S = 0.02
LONGEST_POLL_S = 0.5
"""Questions become rarer while the answer does not change: the exchange counts their weight."""
RECV_WINDOW_MS = 60_000
"""The longest that there is: a test that was not given the processor for a while asks no invalid question."""
OWN_ADDRESS = "127.0.0.2"
"""The test's own end of its connections: the exchange counts request weight by address, and the bot needs its own."""
KEY, SECRET = "testkey", "testsecret"
KEY_ENV, SECRET_ENV = "TRIO_GRID_DRILL_KEY", "TRIO_GRID_DRILL_SECRET"
PATIENT = {
    "price_stale_s": 120,
    "user_stream_silent_s": 120,
    "startup_timeout_s": 600,
    "shutdown_deadline_s": 300,
}
"""[risk] of a bot whose test is not about patience: a machine that stalls for seconds closes no door."""

ResultT = TypeVar("ResultT")


def environment() -> dict[str, str]:
    """The environment of a started program: the project importable, the drill's keys, no terminal colours."""
    return {**os.environ, "PYTHONPATH": str(ROOT), KEY_ENV: KEY, SECRET_ENV: SECRET, "NO_COLOR": "1"}


def until(
    question: Callable[[], ResultT | None], what: str, within_s: float = PATIENCE_S, poll_s: float = POLL_S
) -> ResultT:
    """Ask until the answer is neither None nor False, and return it; the pauses grow."""
    limit = time.monotonic() + within_s
    while True:
        answer = question()
        if answer is not None and answer is not False:
            return answer
        assert time.monotonic() < limit, f"not within {within_s:g} s: {what}"
        time.sleep(poll_s)
        poll_s = min(1.1 * poll_s, max(poll_s, LONGEST_POLL_S))


@attrs.define
class Program:
    """A started program whose output goes to a file."""

    process: subprocess.Popen[bytes]
    output: Path

    def shown(self) -> str:
        """What it has written so far."""
        return self.output.read_text()

    def wait_for(self, text: str, within_s: float = PATIENCE_S) -> str:
        """Wait until it has written a text, and return all that it has written."""

        def look() -> str | None:
            shown = self.shown()
            if text not in shown:
                assert self.process.poll() is None, f"ended with {self.process.returncode} before {text!r}:\n{shown}"
                return None
            return shown

        return until(look, f"{text!r} in the output of pid {self.process.pid}", within_s)

    def kill(self) -> None:
        """SIGKILL: no handler, no clean-up."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Ask it to stop, and return its exit code and all that it has written."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> tuple[int, str]:
        """Wait for its own end, and return its exit code and all that it has written."""
        code = self.process.wait(PATIENCE_S)
        return code, self.shown()


@contextmanager
def started(folder: Path, *arguments: object, cwd: Path | None = None) -> Iterator[Program]:
    """Start `trio-grid` with arguments; it does not outlive the context."""
    output = folder / f"output-{time.monotonic_ns()}.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*TRIO_GRID, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=cwd or folder,
            env=environment(),
        )
    try:
        yield Program(process, output)
    finally:
        process.kill()
        process.wait(PATIENCE_S)


def command(folder: Path, *arguments: object) -> tuple[int, str]:
    """Run `trio-grid` to its end; return exit code and output, in which a traceback never stands."""
    with started(folder, *arguments) as program:
        code, shown = program.end()
    assert "Traceback" not in shown, shown
    return code, shown


class Urls(dict[str, str]):
    """The URLs of an exchange, as it printed them, and its process."""

    def __init__(self, program: Program, urls: Mapping[str, str]) -> None:
        super().__init__(urls)
        self.program = program


@contextmanager
def exchange_process(folder: Path, *options: object) -> Iterator[Urls]:
    """Run the paper exchange as its own process while the context is open; gives its URLs."""
    with started(folder, "exchange", *options) as program:
        line = program.wait_for("\n").splitlines()[0]
        yield Urls(program, json.loads(line))
        code, shown = program.stop(signal.SIGTERM)
        assert (code, shown.splitlines()[1:]) == (0, []), shown


def bot_config(folder: Path, urls: Mapping[str, str], grid: str, *, journal: Path | None = None, **risk: float) -> Path:
    """Write the configuration of a bot that reaches the exchange as it would reach the real one.

    The bot is `PATIENT`, except in what `risk` says.
    """
    path = folder / "bot.toml"
    where = folder / "bot.sqlite3" if journal is None else journal
    patience = "\n".join(f"{name} = {value}" for name, value in {**PATIENT, **risk}.items())
    path.write_text(
        f"""
[exchange]
kind = "binance-usdm"
rest_url = "{urls["rest_url"]}"
ws_url = "{urls["ws_url"]}"
ws_api_url = "{urls["ws_api_url"]}"
key_env = "{KEY_ENV}"
secret_env = "{SECRET_ENV}"
recv_window_ms = 2000
[risk]
{patience}
[journal]
path = "{where}"
{grid}
"""
    )
    return path


class Account:
    """One account of an exchange, read over HTTP with the standard library."""

    def __init__(self, rest_url: str, symbol: str = "BTCUSDT", key: str = KEY, secret: str = SECRET) -> None:
        self.rest_url, self.symbol, self._key, self._secret = rest_url, symbol, key, secret
        self._ahead_s = float(self.public("/fapi/v1/time")["serverTime"]) / 1000 - time.monotonic()

    def public(self, path: str, **parameters: object) -> Any:
        """Ask without a key."""
        return self._ask(path, lambda: urlencode(parameters), {})

    def ask(self, path: str, **parameters: object) -> Any:
        """Ask, signed."""

        def signed() -> str:
            now_ms = round((self._ahead_s + time.monotonic()) * 1000)
            query = urlencode({**parameters, "timestamp": now_ms, "recvWindow": RECV_WINDOW_MS})
            return f"{query}&signature={hmac.new(self._secret.encode(), query.encode(), hashlib.sha256).hexdigest()}"

        return self._ask(path, signed, {"X-MBX-APIKEY": self._key})

    def _ask(self, path: str, query: Callable[[], str], headers: dict[str, str]) -> Any:
        """Ask until there is an answer: a test that had to ask for long may have used up a minute's weight."""
        while True:
            status, text, retry_after_s = self._open(f"{path}?{query()}", headers)
            if status != 429:
                assert status == 200, f"{path}: {status} {text}"
                return json.loads(text)
            time.sleep(retry_after_s)

    def _open(self, target: str, headers: dict[str, str]) -> tuple[int, str, float]:
        host = self.rest_url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=PATIENCE_S, source_address=(OWN_ADDRESS, 0))
        try:
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), float(answer.headers.get("Retry-After", 1))
        finally:
            connection.close()

    def open_orders(self) -> list[dict[str, Any]]:
        """The account's open orders on the symbol."""
        orders: list[dict[str, Any]] = self.ask("/fapi/v1/openOrders", symbol=self.symbol)
        return orders

    def all_orders(self) -> list[dict[str, Any]]:
        """Every order that the account ever had on the symbol, by pages."""
        return self._pages("/fapi/v1/allOrders", "orderId", "orderId")

    def trades(self) -> list[dict[str, Any]]:
        """Every trade of the account on the symbol, by pages."""
        return self._pages("/fapi/v1/userTrades", "fromId", "id")

    def _pages(self, path: str, parameter: str, field: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        following = 1
        while True:
            page = self.ask(path, symbol=self.symbol, limit=1000, **{parameter: following})
            found += page
            if len(page) < 1000:
                return found
            following = int(page[-1][field]) + 1

    def position(self) -> Decimal:
        """The position on the symbol, in base units."""
        rows = self.ask("/fapi/v3/positionRisk", symbol=self.symbol)
        return sum((Decimal(row["positionAmt"]) for row in rows), Decimal(0))

    def wallet(self, asset: str = "USDT") -> Decimal:
        """The wallet balance of an asset."""
        return next(Decimal(row["balance"]) for row in self.ask("/fapi/v3/balance") if row["asset"] == asset)


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    """Write a text file and return its path."""
    path.write_text("\n".join(lines) + "\n")
    return path

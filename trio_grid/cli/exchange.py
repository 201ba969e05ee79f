"""`trio-grid exchange`: the paper exchange alone, as its own process.

Owns the command's options and the composition of market, accounts, clock and server. It must never trade.
"""

from __future__ import annotations

import argparse
import logging
import re
import signal
import sys
import time
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import attrs
import msgspec
import trio

from trio_grid.config.schema import FASTEST, LARGEST_BALANCE, SYMBOL
from trio_grid.domain.instrument import MoneyUnits, NotRepresentable, money_units
from trio_grid.errors import ConfigError, TrioGridError
from trio_grid.exchange.paper.build import build_exchange
from trio_grid.exchange.paper.engine.exchange import AccountSpec
from trio_grid.exchange.paper.market.synthetic import CHARACTERS
from trio_grid.exchange.paper.server.authentication import ApiKey
from trio_grid.exchange.paper.server.server import DEFAULT_KEY, DEFAULT_SECRET, PaperServer
from trio_grid.exchange.paper.server.server_clock import ServerClock
from trio_grid.testing.faults import FaultInjector, load_faults

LOOPBACK = "127.0.0.1"
DEFAULT_BALANCE = money_units(Decimal(10_000))
GOODBYE_S = 1.0
"""How long clients may take to answer the close frames before their connections are dropped."""


@attrs.frozen
class ExchangeOptions:
    """What the command was asked for; `port` 0 takes any free one."""

    market_files: tuple[Path, ...] = ()
    symbols: tuple[str, ...] = ()
    speed: float = 1.0
    port: int = 0
    seed: int = 1
    character: str = "lively"
    accounts: tuple[tuple[ApiKey, MoneyUnits], ...] = ()
    strict_routing: bool = False
    fault_file: Path | None = None


def add_exchange_parser(subparsers: Any) -> None:
    """Add the command to the program's parser; its handler is `exchange_command`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "exchange",
        help="serve the paper exchange alone",
        description="Serves the paper exchange on the loopback address; prints one JSON line with its URLs when ready.",
    )
    parser.add_argument(
        "--market",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="replay a recording instead of a synthetic market: klines, trades, aggTrades, with them bookTicker and "
        "bookDepth, or stream messages (CSV, JSON lines, zip, gz; repeat for several files of one symbol)",
    )
    parser.add_argument(
        "--symbol",
        action="append",
        type=_symbol,
        default=[],
        metavar="SYMBOL",
        help="the symbol that is traded (default: BTCUSDT, or what the market files say); without market files it may"
        " be given several times, for a synthetic market each",
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        metavar="N",
        help=f"exchange seconds per second, at most {FASTEST} (default: 1)",
    )
    parser.add_argument("--port", type=_port, default=0, metavar="P", help="port to listen on (default: any free one)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the synthetic market (default: 1)")
    parser.add_argument(
        "--character",
        choices=sorted(CHARACTERS),
        default="lively",
        help="numbers of the synthetic market: lively, or calibrated on real klines (default: lively)",
    )
    parser.add_argument(
        "--account",
        action="append",
        type=parse_account,
        default=[],
        metavar="KEY:SECRET[:BALANCE]",
        help="an account with an HMAC key (default: testkey:testsecret with 10000 USDT); may be given several times",
    )
    parser.add_argument(
        "--account-ed25519",
        action="append",
        type=parse_ed25519_account,
        default=[],
        metavar="KEY:PUBLIC_PEM[:BALANCE]",
        help="an account with an Ed25519 (or RSA) key; PUBLIC_PEM is a file or the text itself",
    )
    parser.add_argument(
        "--strict-routing",
        action="store_true",
        help="imitate mainnet: un-routed stream paths deliver only what belongs to /public",
    )
    parser.add_argument(
        "--faults",
        type=Path,
        metavar="FILE",
        help="misbehave as a TOML file says: docs/how-to/make-the-exchange-misbehave.md has the kinds of faults",
    )
    parser.set_defaults(handler=exchange_command)


def exchange_command(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code: 0 after SIGINT or SIGTERM, 2 when it cannot start."""
    options = ExchangeOptions(
        market_files=tuple(arguments.market),
        symbols=tuple(arguments.symbol),
        speed=arguments.speed,
        port=arguments.port,
        seed=arguments.seed,
        character=arguments.character,
        accounts=(*arguments.account, *arguments.account_ed25519),
        strict_routing=arguments.strict_routing,
        fault_file=arguments.faults,
    )
    if options.fault_file is not None:
        tell_of_faults()
    failures: list[BaseException] = []
    try:
        trio.run(run_exchange, options)
    except* (TrioGridError, OSError) as failed:
        failures.append(_first(failed))
    for error in failures:
        sys.stderr.write(f"trio-grid exchange: {error}\n")
        return error.exit_code if isinstance(error, TrioGridError) else ConfigError.exit_code
    return 0


def tell_of_faults() -> None:
    """Have each fault that happens told on standard error."""
    logger = logging.getLogger("trio_grid.testing.faults")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


async def run_exchange(options: ExchangeOptions) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        ConfigError: a market file, a fault file or a key cannot be used.
        OSError: the port is taken, or a file cannot be read.
    """
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        server = make_server(options)
        listeners = await trio.open_tcp_listeners(options.port, host=LOOPBACK)
        async with trio.open_nursery() as nursery:
            urls = await nursery.start(server.run, listeners)
            sys.stdout.buffer.write(msgspec.json.encode(attrs.asdict(urls)) + b"\n")
            sys.stdout.buffer.flush()
            async for _ in signals:
                break
            with trio.move_on_after(GOODBYE_S):
                await server.close_websockets()
            nursery.cancel_scope.cancel(reason="stop requested")


def make_server(options: ExchangeOptions) -> PaperServer:
    """Compose market, accounts, clock and server; call it inside `trio.run`."""
    accounts = options.accounts or ((_default_key(), DEFAULT_BALANCE),)
    exchange = build_exchange(
        start_ms=_wall_ms(),
        seed=options.seed,
        symbol=options.symbols[0] if options.symbols else None,
        further=options.symbols[1:],
        market_files=options.market_files,
        settings=CHARACTERS[options.character],
        accounts=tuple(AccountSpec(name=key.account, balance_units=balance) for key, balance in accounts),
    )
    # Read again: making the market's past takes a while, and clients on this machine sign with its clock.
    start_ms = max(_wall_ms(), exchange.start_ms) if exchange.follows_wall_clock else exchange.start_ms
    return PaperServer(
        exchange,
        clock=ServerClock(start_ms, options.speed),
        keys=[key for key, _ in accounts],
        strict_routing=options.strict_routing,
        seed=options.seed,
        disturbance=None if options.fault_file is None else FaultInjector(load_faults(options.fault_file)),
    )


def parse_account(text: str) -> tuple[ApiKey, MoneyUnits]:
    """Return (API key, balance) of KEY:SECRET[:BALANCE].

    Raises:
        argparse.ArgumentTypeError: the text has another form.
    """
    key, secret, balance = _three_parts(text, "KEY:SECRET[:BALANCE]")
    return ApiKey(key=key, account=key, secret=secret), balance


def parse_ed25519_account(text: str) -> tuple[ApiKey, MoneyUnits]:
    """Return (API key, balance) of KEY:PUBLIC_PEM[:BALANCE]; the PEM is a file's path or the text itself.

    Raises:
        argparse.ArgumentTypeError: the text has another form, or the key cannot be read.
    """
    key, pem, balance = _three_parts(text, "KEY:PUBLIC_PEM[:BALANCE]")
    try:
        api_key = ApiKey(key=key, account=key, public_key_pem=pem if "-----BEGIN" in pem else Path(pem).read_text())
        api_key.verifier()
    except (OSError, ConfigError, UnicodeError) as error:
        raise argparse.ArgumentTypeError(f"the public key of {key} cannot be used: {error}") from None
    return api_key, balance


def _three_parts(text: str, form: str) -> tuple[str, str, MoneyUnits]:
    parts = text.split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise argparse.ArgumentTypeError(f"must have the form {form}")
    if len(parts) == 2:
        return parts[0], parts[1], DEFAULT_BALANCE
    allowed = f"allowed: above 0, at most {LARGEST_BALANCE}, with at most 8 decimals"
    try:
        amount = Decimal(parts[2])
        # Compared before it is converted: a number of many digits would take for ever.
        if not (amount.is_finite() and 0 < amount <= LARGEST_BALANCE):
            raise InvalidOperation
        return parts[0], parts[1], money_units(amount)
    except (InvalidOperation, NotRepresentable):
        raise argparse.ArgumentTypeError(f"the balance {parts[2][:60]!r} of {parts[0]} is refused; {allowed}") from None


def _wall_ms() -> int:
    return int(time.time() * 1000)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= FASTEST:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is refused; allowed: a number above 0, at most {FASTEST}")
    return speed


def _symbol(text: str) -> str:
    if not re.fullmatch(SYMBOL, text):
        raise argparse.ArgumentTypeError(f"{text!r} is no symbol; allowed: one such as BTCUSDT, in capitals")
    return text


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return port


def _default_key() -> ApiKey:
    return ApiKey(key=DEFAULT_KEY, account=DEFAULT_KEY, secret=DEFAULT_SECRET)


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        members: Sequence[BaseException] = error.exceptions
        error = members[0]
    return error

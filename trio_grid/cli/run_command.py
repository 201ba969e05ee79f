"""`trio-grid run`: composes exchange, client, journal and bot, and lets it trade until it is asked to stop.

The outer nursery holds what must outlive the bot and its exit policy: the signals, the embedded exchange, the picture.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
from pathlib import Path

import trio
from rich.console import Console

from trio_grid.cli.connect import open_client, venue_of
from trio_grid.cli.durations import duration_s
from trio_grid.cli.output import LogHandler, say, start_logging
from trio_grid.cli.paper_host import PaperHost, start_over
from trio_grid.cli.picture import LivePicture
from trio_grid.cli.summary import summary_lines
from trio_grid.config import Config, ExchangeKind, load_config
from trio_grid.domain.inputs import TradingState
from trio_grid.errors import ConfigError, ExitUnconfirmed, Halted
from trio_grid.journal.sqlite_journal import open_journal
from trio_grid.services.control_socket import socket_path
from trio_grid.services.stop_request import StopRequest
from trio_grid.supervisor import Bot, RunOptions


def add_run_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `run`."""
    parser = commands.add_parser(
        "run",
        help="run the bot; without a configuration, on the embedded paper exchange",
        description="Runs the bot until Ctrl-C, SIGTERM, `trio-grid stop` or the end of --for; then applies its exit"
        " policy and prints a summary. Without CONFIG it trades on the embedded paper exchange: no account, no money.",
    )
    parser.add_argument(
        "config", nargs="?", type=Path, metavar="CONFIG", help="a TOML file; see docs/reference/config.md"
    )
    parser.add_argument(
        "--for", dest="for_s", type=duration_s, metavar="TIME", help="stop after this time: 60s, 10m, 1h30m"
    )
    parser.add_argument(
        "--market",
        type=Path,
        metavar="FILE",
        help="replay recorded klines or trades on the paper exchange instead of its synthetic market",
    )
    parser.add_argument("--speed", metavar="N", help="seconds of the paper market that pass in one second")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one setting, such as grid.interval=5; may be given several times",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="start the paper exchange and its journal over; what was there is deleted"
    )
    parser.add_argument(
        "--new-lattice",
        action="store_true",
        help="accept another anchor or spacing than the journal's; needs an empty book",
    )
    parser.add_argument(
        "--cancel-strays",
        action="store_true",
        help="cancel the open orders of another trio_grid bot on the symbol, each by its id",
    )
    parser.add_argument(
        "--allow-foreign-position",
        action="store_true",
        help="leave a position that no slot explains alone and count it as foreign",
    )
    parser.set_defaults(handler=run_command)


def run_command(arguments: argparse.Namespace) -> int:
    """Run the bot and return 0 when it was stopped in order."""
    config = load_config(arguments.config, overrides_of(arguments))
    if config.exchange.kind is not ExchangeKind.PAPER:
        wrong = [
            name
            for name, given in (
                ("--market", arguments.market),
                ("--speed", arguments.speed),
                ("--fresh", arguments.fresh),
            )
            if given
        ]
        if wrong:
            raise ConfigError([f'{", ".join(wrong)}: only for exchange.kind = "paper"'])
    handler = start_logging()
    trio.run(_run, config, arguments, handler)
    return 0


def overrides_of(arguments: argparse.Namespace) -> list[str]:
    """Return the settings that the command line overrides."""
    overrides = list(arguments.overrides)
    if arguments.market is not None:
        overrides.append(f"paper.market={_toml_text(str(arguments.market))}")
    if arguments.speed is not None:
        overrides.append(f"paper.speed={arguments.speed}")
    return overrides


def _toml_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


async def _run(config: Config, arguments: argparse.Namespace, handler: LogHandler) -> None:
    """Hold everything that the bot stands on, and let go of it in the reverse order."""
    stop = StopRequest()
    async with trio.open_nursery() as outer:
        await outer.start(stop.watch)
        if arguments.for_s is not None:
            outer.start_soon(stop.after, arguments.for_s)
        if arguments.fresh:
            start_over(config)
        # The journal's lease protects the embedded exchange's file as well, which lies beside it.
        with open_journal(config.journal.path) as journal:
            venue = venue_of(config)
            if venue is None:
                venue = await outer.start(PaperHost(config).run)
            async with open_client(config, venue) as client:
                options = RunOptions(
                    venue=venue.name,
                    cancel_strays=arguments.cancel_strays,
                    allow_foreign_position=arguments.allow_foreign_position,
                    new_lattice=arguments.new_lattice,
                    control_socket=socket_path(config.journal.path),
                    strategy=arguments.strategy,
                )
                bot = Bot(
                    config,
                    options,
                    market=client,
                    execution=client,
                    journal=journal,
                    stop=stop,
                    jitter=random.SystemRandom().random,
                )
                await _show_and_trade(bot, handler)
            outer.cancel_scope.cancel()


async def _show_and_trade(bot: Bot, handler: LogHandler) -> None:
    """Trade, with the live picture where there is a terminal; print the summary however the trading ended.

    Raises:
        Halted: a safety rule had stopped trading when the stop was requested.
        ExitUnconfirmed: orders may rest against the exit policy; together with what ended the bot, if anything did.
    """
    console = Console(highlight=False)
    unconfirmed: ExitUnconfirmed | None = None
    try:
        async with trio.open_nursery() as nursery:
            if console.is_terminal and os.environ.get("TERM") != "dumb":
                await nursery.start(LivePicture(bot, console, handler).run)
            try:
                await bot.run()
            finally:
                nursery.cancel_scope.cancel()
                report = bot.report
                if report is not None and not report.exit.confirmed:
                    unconfirmed = ExitUnconfirmed(report.exit.warning)
    except Exception as error:
        _say_summary(bot)
        if unconfirmed is not None:
            raise ExceptionGroup(
                "the bot ended with an error, and its exit policy is not confirmed", [error, unconfirmed]
            ) from None
        raise
    _say_summary(bot)
    if unconfirmed is not None:
        raise unconfirmed
    if bot.report is not None and bot.report.after.trading_state is TradingState.HALTED:
        raise Halted(f"trading was HALTED: {bot.report.after.state_reason}")


def _say_summary(bot: Bot) -> None:
    """Print the summary; a terminal that is gone takes it with it, but not the exit code."""
    if bot.report is not None:
        with contextlib.suppress(OSError):
            say("\n".join(summary_lines(bot.report)))

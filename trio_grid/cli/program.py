"""The command line: `trio-grid COMMAND`. Composes the live system and maps errors to exit codes, here and nowhere else.

Exit codes: 0 ok, 2 usage or configuration, 3 exchange refused or unreachable, 4 halted by a safety rule, 5 orders may
rest on the exchange against the exit policy, 70 internal error, 130 interrupted before anything was started.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence

from trio_grid import __version__
from trio_grid.cli import INTERRUPTED
from trio_grid.cli.check_command import add_check_parser
from trio_grid.cli.control_commands import add_control_parsers
from trio_grid.cli.exchange import add_exchange_parser
from trio_grid.cli.journal_commands import add_journal_parser
from trio_grid.cli.output import complain
from trio_grid.cli.run_command import add_run_parser
from trio_grid.cli.simulate import add_simulate_parser
from trio_grid.domain.strategy import Strategy
from trio_grid.errors import TrioGridError

log = logging.getLogger(__name__)

INTERNAL_ERROR = 70
_EPILOG = """exit codes: 0 ok, 2 usage or configuration, 3 exchange refused or unreachable, 4 halted by a safety rule,
5 orders may rest on the exchange against the exit policy, 70 internal error, 130 interrupted before anything was
started"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; each command sets `handler` or `command` to a function from arguments to an exit code."""
    parser = argparse.ArgumentParser(
        prog="trio-grid", description="A grid-trading bot on Trio: every order accounted for.", epilog=_EPILOG
    )
    parser.add_argument("--version", action="version", version=f"trio-grid {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_run_parser(commands)
    add_exchange_parser(commands)
    add_check_parser(commands)
    add_control_parsers(commands)
    add_journal_parser(commands)
    add_simulate_parser(commands)
    return parser


def run_command_line(argv: Sequence[str] | None, strategy: Strategy | None) -> int:
    """Run one command and return its exit code; what went wrong is on the standard error, in the user's words."""
    arguments = build_parser().parse_args(argv)
    arguments.strategy = strategy
    code = 0
    try:
        run = getattr(arguments, "handler", None) or arguments.command
        code = int(run(arguments))
    except* TrioGridError as group:
        told = [error for error in leaves(group) if isinstance(error, TrioGridError)]
        for text in dict.fromkeys(str(error) or type(error).__name__ for error in told):
            complain(f"trio-grid: {text}")
        code = max(worst_code(told), code)
    except* BrokenPipeError:
        # Whoever read our output has gone; the descriptor is pointed elsewhere so that Python's exit stays silent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = max(1, code)
    except* KeyboardInterrupt:
        complain("trio-grid: interrupted")
        code = max(INTERRUPTED, code)
    except* Exception as group:
        log.critical("internal error", exc_info=group)
        complain(f"trio-grid: internal error: {'; '.join(repr(error) for error in leaves(group))}")
        code = INTERNAL_ERROR
    return code


def worst_code(errors: Sequence[TrioGridError]) -> int:
    """Return the exit code of several errors: the highest, and a safety rule before an unreachable exchange."""
    return max((error.exit_code for error in errors), default=0)


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Return the single errors of a group, in order."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error

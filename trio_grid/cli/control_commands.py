"""`trio-grid status | pause | resume | stop | explain`: talk to a running bot over the socket beside its journal."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec
import trio

from trio_grid.cli.output import say, table
from trio_grid.config import load_config
from trio_grid.services.control_socket import ControlRequest, ask, socket_path

Show = Callable[[dict[str, Any]], str]


def add_control_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands that talk to a running bot."""
    status = _add(commands, "status", "show a running bot's state, position and orders", _status)
    status.add_argument("--json", action="store_true", help="print the whole answer as one line of JSON")
    pause = _add(commands, "pause", "stop openings and cancel resting ones; exits go on", _pause)
    pause.add_argument("--reason", default="", metavar="WORDS", help="goes into the journal")
    resume = _add(commands, "resume", "reconcile, then trade again", _resume)
    resume.add_argument("--reason", default="", metavar="WORDS", help="goes into the journal")
    resume.add_argument(
        "--accept-position",
        default="",
        metavar="WORDS",
        help="book a position difference that no trade explains as foreign, with these words in the journal",
    )
    resume.add_argument(
        "--write-off",
        default="",
        metavar="WORDS",
        help="write off slot inventory that the exchange closed by itself (liquidation, ADL, delisting)",
    )
    stop = _add(commands, "stop", "stop a running bot in order, with its exit policy", _stop)
    stop.add_argument("--reason", default="", metavar="WORDS", help="goes into the log")
    explain = _add(
        commands, "explain", "say what each slot near a price would do, and which rule stops it", _explain, config=False
    )
    explain.add_argument("price", type=_price, metavar="PRICE", help="the price to look at")
    _add_config(explain)


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    handler: Callable[[argparse.Namespace], int],
    *,
    config: bool = True,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    if config:
        _add_config(parser)
    parser.add_argument("--journal", type=Path, metavar="FILE", help="the bot's journal, instead of its configuration")
    parser.set_defaults(handler=handler)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config",
        nargs="?",
        type=Path,
        metavar="CONFIG",
        help="the configuration that the bot runs with (default: the one of `run` without a configuration)",
    )


def _price(text: str) -> str:
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is not a price; allowed: a positive number") from None
    if not price.is_finite() or price <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a price; allowed: a positive number")
    return text


def _ask(arguments: argparse.Namespace, request: ControlRequest) -> dict[str, Any]:
    journal: Path | None = arguments.journal
    path = load_config(arguments.config).journal.path if journal is None else journal
    return trio.run(ask, socket_path(path), request)


def _status(arguments: argparse.Namespace) -> int:
    answer = _ask(arguments, ControlRequest(command="status"))
    say(msgspec.json.encode(answer).decode() if arguments.json else show_status(answer))
    return 0


def _pause(arguments: argparse.Namespace) -> int:
    say(str(_ask(arguments, ControlRequest(command="pause", reason=arguments.reason))["said"]))
    return 0


def _resume(arguments: argparse.Namespace) -> int:
    request = ControlRequest(
        command="resume",
        reason=arguments.reason,
        accept_position=arguments.accept_position,
        write_off=arguments.write_off,
    )
    say(str(_ask(arguments, request)["said"]))
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    say(str(_ask(arguments, ControlRequest(command="stop", reason=arguments.reason))["said"]))
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    say(show_explanation(_ask(arguments, ControlRequest(command="explain", price=arguments.price))))
    return 0


def show_status(answer: dict[str, Any]) -> str:
    """Return a status answer as lines: one fact each, then the slots."""
    hidden = {"slots", "alerts", "last_reconciliation_ms"}
    lines = table([(name.replace("_", " "), _plain(value)) for name, value in answer.items() if name not in hidden])
    slots = answer["slots"]
    if slots:
        head = ("slot", "use", "status", "inventory", "order")
        rows = [tuple(_plain(slot[name]) for name in ("rung", "use", "status", "inventory", "order")) for slot in slots]
        lines += ["", *table([head, *rows], right=frozenset({0, 3}))]
    lines += [f"ALERT {alert}" for alert in answer["alerts"]]
    return "\n".join(lines)


def show_explanation(answer: dict[str, Any]) -> str:
    """Return an explanation as lines, one slot each."""
    lines = [f"at {answer['price']}:"]
    lines += [f"closed: {door}" for door in answer["closed_doors"]]
    for slot in answer["slots"]:
        why = f" -- not now: {slot['stopped_by']}" if slot["stopped_by"] else ""
        lines.append(
            f"  slot {slot['rung']:>5} {slot['use']:<5} {slot['status']:<10} holds {slot['inventory']}:"
            f" {slot['would']}{why}"
        )
    return "\n".join(lines)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(part) for part in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items()) or "-"
    return "-" if value is None or value == "" else str(value)

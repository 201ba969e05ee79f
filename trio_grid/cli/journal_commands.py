"""`trio-grid journal show | verify | replay | prune`: what a journal holds, whether it is sound, and making it smaller.

Owns the options and the wording. `show`, `verify` and `replay` only read, also beside a running bot; `prune` needs the
journal for itself. None of them ever speaks to an exchange.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from trio_grid.config import load_config
from trio_grid.errors import JournalError
from trio_grid.journal.archive import archives_of
from trio_grid.journal.display import KINDS, lines, select
from trio_grid.journal.pruning import prune
from trio_grid.journal.reader import JournalReader, read_journal
from trio_grid.journal.recovery import replay_all, verify

DEFAULT_LIMIT = 50
_BY_LOWER_NAME = {kind.lower(): kind for kind in KINDS}


def add_journal_parser(subparsers: Any) -> None:
    """Add the command and its four verbs to the program's parser; each sets `handler`, a function to an exit code."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "journal",
        help="show, verify, replay or prune a journal",
        description="Reads a bot's journal: every input that reached a decision, and every decision.",
    )
    verbs = parser.add_subparsers(dest="journal_verb", required=True, metavar="VERB")
    show = _verb(verbs, "show", show_command, "print records as lines, the latest ones unless told otherwise")
    show.add_argument(
        "--kind",
        action="append",
        type=_kind,
        default=[],
        metavar="KIND",
        help=f"only records of this kind; may be given several times. Kinds: {', '.join(KINDS)}",
    )
    show.add_argument("--slot", type=int, metavar="RUNG", help="only records about this slot")
    show.add_argument(
        "--limit",
        type=_limit,
        default=DEFAULT_LIMIT,
        metavar="N",
        help="at most the last N matching records; 0 for all (default: %(default)s)",
    )
    show.add_argument("--json", action="store_true", help="print each record as one JSON line, and no heading")
    _verb(verbs, "verify", verify_command, "check the file, the sequence, every row and every state image")
    _verb(verbs, "replay", replay_command, "derive every decision again and report the first difference")
    _verb(
        verbs, "prune", prune_command, "archive the records that the last state image makes needless, then remove them"
    )


def show_command(arguments: argparse.Namespace) -> int:
    """Print the chosen records.

    Raises:
        JournalError: the journal cannot be read.
    """
    with read_journal(_path(arguments)) as reader:
        chosen = select(reader, kinds=tuple(arguments.kind), slot=arguments.slot, limit=arguments.limit or None)
        if arguments.json:
            return _print(msgspec.json.encode(record).decode() for record in chosen)
        return _print((*_heading(reader), *lines(reader, chosen)))


def verify_command(arguments: argparse.Namespace) -> int:
    """Print what was looked at and every problem; 0 when there is none, 4 otherwise.

    Raises:
        JournalError: the journal cannot even be opened.
    """
    path = _path(arguments)
    found = verify(path, strategy=getattr(arguments, "strategy", None))
    looked_at = (
        f"{path}: {found.records} records, {found.archived} archived, {found.images} images,"
        f" {found.sessions} sessions, last record {found.last_sequence}"
    )
    verdict = f"{len(found.problems)} problem(s)" if found.problems else "sound"
    _print((looked_at, *(f"problem: {problem}" for problem in found.problems), verdict))
    return JournalError.exit_code if found.problems else 0


def replay_command(arguments: argparse.Namespace) -> int:
    """Print the first difference; 0 when there is none, 4 otherwise.

    Raises:
        JournalError: the journal cannot be read.
    """
    path = _path(arguments)
    difference = replay_all(path, strategy=getattr(arguments, "strategy", None))
    if difference is not None:
        _print((f"first difference: {difference}",))
        return JournalError.exit_code
    with read_journal(path) as reader:
        decisions, last = reader.count("Decision"), reader.last_sequence()
    return _print((f"{path}: no difference up to record {last} ({decisions} decisions in the file)",))


def prune_command(arguments: argparse.Namespace) -> int:
    """Prune and print what was done.

    Raises:
        JournalInUse: a bot holds the journal.
        JournalError: nothing could be removed safely.
    """
    path = _path(arguments)
    done = prune(path)
    if done.archive is None:
        return _print(("nothing to prune: no record is older than the last state image",))
    return _print(
        (
            f"{done.archived} records up to {done.image_sequence} were moved to {done.archive}",
            f"{path}: {done.bytes_before} bytes before, {done.bytes_after} after",
        )
    )


def _heading(reader: JournalReader) -> Iterable[str]:
    identity = reader.identity()
    if identity is not None:
        yield f"# bot {identity.bot_id}, {identity.symbol} on {identity.venue}"
    sessions = reader.sessions()
    session = f"session {sessions[-1].session}" if sessions else "no session"
    archived = f", {len(archives_of(reader.path))} archive(s)" if archives_of(reader.path) else ""
    first = reader.first_sequence()
    held = "no records" if first is None else f"records {first}..{reader.last_sequence()}"
    yield f"# {session}, {held}{archived}"


def _verb(
    verbs: Any, name: str, handler: Callable[[argparse.Namespace], int], help_text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=help_text, description=help_text.capitalize() + ".")
    parser.add_argument(
        "journal_path",
        nargs="?",
        type=Path,
        metavar="JOURNAL",
        help="a journal's file, or a configuration (.toml) whose journal is meant"
        " (default: the journal of `run` without a configuration)",
    )
    parser.set_defaults(handler=handler)
    return parser


def _path(arguments: argparse.Namespace) -> Path:
    given: Path | None = arguments.journal_path
    if given is None or given.suffix == ".toml":
        return load_config(given).journal.path
    return given


def _kind(text: str) -> str:
    try:
        return _BY_LOWER_NAME[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a kind; allowed: {', '.join(KINDS)}") from None


def _limit(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _print(texts: Iterable[str]) -> int:
    """Write lines to the standard output, flushed once: there can be very many; return exit code 0."""
    for text in texts:
        sys.stdout.write(text + "\n")
    sys.stdout.flush()
    return 0

"""Owns what the commands write: log lines, tables and summaries, to a terminal or a file.

It must never decide anything and never show a secret: values that are secrets are of a type that does not show itself.
"""

from __future__ import annotations

import datetime
import logging
import sys
from collections.abc import Callable, Sequence


def say(text: str) -> None:
    """Write one text and a newline to the standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Write one text and a newline to the standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


class LogHandler(logging.Handler):
    """Writes each record as one line: time in UTC, level, message with its key=value fields."""

    def __init__(self, write: Callable[[str], None] = say) -> None:
        super().__init__()
        self.write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; a reader that has gone away (closed pipe or terminal) is no reason to stop trading."""
        try:
            self.write(self.format(record))
        except OSError:
            self.write = _nowhere
        except Exception:
            self.handleError(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows in lines of its own."""
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        text = f"{moment:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03d}Z {record.levelname} {record.getMessage()}"
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        return text


def _nowhere(_: str) -> None:
    return


def start_logging(level: int = logging.INFO) -> LogHandler:
    """Send this program's log lines to the standard output, other libraries' from WARNING on; return the handler."""
    handler = LogHandler()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("trio_grid").setLevel(level)
    return handler


def table(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Return rows as aligned lines; columns in `right` are aligned to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines

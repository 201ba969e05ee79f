"""Fault files: TOML in, a plan out, and every fault of the file at once with its path, value and what is allowed.

Owns the form of the files. Whatever is wrong ends as one ConfigError; no text leads to another exception.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from cattrs.errors import BaseValidationError

from trio_grid.config.loading import LARGEST_FILE_BYTES, parse_toml, where_and_what
from trio_grid.config.structure import CONVERTER, ValueRefused, faults_in, shown, structure_value, unknown_key
from trio_grid.errors import ConfigError
from trio_grid.testing.faults.model import Fault
from trio_grid.testing.faults.plan import KINDS, FaultPlan, faults_of

MOST_FAULTS = 10_000
KEYS = ("seed", "fault")


def load_faults(path: Path) -> FaultPlan:
    """Return the plan of a fault file.

    Raises:
        ConfigError: anything that is wrong, all of it at once.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name has characters that no file name has"
        raise ConfigError([f"{path}: cannot be read: {reason}"]) from None
    if len(content) > LARGEST_FILE_BYTES:
        raise ConfigError([f"{path}: is larger than {LARGEST_FILE_BYTES} bytes: this is no fault file"])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: byte {error.start} is not UTF-8"]) from None
    return parse_faults(text, source=str(path))


def parse_faults(text: str, *, source: str = "faults") -> FaultPlan:
    """Return the plan that a TOML text holds; `source` names it in faults.

    Raises:
        ConfigError: anything that is wrong, all of it at once.
    """
    try:
        data = parse_toml(text)
    except ValueError as error:
        raise ConfigError([f"{source}: {where_and_what(str(error))}"]) from None
    wrong = [f"{source}: $.{key}: {unknown_key(key, KEYS)}" for key in data if key not in KEYS]
    seed, rows = 1, data.get("fault", [])
    try:
        seed = structure_value(data.get("seed", 1), int)
    except ValueRefused as refused:
        wrong.append(f"{source}: $.seed: {refused}")
    if not isinstance(rows, list) or len(rows) > MOST_FAULTS:
        wrong.append(f"{source}: $.fault: {shown(rows)} is refused; allowed: at most {MOST_FAULTS} tables [[fault]]")
        rows = []
    faults: list[Fault] = []
    for place, row in enumerate(rows):
        found = list(_structured(row, faults))
        wrong += [f"{source}: $.fault[{place}]{path}: {words}" for path, words in found]
    if wrong:
        raise ConfigError(wrong)
    return FaultPlan(tuple(faults), seed)


def _structured(row: Any, faults: list[Fault]) -> Iterator[tuple[str, str]]:
    """Add the fault of one table, or yield everything that is wrong with it as (path in the table, words)."""
    if not isinstance(row, dict):
        yield "", f"{shown(row)} is refused; allowed: a table"
        return
    kind, allowed = row.get("kind"), f"allowed: {', '.join(KINDS)}"
    if "kind" not in row:
        yield ".kind", f"is missing; {allowed}"
        return
    if not isinstance(kind, str) or kind not in KINDS:
        close = difflib.get_close_matches(str(kind), KINDS, n=1)
        yield ".kind", f"{shown(kind)} is refused; {f'did you mean {close[0]}?' if close else allowed}"
        return
    values = {key: value for key, value in row.items() if key != "kind"}
    cls = KINDS[kind]
    try:
        fault = CONVERTER.structure(values, cls)
    except BaseValidationError as error:
        attrs.resolve_types(cls, include_extras=True)
        yield from faults_in(error, values, cls, "")
        return
    found = list(faults_of(fault))
    yield from ((f".{path}", words) for path, words in found)
    if not found:
        faults.append(fault)

"""Reading a configuration: the file, the overrides of the command line, and all faults at once.

Whatever is wrong ends as one ConfigError; no text, file or override leads to another exception.
"""

import re
import tomllib
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from importlib import resources
from pathlib import Path
from typing import Any

from cattrs.errors import BaseValidationError

from trio_grid.config.cross_rules import faults_between, faults_between_what_is_known
from trio_grid.config.schema import Config
from trio_grid.config.structure import CONVERTER, faults_in, partial
from trio_grid.errors import ConfigError

LARGEST_FILE_BYTES = 1_000_000
POSITION = re.compile(r"(?s)(.*) \(at (?:line (\d+), column (\d+)|end of document)\)")
KEY = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
BARE_WORD = re.compile(r"[A-Za-z0-9_./~:@%+-][A-Za-z0-9_./~:@%+\[\] -]*")


def load_config(path: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration of a TOML file, or without one the default: the embedded paper exchange.

    Overrides are `section.key=value`, each value in TOML or a bare word.

    Raises:
        ConfigError: anything that is wrong, all of it at once.
    """
    if path is None:
        text = resources.files("trio_grid.config").joinpath("paper.toml").read_text(encoding="utf-8")
        return parse_config(text, overrides, source="the default configuration")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name has characters that no file name has"
        raise ConfigError([f"{path}: cannot be read: {reason}"]) from None
    if len(content) > LARGEST_FILE_BYTES:
        raise ConfigError([f"{path}: is larger than {LARGEST_FILE_BYTES} bytes: this is no configuration"])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: byte {error.start} is not UTF-8"]) from None
    return parse_config(text, overrides, source=str(path))


def parse_config(text: str, overrides: Sequence[str] = (), *, source: str = "configuration") -> Config:
    """Return the configuration that a TOML text holds; `source` names it in faults.

    Raises:
        ConfigError: anything that is wrong, all of it at once.
    """
    try:
        data = parse_toml(text)
    except ValueError as error:
        raise ConfigError([f"{source}: {where_and_what(str(error))}"]) from None
    faults = [fault for override in overrides for fault in apply_override(data, override)]
    config, more = structure(data)
    if config is None or faults:
        raise ConfigError([*faults, *(f"{path}: {words}" for path, words in more)])
    return config


def structure(data: dict[str, Any]) -> tuple[Config | None, list[tuple[str, str]]]:
    """Return the configuration, or None and every fault as (path, words)."""
    try:
        config = CONVERTER.structure(data, Config)
    except BaseValidationError as error:
        found = list(faults_in(error, data, Config))
    else:
        found = list(faults_between(config))
        return (None, found) if found else (config, [])
    known = partial(Config, data, frozenset(path for path, _ in found))
    return None, [*found, *faults_between_what_is_known(known)]


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text, its numbers exact; raises ValueError for anything that is not TOML."""
    try:
        return tomllib.loads(text, parse_float=exact_number)
    except RecursionError:
        raise ValueError("lists or tables lie too deep in each other") from None


def exact_number(text: str) -> Decimal:
    """Return a TOML number as a decimal; raises ValueError where the exponent is beyond all bounds."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"the number {text[:20]} is beyond all bounds") from None


def where_and_what(message: str) -> str:
    """Return a fault of the TOML parser with its place in front."""
    match = POSITION.fullmatch(message)
    if match is None:
        return message
    what, line, column = match.groups()
    return f"line {line}, column {column}: {what}" if line else f"end of the file: {what}"


def apply_override(data: dict[str, Any], override: str) -> Iterable[str]:
    """Put one `section.key=value` into the tables; yield what is wrong with it.

    A key that does not exist is found later, with all other unknown keys.
    """
    key, equals, value = override.partition("=")
    key = key.strip()
    if not equals or not KEY.fullmatch(key):
        # The text is not repeated: it may be a secret that was meant for somewhere else.
        yield "--set: an override has no key; allowed: section.key=value, such as grid.interval=5"
        return
    try:
        parsed = override_value(value.strip())
    except ValueError as error:
        yield f"--set {key}: {where_and_what(str(error))}"
        return
    *tables, last = key.split(".")
    target = data
    for depth, name in enumerate(tables):
        inner = target.setdefault(name, {})
        if not isinstance(inner, dict):
            yield f"--set {key}: $.{'.'.join(tables[: depth + 1])} is no table; allowed: the path of one setting"
            return
        target = inner
    target[last] = parsed


def override_value(text: str) -> Any:
    """Return an override's value: TOML, or a bare word as a text; raises ValueError for anything else."""
    try:
        tables = parse_toml(f"value = {text}")
    except ValueError:
        if BARE_WORD.fullmatch(text):
            return text
        raise ValueError("the value is not TOML; allowed: a number, true, false, or a text in quotes") from None
    if list(tables) != ["value"]:
        raise ValueError("more than one value is given; allowed: one")
    return tables["value"]

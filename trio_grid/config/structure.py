"""From parsed TOML to settings, through cattrs, with every fault that there is.

Types are strict: a whole number is not 3.9, not "3" and not true; a decimal is a number and no text. What a setting
allows is told in the same words in a fault and in the reference (`allowed_words`). Values marked Hidden never appear.
"""

import difflib
import enum
import json
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError

from trio_grid.config.rules import Hidden, Rule

LONGEST_SHOWN_VALUE = 60
LARGEST_NUMBER = Decimal(10) ** 15
SMALLEST_EXPONENT = -18
"""Bounds of every number: wide enough for any price, and narrow enough that exact arithmetic stays cheap."""
TYPE_WORDS: dict[Any, str] = {
    int: "a whole number",
    Decimal: "a number",
    float: "a number of seconds",
    bool: "true or false",
    str: "a text",
    Path: "the path of a file",
    tuple[str, ...]: "a list of texts",
}
Table = Mapping[str, Any]


class ValueRefused(ValueError):
    """One value is not what its setting allows; the text is a fault without its path."""


def allowed_words(annotation: Any) -> str:
    """Return what a setting allows, in the user's words: `a whole number, at least 1`."""
    base, rules = unwrapped(annotation)
    if isinstance(base, type) and issubclass(base, enum.Enum):
        words = [f'"{member.value}"' for member in base]
        return " or ".join([", ".join(words[:-1]), words[-1]])
    if attrs.has(base):
        return "a table"
    return ", ".join([TYPE_WORDS[base], *(rule.words for rule in rules if rule.words)])


def unwrapped(annotation: Any) -> tuple[Any, tuple[Rule, ...]]:
    """Return the plain type of an annotation and its rules; `None` in a union is left out."""
    if get_origin(annotation) in {Union, types.UnionType}:
        (annotation,) = (part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Annotated:
        base, *rules = get_args(annotation)
        return base, tuple(rules)
    return annotation, ()


def shown(value: Any) -> str:
    """Return a value as the user would write it, shortened."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, dict):
        return "a table"
    elif isinstance(value, list | tuple):
        if not all(isinstance(part, str) for part in value):
            return "a list"
        text = f"[{', '.join(shown(part) for part in value)}]"
    elif isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        return "a number of many digits"
    else:
        text = str(value)
    return text if len(text) <= LONGEST_SHOWN_VALUE else text[: LONGEST_SHOWN_VALUE - 3] + "..."


def refuse(value: Any, annotation: Any) -> ValueRefused:
    """Return the fault of a value that its setting does not allow."""
    hidden = any(isinstance(rule, Hidden) for rule in unwrapped(annotation)[1])
    subject = "the value (not shown here)" if hidden else shown(value)
    return ValueRefused(f"{subject} is refused; allowed: {allowed_words(annotation)}")


def is_sane(value: int | Decimal) -> bool:
    """Return whether a number is finite, not huge and not endlessly fine."""
    if isinstance(value, int):
        return abs(value) < LARGEST_NUMBER * 10**6
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= SMALLEST_EXPONENT and abs(value) < LARGEST_NUMBER


def strict_number(value: Any) -> bool:
    """Return whether a TOML value is a number, and a sane one."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool) and is_sane(value)


def strictly(base: Any, value: Any) -> Any:
    """Return a TOML value as the plain type; raises TypeError or ValueError if it is something else."""
    if base is bool and isinstance(value, bool):
        return value
    if base is int and strict_number(value) and isinstance(value, int):
        return value
    if base in {Decimal, float} and strict_number(value):
        return base(value)
    if base is str and isinstance(value, str):
        return value
    if base is Path and isinstance(value, str) and value and value.isprintable():
        return Path(value).expanduser()
    if base == tuple[str, ...] and isinstance(value, list) and all(isinstance(part, str) for part in value):
        return tuple(value)
    if isinstance(base, type) and issubclass(base, enum.Enum) and isinstance(value, str):
        return base(value)
    raise TypeError


def structure_value(value: Any, annotation: Any) -> Any:
    """Return one setting's value; raises ValueRefused in the user's words."""
    base, rules = unwrapped(annotation)
    try:
        result = strictly(base, value)
    except (TypeError, ValueError, RuntimeError):
        # RuntimeError: a path begins with ~ and there is no such home folder.
        result = None
    if result is None or not all(rule.holds(result) for rule in rules):
        raise refuse(value, annotation) from None
    return result


def is_annotated(annotation: Any) -> bool:
    """Return whether a type carries rules."""
    return get_origin(annotation) is Annotated


def make_converter() -> cattrs.Converter:
    """Return the converter of the settings: unknown keys refused, every type strict."""
    converter = cattrs.Converter(forbid_extra_keys=True)
    for base in (bool, int, Decimal, float, str, Path):
        converter.register_structure_hook(base, structure_value)
    converter.register_structure_hook_func(
        lambda annotation: isinstance(annotation, type) and issubclass(annotation, enum.Enum), structure_value
    )
    converter.register_structure_hook_func(is_annotated, structure_value)

    def table_hook(cls: Any) -> Callable[[Any, Any], Any]:
        structure_fields = cattrs.gen.make_dict_structure_fn(cls, converter)

        def structure_table(value: Any, annotation: Any) -> Any:
            if not isinstance(value, dict):
                raise refuse(value, annotation)
            return structure_fields(value, annotation)

        return structure_table

    converter.register_structure_hook_factory(attrs.has, table_hook)
    return converter


CONVERTER = make_converter()


def faults_in(error: Exception, data: Any, cls: Any, path: str = "$") -> Iterator[tuple[str, str]]:
    """Yield (path, words) for each fault of a structuring error, in the order of the settings."""
    if not isinstance(error, ClassValidationError):
        yield path, str(error)
        return
    with_notes, without = error.group_exceptions()
    for part, note in with_notes:
        inner = f"{path}.{note.name}"
        if isinstance(part, KeyError):
            yield inner, f"is missing; allowed: {allowed_words(note.type)}"
        else:
            yield from faults_in(part, data.get(note.name), unwrapped(note.type)[0], inner)
    for part in without:
        if isinstance(part, ForbiddenExtraKeysError):
            names = [field.name for field in attrs.fields(cls)]
            for key in data:
                if key not in names:
                    yield f"{path}.{key}", unknown_key(key, names)
        else:
            yield path, str(part)


def unknown_key(key: str, names: Iterable[str]) -> str:
    """Return the fault of a key that does not exist, with the names that it may have been meant to be."""
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"allowed: {', '.join(names)}"
    return f"unknown key; {hint}"


def partial(cls: Any, data: Any, faulty: frozenset[str], path: str = "$") -> Any:
    """Return an instance that has only the settings without fault; the others are unset, and reading them raises.

    It serves the rules between settings alone: each that reads nothing faulty is then checked together with the rest.
    """
    instance = cls.__new__(cls)
    for field in attrs.fields(attrs.resolve_types(cls, include_extras=True)):
        inner = f"{path}.{field.name}"
        if inner not in faulty:
            object.__setattr__(instance, field.name, value_of(field, data, faulty, inner))
    return instance


def value_of(field: Any, data: Any, faulty: frozenset[str], path: str) -> Any:
    """Return the value of a field that has no fault of its own, from the data or from its default."""
    if field.name not in data:
        return default_of(field)
    base = unwrapped(field.type)[0]
    if attrs.has(base):
        return partial(base, data[field.name], faulty, path)
    return CONVERTER.structure(data[field.name], field.type)


def default_of(field: Any) -> Any:
    """Return the default of a field; `attrs.NOTHING` where a value is needed."""
    # A type for type checkers, a class at run time: `attrs.Factory` makes what attrs keeps as the default.
    factory = getattr(field.default, "factory", None)
    return field.default if factory is None else factory()

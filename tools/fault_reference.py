"""Write the tables of docs/how-to/make-the-exchange-misbehave.md from trio_grid.testing.faults, or check them.

`python -m tools.fault_reference` compares and returns 1 on a difference; `--write` writes them.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from tools.config_reference import field_texts
from trio_grid.config.structure import allowed_words, shown
from trio_grid.testing.faults import KINDS, Fault, Match, Place, When
from trio_grid.testing.faults.model import parameters_of

TARGET = Path(__file__).resolve().parent.parent / "docs" / "how-to" / "make-the-exchange-misbehave.md"
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"
HEADINGS = {
    Place.REQUEST: "Requests, by REST and by the WebSocket API",
    Place.LINK: "WebSockets",
    Place.EVENT: "User events",
    Place.ACT: "What the exchange does by itself",
}


def resolved(cls: type) -> tuple[Any, ...]:
    """Return the fields of a class with their types."""
    attrs.resolve_types(cls, include_extras=True)
    return tuple(attrs.fields(cls))


def value_words(field: Any) -> str:
    """Return a parameter's default as a fault file has it."""
    default = getattr(field.default, "value", field.default)
    return "none" if default is None else shown(default)


def parameter_words(cls: type[Fault]) -> Iterator[str]:
    """Yield each parameter of a kind with its default, what is allowed and what it does."""
    texts = {name: text for base in reversed(cls.__mro__[:-1]) for name, text in field_texts(base).items()}
    resolved(cls)
    for field in parameters_of(cls):
        yield f"`{field.name}` = {value_words(field)} ({allowed_words(field.type)}): {texts[field.name]}"


def kind_rows(place: Place) -> Iterator[str]:
    """Yield the rows of the kinds that stand in a place."""
    for kind, cls in KINDS.items():
        if cls.place is place:
            what = " ".join((cls.__doc__ or "").split())
            parameters = "<br>".join(parameter_words(cls)).replace("|", "\\|")
            keys = ", ".join(f"`{name}`" for name in cls.matches)
            yield f"| `{kind}` | {what} | {parameters} | {keys} | {cls.rows} |"


def tables() -> str:
    """Return all tables as Markdown."""
    lines: list[str] = []
    for title, cls in (("`when`: the trigger", When), ("`match`: what it happens to", Match)):
        texts = field_texts(cls)
        lines += [f"### {title}", "", "| key | allowed | meaning |", "|---|---|---|"]
        for field in resolved(cls):
            lines.append(f"| `{field.name}` | {allowed_words(field.type)} | {texts[field.name]} |")
        lines.append("")
    for place, heading in HEADINGS.items():
        lines += [f"### {heading}", "", "| kind | what happens | parameters | match | rows |", "|---|---|---|---|---|"]
        lines += [*kind_rows(place), ""]
    return "\n".join(lines)


def updated(text: str) -> str:
    """Return the document with the tables as the code has them."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write the tables, or compare them with the file."""
    text = TARGET.read_text(encoding="utf-8")
    if "--write" in arguments:
        TARGET.write_text(updated(text), encoding="utf-8")
        return 0
    if updated(text) == text:
        return 0
    print(f"{TARGET} is not what the code says: run `just docs --write`")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

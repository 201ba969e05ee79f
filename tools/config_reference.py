"""Generate docs/reference/config.md from the attrs classes of trio_grid.config, or check that it is what they say.

`python tools/config_reference.py` compares and returns 1 on a difference; `--write` writes the file.
"""

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from trio_grid.config import schema
from trio_grid.config.structure import allowed_words, shown, unwrapped

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference" / "config.md"
HEAD = """\
# Configuration reference

Generated from `trio_grid/config/schema.py` by `just docs --write`; `just test` fails when the two differ.

The configuration is one TOML file. Unknown keys are refused, every fault is reported at once with its path
(`$.grid.levels`), and one setting can be changed for one run: `trio-grid run --set grid.interval=5`. Numbers are
exact decimals, whole numbers are strict (`3.0` and `"3"` are refused where a whole number is wanted).
"""


def field_texts(cls: type) -> dict[str, str]:
    """Return the text that stands below each field of a class."""
    (node,) = ast.parse(inspect.getsource(cls)).body
    if not isinstance(node, ast.ClassDef):
        raise TypeError(f"{cls} is no class")
    texts: dict[str, str] = {}
    for field, text in zip(node.body, node.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                texts[name] = " ".join(words.split())
            case _:
                pass
    return texts


def default_words(field: Any) -> str:
    """Return a field's default as it would be written."""
    if field.default is attrs.NOTHING:
        return "none; this setting is required"
    if field.default is None:
        return "not set"
    value = field.default
    return f"`{shown(str(value) if isinstance(value, Path) else value)}`"


def section_lines(name: str, cls: Any) -> Iterator[str]:
    """Yield the lines of one section, and of the tables inside of it."""
    attrs.resolve_types(cls, include_extras=True)
    texts = field_texts(cls)
    yield from ["", f"## [{name}]", "", inspect.cleandoc(cls.__doc__ or "")]
    inner = []
    for field in attrs.fields(cls):
        base, _ = unwrapped(field.type)
        yield from ["", f"### {name}.{field.name}", "", texts[field.name], ""]
        if attrs.has(base):
            yield f"- a table of its own: [{name}.{field.name}]"
            inner.append((f"{name}.{field.name}", base))
            continue
        yield f"- allowed: {allowed_words(field.type)}"
        yield f"- default: {default_words(field)}"
    for inner_name, base in inner:
        yield from section_lines(inner_name, base)


def reference() -> str:
    """Return the whole reference as Markdown."""
    attrs.resolve_types(schema.Config, include_extras=True)
    lines = [HEAD.rstrip()]
    for field in attrs.fields(schema.Config):
        lines += section_lines(field.name, field.type)
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write the reference, or compare it with the file."""
    text = reference()
    if "--write" in arguments:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(f"{TARGET} is not what the code says: run `just docs --write`")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The rows of docs/reference/protocol.md, as the tests read them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "reference" / "protocol.md"
TEST_NAME = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
ANSWER = re.compile(r"`(\d{3}) (-\d{4})`")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row: what, `done` or `refused`, and what stands behind that."""

    section: str
    what: str
    state: str
    proof: str
    line: int

    @property
    def done(self) -> bool:
        return self.state == "done"

    @property
    def tests(self) -> list[tuple[Path, str]]:
        """The tests named, as (file, function)."""
        return [(ROOT / "tests" / file, name) for file, name in TEST_NAME.findall(self.proof)]

    @property
    def answer(self) -> tuple[int, int] | None:
        """The HTTP status and code that a refused request gets."""
        found = ANSWER.search(self.proof)
        return None if found is None else (int(found[1]), int(found[2]))


def read_rows() -> list[Row]:
    """Return every row of every table, under its section's title."""
    section, rows = "", []
    for number, line in enumerate(TABLE.read_text().splitlines(), start=1):
        if line.startswith("## "):
            section = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells[0] != "what" and not set(cells[0]) <= set("-| "):
            what, state, proof = (*cells, "", "")[:3]
            rows.append(Row(section=section, what=what.strip("`"), state=state, proof=proof, line=number))
    return rows


def functions_of(file: Path) -> set[str]:
    """Return the names of a file's test functions."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, kinds)}

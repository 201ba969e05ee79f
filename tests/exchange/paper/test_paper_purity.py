"""The exchange's pure files import nothing that could make a run depend on anything but its inputs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from trio_grid.exchange import paper

FOLDER = Path(paper.__file__).parent
FORBIDDEN = {"trio", "httpx", "sqlite3", "time", "logging", "os", "random", "secrets", "uuid", "threading", "asyncio"}
PURE = sorted(file for folder in ("engine", "market", "spot") for file in (FOLDER / folder).glob("*.py"))
ONLY_CLASS_RANDOM = {"synthetic"}


@pytest.mark.parametrize("file", PURE, ids=lambda file: file.stem)
def test_pure_files_import_no_outside_world(file: Path) -> None:
    tree = ast.parse(file.read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if file.stem in ONLY_CLASS_RANDOM and node.module == "random":
                assert [alias.name for alias in node.names] == ["Random"]
                continue
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in ("now", "utcnow", "today"), "no clock"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "open", "no file"
    assert not found & FORBIDDEN
    if file.stem not in ONLY_CLASS_RANDOM:
        assert "math" not in found

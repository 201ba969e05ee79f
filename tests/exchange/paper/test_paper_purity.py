"""The exchange's pure files import nothing that could make a run depend on anything but its inputs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from trio_grid.exchange import paper

FOLDER = Path(paper.__file__).parent
FORBIDDEN = {"trio", "httpx", "sqlite3", "time", "logging", "os", "random", "secrets", "uuid", "threading", "asyncio"}
PURE = (
    "account",
    "account_queries",
    "amendments",
    "book_shape",
    "brackets",
    "candles",
    "desk",
    "exchange",
    "fill_models",
    "margin",
    "market",
    "market_queries",
    "market_replay",
    "market_rows",
    "market_synthetic",
    "matching_engine",
    "order_rules",
    "persistence",
    "records",
    "refusals",
    "settlement",
    "symbols",
    "trading",
    "venue",
    "wire",
    "wire_market",
)
ONLY_CLASS_RANDOM = {"market_synthetic"}


@pytest.mark.parametrize("name", PURE)
def test_pure_files_import_no_outside_world(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if name in ONLY_CLASS_RANDOM and node.module == "random":
                assert [alias.name for alias in node.names] == ["Random"]
                continue
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in ("now", "utcnow", "today"), "no clock"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "open", "no file"
    assert not found & FORBIDDEN
    if name != "market_synthetic":
        assert "math" not in found

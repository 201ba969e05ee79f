"""The import contracts catch what they are there for: each is tried on a copy with one planted import."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINTER = Path(sys.executable).parent / "lint-imports"


@pytest.fixture(scope="module")
def sound_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and of its contracts."""
    copy = tmp_path_factory.mktemp("contracts")
    shutil.copytree(ROOT / "trio_grid", copy / "trio_grid", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def lint(copy: Path) -> subprocess.CompletedProcess[str]:
    """Run the linter on a copy; its graph cache stays in the copy."""
    return subprocess.run(
        [LINTER, "--config", "pyproject.toml"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_package_keeps_every_contract(sound_copy: Path) -> None:
    result = lint(sound_copy)
    assert result.returncode == 0, result.stdout
    assert " 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("file", "planted", "contract"),
    [
        ("domain/ledger_planted.py", "import trio_grid.services", "Imports point down"),
        ("errors.py", "import trio_grid.domain", "Imports point down"),
        ("exchange/interface.py", "import trio_grid.config", "Imports point down"),
        ("config/planted.py", "import trio_grid.exchange.protocol", "Imports point down"),
        ("services/planted.py", "import trio_grid.testing", "Imports point down"),
        ("new_folder/__init__.py", "", "Imports point down"),
        ("journal/planted.py", "import trio_grid.exchange", "Manager and journal know neither"),
        ("journal/planted.py", "import trio_grid.config", "Manager and journal know neither"),
        ("manager.py", "import trio_grid.exchange.interface", "Manager and journal know neither"),
        ("exchange/binance/planted.py", "import trio_grid.exchange.paper", "Client and paper exchange are strangers"),
        ("exchange/paper/planted.py", "import trio_grid.exchange.binance", "Client and paper exchange are strangers"),
        ("domain/planted.py", "import time", "The core is pure"),
        ("domain/planted.py", "import trio", "The core is pure"),
        ("exchange/protocol/planted.py", "import random", "The core is pure"),
        ("exchange/protocol/planted.py", "import os", "The core is pure"),
        ("exchange/paper/engine/matching_engine.py", "import time", "The paper exchange's rules are pure"),
        (
            "exchange/paper/engine/account.py",
            "import trio_grid.exchange.paper.server.server",
            "The paper exchange's rules are pure",
        ),
        ("exchange/binance/planted.py", "import httpx", "Only the REST client and the test kit import httpx"),
        ("services/planted.py", "import httpx", "Only the REST client and the test kit import httpx"),
        ("exchange/binance/planted.py", "import trio_websocket", "Only the streams and the WebSocket API"),
        ("exchange/paper/engine/planted.py", "import hypercorn", "Only the paper exchange's server imports Hypercorn"),
        ("services/planted.py", "import sqlite3", "Only the journal imports sqlite3"),
    ],
)
def test_a_planted_import_is_caught(sound_copy: Path, tmp_path: Path, file: str, planted: str, contract: str) -> None:
    copy = tmp_path / "planted"
    shutil.copytree(sound_copy, copy)
    target = copy / "trio_grid" / file
    target.parent.mkdir(exist_ok=True)
    with target.open("a") as module:
        module.write(f"\n{planted}\n")
    result = lint(copy)
    broken = [line for line in result.stdout.splitlines() if " BROKEN" in line]
    assert result.returncode == 1
    assert any(line.startswith(contract) for line in broken), result.stdout

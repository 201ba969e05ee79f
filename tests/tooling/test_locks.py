"""The locks hold exact versions with hashes and no address; nothing that is committed names a package index."""

import re
import tomllib
from pathlib import Path

import pytest

from tools.conformance_table import CLIENTS, REQUIREMENTS

ROOT = Path(__file__).resolve().parents[2]
CLIENT_LOCKS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "conformance" / "locks").glob("*.txt"))
LOCKS = ["requirements.txt", "requirements-dev.txt", *CLIENT_LOCKS]
ADDRESS = re.compile(r"://|^--[a-z]| @ ", re.MULTILINE)
# Put together here, so that this file does not hold what it looks for.
INDEX_WORDS = [
    "/".join(["", "simple", ""]),
    "-".join(["index", "url"]),
    "-".join(["find", "links"]),
    "-".join(["trusted", "host"]),
    ".".join(["pypi", "org"]),
    ".".join(["pythonhosted", "org"]),
    ".".join(["piwheels", "org"]),
]
NOT_OURS = {".git", ".venv", "var", "node_modules"}


def pins(name: str) -> dict[str, set[str]]:
    """Return the versions that a lock pins, by normalized project name; markers may ask for more than one."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / name).read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)", line):
            found.setdefault(normal(match[1]), set()).add(match[2])
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(requirements: list[str]) -> set[str]:
    names = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements)
    return {normal(name[0]) for name in names if name is not None} - {"trio-grid"}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_no_address_and_no_option(name: str) -> None:
    assert ADDRESS.search((ROOT / name).read_text()) is None


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_of_a_lock_has_a_hash(name: str) -> None:
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == sum(len(versions) for versions in pins(name).values())
    assert [line for line in lines if not re.search(r" --hash=sha256:[0-9a-f]{64}", line)] == []


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    runtime, development = pins("requirements.txt"), pins("requirements-dev.txt")
    assert wanted([*project["dependencies"], *extras["build"], *extras["ed25519"]]) <= runtime.keys()
    assert wanted(extras["dev"]) <= development.keys()
    assert runtime.items() <= development.items()


def test_the_locks_hold_the_versions_that_are_named_exactly() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    development = pins("requirements-dev.txt")
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        name, exact, version = requirement.partition("==")
        if exact:
            assert development[normal(name.strip())] == {version.strip()}


def test_every_client_of_the_conformance_suite_has_a_lock_that_pins_it() -> None:
    assert [Path(lock).stem for lock in CLIENT_LOCKS] == sorted(REQUIREMENTS)
    for client in CLIENTS:
        assert normal(client.package) in pins(f"tests/conformance/locks/{client.environment}.txt")


def texts() -> list[Path]:
    """Return every file of the checkout that is ours: no environment, no caches, no binary data."""
    files = (path for path in ROOT.rglob("*") if not NOT_OURS & set(path.relative_to(ROOT).parts))
    own = (path for path in files if not any(part.endswith(("_cache", "__pycache__")) for part in path.parts))
    suffixes = {"", ".md", ".py", ".toml", ".txt", ".sql", ".json", ".cfg", ".ini", ".yml", ".yaml", ".sh"}
    return sorted(path for path in own if path.is_file() and path.suffix in suffixes)


def test_no_file_names_a_package_index() -> None:
    files = texts()
    assert ROOT / "justfile" in files
    assert ROOT / ".ci" / "run" in files
    found = []
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {word}" for word in INDEX_WORDS if word in text]
    assert found == []

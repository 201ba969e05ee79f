"""The set-up installs once for each lock and project, and again when one of them changed."""

import sys
from pathlib import Path

import pytest

from tools import setup


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose .venv has an interpreter already."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "lock.txt").write_text("a==1\n")
    return tmp_path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The locks that were installed; pip itself is tried by the first command of every fresh clone."""
    names: list[str] = []
    monkeypatch.setattr(setup, "install", lambda root, python, lock: names.append(lock.name))
    return names


def make(checkout: Path, lock: str = "lock.txt") -> int:
    return setup.make(checkout, checkout / ".venv", checkout / lock)


def test_nothing_is_installed_twice(checkout: Path, installed: list[str]) -> None:
    assert [make(checkout), make(checkout)] == [0, 0]
    assert installed == ["lock.txt"]


def test_each_lock_has_a_stamp_of_its_own(checkout: Path, installed: list[str]) -> None:
    (checkout / "lock-dev.txt").write_text("a==1\nb==1\n")
    assert [make(checkout), make(checkout, "lock-dev.txt"), make(checkout), make(checkout, "lock-dev.txt")] == [0] * 4
    assert installed == ["lock.txt", "lock-dev.txt"]


@pytest.mark.parametrize("changed", ["lock.txt", "pyproject.toml"])
def test_a_change_is_installed(checkout: Path, installed: list[str], changed: str) -> None:
    make(checkout)
    with (checkout / changed).open("a") as file:
        file.write("# changed\n")
    assert make(checkout) == 0
    assert installed == ["lock.txt", "lock.txt"]


def test_a_failed_installation_is_tried_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "lock.txt").write_text("nothing-of-this-name==0 --hash=sha256:" + "0" * 64 + "\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert [make(checkout), make(checkout)] == [1, 1]
    assert "setting up .venv failed" in capsys.readouterr().err


def test_an_environment_of_an_old_python_is_told(
    checkout: Path, installed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.write_text("#!/bin/sh\necho 3 10 14 cpython-310\n")
    python.chmod(0o755)
    assert make(checkout) == 2
    assert "was made by Python 3 10 14" in capsys.readouterr().err
    assert installed == []


def test_an_old_python_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 14))
    assert setup.main(["requirements.txt"]) == 2
    assert "Python 3.11 or newer is needed" in capsys.readouterr().err

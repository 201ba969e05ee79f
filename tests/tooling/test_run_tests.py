"""The test runner runs every file once, tells what fails, and never calls a run green in which something failed."""

import re
from pathlib import Path

import pytest

from tools.run_tests import LARGEST_BATCH, batches, main

ROOT = Path(__file__).resolve().parents[2]


def test_every_test_file_is_in_exactly_one_batch() -> None:
    dealt = list(batches(ROOT / "tests"))
    files = [file for batch in dealt for file in batch]
    assert sorted(files) == sorted((ROOT / "tests").rglob("test_*.py"))
    assert all(0 < len(batch) <= LARGEST_BATCH and len({file.parent for file in batch}) == 1 for batch in dealt)


def write(folder: Path, **tests: str) -> None:
    for name, body in tests.items():
        (folder / f"test_planted_{name}.py").write_text(f"def test_{name}() -> None:\n    {body}\n")


def test_a_run_of_sound_tests_is_green(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, one="assert True", two="assert True")
    assert main(["--folder", str(tmp_path)]) == 0
    assert re.search(r"^2 passed in \d+ s$", capsys.readouterr().out, re.MULTILINE)


def test_a_failing_test_is_told_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, one="assert True", two="assert 1 == 2")
    assert main(["--folder", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "assert 1 == 2" in shown
    assert "1 failed, 1 passed in" in shown
    assert "FAILED in test_planted_one, test_planted_two" in shown


@pytest.mark.parametrize("content", ["import nothing_of_this_name\n", "def broken(:\n"])
def test_a_file_that_cannot_be_read_is_a_failure(tmp_path: Path, content: str) -> None:
    write(tmp_path, one="assert True")
    (tmp_path / "test_planted_broken.py").write_text(content)
    assert main(["--folder", str(tmp_path)]) == 1


def test_a_folder_without_tests_is_no_success(tmp_path: Path) -> None:
    assert main(["--folder", str(tmp_path)]) == 1

"""The size check finds what has grown too long, and only that."""

from pathlib import Path

import pytest

from tools.check_sizes import main


def function(lines: int, head: str = "def long() -> None:") -> str:
    return "\n".join([head, *(f"    x{number} = {number}" for number in range(lines - 1))]) + "\n"


def test_a_function_of_seventy_lines_and_a_module_of_four_hundred_pass(tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text(function(70) + "x = 1\n" * 330)
    assert main([str(tmp_path)]) == 0


@pytest.mark.parametrize("head", ["def long() -> None:", "async def long() -> None:"])
def test_a_function_of_seventy_one_lines_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], head: str
) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "planted.py").write_text("x = 1\n" + function(71, head))
    assert main([str(tmp_path)]) == 1
    assert "planted.py:2: long has 71 lines, 70 allowed" in capsys.readouterr().out


def test_a_method_and_a_nested_function_count_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inner = "\n".join("    " + line for line in function(71).splitlines())
    (tmp_path / "planted.py").write_text(f"class A:\n{inner}\n")
    assert main([str(tmp_path)]) == 1
    assert "planted.py:2: long has 71 lines" in capsys.readouterr().out


def test_a_module_of_four_hundred_and_one_lines_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "planted.py").write_text("x = 1\n" * 401)
    assert main([str(tmp_path)]) == 1
    assert "planted.py: module of 401 lines, 400 allowed" in capsys.readouterr().out

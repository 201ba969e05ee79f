"""The lint of async code finds what it is there for, and knows the startable functions by itself."""

from pathlib import Path

import pytest

from tools.async_lint import main, startable_names

STARTABLE = """
import contextlib
import trio


class Loop:
    async def serve_prices(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await trio.sleep_forever()


@contextlib.asynccontextmanager
async def open_loop(loop):
    async with trio.open_nursery() as nursery:
        nursery.%s(loop.serve_prices)
        yield
"""


def test_a_loop_that_is_not_waited_for_is_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(STARTABLE % "start_soon")
    assert list(startable_names([planted])) == ["serve_prices"]
    assert main([str(planted)]) == 1
    assert "ASYNC113" in capfd.readouterr().out


def test_a_yield_in_a_nursery_is_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("import trio\n\n\nasync def ticks():\n    with trio.fail_after(1):\n        yield 1\n")
    assert main([str(planted)]) == 1
    assert "ASYNC119" in capfd.readouterr().out


def test_sound_code_passes(tmp_path: Path) -> None:
    sound = tmp_path / "sound.py"
    sound.write_text("import trio\n\n\nasync def wait() -> None:\n    await trio.sleep(1)\n")
    assert main([str(sound)]) == 0

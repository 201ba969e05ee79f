"""The control socket: owner-only, one JSON line each way, unmoved by bad callers."""

from __future__ import annotations

import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_grid.errors import ControlError
from trio_grid.services.control_socket import ControlRequest, ControlSocket, ask, socket_path


async def answer(request: ControlRequest) -> dict[str, Any]:
    await trio.lowlevel.checkpoint()
    if request.command == "resume":
        raise ControlError("the position still differs")
    return {"command": request.command, "price": request.price}


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(ControlSocket(path, answer).run)
        yield
        nursery.cancel_scope.cancel()


async def test_a_request_is_answered_and_a_refusal_is_told(tmp_path: Path) -> None:
    path = socket_path(tmp_path / "journal.sqlite3")
    async with served(path):
        assert await ask(path, ControlRequest(command="explain", price="60000")) == {
            "command": "explain",
            "price": "60000",
        }
        with pytest.raises(ControlError, match="still differs"):
            await ask(path, ControlRequest(command="resume"))
    assert not path.exists()


async def test_only_the_owner_may_open_it(tmp_path: Path) -> None:
    path = tmp_path / "control"
    async with served(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_path_longer_than_the_kernels_limit_works(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    async with served(folder / "control"):
        assert (await ask(folder / "control", ControlRequest(command="status")))["command"] == "status"


async def test_a_file_left_by_a_dead_process_gives_way(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with served(path):
        assert (await ask(path, ControlRequest(command="status")))["command"] == "status"


@pytest.mark.parametrize(
    "text", [b"nonsense\n", b'{"command": "format the disk"}\n', b'{"commnd": "status"}\n', b"\xff\n"]
)
async def test_bad_input_gets_an_answer_and_the_server_goes_on(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "control"
    async with served(path):
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(text)
            assert b'"error":"' in await stream.receive_some(4096)
        assert (await ask(path, ControlRequest(command="status")))["command"] == "status"


async def test_a_caller_that_leaves_or_stalls_holds_nothing_up(tmp_path: Path) -> None:
    path = tmp_path / "control"
    async with served(path), await trio.open_unix_socket(path) as stalled:
        await stalled.send_all(b'{"command":')
        async with await trio.open_unix_socket(path):
            pass
        assert (await ask(path, ControlRequest(command="status")))["command"] == "status"


async def test_nobody_there_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="no bot is running there"):
        await ask(tmp_path / "control", ControlRequest(command="status"))

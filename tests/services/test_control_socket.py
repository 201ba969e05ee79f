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
from trio_grid.services import control_socket
from trio_grid.services.control_socket import ControlRequest, ControlSocket, ask, socket_path

PATIENCE_S = 180.0


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


async def test_a_request_whose_caller_does_not_wait_any_longer_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "control"
    begun, given_up, go_on = trio.Event(), trio.Event(), trio.Event()
    resumed: list[ControlRequest] = []

    async def slow(request: ControlRequest) -> dict[str, Any]:
        begun.set()
        try:
            await go_on.wait()
        finally:
            given_up.set()
        resumed.append(request)
        return {}

    monkeypatch.setattr(control_socket, "ANSWER_TIMEOUT_S", 0.05)
    async with trio.open_nursery() as nursery:
        await nursery.start(ControlSocket(path, slow).run)
        with pytest.raises(ControlError, match=r"did not answer within 0.05 s; it has been told to give resume up"):
            await ask(path, ControlRequest(command="resume"))
        with trio.fail_after(PATIENCE_S):
            await given_up.wait()
        # The server goes on, and waits for a caller that waits.
        monkeypatch.setattr(control_socket, "ANSWER_TIMEOUT_S", PATIENCE_S)
        async with await trio.open_unix_socket(path) as stream:
            begun = trio.Event()
            await stream.send_all(b'{"command":"resume"}\n')
            with trio.fail_after(PATIENCE_S):
                await begun.wait()
            given_up = trio.Event()
        with trio.fail_after(PATIENCE_S):
            await given_up.wait()
        nursery.cancel_scope.cancel()
    assert resumed == []

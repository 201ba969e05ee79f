"""Owns the control socket: a Unix socket beside the journal, for its owner only, one JSON line each way.

It must never be reachable by another user or over a network, and a caller that stalls must hold nothing up. A request
lives as long as its caller: who closes the connection before the answer, or does not wait for it any longer, gives the
request up, so that nothing is resumed minutes after the operator was told that there is no answer.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import trio

from trio_grid.errors import ControlError
from trio_grid.services.log_line import line

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 1_048_576
READ_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 60.0
"""`resume` waits for a full reconciliation, which may have to wait for the exchange."""
MAX_SOCKET_PATH_BYTES = 100
"""The kernel takes 107 bytes; a longer path is reached through a descriptor of its folder."""

Command = Literal["status", "pause", "resume", "stop", "explain"]


class ControlRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator may ask of a running bot."""

    command: Command
    price: str = ""
    accept_position: str = ""
    write_off: str = ""
    reason: str = ""


class ControlAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The bot's answer: `error` is empty when the request was carried out."""

    error: str = ""
    result: dict[str, Any] = {}


def socket_path(journal_path: Path) -> Path:
    """Return where the control socket of a journal lies."""
    return journal_path.with_name(journal_path.name + ".control")


class ControlSocket:
    """The loop of the control socket. `handle` answers one request; it raises ControlError for what cannot be done."""

    def __init__(self, path: Path, handle: Callable[[ControlRequest], Awaitable[dict[str, Any]]]) -> None:
        self._path = path
        self._handle = handle

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; the socket's file is gone afterwards."""
        listener = self._listen()
        try:
            task_status.started()
            await trio.serve_listeners(self._serve, [listener])
        finally:
            self._path.unlink(missing_ok=True)

    def _listen(self) -> trio.SocketListener:
        # The journal's lease is held: a socket file that lies here was left by a process that is gone.
        self._path.unlink(missing_ok=True)
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            raw.setblocking(False)
            previous = os.umask(0o177)
            try:
                with _address(self._path) as address:
                    raw.bind(address)
            finally:
                os.umask(previous)
            raw.listen(4)
            return trio.SocketListener(trio.socket.from_stdlib_socket(raw))
        except BaseException:
            raw.close()
            raise

    async def _serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            try:
                with trio.fail_after(READ_TIMEOUT_S):
                    text = await _read_line(stream)
                request = msgspec.json.decode(text, type=ControlRequest)
            except (ControlError, msgspec.ValidationError, msgspec.DecodeError) as error:
                await _send(stream, ControlAnswer(error=str(error)))
            except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError):
                return
            else:
                log.info(line("control request", command=request.command))
                if not await self._answer(stream, request):
                    log.warning(line("control request given up: its caller left", command=request.command))

    async def _answer(self, stream: trio.SocketStream, request: ControlRequest) -> bool:
        """Handle a request and answer it; False if its caller left first: it was given up where it had come to."""
        answered = False
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    while await stream.receive_some(4096):
                        pass  # one line was asked for; more words change nothing
                nursery.cancel_scope.cancel(reason="the caller left")

            nursery.start_soon(watch)
            try:
                answer = ControlAnswer(result=await self._handle(request))
            except ControlError as error:
                answer = ControlAnswer(error=str(error))
            answered = True
            await _send(stream, answer)
            nursery.cancel_scope.cancel(reason="answered")
        return answered


async def _send(stream: trio.SocketStream, answer: ControlAnswer) -> None:
    """Send an answer. What was done is told, also when it was to stop the bot, which ends this task."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + READ_TIMEOUT_S):
        try:
            await stream.send_all(msgspec.json.encode(answer) + b"\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            log.info("the caller on the control socket left before the answer")


async def ask(path: Path, request: ControlRequest) -> dict[str, Any]:
    """Send one request to the bot whose journal lies beside `path` and return its result.

    Raises:
        ControlError: no bot answers there, or it refused the request.
    """
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(path) as address:
            raw.connect(address)
        raw.setblocking(False)
    except OSError as error:
        raw.close()
        known = {errno.ENOENT: "no bot is running there", errno.ECONNREFUSED: "its bot has ended"}
        raise ControlError(f"{path}: {known.get(error.errno or 0, error.strerror)}") from error
    async with trio.SocketStream(trio.socket.from_stdlib_socket(raw)) as stream:
        try:
            with trio.fail_after(ANSWER_TIMEOUT_S):
                await stream.send_all(msgspec.json.encode(request) + b"\n")
                answer = msgspec.json.decode(await _read_line(stream), type=ControlAnswer)
        except trio.TooSlowError:
            raise ControlError(
                f"{path}: the bot did not answer within {ANSWER_TIMEOUT_S:g} s; it has been told to give"
                f" {request.command} up: `trio-grid status` shows what is"
            ) from None
        except (trio.BrokenResourceError, msgspec.DecodeError, ControlError) as error:
            raise ControlError(f"{path}: the bot did not answer: {error}") from error
    if answer.error:
        raise ControlError(answer.error)
    return answer.result


async def _read_line(stream: trio.abc.ReceiveStream) -> bytes:
    received = bytearray()
    while b"\n" not in received:
        chunk = await stream.receive_some(65_536)
        if not chunk:
            raise ControlError("the line ended early")
        received += chunk
        if len(received) > MAX_LINE_BYTES:
            raise ControlError(f"a line of more than {MAX_LINE_BYTES} bytes")
    return bytes(received.partition(b"\n")[0])


@contextmanager
def _address(path: Path) -> Iterator[str]:
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)

"""An httpx client whose bytes go through any connector, so that REST runs in memory with real keep-alive and resets.

Owns the bridge from httpcore's network backend to a `Connector`. It must never answer anything itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpcore
import httpx
import trio

from trio_grid.testing.memory_network import Connector, MemoryStream


class _Stream(httpcore.AsyncNetworkStream):
    """One connection, with every error translated to httpcore's."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            with trio.fail_after(float("inf") if timeout is None else timeout):
                return bytes(await self._stream.receive_some(max_bytes))
        except trio.TooSlowError as error:
            raise httpcore.ReadTimeout from error
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore.ReadError from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            with trio.fail_after(float("inf") if timeout is None else timeout):
                await self._stream.send_all(buffer)
        except trio.TooSlowError as error:
            raise httpcore.WriteTimeout from error
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore.WriteError from error

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)

    def get_extra_info(self, info: str) -> Any:
        # httpcore asks whether an idle connection has become readable, which means that the server has closed it.
        if info != "is_readable":
            return None
        if isinstance(self._stream, trio.SocketStream):
            return self._stream.socket.is_readable()
        return isinstance(self._stream, MemoryStream) and self._stream.is_readable()


class _Backend(httpcore.AsyncNetworkBackend):
    """Opens connections through a connector."""

    def __init__(self, connect: Connector) -> None:
        self._connect = connect

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            with trio.fail_after(float("inf") if timeout is None else timeout):
                return _Stream(await self._connect(host, port, False))
        except trio.TooSlowError as error:
            raise httpcore.ConnectTimeout from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class _Body(httpx.AsyncByteStream):
    """The response's bytes as they come."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


class ConnectorTransport(httpx.AsyncBaseTransport):
    """httpx over a connector, by httpcore's own connection pool."""

    def __init__(self, connect: Connector) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            network_backend=_Backend(connect), max_connections=100, max_keepalive_connections=20
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
        )
        try:
            answer = await self._pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        except httpcore.NetworkError as error:
            raise httpx.NetworkError(str(error), request=request) from error
        except httpcore.TimeoutException as error:
            raise httpx.ReadTimeout(str(error), request=request) from error
        except httpcore.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error
        return httpx.Response(
            status_code=answer.status, headers=answer.headers, stream=_Body(answer.stream), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


def http_client(connect: Connector, base_url: str) -> httpx.AsyncClient:
    """Return a client whose every byte goes through `connect`; use it as an async context manager."""
    return httpx.AsyncClient(transport=ConnectorTransport(connect), base_url=base_url, trust_env=False)

"""The one seam between the client and the network: a Connector opens the stream for REST and for WebSockets alike.

Owns TLS: it is always verified, and plain connections are refused for anything but loopback addresses. Nothing here
knows HTTP or WebSocket.
"""

from __future__ import annotations

import functools
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import attrs
import certifi
import trio

from trio_grid.errors import ConfigError

Connector = Callable[[str, int, bool], Awaitable[trio.abc.Stream]]
"""Opens the stream to (host, port, tls); raises OSError, ssl.SSLError or trio.BrokenResourceError if it cannot."""

NETWORK_ERRORS = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)
"""What a Connector or its stream raises when the network is at fault; ssl.SSLError is an OSError."""

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


@attrs.frozen
class Address:
    """Where a base URL leads: host and port, whether TLS is spoken, and the path that it begins with."""

    host: str
    port: int
    tls: bool
    path: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Return the address of an http, https, ws or wss URL.

        Raises:
            ConfigError: another scheme, no host, or plain text to an address that is not loopback.
        """
        parts = urlsplit(url)
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise ConfigError([f"{url!r} is not a URL of http, https, ws or wss"])
        tls = parts.scheme in ("https", "wss")
        try:
            port = parts.port or _DEFAULT_PORTS[parts.scheme]
        except ValueError:
            raise ConfigError([f"{url!r} has no valid port"]) from None
        address = cls(parts.hostname, port, tls, parts.path.rstrip("/"))
        if not tls and not is_loopback(address.host):
            raise ConfigError([f"{url!r}: without TLS only loopback addresses are accepted"])
        return address

    @property
    def authority(self) -> str:
        """The Host header: with the port unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Return whether a host name or address can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@functools.cache
def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Slim systems come without a store of their own; certifi's is added, not preferred.
    context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


async def connect_tcp(host: str, port: int, tls: bool) -> trio.abc.Stream:
    """Open a TCP stream, with TLS unless the address is this machine's and TLS is not asked for.

    Raises:
        OSError: the connection or the certificate was refused.
        ConfigError: no TLS to an address that is not loopback.
    """
    if not tls and not is_loopback(host):
        raise ConfigError([f"{host}: without TLS only loopback addresses are accepted"])
    stream = await trio.open_tcp_stream(host, port)
    if not tls:
        return stream
    secured = trio.SSLStream(stream, _tls_context(), server_hostname=host, https_compatible=True)
    complete = False
    try:
        await secured.do_handshake()
        complete = True
    except trio.BrokenResourceError as error:
        # Trio hides what TLS objected to; the operator needs to read it.
        raise ConnectionError(f"the TLS handshake failed: {error.__cause__ or error}") from error
    finally:
        if not complete:
            await trio.aclose_forcefully(stream)
    return secured


class _Kept:
    """Keeps what its block raises, cancellation included, for whoever raises it again."""

    error: BaseException | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        self.error = error
        return True


@asynccontextmanager
async def background_nursery() -> AsyncIterator[trio.Nursery]:
    """Open a nursery for the helpers of a block: they end with it, and what the block raises leaves it as it is.

    A plain nursery would wrap the block's own exception into a group, and every `except ExchangeUnreachable` around a
    subscription would have to know that there is a nursery inside. A helper's own crash still arrives as a group.
    """
    kept = _Kept()
    async with trio.open_nursery() as nursery:
        with kept:
            yield nursery
        nursery.cancel_scope.cancel()
    if kept.error is not None:
        raise kept.error

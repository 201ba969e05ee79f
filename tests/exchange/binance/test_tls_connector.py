"""TLS is always verified, over REST and WebSocket alike, and plain text stays on this machine."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.exchange.binance.scripted_exchange import bitcoin
from trio_grid.errors import ConfigError, ExchangeUnreachable
from trio_grid.exchange.binance import connector
from trio_grid.exchange.binance.connector import Address, connect_tcp, is_loopback
from trio_grid.exchange.binance.usdm_futures import Endpoints, UsdmFutures, open_usdm_futures

DAY = datetime.timedelta(days=1)


def certificate_for(names: list[x509.GeneralName], folder: Path) -> Path:
    """Write a self-signed certificate with its key, which is its own authority, and return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "trio_grid test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


async def answer_time(stream: trio.abc.Stream) -> None:
    """Answer every request with a time, and refuse every WebSocket."""
    async with stream:
        try:
            while head := await stream.receive_some(4096):
                if b"upgrade: websocket" in bytes(head).lower():
                    await stream.send_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                    return
                await stream.send_all(b'HTTP/1.1 200 OK\r\ncontent-length: 28\r\n\r\n{"serverTime":1750000000000}')
        except trio.BrokenResourceError:
            return


@asynccontextmanager
async def client_of_tls_server(certificate: Path) -> AsyncIterator[UsdmFutures]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1", https_compatible=True)
        await nursery.start(trio.serve_listeners, answer_time, listeners)
        port = cast(trio.SocketListener, listeners[0].transport_listener).socket.getsockname()[1]
        base = f"127.0.0.1:{port}"
        async with open_usdm_futures(Endpoints(f"https://{base}", f"wss://{base}", f"wss://{base}/x"), None) as client:
            yield client
        nursery.cancel_scope.cancel()


@pytest.fixture
def fresh_context(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    connector._tls_context.cache_clear()
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    yield
    connector._tls_context.cache_clear()


THIS_MACHINE: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]


@pytest.mark.sockets
@pytest.mark.usefixtures("fresh_context")
async def test_a_certificate_of_a_known_authority_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = certificate_for(THIS_MACHINE, tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with client_of_tls_server(certificate) as client:
        await client.synchronize_clock()
        assert abs(client.now_ms() - 1_750_000_000_000) < 60_000
        with pytest.raises(ExchangeUnreachable, match="status 404"):
            async with client.book_tickers(bitcoin()):
                raise AssertionError("it opened")


@pytest.mark.sockets
@pytest.mark.usefixtures("fresh_context")
@pytest.mark.parametrize("fault", ["unknown authority", "another name"])
async def test_any_other_certificate_is_refused_on_both_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    other: list[x509.GeneralName] = [x509.DNSName("fapi.example.com")]
    certificate = certificate_for(other if fault == "another name" else THIS_MACHINE, tmp_path)
    if fault == "another name":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with client_of_tls_server(certificate) as client:
        with pytest.raises(ExchangeUnreachable, match=r"(?i)certificate.*nothing was sent"):
            await client.synchronize_clock()
        with pytest.raises(ExchangeUnreachable, match=r"(?i)certificate"):
            async with client.book_tickers(bitcoin()):
                raise AssertionError("it opened")


async def test_plain_text_leaves_this_machine_by_no_way() -> None:
    with pytest.raises(ConfigError, match="only loopback"):
        await connect_tcp("192.0.2.1", 80, False)
    with pytest.raises(ConfigError, match="only loopback"):
        Address.parse("ws://192.0.2.1/stream")
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "10.0.0.1", "localhost.example.com")] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://fapi.binance.com", "fapi.binance.com", ""),
        ("wss://ws-fapi.binance.com/ws-fapi/v1/", "ws-fapi.binance.com", "/ws-fapi/v1"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", ""),
        ("ws://[::1]:9/x", "[::1]:9", "/x"),
    ],
)
def test_addresses(url: str, authority: str, path: str) -> None:
    address = Address.parse(url)
    assert (address.authority, address.path) == (authority, path)


@pytest.mark.parametrize("url", ["", "fapi.binance.com", "https://", "https://host:99999", "file:///etc/passwd"])
def test_what_is_no_url_of_an_exchange_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError):
        Address.parse(url)

"""From the settings to what signs: a private key that cannot be used is a fault with its path, and is never shown."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from trio_grid.cli.connect import venue_of
from trio_grid.config import parse_config
from trio_grid.errors import ConfigError
from trio_grid.exchange.protocol.signing import Ed25519Signer

SETTINGS = """
[exchange]
kind = "binance-usdm"
rest_url = "https://example.org"
ws_url = "wss://example.org"
ws_api_url = "wss://example.org/ws-fapi/v1"
key_type = "ed25519"
key_env = "TRIO_GRID_TEST_KEY"
private_key_file = "{path}"
[grid]
symbol = "BTCUSDT"
interval = 30
[size]
quote_per_level = 200
[limits]
max_inventory = 0.1
"""
PASSWORD = b"password"
PLAIN, LOCKED = serialization.NoEncryption(), serialization.BestAvailableEncryption(PASSWORD)


def write(path: Path, key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, locked: bool) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    content = key.private_bytes(serialization.Encoding.PEM, form, LOCKED if locked else PLAIN)
    path.touch(mode=0o600)
    path.write_bytes(content)
    return content


def signer_from(path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("TRIO_GRID_TEST_KEY", "mykey")
    venue = venue_of(parse_config(SETTINGS.format(path=path)))
    assert venue is not None
    return venue.signer


def test_an_ed25519_key_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key.pem"
    write(path, ed25519.Ed25519PrivateKey.generate(), locked=False)
    assert isinstance(signer_from(path, monkeypatch), Ed25519Signer)


@pytest.mark.parametrize(("locked", "words"), [(True, "its password"), (False, "is not an Ed25519 key")])
def test_a_key_that_cannot_be_used_is_a_fault_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: bool, words: str
) -> None:
    path = tmp_path / "key.pem"
    key = ed25519.Ed25519PrivateKey.generate() if locked else rsa.generate_private_key(65_537, 2_048)
    content = write(path, key, locked)
    with pytest.raises(ConfigError, match=words) as caught:
        signer_from(path, monkeypatch)
    assert caught.value.faults[0].startswith("$.exchange.private_key_file: ")
    shown = "".join(traceback.format_exception(caught.value))
    assert not any(line in shown for line in content.decode().splitlines()[1:-1])

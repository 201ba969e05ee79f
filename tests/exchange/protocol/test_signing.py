"""Signatures: the published vectors, vectors computed here by hand, and what the exchange's side accepts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from trio_grid.errors import ConfigError
from trio_grid.exchange.protocol.signing import (
    Ed25519Signer,
    HmacSigner,
    PublicKeyVerifier,
    RsaSigner,
    encode_params,
    rest_payload,
    signed_query,
    signed_websocket_params,
    websocket_payload,
)

VECTORS = Path(__file__).parents[4] / "shared" / "vectors" / "signature_vectors.json"


def pem_of(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> str:
    protection: serialization.KeySerializationEncryption = (
        serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection).decode()


def public_pem_of(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def recorded_vectors() -> list[dict[str, str]]:
    return json.loads(VECTORS.read_text())["vectors"] if VECTORS.exists() else []


@pytest.mark.skipif(not VECTORS.exists(), reason="the published vectors are not part of the repository")
@pytest.mark.parametrize("vector", recorded_vectors(), ids=lambda vector: vector["name"])
def test_published_vector_reproduces(vector: dict[str, str]) -> None:
    if vector["alg"].startswith("HMAC"):
        signer: HmacSigner | Ed25519Signer = HmacSigner(vector["apiKey"], vector["secretKey"])
    else:
        seed = bytes.fromhex(vector["privateKeySeedHex"])
        signer = Ed25519Signer("key", pem_of(ed25519.Ed25519PrivateKey.from_private_bytes(seed)))
    payload = vector["payload"].encode()
    assert signer.sign(payload) == vector["signature"]


@pytest.mark.skipif(not VECTORS.exists(), reason="the published vectors are not part of the repository")
def test_every_published_vector_is_reached() -> None:
    assert len(recorded_vectors()) == 11


@pytest.mark.skipif(not VECTORS.exists(), reason="the published vectors are not part of the repository")
def test_websocket_form_rebuilds_the_published_payloads_from_their_parameters() -> None:
    rebuilt = 0
    for vector in recorded_vectors():
        if "wsapi" in vector["name"] or "_ws_" in vector["name"]:
            params = dict(pair.split("=", 1) for pair in reversed(vector["payload"].split("&")))
            assert websocket_payload(params) == vector["payload"].encode()
            rebuilt += 1
    assert rebuilt == 4


@pytest.mark.skipif(not VECTORS.exists(), reason="the published vectors are not part of the repository")
def test_rest_form_rebuilds_the_published_payloads_from_their_parameters() -> None:
    rebuilt = 0
    for vector in recorded_vectors():
        if "rest" in vector["name"] and "mixed" not in vector["name"]:
            params = dict(pair.split("=", 1) for pair in unquote(vector["payload"]).split("&"))
            assert encode_params(params) == vector["payload"]
            rebuilt += 1
    assert rebuilt == 5


def test_rest_query_is_signed_as_it_is_sent_and_ends_with_its_signature() -> None:
    query = signed_query(HmacSigner("key", "secret"), {"symbol": "B T&C=", "timestamp": 12, "reduceOnly": "true"})
    plain, _, signature = query.rpartition("&signature=")
    assert plain == "symbol=B%20T%26C%3D&timestamp=12&reduceOnly=true"
    assert signature == hmac.new(b"secret", plain.encode(), hashlib.sha256).hexdigest()


def test_websocket_params_are_signed_sorted_and_not_percent_encoded() -> None:
    params = signed_websocket_params(HmacSigner("kéy", "secret"), {"timestamp": 7, "b": "é /", "flag": True})
    expected = "apiKey=kéy&b=é /&flag=true&timestamp=7".encode()
    assert params["signature"] == hmac.new(b"secret", expected, hashlib.sha256).hexdigest()
    assert params["timestamp"] == 7


def test_the_exchange_side_joins_query_and_body_with_nothing_and_leaves_out_the_signature_anywhere() -> None:
    assert rest_payload("a=1&signature=x&b=2", "c=3&signature=y") == b"a=1&b=2c=3"
    assert rest_payload("a=%2F") == b"a=%2F"


def test_hmac_verification_ignores_the_case_of_the_digits_and_refuses_another_payload() -> None:
    signer = HmacSigner("key", "secret")
    signature = signer.sign(b"payload")
    assert signer.verify(b"payload", signature.upper())
    assert not signer.verify(b"payload2", signature)
    assert not signer.verify(b"payload", "")
    assert not signer.verify(b"payload", "é" * 64)


def test_ed25519_round_trip_with_an_encrypted_key() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    signer = Ed25519Signer("key", pem_of(key, b"pass"), password="pass")
    signature = signer.sign(b"payload")
    verifier = PublicKeyVerifier(public_pem_of(key))
    assert len(signature) == 88
    assert verifier.verify(b"payload", signature)
    assert not verifier.verify(b"other", signature)
    assert not verifier.verify(b"payload", "not base64!")


def test_rsa_signature_verifies_with_the_library_itself() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signature = RsaSigner("key", pem_of(key)).sign(b"payload")
    key.public_key().verify(base64.b64decode(signature), b"payload", padding.PKCS1v15(), hashes.SHA256())
    assert PublicKeyVerifier(public_pem_of(key)).verify(b"payload", signature)


def test_a_key_of_the_wrong_kind_or_garbage_is_a_config_error_that_does_not_show_the_key() -> None:
    rsa_key = pem_of(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    ed_key = pem_of(ed25519.Ed25519PrivateKey.generate())
    with pytest.raises(ConfigError, match="not an Ed25519 key"):
        Ed25519Signer("key", rsa_key)
    with pytest.raises(ConfigError, match="not an RSA key"):
        RsaSigner("key", ed_key)
    with pytest.raises(ConfigError) as caught:
        Ed25519Signer("key", "top secret garbage")
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="public key"):
        PublicKeyVerifier("nonsense")


def test_a_missing_cryptography_package_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(ConfigError, match="extra `ed25519`"):
        Ed25519Signer("key", "x")


def test_no_repr_shows_a_secret_or_a_whole_key() -> None:
    shown = repr(HmacSigner("abcdefgh", "the-secret")) + str(vars(HmacSigner("abcdefgh", "the-secret")))
    assert "the-secret" not in shown
    assert "abcdefgh" not in repr(HmacSigner("abcdefgh", "the-secret"))


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_any_parameters_survive_encoding(params: dict[str, str]) -> None:
    query = encode_params(params)
    assert query.isascii()
    pairs = [pair.split("=") for pair in query.split("&")] if query else []
    assert {unquote(name): unquote(value) for name, value in pairs} == params

"""Signatures of Binance's signed requests: how parameters become bytes, and how bytes become a signature.

Owns the two forms of a payload (REST: percent-encoded, in the order sent; WebSocket API: sorted, raw UTF-8) and the
three key types. It never keeps a secret where a repr, a log or a traceback could show it, and decides nothing of what
is sent.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote

from trio_grid.errors import ConfigError

ParamValue = str | int | bool
Params = Mapping[str, ParamValue]


class Signer(Protocol):
    """Something that signs payloads for one API key."""

    api_key: str

    def sign(self, payload: bytes) -> str:
        """Return the signature as the text that goes into the parameter `signature`, not percent-encoded."""
        ...


class Verifier(Protocol):
    """The exchange's side: checks a signature that came with a payload."""

    def verify(self, payload: bytes, signature: str) -> bool:
        """Return whether the signature (already percent-decoded) belongs to the payload."""
        ...


def _shown(api_key: str) -> str:
    return f"{api_key[:4]}..."


class HmacSigner:
    """HMAC-SHA256 in hex, pre-keyed: the secret itself is not kept."""

    def __init__(self, api_key: str, secret: str) -> None:
        self.api_key = api_key
        self._keyed = hmac.new(secret.encode(), digestmod=hashlib.sha256)

    def __repr__(self) -> str:
        return f"<HmacSigner {_shown(self.api_key)}>"

    def sign(self, payload: bytes) -> str:
        """Return 64 hexadecimal digits."""
        keyed = self._keyed.copy()
        keyed.update(payload)
        return keyed.hexdigest()

    def verify(self, payload: bytes, signature: str) -> bool:
        """Return whether the signature belongs to the payload; the case of the digits does not matter."""
        return hmac.compare_digest(self.sign(payload).encode(), signature.lower().encode())


class Ed25519Signer:
    """Ed25519 in base64, from a PKCS#8 private key in PEM.

    Raises:
        ConfigError: the `cryptography` package is missing, or the text is not an Ed25519 private key.
    """

    def __init__(self, api_key: str, private_key_pem: str, *, password: str | None = None) -> None:
        self.api_key = api_key
        key = _load_private_key(private_key_pem, password)
        if type(key).__name__ != "Ed25519PrivateKey":
            raise ConfigError(["the private key is not an Ed25519 key"])
        self._sign: Callable[[bytes], bytes] = key.sign

    def __repr__(self) -> str:
        return f"<Ed25519Signer {_shown(self.api_key)}>"

    def sign(self, payload: bytes) -> str:
        """Return 88 characters of base64."""
        return base64.b64encode(self._sign(payload)).decode()


class RsaSigner:
    """RSASSA-PKCS1-v1_5 with SHA-256 in base64, from a PKCS#8 private key in PEM.

    Raises:
        ConfigError: the `cryptography` package is missing, or the text is not an RSA private key.
    """

    def __init__(self, api_key: str, private_key_pem: str, *, password: str | None = None) -> None:
        self.api_key = api_key
        key = _load_private_key(private_key_pem, password)
        if type(key).__name__ != "RSAPrivateKey":
            raise ConfigError(["the private key is not an RSA key"])
        hashes, padding = _rsa_primitives()
        self._sign: Callable[[bytes], bytes] = lambda payload: key.sign(payload, padding.PKCS1v15(), hashes.SHA256())

    def __repr__(self) -> str:
        return f"<RsaSigner {_shown(self.api_key)}>"

    def sign(self, payload: bytes) -> str:
        """Return base64 text whose length depends on the key."""
        return base64.b64encode(self._sign(payload)).decode()


class PublicKeyVerifier:
    """Checks Ed25519 and RSA signatures against a public key in PEM; `kind` says which of the two the key is.

    Raises:
        ConfigError: the `cryptography` package is missing, or the text is not a public key of a known type.
    """

    def __init__(self, public_key_pem: str) -> None:
        serialization = _serialization()
        try:
            key: Any = serialization.load_pem_public_key(public_key_pem.encode())
        except ValueError as error:
            raise ConfigError([f"the public key cannot be read: {error}"]) from None
        kind = type(key).__name__
        if kind not in ("Ed25519PublicKey", "RSAPublicKey"):
            raise ConfigError([f"the public key is neither Ed25519 nor RSA: {kind}"])
        self.kind = "ED25519" if kind == "Ed25519PublicKey" else "RSA"
        self._check: Callable[[bytes, bytes], Any] = key.verify if self.kind == "ED25519" else _rsa_check(key)

    def verify(self, payload: bytes, signature: str) -> bool:
        """Return whether the base64 signature belongs to the payload."""
        from cryptography.exceptions import InvalidSignature

        try:
            self._check(base64.b64decode(signature, validate=True), payload)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def encode_params(params: Params) -> str:
    """Return the parameters as a percent-encoded query, in their own order (spaces become %20)."""
    return "&".join(f"{quote(name, safe='')}={quote(text_of(value), safe='')}" for name, value in params.items())


def signed_query(signer: Signer, params: Params) -> str:
    """Return the query with its signature last: the bytes that are signed are the bytes that are sent."""
    query = encode_params(params)
    return f"{query}&signature={quote(signer.sign(query.encode()), safe='')}"


def websocket_payload(params: Params) -> bytes:
    """Return the WebSocket API's payload: all parameters but the signature, sorted by name, raw UTF-8."""
    return "&".join(f"{name}={text_of(params[name])}" for name in sorted(params) if name != "signature").encode()


def signed_websocket_params(signer: Signer, params: Params) -> dict[str, ParamValue]:
    """Return the parameters with apiKey and signature added."""
    signed: dict[str, ParamValue] = {**params, "apiKey": signer.api_key}
    signed["signature"] = signer.sign(websocket_payload(signed))
    return signed


def rest_payload(query: str, body: str = "") -> bytes:
    """Return what the exchange verifies of a received request: query and body, joined by nothing, less the signature.

    The bytes are taken as they came, never decoded and encoded again.
    """
    return (_without_signature(query) + _without_signature(body)).encode()


def _without_signature(part: str) -> str:
    return "&".join(pair for pair in part.split("&") if not pair.startswith("signature="))


def text_of(value: ParamValue) -> str:
    """Return a parameter as the text that is signed: JSON's words for booleans, digits for numbers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _serialization() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        raise ConfigError(
            ["Ed25519 and RSA keys need the package `cryptography`: install trio-grid with its extra `ed25519`"]
        ) from None
    return serialization


def _rsa_check(key: Any) -> Callable[[bytes, bytes], Any]:
    hashes, padding = _rsa_primitives()
    return lambda signature, payload: key.verify(signature, payload, padding.PKCS1v15(), hashes.SHA256())


def _rsa_primitives() -> tuple[Any, Any]:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return hashes, padding


def _load_private_key(pem: str, password: str | None) -> Any:
    serialization = _serialization()
    try:
        return serialization.load_pem_private_key(pem.encode(), None if password is None else password.encode())
    except (ValueError, TypeError):
        # The library's own message may quote the input, so it is not repeated.
        raise ConfigError(["the private key cannot be read: PKCS#8 in PEM, and its password if it has one"]) from None

"""Who sent a request, and whether it is what they signed.

Pure. Owns the API keys of the accounts, and the checks of key, time and signature with Binance's answers to what
fails them. Signatures are verified over the bytes as they came, never decoded and encoded again. It must never know
what a request is for.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

import msgspec

from trio_grid.exchange.paper.engine.refusals import PaperRefusal, Refusal
from trio_grid.exchange.protocol.signing import HmacSigner, PublicKeyVerifier, Verifier

DEFAULT_RECV_WINDOW_MS = 5_000
LONGEST_RECV_WINDOW_MS = 60_000
AHEAD_MS = 1_000
"""A timestamp may lie this far ahead of the server's clock, not more."""

FIRST_MICROSECONDS = 10**14
"""A timestamp from here on is in microseconds: in milliseconds it would lie in the year 5138."""
_THOUSANDTHS = re.compile(r"(?<=[0-9])\.[0-9]{1,3}$")

# Made anew for each raise: an exception that is raised twice keeps the traceback of both.
key_format = functools.partial(PaperRefusal, -2014, "API-key format invalid.", 401)
key_unknown = functools.partial(PaperRefusal, -2015, "Invalid API-key, IP, or permissions for action", 401)
bad_signature = functools.partial(PaperRefusal, -1022, "Signature for this request is not valid.")
too_late = functools.partial(PaperRefusal, -1021, "Timestamp for this request is outside of the recvWindow.")
too_early = functools.partial(PaperRefusal, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")
bad_recv_window = functools.partial(PaperRefusal, -1131, "recvWindow must be less than 60000")

_KEY_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """One API key: an HMAC secret, or an Ed25519 or RSA public key in PEM; several may belong to the same account."""

    key: str
    account: str
    secret: str | None = None
    public_key_pem: str | None = None

    def __post_init__(self) -> None:
        if (self.secret is None) == (self.public_key_pem is None):
            raise ValueError("an API key has either a secret or a public key")

    def __repr__(self) -> str:
        return f"ApiKey(key={self.key!r}, account={self.account!r}, {'HMAC' if self.secret else 'public key'})"

    def verifier(self) -> Verifier:
        """Return what checks this key's signatures.

        Raises:
            ConfigError: the public key cannot be read, or the `cryptography` package is missing.
        """
        if self.secret is not None:
            return HmacSigner(self.key, self.secret)
        return PublicKeyVerifier(self.public_key_pem or "")


class KeyRing:
    """The API keys of one exchange."""

    def __init__(self, keys: tuple[ApiKey, ...] = ()) -> None:
        self._keys: dict[str, tuple[ApiKey, Verifier]] = {}
        for key in keys:
            self.add(key)

    def add(self, key: ApiKey) -> None:
        """Add a key, or replace the one of the same name; raises ConfigError for one that cannot be used."""
        self._keys[key.key] = (key, key.verifier())

    def remove(self, key: str) -> None:
        """Withdraw a key: whoever uses it from now on is refused."""
        self._keys.pop(key, None)

    def identify(self, key: str | None) -> ApiKey:
        """Return the API key of a header or parameter.

        Raises:
            PaperRefusal: -2014 when it is missing or malformed, -2015 when nobody has it.
        """
        if not key or not _KEY_CHARACTERS.issuperset(key):
            raise key_format()
        found = self._keys.get(key)
        if found is None:
            raise key_unknown()
        return found[0]

    def account_of(self, key: str | None) -> str:
        """Return the account of a key that exists, proved or not; empty for any other."""
        found = self._keys.get(key or "")
        return "" if found is None else found[0].account

    def kind_of(self, key: ApiKey) -> str:
        """Return `HMAC_SHA256`, `RSA` or `ED25519`; -2015 for a key that was withdrawn meanwhile."""
        found = self._keys.get(key.key)
        if found is None:
            raise key_unknown()
        return found[1].kind if isinstance(found[1], PublicKeyVerifier) else "HMAC_SHA256"

    def verify(self, key: ApiKey, payload: bytes, signature: str) -> None:
        """Check a signature over a payload, in constant time.

        Raises:
            PaperRefusal: -1022 when it does not hold.
        """
        found = self._keys.get(key.key)
        if found is None:
            raise key_unknown()
        if not found[1].verify(payload, signature):
            raise bad_signature()


def check_time(parameters: Mapping[str, str], now_ms: int, *, enforced: bool, takes_microseconds: bool = False) -> None:
    """Check `timestamp` and `recvWindow`.

    `takes_microseconds`: as on spot, a timestamp may be in microseconds and the window have three decimals.
    `enforced` False keeps the syntax checks and drops the comparison with the clock: a client cannot follow the clock
    of an exchange that runs faster than real time.

    Raises:
        PaperRefusal: -1102 when one is missing or malformed, -1131, -1021.
    """
    timestamp = _whole_number(parameters, "timestamp")
    if takes_microseconds:
        timestamp = timestamp // 1000 if timestamp is not None and timestamp >= FIRST_MICROSECONDS else timestamp
        parameters = {**parameters, "recvWindow": _THOUSANDTHS.sub("", parameters.get("recvWindow", ""))}
    if timestamp is None:
        raise Refusal.MANDATORY.refuse("timestamp")
    recv_window = _whole_number(parameters, "recvWindow")
    if recv_window is None:
        recv_window = DEFAULT_RECV_WINDOW_MS
    if not 0 < recv_window <= LONGEST_RECV_WINDOW_MS:
        raise bad_recv_window()
    if not enforced:
        return
    if timestamp >= now_ms + AHEAD_MS:
        raise too_early()
    if now_ms - timestamp > recv_window:
        raise too_late()


def _whole_number(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name)
    if text is None or text == "":
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 17:
        raise Refusal.MANDATORY.refuse(name)
    return int(text)


def split_signature(query: bytes, body: bytes) -> tuple[bytes, str | None]:
    """Return what a REST request signed (query + body as they came, without the signature pair) and the signature.

    The signature is accepted anywhere in either; the query's wins. A percent-encoded one is decoded.
    """
    signature: bytes | None = None
    rest: list[bytes] = []
    for part in (query, body):
        kept = []
        for pair in part.split(b"&"):
            if pair.startswith(b"signature="):
                if signature is None:
                    signature = pair[len(b"signature=") :]
            else:
                kept.append(pair)
        rest.append(b"&".join(kept))
    return b"".join(rest), None if signature is None else percent_decoded(signature)


def percent_decoded(text: bytes) -> str:
    """Return a percent-encoded value as text; `+` stays what it is, since Base64 has it."""
    return unquote_to_bytes(text).decode("latin-1")

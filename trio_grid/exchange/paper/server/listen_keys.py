"""Listen keys: the capability that opens an account's event stream, valid for 60 minutes after each renewal.

Pure. Owns which key speaks for which account and until when. Keys come from the exchange's own seeded generator, so
that runs repeat; on a loopback paper exchange they need not be secret, only hard to hit by accident.
"""

from __future__ import annotations

import random
import string

VALID_MS = 60 * 60_000
KEY_LENGTH = 64
_ALPHABET = string.ascii_letters + string.digits


class ListenKeys:
    """The active keys; at most one per account."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"listen keys {seed}")  # noqa: S311 - repeatable on purpose, see above
        self._by_account: dict[str, str] = {}
        self._keys: dict[str, tuple[str, int]] = {}

    def start(self, account: str, now_ms: int) -> str:
        """Return the account's key, made or renewed."""
        key = self._by_account.get(account)
        if key is None or key not in self._keys:
            key = "".join(self._random.choices(_ALPHABET, k=KEY_LENGTH))
            self._by_account[account] = key
        self._keys[key] = (account, now_ms + VALID_MS)
        return key

    def renew(self, account: str, now_ms: int) -> str | None:
        """Extend the account's key and return it; None when it has none."""
        key = self._by_account.get(account)
        if key is None:
            return None
        self._keys[key] = (account, now_ms + VALID_MS)
        return key

    def stop(self, account: str) -> str | None:
        """Close the account's key and return it; None when it has none."""
        key = self._by_account.pop(account, None)
        if key is not None:
            del self._keys[key]
        return key

    def cut_short(self, account: str, now_ms: int) -> None:
        """Let the account's key expire now, as a fault does."""
        key = self._by_account.get(account)
        if key is not None:
            self._keys[key] = (account, now_ms)

    def account_of(self, key: str) -> str | None:
        """Return the account that an active key speaks for."""
        found = self._keys.get(key)
        return found[0] if found else None

    def key_of(self, account: str) -> str | None:
        """Return the account's active key."""
        return self._by_account.get(account)

    def expire(self, now_ms: int) -> list[str]:
        """Forget the keys whose time is over and return them, in the order in which they were made."""
        gone = [key for key, (_, until_ms) in self._keys.items() if until_ms <= now_ms]
        for key in gone:
            account, _ = self._keys.pop(key)
            self._by_account.pop(account, None)
        return gone

    def next_expiry_ms(self) -> int | None:
        """Return when the next key expires."""
        return min((until_ms for _, until_ms in self._keys.values()), default=None)

"""What a refusal for rate says about when to send again; one gate for REST and every WebSocket of a client.

Owns the translation of such refusals into blocks, and the news of a ban, whichever request met it. It never sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import trio

from trio_grid.errors import Banned, MalformedAnswer, RateLimited
from trio_grid.exchange.binance.clock import ServerClock
from trio_grid.exchange.protocol.error_codes import banned_until_ms, error_of
from trio_grid.exchange.protocol.messages import decode
from trio_grid.exchange.protocol.rate_limits import RateLimits, retry_after_s
from trio_grid.exchange.protocol.wire import ErrorData, WireErrorBody

DEFAULT_BAN_MS = 120_000
"""The shortest ban of the documents, for a 418 that names no time."""

TOO_MANY_ORDERS = -1015
_INTERVAL = re.compile(r"per (\d+) (SECOND|MINUTE|HOUR|DAY)")
_INTERVAL_MS = {"SECOND": 1_000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000}


def _until_ms(error: RateLimited, now_ms: int) -> int:
    if error.retry_after_s is not None:
        return now_ms + int(error.retry_after_s * 1_000)
    named = banned_until_ms(error.message)
    if named is not None:
        return named
    if isinstance(error, Banned):
        return now_ms + DEFAULT_BAN_MS
    match = _INTERVAL.search(error.message)
    window_ms = int(match[1]) * _INTERVAL_MS[match[2]] if match else 60_000
    return (now_ms // window_ms + 1) * window_ms


class Gate:
    """The one gate of a client: what every refusal for rate passes, and what every new connection asks first."""

    def __init__(self, limits: RateLimits, clock: ServerClock) -> None:
        self._limits = limits
        self._clock = clock
        self._bans: list[Banned] = []
        self._ban_came = trio.Event()

    def refused(self, error: RateLimited) -> RateLimited:
        """Block sending by what the refusal says, and return it with `retry_after_s` filled in.

        Too many orders (-1015) blocks orders alone: cancels and queries are not counted by that limit.
        """
        now_ms = self._clock.now_ms()
        until_ms = _until_ms(error, now_ms)
        if error.code == TOO_MANY_ORDERS:
            self._limits.block_orders(until_ms)
        else:
            self._limits.block(until_ms, banned=isinstance(error, Banned))
        error.retry_after_s = max(0.0, (until_ms - now_ms) / 1_000)
        if isinstance(error, Banned):
            self._bans = [error]
            self._ban_came.set()
        return error

    async def wait_banned(self) -> Banned:
        """Wait for the next ban (418) that any request or handshake meets, and return it."""
        came = self._ban_came = trio.Event()
        await came.wait()
        return self._bans[0]

    def blocked_s(self) -> float:
        """Return for how long nothing may be sent; 0 if it may."""
        now_ms = self._clock.now_ms()
        until_ms = self._limits.blocked_until(now_ms)
        return 0.0 if until_ms is None else (until_ms - now_ms) / 1_000

    def refused_handshake(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes | None) -> None:
        """Take note of a refused handshake: 429 and 418 block everything, as they do for a request."""
        plain = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
        message = (body or b"").decode(errors="replace")
        error = error_of(status, None, message, retry_after_s=retry_after_s(plain))
        if isinstance(error, RateLimited):
            self.refused(error)


def retry_after_of(error: WireErrorBody) -> float | None:
    """Return the seconds that `error.data` of a WebSocket API answer asks to wait, or None."""
    if not bytes(error.data):
        return None
    try:
        data = decode(error.data, ErrorData, what="error.data")
    except MalformedAnswer:
        return None
    if data.retry_after is None or data.server_time is None:
        return None
    return max(0.0, (data.retry_after - data.server_time) / 1_000)

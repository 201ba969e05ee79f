"""What a refusal for rate says about when to send again; shared by REST and every WebSocket.

Owns the translation of such refusals into blocks; it never waits and never sends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

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


def block_by(error: RateLimited, limits: RateLimits, now_ms: int) -> RateLimited:
    """Block sending by what the refusal says, and return it with `retry_after_s` filled in.

    Too many orders (-1015) blocks orders alone: cancels and queries are not counted by that limit.
    """
    until_ms = _until_ms(error, now_ms)
    if error.code == TOO_MANY_ORDERS:
        limits.block_orders(until_ms)
    else:
        limits.block(until_ms, banned=isinstance(error, Banned))
    error.retry_after_s = max(0.0, (until_ms - now_ms) / 1_000)
    return error


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
    """What every new WebSocket connection asks: whether sending is blocked, and what a refusal at the door means."""

    def __init__(self, limits: RateLimits, clock: ServerClock) -> None:
        self._limits = limits
        self._clock = clock

    def blocked_s(self) -> float:
        """Return for how long nothing may be sent; 0 if it may."""
        now_ms = self._clock.now_ms()
        until_ms = self._limits.blocked_until(now_ms)
        return 0.0 if until_ms is None else (until_ms - now_ms) / 1_000

    def refused(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes | None) -> None:
        """Take note of a refused handshake: 429 and 418 block everything, as they do for a request."""
        plain = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
        message = (body or b"").decode(errors="replace")
        error = error_of(status, None, message, retry_after_s=retry_after_s(plain))
        if isinstance(error, RateLimited):
            block_by(error, self._limits, self._clock.now_ms())


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

"""What a client may send: request weight per address, order counts per account, and the bans of those who go on.

Pure. Windows are fixed and aligned to the exchange's clock, as Binance's are: a count starts over at :00. Owns the
counters; it must never judge anything but counts.
"""

from __future__ import annotations

import msgspec

from trio_grid.exchange.protocol.rate_limits import FUTURES_LIMITS, ORDERS, REQUEST_WEIGHT, RateLimit

TOO_MANY_REQUESTS = -1003
TOO_MANY_ORDERS = -1015
FIRST_BAN_MS = 120_000
LONGEST_BAN_MS = 3 * 86_400_000

WEIGHT_LIMIT = next(limit for limit in FUTURES_LIMITS if limit.rate_limit_type == REQUEST_WEIGHT)
ORDER_LIMITS = tuple(limit for limit in FUTURES_LIMITS if limit.rate_limit_type == ORDERS)


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one server; `refusals_before_ban` 429 answers within one window make the next one a ban (418)."""

    weight: RateLimit = WEIGHT_LIMIT
    orders: tuple[RateLimit, ...] = ORDER_LIMITS
    refusals_before_ban: int = 60

    def wire(self) -> list[dict[str, object]]:
        """Return the `rateLimits` of exchangeInfo."""
        return [wire_limit(limit) for limit in (self.weight, *self.orders)]


def wire_limit(limit: RateLimit, count: int | None = None) -> dict[str, object]:
    """Return a limit as exchangeInfo lists it; with a count, as the WebSocket API's answers do."""
    row: dict[str, object] = msgspec.to_builtins(limit)
    if count is not None:
        row["count"] = count
    return row


class LimitRefusal(Exception):
    """The request is over a limit. `status` is 429 or 418; `retry_after_s` is whole seconds, at least 1."""

    def __init__(self, status: int, code: int, message: str, retry_after_ms: int, retry_at_ms: int) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after_s = max(1, -(-retry_after_ms // 1000))
        self.retry_at_ms = retry_at_ms


class _Window:
    """A counter that starts over at each multiple of its window."""

    __slots__ = ("_index", "count", "limit")

    def __init__(self, limit: RateLimit) -> None:
        self.limit, self.count, self._index = limit, 0, -1

    def at(self, now_ms: int) -> _Window:
        index = now_ms // self.limit.interval_ms
        if index != self._index:
            self._index, self.count = index, 0
        return self

    def ends_ms(self, now_ms: int) -> int:
        return (now_ms // self.limit.interval_ms + 1) * self.limit.interval_ms


class _Address:
    """What one address has used."""

    def __init__(self, settings: LimitSettings) -> None:
        self.weight = _Window(settings.weight)
        self.refusals = _Window(settings.weight)
        self.bans = 0
        self.banned_until_ms = 0


class RequestLimits:
    """The counters of one server: weight and bans by address, order counts by account."""

    def __init__(self, settings: LimitSettings | None = None) -> None:
        self.settings = settings or LimitSettings()
        self._addresses: dict[str, _Address] = {}
        self._accounts: dict[str, tuple[_Window, ...]] = {}

    def spend_weight(self, address: str, weight: int, now_ms: int) -> int:
        """Count a request's weight and return what the address has used in this window.

        Raises:
            LimitRefusal: over the limit (429), or banned (418).
        """
        used = self._addresses.get(address)
        if used is None:
            used = self._addresses[address] = _Address(self.settings)
        if now_ms < used.banned_until_ms:
            raise self._ban(used, now_ms)
        window = used.weight.at(now_ms)
        window.count += weight
        if window.count <= window.limit.limit or weight == 0:
            return window.count
        refusals = used.refusals.at(now_ms)
        refusals.count += 1
        if refusals.count > self.settings.refusals_before_ban:
            refusals.count = 0
            used.banned_until_ms = now_ms + min(LONGEST_BAN_MS, FIRST_BAN_MS * 4**used.bans)
            used.bans += 1
            raise self._ban(used, now_ms)
        ends_ms = window.ends_ms(now_ms)
        raise LimitRefusal(
            429,
            TOO_MANY_REQUESTS,
            f"Too many requests; current limit is {window.limit.limit} requests per minute. Please use the websocket "
            "for live updates to avoid polling the API.",
            ends_ms - now_ms,
            ends_ms,
        )

    def used_weight(self, address: str, now_ms: int) -> int:
        """Return the weight that an address has used in the present window."""
        used = self._addresses.get(address)
        return used.weight.at(now_ms).count if used else 0

    def spend_orders(self, account: str, counts: tuple[int, ...], now_ms: int) -> None:
        """Count new orders of an account, one count for each order limit; nothing is counted when refused.

        Raises:
            LimitRefusal: one of the limits would be passed (429, -1015).
        """
        windows = self._order_windows(account, now_ms)
        for window, count in zip(windows, counts, strict=True):
            if window.count + count > window.limit.limit:
                ends_ms, limit = window.ends_ms(now_ms), window.limit
                raise LimitRefusal(
                    429,
                    TOO_MANY_ORDERS,
                    f"Too many new orders; current limit is {limit.limit} orders per {limit.interval_num} "
                    f"{limit.interval}.",
                    ends_ms - now_ms,
                    ends_ms,
                )
        for window, count in zip(windows, counts, strict=True):
            window.count += count

    def order_counts(self, account: str, now_ms: int) -> tuple[tuple[RateLimit, int], ...]:
        """Return each order limit with the account's count in its present window."""
        return tuple((window.limit, window.count) for window in self._order_windows(account, now_ms))

    def ban(self, address: str, until_ms: int) -> None:
        """Ban an address until a time; a drill's handle."""
        used = self._addresses.setdefault(address, _Address(self.settings))
        used.banned_until_ms = until_ms

    def _order_windows(self, account: str, now_ms: int) -> tuple[_Window, ...]:
        windows = self._accounts.get(account)
        if windows is None:
            windows = self._accounts[account] = tuple(_Window(limit) for limit in self.settings.orders)
        for window in windows:
            window.at(now_ms)
        return windows

    @staticmethod
    def _ban(used: _Address, now_ms: int) -> LimitRefusal:
        return LimitRefusal(
            418,
            TOO_MANY_REQUESTS,
            f"Way too many requests; IP banned until {used.banned_until_ms}. Please use the websocket for live "
            "updates to avoid bans.",
            used.banned_until_ms - now_ms,
            used.banned_until_ms,
        )

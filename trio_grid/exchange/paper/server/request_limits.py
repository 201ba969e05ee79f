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

RAW_REQUESTS = "RAW_REQUESTS"
WEIGHT_LIMIT = next(limit for limit in FUTURES_LIMITS if limit.rate_limit_type == REQUEST_WEIGHT)
ORDER_LIMITS = tuple(limit for limit in FUTURES_LIMITS if limit.rate_limit_type == ORDERS)


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one server; `refusals_before_ban` 429 answers within one window make the next one a ban (418)."""

    weight: RateLimit = WEIGHT_LIMIT
    orders: tuple[RateLimit, ...] = ORDER_LIMITS
    raw: RateLimit | None = None
    refusals_before_ban: int = 60
    over: str = (
        "Too many requests; current limit is {0.limit} requests per minute. Please use the websocket for live updates "
        "to avoid polling the API."
    )
    banned: str = "Way too many requests; IP banned until {0}. Please use the websocket for live updates to avoid bans."
    counts_refused_orders: bool = True

    def wire(self) -> list[dict[str, object]]:
        """Return the `rateLimits` of exchangeInfo."""
        raw = () if self.raw is None else (self.raw,)
        return [wire_limit(limit) for limit in (self.weight, *self.orders, *raw)]


SPOT_SETTINGS = LimitSettings(
    weight=RateLimit(REQUEST_WEIGHT, "MINUTE", 1, 6_000),
    orders=(RateLimit(ORDERS, "SECOND", 10, 100), RateLimit(ORDERS, "DAY", 1, 200_000)),
    raw=RateLimit(RAW_REQUESTS, "MINUTE", 5, 61_000),
    over=(
        "Too much request weight used; current limit is {0.limit} request weight per 1 MINUTE. Please use WebSocket "
        "Streams for live updates to avoid polling the API."
    ),
    banned=(
        "Way too much request weight used; IP banned until {0}. Please use WebSocket Streams for live updates to avoid "
        "bans."
    ),
    counts_refused_orders=False,
)
"""The limits of spot: its own counters, by address and by account; an order that traded counts no more."""


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
        self.raw = None if settings.raw is None else _Window(settings.raw)
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
        spent = window
        if used.raw is not None and used.raw.at(now_ms).count >= used.raw.limit.limit:
            spent = used.raw
        elif window.count <= window.limit.limit or weight == 0:
            if used.raw is not None:
                used.raw.count += 1
            return window.count
        refusals = used.refusals.at(now_ms)
        refusals.count += 1
        if refusals.count > self.settings.refusals_before_ban:
            refusals.count = 0
            used.banned_until_ms = now_ms + min(LONGEST_BAN_MS, FIRST_BAN_MS * 4**used.bans)
            used.bans += 1
            raise self._ban(used, now_ms)
        ends_ms = spent.ends_ms(now_ms)
        message = self.settings.over.format(spent.limit)
        if spent is used.raw:
            message = f"Too many requests; current limit is {spent.limit.limit} requests per 5 MINUTE."
        raise LimitRefusal(429, TOO_MANY_REQUESTS, message, ends_ms - now_ms, ends_ms)

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

    def give_back_order(self, account: str, now_ms: int) -> None:
        """Count one order less in the present windows: it was not accepted, or has begun to trade."""
        for window in self._order_windows(account, now_ms):
            window.count = max(0, window.count - 1)

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

    def _ban(self, used: _Address, now_ms: int) -> LimitRefusal:
        return LimitRefusal(
            418,
            TOO_MANY_REQUESTS,
            self.settings.banned.format(used.banned_until_ms),
            used.banned_until_ms - now_ms,
            used.banned_until_ms,
        )

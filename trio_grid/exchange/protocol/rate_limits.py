"""Request weights and order counts: what the exchange reports, and what may still be sent.

Pure: the exchange's time is passed in. Windows are fixed and aligned to the exchange's wall clock. The client paces
itself by a share of each limit, since other programs on the same address or account spend from the same windows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from trio_grid.exchange.interface import OrderBudget

REQUEST_WEIGHT = "REQUEST_WEIGHT"
ORDERS = "ORDERS"

USABLE_PERCENT = 80
"""The share of a limit that the client plans with; the rest absorbs window edges, cancels and other programs."""

MARGIN_AT_WINDOW_EDGE_MS = 50
"""A refill is planned this much after the window's edge, since the two clocks agree only to a few milliseconds."""

_HEADER = re.compile(r"x-mbx-(used-weight|order-count)-(\d+)([smhd])", re.IGNORECASE)
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_INTERVAL_MS = {"SECOND": 1_000, "MINUTE": 60_000, "HOUR": 3_600_000, "DAY": 86_400_000}
_INTERVAL_LETTER = {"SECOND": "S", "MINUTE": "M", "HOUR": "H", "DAY": "D"}


class RateLimit(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One entry of `rateLimits`, in exchangeInfo (no count) and in answers of the WebSocket API (with count)."""

    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int
    count: int | None = None

    @property
    def interval_ms(self) -> int:
        """Length of the window; 0 for an interval that is not known."""
        return _INTERVAL_MS.get(self.interval, 0) * self.interval_num

    @property
    def header(self) -> str:
        """Name of the REST header that reports this window's count."""
        name = "X-MBX-ORDER-COUNT" if self.rate_limit_type == ORDERS else "X-MBX-USED-WEIGHT"
        return f"{name}-{self.interval_num}{_INTERVAL_LETTER[self.interval]}"


class UsedLimit(msgspec.Struct, frozen=True):
    """A count that the exchange reported for the current window."""

    rate_limit_type: str
    interval_ms: int
    count: int


FUTURES_LIMITS: tuple[RateLimit, ...] = (
    RateLimit(REQUEST_WEIGHT, "MINUTE", 1, 2_400),
    RateLimit(ORDERS, "SECOND", 10, 300),
    RateLimit(ORDERS, "MINUTE", 1, 1_200),
)
"""The limits of USD-M futures until exchangeInfo has been read."""


def parse_headers(headers: Iterable[tuple[str, str]]) -> tuple[UsedLimit, ...]:
    """Return the counts in a response's headers; -1 and other nonsense (seen on order endpoints) are left out."""
    used = []
    for name, value in headers:
        match = _HEADER.fullmatch(name)
        if match is not None and value.isdecimal():
            kind = REQUEST_WEIGHT if match[1].lower() == "used-weight" else ORDERS
            used.append(UsedLimit(kind, int(match[2]) * _UNIT_MS[match[3].lower()], int(value)))
    return tuple(used)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header (lower-case name), or None."""
    value = headers.get("retry-after", "").strip()
    return float(value) if value.isdecimal() else None


class WindowCounter:
    """The count of one fixed window that starts over at each multiple of its length."""

    def __init__(self, interval_ms: int, limit: int) -> None:
        self.interval_ms = interval_ms
        self.limit = limit
        self._window = 0
        self._count = 0

    def __repr__(self) -> str:
        return f"<WindowCounter {self._count}/{self.limit} per {self.interval_ms} ms>"

    def count(self, now_ms: int) -> int:
        """Return the count of the window that holds `now_ms`."""
        return self._count if now_ms // self.interval_ms == self._window else 0

    def add(self, amount: int, now_ms: int) -> int:
        """Count something and return the window's new count."""
        return self._set(self.count(now_ms) + amount, now_ms)

    def observe(self, count: int, now_ms: int) -> None:
        """Take the exchange's own count when it is higher: somebody else spends from the same window."""
        self._set(max(count, self.count(now_ms)), now_ms)

    def next_window_ms(self, now_ms: int) -> int:
        """Return when the count starts over."""
        return (now_ms // self.interval_ms + 1) * self.interval_ms

    def _set(self, count: int, now_ms: int) -> int:
        self._window = now_ms // self.interval_ms
        self._count = count
        return count


class RateLimits:
    """Every window of one account and address, and a ban if there is one."""

    def __init__(self, limits: Sequence[RateLimit] = FUTURES_LIMITS, *, usable_percent: int = USABLE_PERCENT) -> None:
        self._usable_percent = usable_percent
        self._counters: dict[tuple[str, int], WindowCounter] = {}
        self._blocked_until_ms = 0
        self._orders_blocked_until_ms = 0
        self._banned = False
        self.learn(limits)

    def __repr__(self) -> str:
        return f"<RateLimits {list(self._counters.values())} blocked_until_ms={self._blocked_until_ms}>"

    def learn(self, limits: Iterable[RateLimit]) -> None:
        """Take the venue's own limits; counts go on where a window is already known."""
        for limit in limits:
            if limit.interval_ms == 0 or limit.limit < 1:
                continue
            counter = self._counters.get((limit.rate_limit_type, limit.interval_ms))
            if counter is None:
                counter = WindowCounter(limit.interval_ms, limit.limit)
                self._counters[limit.rate_limit_type, limit.interval_ms] = counter
            counter.limit = limit.limit

    def observe(self, used: Iterable[UsedLimit | RateLimit], now_ms: int) -> None:
        """Take the counts that an answer reported."""
        for item in used:
            counter = self._counters.get((item.rate_limit_type, item.interval_ms))
            if counter is not None and item.count is not None and item.count >= 0:
                counter.observe(item.count, now_ms)

    def spend(self, kind: str, amount: int, now_ms: int) -> None:
        """Count what is being sent: weight or orders."""
        for (counter_kind, _), counter in self._counters.items():
            if counter_kind == kind:
                counter.add(amount, now_ms)

    def block(self, until_ms: int, *, banned: bool) -> None:
        """Send nothing before a time; a longer block stays, and a ban stays a ban while it lasts."""
        if until_ms > self._blocked_until_ms:
            self._blocked_until_ms = until_ms
            self._banned = banned

    def block_orders(self, until_ms: int) -> None:
        """Place no order before a time; other requests go on."""
        self._orders_blocked_until_ms = max(self._orders_blocked_until_ms, until_ms)

    def blocked_until(self, now_ms: int) -> int | None:
        """Return when sending is allowed again, or None if it is allowed now."""
        return self._blocked_until_ms if now_ms < self._blocked_until_ms else None

    def banned(self, now_ms: int) -> bool:
        """Return whether the block is a ban (418)."""
        return self._banned and now_ms < self._blocked_until_ms

    def weight_wait_ms(self, weight: int, now_ms: int, *, urgent: bool = False) -> int:
        """Return how long a request of this weight has to wait; urgent ones may use the reserve as well."""
        wait = 0
        for (kind, _), counter in self._counters.items():
            if kind == REQUEST_WEIGHT and counter.count(now_ms) + weight > self._usable(counter, urgent):
                wait = max(wait, counter.next_window_ms(now_ms) - now_ms + MARGIN_AT_WINDOW_EDGE_MS)
        return wait

    def order_budget(self, now_ms: int) -> OrderBudget:
        """Return how many orders all windows allow now, and when the tightest of them starts over."""
        blocked_until_ms = max(self._blocked_until_ms, self._orders_blocked_until_ms)
        if now_ms < blocked_until_ms:
            return OrderBudget(orders=0, refill_at_ms=blocked_until_ms)
        orders, refill_at_ms = 1_000_000, now_ms
        for (kind, _), counter in self._counters.items():
            if kind != ORDERS:
                continue
            left = max(0, self._usable(counter, urgent=False) - counter.count(now_ms))
            edge_ms = counter.next_window_ms(now_ms) + MARGIN_AT_WINDOW_EDGE_MS
            if left < orders:
                orders, refill_at_ms = left, edge_ms
            elif left == orders:
                refill_at_ms = max(refill_at_ms, edge_ms)
        return OrderBudget(orders=orders, refill_at_ms=refill_at_ms)

    def _usable(self, counter: WindowCounter, urgent: bool) -> int:
        return counter.limit if urgent else max(1, counter.limit * self._usable_percent // 100)

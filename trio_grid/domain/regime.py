"""The regime: what the last 100 closed 1-minute klines say about trend, volatility, liquidity and size.

Owns Wilder's RSI and ATR, the classifier, the anomaly brake and the window of klines that they read. These are the only
floats of the domain (R2); what leaves this file is flags, whole ticks and whole thousandths. Nothing here may remember
anything beyond the klines: every reading is computed anew from the last 100 of them, so that a restart, a late kline or
a backfill changes no reading (states with hysteresis are walked forward inside the window, from NORMAL). A reading
concerns openings alone; this file knows no order.

RSI and ATR are those of J. W. Wilder, New Concepts in Technical Trading Systems (1978), started, as TA-Lib starts them,
with the plain mean of the first `period` values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from trio_grid.domain.events import Kline, Liquidity, RegimeReading, Trend, Volatility

MINUTE_MS = 60_000
WINDOW_KLINES = 100
_NEUTRAL_RSI = 50.0


class RegimeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds of the classifier. Counts are closed 1-minute klines, `_milli` are thousandths.

    Raises ValueError, naming field, value and what is allowed, when a combination leaves the window nothing to judge.
    """

    rsi_period: int = 14
    atr_period: int = 14
    bull_above_rsi: int = 70
    bear_below_rsi: int = 30
    flat_milliticks: int = 50
    """A market whose close moves less than this per minute (Wilder's average) is flat, hence RANGE: the RSI of a market
    that moved by one tick and then stood still is 100 or 0 for as long as the tick is in the window (S14)."""
    average_klines: int = 50
    """ATR and volume are compared with their means over this many klines."""
    high_enter_milli: int = 1_500
    """HIGH begins when ATR is above its mean times this,"""
    high_leave_milli: int = 1_200
    """and ends when it is below its mean times this."""
    volume_klines: int = 5
    """One minute's volume is noise: the mean of this many is compared."""
    thin_enter_milli: int = 200
    """THIN begins when volume is below its mean times this,"""
    thin_leave_milli: int = 350
    """and ends when it is above its mean times this."""
    dwell_klines: int = 5
    """A state of volatility or liquidity, once entered, stays at least this long."""
    brake_klines: int = 20
    brake_volume_milli: int = 3_000
    brake_release_klines: int = 5
    """The brake is released after this many closed klines in a row without an anomaly."""
    size_volatility_factor: int = 50
    smallest_size_milli: int = 100

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"RegimeSettings.{name} is {value!r}; allowed: a whole number of at least 1")
        for lower, upper, most in (
            ("bear_below_rsi", "bull_above_rsi", 100),
            ("high_leave_milli", "high_enter_milli", None),
            ("thin_enter_milli", "thin_leave_milli", None),
            ("volume_klines", "average_klines", WINDOW_KLINES),
            ("smallest_size_milli", "smallest_size_milli", 1_000),
        ):
            low, high = getattr(self, lower), getattr(self, upper)
            if low > high or (most is not None and high > most):
                limit = "" if most is None else f" and {upper} at most {most}"
                raise ValueError(f"RegimeSettings.{lower} is {low}, {upper} {high}; allowed: {lower} <= {upper}{limit}")
        for name, needed in (
            ("rsi_period", self.rsi_period + 1),
            ("atr_period", self.atr_period + self.average_klines),
            ("brake_klines", self.brake_klines),
        ):
            if needed > WINDOW_KLINES:
                raise ValueError(
                    f"RegimeSettings.{name} is {getattr(self, name)}: {needed} klines are needed;"
                    f" allowed: at most {WINDOW_KLINES}"
                )


class KlineWindow:
    """The closed klines of the last 100 minutes, whatever the order and repetition in which they arrive.

    The newest kline ever added ends the window. A kline of a minute that is known replaces the older word. `spare`
    older minutes are kept as well: the window of a watched symbol may end before the traded symbol's or after it, and
    the last 100 minutes of the one must be in the other.
    """

    __slots__ = ("_by_minute", "_kept")

    def __init__(self, spare: int = 0) -> None:
        self._by_minute: dict[int, Kline] = {}
        self._kept = WINDOW_KLINES + spare

    def __repr__(self) -> str:
        """Return how full the window is."""
        return f"<KlineWindow klines={len(self._by_minute)} missing={len(self.missing_minutes())}>"

    def add(self, kline: Kline) -> bool:
        """Take a closed kline; return whether it changed the window (not a repetition, not older than the window).

        Raises:
            ValueError: the kline is still open or does not begin on a whole minute.
        """
        if not kline.closed or kline.open_time_ms % MINUTE_MS:
            raise ValueError(
                f"kline at {kline.open_time_ms} ms, closed={kline.closed}; allowed: closed 1-minute klines"
            )
        klines = self._by_minute
        newest = max(klines, default=kline.open_time_ms)
        if kline.open_time_ms <= newest - self._kept * MINUTE_MS or klines.get(kline.open_time_ms) == kline:
            return False
        klines[kline.open_time_ms] = kline
        oldest = max(newest, kline.open_time_ms) - (self._kept - 1) * MINUTE_MS
        for minute in [minute for minute in klines if minute < oldest]:
            del klines[minute]
        return True

    def klines(self) -> tuple[Kline, ...]:
        """Return the klines in ascending order, at most 100 and the spare ones."""
        return tuple(self._by_minute[minute] for minute in sorted(self._by_minute))

    def missing_minutes(self) -> tuple[int, ...]:
        """Return the open times, in ms, of the last 100 minutes' klines that are not there: what to fetch by REST.

        Empty when nothing was ever added, since no minute is known to be the last.
        """
        if not self._by_minute:
            return ()
        end = max(self._by_minute) + MINUTE_MS
        minutes = range(max(end - WINDOW_KLINES * MINUTE_MS, 0), end, MINUTE_MS)
        return tuple(minute for minute in minutes if minute not in self._by_minute)

    @property
    def gapless(self) -> bool:
        """Whether the last 100 minutes are all there."""
        return len(self._by_minute) >= WINDOW_KLINES and not self.missing_minutes()

    @property
    def newest_ms(self) -> int | None:
        """Open time of the newest minute; None when nothing was ever added."""
        return max(self._by_minute, default=None)


def classify(
    klines: Sequence[Kline], settings: RegimeSettings | None = None, watched: Sequence[Sequence[Kline]] = ()
) -> RegimeReading:
    """Return the regime at the close of the last kline: a function of the last 100 klines and nothing else.

    `klines` are the traded symbol's closed 1-minute klines, ascending; `watched` are those of further symbols, which
    vote on the anomaly brake only, with their klines of the same 100 minutes. With fewer than 100 klines of the traded
    symbol, or a minute missing among them, the reading is stale; a watched symbol that lacks klines only has no vote.

    Raises:
        ValueError: a kline is still open.
    """
    settings = settings or _DEFAULTS
    run = klines[-WINDOW_KLINES:]
    if not all(kline.closed for kline in run):
        raise ValueError("a kline that is still open was given; allowed: closed klines")
    close_time_ms = run[-1].open_time_ms + MINUTE_MS - 1 if run else 0
    gapless = all(later.open_time_ms - earlier.open_time_ms == MINUTE_MS for earlier, later in pairwise(run))
    if len(run) < WINDOW_KLINES or not gapless:
        return _stale(close_time_ms)
    closes = [kline.close_ticks for kline in run]
    atr = _known(wilder_atr([k.high_ticks for k in run], [k.low_ticks for k in run], closes, settings.atr_period))
    trend, rsi = _trend(closes, settings)
    factor = math.floor(1_000 - 1_000 * settings.size_volatility_factor * atr[-1] / closes[-1])
    return RegimeReading(
        close_time_ms=close_time_ms,
        trend=trend,
        volatility=_volatility(atr, settings),
        liquidity=_liquidity([kline.volume_lots for kline in run], settings),
        brake=anomaly_brake([run, *(_between(run, further) for further in watched)], settings),
        stale=False,
        atr_ticks=math.floor(atr[-1]),
        size_factor_milli=max(settings.smallest_size_milli, factor, 100),
        rsi_milli=math.floor(rsi * 1_000),
    )


def anomaly_brake(watched: Sequence[Sequence[Kline]], settings: RegimeSettings | None = None) -> bool:
    """Return whether the anomaly brake is on at the close of the first symbol's last kline.

    A symbol shows an anomaly in a minute when, over the 20 closed klines that end with it, its close is below their
    mean close and its volume above their mean volume x 3.0. The brake goes on when more than half of the symbols that
    have these klines show one, and is released after five closed klines in a row in which no majority does. What a
    symbol without these klines would say is unknown: it has no vote, so that it can neither outvote an anomaly that is
    seen nor hold the brake for as long as its data is missing. Walked forward over the first symbol's last 100 minutes,
    from released; integers only.
    """
    settings = settings or _DEFAULTS
    if not watched or not watched[0]:
        return False
    minutes = [kline.open_time_ms for kline in watched[0][-WINDOW_KLINES:]]
    votes = [_anomalies(klines, minutes, settings) for klines in watched]
    on, calm = False, 0
    for minute in minutes:
        cast = [vote[minute] for vote in votes if minute in vote]
        if 2 * sum(cast) > len(cast):
            on, calm = True, 0
        else:
            calm += 1
            on = on and calm < settings.brake_release_klines
    return on


def has_vote(traded: KlineWindow, watched: KlineWindow, settings: RegimeSettings | None = None) -> bool:
    """Return whether a watched symbol votes on the anomaly brake at the traded symbol's last close."""
    last_ms = traded.newest_ms
    return last_ms is not None and last_ms in _anomalies(watched.klines(), [last_ms], settings or _DEFAULTS)


def _between(run: Sequence[Kline], klines: Sequence[Kline]) -> list[Kline]:
    """Return the klines of the minutes of a run: what lies before or after must change no reading."""
    return [kline for kline in klines if run[0].open_time_ms <= kline.open_time_ms <= run[-1].open_time_ms]


def wilder_rsi(closes: Sequence[float], period: int = 14) -> list[float | None]:
    """Return Wilder's relative strength index, 0..100, for each close; None for the first `period` of them.

    RSI = 100 x average gain / (average gain + average loss). Where both averages are 0 nothing moved: 50.
    """
    return [
        None if averages is None else _rsi(*averages) for averages in _average_changes(closes, _checked_period(period))
    ]


def wilder_atr(
    highs: Sequence[float], lows: Sequence[float], closes: Sequence[float], period: int = 14
) -> list[float | None]:
    """Return Wilder's average true range for each kline, in the unit of the prices; None for the first `period`.

    True range = max(high, previous close) - min(low, previous close).

    Raises:
        ValueError: the three sequences differ in length, or the period is below 1.
    """
    if not len(highs) == len(lows) == len(closes):
        raise ValueError(f"{len(highs)} highs, {len(lows)} lows, {len(closes)} closes; allowed: as many of each")
    ranges = [
        max(high, before) - min(low, before) for high, low, before in zip(highs[1:], lows[1:], closes, strict=False)
    ]
    return [None, *_smoothed(ranges, _checked_period(period))][: len(closes)]


def _checked_period(period: int) -> int:
    if period < 1:
        raise ValueError(f"period is {period}; allowed: at least 1")
    return period


def _smoothed(values: Sequence[float], period: int) -> list[float | None]:
    """Return Wilder's moving average: the mean of the first `period` values, then (before x (n - 1) + value) / n."""
    if len(values) < period:
        return [None] * len(values)
    average = math.fsum(values[:period]) / period
    smoothed: list[float | None] = [None] * (period - 1)
    smoothed.append(average)
    for value in values[period:]:
        average = (average * (period - 1) + value) / period
        smoothed.append(average)
    return smoothed


def _average_changes(closes: Sequence[float], period: int) -> list[tuple[float, float] | None]:
    """Return (average gain, average loss) for each close, None where there are too few before it."""
    changes = [later - earlier for earlier, later in pairwise(closes)]
    gains = _smoothed([max(change, 0) for change in changes], period)
    losses = _smoothed([max(-change, 0) for change in changes], period)
    paired = [None if gain is None or loss is None else (gain, loss) for gain, loss in zip(gains, losses, strict=True)]
    return [None, *paired][: len(closes)]


def _rsi(gain: float, loss: float) -> float:
    return 100 * gain / (gain + loss) if gain + loss > 0 else _NEUTRAL_RSI


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _trend(closes: Sequence[int], settings: RegimeSettings) -> tuple[Trend, float]:
    averages = _average_changes(closes, settings.rsi_period)[-1]
    gain, loss = averages or (0.0, 0.0)
    rsi = _rsi(gain, loss)
    if (gain + loss) * 1_000 < settings.flat_milliticks:
        return Trend.RANGE, rsi
    if rsi > settings.bull_above_rsi:
        return Trend.BULL, rsi
    return (Trend.BEAR if rsi < settings.bear_below_rsi else Trend.RANGE), rsi


def _volatility(atr: Sequence[float], settings: RegimeSettings) -> Volatility:
    """Compare ATR with its mean, kline by kline."""
    count = settings.average_klines
    enter, leave = settings.high_enter_milli, settings.high_leave_milli
    steps = []
    for end in range(count, len(atr) + 1):
        value, total = atr[end - 1] * 1_000 * count, math.fsum(atr[end - count : end])
        steps.append((value > enter * total, value < leave * total))
    return Volatility.HIGH if _latched(steps, settings.dwell_klines) else Volatility.NORMAL


def _liquidity(volumes: Sequence[int], settings: RegimeSettings) -> Liquidity:
    """Compare the mean volume of the last few klines with that of many, kline by kline; no volume at all is THIN."""
    count, few = settings.average_klines, settings.volume_klines
    enter, leave = settings.thin_enter_milli, settings.thin_leave_milli
    steps = []
    for end in range(count, len(volumes) + 1):
        value, total = sum(volumes[end - few : end]) * 1_000 * count, sum(volumes[end - count : end]) * few
        steps.append((value < enter * total or total == 0, value > leave * total))
    return Liquidity.THIN if _latched(steps, settings.dwell_klines) else Liquidity.NORMAL


def _latched(steps: Iterable[tuple[bool, bool]], dwell: int) -> bool:
    """Walk a two-state switch over (enter, leave) pairs, from off; a state it has gone to stays for `dwell` steps."""
    on, lasted = False, dwell
    for enter, leave in steps:
        if lasted >= dwell and (leave if on else enter):
            on, lasted = not on, 0
        lasted += 1
    return on


def _anomalies(klines: Sequence[Kline], minutes: Sequence[int], settings: RegimeSettings) -> dict[int, bool]:
    """Return for each minute whether the symbol shows an anomaly; minutes without a gapless run before them are out."""
    count = settings.brake_klines
    by_minute = {kline.open_time_ms: kline for kline in klines}
    shown = {}
    for minute in minutes:
        wanted = range(minute - (count - 1) * MINUTE_MS, minute + MINUTE_MS, MINUTE_MS)
        run = [by_minute[moment] for moment in wanted if moment in by_minute]
        if len(run) == count:
            falls = run[-1].close_ticks * count < sum(kline.close_ticks for kline in run)
            mean_volume = sum(kline.volume_lots for kline in run)
            shown[minute] = falls and run[-1].volume_lots * count * 1_000 > settings.brake_volume_milli * mean_volume
    return shown


def _stale(close_time_ms: int) -> RegimeReading:
    return RegimeReading(
        close_time_ms=close_time_ms,
        trend=Trend.RANGE,
        volatility=Volatility.NORMAL,
        liquidity=Liquidity.NORMAL,
        brake=False,
        stale=True,
        atr_ticks=0,
        size_factor_milli=1_000,
        rsi_milli=round(_NEUTRAL_RSI * 1_000),
    )


_DEFAULTS = RegimeSettings()

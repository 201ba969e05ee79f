"""Owns the seeded synthetic market: a price with fat tails, clustered volatility and regimes, and a tape around it.

It must never use any randomness but its own generator, so that seed and calls fix every tick. Floats live here, since
the path is invented; what leaves this file is whole ticks and lots.

The price is a slow random walk (the fundamental) plus a fast mean-reverting part (order flow), both in relative terms.
Their volatility is the product of a regime (calm, normal, lively; with or without drift) and a log-volatility that
reverts to zero within minutes, hours and a day; now and then a move is several times as large. There are two sets of
numbers for this one model. LIVELY moves a price of 60,000 over a range of about 200 in a minute, of which most reverts:
a grid wide enough to earn the usual fees (an interval of 30) is filled, and closes round trips, many times in a minute.
CALIBRATED has next to nothing that reverts and the tails, clusters and volumes of a real market.
"""

from __future__ import annotations

import math
from random import Random
from typing import Any

import msgspec

from trio_grid.domain.events import Side
from trio_grid.domain.instrument import Instrument
from trio_grid.exchange.paper.market.book_shape import level_lots
from trio_grid.exchange.paper.market.interface import MarketStep, TapeRow

MINUTE_MS = 60_000
HISTORY_STEP_MS = 2_000
HISTORY_PULL_S = 1_200.0
LIVE_PULL_S = 864_000.0
LONG_STEP_MS = 1_000
"""A step of at least this length goes beyond its ends on its way."""
CATCH_UP_STEPS = 14_400
"""A pause of the exchange is walked through in at most this many steps (an hour of normal ones), or one a minute."""
_CATCH_UP_FROM_MS = 3_600_000
_FORMAT = "synthetic-1"


class SyntheticSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The market's character. Volatilities are relative, per square root of a minute; sizes in the quote asset.

    The logarithm of volatility is the sum of three parts that return to zero with their half-lives: `volatility_` (in
    minutes), `medium_` (in an hour or so) and `slow_` (in a day). Now and then a burst lifts the first part, by an
    exponential draw with the mean `burst_size`. Volume goes with volatility to the power of 1 + `volume_exponent` and
    with a part of its own.
    """

    step_ms: int = 250
    fundamental_volatility: float = 0.000_3
    flow_deviation: float = 0.001
    flow_half_life_s: float = 10.0
    volatility_half_life_s: float = 300.0
    volatility_deviation: float = 0.30
    jump_chance: float = 0.01
    jump_factor: float = 4.0
    medium_half_life_s: float = 3_600.0
    medium_deviation: float = 0.0
    slow_half_life_s: float = 86_400.0
    slow_deviation: float = 0.0
    bursts_per_hour: float = 0.0
    burst_size: float = 0.0
    regime_minutes: float = 12.0
    trades_per_step: float = 2.5
    trade_quote: float = 400.0
    trade_spread: float = 1.3
    level_quote: float = 3_000.0
    volume_exponent: float = 0.0
    volume_half_life_s: float = 30.0
    volume_deviation: float = 0.0


LIVELY = SyntheticSettings()
"""A market for watching a grid at work: most of each minute's way is a swing that returns."""

CALIBRATED = SyntheticSettings(
    fundamental_volatility=0.000_48,
    flow_deviation=0.000_03,
    volatility_deviation=0.27,
    medium_half_life_s=5_400.0,
    medium_deviation=0.42,
    slow_deviation=0.45,
    bursts_per_hour=3.0,
    burst_size=0.45,
    volume_exponent=1.1,
    volume_half_life_s=30.0,
    volume_deviation=0.6,
)
"""A market whose statistics are like those of real 1-minute klines of BTCUSDT; fitted to the year 2022."""

CHARACTERS = {"lively": LIVELY, "calibrated": CALIBRATED}


class _Regime(msgspec.Struct, frozen=True):
    """Chance of being chosen, factor on volatility, drift per minute in units of the fundamental volatility."""

    chance: float
    factor: float
    drift: float


_REGIMES = (
    _Regime(0.20, 0.75, 0.0),
    _Regime(0.45, 1.00, 0.0),
    _Regime(0.15, 1.50, 0.0),
    _Regime(0.10, 1.10, 0.8),
    _Regime(0.10, 1.10, -0.8),
)
_START_REGIME = 1


class _Walk(msgspec.Struct):
    """The generator's place: everything but the random generator itself."""

    next_ms: int
    fundamental: float
    flow: float
    log_volatility: float
    regime: int
    mid_ticks: int
    bid_ticks: int
    ask_ticks: int
    bid_lots: int
    ask_lots: int
    coarse_until_ms: int
    coarse_step_ms: int
    medium: float = 0.0
    slow: float = 0.0
    log_volume: float = 0.0

    def level(self) -> float:
        """Volatility in multiples of the usual, without the regime."""
        return math.exp(self.log_volatility + self.medium + self.slow)


class SyntheticMarket:
    """An endless market of one symbol, from `history_minutes` whole minutes before `start_ms` on."""

    follows_wall_clock = True
    fills_quiet_minutes = True

    def __init__(
        self,
        instrument: Instrument,
        *,
        start_ms: int,
        seed: int,
        start_price: float = 60_000.0,
        history_minutes: int = 180,
        settings: SyntheticSettings | None = None,
    ) -> None:
        self.symbol = instrument.symbol
        self.start_ms = start_ms
        self.settings = settings or SyntheticSettings()
        self._seed = seed
        self._random = Random(f"{seed} {instrument.symbol}")  # noqa: S311 - a market to play with, no secret
        self._start_ticks = start_price / float(instrument.tick_size)
        self._lot_quote = float(instrument.lot_size * instrument.tick_size)
        begin = start_ms // MINUTE_MS * MINUTE_MS - history_minutes * MINUTE_MS
        ticks = max(2, round(self._start_ticks))
        # The last two minutes before the start have normal steps, so that the first live ones are nothing new.
        fine_from = start_ms - 2 * MINUTE_MS
        self._walk = _Walk(
            begin, 0.0, 0.0, 0.0, _START_REGIME, ticks, ticks, ticks + 1, 1, 1, fine_from, HISTORY_STEP_MS
        )

    def next_time_ms(self) -> int | None:
        """Return the time of the next step; there always is one."""
        return self._walk.next_ms

    def skip_towards(self, now_ms: int) -> None:
        """Take longer steps up to `now_ms` if it is more than an hour away."""
        walk = self._walk
        gap = now_ms - walk.next_ms
        if gap > _CATCH_UP_FROM_MS and now_ms > walk.coarse_until_ms:
            walk.coarse_until_ms = now_ms
            walk.coarse_step_ms = min(MINUTE_MS, max(self.settings.step_ms, gap // CATCH_UP_STEPS))

    def step(self) -> MarketStep:
        """Make the next step."""
        walk, random, settings = self._walk, self._random, self.settings
        time_ms = walk.next_ms
        if time_ms < walk.coarse_until_ms:
            length = walk.coarse_step_ms
        else:
            length = random.randint(settings.step_ms // 2, settings.step_ms * 3 // 2)
        walk.next_ms += max(1, length)
        old_mid = walk.mid_ticks
        self._move(length / 1000)
        new_mid = max(2, round(self._start_ticks * math.exp(walk.fundamental + walk.flow)))
        rows = self._noise_trades(length)
        points = [new_mid]
        if length >= LONG_STEP_MS:
            points = [*self._excursion(old_mid, new_mid, length / 1000), new_mid]
        for point in points:
            self._sweep(rows, point)
        walk.mid_ticks = new_mid
        walk.bid_lots, walk.ask_lots = self._top_lots(), self._top_lots()
        return MarketStep(time_ms, tuple(rows), walk.bid_ticks, walk.ask_ticks, walk.bid_lots, walk.ask_lots)

    def _move(self, seconds: float) -> None:
        """Move fundamental, flow, volatility and regime by a span of time."""
        walk, random, settings = self._walk, self._random, self.settings
        minutes = seconds / 60
        if random.random() < minutes / settings.regime_minutes:
            walk.regime = random.choices(range(len(_REGIMES)), [regime.chance for regime in _REGIMES])[0]
        regime = _REGIMES[walk.regime]
        walk.log_volatility = self._returning(
            walk.log_volatility, seconds, settings.volatility_half_life_s, settings.volatility_deviation
        )
        walk.medium = self._returning(walk.medium, seconds, settings.medium_half_life_s, settings.medium_deviation)
        walk.slow = self._returning(walk.slow, seconds, settings.slow_half_life_s, settings.slow_deviation)
        walk.log_volume = self._returning(
            walk.log_volume, seconds, settings.volume_half_life_s, settings.volume_deviation
        )
        if settings.bursts_per_hour and random.random() < settings.bursts_per_hour * minutes / 60:
            walk.log_volatility += random.expovariate(1 / settings.burst_size)
        level = regime.factor * walk.level()
        jump = settings.jump_factor if random.random() < settings.jump_chance else 1.0
        drift = regime.drift * settings.fundamental_volatility * minutes
        shock = settings.fundamental_volatility * level * jump * math.sqrt(minutes) * random.gauss(0, 1)
        # Before the start a pull towards the start price brings the market near it; after it a weak one keeps a run of
        # months at prices that the filters know.
        pull_s = HISTORY_PULL_S if walk.next_ms <= self.start_ms else LIVE_PULL_S
        walk.fundamental += drift + shock - walk.fundamental * min(1.0, seconds / pull_s)
        walk.flow = self._returning(
            walk.flow, seconds, settings.flow_half_life_s, settings.flow_deviation * level * jump
        )

    def _returning(self, value: float, seconds: float, half_life_s: float, deviation: float) -> float:
        """Return a value that goes back to zero (an Ornstein-Uhlenbeck process) a span of time later."""
        keep = math.exp(-math.log(2) * seconds / half_life_s)
        if deviation == 0:
            return value * keep
        return value * keep + deviation * math.sqrt(1 - keep * keep) * self._random.gauss(0, 1)

    def _excursion(self, old_mid: int, new_mid: int, seconds: float) -> list[int]:
        """Return where a long step went between its ends: one extreme beyond each, in random order."""
        random, settings = self._random, self.settings
        half_life = settings.flow_half_life_s
        flow = settings.flow_deviation * math.sqrt(min(1.0, math.log(4) * seconds / half_life))
        usual = math.hypot(flow, settings.fundamental_volatility * math.sqrt(seconds / 60)) / 2
        # What returns within minutes is left to the steps themselves.
        reach = self._start_ticks * usual * math.exp(self._walk.medium + self._walk.slow)
        low = max(2, min(old_mid, new_mid) - int(abs(random.gauss(0, reach))))
        high = max(old_mid, new_mid) + int(abs(random.gauss(0, reach)))
        return [low, high] if random.random() < 0.5 else [high, low]

    def _quote_lots(self, quote: float) -> int:
        return max(1, round(quote / (self._walk.mid_ticks * self._lot_quote)))

    def _trade_lots(self, factor: float) -> int:
        walk, settings = self._walk, self.settings
        size = settings.trade_quote * factor * self._random.lognormvariate(0, settings.trade_spread)
        if settings.volume_exponent or settings.volume_deviation:
            size *= self._lively() ** settings.volume_exponent * math.exp(walk.log_volume)
        return self._quote_lots(size)

    def _lively(self) -> float:
        """Volatility in multiples of the usual."""
        return _REGIMES[self._walk.regime].factor * self._walk.level()

    def _top_lots(self) -> int:
        return self._quote_lots(self.settings.level_quote * self._random.lognormvariate(-0.3, 0.8))

    def _noise_trades(self, length_ms: int) -> list[TapeRow]:
        """Return trades of both sides at the old best prices; livelier markets trade more."""
        walk, random, settings = self._walk, self._random, self.settings
        factor = max(1.0, length_ms / settings.step_ms)
        count = min(6, int(random.expovariate(1 / (settings.trades_per_step * self._lively())) + 0.5))
        rows = []
        for _ in range(count):
            sells = random.random() < 0.5
            price = walk.bid_ticks if sells else walk.ask_ticks
            rows.append(TapeRow(price, self._trade_lots(factor), sells))
        return rows

    def _sweep(self, rows: list[TapeRow], mid: int) -> None:
        """Let takers move the quote to a new mid price, trading at up to three prices on the way."""
        walk, random = self._walk, self._random
        bid = mid - 1 if random.random() < 0.2 else mid
        ask = mid + 1
        if ask > walk.ask_ticks:
            first, last, sells = walk.ask_ticks, ask - 1, False
        elif bid < walk.bid_ticks:
            first, last, sells = walk.bid_ticks, bid + 1, True
        else:
            walk.bid_ticks, walk.ask_ticks = bid, ask
            return
        if first != last:
            rows.append(TapeRow(random.randint(min(first, last), max(first, last)), self._trade_lots(1.0), sells))
        rows.append(TapeRow(last, self._trade_lots(1.5), sells))
        walk.bid_ticks, walk.ask_ticks = bid, ask

    def level_lots(self, side: Side, price_ticks: int) -> int:
        """Return strangers' quantity at a price of a side: nothing before the best price, the shaped book behind it."""
        walk = self._walk
        distance = walk.bid_ticks - price_ticks if side is Side.BUY else price_ticks - walk.ask_ticks
        if distance < 0:
            return 0
        if distance == 0:
            return walk.bid_lots if side is Side.BUY else walk.ask_lots
        return level_lots(self._seed, side, price_ticks, distance, self._quote_lots(self.settings.level_quote))

    def state(self) -> dict[str, Any]:
        """Return walk and generator as a JSON-able document."""
        version, internal, spare = self._random.getstate()
        return {
            "format": _FORMAT,
            "symbol": self.symbol,
            "seed": self._seed,
            "start_ms": self.start_ms,
            "walk": msgspec.to_builtins(self._walk),
            "random": [version, list(internal), spare],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go to a place that `state` gave.

        Raises:
            ValueError: the document is of another market.
        """
        if state.get("format") != _FORMAT or state.get("symbol") != self.symbol or state.get("seed") != self._seed:
            raise ValueError(f"the saved market is not the synthetic {self.symbol} market of seed {self._seed}")
        self._walk = msgspec.convert(state["walk"], _Walk)
        self.start_ms = int(state["start_ms"])
        version, internal, spare = state["random"]
        self._random.setstate((version, tuple(internal), spare))

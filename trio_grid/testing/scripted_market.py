"""A market whose prices the test sets, so that orders fill where and when the script says.

Owns quote, tape and heartbeat of one symbol for the paper exchange. Nothing trades and nothing moves unless it was
told to; the quote is only repeated, since a market that says nothing at all counts as dead. No clock, no chance.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from trio_grid.domain.events import Side
from trio_grid.domain.instrument import Instrument
from trio_grid.exchange.paper.engine.symbols import default_instrument
from trio_grid.exchange.paper.market.interface import MarketStep, TapeRow

MINUTE_MS = 60_000
HISTORY_MINUTES = 110
"""The regime wants the last 100 closed minutes."""

DEEP_LOTS = 1_000_000
"""What strangers offer at the best prices: more than a test takes."""

QUIET_ROWS = (0, 3, -3, 1)
"""Trades of each minute of the history, in ticks from the middle: a small range, no trend, steady volume."""


class ScriptedMarket:
    """Strangers offer `DEEP_LOTS` at best bid and ask and nothing behind; the quote is one tick wide.

    A resting order fills whole when the quote goes strictly through its price (`quote`), in parts when somebody trades
    with it (`trade`). Give commands inside the exchange's turn: `Simulation.quote` and `Simulation.trade` do.
    """

    follows_wall_clock = True
    fills_quiet_minutes = True

    def __init__(
        self,
        *,
        start_ms: int,
        bid_ticks: int,
        instrument: Instrument | None = None,
        heartbeat_ms: int = 1_000,
    ) -> None:
        """`heartbeat_ms` is the pause between two repetitions of the quote."""
        self.instrument = default_instrument("BTCUSDT") if instrument is None else instrument
        self.symbol = self.instrument.symbol
        self.start_ms = start_ms
        self.bid_ticks = bid_ticks
        self.heartbeat_ms = heartbeat_ms
        self._steps = deque(self._history())
        self._next_beat_ms = start_ms + heartbeat_ms

    def __repr__(self) -> str:
        return f"<ScriptedMarket {self.symbol} bid_ticks={self.bid_ticks} steps={len(self._steps)}>"

    def quote(self, now_ms: int, bid_ticks: int) -> None:
        """Move the quote to `bid_ticks` and one tick above it, at once."""
        self.bid_ticks = bid_ticks
        self._steps.append(self._step(now_ms))

    def trade(self, now_ms: int, price_ticks: int, lots: int, *, seller_takes: bool) -> None:
        """Let a stranger take `lots` from who rests at a price: a seller from a BUY, or a buyer from a SELL."""
        self._steps.append(self._step(now_ms, TapeRow(price_ticks, lots, seller_takes)))

    def _step(self, time_ms: int, *rows: TapeRow) -> MarketStep:
        return MarketStep(time_ms, rows, self.bid_ticks, self.bid_ticks + 1, DEEP_LOTS, DEEP_LOTS)

    def _history(self) -> list[MarketStep]:
        first_ms = self.start_ms // MINUTE_MS * MINUTE_MS - HISTORY_MINUTES * MINUTE_MS
        return [
            self._step(first_ms + minute * MINUTE_MS + 1_000 * place, TapeRow(self.bid_ticks + offset, 100, True))
            for minute in range(HISTORY_MINUTES)
            for place, offset in enumerate(QUIET_ROWS)
        ]

    # What the exchange asks of a market ----------------------------------------------------------------------------

    def next_time_ms(self) -> int | None:
        """Return the time of the next step."""
        return min(self._steps[0].time_ms, self._next_beat_ms) if self._steps else self._next_beat_ms

    def step(self) -> MarketStep:
        """Go to the next step."""
        if self._steps and self._steps[0].time_ms <= self._next_beat_ms:
            return self._steps.popleft()
        beat_ms, self._next_beat_ms = self._next_beat_ms, self._next_beat_ms + self.heartbeat_ms
        return self._step(beat_ms)

    def skip_towards(self, now_ms: int) -> None:
        """Nothing happens by itself, so nothing can be skipped."""

    def level_lots(self, side: Side, price_ticks: int) -> int:
        """Return what strangers offer at a price."""
        best = self.bid_ticks if side is Side.BUY else self.bid_ticks + 1
        return DEEP_LOTS if price_ticks == best else 0

    def state(self) -> dict[str, Any]:
        """Return the place in the script."""
        return {"bid_ticks": self.bid_ticks, "next_beat_ms": self._next_beat_ms}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a place; steps that were written since stay."""
        self.bid_ticks, self._next_beat_ms = state["bid_ticks"], state["next_beat_ms"]

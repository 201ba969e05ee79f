"""Owns what the services saw last and when: ages for the watchdog, words for the operator.

Nothing that decides about an order reads it: decisions use the journaled state alone. Instants are
`trio.current_time()` in seconds, so that a virtual clock rules them.
"""

from __future__ import annotations

import attrs
import trio

from trio_grid.domain.events import BookTicker, Kline, RegimeReading


@attrs.frozen
class ReconciliationSummary:
    """What one full pass found; `finished_ms` is the exchange's clock."""

    finished_ms: int
    duration_s: float
    reason: str
    trades_booked: int
    corrections: int
    foreign_orders: int
    position_lots: int
    books_lots: int
    """Baseline + foreign + net at the end of the pass: what the books expect the position to be."""
    difference_lots: int
    """Position less books where both were read between two bookings; 0 if no trade is missing."""

    @property
    def agrees(self) -> bool:
        """True when the exchange's position was what the books expected; fills since then are no difference."""
        return self.difference_lots == 0


@attrs.define(eq=False)
class StatusBoard:
    """The services' latest sightings. Each field has one writer, named by its first word."""

    phase: str = "starting"
    waiting_for: str = ""
    ticker: BookTicker | None = None
    ticker_at: float | None = None
    tickers_seen: int = 0
    prices_decided: int = 0
    kline: Kline | None = None
    kline_at: float | None = None
    reading: RegimeReading | None = None
    watched: dict[str, bool] = attrs.Factory(dict)
    """Which further symbols the anomaly brake watches, and whether each has a vote: all of the klines that it needs."""
    user_stream_up: bool = False
    user_stream_losses: int = 0
    user_event_at: float | None = None
    answer_at: float | None = None
    """When the exchange last answered an order request that must show on the user stream too."""
    reconciliation: ReconciliationSummary | None = None
    reconciliations: int = 0
    reconnects: dict[str, int] = attrs.Factory(dict)
    leverage: int | None = None
    margin_type: str = ""
    alerts: list[str] = attrs.Factory(list)

    def saw_ticker(self, ticker: BookTicker) -> None:
        """Note a price."""
        self.ticker, self.ticker_at = ticker, trio.current_time()
        self.tickers_seen += 1

    def saw_kline(self, kline: Kline) -> None:
        """Note a kline event, closed or not."""
        self.kline, self.kline_at = kline, trio.current_time()

    def saw_user_event(self) -> None:
        """Note that the user stream spoke."""
        self.user_event_at = trio.current_time()
        self.answer_at = None

    def saw_order_answer(self, sent_at: float) -> None:
        """Note an answer that the user stream must confirm, unless it spoke since the request was sent.

        The event of an order often overtakes its answer. The first answer not yet confirmed counts.
        """
        if self.answer_at is None and (self.user_event_at is None or self.user_event_at < sent_at):
            self.answer_at = trio.current_time()

    def alert(self, text: str) -> None:
        """Keep the latest twenty alerts for the operator."""
        self.alerts.append(text)
        del self.alerts[:-20]

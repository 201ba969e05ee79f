"""Owns the live picture in the terminal: one preformatted text, four times a second, from frozen snapshots.

It sees snapshots only (R7) and must never hold the loop up: a `rich.Table` of 40 rows costs 14 ms, one `Text` 0.6 ms.
"""

from __future__ import annotations

import contextlib
import sys
import termios
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import trio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from trio_grid.cli.output import LogHandler
from trio_grid.cli.summary import signed
from trio_grid.domain.client_order_id import decode
from trio_grid.domain.events import OrderUpdate, Trade
from trio_grid.domain.inputs import Outcome
from trio_grid.domain.instrument import Instrument, money_decimal
from trio_grid.domain.slot import Use
from trio_grid.domain.snapshot import LadderRow, PositionSnapshot
from trio_grid.services.desk import Desk
from trio_grid.services.status_board import StatusBoard
from trio_grid.supervisor import Bot

REFRESH_S = 0.25
LATEST_FILLS = 5
_ROLE_WORDS = {"o": "opens", "c": "closes"}
STOPPING = ("stopping", "stopped")
_STATUS_STYLE = {
    "LOCKED": "green",
    "PENDING": "yellow",
    "CANCELLING": "yellow",
    "UNKNOWN": "bold red",
    "SETTLING": "magenta",
}


class LivePicture:
    """Shows one bot until cancelled; log lines go above the picture while it lives."""

    def __init__(self, bot: Bot, console: Console, handler: LogHandler) -> None:
        self._bot = bot
        self._console = console
        self._handler = handler
        self._fills: deque[str] = deque(maxlen=LATEST_FILLS)
        self._watched: Desk | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Draw until cancelled; the terminal is as it was afterwards. Without a terminal any more, end quietly."""
        with contextlib.suppress(OSError):  # trading, or the stop that the hang-up asked for, goes on without a picture
            await self._run(task_status)

    async def _run(self, task_status: trio.TaskStatus[None]) -> None:
        plain = self._handler.write
        with (
            echo_off(),
            Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live,
        ):
            self._handler.write = lambda text: self._console.print(text, markup=False, highlight=False, soft_wrap=True)
            try:
                task_status.started()
                due = trio.current_time()
                while True:
                    live.update(self.draw(self._console.width, self._console.height), refresh=True)
                    due = max(due + REFRESH_S, trio.current_time())
                    await trio.sleep_until(due)
            finally:
                self._handler.write = plain
                live.update(self.draw(self._console.width, self._console.height), refresh=True)

    def draw(self, width: int, height: int) -> Text:
        """Return the picture, fitted to a terminal."""
        desk = self._bot.desk
        if desk is None or (self._bot.board.phase == "starting" and desk.manager.snapshot().half_ticks is None):
            return Text(f"{self._bot.board.phase}: waiting for {self._bot.board.waiting_for or 'the exchange'}")
        if self._watched is not desk:
            self._watched = desk
            desk.dispatcher.watch(self._note_fills)
        return draw(desk.manager.snapshot(), desk.manager.ladder(), self._bot.board, tuple(self._fills), width, height)

    def _note_fills(self, outcome: Outcome) -> None:
        for record in outcome.records:
            if isinstance(record.entry, OrderUpdate) and record.entry.trade is not None and self._bot.desk is not None:
                self._fills.append(fill_words(record.entry.trade, self._bot.desk.instrument))


def fill_words(trade: Trade, instrument: Instrument) -> str:
    """Return one fill: time of day (UTC), what was traded, and what that did for which slot."""
    moment = datetime.fromtimestamp(trade.time_ms / 1000, UTC)
    parts = decode(trade.client_order_id)
    slot = trade.client_order_id if parts is None else f"slot {parts.rung} {_ROLE_WORDS[parts.role]}"
    quantity, price = instrument.quantity(trade.quantity_lots), instrument.price(trade.price_ticks)
    return f"{moment:%H:%M:%S}  {trade.side:<4} {quantity} at {price}  {slot}"


def draw(
    snapshot: PositionSnapshot,
    rows: Sequence[LadderRow],
    board: StatusBoard,
    fills: Sequence[str],
    width: int,
    height: int,
) -> Text:
    """Return the picture: state, money, as much of the ladder around the price as fits, latest fills."""
    lines = [*_state_lines(snapshot, board), *_money_lines(snapshot)]
    # The ladder gets what the other lines leave: its head, the price, the count of hidden slots, and the fills.
    if board.phase in STOPPING:
        rows = [row for row in rows if row.order_id is not None or row.inventory_lots]
    shown = _near_price(rows, snapshot, max(3, height - len(lines) - len(fills) - 4))
    lines += _ladder_lines(shown, snapshot)
    if len(shown) < len(rows):
        lines.append((f"       ... {len(rows) - len(shown)} more slots: `trio-grid status`", "dim"))
    lines += [(f"fill   {fill}", "green") for fill in fills]
    text = Text(no_wrap=True, overflow="ellipsis")
    for line, style in lines[: height - 1]:
        text.append(line[:width] + "\n", style)
    return text


def _ladder_lines(rows: Sequence[LadderRow], snapshot: PositionSnapshot) -> Iterator[tuple[str, str]]:
    yield f"{'slot':>6} {'use':<5} {'opens':>10} {'exits':>10} {'status':<10} {'holds':>8} {'order':>24}", "bold"
    price_shown = snapshot.half_ticks is None
    for row in rows:
        if not price_shown and 2 * row.open_price_ticks < (snapshot.half_ticks or 0):
            price_shown = True
            yield f"{'':>12} {_mid(snapshot):>10}  <- price", "bold cyan"
        yield _row(row, snapshot.instrument), _STATUS_STYLE.get(str(row.status), "dim")
    if not price_shown:
        yield f"{'':>12} {_mid(snapshot):>10}  <- price", "bold cyan"


def _state_lines(snapshot: PositionSnapshot, board: StatusBoard) -> Iterator[tuple[str, str]]:
    # While it stops every door is closed, and the phase says so.
    closed = "" if board.phase in STOPPING else ", ".join(snapshot.closed_doors)
    yield (
        f"{snapshot.symbol} {snapshot.mode}  price {_mid(snapshot)}  {snapshot.trading_state} {board.phase}"
        + (f"  closed: {closed}" if closed else ""),
        "bold" if not closed else "bold yellow",
    )
    reading = snapshot.reading
    if reading is not None:
        # Two lines: a terminal of 80 columns shows every reading.
        yield (
            f"regime   trend {reading.trend} (RSI {reading.rsi_milli / 1000:.1f})  volatility {reading.volatility}"
            f" (ATR {snapshot.instrument.price(reading.atr_ticks)})",
            "",
        )
        yield (
            f"         liquidity {reading.liquidity}  brake {'ON' if reading.brake else 'off'}"
            f"{'  STALE' if reading.stale else ''}  stride {snapshot.stride}",
            "",
        )
        if board.watched:
            votes = ", ".join(name if votes else f"{name} (no klines)" for name, votes in board.watched.items())
            yield f"         brake watches {snapshot.symbol}, {votes}", ""
    summary = board.reconciliation
    stream = "up" if board.user_stream_up else "DOWN"
    checked = (
        "never"
        if summary is None
        else (
            f"{max(0, snapshot.now_ms - summary.finished_ms) // 1000} s ago, "
            + ("position agrees" if summary.agrees else "POSITION DIFFERS")
            + (f", {summary.foreign_orders} foreign orders" if summary.foreign_orders else "")
        )
    )
    yield f"links    user stream {stream}  reconnects {sum(board.reconnects.values())}  reconciled {checked}", ""
    for alert in board.alerts[-2:]:
        yield f"ALERT    {alert}", "bold red"


def _money_lines(snapshot: PositionSnapshot) -> Iterator[tuple[str, str]]:
    instrument, ledger = snapshot.instrument, snapshot.ledger
    asset = instrument.margin_asset
    fees = ", ".join(f"{money_decimal(units):.4f} {name}" for name, units in ledger.fees) or f"0 {asset}"
    resting = sum(slot.order is not None for slot in snapshot.slots)
    parts = ""
    if snapshot.position_lots != snapshot.net_lots:
        parts = (
            f" (slots {instrument.quantity(snapshot.net_lots)}, foreign {instrument.quantity(snapshot.foreign_lots)})"
        )
    yield (
        f"position {instrument.quantity(snapshot.position_lots)} {instrument.base_asset}{parts}"
        f"  orders {resting}  fills {snapshot.counters.fills}  round trips {ledger.round_trips}",
        "",
    )
    yield (
        f"PnL      realized {signed(round(money_decimal(snapshot.realized_units), 4))}"
        f"  unrealized {signed(round(money_decimal(snapshot.unrealized_units), 4))} {asset}  fees {fees}",
        "",
    )


def _mid(snapshot: PositionSnapshot) -> str:
    half = snapshot.half_ticks
    return "-" if half is None else f"{snapshot.instrument.price(half) / 2}"


def _near_price(rows: Sequence[LadderRow], snapshot: PositionSnapshot, room: int) -> Sequence[LadderRow]:
    """Return the rows nearest to the price, in their order; slots with orders or inventory far away give way."""
    if len(rows) <= room or snapshot.half_ticks is None:
        return rows[:room]
    below = next((index for index, row in enumerate(rows) if 2 * row.open_price_ticks < snapshot.half_ticks), len(rows))
    first = max(0, min(below - room // 2, len(rows) - room))
    return rows[first : first + room]


def _row(row: LadderRow, instrument: Instrument) -> str:
    order = ""
    if row.order_id is not None:
        price = "market" if row.order_price_ticks is None else str(instrument.price(row.order_price_ticks))
        order = f"{_side(row)} {instrument.quantity(row.remaining_lots)} at {price}"
    holds = str(instrument.quantity(row.inventory_lots)) if row.inventory_lots else "-"
    return (
        f"{row.rung:>6} {row.use:<5} {instrument.price(row.open_price_ticks)!s:>10}"
        f" {instrument.price(row.exit_price_ticks)!s:>10} {row.status:<10} {holds:>8} {order:>24} {row.remark}"
    ).rstrip()


def _side(row: LadderRow) -> str:
    parts = decode(row.order_id or "")
    opens = parts is not None and parts.role == "o"
    return "BUY" if (row.use is Use.LONG) is opens else "SELL"


@contextlib.contextmanager
def echo_off() -> Iterator[None]:
    """Keep typed keys (and the ^C of Ctrl-C) out of the picture; the terminal is restored in any case."""
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    quiet = [*before]
    quiet[3] = before[3] & ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # a terminal that was closed has nothing to restore
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

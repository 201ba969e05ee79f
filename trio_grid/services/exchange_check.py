"""Owns the questions of reconciliation: it asks the exchange and books the answers through the manager.

Every answer becomes one of the manager's own inputs (a walked trade, an order record under a version fence, a
position with its fence), so that nothing here can overwrite what happened meanwhile (R8). It must never place or
cancel an order: cancels that follow are actions for the executor.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import msgspec
import trio

from trio_grid.domain.actions import CancelOrder
from trio_grid.domain.booking import ABSENCE_MARGIN_MS
from trio_grid.domain.client_order_id import decode
from trio_grid.domain.events import FundingRecord, OrderAbsent, OrderRecord, Trade
from trio_grid.domain.inputs import (
    Correction,
    PositionObserved,
    StraySeen,
    TradesWalked,
    TradingState,
    TradingStateChanged,
)
from trio_grid.domain.reconciliation import compare_orders, open_questions
from trio_grid.domain.slot import InventorySlot, OrderStatus
from trio_grid.domain.snapshot import PositionSnapshot
from trio_grid.errors import OrderNotFound
from trio_grid.services.desk import Desk
from trio_grid.services.log_line import line
from trio_grid.services.order_names import OrderNames
from trio_grid.services.position_memory import PositionMemory
from trio_grid.services.status_board import ReconciliationSummary

log = logging.getLogger(__name__)

BETWEEN_LOOKS_S = 2.0
"""R4 and the position check: two equal answers this far apart count."""
MOST_LOOKS = 3
"""Readings of the position in one pass: the first, and two that can show the same difference without a fill between."""
MOST_ROUNDS = 5
"""Rounds of trades and orders in one pass; while the bot trades, each round can find something new."""
TRADES_COMPLETE_AFTER_MS = 60_000
"""A trade with a smaller id may be shown after one with a bigger id, from a replica that lags: the watermark stays this
far behind, and what lies above it is walked again."""
TRADE_HISTORY_MS = 7 * 86_400_000 - 60_000
"""The exchange gives at most seven days of trades in one window."""

Finding = Correction | StraySeen | TradesWalked | PositionObserved | FundingRecord


class ExchangeCheck:
    """One account's records against the manager's books. `funding_since_ms` is when the journal's life began."""

    def __init__(self, desk: Desk, names: OrderNames, *, bot_id: str, funding_since_ms: int) -> None:
        self._desk = desk
        self._names = names
        self._bot_id = bot_id
        self._funding_since_ms = funding_since_ms
        self._memory = PositionMemory(desk.manager)
        desk.dispatcher.watch(self._memory.look)
        self.foreign_orders: tuple[OrderRecord, ...] = ()
        self.our_open_orders: tuple[OrderRecord, ...] = ()
        self.trades_booked = 0
        self.corrections = 0
        self.newest_trade_id = 0
        """The highest trade id that a walk has shown."""

    # The whole pass -------------------------------------------------------------------------------------------------

    async def full_pass(self, reason: str, *, funding: bool = True) -> ReconciliationSummary:
        """Compare everything with the exchange and return what was found.

        Raises:
            ExchangeError: a question was not answered; what was learned before is booked.
        """
        began_at = trio.current_time()
        self.trades_booked = self.corrections = 0
        await self._desk.execution.synchronize_clock()
        for _ in range(MOST_ROUNDS):
            await self.walk_trades()
            await self.compare_orders()
            if not self._unbooked(self._desk.manager.snapshot()):
                break
        position_lots = await self.compare_position()
        if funding:
            await self.book_funding()
        snapshot = self._desk.manager.snapshot()
        return ReconciliationSummary(
            finished_ms=self._desk.execution.now_ms(),
            duration_s=trio.current_time() - began_at,
            reason=reason,
            trades_booked=self.trades_booked,
            corrections=self.corrections,
            foreign_orders=len(self.foreign_orders),
            position_lots=position_lots,
            books_lots=snapshot.position_lots,
            difference_lots=0 if snapshot.suspicion is None else snapshot.suspicion.difference_lots,
        )

    # 1. Trades ------------------------------------------------------------------------------------------------------

    async def walk_trades(self) -> int:
        """Book the account's trades from the watermark on that are not booked yet; return their number."""
        desk = self._desk
        watermark = desk.manager.snapshot().trade_watermark
        complete_ms = desk.execution.now_ms() - TRADES_COMPLETE_AFTER_MS
        if watermark > 0:
            trades = await desk.execution.trades(desk.instrument, from_id=watermark + 1)
        else:
            # No trade was ever seen: the first session found none in the last seven days, so all of these are newer.
            start_ms = max(self._funding_since_ms, desk.execution.now_ms() - TRADE_HISTORY_MS)
            trades = await desk.execution.trades(desk.instrument, start_ms=start_ms)
        self.newest_trade_id = max(self.newest_trade_id, watermark, *(trade.trade_id for trade in trades))
        complete = max((trade.trade_id for trade in trades if trade.time_ms <= complete_ms), default=watermark)
        named = await self._with_names([trade for trade in trades if not desk.manager.has_booked(trade.trade_id)])
        if named or complete > watermark:
            self._book([TradesWalked(trades=named, watermark=complete)])
            self.trades_booked += len(named)
        return len(named)

    async def _with_names(self, trades: Sequence[Trade]) -> tuple[Trade, ...]:
        snapshot = self._desk.manager.snapshot()
        for client_order_id, order_id in snapshot.settled:
            self._names.remember(order_id, client_order_id)
        for slot in snapshot.slots:
            if slot.order is not None and slot.order.order_id is not None:
                self._names.remember(slot.order.order_id, slot.order.client_order_id)
        named: list[Trade] = []
        for trade in trades:
            name = trade.client_order_id or self._names.get(trade.order_id)
            if name is None:
                name = await self._ask_name(trade)
            named.append(msgspec.structs.replace(trade, client_order_id=name))
        return tuple(named)

    async def _ask_name(self, trade: Trade) -> str:
        desk = self._desk
        try:
            record = await desk.execution.order(desk.instrument, order_id=trade.order_id)
        except OrderNotFound:
            # The exchange forgets filled orders after ninety days only, so this is no order of this journal's life.
            log.warning(
                line(
                    "a trade's order is not known to the exchange; it counts as foreign",
                    trade=trade.trade_id,
                    order=trade.order_id,
                )
            )
            return ""
        self._names.learn(record)
        return record.client_order_id

    # 2. Orders ------------------------------------------------------------------------------------------------------

    async def compare_orders(self) -> None:
        """Compare our unsettled orders with the exchange's open ones; ask for each that is missing or unknown."""
        desk = self._desk
        snapshot = desk.manager.snapshot()
        records = await desk.execution.open_orders(desk.instrument)
        for record in records:
            self._names.learn(record)
        found = compare_orders(snapshot, records)
        self.foreign_orders = found.foreign
        self.our_open_orders = tuple(record for record in records if self._is_ours(record))
        for record in found.newer:
            self._second_bot(record)
        self._book(found.corrections)
        await self.ask_about(found.missing)
        for record in found.strays:
            await self._take_in(record)

    def _is_ours(self, record: OrderRecord) -> bool:
        parts = decode(record.client_order_id)
        return parts is not None and parts.bot == self._bot_id

    async def _take_in(self, listed: OrderRecord) -> None:
        """Adopt an order of ours whose intent was lost, or have it cancelled by its id if its slot is taken (R12)."""
        desk = self._desk
        name = listed.client_order_id
        record = await desk.execution.order(desk.instrument, client_order_id=name)
        if self._is_known(name):
            return  # it was placed after the books were looked at
        self._book([StraySeen(order=record)])
        if not self._is_known(name) and not record.status.is_terminal:
            log.warning(line("cancelling an order of ours that no slot can take", id=name))
            desk.dispatcher.submit(CancelOrder(client_order_id=name))

    def _is_known(self, client_order_id: str) -> bool:
        slots = self._desk.manager.snapshot().slots
        return any(slot.order is not None and slot.order.client_order_id == client_order_id for slot in slots)

    def _second_bot(self, record: OrderRecord) -> None:
        reason = f"order {record.client_order_id} is of a newer session of this journal: a second bot is running"
        self._desk.board.alert(reason)
        log.critical(line("second bot", id=record.client_order_id))
        self._desk.dispatcher.carry_out(
            self._desk.manager.set_trading_state(TradingStateChanged(state=TradingState.HALTED, reason=reason))
        )

    async def ask_about(self, slots: Iterable[InventorySlot]) -> None:
        """Query the order of each slot by its client order id and book the record, or that it does not exist."""
        desk = self._desk
        for slot in slots:
            if slot.order is None:
                continue
            asked_at_ms = desk.execution.now_ms()
            evidence: OrderRecord | OrderAbsent
            try:
                evidence = await desk.execution.order(desk.instrument, client_order_id=slot.order.client_order_id)
                self._names.learn(evidence)
            except OrderNotFound:
                evidence = OrderAbsent(client_order_id=slot.order.client_order_id, asked_at_ms=asked_at_ms)
            self._book([Correction(rung=slot.rung, version=slot.version, evidence=evidence)])

    async def settle_questions(self) -> bool:
        """Ask about the orders that are UNKNOWN, and walk the trades where some are missing; return if any remain."""
        snapshot = self._desk.manager.snapshot()
        await self.ask_about(open_questions(snapshot))
        if self._unbooked(self._desk.manager.snapshot()):
            await self.walk_trades()
        return self.has_questions()

    def has_questions(self) -> bool:
        """Return whether an order's fate or some of its trades are not known."""
        snapshot = self._desk.manager.snapshot()
        return self._unbooked(snapshot) or bool(open_questions(snapshot))

    def absence_due_ms(self) -> int | None:
        """Return when, on the exchange's clock, asking about an UNKNOWN order can next prove something (R4)."""
        due: list[int] = []
        for slot in self._desk.manager.snapshot().slots:
            if slot.order is not None and slot.order.status is OrderStatus.UNKNOWN and not slot.order.acknowledged:
                first = slot.order.sent_at_ms + slot.order.recv_window_ms + ABSENCE_MARGIN_MS + 1
                again = (slot.order.absent_at_ms or 0) + round(BETWEEN_LOOKS_S * 1000)
                due.append(max(first, again))
        return min(due, default=None)

    @staticmethod
    def _unbooked(snapshot: PositionSnapshot) -> bool:
        return snapshot.unbooked_lots > 0

    # 3. Position, 4. funding ----------------------------------------------------------------------------------------

    async def compare_position(self) -> int:
        """Read the position and return it, in lots.

        If the books differ, or something was booked meanwhile so that the reading says nothing, the trades are walked
        and the position is read again 2 s later, until two readings say the same.
        """
        position_lots, difference = await self._observe_position()
        for _ in range(MOST_LOOKS - 1):
            if difference == 0:
                break
            before = difference
            await trio.sleep(BETWEEN_LOOKS_S)
            await self.walk_trades()
            position_lots, difference = await self._observe_position()
            if difference is not None and difference == before:
                break
        return position_lots

    async def _observe_position(self) -> tuple[int, int | None]:
        """Return the position and its difference from the books; None if the reading says nothing.

        That is so if it was not read between two bookings, or if it shows what the books said some seconds ago.
        """
        fence = self._desk.manager.snapshot().sequence
        record = await self._desk.execution.position(self._desk.instrument)
        if self._memory.was_lately(record.position_lots):
            log.info(line("the position's reading is older than the last trades", position_lots=record.position_lots))
            return record.position_lots, None
        self._book([PositionObserved(position_lots=record.position_lots, fence=fence)])
        after = self._desk.manager.snapshot()
        if after.last_booking > fence or self._unbooked(after):
            return record.position_lots, None
        return record.position_lots, record.position_lots - after.position_lots

    async def book_funding(self) -> None:
        """Book the funding payments since the journal's life began; the manager knows which are new."""
        desk = self._desk
        start_ms = max(self._funding_since_ms, desk.execution.now_ms() - TRADE_HISTORY_MS)
        self._book(list(await desk.execution.funding(desk.instrument, start_ms)))

    def _book(self, findings: Sequence[Finding]) -> None:
        if findings:
            self.corrections += sum(isinstance(finding, Correction) for finding in findings)
            self._desk.dispatcher.carry_out(self._desk.manager.apply_corrections(findings))

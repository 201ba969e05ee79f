"""Owns the user stream: every execution report reaches the manager, in order, none dropped.

When the stream is lost nothing may be opened or closed until it is back and a full reconciliation has passed (R11). It
must never wait between taking an update and applying it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from trio_grid.domain.events import AccountUpdate, OrderUpdate
from trio_grid.domain.inputs import Condition
from trio_grid.errors import ExchangeError
from trio_grid.services.desk import Desk
from trio_grid.services.log_line import line
from trio_grid.services.order_names import OrderNames
from trio_grid.services.reconnect import Reconnector

log = logging.getLogger(__name__)


class OrderUpdates:
    """The loop of the user stream. `ask_reconciler` requests a full pass and gives its reason."""

    def __init__(self, desk: Desk, names: OrderNames, ask_reconciler: Callable[[str], None]) -> None:
        self._desk = desk
        self._names = names
        self._ask_reconciler = ask_reconciler
        self._reconnector = Reconnector("user stream", desk.backoff(), self._retrying)
        self._task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
        self._confirmed_once = False

    def reconnect(self, reason: str) -> None:
        """Drop the connection and open another one, with a new key."""
        self._reconnector.drop(reason)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; `started()` when the stream is confirmed."""
        self._task_status = task_status
        await self._reconnector.run(self._read)

    async def _read(self) -> None:
        lost: ExchangeError | None = None
        async with self._desk.execution.user_stream(self._desk.instrument) as stream:
            self._up()
            try:
                async for event in stream:
                    self._desk.board.saw_user_event()
                    if event.order is not None:
                        self._order(event.order)
                    if event.account is not None:
                        self._account(event.account)
            except ExchangeError as error:
                # Kept until the context is closed: crossing the stream's own nursery would wrap it in a group.
                lost = error
            except trio.Cancelled:
                self._down("cut off")
                raise
            self._down("it ended" if lost is None else str(lost))
        if lost is not None:
            raise lost

    def _up(self) -> None:
        self._reconnector.confirmed()
        board = self._desk.board
        board.user_stream_up = True
        board.answer_at = None
        log.info(line("user stream confirmed", symbol=self._desk.instrument.symbol, losses=board.user_stream_losses))
        self._set(Condition.USER_STREAM_DOWN, False, "confirmed")
        self._set(Condition.USER_STREAM_SILENT, False, "confirmed")
        if self._confirmed_once:
            self._ask_reconciler("the user stream came back")
        else:
            self._confirmed_once = True
            self._task_status.started()

    def _down(self, reason: str) -> None:
        """Close the doors at once, in the same step in which the loss is seen."""
        board = self._desk.board
        board.user_stream_up = False
        board.user_stream_losses += 1
        self._set(Condition.STARTING, True, f"user stream lost: {reason}")
        self._set(Condition.USER_STREAM_DOWN, True, reason)

    def _order(self, update: OrderUpdate) -> None:
        self._names.learn(update.order)
        if update.trade is not None:
            instrument, trade = self._desk.instrument, update.trade
            log.info(
                line(
                    "fill",
                    id=update.order.client_order_id,
                    side=trade.side,
                    price=instrument.price(trade.price_ticks),
                    quantity=instrument.quantity(trade.quantity_lots),
                    status=update.order.status,
                    trade=trade.trade_id,
                )
            )
        self._desk.dispatcher.carry_out(self._desk.manager.on_order_update(update))

    def _account(self, update: AccountUpdate) -> None:
        if update.reason != "ORDER":
            self._ask_reconciler(f"the account changed: {update.reason}")

    def _retrying(self, reason: str) -> None:
        board = self._desk.board
        board.reconnects["user"] = board.reconnects.get("user", 0) + 1
        if not self._confirmed_once:
            board.waiting_for = f"the user stream ({reason})"

    def _set(self, condition: Condition, active: bool, reason: str) -> None:
        self._desk.dispatcher.carry_out(self._desk.manager.set_condition(condition, active, reason))

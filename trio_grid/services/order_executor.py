"""Owns the sending: takes journaled actions from its channel, sends them, hands the answers to the manager.

It must never send an action twice, and never wait for one answer before it sends the next action. What a cancellation
cuts off is unknown: the journal holds the intent, and the exit policy or the next start asks the exchange.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import trio

from trio_grid.domain.actions import Action, CancelOrder, PlaceOrder
from trio_grid.domain.events import (
    ActionResult,
    CancelAcknowledged,
    CancelOutcomeLost,
    OrderAcknowledged,
    OrderNotSent,
    OrderOutcomeLost,
    OrderRefused,
    RejectReason,
)
from trio_grid.errors import Banned
from trio_grid.services.ban import halt_for_ban
from trio_grid.services.desk import Desk
from trio_grid.services.log_line import line

log = logging.getLogger(__name__)

LONGEST_RECV_WINDOW_MS = 60_000
"""The exchange's own maximum: what an interrupted request may have carried at most."""


ORDER_ENTRY_PATIENCE_S = 5.0
"""How long the start waits for the fast connection for orders; without it they go the slower way until it stands."""


class OrderExecutor:
    """The loop of the orders; started last, so that nothing can be sent before everything else is ready."""

    def __init__(self, desk: Desk, actions: trio.MemoryReceiveChannel[Action]) -> None:
        self._desk = desk
        self._actions = actions

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; everything that waits in the channel is sent as one batch.

        Raises:
            CredentialsRefused: the exchange accepts the key for no session; before `started()` nothing was placed.
        """
        with trio.move_on_after(ORDER_ENTRY_PATIENCE_S):
            await self._desk.execution.wait_order_entry()
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                batch = [await self._actions.receive(), *self.take_waiting()]
                cancels = [action for action in batch if isinstance(action, CancelOrder)]
                orders = [action for action in batch if isinstance(action, PlaceOrder)]
                nursery.start_soon(self.send, cancels, orders)

    @property
    def waiting(self) -> int:
        """Number of actions that wait in the channel."""
        return self._actions.statistics().current_buffer_used

    def take_waiting(self) -> list[Action]:
        """Return every action that waits in the channel; they are the caller's from here on."""
        waiting: list[Action] = []
        while True:
            try:
                waiting.append(self._actions.receive_nowait())
            except (trio.WouldBlock, trio.EndOfChannel):
                return waiting

    async def send(self, cancels: Sequence[CancelOrder], orders: Sequence[PlaceOrder]) -> None:
        """Send the actions, all in one write, and apply what became of them.

        Raises:
            CredentialsRefused: the key is not accepted; the orders of this call are unknown.
        """
        sent_at = trio.current_time()
        try:
            cancelled, placed = await self._desk.execution.send(self._desk.instrument, cancels, orders)
            results: list[ActionResult] = [*cancelled, *placed]
        except Banned as error:
            # The ban came as an answer to one of them; the others may have been taken before it.
            now_ms = self._desk.execution.now_ms()
            results = [
                CancelOutcomeLost(client_order_id=cancel.client_order_id, detail=f"banned: {error}")
                for cancel in cancels
            ]
            results += [
                OrderOutcomeLost(
                    client_order_id=order.client_order_id,
                    request_time_ms=now_ms,
                    recv_window_ms=LONGEST_RECV_WINDOW_MS,
                    detail=f"banned: {error}",
                )
                for order in orders
            ]
            halt_for_ban(self._desk, error)
        if any(isinstance(result, OrderAcknowledged | CancelAcknowledged) for result in results):
            self._desk.board.saw_order_answer(sent_at)
        self.apply(results)

    def apply(self, results: Sequence[ActionResult]) -> None:
        """Hand results to the manager and carry out what follows."""
        for result in results:
            self._note(result)
        self._desk.dispatcher.carry_out(self._desk.manager.apply_action_results(results))

    def _note(self, result: ActionResult) -> None:
        if isinstance(result, OrderRefused):
            # A post-only opening that the market overtook is daily bread: it is re-priced (F8).
            level = logging.INFO if result.reason is RejectReason.POST_ONLY else logging.WARNING
            log.log(
                level,
                line(
                    "order refused",
                    id=result.client_order_id,
                    reason=result.reason,
                    code=result.code,
                    words=result.message,
                ),
            )
        elif isinstance(result, OrderOutcomeLost):
            log.warning(line("order outcome unknown", id=result.client_order_id, detail=result.detail))
        elif isinstance(result, OrderNotSent):
            log.warning(line("order not sent", id=result.client_order_id, detail=result.detail))

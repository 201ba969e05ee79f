"""Owns what happens to the bot's own orders and inventory when it stops.

It runs with no loop alive, works from the exchange's own list of our orders, learns fills by REST, journals before it
sends, and asks again until the exchange agrees. It must never touch an order whose id is not this bot's (R12).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import attrs
import trio

from trio_grid.config.schema import ExitPolicy
from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.client_order_id import decode
from trio_grid.domain.events import ActionResult, CancelOutcomeLost, OrderNotSent, OrderOutcomeLost, OrderRecord
from trio_grid.domain.inputs import Condition, TradingState, TradingStateChanged
from trio_grid.domain.quiet_band import NEVER_MS
from trio_grid.domain.slot import OrderStatus
from trio_grid.errors import ExchangeError
from trio_grid.services.desk import Desk
from trio_grid.services.exchange_check import ExchangeCheck
from trio_grid.services.log_line import line
from trio_grid.services.order_executor import OrderExecutor
from trio_grid.services.reconnect import Backoff, is_transient

log = logging.getLogger(__name__)

BETWEEN_ROUNDS_S = 0.3
"""Time for the exchange's own list of orders to follow a cancel."""

LONGEST_PAUSE_S = 3.0
"""Between questions that are not answered: the pauses double up to this, so that a few fit into any deadline."""

LEAVES_ORDERS = (ExitPolicy.KEEP, ExitPolicy.CANCEL_OPENING)


@attrs.frozen
class ExitResult:
    """What the policy came to. `confirmed` is False when orders may rest against it; `detail` says why.

    `asked` is False when the exchange never answered: then nobody knows what rests, and `resting` is empty.
    """

    policy: ExitPolicy
    confirmed: bool
    resting: tuple[OrderRecord, ...]
    detail: str = ""
    asked: bool = True

    @property
    def warning(self) -> str:
        """Return in one sentence what an unconfirmed policy means for the operator."""
        if self.policy is ExitPolicy.KEEP:
            return f"the exit policy keep is not confirmed, and what rests on the exchange is not known: {self.detail}"
        return f"orders may rest on the exchange against the exit policy {self.policy.value}: {self.detail}"


class ExitWork:
    """One application of an exit policy. A deadline may cut `apply` off; `result` tells how far it came.

    `never_traded` is for a bot that stops before it was ready: it placed and cancelled nothing, so there is nothing
    that the exchange would have to confirm.
    """

    def __init__(
        self,
        desk: Desk,
        executor: OrderExecutor,
        check: ExchangeCheck,
        policy: ExitPolicy,
        *,
        bot_id: str,
        recv_window_ms: int,
        never_traded: bool = False,
        countdown: bool = False,
    ) -> None:
        """`countdown` tells that the exchange's countdown to the cancelling of all orders may be running."""
        self._desk = desk
        self._executor = executor
        self._check = check
        self._policy = policy
        self._bot_id = bot_id
        self._recv_window_ms = recv_window_ms
        self._confirmed = never_traded
        self._countdown = countdown
        self._asked = False
        self._backoff = Backoff(desk.jitter, BETWEEN_ROUNDS_S, LONGEST_PAUSE_S)
        self._detail = "the exchange was not asked yet"

    @property
    def result(self) -> ExitResult:
        """Return how far the policy came; `resting` is the exchange's last list of our orders."""
        return ExitResult(
            policy=self._policy,
            confirmed=self._confirmed,
            resting=self._check.our_open_orders if self._asked else (),
            detail=self._detail,
            asked=self._asked,
        )

    async def apply(self) -> None:
        """Carry the policy out until the exchange agrees.

        Raises:
            TrioGridError: the exchange refuses for good, or the books contradict themselves.
        """
        self._close_doors("stopped")
        self._settle_what_was_cut_off()
        if self._policy is ExitPolicy.FLATTEN and self._may_flatten():
            await self._flatten()
        await self._rounds()

    # Rounds ---------------------------------------------------------------------------------------------------------

    async def _rounds(self) -> None:
        while True:
            try:
                if await self._round():
                    return
                pause_s = self._answered()
            except ExchangeError as error:
                pause_s = self._missed(error)
            await trio.sleep(pause_s)

    def _answered(self) -> float:
        self._backoff.reset()
        return BETWEEN_ROUNDS_S

    def _missed(self, error: ExchangeError) -> float:
        """Tell, once for each change, that a question was not answered, and return the pause before the next.

        Raises:
            ExchangeError: asking again cannot help, or the exchange allows it only after this stop's deadline.
        """
        if not is_transient(error):
            raise error
        self._tell(f"{type(error).__name__}: {error}", logging.WARNING)
        retry_after_s: float | None = getattr(error, "retry_after_s", None)
        if retry_after_s is not None and trio.current_time() + retry_after_s > trio.current_effective_deadline():
            raise error
        return self._backoff.next_s(retry_after_s)

    def _tell(self, detail: str, level: int = logging.INFO) -> None:
        if detail != self._detail:
            log.log(level, line("exit policy", policy=self._policy.value, detail=detail or "done"))
        self._detail = detail

    async def _round(self) -> bool:
        """Ask, cancel what the policy wants gone; return True when nothing is left to do."""
        if self._policy in LEAVES_ORDERS:
            await self._end_countdown()
        # Cancels of the books are dropped here: their orders are CANCELLING, and go by the exchange's list below.
        self._settle_what_was_cut_off()
        await self._check.walk_trades()
        await self._check.compare_orders()
        await self._check.settle_questions()
        self._asked = True
        wanted = self._unwanted(self._check.our_open_orders)
        if wanted:
            self._tell(f"{len(wanted)} orders to cancel")
            await self._executor.send([CancelOrder(client_order_id=record.client_order_id) for record in wanted], ())
            return False
        unknown = self._unknown()
        if unknown and self._policy is not ExitPolicy.KEEP:
            self._tell(f"{unknown} orders whose outcome is not known yet")
            return False
        if self._check.has_questions() and self._policy is not ExitPolicy.KEEP:
            self._tell("trades of ended orders are not shown yet")
            return False
        self._confirmed = self._policy is not ExitPolicy.FLATTEN or self._held_lots() == 0
        self._tell("" if self._confirmed else f"{self._held_lots()} lots are still held")
        await self._end_countdown()
        return True

    async def _end_countdown(self) -> None:
        """End the exchange's countdown: first where orders are to stay, else last, when nothing rests any more.

        A stop that could not cancel what it should leaves it running: the exchange then does.
        """
        if self._countdown:
            await self._desk.execution.cancel_all_after(self._desk.instrument, 0)
            self._countdown = False

    def _unwanted(self, records: Sequence[OrderRecord]) -> list[OrderRecord]:
        """Return which of our resting orders have to go: by the policy, or because the books are cancelling them."""
        cancelling = {
            slot.order.client_order_id
            for slot in self._desk.manager.snapshot().slots
            if slot.order is not None and slot.order.status is OrderStatus.CANCELLING
        }
        unwanted: list[OrderRecord] = []
        for record in records:
            parts = decode(record.client_order_id)
            if parts is None or parts.bot != self._bot_id:
                continue
            by_policy = self._policy in (ExitPolicy.CANCEL_ALL, ExitPolicy.FLATTEN) or (
                self._policy is ExitPolicy.CANCEL_OPENING and parts.role == "o"
            )
            if by_policy or record.client_order_id in cancelling:
                unwanted.append(record)
        return unwanted

    def _unknown(self) -> int:
        slots = self._desk.manager.snapshot().slots
        return sum(slot.status in (OrderStatus.UNKNOWN, OrderStatus.PENDING) for slot in slots)

    def _held_lots(self) -> int:
        return sum(slot.inventory_lots for slot in self._desk.manager.snapshot().slots)

    # Doors and leftovers --------------------------------------------------------------------------------------------

    def _close_doors(self, reason: str) -> None:
        """Nothing is placed from here on, except what flattening asks for: resting orders stay as they are."""
        self._set(Condition.STOPPING, True, reason)
        self._set(Condition.STARTING, True, reason)
        self._set(Condition.USER_STREAM_DOWN, True, reason)

    def _set(self, condition: Condition, active: bool, reason: str) -> None:
        self._desk.dispatcher.carry_out(self._desk.manager.set_condition(condition, active, reason))

    def _settle_what_was_cut_off(self) -> None:
        """Actions still in the channel were never sent; a placement whose send was cut off is UNKNOWN (R4)."""
        results: list[ActionResult] = [
            OrderNotSent(client_order_id=action.client_order_id, detail="the bot stopped before it was sent")
            for action in self._executor.take_waiting()
            if isinstance(action, PlaceOrder)
        ]
        unsent = {result.client_order_id for result in results if isinstance(result, OrderNotSent)}
        now_ms = self._desk.execution.now_ms()
        for slot in self._desk.manager.snapshot().slots:
            order = slot.order
            if order is None or order.status is not OrderStatus.PENDING or order.client_order_id in unsent:
                continue
            results.append(
                OrderOutcomeLost(
                    client_order_id=order.client_order_id,
                    request_time_ms=now_ms,
                    recv_window_ms=self._recv_window_ms,
                    detail="the bot stopped while it was being sent",
                )
            )
        if results:
            self._executor.apply(results)

    def _question_cancels(self) -> None:
        """A cancel that was cut off, or dropped before it was sent, is a question: flattening decides it again."""
        lost: list[ActionResult] = [
            CancelOutcomeLost(client_order_id=slot.order.client_order_id, detail="the bot stopped meanwhile")
            for slot in self._desk.manager.snapshot().slots
            if slot.order is not None and slot.order.status is OrderStatus.CANCELLING
        ]
        if lost:
            self._executor.apply(lost)

    # Flatten --------------------------------------------------------------------------------------------------------

    def _may_flatten(self) -> bool:
        halted = self._desk.manager.snapshot().trading_state is TradingState.HALTED
        if halted:
            log.critical("trading is HALTED: orders are cancelled, and inventory is left as it is")
        return not halted

    async def _flatten(self) -> None:
        """Let the manager close what is held: cancel each closing, wait until it is settled, then close at market."""
        manager, dispatcher = self._desk.manager, self._desk.dispatcher
        before = manager.snapshot().trading_state
        self._question_cancels()
        try:
            dispatcher.carry_out(
                manager.set_trading_state(
                    TradingStateChanged(state=TradingState.REDUCING, reason="flatten at exit", flatten=True)
                )
            )
            self._set(Condition.USER_STREAM_DOWN, False, "the exit policy asks the exchange itself")
            self._set(Condition.STARTING, False, "the exit policy asks the exchange itself")
            while await self._flatten_round():
                pass
        finally:
            self._close_doors("flattened" if not self._held_lots() else "flattening ended")
            if before is TradingState.ACTIVE and not self._held_lots():
                # The operator chose the policy for this stop; the next start trades again.
                dispatcher.carry_out(
                    manager.set_trading_state(TradingStateChanged(state=before, reason="flattened at exit"))
                )

    async def _flatten_round(self) -> bool:
        """Send what the manager wants, then learn what became of it; return False when nothing is under way."""
        pause_s = BETWEEN_ROUNDS_S
        try:
            waiting = self._executor.take_waiting()
            cancels = [action for action in waiting if isinstance(action, CancelOrder)]
            orders = [action for action in waiting if isinstance(action, PlaceOrder)]
            if cancels or orders:
                await self._executor.send(cancels, orders)
            await self._check.walk_trades()
            await self._check.compare_orders()
            await self._check.settle_questions()
            self._asked = True
            pause_s = self._answered()
            self._tell(f"{self._held_lots()} lots are still held")
        except ExchangeError as error:
            pause_s = self._missed(error)
        await trio.sleep(pause_s)
        self._desk.dispatcher.carry_out(self._desk.manager.on_time())
        busy = any(slot.order is not None for slot in self._desk.manager.snapshot().slots)
        wake_at_ms = self._desk.manager.wake_at_ms
        return busy or self._executor.waiting > 0 or (wake_at_ms is not None and wake_at_ms < NEVER_MS)

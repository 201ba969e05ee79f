"""Owns what a ban (418) means to the bot, whichever request met it: trading halts until the operator says otherwise.

How long nothing may be sent is the client's knowledge; nothing here sends or retries.
"""

from __future__ import annotations

import trio

from trio_grid.domain.inputs import TradingState, TradingStateChanged
from trio_grid.errors import Banned
from trio_grid.services.desk import Desk


def halt_for_ban(desk: Desk, error: Banned) -> None:
    """Halt trading and alert, once: until the ban ends every question meets it again."""
    if desk.manager.snapshot().trading_state is TradingState.HALTED:
        return
    desk.board.alert(f"banned by the exchange: {error}")
    desk.dispatcher.carry_out(
        desk.manager.set_trading_state(
            TradingStateChanged(state=TradingState.HALTED, reason=f"banned by the exchange: {error.message}")
        )
    )


class BanWatch:
    """Halts trading in the moment of a ban, also of one that a keepalive, a kline fetch or a handshake met."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled."""
        task_status.started()
        while True:
            halt_for_ban(self._desk, await self._desk.execution.wait_banned())

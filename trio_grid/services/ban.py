"""Owns what a ban (418) means to the bot, whichever request met it: trading halts until the operator says otherwise.

It must never wait: how long nothing may be sent is the client's knowledge.
"""

from __future__ import annotations

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

"""What tests of the manager share: a settable clock, a manager that only lacks a price, answers of an exchange."""

from __future__ import annotations

from collections.abc import Sequence

from tests.domain.grid_bench import BOT, INSTRUMENT, START_MS, reading, settings
from tests.domain.honest_exchange import HonestExchange
from trio_grid.domain.actions import Action, PlaceOrder
from trio_grid.domain.events import BookTicker
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import Condition, SessionStarted
from trio_grid.domain.instrument import PriceTicks
from trio_grid.domain.settings import GridSettings, Mode
from trio_grid.exchange.interface import OrderBudget
from trio_grid.manager import PositionManager


class Clock:
    """A settable clock and an order budget."""

    def __init__(self) -> None:
        self.ms = START_MS
        self.orders = 1_000

    def now_ms(self) -> int:
        return self.ms

    def budget(self) -> OrderBudget:
        return OrderBudget(orders=self.orders, refill_at_ms=self.ms + 1_000)


def ticker(ticks: int) -> BookTicker:
    """Return a book ticker whose decision price is a whole number of ticks."""
    return BookTicker(bid_ticks=PriceTicks(ticks), ask_ticks=PriceTicks(ticks), time_ms=START_MS)


def a_session(chosen: GridSettings | None = None) -> SessionStarted:
    """Return the first session of a journal, in neutral mode unless told otherwise."""
    return SessionStarted(
        bot_id=BOT,
        session=1,
        instrument=INSTRUMENT,
        settings=chosen or settings(Mode.NEUTRAL),
        baseline_lots=0,
        trade_watermark=0,
    )


def new_manager(clock: Clock | None = None, kind: type[PositionManager] = PositionManager) -> PositionManager:
    """Return a manager of a fresh state."""
    clock = clock or Clock()
    return kind(GridState.fresh(), now_ms=clock.now_ms, budget=clock.budget)


def begin(manager: PositionManager, chosen: GridSettings | None = None) -> None:
    """Start a session with every door open but no price yet."""
    manager.start_session(a_session(chosen))
    manager.set_regime(reading())
    manager.set_condition(Condition.STARTING, False)


def ready(chosen: GridSettings | None = None, kind: type[PositionManager] = PositionManager) -> PositionManager:
    """Return a manager that only lacks a price."""
    manager = new_manager(kind=kind)
    begin(manager, chosen)
    return manager


def accept_all(manager: PositionManager, exchange: HonestExchange, actions: Sequence[Action]) -> list[Action]:
    """Let the exchange take all placements; return what follows from its answers."""
    answers = [exchange.accept(action) for action in actions if isinstance(action, PlaceOrder)]
    return list(manager.apply_action_results(answers).actions)

"""What must hold once faults are over, and the session in which they happen: one level bought, sold, bought again."""

from __future__ import annotations

import trio

from trio_grid.domain.inputs import Condition, StraySeen, TradingState
from trio_grid.journal.reader import read_journal
from trio_grid.testing.bot import Life, Simulation
from trio_grid.testing.faults import Fault, Injection
from trio_grid.testing.paper import DEFAULT_BALANCE_UNITS

RECONCILE_S = 15
"""Reconciliation comes so often here: what a stream never told is found by it."""
OFTEN = f"risk.reconcile_interval_s={RECONCILE_S}"
LEVELS = 3


def rungs(sim: Simulation, role: str) -> list[int]:
    """Return the rungs of our resting orders of a role: o opens, c closes."""
    return sorted(parts.rung for _, parts in sim.ours(sim.resting()) if parts.role == role)


async def session(sim: Simulation) -> None:
    """Let the market fall through the first level and come back, with time for everything that takes time."""
    for bid in (598_900, 600_100, 598_900):
        await sim.quote(bid)
        await trio.sleep(12)
        sim.check_one_order_per_slot()


async def session_under(sim: Simulation, *faults: Fault) -> tuple[Life, list[Injection]]:
    """Begin to trade, inject the faults, run the session and end them."""
    life = await sim.trading_bot()
    injections = [sim.inject(fault) for fault in faults]
    await session(sim)
    for injection in injections:
        injection.end()
    return life, injections


async def converged(sim: Simulation, life: Life, *, foreign_lots: int = 0) -> None:
    """Find everything settled, stop the bot in order, and find its journal sound and its report tied out."""
    await settled(sim, life, foreign_lots=foreign_lots)
    report = await life.stopped()  # looks for tasks and links left behind, and replays the journal
    assert report.tie_out.checked
    assert not report.tie_out.differences, report.tie_out.differences
    assert strays(sim) == [], "orders of ours that the books had taken for gone"


def strays(sim: Simulation) -> list[str]:
    """Return the ids of our own orders that reconciliation found and the books did not know.

    That heals books that were lost. Here none were: an order that lives and is not known was given up without proof
    (R4). One that is over already was shown by an answer from some time ago.
    """
    with read_journal(sim.journal_path) as reader:
        seen = [record.entry.order for record in reader.records() if isinstance(record.entry, StraySeen)]
        return [order.client_order_id for order in seen if not order.status.is_terminal]


async def settled(sim: Simulation, life: Life, *, foreign_lots: int = 0) -> None:
    """Wait until the bot is over it, and find its books those of the account and its ladder whole."""
    await trio.sleep(RECONCILE_S + 1)
    over_it = await life.until(
        lambda: life.trading and life.quiet() and not life.snapshot().closed_doors and whole(sim),
        f"the whole ladder, now {rungs(sim, 'o')} and {rungs(sim, 'c')}",
        patience_s=200,
    )
    assert over_it, f"the bot ended by itself: {life.error!r}"
    snapshot = life.snapshot()
    assert snapshot.trading_state is TradingState.ACTIVE, snapshot.state_reason
    assert snapshot.conditions == () or set(snapshot.conditions) <= {Condition.PAUSED}
    held = sum(slot.inventory_lots * slot.use.sign for slot in snapshot.slots)
    assert snapshot.net_lots == held
    assert snapshot.foreign_lots == foreign_lots
    assert snapshot.position_lots == held + foreign_lots == sim.position_lots()
    assert snapshot.ledger.wallet_change_units("USDT") == sim.wallet_units() - DEFAULT_BALANCE_UNITS
    sim.check_one_order_per_slot()


def whole(sim: Simulation) -> bool:
    """Return whether all levels are open and everything that is held has its closing."""
    closing = sum(order.remaining_lots for order, parts in sim.ours(sim.resting()) if parts.role == "c")
    ours = [order for order in sim.orders() if order.executed_lots]
    bought = sum(order.side.sign * order.executed_lots for order in ours if order in [row for row, _ in sim.ours(ours)])
    return len(rungs(sim, "o")) == LEVELS and closing == bought

"""Owns what an operator may ask of a running bot: status, pause, resume, stop, explain.

Each answer is a JSON-ready document in decimals. A request changes the state only through the manager's own inputs, so
that it stands in the journal with the operator's words.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from trio_grid.domain.inputs import (
    Condition,
    InventoryWrittenOff,
    PositionAccepted,
    TradingState,
    TradingStateChanged,
)
from trio_grid.domain.instrument import money_decimal
from trio_grid.domain.snapshot import PositionSnapshot
from trio_grid.errors import ControlError
from trio_grid.services.control_socket import ControlRequest
from trio_grid.services.desk import Desk
from trio_grid.services.reconciler import Reconciler
from trio_grid.services.stop_request import StopRequest

HIGHEST_PRICE = Decimal(10) ** 15
"""Far above any instrument's, and small enough for every calculation with it to be exact."""


class ControlDesk:
    """Answers control requests; `handle` raises ControlError for what cannot be done."""

    def __init__(self, desk: Desk, reconciler: Reconciler, stop: StopRequest) -> None:
        self._desk = desk
        self._reconciler = reconciler
        self._stop = stop

    async def handle(self, request: ControlRequest) -> dict[str, Any]:
        """Return the answer to a request."""
        match request.command:
            case "status":
                return self._status()
            case "explain":
                return self._explain(request.price)
            case "pause":
                self._set_paused(True, request.reason or "asked by the operator")
                return {"said": "paused: resting openings are cancelled, exits go on"}
            case "stop":
                self._stop.request(request.reason or "control command")
                return {"said": "stopping"}
            case "resume":
                return await self._resume(request)

    # Reading --------------------------------------------------------------------------------------------------------

    def _status(self) -> dict[str, Any]:
        desk, board = self._desk, self._desk.board
        snapshot = desk.manager.snapshot()
        summary = board.reconciliation
        return {
            **describe(snapshot),
            "phase": board.phase,
            "waiting_for": board.waiting_for,
            "user_stream": "up" if board.user_stream_up else "down",
            "reconnects": dict(board.reconnects),
            "reconciliations": board.reconciliations,
            "last_reconciliation_ms": None if summary is None else summary.finished_ms,
            "reconciled_s_ago": None if summary is None else max(0, snapshot.now_ms - summary.finished_ms) // 1000,
            "foreign_orders": None if summary is None else summary.foreign_orders,
            "leverage": board.leverage,
            "margin_type": board.margin_type,
            "watched": {name: "votes" if votes else "no vote, klines missing" for name, votes in board.watched.items()},
            "tolerated": self._desk.execution.tolerated(),
            "alerts": list(board.alerts),
        }

    def _explain(self, text: str) -> dict[str, Any]:
        instrument = self._desk.instrument
        try:
            price = Decimal(text)
        except InvalidOperation:
            raise ControlError(f"{text[:40]!r} is not a price") from None
        if not price.is_finite() or not 0 < price <= HIGHEST_PRICE:
            raise ControlError(f"{text[:40]!r} is not a price: allowed are numbers above 0, at most {HIGHEST_PRICE:f}")
        snapshot = self._desk.manager.snapshot()
        slots = [
            {
                "rung": one.row.rung,
                "use": str(one.row.use),
                "opens_at": str(instrument.price(one.row.open_price_ticks)),
                "exits_at": str(instrument.price(one.row.exit_price_ticks)),
                "status": str(one.row.status),
                "inventory": str(instrument.quantity(one.row.inventory_lots)),
                "would": one.would,
                "stopped_by": one.stopped_by,
            }
            for one in self._desk.manager.explain(instrument.floor_price_ticks(price))
        ]
        return {"price": str(price), "closed_doors": list(snapshot.closed_doors), "slots": slots}

    # Changing -------------------------------------------------------------------------------------------------------

    def _set_paused(self, active: bool, reason: str) -> None:
        self._desk.dispatcher.carry_out(self._desk.manager.set_condition(Condition.PAUSED, active, reason))

    async def _resume(self, request: ControlRequest) -> dict[str, Any]:
        """Reconcile; take the operator's word where he gives it; trade again only if the books then agree."""
        desk = self._desk
        said: list[str] = []
        summary = await self._reconciler.pass_after("resume")
        if request.write_off:
            said.append(self._write_off(request.write_off))
            summary = await self._reconciler.pass_after("inventory written off")
        difference = summary.difference_lots
        if difference and request.accept_position:
            desk.dispatcher.carry_out(
                desk.manager.set_trading_state(
                    PositionAccepted(difference_lots=difference, words=request.accept_position)
                )
            )
            said.append(f"{desk.instrument.quantity(difference)} accepted as foreign")
        elif difference:
            raise ControlError(
                f"the position still differs from the books by {desk.instrument.quantity(difference)}: close the"
                " difference, or `resume --accept-position` with the reason"
            )
        if desk.manager.snapshot().trading_state is not TradingState.ACTIVE:
            words = request.accept_position or request.write_off or request.reason or "resumed by the operator"
            desk.dispatcher.carry_out(
                desk.manager.set_trading_state(TradingStateChanged(state=TradingState.ACTIVE, reason=words))
            )
            said.append("ACTIVE again")
        self._set_paused(False, request.reason or "resumed by the operator")
        snapshot = desk.manager.snapshot()
        said.append("trading" if not snapshot.closed_doors else "still closed: " + ", ".join(snapshot.closed_doors))
        return {"said": "; ".join(said), "trading_state": str(snapshot.trading_state)}

    def _write_off(self, words: str) -> str:
        snapshot = self._desk.manager.snapshot()
        if snapshot.trading_state is not TradingState.HALTED:
            raise ControlError(f"nothing is written off while trading is {snapshot.trading_state}: only when HALTED")
        rungs = tuple(slot.rung for slot in snapshot.slots if slot.inventory_lots and slot.order is None)
        busy = [slot.rung for slot in snapshot.slots if slot.inventory_lots and slot.order is not None]
        if busy:
            raise ControlError(f"slots {busy} still have an order: stop with --set exit.policy=cancel-all first")
        if not rungs:
            raise ControlError("no slot holds inventory: there is nothing to write off")
        self._desk.dispatcher.carry_out(
            self._desk.manager.set_trading_state(InventoryWrittenOff(rungs=rungs, words=words))
        )
        return f"inventory of {len(rungs)} slots written off"


def describe(snapshot: PositionSnapshot) -> dict[str, Any]:
    """Return a snapshot in decimals, JSON-ready."""
    instrument, counters = snapshot.instrument, snapshot.counters
    half = snapshot.half_ticks
    return {
        "symbol": snapshot.symbol,
        "bot": snapshot.bot_id,
        "session": snapshot.session,
        "sequence": snapshot.sequence,
        "trading_state": str(snapshot.trading_state),
        "state_reason": snapshot.state_reason,
        "conditions": [str(condition) for condition in snapshot.conditions],
        "closed_doors": list(snapshot.closed_doors),
        "price": None if half is None else str(instrument.price(half) / 2),
        "position": str(instrument.quantity(snapshot.position_lots)),
        "net": str(instrument.quantity(snapshot.net_lots)),
        "foreign": str(instrument.quantity(snapshot.foreign_lots)),
        "baseline": str(instrument.quantity(snapshot.baseline_lots)),
        "realized": f"{money_decimal(snapshot.realized_units):f}",
        "unrealized": f"{money_decimal(snapshot.unrealized_units):f}",
        "fees": {asset: f"{money_decimal(units):f}" for asset, units in snapshot.ledger.fees},
        "round_trips": snapshot.ledger.round_trips,
        "orders_resting": sum(slot.order is not None for slot in snapshot.slots),
        "orders_placed": counters.orders_placed,
        "fills": counters.fills,
        "stale_corrections": counters.stale_corrections,
        "slots": [
            {
                "rung": slot.rung,
                "use": str(slot.use),
                "status": str(slot.status),
                "inventory": str(instrument.quantity(slot.inventory_lots)),
                "order": None if slot.order is None else slot.order.client_order_id,
            }
            for slot in snapshot.slots
        ],
    }

"""One fill told several times over the wire is booked once: from the frame through the parser into the real state.

TRADE_LITE and ORDER_TRADE_UPDATE speak of the same trade, a duplicated stream brings both again, and a query may have
brought the trade before them.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

import pytest

from tests.domain.grid_bench import ANCHOR, INSTRUMENT, START_MS
from tests.domain.honest_exchange import HonestExchange
from tests.manager_bench import accept_all, ready, ticker
from trio_grid.domain.actions import PlaceOrder
from trio_grid.exchange.protocol.messages import Ignored, parse_user_event
from trio_grid.manager import PositionManager

TRADE_ID = 702_423_109


def a_ladder() -> tuple[PositionManager, HonestExchange, PlaceOrder]:
    """Return a manager with a resting ladder, and one of its orders."""
    manager, exchange = ready(), HonestExchange()
    actions = list(manager.on_price(ticker(ANCHOR)).actions)
    accept_all(manager, exchange, actions)
    order = next(action for action in actions if isinstance(action, PlaceOrder))
    return manager, exchange, order


def frames_of_a_fill(exchange: HonestExchange, order: PlaceOrder, lots: int, trade_id: int = TRADE_ID) -> list[Any]:
    """Return what the wire says about a first part of an order, in the order of the real exchange."""
    record = exchange.record(order.client_order_id)
    price, part = str(INSTRUMENT.price(record.price_ticks)), str(INSTRUMENT.quantity(lots))
    lite = {
        "e": "TRADE_LITE", "E": START_MS + 1, "T": START_MS, "s": INSTRUMENT.symbol,
        "q": str(INSTRUMENT.quantity(record.quantity_lots)), "p": price, "m": True, "c": order.client_order_id,
        "S": str(record.side), "L": price, "l": part, "t": trade_id, "i": record.order_id,
    }  # fmt: skip
    signed = part if record.side.sign > 0 else f"-{part}"
    account = {
        "e": "ACCOUNT_UPDATE", "E": START_MS + 1, "T": START_MS,
        "a": {"m": "ORDER", "B": [], "P": [{"s": INSTRUMENT.symbol, "pa": signed, "ep": price, "ps": "BOTH"}]},
    }  # fmt: skip
    report = {
        "s": INSTRUMENT.symbol, "c": order.client_order_id, "S": str(record.side), "o": "LIMIT", "f": "GTX",
        "q": str(INSTRUMENT.quantity(record.quantity_lots)), "p": price, "x": "TRADE", "X": "PARTIALLY_FILLED",
        "i": record.order_id, "l": part, "z": part, "L": price, "n": "0.001", "N": "USDT", "T": START_MS,
        "t": trade_id, "m": True, "R": False, "rp": "0", "er": "0",
    }  # fmt: skip
    return [lite, account, {"e": "ORDER_TRADE_UPDATE", "E": START_MS + 1, "T": START_MS, "o": report}]


def tell(manager: PositionManager, frames: list[Any], ignored: Ignored) -> None:
    for frame in frames:
        event = parse_user_event(json.dumps(frame), INSTRUMENT, ignored)
        if event is not None and event.order is not None:
            manager.on_order_update(event.order)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_three_events_of_a_fill_are_one_booking_in_any_order_and_however_often(
    order: tuple[int, ...],
) -> None:
    manager, exchange, placed = a_ladder()
    frames = [frames_of_a_fill(exchange, placed, 4)[place] for place in order]
    ignored: Ignored = Counter()
    for times in range(1, 4):
        tell(manager, frames, ignored)
        found = manager.snapshot()
        assert found.net_lots == 4 * placed.side.sign
        assert found.counters.fills == 1
        assert ignored == {"TRADE_LITE": times}
    assert manager.has_booked(TRADE_ID)


async def test_trade_lite_alone_books_nothing() -> None:
    manager, exchange, placed = a_ladder()
    ignored: Ignored = Counter()
    tell(manager, frames_of_a_fill(exchange, placed, 4)[:2], ignored)
    assert (manager.snapshot().net_lots, manager.snapshot().counters.fills) == (0, 0)
    assert not manager.has_booked(TRADE_ID)
    assert ignored == {"TRADE_LITE": 1}

"""F24: what is remembered of orders that no slot has is bounded, however they became known."""

from __future__ import annotations

import msgspec

from tests.domain.grid_bench import BOT, Bench
from trio_grid.domain.client_order_id import OrderIdParts, encode
from trio_grid.domain.events import Side
from trio_grid.domain.grid import STRAYS_REMEMBERED
from trio_grid.domain.inputs import TradesWalked


def test_f24_late_trades_of_forgotten_orders_do_not_fill_the_memory() -> None:
    bench = Bench()
    bench.ladder()
    before = bench.exchange.position_lots
    for number in range(STRAYS_REMEMBERED + 20):
        parts = OrderIdParts(bot=BOT, session=1, generation=10_000 + number, role="o", rung=-50, stride=1)
        trade = bench.exchange.foreign_trade(Side.BUY, 1, name=encode(parts))
        bench.tell(TradesWalked(trades=(msgspec.structs.replace(trade, order_id=9_000 + number),), watermark=0))
    assert len(bench.state.grid.strays) == STRAYS_REMEMBERED
    assert bench.state.grid.position_lots == bench.exchange.position_lots == before + STRAYS_REMEMBERED + 20

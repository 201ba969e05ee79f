"""Changed filters: everything is rescaled exactly, or the change is refused."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tests.domain.grid_bench import (
    ANCHOR,
    BOT,
    INSTRUMENT,
    INTERVAL,
    LEVEL_LOTS,
    Bench,
    cancelled,
    instrument,
    placed,
    reading,
    rung_price,
    settings,
)
from trio_grid.domain.actions import PlaceOrder
from trio_grid.domain.client_order_id import OrderIdParts, encode
from trio_grid.domain.events import Side
from trio_grid.domain.grid_state import GridState
from trio_grid.domain.inputs import (
    Condition,
    ConditionChanged,
    FiltersChanged,
    StraySeen,
)
from trio_grid.domain.instrument import MoneyUnits, PriceTicks, QuantityLots
from trio_grid.domain.settings import LatticeSettings, Mode, Spacing
from trio_grid.domain.slot import Role
from trio_grid.errors import InvariantBroken


def busy(mode: Mode = Mode.NEUTRAL) -> Bench:
    """Return a bench with inventory, a partly filled opening, closings and a finished round trip."""
    bench = Bench(settings(mode, max_inventory_lots=QuantityLots(200), stop_loss_ticks=PriceTicks(500_000)))
    bench.ladder()
    bench.fill(-1)
    bench.settle()
    bench.fill(-1)
    bench.settle()
    bench.fill(-1)
    bench.settle()
    bench.price(rung_price(-2) + 1)
    bench.settle()
    bench.fill(-2, 3)
    return bench


def test_finer_units_rescale_everything_exactly() -> None:
    bench = busy()
    before = bench.state.grid
    money = (before.realized_units, before.drawdown_bound(), before.net_lots)
    old = {slot.rung: slot for slot in before.book.in_order()}
    cash = before.fields.cash_ticks_lots * before.instrument.tick_lot_units
    finer = msgspec.structs.replace(
        INSTRUMENT,
        tick_size=Decimal("0.05"),
        lot_size=Decimal("0.0005"),
        max_price_ticks=PriceTicks(20_000_000),
        min_quantity_lots=QuantityLots(2),
        max_quantity_lots=QuantityLots(2_000),
    )
    actions = bench.tell(FiltersChanged(instrument=finer))
    assert placed(actions) == {}, "changed filters stop openings"
    grid = bench.state.grid
    assert grid.realized_units == money[0]
    assert grid.net_lots == 2 * money[2]
    assert grid.fields.cash_ticks_lots * grid.instrument.tick_lot_units == cash
    assert grid.fields.anchor_ticks == 2 * ANCHOR
    assert grid.settings.max_inventory_lots == 400
    assert grid.settings.stop_loss_ticks == 1_000_000
    for rung, slot in old.items():
        now = bench.slot(rung)
        assert now.open_price_ticks == 2 * slot.open_price_ticks
        assert now.exit_price_ticks == 2 * slot.exit_price_ticks
        assert now.inventory_lots == 2 * slot.inventory_lots
        assert now.entry_value == 4 * slot.entry_value
        if slot.order is not None and now.order is not None:
            assert now.order.client_order_id == slot.order.client_order_id
            assert now.order.price_ticks == 2 * (slot.order.price_ticks or 0)
            assert now.order.quantity_lots == 2 * slot.order.quantity_lots
            assert now.order.executed_lots == 2 * slot.order.executed_lots
    assert GridImage(bench)


def GridImage(bench: Bench) -> bool:

    return GridState.from_image(bench.state.image()).image() == bench.state.image()


def test_trades_of_an_order_that_nobody_knows_yet_are_rescaled_too() -> None:
    bench = Bench()
    bench.price(ANCHOR)
    name = encode(OrderIdParts(bot=BOT, session=1, generation=77, role="o", rung=-1, stride=1))
    lost = PlaceOrder(
        client_order_id=name,
        side=Side.BUY,
        quantity_lots=QuantityLots(LEVEL_LOTS),
        price_ticks=PriceTicks(rung_price(-1)),
        post_only=True,
        reduce_only=False,
    )
    bench.exchange.accept(lost)
    bench.exchange.fill(name, 4)
    bench.tell(bench.exchange.walk(0))
    bench.tell(FiltersChanged(instrument=instrument(lot_size=Decimal("0.0005"))))
    record = msgspec.structs.replace(
        bench.exchange.record(name), quantity_lots=QuantityLots(2 * LEVEL_LOTS), executed_lots=QuantityLots(8)
    )
    bench.tell(StraySeen(order=record))
    order = bench.order(-1)
    assert (order.executed_lots, order.booked_lots, bench.slot(-1).inventory_lots) == (8, 8, 8)


@pytest.mark.parametrize(
    "units",
    [
        {"tick_size": Decimal("0.03")},
        {"tick_size": Decimal("0.20")},
        {"lot_size": Decimal("0.0007")},
        {"lot_size": Decimal("0.002")},
        {"symbol": "ETHUSDT"},
    ],
)
def test_units_that_do_not_divide_the_old_ones_are_refused(units: dict[str, Decimal]) -> None:
    bench = busy()
    image = bench.state.image()
    with pytest.raises(InvariantBroken, match="do not divide"):
        bench.tell(FiltersChanged(instrument=msgspec.structs.replace(INSTRUMENT, **units)))
    assert bench.state.image() == image


def test_filters_alone_may_change_and_say_which_level_is_skipped() -> None:
    bench = Bench()
    bench.ladder()
    stricter = instrument(min_notional_units=MoneyUnits(LEVEL_LOTS * rung_price(-2) * 10_000))
    assert cancelled(bench.tell(FiltersChanged(instrument=stricter))) == [-3, -2, -1]
    bench.settle()
    assert set(placed(bench.tell(ConditionChanged(condition=Condition.FILTERS_CHANGED, active=False)))) == {-1, -2}


def test_units_may_change_between_two_sessions() -> None:
    bench = busy()
    net = bench.state.grid.net_lots
    finer = instrument(tick_size=Decimal("0.01"), max_price_ticks=PriceTicks(100_000_000))
    bench.units = finer
    lattice = LatticeSettings(spacing=Spacing.ARITHMETIC, interval_ticks=10 * INTERVAL)
    chosen = settings(Mode.NEUTRAL, lattice=lattice)
    bench.restart(chosen)
    assert bench.state.grid.net_lots == net
    assert bench.resting(Role.CLOSE) == {-1: 10 * ANCHOR}
    assert Condition.FILTERS_CHANGED not in bench.state.grid.fields.conditions
    bench.price(10 * (ANCHOR - 300))
    bench.tell(reading())
    bench.tell(ConditionChanged(condition=Condition.STARTING, active=False))
    assert all(order.price_ticks is None or order.price_ticks > 1_000_000 for order in placed(bench.actions).values())

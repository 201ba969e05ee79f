"""The border between decimals and integers: exact both ways, and never rounded in silence."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_grid.domain.instrument import (
    Instrument,
    NotRepresentable,
    money_decimal,
    money_units,
    whole_units,
)
from trio_grid.testing.instruments import BTCUSDT

BTC = BTCUSDT
steps = st.sampled_from([Decimal(text) for text in ("0.10", "0.01", "0.00001", "1", "0.5", "0.25", "10", "0.00000001")])


@settings(deadline=None)
@given(steps, st.integers(0, 10**12))
def test_prices_and_quantities_round_trip_in_any_step(step: Decimal, count: int) -> None:
    prices = msgspec.structs.replace(BTC, tick_size=step, lot_size=Decimal(1))
    quantities = msgspec.structs.replace(BTC, tick_size=Decimal(1), lot_size=step)
    assert prices.price_ticks(prices.price(count)) == count
    assert quantities.quantity_lots(quantities.quantity(count)) == count


@settings(deadline=None)
@given(steps, st.integers(0, 10**9), st.integers(1, 999))
def test_a_decimal_between_two_steps_is_refused(step: Decimal, count: int, thousandths: int) -> None:
    between = step * count + step * thousandths / 1_000
    with pytest.raises(NotRepresentable, match=r"price .* is not a whole multiple of"):
        whole_units(between, step, "price")


@settings(deadline=None)
@given(steps, st.integers(0, 10**9), st.integers(0, 999))
def test_floors_take_the_step_at_or_below(step: Decimal, count: int, thousandths: int) -> None:
    instrument = msgspec.structs.replace(BTC, tick_size=step, lot_size=Decimal(1))
    assert instrument.floor_price_ticks(step * count + step * thousandths / 1_000) == count
    instrument = msgspec.structs.replace(BTC, tick_size=Decimal(1), lot_size=step)
    assert instrument.floor_quantity_lots(step * count + step * thousandths / 1_000) == count


def test_known_values() -> None:
    assert BTC.price_ticks(Decimal("60000.10")) == 600_001
    assert BTC.price_ticks(Decimal("6E+4")) == 600_000
    assert str(BTC.price(600_001)) == "60000.10"
    assert str(BTC.quantity(25)) == "0.025"
    assert BTC.tick_lot_units == 10_000
    assert BTC.notional_units(600_000, 25) == 1_500 * 10**8
    assert (BTC.floor_price_ticks(Decimal("60000.19")), BTC.floor_quantity_lots(Decimal("0.0019"))) == (600_001, 1)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "sNaN"])
def test_what_is_not_a_finite_number_is_refused(text: str) -> None:
    for convert in (BTC.price_ticks, BTC.quantity_lots, money_units):
        with pytest.raises(NotRepresentable, match="is not a finite number"):
            convert(Decimal(text))


def test_the_error_names_what_does_not_fit() -> None:
    with pytest.raises(NotRepresentable, match=r"^BTCUSDT price 60000.05 is not a whole multiple of 0.10$"):
        BTC.price_ticks(Decimal("60000.05"))
    with pytest.raises(NotRepresentable, match=r"^BTCUSDT quantity 0.0005 is not a whole multiple of 0.001$"):
        BTC.quantity_lots(Decimal("0.0005"))
    with pytest.raises(NotRepresentable, match=r"^amount 1E-9 is not a whole multiple of"):
        money_units(Decimal("0.000000001"))
    assert issubclass(NotRepresentable, ValueError)


@settings(deadline=None)
@given(st.integers(-(10**18), 10**18))
def test_money_round_trips_and_shows_eight_places(units: int) -> None:
    assert money_units(money_decimal(units)) == units
    assert money_decimal(units).as_tuple().exponent == -8


@settings(deadline=None)
@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_notional_is_price_times_quantity_to_the_last_unit(ticks: int, lots: int) -> None:
    assert money_decimal(BTC.notional_units(ticks, lots)) == BTC.price(ticks) * BTC.quantity(lots)


@pytest.mark.parametrize("field", ["tick_size", "lot_size"])
@pytest.mark.parametrize("value", ["0", "-0.1"])
def test_a_step_that_is_not_positive_is_refused(field: str, value: str) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        msgspec.structs.replace(BTC, **{field: Decimal(value)})


def test_a_value_of_tick_times_lot_finer_than_money_is_refused() -> None:
    with pytest.raises(NotRepresentable, match="tick size x lot size"):
        msgspec.structs.replace(BTC, tick_size=Decimal("0.00001"), lot_size=Decimal("0.0001"))


def test_an_instrument_survives_the_journal() -> None:
    restored = msgspec.json.decode(msgspec.json.encode(BTC), type=Instrument)
    assert restored == BTC
    assert str(restored.tick_size) == "0.10"

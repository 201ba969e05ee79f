"""The ledger: the account view is the wallet's change, the slots view the grid's profit; both have the same cash."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_grid.domain.events import FundingRecord, Side, Trade
from trio_grid.domain.instrument import MoneyUnits, PriceTicks, QuantityLots
from trio_grid.domain.ledger import FUNDING_REMEMBERED, Ledger

TICK_LOT_UNITS = 10_000
"""0.10 x 0.001 of quote, in units of 1e-8."""


def trade(
    side: Side,
    price: int,
    lots: int,
    *,
    trade_id: int = 1,
    realized: int = 0,
    fee: int = 0,
    asset: str = "USDT",
    maker: bool = True,
) -> Trade:
    return Trade(
        trade_id=trade_id,
        order_id=7,
        client_order_id="",
        side=side,
        price_ticks=PriceTicks(price),
        quantity_lots=QuantityLots(lots),
        realized_pnl_units=MoneyUnits(realized),
        fee_units=MoneyUnits(fee),
        fee_asset=asset,
        maker=maker,
        time_ms=1,
    )


def funding(record_id: int, amount: int, time_ms: int, asset: str = "USDT") -> FundingRecord:
    return FundingRecord(record_id=record_id, amount_units=MoneyUnits(amount), asset=asset, time_ms=time_ms)


class AverageEntryExchange:
    """A netting account as the exchange keeps it: one average entry, realized profit rounded to 1e-8 per trade."""

    def __init__(self) -> None:
        self.position = 0
        self.entry = Fraction(0)
        self.wallet_units = 0

    def fill(self, trade_id: int, side: Side, price: int, lots: int) -> Trade:
        signed = side.sign * lots
        closing = 0 if self.position * signed >= 0 else min(lots, abs(self.position))
        direction = 1 if self.position > 0 else -1
        realized = round(closing * direction * (price - self.entry) * TICK_LOT_UNITS)
        opening = lots - closing
        kept = abs(self.position) - closing
        if opening:
            self.entry = (self.entry * kept + Fraction(price) * opening) / (kept + opening)
        self.position += signed
        fee = price * lots * TICK_LOT_UNITS * 20_000 // 100_000_000
        self.wallet_units += realized - fee
        return trade(side, price, lots, trade_id=trade_id, realized=realized, fee=fee)


class Slots:
    """A grid's slots reduced to their cash: value in, value out and inventory per slot, in one use each."""

    def __init__(self) -> None:
        self.open: dict[int, tuple[int, int, int, int]] = {}

    def opened(self, slot: int, sign: int, price: int, lots: int) -> None:
        inventory, entry, exit_value, _ = self.open.get(slot, (0, 0, 0, sign))
        self.open[slot] = inventory + lots, entry + price * lots, exit_value, sign

    def closed(self, ledger: Ledger, slot: int, price: int, lots: int) -> Ledger:
        inventory, entry, exit_value, sign = self.open.pop(slot)
        inventory, exit_value = inventory - lots, exit_value + price * lots
        if inventory == 0:
            return ledger.book_round_trip(entry, exit_value, sign)
        self.open[slot] = inventory, entry, exit_value, sign
        return ledger

    @property
    def cash(self) -> int:
        """Cash of what is still open, in ticks x lots."""
        return sum(sign * (exit_value - entry) for _, entry, exit_value, sign in self.open.values())


def run_neutral_grid(seed: int, steps: int) -> tuple[Ledger, AverageEntryExchange, Slots]:
    """Trade LONG and SHORT slots with partial fills at random prices, then close everything; check on every step."""
    randomly = random.Random(seed)
    exchange, slots, ledger = AverageEntryExchange(), Slots(), Ledger()
    trade_id = 0

    def fill(side: Side, price: int, lots: int) -> None:
        nonlocal ledger, trade_id
        trade_id += 1
        ledger = ledger.book_trade(exchange.fill(trade_id, side, price, lots))

    def close(slot: int, lots: int) -> None:
        nonlocal ledger
        _, _, _, sign = slots.open[slot]
        price = randomly.randint(590_000, 610_000)
        fill(Side.SELL if sign > 0 else Side.BUY, price, lots)
        ledger = slots.closed(ledger, slot, price, lots)

    for _ in range(steps):
        slot = randomly.randrange(12)
        if slot in slots.open and randomly.random() < 0.6:
            close(slot, randomly.randint(1, slots.open[slot][0]))
        else:
            sign = slots.open[slot][3] if slot in slots.open else randomly.choice((1, -1))
            price, lots = randomly.randint(590_000, 610_000), randomly.randint(1, 9)
            fill(Side.BUY if sign > 0 else Side.SELL, price, lots)
            slots.opened(slot, sign, price, lots)
        assert ledger.wallet_change_units("USDT") == exchange.wallet_units
        assert ledger.cash_ticks_lots == ledger.slot_realized_ticks_lots + slots.cash
    for slot in sorted(slots.open):
        close(slot, slots.open[slot][0])
    return ledger, exchange, slots


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 120))
def test_f21_the_account_view_is_the_wallet_and_both_views_agree_when_flat(seed: int, steps: int) -> None:
    ledger, exchange, slots = run_neutral_grid(seed, steps)
    assert exchange.position == 0
    assert slots.open == {}
    assert ledger.wallet_change_units("USDT") == exchange.wallet_units
    assert ledger.cash_ticks_lots == ledger.slot_realized_ticks_lots
    difference = ledger.exchange_realized_units - ledger.slot_realized_ticks_lots * TICK_LOT_UNITS
    assert abs(difference) <= ledger.trades


def test_f21_the_views_do_differ_while_slots_are_netted() -> None:
    # LONG 10 at 100, SHORT 10 at 110: the exchange is flat and has realized 100; neither slot has finished.
    exchange, ledger = AverageEntryExchange(), Ledger()
    ledger = ledger.book_trade(exchange.fill(1, Side.BUY, 100, 10)).book_trade(exchange.fill(2, Side.SELL, 110, 10))
    assert ledger.exchange_realized_units == 100 * TICK_LOT_UNITS
    assert (ledger.round_trips, ledger.slot_realized_ticks_lots, ledger.cash_ticks_lots) == (0, 0, 100)


def test_fees_are_kept_by_asset_and_touch_only_their_own_wallet() -> None:
    ledger = (
        Ledger()
        .book_trade(trade(Side.BUY, 100, 2, fee=30, asset="USDT"))
        .book_trade(trade(Side.SELL, 105, 2, fee=7, asset="BNB", realized=1_000, maker=False))
        .book_trade(trade(Side.SELL, 105, 2, fee=-5, asset="USDT"))
        .book_trade(trade(Side.SELL, 105, 2, fee=0, asset="ETH"))
    )
    assert ledger.fees == (("BNB", 7), ("USDT", 25))
    assert (ledger.fee_units("BNB"), ledger.fee_units("USDT"), ledger.fee_units("ETH")) == (7, 25, 0)
    assert (ledger.trades, ledger.maker_trades) == (4, 3)
    assert (ledger.bought_ticks_lots, ledger.sold_ticks_lots) == (200, 630)
    assert ledger.wallet_change_units("USDT") == ledger.wallet_change_units("USDT", "USDT") == 1_000 - 25
    assert ledger.wallet_change_units("BNB", "USDT") == -7


def test_a_round_trip_is_booked_at_its_own_prices_in_both_uses() -> None:
    ledger = Ledger().book_round_trip(1_000, 1_010, 1).book_round_trip(2_000, 1_985, -1).book_round_trip(500, 490, 1)
    assert (ledger.round_trips, ledger.slot_realized_ticks_lots) == (3, 10 + 15 - 10)
    with pytest.raises(ValueError, match=r"sign is 0; allowed: 1 \(LONG\) or -1 \(SHORT\)"):
        ledger.book_round_trip(1, 2, 0)
    with pytest.raises(ValueError, match="allowed: at least 0"):
        ledger.book_round_trip(-1, 2, 1)


def test_funding_is_booked_once_per_record() -> None:
    ledger = Ledger()
    assert ledger.funding_since_ms == 0
    for _ in range(3):
        ledger = ledger.book_funding(funding(11, -250, 1_000)).book_funding(funding(9, 100, 2_000))
    ledger = ledger.book_funding(funding(12, 5, 2_000, asset="USDC"))
    assert ledger.funding == (("USDC", 5), ("USDT", -150))
    assert (ledger.funding_units("USDT"), ledger.funding_units("BTC"), ledger.funding_records) == (-150, 0, 3)
    assert ledger.wallet_change_units("USDT") == -150
    assert ledger.funding_since_ms == 2_000


def test_an_already_booked_record_returns_the_same_ledger() -> None:
    ledger = Ledger().book_funding(funding(11, -250, 1_000))
    assert ledger.book_funding(funding(11, -250, 1_000)) is ledger
    assert ledger.book_funding(funding(11, -250, 1_001)) is ledger


def test_f24_funding_memory_is_bounded_and_old_records_stay_booked() -> None:
    records = [funding(5_000 - number, 1, 1_000 * number) for number in range(1_000)]
    ledger = Ledger()
    for record in records:
        ledger = ledger.book_funding(record)
    assert len(ledger.funding_seen) == FUNDING_REMEMBERED
    for record in records:
        assert ledger.book_funding(record) is ledger
    assert ledger.funding_units("USDT") == ledger.funding_records == 1_000


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), max_size=90))
def test_any_order_and_repetition_of_recent_records_books_each_once(walk: list[tuple[int, int]]) -> None:
    ledger = Ledger()
    for record_id, shift in walk:
        ledger = ledger.book_funding(funding(record_id, 3, 100 + record_id))
        ledger = ledger.book_funding(funding(shift, 3, 100 + shift))
    booked = {record_id for pair in walk for record_id in pair}
    assert ledger.funding_units("USDT") == 3 * len(booked)


def test_rescaling_keeps_the_money() -> None:
    ledger = Ledger().book_trade(trade(Side.BUY, 100, 3, fee=2)).book_round_trip(300, 330, 1)
    finer = ledger.rescale(50)
    assert (finer.bought_ticks_lots, finer.cash_ticks_lots, finer.slot_realized_ticks_lots) == (15_000, -15_000, 1_500)
    assert (finer.fees, finer.trades, finer.round_trips) == (ledger.fees, ledger.trades, ledger.round_trips)
    with pytest.raises(ValueError, match="factor is 0; allowed: at least 1"):
        ledger.rescale(0)


def test_the_ledger_survives_json_and_never_changes_in_place() -> None:
    ledger, _, _ = run_neutral_grid(3, 40)
    ledger = ledger.book_funding(funding(11, -250, 1_000))
    encoded = msgspec.json.encode(ledger)
    assert msgspec.json.decode(encoded, type=Ledger) == ledger
    assert b'"type":"Ledger"' in encoded
    ledger.book_trade(trade(Side.BUY, 100, 3, fee=2))
    assert msgspec.json.encode(ledger) == encoded
    with pytest.raises(AttributeError):
        ledger.trades = 0  # type: ignore[misc]


def test_large_sums_stay_exact() -> None:
    ledger = Ledger()
    for _ in range(100):
        ledger = ledger.book_trade(trade(Side.SELL, 10**9, 10**9, realized=10**17 + 1, fee=10**15 + 3))
    assert ledger.cash_ticks_lots == 10**20
    assert Decimal(ledger.wallet_change_units("USDT")) == 100 * (10**17 + 1 - 10**15 - 3)

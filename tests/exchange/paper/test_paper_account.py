"""Money: positions, realized PnL, fees, funding, margin, liquidation; exact to the last digit."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.exchange.paper.scripted_market import START_MS, UNIT, quote, scripted, user_kinds
from trio_grid.domain.instrument import money_units
from trio_grid.exchange.paper.engine.account import PaperAccount, fee_units, round_half_even
from trio_grid.exchange.paper.engine.brackets import BRACKETS, bracket_at, maintenance_units, notional_cap_units
from trio_grid.exchange.paper.engine.exchange import AccountSpec
from trio_grid.exchange.paper.engine.margin import liquidation_price
from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.engine.symbols import FUNDING_INTERVAL_MS, default_instrument, paper_symbol
from trio_grid.exchange.paper.engine.wire import break_even_price, entry_price

BTC = paper_symbol(default_instrument("BTCUSDT"))
TIERS = Path(__file__).parents[4] / "shared/payloads/leverage_tiers.json"


def fresh() -> PaperAccount:
    return PaperAccount("ann", "USDT", 20)


def test_entry_averages_on_increase_stays_on_reduction_and_starts_anew_on_reversal() -> None:
    account = fresh()
    assert account.apply_trade(BTC, 10, 600_000, 1) == 0
    assert account.apply_trade(BTC, 10, 600_100, 2) == 0
    position = account.position("BTCUSDT")
    assert entry_price(BTC, position) == Decimal("60005")
    assert account.apply_trade(BTC, -5, 600_150, 3) == money_units(Decimal("0.05"))
    assert entry_price(BTC, position) == Decimal("60005")
    assert account.apply_trade(BTC, -20, 599_950, 4) == money_units(Decimal("-0.15"))
    assert (position.lots, entry_price(BTC, position)) == (-5, Decimal("59995"))
    assert position.realized_units == money_units(Decimal("-0.10"))


def test_break_even_is_the_entry_and_the_taker_fee() -> None:
    account = fresh()
    account.apply_trade(BTC, 10, 600_000, 1)
    assert break_even_price(BTC, account.position("BTCUSDT")) == Decimal("60030")


@given(st.lists(st.tuples(st.integers(-30, 30).filter(bool), st.integers(1, 2_000)), min_size=1, max_size=40))
def test_from_flat_to_flat_realized_pnl_is_the_cash(trades: list[tuple[int, int]]) -> None:
    account, cash, realized = fresh(), 0, 0
    held = sum(lots for lots, _ in trades)
    for lots, price in [*trades, *([(-held, 777)] if held else [])]:
        realized += account.apply_trade(BTC, lots, price, 1)
        cash -= lots * price * BTC.unit
    position = account.position("BTCUSDT")
    assert (position.lots, position.cost_units) == (0, 0)
    assert realized == cash == position.realized_units


@given(st.lists(st.tuples(st.integers(-30, 30).filter(bool), st.integers(1, 2_000)), min_size=1, max_size=40))
def test_cost_and_realized_pnl_always_explain_the_cash(trades: list[tuple[int, int]]) -> None:
    account, cash = fresh(), 0
    for lots, price in trades:
        account.apply_trade(BTC, lots, price, 1)
        cash -= lots * price * BTC.unit
        position = account.position("BTCUSDT")
        signed_cost = position.cost_units if position.lots > 0 else -position.cost_units
        assert position.cost_units >= 0
        assert (position.cost_units == 0) == (position.lots == 0)
        assert position.realized_units - signed_cost == cash


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12))
def test_rounding_is_to_the_nearest_ties_to_even(numerator: int, denominator: int) -> None:
    value = round_half_even(numerator, denominator)
    assert value == round(Decimal(numerator) / Decimal(denominator)) or abs(numerator) > 10**27
    assert abs(2 * (value * denominator - numerator)) <= denominator


def test_fees_are_rates_of_the_notional() -> None:
    assert fee_units(money_units(Decimal("603.549")), 50_000) == money_units(Decimal("0.3017745"))
    assert fee_units(3, 50_000_000) == 2
    assert fee_units(1, 50_000_000) == 0


def test_wallet_entry_and_income_of_a_round_trip() -> None:
    exchange, market, ann, _ = scripted()
    market.add(quote(100, 1020, 1021, (1020, 500, False)))
    ann.market("BUY", 50)
    ann.limit("SELL", 1010, 50)
    exchange.advance(START_MS + 100)
    bought, sold = Decimal("100.1") * Decimal("0.05"), Decimal("101.0") * Decimal("0.05")
    fees = bought * Decimal("0.0005") + sold * Decimal("0.0002")
    assert ann.wallet == 10_000 * UNIT + money_units(sold - bought - fees)
    rows = exchange.income("ann", {}, START_MS + 100)
    assert [row["incomeType"] for row in rows] == ["TRANSFER", "COMMISSION", "REALIZED_PNL", "COMMISSION"]
    assert sum(money_units(Decimal(row["income"])) for row in rows) == ann.wallet
    trades = exchange.user_trades("ann", {"symbol": "TESTUSDT"}, START_MS + 100)
    assert [row["realizedPnl"] for row in trades] == ["0.00000000", "0.04500000"]
    assert [row["commission"] for row in trades] == ["0.00250250", "0.00101000"]
    assert [row["maker"] for row in trades] == [False, True]
    assert rows[1]["tradeId"] == str(trades[0]["id"])
    assert exchange.income("ann", {"incomeType": "REALIZED_PNL"}, START_MS + 100) == [rows[2]]


def test_funding_is_paid_by_longs_to_shorts_at_the_mark_every_eight_hours() -> None:
    exchange, market, ann, bob = scripted(quote(0, 999, 1001))
    due = (START_MS // FUNDING_INTERVAL_MS + 1) * FUNDING_INTERVAL_MS
    market.add(quote(due - START_MS + 1, 500, 502))
    assert exchange.premium_index({"symbol": "TESTUSDT"}, START_MS)["nextFundingTime"] == due  # type: ignore[call-overload]
    order = bob.limit("SELL", 1000, 100)
    assert ann.limit("BUY", 1000, 100, "IOC", newOrderRespType="RESULT")["status"] == "FILLED"
    assert bob.order(order["orderId"])["status"] == "FILLED"
    before = (ann.wallet, bob.wallet)
    exchange.take_events()
    exchange.advance(due)
    payment = money_units(Decimal("100.0") * Decimal("0.1") * Decimal("0.0001"))
    assert (ann.wallet - before[0], bob.wallet - before[1]) == (-payment, payment)
    assert user_kinds(exchange, "ann") == ["ACCOUNT_UPDATE"]
    rows = exchange.income("ann", {"incomeType": "FUNDING_FEE"}, due)
    assert [(row["income"], row["time"], row["symbol"]) for row in rows] == [("-0.00100000", due, "TESTUSDT")]


def test_margin_counts_position_and_the_heavier_side_of_the_orders() -> None:
    exchange, _, ann, _ = scripted(quote(0, 999, 1001))
    ann.market("BUY", 50)
    ann.limit("BUY", 990, 100)
    ann.limit("SELL", 1010, 100)
    ann.limit("SELL", 1020, 10, reduceOnly="true")
    body = exchange.account_information("ann", {}, START_MS)
    held, bids = Decimal("100.0") * Decimal("0.05"), Decimal("99.0") * Decimal("0.1")
    assert Decimal(body["totalPositionInitialMargin"]) == held / 20
    assert Decimal(body["totalOpenOrderInitialMargin"]) == bids / 20
    assert Decimal(body["totalUnrealizedProfit"]) == Decimal("-0.005")
    wallet, unrealized = Decimal(body["totalWalletBalance"]), Decimal(body["totalUnrealizedProfit"])
    assert Decimal(body["availableBalance"]) == wallet + unrealized - (held + bids) / 20
    row = exchange.position_risk("ann", {"symbol": "TESTUSDT"}, START_MS)[0]
    assert (row["positionAmt"], row["entryPrice"], row["bidNotional"]) == ("0.050", "100.1", "9.90000000")


def test_brackets_are_continuous_and_leverage_caps_the_notional() -> None:
    for brackets in BRACKETS.values():
        for lower, upper in pairwise(brackets):
            cap = lower.cap_units
            assert maintenance_units([lower], cap) == maintenance_units([upper], cap)
            assert bracket_at(brackets, cap) is lower
            assert bracket_at(brackets, cap + 1) is upper
        assert notional_cap_units(brackets, 125) == 50_000 * UNIT
        assert notional_cap_units(brackets, 126) == 0
    assert [row.cum_units // UNIT for row in BRACKETS["BTCUSDT"][:5]] == [0, 50, 950, 11_450, 131_450]


@pytest.mark.recorded
@pytest.mark.skipif(not TIERS.exists(), reason="no recorded payloads here")
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_brackets_equal_the_recorded_ones(symbol: str) -> None:
    recorded = json.loads(TIERS.read_text())[f"{symbol[:3]}/USDT:USDT"]
    rows = [row["info"] for row in recorded]
    assert [
        (row.max_leverage, row.cap_units, row.cum_units, Decimal(row.maintenance_rate).scaleb(-8))
        for row in BRACKETS[symbol]
    ] == [
        (
            int(row["initialLeverage"]),
            int(row["notionalCap"]) * UNIT,
            money_units(Decimal(row["cum"])),
            Decimal(row["maintMarginRatio"]),
        )
        for row in rows
    ]


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_liquidation_happens_at_the_liquidation_price_and_not_before(side: str) -> None:
    exchange, market, ann, _ = scripted(quote(0, 999, 1001), depth_lots=1_000_000, balance=100)
    ann.limit("BUY" if side == "SELL" else "SELL", 900 if side == "SELL" else 1100, 60)
    ann.market(side, 15_000)
    price = liquidation_price(exchange.account_of("ann"), exchange.settlement.marks(), "TESTUSDT")
    ticks = int(price * 10)
    assert (ticks < 1000) if side == "BUY" else (ticks > 1000)
    sign = 1 if side == "BUY" else -1
    # A mark one tick on the safe side of the price keeps the position; one tick beyond takes it.
    safe = ticks + (1 if side == "BUY" else 0)
    market.add(quote(100, safe - 1 + sign, safe + 1 + sign), quote(200, safe - 1 - sign, safe + 1 - sign))
    exchange.advance(START_MS + 100)
    assert ann.lots == sign * 15_000
    exchange.take_events()
    exchange.advance(START_MS + 200)
    assert ann.lots == 0
    assert ann.wallet >= 0
    kinds = user_kinds(exchange, "ann")
    assert kinds[0] == "EXPIRED/EXPIRED"
    assert "CALCULATED/FILLED" in kinds
    orders = exchange.all_orders("ann", {"symbol": "TESTUSDT"}, START_MS + 200)
    assert orders[-1]["clientOrderId"].startswith("autoclose-")
    assert exchange.open_orders("ann", {}, START_MS + 200) == []
    rows = exchange.income("ann", {"limit": "1000"}, START_MS + 200)
    assert sum(money_units(Decimal(row["income"])) for row in rows) == ann.wallet


def test_a_bankrupt_account_ends_at_zero_and_the_insurance_fund_pays() -> None:
    exchange, market, ann, _ = scripted(quote(0, 999, 1001), depth_lots=1_000_000, balance=100)
    ann.market("BUY", 15_000)
    market.add(quote(100, 500, 502))
    exchange.advance(START_MS + 100)
    assert (ann.lots, ann.wallet) == (0, 0)
    rows = exchange.income("ann", {"incomeType": "INSURANCE_CLEAR"}, START_MS + 100)
    assert [Decimal(row["income"]) > 0 for row in rows] == [True]


def test_leverage_is_set_told_and_refused() -> None:
    exchange, _, ann, _ = scripted(balance=100)
    body = exchange.change_leverage("ann", {"symbol": "TESTUSDT", "leverage": "10"}, START_MS)
    assert body == {"leverage": 10, "maxNotionalValue": "2000000", "symbol": "TESTUSDT"}
    assert [event.kind for event in exchange.take_events()] == ["ACCOUNT_CONFIG_UPDATE"]
    assert exchange.symbol_config("ann", {"symbol": "TESTUSDT"}, START_MS)[0]["leverage"] == 10
    for value, code in (("0", -4028), ("126", -4028), ("", -1102), ("ten", -1102)):
        with pytest.raises(PaperRefusal) as caught:
            exchange.change_leverage("ann", {"symbol": "TESTUSDT", "leverage": value}, START_MS)
        assert caught.value.code == code
    ann.limit("BUY", 990, 9_000)
    with pytest.raises(PaperRefusal) as caught:
        exchange.change_leverage("ann", {"symbol": "TESTUSDT", "leverage": "5"}, START_MS)
    assert caught.value.code == -2028
    assert exchange.symbol_config("ann", {}, START_MS)[0]["leverage"] == 10


def test_a_symbol_that_allows_less_leverage_begins_with_what_it_allows() -> None:
    exchange, _, _, _ = scripted()
    exchange.open_account(AccountSpec(name="bold", leverage=125))
    assert exchange.symbol_config("bold", {}, START_MS)[0]["leverage"] == 75
    for name, leverage, units in (("bold", 20, 1), ("new", 0, 1), ("new", 126, 1), ("new", 20, -1)):
        with pytest.raises(ValueError, match="cannot open account"):
            exchange.open_account(AccountSpec(name=name, leverage=leverage, balance_units=units))


def test_memory_is_bounded_and_open_orders_are_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange, _, ann, _ = scripted()
    kept = ann.limit("BUY", 990, 100)
    for _ in range(6):
        ann.market("BUY", 50)
        ann.market("SELL", 50)
    owner = exchange.account_of("ann")
    for name, most in (("MOST_ORDERS", 4), ("MOST_TRADES", 5), ("MOST_INCOME", 6)):
        monkeypatch.setattr(f"trio_grid.exchange.paper.engine.account.{name}", most)
    owner.forget(exchange.now_ms)
    assert (len(owner.orders["TESTUSDT"]), len(owner.trades["TESTUSDT"]), len(owner.income)) == (4, 5, 6)
    assert ann.order(kept["orderId"])["status"] == "NEW"


def test_modes_answer_what_is_true_and_refuse_what_is_not_served() -> None:
    exchange, _, ann, _ = scripted()
    symbol = {"symbol": "TESTUSDT"}
    for call, params, code in (
        (exchange.change_margin_type, symbol | {"marginType": "CROSSED"}, -4046),
        (exchange.change_margin_type, symbol | {"marginType": "BOTH"}, -1130),
        (exchange.change_position_mode, {"dualSidePosition": "false"}, -4059),
        (exchange.change_multi_assets, {"multiAssetsMargin": "false"}, -4171),
    ):
        with pytest.raises(PaperRefusal) as caught:
            call("ann", params, START_MS)
        assert caught.value.code == code
    ann.limit("BUY", 990, 100)
    with pytest.raises(PaperRefusal) as caught:
        exchange.change_margin_type("ann", symbol | {"marginType": "ISOLATED"}, START_MS)
    assert caught.value.code == -4047
    exchange.cancel_all_orders("ann", symbol, START_MS)
    ann.market("BUY", 100)
    with pytest.raises(PaperRefusal) as caught:
        exchange.change_margin_type("ann", symbol | {"marginType": "ISOLATED"}, START_MS)
    assert caught.value.code == -4048
    assert exchange.position_mode("ann", {}, START_MS) == {"dualSidePosition": False}

"""Mark, index and premium klines, open interest, forced closings: each told as far as it is true."""

from __future__ import annotations

import pytest

from tests.exchange.paper.scripted_market import START_MS, quote, scripted
from trio_grid.exchange.paper.engine.refusals import PaperRefusal

SYMBOL = {"symbol": "TESTUSDT"}
MINUTE = 60_000
FIRST = START_MS // MINUTE * MINUTE


def test_mark_price_klines_are_the_mark_prices_of_the_steps() -> None:
    steps = [quote(0, 1000), quote(100, 1010), quote(200, 990, 1000), quote(MINUTE, 1020)]
    exchange, _, _, _ = scripted(*steps)
    exchange.advance(START_MS + MINUTE)
    rows = exchange.mark_price_klines(SYMBOL | {"interval": "1m"}, START_MS + MINUTE)
    first, second = rows
    assert first[:5] == [FIRST, "100.05000000", "101.05000000", "99.50000000", "99.50000000"]
    assert second[:5] == [FIRST + MINUTE, *["102.05000000"] * 4]
    assert first[5:] == ["0", FIRST + MINUTE - 1, "0", 3, "0", "0", "0"]
    assert exchange.premium_index(SYMBOL, START_MS + MINUTE)["markPrice"] == second[4]  # type: ignore[call-overload]
    [joined] = exchange.mark_price_klines(SYMBOL | {"interval": "1d"}, START_MS + MINUTE)
    assert joined[1:5] == ["100.05000000", "102.05000000", "99.50000000", "102.05000000"]
    chosen = exchange.mark_price_klines(
        SYMBOL | {"interval": "1m", "startTime": str(FIRST + 1), "endTime": str(FIRST + MINUTE)}, START_MS + MINUTE
    )
    assert chosen == [second]
    assert exchange.mark_price_klines(SYMBOL | {"interval": "1m", "limit": "1"}, START_MS + MINUTE) == [second]


def test_the_index_is_the_mark_and_the_premium_is_nothing() -> None:
    exchange, _, _, _ = scripted(quote(0, 1000), quote(100, 1010))
    exchange.advance(START_MS + 100)
    mark = exchange.mark_price_klines(SYMBOL | {"interval": "1m"}, START_MS + 100)
    assert exchange.index_price_klines({"pair": "TESTUSDT", "interval": "1m"}, START_MS + 100) == mark
    [premium] = exchange.premium_index_klines(SYMBOL | {"interval": "1m"}, START_MS + 100)
    assert premium == [mark[0][0], *["0.00000000"] * 4, *mark[0][5:]]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        (SYMBOL, -1102),
        (SYMBOL | {"interval": "7m"}, -1120),
        (SYMBOL | {"interval": "1m", "limit": "1501"}, -1130),
        ({"interval": "1m"}, -1102),
        ({"interval": "1m", "symbol": "NOPE", "pair": "NOPE"}, -1121),
    ],
)
def test_bad_requests_for_price_klines_are_refused(params: dict[str, str], code: int) -> None:
    exchange, _, _, _ = scripted()
    paired = {"pair": params.get("symbol", "")} | params
    for call, sent in (
        (exchange.mark_price_klines, params),
        (exchange.premium_index_klines, params),
        (exchange.index_price_klines, paired),
    ):
        with pytest.raises(PaperRefusal) as caught:
            call(sent, START_MS)
        assert caught.value.code == code


def test_open_interest_is_what_the_accounts_hold_on_the_heavier_side() -> None:
    exchange, _, ann, bob = scripted()
    assert exchange.open_interest(SYMBOL, START_MS) == {
        "symbol": "TESTUSDT", "openInterest": "0.000", "time": START_MS,
    }  # fmt: skip
    ann.market("BUY", 120)
    bob.market("SELL", 60)
    assert exchange.open_interest(SYMBOL, START_MS)["openInterest"] == "0.120"
    bob.market("SELL", 100)
    assert exchange.open_interest(SYMBOL, START_MS)["openInterest"] == "0.160"


def test_liquidation_orders_are_listed_apart() -> None:
    exchange, market, ann, _ = scripted(quote(0, 999, 1001), depth_lots=1_000_000, balance=100)
    ann.market("BUY", 15_000)
    assert exchange.force_orders("ann", {}, START_MS) == []
    assert exchange.adl_quantiles("ann", SYMBOL, START_MS) == [
        {"symbol": "TESTUSDT", "adlQuantile": {"LONG": 0, "SHORT": 0, "BOTH": 0}}
    ]
    market.add(quote(100, 500, 502))
    exchange.advance(START_MS + 100)
    [row] = exchange.force_orders("ann", SYMBOL, START_MS + 100)
    assert row["clientOrderId"].startswith("autoclose-")
    assert (row["status"], row["origQty"], row["cumBase"]) == ("FILLED", "15.000", "15.000")
    assert exchange.force_orders("ann", {"autoCloseType": "LIQUIDATION"}, START_MS + 100) == [row]
    assert exchange.force_orders("ann", {"autoCloseType": "ADL"}, START_MS + 100) == []
    with pytest.raises(PaperRefusal) as caught:
        exchange.force_orders("ann", {"autoCloseType": "SALE"}, START_MS + 100)
    assert caught.value.code == -1130
    assert exchange.adl_quantiles("ann", {}, START_MS + 100) == []
    assert exchange.adl_risk(SYMBOL, START_MS + 100) == {
        "symbol": "TESTUSDT", "adlRisk": "low", "updateTime": START_MS + 100,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("depth_lots", "lots", "risk"), [(50, 0, "low"), (50, 4_000, "low"), (50, 6_000, "medium"), (1, 1_100, "high")]
)
@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_the_risk_of_deleveraging_goes_by_what_the_book_would_take(
    side: str, depth_lots: int, lots: int, risk: str
) -> None:
    exchange, market, ann, _ = scripted(depth_lots=depth_lots)
    if lots:
        ann.limit(side, 1040 if side == "BUY" else 960, lots)
        # The tape gives the order all of its lots; the levels of the book stay as they are.
        market.add(quote(100, 1060 if side == "SELL" else 900, None, (1060 if side == "SELL" else 900, lots, True)))
        exchange.advance(START_MS + 100)
    assert abs(ann.lots) == lots
    assert exchange.adl_risk(SYMBOL, exchange.now_ms) == {
        "symbol": "TESTUSDT", "adlRisk": risk, "updateTime": exchange.now_ms,
    }  # fmt: skip

"""Market data, asked for in Binance's own words: see `raw_desk`."""

from decimal import Decimal
from itertools import pairwise

from harness import Suite
from raw_desk import SYMBOL, RawDesk

suite = Suite()


def _one(rows: object) -> dict[str, str]:
    """Return the row of a list of one, or the row itself: clients differ in what they make of a single symbol."""
    row = rows[0] if isinstance(rows, list) else rows
    assert isinstance(row, dict)
    assert row["symbol"] == SYMBOL
    return row


@suite.operation("exchange information")
def exchange_information(desk: RawDesk) -> None:
    information = desk.ask("GET exchangeInfo")
    (row,) = [row for row in information["symbols"] if row["symbol"] == SYMBOL]
    assert (row["status"], row["contractType"], row["quoteAsset"]) == ("TRADING", "PERPETUAL", "USDT")
    assert {"PRICE_FILTER", "LOT_SIZE", "MIN_NOTIONAL"} <= {rule["filterType"] for rule in row["filters"]}
    assert {"GTC", "IOC", "FOK", "GTX", "GTD"} <= set(row["timeInForce"])
    assert {limit["rateLimitType"] for limit in information["rateLimits"]} == {"REQUEST_WEIGHT", "ORDERS"}


@suite.operation("time")
def time(desk: RawDesk) -> None:
    assert desk.ask("GET time")["serverTime"] > 1_600_000_000_000


@suite.operation("klines")
def klines(desk: RawDesk) -> None:
    rows = desk.ask("GET klines", symbol=SYMBOL, interval="1m", limit=60)
    assert len(rows) == 60
    assert all(later[0] - earlier[0] == 60_000 for earlier, later in pairwise(rows))
    assert all(len(row) == 12 and row[6] == row[0] + 59_999 for row in rows)
    assert desk.ask("GET klines", symbol=SYMBOL, interval="1m", startTime=rows[3][0], limit=5) == rows[3:8]


@suite.operation("order book")
def order_book(desk: RawDesk) -> None:
    book = desk.ask("GET depth", symbol=SYMBOL, limit=20)
    bids, asks = ([Decimal(price) for price, _ in book[side]] for side in ("bids", "asks"))
    assert len(bids) == len(asks) == 20
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]


@suite.operation("24h ticker")
def ticker(desk: RawDesk) -> None:
    row = _one(desk.ask("GET ticker/24hr", symbol=SYMBOL))
    assert Decimal(row["lowPrice"]) <= Decimal(row["lastPrice"]) <= Decimal(row["highPrice"])
    assert isinstance(desk.ask("GET ticker/24hr"), list)


@suite.operation("price ticker")
def price_ticker(desk: RawDesk) -> None:
    assert Decimal(_one(desk.ask("GET ticker/price", symbol=SYMBOL))["price"]) > 0


@suite.operation("book ticker")
def book_ticker(desk: RawDesk) -> None:
    row = _one(desk.ask("GET ticker/bookTicker", symbol=SYMBOL))
    assert Decimal(row["bidPrice"]) < Decimal(row["askPrice"])


@suite.operation("recent trades")
def recent_trades(desk: RawDesk) -> None:
    rows = desk.ask("GET trades", symbol=SYMBOL, limit=20)
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert all(Decimal(row["price"]) > 0 for row in rows)


@suite.operation("aggregate trades")
def aggregate_trades(desk: RawDesk) -> None:
    rows = desk.ask("GET aggTrades", symbol=SYMBOL, limit=20)
    assert [row["a"] for row in rows] == sorted(row["a"] for row in rows)
    assert all(row["f"] <= row["l"] for row in rows)


@suite.operation("mark price")
def mark_price(desk: RawDesk) -> None:
    row = _one(desk.ask("GET premiumIndex", symbol=SYMBOL))
    assert Decimal(row["markPrice"]) > 0
    assert int(row["nextFundingTime"]) > int(row["time"])


@suite.operation("funding rates")
def funding_rates(desk: RawDesk) -> None:
    rows = desk.ask("GET fundingRate", symbol=SYMBOL)
    assert [row["fundingTime"] for row in rows] == sorted(row["fundingTime"] for row in rows)

"""Messages with keys dropped, added or of another type: an event, a counted unknown or a typed error, nothing else."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.exchange.protocol.test_messages import ETHER, TIME, order_event
from trio_grid.errors import ListenKeyGone, MalformedAnswer, RequestRefused, StartRefused, UnknownSymbol
from trio_grid.exchange.protocol import wire
from trio_grid.exchange.protocol.market_messages import parse_depth_snapshot, parse_market_data
from trio_grid.exchange.protocol.messages import Ignored, decode, parse_book_ticker, parse_kline, parse_user_event
from trio_grid.exchange.protocol.rate_limits import RateLimit
from trio_grid.exchange.protocol.records import (
    parse_account,
    parse_batch,
    parse_funding,
    parse_instrument,
    parse_klines,
    parse_order,
    parse_orders,
    parse_position,
    parse_trades,
)

TYPED = (MalformedAnswer, ListenKeyGone, RequestRefused, StartRefused, UnknownSymbol)
SYMBOL = ETHER.symbol

QUOTE = {"e": "bookTicker", "u": 9, "s": SYMBOL, "b": "1.50", "B": "2.5", "a": "1.60", "A": "3", "T": TIME, "E": TIME}
DEPTH = {
    "e": "depthUpdate", "E": TIME, "T": TIME, "s": SYMBOL, "U": 5, "u": 9, "pu": 4,
    "b": [["1.50", "2"], ["1.49", "0"]], "a": [["1.60", "0.5"]],
}  # fmt: skip
SNAPSHOT = {"lastUpdateId": 8, "E": TIME, "T": TIME, "bids": [["1.50", "2"]], "asks": [["1.60", "1"]]}
TRADE = {"e": "trade", "E": TIME, "s": SYMBOL, "t": 7, "p": "1.50", "q": "2", "T": TIME, "X": "MARKET", "m": True}
AGG_TRADE = {
    "e": "aggTrade",
    "E": TIME,
    "s": SYMBOL,
    "a": 3,
    "p": "1.5",
    "q": "2",
    "f": 6,
    "l": 7,
    "T": TIME,
    "m": True,
}
KLINE = {
    "e": "kline", "E": TIME, "s": SYMBOL,
    "k": {
        "t": TIME, "T": TIME + 59_999, "s": SYMBOL, "i": "1m", "o": "1.5", "c": "1.6", "h": "1.7", "l": "1.4",
        "v": "12.5", "x": True, "n": 9, "q": "19", "V": "4", "Q": "6", "B": "0", "f": 1, "L": 9,
    },
}  # fmt: skip
ACCOUNT = {
    "e": "ACCOUNT_UPDATE", "T": TIME, "E": TIME,
    "a": {
        "m": "ORDER",
        "B": [{"a": "USDC", "wb": "10", "cw": "10", "bc": "0"}],
        "P": [{"s": SYMBOL, "pa": "0.5", "ep": "1.5", "up": "0", "mt": "cross", "ps": "BOTH"}],
    },
}  # fmt: skip
ORDER = {
    "orderId": 5, "symbol": SYMBOL, "status": "NEW", "clientOrderId": "grid-1", "price": "1.5", "origQty": "2",
    "executedQty": "0", "side": "BUY", "type": "LIMIT", "reduceOnly": False, "updateTime": TIME, "timeInForce": "GTX",
}  # fmt: skip
USER_TRADE = {
    "symbol": SYMBOL, "id": 8, "orderId": 5, "side": "SELL", "price": "1.5", "qty": "2", "realizedPnl": "0.1",
    "commission": "0.01", "commissionAsset": "USDC", "time": TIME, "maker": True, "buyer": False,
}  # fmt: skip
POSITION = {"symbol": SYMBOL, "positionAmt": "0.5", "liquidationPrice": "0.9", "updateTime": TIME, "leverage": "20"}
INCOME = {"symbol": SYMBOL, "incomeType": "FUNDING_FEE", "income": "-0.1", "asset": "USDC", "time": TIME, "tranId": 4}
ASSETS = {
    "assets": [{"asset": "USDC", "walletBalance": "10", "unrealizedProfit": "0", "availableBalance": "9"}],
    "positions": [],
}
CONFIG = [{"symbol": SYMBOL, "marginType": "CROSSED", "leverage": 20}]
INFO = {
    "rateLimits": [{"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200}],
    "symbols": [
        {
            "symbol": SYMBOL, "status": "TRADING", "baseAsset": "ETH", "quoteAsset": "USDC", "marginAsset": "USDC",
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
                {"filterType": "MIN_NOTIONAL", "notional": "5"},
                {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.95"},
            ],
        }
    ],
}  # fmt: skip
ANSWER = {"id": "1", "status": 200, "result": ORDER, "rateLimits": []}

Reader = Callable[[str, Ignored], object]


def read_account(text: str, _: Ignored) -> object:
    empty_position = json.dumps([])
    return parse_account(text, json.dumps(CONFIG), '{"dualSidePosition":false}', empty_position, ETHER, TIME)


def read_info(text: str, _: Ignored) -> object:
    return parse_instrument(decode(text, wire.WireExchangeInfo, what="exchangeInfo"), SYMBOL, None)


def read_answer(text: str, _: Ignored) -> object:
    answer = decode(text, wire.Answer, what="answer")
    return answer, decode(answer.rate_limits, tuple[RateLimit, ...], what="rateLimits")


MARKET: Reader = lambda text, ignored: parse_market_data(text, ETHER, ignored)  # noqa: E731
USER: Reader = lambda text, ignored: parse_user_event(text, ETHER, ignored)  # noqa: E731
CASES: dict[str, tuple[Any, Reader]] = {
    "quote": (QUOTE, MARKET),
    "quote for the bot": (QUOTE, lambda text, ignored: parse_book_ticker(text, ETHER, ignored)),
    "spot quote": ({name: QUOTE[name] for name in "usbBaA"}, MARKET),
    "depth": (DEPTH, MARKET),
    "combined depth": ({"stream": "ethusdc@depth5@100ms", "data": DEPTH}, MARKET),
    "snapshot frame": (SNAPSHOT, MARKET),
    "snapshot": (SNAPSHOT, lambda text, _: parse_depth_snapshot(text, ETHER)),
    "trade": (TRADE, MARKET),
    "aggTrade": (AGG_TRADE, MARKET),
    "kline": (KLINE, lambda text, ignored: parse_kline(text, ETHER, ignored)),
    "order event": (order_event(), USER),
    "combined order event": ({"stream": "KEY", "data": order_event(x="NEW", X="NEW", l="0", z="0", t=0)}, USER),
    "account event": (ACCOUNT, USER),
    "listenKeyExpired": ({"e": "listenKeyExpired", "E": str(TIME), "listenKey": "K"}, USER),
    "order": (ORDER, lambda text, ignored: parse_order(text, ETHER, ignored)),
    "orders": ([ORDER, ORDER], lambda text, ignored: parse_orders(text, ETHER, ignored)),
    "batch": ([ORDER, {"code": -2022, "msg": "x"}], lambda text, ignored: parse_batch(text, ETHER, ignored)),
    "trades": ([USER_TRADE], lambda text, _: parse_trades(text, ETHER)),
    "klines": ([[TIME, "1.5", "1.7", "1.4", "1.6", "2", TIME + 1]], lambda text, _: parse_klines(text, ETHER, TIME)),
    "position": ([POSITION], lambda text, _: parse_position(text, ETHER, TIME)),
    "income": ([INCOME], lambda text, _: parse_funding(text, ETHER)),
    "account": (ASSETS, read_account),
    "exchangeInfo": (INFO, read_info),
    "answer": (ANSWER, read_answer),
}

ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 7, 2**70, -(2**70), 1.5, 1e300, "", " ", "abc", "0", "-1", "1.5", "0.0000000001", "NaN",
    "Infinity", "-0", "1e30", "1E+999999", "1e-999", "9" * 200, "TRADE", "NEW_ADL", "bookTicker", [], [[]], [None],
    [["1"]], [["x", "y"]], {}, {"e": 1}, "\u0000", "ü",
]  # fmt: skip


def places(message: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside a message."""
    inner = message.items() if isinstance(message, dict) else enumerate(message) if isinstance(message, list) else ()
    return [place for key, value in inner for place in [(*path, key), *places(value, (*path, key))]]


def mutate(message: Any, data: st.DataObject) -> Any:
    """Return a copy with one value dropped, replaced or added."""
    changed = copy.deepcopy(message)
    found = places(changed)
    if not found:
        return changed
    path = data.draw(st.sampled_from(found), label="place")
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    how = data.draw(st.sampled_from(["drop", "replace", "add"]), label="how")
    value = data.draw(st.sampled_from(ODD_VALUES), label="value")
    if how == "replace":
        parent[path[-1]] = value
    elif how == "drop":
        del parent[path[-1]]
    elif isinstance(parent, dict):
        parent[data.draw(st.sampled_from(["st", "new", "E", "code", "id"]), label="key")] = value
    else:
        parent.append(value)
    return changed


@pytest.mark.parametrize("name", CASES)
def test_the_message_itself_is_read(name: str) -> None:
    message, reader = CASES[name]
    ignored: Ignored = Counter()
    if name == "listenKeyExpired":
        with pytest.raises(ListenKeyGone):
            reader(json.dumps(message), ignored)
    else:
        assert reader(json.dumps(message), ignored) is not None
    assert not ignored


@pytest.mark.parametrize("name", CASES)
@given(data=st.data(), times=st.integers(1, 3))
@settings(max_examples=40)
def test_a_mutated_message_is_an_event_a_counted_unknown_or_the_typed_error(
    name: str, data: st.DataObject, times: int
) -> None:
    message, reader = CASES[name]
    for _ in range(times):
        message = mutate(message, data)
    ignored: Ignored = Counter()
    try:
        result = reader(json.dumps(message), ignored)
    except TYPED:
        return
    assert result is not None or sum(ignored.values()) == 1


@pytest.mark.parametrize("reader", [MARKET, USER], ids=["market", "user"])
@given(text=st.text(max_size=40) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
@settings(max_examples=60)
def test_any_text_is_a_counted_unknown_or_the_typed_error(reader: Reader, text: str) -> None:
    ignored: Ignored = Counter()
    try:
        result = reader(text, ignored)
    except TYPED:
        return
    assert result is None
    assert sum(ignored.values()) == 1


@pytest.mark.parametrize("name", ["depth", "trade", "quote", "snapshot"])
@pytest.mark.parametrize("value", ["-1", "NaN", "1.505", None, "1E+999999"])
def test_a_price_that_is_none_is_never_shown(name: str, value: Any) -> None:
    message, reader = CASES[name]
    changed = copy.deepcopy(message)
    if name in ("depth", "snapshot"):
        changed["b" if name == "depth" else "bids"][0][0] = value
    else:
        changed["p" if name == "trade" else "b"] = value
    with pytest.raises(MalformedAnswer):
        assert reader(json.dumps(changed), Counter()) == "an error"

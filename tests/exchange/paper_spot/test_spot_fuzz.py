"""Spot under any parameters: an answer or a refusal, never a fault; and time that may come in any pieces."""

from __future__ import annotations

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.exchange.paper.scripted_market import quote
from tests.exchange.paper_spot.spot_trader import SYMBOL, spot_market
from tests.exchange.paper_spot.test_spot_wallets import check_books
from trio_grid.exchange.paper.engine.exchange import AccountSpec, PaperExchange
from trio_grid.exchange.paper.engine.persistence import exchange_document
from trio_grid.exchange.paper.engine.refusals import PaperRefusal
from trio_grid.exchange.paper.server.listen_keys import ListenKeys
from trio_grid.exchange.paper.server.operations import Call, Operation
from trio_grid.exchange.paper.server.request_limits import SPOT_SETTINGS, RequestLimits
from trio_grid.exchange.paper.server.spot_tables import SPOT_METHODS, SPOT_ROUTES
from trio_grid.testing.paper import START_MS, default_exchange

OPERATIONS: list[Operation] = [operation for methods in SPOT_ROUTES.values() for operation in methods.values()] + list(
    SPOT_METHODS.values()
)
NAMES = (
    "symbol", "symbols", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price", "stopPrice", "newQty",
    "newClientOrderId", "newOrderRespType", "selfTradePreventionMode", "icebergQty", "trailingDelta", "strategyId",
    "strategyType", "orderId", "origClientOrderId", "cancelOrderId", "cancelOrigClientOrderId", "cancelReplaceMode",
    "cancelRestrictions", "limit", "fromId", "startTime", "endTime", "interval", "windowSize", "timeZone",
    "omitZeroBalances", "computeCommissionRates", "preventedMatchId", "permissions", "symbolStatus",
)  # fmt: skip
VALUES = (
    SYMBOL, f'["{SYMBOL}"]', "[]", "BUY", "SELL", "LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS",
    "TAKE_PROFIT_LIMIT", "GTC", "IOC", "FOK", "0.06", "0.1", "10", "100", "99.9", "100.1", "1", "0", "-1", "1e5",
    "99999999999999999999", "0.000000001", "", "\x20", "NaN", "true", "false", "FULL", "ACK", "EXPIRE_TAKER",
    "DECREMENT", "1000001", "1m", "1s", "1M", "7d", "60m", "+14:00", "-12:01", "STOP_ON_FAILURE", "ALLOW_FAILURE",
    "ONLY_NEW", "ünïcode", "[1]", "{", "a" * 37, "null", "1790000000000", "1790000000001", "253402300800000",
)  # fmt: skip
USUAL = {
    "symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1", "price": "100",
    "interval": "1m", "orderId": "1000001", "cancelOrderId": "1000001", "cancelReplaceMode": "ALLOW_FAILURE",
    "newQty": "0.07",
}  # fmt: skip
CHANGES = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES), max_size=5)
REQUEST = st.tuples(st.sampled_from(OPERATIONS), st.sets(st.sampled_from(sorted(USUAL))), CHANGES)
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


@settings(max_examples=150, deadline=None, phases=PHASES, derandomize=True)
@given(st.lists(REQUEST, min_size=5, max_size=25))
def test_any_parameters_get_an_answer_or_a_refusal(requests: list[tuple[Operation, set[str], dict[str, str]]]) -> None:
    exchange, _, ann, _ = spot_market(quote(0, 1000, 1001, (1000, 9, True)), balance=100)
    ann.limit("BUY", 900, 60)
    limits, keys, codes = RequestLimits(SPOT_SETTINGS), ListenKeys(1), list[int]()
    for operation, left_out, changes in requests:
        parameters = {name: text for name, text in USUAL.items() if name not in left_out} | changes
        try:
            assert operation.weight(parameters) >= 1
            operation.run(
                Call(
                    exchange=exchange, limits=limits, listen_keys=keys, account="ann", parameters=parameters,
                    now_ms=exchange.now_ms, uptime_ms=0,
                )
            )  # fmt: skip
        except PaperRefusal as refusal:
            codes.append(refusal.code)
        check_books(exchange)
    assert all(code < 0 for code in codes)


def awake() -> PaperExchange:
    exchange = default_exchange(history_minutes=3)
    exchange.open_account(AccountSpec(name="ann"))
    exchange.advance(START_MS)
    symbol = {"symbol": "BTCUSDT", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    price = float(exchange.spot.average_price({"symbol": "BTCUSDT"}, START_MS)["price"])
    for side, sign in (("BUY", -1), ("SELL", 1)):
        for step in (1, 3, 6):
            text = f"{price * (1 + sign * step / 10_000):.2f}"
            exchange.spot.place_order("ann", symbol | {"side": side, "price": text}, START_MS)
    return exchange


def test_time_may_come_in_one_piece_or_in_many() -> None:
    whole, pieces, bits = awake(), awake(), awake()
    end_ms = START_MS + 90_000
    whole.advance(end_ms)
    for time_ms in range(START_MS, end_ms + 1, 777):
        pieces.advance(time_ms)
    pieces.advance(end_ms)
    while not bits.advance(end_ms, 1):
        pass
    documents = {exchange_document(exchange) for exchange in (whole, pieces, bits)}
    assert len(documents) == 1
    statuses = {order.status.value for order in whole.spot.account_of("ann").orders["BTCUSDT"].values()}
    assert "FILLED" in statuses

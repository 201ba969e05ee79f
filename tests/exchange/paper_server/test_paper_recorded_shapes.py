"""What the server makes by itself, streams and answers, against the exchange's own examples (names and types)."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.exchange.paper_server.raw_client import KEY, SYMBOL, raw_rest, raw_socket
from tests.exchange.paper_server.test_paper_ws_api import with_hmac
from trio_grid.testing.paper import PaperHandle

EXAMPLES = Path(__file__).parents[4] / "shared/payloads/official_examples/derivatives_trading_usds_futures"

pytestmark = [
    pytest.mark.recorded,
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the recorded examples are not part of the repository"),
]

STREAMS = {
    "aggregate_trade_streams": "btcusdt@aggTrade",
    "all_market_mini_tickers_stream": "!miniTicker@arr",
    "all_market_tickers_streams": "!ticker@arr",
    "continuous_contract_kline_candlestick_streams": "btcusdt_perpetual@continuousKline_1m",
    "diff_book_depth_streams": "btcusdt@depth@500ms",
    "individual_symbol_book_ticker_streams": "btcusdt@bookTicker",
    "individual_symbol_mini_ticker_stream": "btcusdt@miniTicker",
    "individual_symbol_ticker_streams": "btcusdt@ticker",
    "kline_candlestick_streams": "btcusdt@kline_1m",
    "mark_price_stream": "btcusdt@markPrice@1s",
    "mark_price_stream_for_all_market": "!markPrice@arr@1s",
    "partial_book_depth_streams": "btcusdt@depth10@500ms",
}
# `st` (which of the two futures markets) and, on some streams, `ps` came in 2026-06; clients must do without them.
OPTIONAL = {"st", "ps"}


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}_success.json").read_text())["response"]


def shape(value: Any) -> Any:
    """Names and types of a value; a list by its first element, a row of texts by its type alone."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items() if name not in OPTIONAL}
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict) else []
    return type(value).__name__


@pytest.mark.parametrize("name", STREAMS)
async def test_stream_payloads_have_the_exchanges_names_and_types(
    autojump_clock: object, paper_exchange: PaperHandle, name: str
) -> None:
    async with raw_socket(paper_exchange, f"/ws/{STREAMS[name]}") as socket:
        with trio.fail_after(60):
            payload = await socket.receive()
    assert shape(payload) == shape(example(f"websocket_streams__{name}"))


METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "account_information": ("account.status", {}),
    "account_information_v2": ("v2/account.status", {}),
    "futures_account_balance": ("account.balance", {}),
    "futures_account_balance_v2": ("v2/account.balance", {}),
    "position_information_v2": ("v2/account.position", {}),
    "symbol_order_book_ticker": ("ticker.book", {"symbol": SYMBOL}),
    "symbol_price_ticker": ("ticker.price", {"symbol": SYMBOL}),
    "start_user_data_stream": ("userDataStream.start", {}),
    "keepalive_user_data_stream": ("userDataStream.ping", {}),
    "close_user_data_stream": ("userDataStream.stop", {}),
}


@pytest.mark.parametrize("name", METHODS)
async def test_websocket_api_answers_have_the_exchanges_names_and_types(
    autojump_clock: object, paper_exchange: PaperHandle, name: str
) -> None:
    method, params = METHODS[name]
    async with raw_rest(paper_exchange) as rest, raw_socket(paper_exchange, "/ws-fapi/v1") as socket:
        await rest.listen_key()
        await rest.buy_at_market()
        if not method.startswith("ticker"):
            params = with_hmac({**params, "timestamp": paper_exchange.now_ms()})
        assert params.get("apiKey", KEY) == KEY
        answer = await socket.request({"id": "x", "method": method, "params": params})
    wanted = example(f"websocket_api__{name}")
    assert missing_or_other(shape(wanted["result"]), shape(answer["result"])) == []
    assert shape(answer["rateLimits"]) == shape(wanted["rateLimits"])


def missing_or_other(wanted: Any, got: Any, path: str = "$") -> list[str]:
    """List what the example has and we have not, or of another type; more than the example is fine."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        return [
            fault
            for name, inner in wanted.items()
            for fault in (
                missing_or_other(inner, got[name], f"{path}.{name}") if name in got else [f"{path}.{name} is missing"]
            )
        ]
    if isinstance(wanted, list) and isinstance(got, list):
        return missing_or_other(wanted[0], got[0], f"{path}[]") if wanted and got else []
    return [] if wanted == got else [f"{path} is {got}, not {wanted}"]

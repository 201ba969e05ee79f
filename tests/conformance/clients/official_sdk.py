"""The official modular SDK of USD-M futures: REST, streams and WebSocket API, every body checked against its models.

The SDK logs a warning and goes on when a body does not fit its model. Here a warning is a failure of the operation.
"""

import asyncio
import json
import logging
from typing import Any

import raw_account
import raw_conditional
import raw_market
import raw_orders
import sdk_streams
from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError, TooManyRequestsError, UnauthorizedError
from binance_sdk_derivatives_trading_usds_futures import DerivativesTradingUsdsFutures
from binance_sdk_derivatives_trading_usds_futures.rest_api.models import (
    ModifyMultipleOrdersBatchOrdersParameterInner,
    PlaceMultipleOrdersBatchOrdersParameterInner,
)
from harness import NotOffered, Suite, Target, snake
from raw_desk import RawDesk

suite = Suite()

METHODS = {
    "GET exchangeInfo": "exchange_information",
    "GET time": "check_server_time",
    "GET klines": "kline_candlestick_data",
    "GET depth": "order_book",
    "GET ticker/24hr": "ticker24hr_price_change_statistics",
    "GET ticker/price": "symbol_price_ticker_v2",
    "GET ticker/bookTicker": "symbol_order_book_ticker",
    "GET trades": "recent_trades_list",
    "GET aggTrades": "compressed_aggregate_trades_list",
    "GET premiumIndex": "mark_price",
    "GET fundingRate": "get_funding_rate_history",
    "POST order": "new_order",
    "POST order/test": "test_order",
    "PUT order": "modify_order",
    "GET order": "query_order",
    "DELETE order": "cancel_order",
    "GET openOrder": "query_current_open_order",
    "GET openOrders": "current_all_open_orders",
    "GET allOrders": "all_orders",
    "DELETE allOpenOrders": "cancel_all_open_orders",
    "POST batchOrders": "place_multiple_orders",
    "PUT batchOrders": "modify_multiple_orders",
    "DELETE batchOrders": "cancel_multiple_orders",
    "POST countdownCancelAll": "auto_cancel_all_open_orders",
    "GET balance": "futures_account_balance_v3",
    "GET account": "account_information_v3",
    "GET positionRisk": "position_information_v3",
    "GET userTrades": "account_trade_list",
    "GET income": "get_income_history",
    "GET commissionRate": "user_commission_rate",
    "GET leverageBracket": "notional_and_leverage_brackets",
    "POST leverage": "change_initial_leverage",
    "POST marginType": "change_margin_type",
    "GET symbolConfig": "symbol_configuration",
    "GET positionSide/dual": "get_current_position_mode",
    "POST positionSide/dual": "change_position_mode",
    "GET multiAssetsMargin": "get_current_multi_assets_mode",
    "GET rateLimit/order": "query_user_rate_limit",
    "POST algoOrder": "new_algo_order",
    "GET algoOrder": "query_algo_order",
    "DELETE algoOrder": "cancel_algo_order",
    "GET openAlgoOrders": "current_all_algo_open_orders",
    "GET allAlgoOrders": "query_all_algo_orders",
    "DELETE algoOpenOrders": "cancel_all_algo_open_orders",
    "GET orderAmendment": "get_order_modify_history",
    "POST positionMargin": "modify_isolated_position_margin",
    "GET positionMargin/history": "get_position_margin_change_history",
    "POST multiAssetsMargin": "change_multi_assets_mode",
    "GET feeBurn": "get_bnb_burn_status",
    "GET forceOrders": "users_force_orders",
    "GET adlQuantile": "position_adl_quantile_estimation",
    "GET markPriceKlines": "mark_price_kline_candlestick_data",
    "GET indexPriceKlines": "index_price_kline_candlestick_data",
    "GET openInterest": "open_interest",
    "GET historicalTrades": "old_trades_lookup",
}
INNER = {
    "POST batchOrders": PlaceMultipleOrdersBatchOrdersParameterInner,
    "PUT batchOrders": ModifyMultipleOrdersBatchOrdersParameterInner,
}
NUMBERS = ("price", "quantity")


class Warnings(logging.Handler):
    """Keeps what the SDK complains about."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one complaint."""
        self.texts.append(record.getMessage())

    def check(self) -> None:
        """Raise AssertionError if there was any since the last time."""
        texts, self.texts = self.texts, []
        assert texts == [], "\n".join(texts)


WARNINGS = Warnings()


def plain(value: Any) -> Any:
    """Return a model, or a list of models, as Python's own types."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if getattr(value, "actual_instance", None) is not None:
        return plain(value.actual_instance)
    return json.loads(value.to_json()) if hasattr(value, "to_json") else value


class Desk(RawDesk):
    """The SDK's three parts with one key, HMAC by default."""

    def __init__(self, target: Target, **keys: str) -> None:
        self.target = target
        pair: dict[str, Any] = {"api_key": keys.get("key", target.key), "api_secret": keys.get("secret", target.secret)}
        if keys.get("key") == target.ed25519_key:
            pair = {"api_key": target.ed25519_key, "private_key": target.ed25519_private_pem}
        # Its own time-out is one second: too short for a machine that does other things as well.
        rest = ConfigurationRestAPI(base_path=target.rest_url, timeout=20_000, retries=0, **pair)
        self.sdk = DerivativesTradingUsdsFutures(
            config_rest_api=rest,
            config_ws_api=ConfigurationWebSocketAPI(stream_url=target.ws_api_url, **pair),
            config_ws_streams=ConfigurationWebSocketStreams(stream_url=target.ws_url),
        )

    def stranger(self, **keys: str) -> "Desk":
        """Return a desk with another key or secret."""
        return Desk(self.target, **keys)

    def ask(self, route: str, **parameters: Any) -> Any:
        """Call the method of a route."""
        self.needs(route)
        if route in INNER:
            orders = [
                {name: float(value) if name in NUMBERS else value for name, value in order.items()}
                for order in parameters["batchOrders"]
            ]
            parameters["batchOrders"] = [INNER[route](**order) for order in orders]
        answer = getattr(self.sdk.rest_api, METHODS[route])(
            **{snake(name): value for name, value in parameters.items()}
        )
        data = plain(answer.data())
        WARNINGS.check()
        return data

    def expect_warnings(self) -> list[str]:
        """Return what the SDK has complained about, and forget it."""
        texts, WARNINGS.texts = WARNINGS.texts, []
        return texts

    def needs(self, route: str) -> None:
        """Raise NotOffered when the client has no method for a route."""
        if route not in METHODS:
            raise NotOffered(f"no method for {route}")

    def code_of(self, error: Any) -> int:
        """Return the code of one of the SDK's errors, whose class must go with it."""
        kinds: dict[int, type] = {-1003: TooManyRequestsError, -1015: TooManyRequestsError, -2015: UnauthorizedError}
        assert isinstance(error, BadRequestError | TooManyRequestsError | UnauthorizedError), repr(error)
        code = int(error.status_code)
        assert type(error) is kinds.get(code, BadRequestError), repr(error)
        if isinstance(error, TooManyRequestsError):
            assert error.retry_after >= 1
        return code


async def make(target: Target) -> Desk:
    """Return the desk; from now on the SDK's warnings are kept."""
    logging.getLogger().addHandler(WARNINGS)
    return await asyncio.to_thread(Desk, target)


@suite.operation("Ed25519: signed one by one")
def ed25519(desk: Desk) -> None:
    other = desk.stranger(key=desk.target.ed25519_key)
    assert other.ask("GET balance")
    other.cancel(other.limit())


suite.include(raw_market.suite, raw_orders.suite, raw_conditional.suite, sdk_streams.suite, raw_account.suite)
suite.not_offered(
    "the SDK has no call for this stream",
    "stream: trades",
)

if __name__ == "__main__":
    suite.run(make)

"""The served surface: which REST route and which WebSocket API method leads to which operation.

Owns the two tables and nothing else. A new endpoint is a new row here; a test can compare these tables with the
documentation.
"""

from __future__ import annotations

from trio_grid.exchange.paper.engine.exchange import PaperExchange
from trio_grid.exchange.paper.server import operations as op
from trio_grid.exchange.paper.server.operations import Operation, Security, fixed, per_symbol, private, public

NONE, KEY, SIGNED = Security.NONE, Security.KEY, Security.SIGNED

PING = Operation("ping", NONE, fixed(1), op.answer({}))
TIME = Operation("time", NONE, fixed(1), op.server_time)
EXCHANGE_INFO = Operation("exchangeInfo", NONE, fixed(1), op.exchange_info)
KLINES = Operation("klines", NONE, op.klines_weight, public(PaperExchange.klines))
CONTINUOUS_KLINES = Operation("continuousKlines", NONE, op.klines_weight, op.continuous_klines)
DEPTH = Operation("depth", NONE, op.depth_weight, public(PaperExchange.depth))
TRADES = Operation("trades", NONE, fixed(5), public(PaperExchange.recent_trades))
AGG_TRADES = Operation("aggTrades", NONE, fixed(20), public(PaperExchange.agg_trades))
PREMIUM_INDEX = Operation("premiumIndex", NONE, per_symbol(1, 10), public(PaperExchange.premium_index))
FUNDING_RATE = Operation("fundingRate", NONE, fixed(1), op.funding_rate)
FUNDING_INFO = Operation("fundingInfo", NONE, fixed(0), op.answer([]))
HISTORICAL_TRADES = Operation("historicalTrades", KEY, fixed(200), public(PaperExchange.historical_trades))
MARK_KLINES = Operation("markPriceKlines", NONE, op.klines_weight, public(PaperExchange.mark_price_klines))
INDEX_KLINES = Operation("indexPriceKlines", NONE, op.klines_weight, public(PaperExchange.index_price_klines))
PREMIUM_KLINES = Operation("premiumIndexKlines", NONE, op.klines_weight, public(PaperExchange.premium_index_klines))
OPEN_INTEREST = Operation("openInterest", NONE, fixed(1), public(PaperExchange.open_interest))
ADL_RISK = Operation("symbolAdlRisk", NONE, fixed(1), public(PaperExchange.adl_risk))
TICKER_24H = Operation("ticker/24hr", NONE, per_symbol(1, 40), public(PaperExchange.ticker_24h))
TICKER_PRICE = Operation("ticker/price", NONE, per_symbol(1, 2), public(PaperExchange.ticker_price))
BOOK_TICKER = Operation("ticker/bookTicker", NONE, per_symbol(2, 5), public(PaperExchange.book_ticker))

PLACE = Operation(
    "place order", SIGNED, fixed(0), private(PaperExchange.place_order), orders=op.one_order, counts_orders_only=True
)
MODIFY = Operation(
    "modify order", SIGNED, fixed(0), private(PaperExchange.modify_order), orders=op.one_order, counts_orders_only=True
)
TEST_ORDER = Operation("test order", SIGNED, fixed(0), private(PaperExchange.test_order))
CANCEL = Operation("cancel order", SIGNED, fixed(1), private(PaperExchange.cancel_order))
QUERY_ORDER = Operation("query order", SIGNED, fixed(1), private(PaperExchange.query_order))
OPEN_ORDER = Operation("open order", SIGNED, fixed(1), private(PaperExchange.open_order))
OPEN_ORDERS = Operation("open orders", SIGNED, per_symbol(1, 40), private(PaperExchange.open_orders))
ALL_ORDERS = Operation("all orders", SIGNED, fixed(5), private(PaperExchange.all_orders))
CANCEL_ALL = Operation("cancel all orders", SIGNED, fixed(1), private(PaperExchange.cancel_all_orders))
COUNTDOWN = Operation("countdown cancel all", SIGNED, fixed(10), private(PaperExchange.countdown_cancel_all))
PLACE_BATCH = Operation("place batch", SIGNED, fixed(5), op.place_batch, orders=op.batch_orders)
MODIFY_BATCH = Operation("modify batch", SIGNED, fixed(5), op.modify_batch, orders=op.batch_orders)
AMENDMENTS = Operation("order amendments", SIGNED, fixed(1), private(PaperExchange.order_amendments))
CANCEL_BATCH = Operation("cancel batch", SIGNED, fixed(1), op.cancel_batch)
FORCE_ORDERS = Operation("force orders", SIGNED, per_symbol(20, 50), private(PaperExchange.force_orders))
ADL_QUANTILE = Operation("ADL quantile", SIGNED, fixed(5), private(PaperExchange.adl_quantiles))
USER_TRADES = Operation("user trades", SIGNED, fixed(5), private(PaperExchange.user_trades))

ACCOUNT_V2 = Operation("account v2", SIGNED, fixed(5), private(PaperExchange.account_information, version=2))
ACCOUNT_V3 = Operation("account v3", SIGNED, fixed(5), private(PaperExchange.account_information, version=3))
BALANCE_V2 = Operation("balance v2", SIGNED, fixed(5), private(PaperExchange.balances, version=2))
BALANCE_V3 = Operation("balance v3", SIGNED, fixed(5), private(PaperExchange.balances, version=3))
POSITION_V2 = Operation("position risk v2", SIGNED, fixed(5), private(PaperExchange.position_risk, version=2))
POSITION_V3 = Operation("position risk v3", SIGNED, fixed(5), private(PaperExchange.position_risk, version=3))
SYMBOL_CONFIG = Operation("symbol configuration", SIGNED, fixed(5), private(PaperExchange.symbol_config))
ACCOUNT_CONFIG = Operation("account configuration", SIGNED, fixed(5), private(PaperExchange.account_config))
LEVERAGE_BRACKET = Operation("leverage brackets", SIGNED, fixed(1), private(PaperExchange.leverage_brackets))
COMMISSION_RATE = Operation("commission rate", SIGNED, fixed(20), private(PaperExchange.commission_rate))
INCOME = Operation("income", SIGNED, fixed(30), private(PaperExchange.income))
LEVERAGE = Operation("change leverage", SIGNED, fixed(1), private(PaperExchange.change_leverage))
MARGIN_TYPE = Operation("change margin type", SIGNED, fixed(1), private(PaperExchange.change_margin_type))
POSITION_MARGIN = Operation("change position margin", SIGNED, fixed(1), private(PaperExchange.change_position_margin))
POSITION_MARGIN_HISTORY = Operation(
    "position margin history", SIGNED, fixed(1), private(PaperExchange.position_margin_history)
)
POSITION_MODE = Operation("position mode", SIGNED, fixed(30), private(PaperExchange.position_mode))
CHANGE_POSITION_MODE = Operation("change position mode", SIGNED, fixed(1), private(PaperExchange.change_position_mode))
MULTI_ASSETS = Operation("multi-assets mode", SIGNED, fixed(30), private(PaperExchange.multi_assets_mode))
CHANGE_MULTI_ASSETS = Operation(
    "change multi-assets mode", SIGNED, fixed(1), private(PaperExchange.change_multi_assets)
)
ORDER_RATE_LIMIT = Operation("order rate limits", SIGNED, fixed(1), op.order_rate_limits)
FEE_BURN = Operation("fee burn", SIGNED, fixed(30), private(PaperExchange.fee_burn))
CHANGE_FEE_BURN = Operation("change fee burn", SIGNED, fixed(1), private(PaperExchange.change_fee_burn))
TRADING_STATUS = Operation("trading status", SIGNED, per_symbol(1, 10), private(PaperExchange.trading_status))
PLACE_ALGO = Operation(
    "place algo order",
    SIGNED,
    fixed(0),
    private(PaperExchange.place_conditional),
    orders=op.one_order,
    counts_orders_only=True,
)
CANCEL_ALGO = Operation("cancel algo order", SIGNED, fixed(1), private(PaperExchange.cancel_conditional))
QUERY_ALGO = Operation("query algo order", SIGNED, fixed(1), private(PaperExchange.query_conditional))
OPEN_ALGOS = Operation("open algo orders", SIGNED, per_symbol(1, 40), private(PaperExchange.open_conditionals))
ALL_ALGOS = Operation("all algo orders", SIGNED, fixed(5), private(PaperExchange.all_conditionals))
CANCEL_ALGOS = Operation("cancel all algo orders", SIGNED, fixed(1), private(PaperExchange.cancel_all_conditionals))

# What other parts of Binance have and this exchange has not: clients ask for it when they load the markets.
NO_COINS = Operation("coins", SIGNED, fixed(10), op.answer([]))
NO_MARGIN_PAIRS = Operation("margin pairs", KEY, fixed(1), op.answer([]))

START_LISTEN_KEY = Operation("start listen key", KEY, fixed(1), op.start_listen_key)
RENEW_LISTEN_KEY = Operation("renew listen key", KEY, fixed(1), op.renew_listen_key)
STOP_LISTEN_KEY = Operation("stop listen key", KEY, fixed(1), op.stop_listen_key)

REST_ROUTES: dict[str, dict[str, Operation]] = {
    "/sapi/v1/capital/config/getall": {"GET": NO_COINS},
    "/sapi/v1/margin/allPairs": {"GET": NO_MARGIN_PAIRS},
    "/sapi/v1/margin/isolated/allPairs": {"GET": NO_MARGIN_PAIRS},
    "/fapi/v1/ping": {"GET": PING},
    "/fapi/v1/time": {"GET": TIME},
    "/fapi/v1/exchangeInfo": {"GET": EXCHANGE_INFO},
    "/fapi/v1/klines": {"GET": KLINES},
    "/fapi/v1/continuousKlines": {"GET": CONTINUOUS_KLINES},
    "/fapi/v1/depth": {"GET": DEPTH},
    "/fapi/v1/trades": {"GET": TRADES},
    "/fapi/v1/historicalTrades": {"GET": HISTORICAL_TRADES},
    "/fapi/v1/aggTrades": {"GET": AGG_TRADES},
    "/fapi/v1/markPriceKlines": {"GET": MARK_KLINES},
    "/fapi/v1/indexPriceKlines": {"GET": INDEX_KLINES},
    "/fapi/v1/premiumIndexKlines": {"GET": PREMIUM_KLINES},
    "/fapi/v1/openInterest": {"GET": OPEN_INTEREST},
    "/fapi/v1/symbolAdlRisk": {"GET": ADL_RISK},
    "/fapi/v1/premiumIndex": {"GET": PREMIUM_INDEX},
    "/fapi/v1/fundingRate": {"GET": FUNDING_RATE},
    "/fapi/v1/fundingInfo": {"GET": FUNDING_INFO},
    "/fapi/v1/ticker/24hr": {"GET": TICKER_24H},
    "/fapi/v1/ticker/price": {"GET": TICKER_PRICE},
    "/fapi/v2/ticker/price": {"GET": TICKER_PRICE},
    "/fapi/v1/ticker/bookTicker": {"GET": BOOK_TICKER},
    "/fapi/v1/order": {"POST": PLACE, "PUT": MODIFY, "DELETE": CANCEL, "GET": QUERY_ORDER},
    "/fapi/v1/order/test": {"POST": TEST_ORDER},
    "/fapi/v1/batchOrders": {"POST": PLACE_BATCH, "PUT": MODIFY_BATCH, "DELETE": CANCEL_BATCH},
    "/fapi/v1/orderAmendment": {"GET": AMENDMENTS},
    "/fapi/v1/openOrder": {"GET": OPEN_ORDER},
    "/fapi/v1/openOrders": {"GET": OPEN_ORDERS},
    "/fapi/v1/allOrders": {"GET": ALL_ORDERS},
    "/fapi/v1/allOpenOrders": {"DELETE": CANCEL_ALL},
    "/fapi/v1/countdownCancelAll": {"POST": COUNTDOWN},
    "/fapi/v1/userTrades": {"GET": USER_TRADES},
    "/fapi/v1/forceOrders": {"GET": FORCE_ORDERS},
    "/fapi/v1/adlQuantile": {"GET": ADL_QUANTILE},
    "/fapi/v2/account": {"GET": ACCOUNT_V2},
    "/fapi/v3/account": {"GET": ACCOUNT_V3},
    "/fapi/v2/balance": {"GET": BALANCE_V2},
    "/fapi/v3/balance": {"GET": BALANCE_V3},
    "/fapi/v2/positionRisk": {"GET": POSITION_V2},
    "/fapi/v3/positionRisk": {"GET": POSITION_V3},
    "/fapi/v1/symbolConfig": {"GET": SYMBOL_CONFIG},
    "/fapi/v1/accountConfig": {"GET": ACCOUNT_CONFIG},
    "/fapi/v1/leverageBracket": {"GET": LEVERAGE_BRACKET},
    "/fapi/v1/commissionRate": {"GET": COMMISSION_RATE},
    "/fapi/v1/income": {"GET": INCOME},
    "/fapi/v1/leverage": {"POST": LEVERAGE},
    "/fapi/v1/marginType": {"POST": MARGIN_TYPE},
    "/fapi/v1/positionMargin": {"POST": POSITION_MARGIN},
    "/fapi/v1/positionMargin/history": {"GET": POSITION_MARGIN_HISTORY},
    "/fapi/v1/positionSide/dual": {"GET": POSITION_MODE, "POST": CHANGE_POSITION_MODE},
    "/fapi/v1/multiAssetsMargin": {"GET": MULTI_ASSETS, "POST": CHANGE_MULTI_ASSETS},
    "/fapi/v1/rateLimit/order": {"GET": ORDER_RATE_LIMIT},
    "/fapi/v1/feeBurn": {"GET": FEE_BURN, "POST": CHANGE_FEE_BURN},
    "/fapi/v1/apiTradingStatus": {"GET": TRADING_STATUS},
    "/fapi/v1/algoOrder": {"POST": PLACE_ALGO, "DELETE": CANCEL_ALGO, "GET": QUERY_ALGO},
    "/fapi/v1/algoOpenOrders": {"DELETE": CANCEL_ALGOS},
    "/fapi/v1/openAlgoOrders": {"GET": OPEN_ALGOS},
    "/fapi/v1/allAlgoOrders": {"GET": ALL_ALGOS},
    "/fapi/v1/listenKey": {"POST": START_LISTEN_KEY, "PUT": RENEW_LISTEN_KEY, "DELETE": STOP_LISTEN_KEY},
}

WEBSOCKET_METHODS: dict[str, Operation] = {
    "ping": PING,
    "time": TIME,
    "exchangeInfo": EXCHANGE_INFO,
    "order.place": PLACE,
    "order.modify": MODIFY,
    "order.cancel": CANCEL,
    "algoOrder.place": PLACE_ALGO,
    "algoOrder.cancel": CANCEL_ALGO,
    "order.status": QUERY_ORDER,
    "account.status": ACCOUNT_V2,
    "v2/account.status": ACCOUNT_V3,
    "account.balance": BALANCE_V2,
    "v2/account.balance": BALANCE_V3,
    "account.position": POSITION_V2,
    "v2/account.position": POSITION_V3,
    "ticker.price": TICKER_PRICE,
    "ticker.book": BOOK_TICKER,
    "depth": DEPTH,
    "userDataStream.start": START_LISTEN_KEY,
    "userDataStream.ping": RENEW_LISTEN_KEY,
    "userDataStream.stop": STOP_LISTEN_KEY,
}
"""`session.logon`, `session.status` and `session.logout` belong to the connection: see `ws_api`."""

"""The served surface of spot: which REST route and which WebSocket API method leads to which operation.

Owns the two tables and nothing else. A new endpoint is a new row here; a test can compare these tables with the
documentation.
"""

from __future__ import annotations

from trio_grid.exchange.paper.server import spot_operations as op
from trio_grid.exchange.paper.server.operations import (
    Operation,
    Security,
    answer,
    fixed,
    one_order,
    per_symbol,
    server_time,
)
from trio_grid.exchange.paper.server.spot_operations import private, public
from trio_grid.exchange.paper.spot.exchange import SpotExchange

NONE, KEY, SIGNED = Security.NONE, Security.KEY, Security.SIGNED

PING = Operation("ping", NONE, fixed(1), answer({}))
TIME = Operation("time", NONE, fixed(1), server_time)
EXCHANGE_INFO = Operation("exchangeInfo", NONE, fixed(20), op.exchange_info)
DEPTH = Operation("depth", NONE, op.depth_weight, public(SpotExchange.depth))
TRADES = Operation("trades", NONE, fixed(25), public(SpotExchange.recent_trades))
HISTORICAL_TRADES = Operation("historicalTrades", NONE, fixed(25), public(SpotExchange.historical_trades))
AGG_TRADES = Operation("aggTrades", NONE, fixed(4), public(SpotExchange.agg_trades))
KLINES = Operation("klines", NONE, fixed(2), public(SpotExchange.klines))
AVERAGE_PRICE = Operation("avgPrice", NONE, fixed(2), public(SpotExchange.average_price))
TICKER_24H = Operation("ticker/24hr", NONE, op.day_ticker_weight, public(SpotExchange.ticker_24h))
TRADING_DAY = Operation("ticker/tradingDay", NONE, op.window_ticker_weight, public(SpotExchange.trading_day_ticker))
ROLLING = Operation("ticker", NONE, op.window_ticker_weight, public(SpotExchange.rolling_ticker))
TICKER_PRICE = Operation("ticker/price", NONE, op.several(2, 4), public(SpotExchange.ticker_price))
BOOK_TICKER = Operation("ticker/bookTicker", NONE, op.several(2, 4), public(SpotExchange.book_ticker))

PLACE = Operation("place order", SIGNED, fixed(1), private(SpotExchange.place_order), orders=one_order)
TEST_ORDER = Operation("test order", SIGNED, op.test_order_weight, private(SpotExchange.test_order))
CANCEL = Operation("cancel order", SIGNED, fixed(1), private(SpotExchange.cancel_order))
REPLACE = Operation("cancel and replace", SIGNED, fixed(1), private(SpotExchange.cancel_replace), orders=one_order)
AMEND = Operation("reduce order", SIGNED, fixed(4), private(SpotExchange.amend_order))
AMENDMENTS = Operation("order amendments", SIGNED, fixed(4), private(SpotExchange.order_amendments))
QUERY_ORDER = Operation("query order", SIGNED, fixed(4), private(SpotExchange.query_order))
OPEN_ORDERS = Operation("open orders", SIGNED, per_symbol(6, 80), private(SpotExchange.open_orders))
CANCEL_ALL = Operation("cancel all orders", SIGNED, fixed(1), private(SpotExchange.cancel_all_orders))
ALL_ORDERS = Operation("all orders", SIGNED, fixed(20), private(SpotExchange.all_orders))
MY_TRADES = Operation("my trades", SIGNED, op.trades_weight, private(SpotExchange.my_trades))
PREVENTED = Operation("prevented matches", SIGNED, op.prevented_weight, private(SpotExchange.prevented_matches))
ACCOUNT = Operation("account", SIGNED, fixed(20), private(SpotExchange.account_information))
COMMISSION = Operation("commission", SIGNED, fixed(20), private(SpotExchange.commission))
ORDER_RATE_LIMIT = Operation("order rate limits", SIGNED, fixed(40), op.order_rate_limits)
TRADE_FEE = Operation("trade fee", SIGNED, fixed(1), private(SpotExchange.trade_fees))
NO_ORDER_LISTS = Operation("order lists", SIGNED, fixed(20), answer([]))
NO_ALLOCATIONS = Operation("allocations", SIGNED, fixed(20), answer([]))
NO_OCO = Operation("one cancels the other", SIGNED, fixed(1), op.no_order_list("OCO"))
NO_OTO = Operation("one triggers the other", SIGNED, fixed(1), op.no_order_list("OTO"))
NO_OTOCO = Operation("one triggers a pair", SIGNED, fixed(1), op.no_order_list("OTOCO"))

SPOT_ROUTES: dict[str, dict[str, Operation]] = {
    "/sapi/v1/asset/tradeFee": {"GET": TRADE_FEE},
    "/api/v3/ping": {"GET": PING},
    "/api/v3/time": {"GET": TIME},
    "/api/v3/exchangeInfo": {"GET": EXCHANGE_INFO},
    "/api/v3/depth": {"GET": DEPTH},
    "/api/v3/trades": {"GET": TRADES},
    "/api/v3/historicalTrades": {"GET": HISTORICAL_TRADES},
    "/api/v3/aggTrades": {"GET": AGG_TRADES},
    "/api/v3/klines": {"GET": KLINES},
    "/api/v3/uiKlines": {"GET": KLINES},
    "/api/v3/avgPrice": {"GET": AVERAGE_PRICE},
    "/api/v3/ticker/24hr": {"GET": TICKER_24H},
    "/api/v3/ticker/tradingDay": {"GET": TRADING_DAY},
    "/api/v3/ticker/price": {"GET": TICKER_PRICE},
    "/api/v3/ticker/bookTicker": {"GET": BOOK_TICKER},
    "/api/v3/ticker": {"GET": ROLLING},
    "/api/v3/order": {"POST": PLACE, "DELETE": CANCEL, "GET": QUERY_ORDER},
    "/api/v3/order/test": {"POST": TEST_ORDER},
    "/api/v3/order/cancelReplace": {"POST": REPLACE},
    "/api/v3/order/amend/keepPriority": {"PUT": AMEND},
    "/api/v3/order/amendments": {"GET": AMENDMENTS},
    "/api/v3/openOrders": {"GET": OPEN_ORDERS, "DELETE": CANCEL_ALL},
    "/api/v3/allOrders": {"GET": ALL_ORDERS},
    "/api/v3/myTrades": {"GET": MY_TRADES},
    "/api/v3/myPreventedMatches": {"GET": PREVENTED},
    "/api/v3/account": {"GET": ACCOUNT},
    "/api/v3/account/commission": {"GET": COMMISSION},
    "/api/v3/rateLimit/order": {"GET": ORDER_RATE_LIMIT},
    "/api/v3/order/oco": {"POST": NO_OCO},
    "/api/v3/orderList/oco": {"POST": NO_OCO},
    "/api/v3/orderList/oto": {"POST": NO_OTO},
    "/api/v3/orderList/otoco": {"POST": NO_OTOCO},
    "/api/v3/myAllocations": {"GET": NO_ALLOCATIONS},
    "/api/v3/openOrderList": {"GET": NO_ORDER_LISTS},
    "/api/v3/allOrderList": {"GET": NO_ORDER_LISTS},
}

REMOVED_ROUTES: dict[str, tuple[str, ...]] = {"/api/v3/userDataStream": ("POST", "PUT", "DELETE")}
"""What the exchange once had and answers with 410 Gone: the user stream comes by the WebSocket API."""

SPOT_METHODS: dict[str, Operation] = {
    "ping": PING,
    "time": TIME,
    "exchangeInfo": EXCHANGE_INFO,
    "depth": DEPTH,
    "trades.recent": TRADES,
    "trades.historical": HISTORICAL_TRADES,
    "trades.aggregate": AGG_TRADES,
    "klines": KLINES,
    "uiKlines": KLINES,
    "avgPrice": AVERAGE_PRICE,
    "ticker": ROLLING,
    "ticker.24hr": TICKER_24H,
    "ticker.tradingDay": TRADING_DAY,
    "ticker.price": TICKER_PRICE,
    "ticker.book": BOOK_TICKER,
    "order.place": PLACE,
    "order.test": TEST_ORDER,
    "order.cancel": CANCEL,
    "order.cancelReplace": REPLACE,
    "order.amend.keepPriority": AMEND,
    "order.amendments": AMENDMENTS,
    "order.status": QUERY_ORDER,
    "openOrders.status": OPEN_ORDERS,
    "openOrders.cancelAll": CANCEL_ALL,
    "allOrders": ALL_ORDERS,
    "myTrades": MY_TRADES,
    "myPreventedMatches": PREVENTED,
    "account.status": ACCOUNT,
    "account.commission": COMMISSION,
    "account.rateLimits.orders": ORDER_RATE_LIMIT,
    "orderList.place.oco": NO_OCO,
    "orderList.place.oto": NO_OTO,
    "orderList.place.otoco": NO_OTOCO,
    "myAllocations": NO_ALLOCATIONS,
    "openOrderLists.status": NO_ORDER_LISTS,
    "allOrderLists": NO_ORDER_LISTS,
}
"""The methods of sessions and of user data streams belong to the connection: see `spot_ws_api`."""

"""From domain actions to the parameters of a request, the same for REST and the WebSocket API; and the endpoints used.

Every flag of an order reaches the wire here and nowhere else (S18): post-only is timeInForce GTX, reduce-only is sent
as the text "true". The table of endpoints carries the request weight that the client plans with.
"""

from __future__ import annotations

import enum
from decimal import Decimal

import msgspec

from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.instrument import Instrument
from trio_grid.exchange.protocol.signing import ParamValue


class Security(enum.Enum):
    """What a request must carry."""

    NONE = "nothing"
    KEY = "the key header"
    SIGNED = "the key header, a timestamp and a signature"


class EndpointRow(msgspec.Struct, frozen=True):
    """One REST endpoint: weight is what it costs of REQUEST_WEIGHT with the parameters that the bot sends."""

    method: str
    path: str
    weight: int
    security: Security


class Endpoint(enum.Enum):
    """Every REST endpoint that the bot uses."""

    PING = EndpointRow("GET", "/fapi/v1/ping", 1, Security.NONE)
    TIME = EndpointRow("GET", "/fapi/v1/time", 1, Security.NONE)
    EXCHANGE_INFO = EndpointRow("GET", "/fapi/v1/exchangeInfo", 1, Security.NONE)
    KLINES = EndpointRow("GET", "/fapi/v1/klines", 10, Security.NONE)
    COMMISSION_RATE = EndpointRow("GET", "/fapi/v1/commissionRate", 20, Security.SIGNED)
    PLACE_ORDER = EndpointRow("POST", "/fapi/v1/order", 0, Security.SIGNED)
    CANCEL_ORDER = EndpointRow("DELETE", "/fapi/v1/order", 1, Security.SIGNED)
    QUERY_ORDER = EndpointRow("GET", "/fapi/v1/order", 1, Security.SIGNED)
    OPEN_ORDERS = EndpointRow("GET", "/fapi/v1/openOrders", 1, Security.SIGNED)
    ALL_ORDERS = EndpointRow("GET", "/fapi/v1/allOrders", 5, Security.SIGNED)
    USER_TRADES = EndpointRow("GET", "/fapi/v1/userTrades", 5, Security.SIGNED)
    POSITION_RISK = EndpointRow("GET", "/fapi/v3/positionRisk", 5, Security.SIGNED)
    ACCOUNT = EndpointRow("GET", "/fapi/v3/account", 5, Security.SIGNED)
    ACCOUNT_CONFIG = EndpointRow("GET", "/fapi/v1/accountConfig", 5, Security.SIGNED)
    SYMBOL_CONFIG = EndpointRow("GET", "/fapi/v1/symbolConfig", 5, Security.SIGNED)
    INCOME = EndpointRow("GET", "/fapi/v1/income", 30, Security.SIGNED)
    SET_LEVERAGE = EndpointRow("POST", "/fapi/v1/leverage", 1, Security.SIGNED)
    SET_MARGIN_TYPE = EndpointRow("POST", "/fapi/v1/marginType", 1, Security.SIGNED)
    COUNTDOWN_CANCEL = EndpointRow("POST", "/fapi/v1/countdownCancelAll", 10, Security.SIGNED)
    LISTEN_KEY_CREATE = EndpointRow("POST", "/fapi/v1/listenKey", 1, Security.KEY)
    LISTEN_KEY_KEEP = EndpointRow("PUT", "/fapi/v1/listenKey", 1, Security.KEY)

    @property
    def method(self) -> str:
        """HTTP method."""
        return self.value.method

    @property
    def path(self) -> str:
        """Path below the base URL."""
        return self.value.path

    @property
    def weight(self) -> int:
        """Cost in request weight."""
        return self.value.weight

    @property
    def security(self) -> Security:
        """What the request must carry."""
        return self.value.security


def klines_weight(limit: int) -> int:
    """Return the request weight of GET klines for a number of rows."""
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1_000 else 10


WS_PLACE = "order.place"
WS_CANCEL = "order.cancel"
WS_LOGON = "session.logon"
WS_HANDSHAKE_WEIGHT = 5
WS_LOGON_WEIGHT = 2


def decimal_text(value: Decimal) -> str:
    """Return a decimal in plain digits without trailing zeros: more decimals than the precision are refused (-1111)."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def place_params(instrument: Instrument, order: PlaceOrder) -> dict[str, ParamValue]:
    """Return the parameters of POST order and of order.place, unsigned.

    A MARKET order asks for RESULT, the final state; a LIMIT order for ACK, the faster answer: its fills come on the
    user stream anyway.
    """
    params: dict[str, ParamValue] = {
        "symbol": instrument.symbol,
        "side": order.side.value,
        "type": "MARKET" if order.price_ticks is None else "LIMIT",
        "quantity": decimal_text(instrument.quantity(order.quantity_lots)),
        "newClientOrderId": order.client_order_id,
        "newOrderRespType": "RESULT" if order.price_ticks is None else "ACK",
        "reduceOnly": "true" if order.reduce_only else "false",
    }
    if order.price_ticks is not None:
        params["price"] = decimal_text(instrument.price(order.price_ticks))
        params["timeInForce"] = "GTX" if order.post_only else "GTC"
    return params


def cancel_params(instrument: Instrument, order: CancelOrder) -> dict[str, ParamValue]:
    """Return the parameters of DELETE order and of order.cancel, unsigned."""
    return {"symbol": instrument.symbol, "origClientOrderId": order.client_order_id}


def websocket_request(request_id: int, method: str, params: dict[str, ParamValue]) -> str:
    """Return the text frame of a WebSocket API request."""
    return msgspec.json.encode({"id": request_id, "method": method, "params": params}).decode()


def subscribe_request(request_id: int, streams: list[str]) -> str:
    """Return the text frame that subscribes to streams."""
    return msgspec.json.encode({"method": "SUBSCRIBE", "params": streams, "id": request_id}).decode()

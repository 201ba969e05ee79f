"""Binance's error codes as one table for both ends: the server answers with a row, the client raises from it.

A row says the HTTP status, the code, the text, and which exception of `trio_grid.errors` it means. Codes that are not
in the table are still refusals (RequestRefused); nothing here sends, retries or decides.
"""

from __future__ import annotations

import enum
import re
from typing import Any

import msgspec

from trio_grid import errors
from trio_grid.domain.events import RejectReason


class ErrorRow(msgspec.Struct, frozen=True):
    """One error of the exchange; `text` may hold named places in braces."""

    status: int
    code: int
    text: str
    error: type[errors.RequestRefused] | type[errors.OrderOutcomeUnknown]


_R = errors.RequestRefused
_F = errors.FilterViolated
_O = errors.OrderRejected
_M = errors.OrderRefusedByMode
_L = errors.RateLimited
_K = errors.CredentialsRefused
_B = errors.ExchangeOverloaded
_U = errors.OrderOutcomeUnknown


class WireError(enum.Enum):
    """Every error that the futures protocol of this project knows, by a name of its own."""

    # General
    UNKNOWN = ErrorRow(500, -1000, "An unknown error occurred while processing the request.", _U)
    SERVICE_UNKNOWN = ErrorRow(503, -1000, "Unknown error, please check your request or try again later.", _U)
    SERVICE_UNAVAILABLE = ErrorRow(503, -1000, "Service Unavailable.", _B)
    SERVICE_THROTTLED = ErrorRow(
        503,
        -1008,
        "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again.",
        _B,
    )
    SERVICE_INTERNAL = ErrorRow(503, -1001, "Internal error; unable to process your request. Please try again.", _B)
    UNAUTHORIZED = ErrorRow(401, -1002, "You are not authorized to execute this request.", _K)
    TOO_MANY_REQUESTS = ErrorRow(
        429,
        -1003,
        "Too many requests; current limit is {limit} requests per minute. Please use the websocket for live updates "
        "to avoid polling the API.",
        _L,
    )
    BANNED = ErrorRow(
        418,
        -1003,
        "Way too many requests; IP banned until {until}. Please use the websocket for live updates to avoid bans.",
        errors.Banned,
    )
    DUPLICATE_IP = ErrorRow(400, -1004, "This IP is already on the white list", _R)
    NO_SUCH_IP = ErrorRow(400, -1005, "No such IP has been white listed", _R)
    UNEXPECTED_RESPONSE = ErrorRow(
        503, -1006, "An unexpected response was received from the message bus. Execution status unknown.", _U
    )
    BACKEND_TIMEOUT = ErrorRow(
        408,
        -1007,
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
        _U,
    )
    SERVER_BUSY = ErrorRow(
        503, -1008, "Server is currently overloaded with other requests. Please try again in a few minutes.", _B
    )
    ERROR_MSG_RECEIVED = ErrorRow(400, -1010, "ERROR_MSG_RECEIVED.", _R)
    UNKNOWN_ORDER_COMPOSITION = ErrorRow(400, -1014, "Unsupported order combination.", _O)
    TOO_MANY_ORDERS = ErrorRow(429, -1015, "Too many new orders; current limit is {limit} orders per {interval}.", _L)
    SERVICE_SHUTTING_DOWN = ErrorRow(503, -1016, "This service is no longer available.", _B)
    UNSUPPORTED_OPERATION = ErrorRow(400, -1020, "This operation is not supported.", _R)
    OUTSIDE_RECV_WINDOW = ErrorRow(
        400, -1021, "Timestamp for this request is outside of the recvWindow.", errors.ClockSkew
    )
    AHEAD_OF_SERVER = ErrorRow(
        400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.", errors.ClockSkew
    )
    BAD_SIGNATURE = ErrorRow(400, -1022, "Signature for this request is not valid.", _K)
    START_TIME_GREATER = ErrorRow(400, -1023, "Start time is greater than end time.", _R)
    # Parameters
    ILLEGAL_CHARS = ErrorRow(
        400, -1100, "Illegal characters found in parameter '{parameter}'; legal range is '{legal}'.", _O
    )
    TOO_MANY_PARAMETERS = ErrorRow(400, -1101, "Too many parameters sent for this endpoint.", _R)
    MANDATORY_MISSING = ErrorRow(
        400, -1102, "Mandatory parameter '{parameter}' was not sent, was empty/null, or malformed.", _R
    )
    UNKNOWN_PARAMETER = ErrorRow(400, -1103, "An unknown parameter was sent.", _R)
    UNREAD_PARAMETERS = ErrorRow(400, -1104, "Not all sent parameters were read.", _R)
    PARAMETER_EMPTY = ErrorRow(400, -1105, "Parameter '{parameter}' was empty.", _R)
    NOT_REQUIRED = ErrorRow(400, -1106, "Parameter '{parameter}' sent when not required.", _M)
    BAD_PRECISION = ErrorRow(400, -1111, "Precision is over the maximum defined for this asset.", _F)
    BAD_TIME_IN_FORCE = ErrorRow(400, -1115, "Invalid timeInForce.", _O)
    BAD_ORDER_TYPE = ErrorRow(400, -1116, "Invalid orderType.", _O)
    BAD_SIDE = ErrorRow(400, -1117, "Invalid side.", _O)
    EMPTY_CLIENT_ID = ErrorRow(400, -1118, "New client order ID was empty.", _O)
    BAD_INTERVAL = ErrorRow(400, -1120, "Invalid interval.", _R)
    BAD_SYMBOL = ErrorRow(400, -1121, "Invalid symbol.", errors.UnknownSymbol)
    LISTEN_KEY_GONE = ErrorRow(400, -1125, "This listenKey does not exist.", errors.ListenKeyGone)
    LOOKUP_TOO_BIG = ErrorRow(400, -1127, "More than {hours} hours between startTime and endTime.", _R)
    BAD_COMBINATION = ErrorRow(400, -1128, "Combination of optional parameters invalid.", _R)
    INVALID_DATA = ErrorRow(400, -1130, "Data sent for parameter '{parameter}' is not valid.", _R)
    INVALID_NEW_ORDER_RESP_TYPE = ErrorRow(400, -1136, "Invalid newOrderRespType.", _O)
    # Orders
    NEW_ORDER_REJECTED = ErrorRow(400, -2010, "NEW_ORDER_REJECTED", _O)
    UNKNOWN_ORDER = ErrorRow(400, -2011, "Unknown order sent.", errors.OrderNotFound)
    ORDER_DOES_NOT_EXIST = ErrorRow(400, -2013, "Order does not exist.", errors.OrderNotFound)
    BAD_API_KEY_FORMAT = ErrorRow(401, -2014, "API-key format invalid.", _K)
    REJECTED_KEY = ErrorRow(401, -2015, "Invalid API-key, IP, or permissions for action", _K)
    NO_TRADING_WINDOW = ErrorRow(400, -2016, "No trading window could be found for the symbol.", _R)
    BALANCE_NOT_SUFFICIENT = ErrorRow(400, -2018, "Balance is insufficient.", errors.MarginInsufficient)
    MARGIN_NOT_SUFFICIENT = ErrorRow(400, -2019, "Margin is insufficient.", errors.MarginInsufficient)
    UNABLE_TO_FILL = ErrorRow(400, -2020, "Unable to fill.", _O)
    IMMEDIATE_TRIGGER = ErrorRow(400, -2021, "Order would immediately trigger.", _O)
    REDUCE_ONLY_REJECT = ErrorRow(400, -2022, "ReduceOnly Order is rejected.", errors.ReduceOnlyRejected)
    USER_IN_LIQUIDATION = ErrorRow(400, -2023, "User in liquidation mode now.", _M)
    POSITION_NOT_SUFFICIENT = ErrorRow(400, -2024, "Position is not sufficient.", errors.ReduceOnlyRejected)
    MAX_OPEN_ORDERS = ErrorRow(400, -2025, "Reach max open order limit.", errors.TooManyOpenOrders)
    REDUCE_ONLY_TYPE = ErrorRow(400, -2026, "This OrderType is not supported when reduceOnly.", _O)
    MAX_LEVERAGE_RATIO = ErrorRow(
        400, -2027, "Exceeded the maximum allowable position at current leverage.", errors.MarginInsufficient
    )
    MIN_LEVERAGE_RATIO = ErrorRow(
        400, -2028, "Leverage is smaller than permitted: insufficient margin balance.", errors.MarginInsufficient
    )
    # Filters and order rules
    PRICE_NOT_POSITIVE = ErrorRow(400, -4001, "Price less than or equal to zero.", _F)
    PRICE_ABOVE_MAX = ErrorRow(400, -4002, "Price greater than max price.", _F)
    QUANTITY_NOT_POSITIVE = ErrorRow(400, -4003, "Quantity less than or equal to zero.", _F)
    QUANTITY_BELOW_MIN = ErrorRow(400, -4004, "Quantity less than min quantity.", _F)
    QUANTITY_ABOVE_MAX = ErrorRow(400, -4005, "Quantity greater than max quantity.", _F)
    STOP_PRICE_NOT_POSITIVE = ErrorRow(400, -4006, "Stop price less than or equal to zero.", _F)
    PRICE_BELOW_MIN = ErrorRow(400, -4013, "Price less than min price.", _F)
    TICK_SIZE = ErrorRow(400, -4014, "Price not increased by tick size.", _F)
    CLIENT_ID_INVALID = ErrorRow(400, -4015, "Client order id is not valid.", _O)
    CLIENT_ID_TOO_LONG = ErrorRow(400, -4015, "Client order id length should not be more than 36 chars", _O)
    PRICE_ABOVE_BAND = ErrorRow(400, -4016, "Limit price can't be higher than {price}.", _F)
    STEP_SIZE = ErrorRow(400, -4023, "Qty not increased by step size.", _F)
    PRICE_BELOW_BAND = ErrorRow(400, -4024, "Limit price can't be lower than {price}.", _F)
    INVALID_LEVERAGE = ErrorRow(400, -4028, "Leverage {leverage} is not valid", _R)
    MARGIN_TYPE_UNCHANGED = ErrorRow(400, -4046, "No need to change margin type.", _R)
    MARGIN_TYPE_OPEN_ORDERS = ErrorRow(400, -4047, "Margin type cannot be changed if there exists open orders.", _R)
    MARGIN_TYPE_POSITION = ErrorRow(400, -4048, "Margin type cannot be changed if there exists position.", _R)
    HMAC_NOT_SUPPORTED = ErrorRow(400, -4056, "HMAC_SHA256 API key is not supported.", _R)
    POSITION_SIDE_UNCHANGED = ErrorRow(400, -4059, "No need to change position side.", _R)
    INVALID_POSITION_SIDE = ErrorRow(400, -4060, "Invalid position side.", _M)
    POSITION_SIDE_MISMATCH = ErrorRow(400, -4061, "Order's position side does not match user's setting.", _M)
    REDUCE_ONLY_CONFLICT = ErrorRow(400, -4062, "Invalid or improper reduceOnly value.", _M)
    POSITION_SIDE_OPEN_ORDERS = ErrorRow(400, -4067, "Position side cannot be changed if there exists open orders.", _R)
    POSITION_SIDE_POSITION = ErrorRow(400, -4068, "Position side cannot be changed if there exists position.", _R)
    TOO_MANY_BATCH_ORDERS = ErrorRow(400, -4082, "Invalid number of batch place orders.", _O)
    SYMBOL_CLOSED = ErrorRow(
        400, -4108, "This symbol is delivering, delivered, settling, closed or not yet trading.", _M
    )
    DUPLICATE_CLIENT_ID = ErrorRow(400, -4116, "ClientOrderId is duplicated.", errors.DuplicateClientOrderId)
    REDUCE_ONLY_MARGIN = ErrorRow(
        400,
        -4118,
        "ReduceOnly Order Failed. Please check your existing position and open orders",
        errors.ReduceOnlyRejected,
    )
    ALGO_ENDPOINT_NEEDED = ErrorRow(
        400,
        -4120,
        "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
        _O,
    )
    MARKET_NO_COUNTERPRICE = ErrorRow(
        400, -4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit.", _F
    )
    SYMBOL_NOT_ACTIVE = ErrorRow(400, -4140, "Invalid symbol status for opening position.", _M)
    SYMBOL_IS_CLOSED = ErrorRow(400, -4141, "Symbol is closed.", _M)
    MIN_NOTIONAL = ErrorRow(
        400, -4164, "Order's notional must be no smaller than {notional} (unless you choose reduce only).", _F
    )
    MULTI_ASSETS_UNCHANGED = ErrorRow(
        400, -4171, "Adjusted asset mode is currently set and does not need to be adjusted repeatedly.", _R
    )
    REDUCE_ONLY_STATE = ErrorRow(
        400,
        -4400,
        "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed, please try again later.",
        _M,
    )
    REDUCE_ONLY_STATE_REGION = ErrorRow(
        400, -4401, "Compliance restricted account permission, can only place reduceOnly order.", _M
    )
    # Matching engine
    FOK_REJECT = ErrorRow(
        400,
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected. The order will "
        "not be recorded in the order history",
        _O,
    )
    POST_ONLY_REJECT = ErrorRow(
        400,
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. The order will not be "
        "recorded in the order history",
        errors.PostOnlyWouldTake,
    )
    MODIFY_TOO_OFTEN = ErrorRow(400, -5026, "Exceed maximum modify order limit.", _R)
    MODIFY_UNCHANGED = ErrorRow(400, -5027, "No need to modify the order.", _R)
    ME_RECV_WINDOW = ErrorRow(
        400, -5028, "Timestamp for this request is outside of the ME recvWindow.", errors.ClockSkew
    )
    MODIFY_MIN_NOTIONAL = ErrorRow(400, -5029, "Order's notional must be no smaller than {notional}", _F)
    MODIFY_PENDING = ErrorRow(400, -5043, "A pending modification already exists for this order.", _R)
    MODIFY_REDUCE_ONLY = ErrorRow(400, -5047, "The original order is not a reduce-only order", _R)

    @property
    def status(self) -> int:
        """HTTP status, and `status` of a WebSocket API answer."""
        return self.value.status

    @property
    def code(self) -> int:
        """Binance's negative code."""
        return self.value.code

    def body(self, **places: object) -> dict[str, Any]:
        """Return the answer's body with the text's places filled in."""
        return {"code": self.value.code, "msg": self.value.text.format(**places)}


_BY_CODE: dict[int, type[errors.RequestRefused] | type[errors.OrderOutcomeUnknown]] = {}
for _member in WireError:
    _BY_CODE.setdefault(_member.value.code, _member.value.error)

_UNKNOWN_TEXT = "unknown error"
_NOT_EXECUTED_TEXTS = ("service unavailable", "throttled", "internal error", "overloaded", "no longer available")
_BANNED_UNTIL = re.compile(r"banned until (\d+)")
_WAF_PAUSE_S = 60.0
"""A 403 is the firewall's; the documents give no time, so one minute is waited."""


def banned_until_ms(message: str) -> int | None:
    """Return the epoch in ms that a ban's text names, or None."""
    match = _BANNED_UNTIL.search(message)
    return int(match[1]) if match else None


def error_of(
    status: int, code: int | None, message: str, *, retry_after_s: float | None = None
) -> errors.RequestRefused | errors.OrderOutcomeUnknown:
    """Return the exception that an error answer means.

    Status first where it decides by itself (418, 429, 403), then the text of a 503 (its codes vary), then the code,
    then the status again: an answer of a server in trouble that names no known code proves nothing about the order.
    """
    shown = 0 if code is None else code
    if status == 418:
        return errors.Banned(shown, message, retry_after_s=retry_after_s)
    if status == 429:
        return errors.RateLimited(shown, message, retry_after_s=retry_after_s)
    if status == 403:
        return errors.RateLimited(shown, message or "refused by the exchange's firewall", retry_after_s=_WAF_PAUSE_S)
    if status == 503:
        return _service_error(shown, message, retry_after_s)
    kind = _BY_CODE.get(shown)
    if kind is None and status == 401:
        return errors.CredentialsRefused(shown, message)
    proves_nothing = status >= 500 or status < 400 or status == 408
    if kind is errors.OrderOutcomeUnknown or (kind is None and proves_nothing):
        return errors.OrderOutcomeUnknown(f"{message or 'no message'} (status {status}, code {shown})")
    if kind is None or kind is errors.OrderOutcomeUnknown:
        return errors.RequestRefused(shown, message, retry_after_s=retry_after_s)
    if kind is errors.RateLimited and banned_until_ms(message) is not None:
        kind = errors.Banned
    return kind(shown, message, retry_after_s=retry_after_s)  # type: ignore[call-arg]


def _service_error(
    code: int, message: str, retry_after_s: float | None
) -> errors.RequestRefused | errors.OrderOutcomeUnknown:
    text = message.lower()
    may_have_executed = _UNKNOWN_TEXT in text or code in (-1006, -1007)
    if not may_have_executed and (code == -1008 or any(words in text for words in _NOT_EXECUTED_TEXTS)):
        return errors.ExchangeOverloaded(code, message, retry_after_s=retry_after_s)
    return errors.OrderOutcomeUnknown(f"{message or 'no message'} (status 503, code {code})")


_REASONS: tuple[tuple[type[errors.RequestRefused], RejectReason], ...] = (
    (errors.PostOnlyWouldTake, RejectReason.POST_ONLY),
    (errors.ReduceOnlyRejected, RejectReason.REDUCE_ONLY),
    (errors.MarginInsufficient, RejectReason.MARGIN),
    (errors.FilterViolated, RejectReason.FILTER),
    (errors.TooManyOpenOrders, RejectReason.OPEN_ORDERS),
    (errors.RateLimited, RejectReason.RATE),
    (errors.ExchangeOverloaded, RejectReason.OVERLOAD),
    (errors.ClockSkew, RejectReason.OVERLOAD),
    (errors.OrderRefusedByMode, RejectReason.MODE),
)


def reject_reason(error: errors.RequestRefused) -> RejectReason:
    """Return why an order was refused; a clock that was off is transient, like an overload."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), RejectReason.OTHER)

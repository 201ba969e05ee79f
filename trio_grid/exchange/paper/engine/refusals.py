"""Owns the exchange's refusals: every error code of the paper exchange with its HTTP status and its words.

It must never decide anything: the rules that raise a refusal live in `order_rules`, `matching_engine`, `account` and
`exchange`.
"""

from __future__ import annotations

import enum


class PaperRefusal(Exception):
    """The exchange said no. The server answers `http_status` with `{"code": code, "msg": message}`.

    Nothing has changed when it is raised, except what the refusal itself says.
    """

    def __init__(self, code: int, message: str, http_status: int = 400) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.http_status = http_status

    def body(self) -> dict[str, object]:
        """Return the answer's JSON body."""
        return {"code": self.code, "msg": self.message}


class Refusal(enum.Enum):
    """The exchange's codes and words; `%s` is filled in by `refuse`."""

    MANDATORY = (-1102, "Mandatory parameter '%s' was not sent, was empty/null, or malformed.")
    NOT_REQUIRED = (-1106, "Parameter '%s' sent when not required.")
    PRECISION = (-1111, "Precision is over the maximum defined for this asset.")
    BAD_TIME_IN_FORCE = (-1115, "Invalid timeInForce.")
    BAD_ORDER_TYPE = (-1116, "Invalid orderType.")
    BAD_SIDE = (-1117, "Invalid side.")
    BAD_INTERVAL = (-1120, "Invalid interval.")
    BAD_SYMBOL = (-1121, "Invalid symbol.")
    BAD_PARAMETER = (-1130, "Data sent for parameter '%s' is not valid.")
    CANCEL_REJECTED = (-2011, "Unknown order sent.")
    NO_SUCH_ORDER = (-2013, "Order does not exist.")
    BAD_CALLBACK_RATE = (-2007, "Invalid callBack rate.")
    MARGIN_INSUFFICIENT = (-2019, "Margin is insufficient.")
    IMMEDIATE_TRIGGER = (-2021, "Order would immediately trigger.")
    REDUCE_ONLY = (-2022, "ReduceOnly Order is rejected.")
    MAX_OPEN_ORDERS = (-2025, "Reach max open order limit.")
    MAX_POSITION = (-2027, "Exceeded the maximum allowable position at current leverage.")
    MAX_LEVERAGE_RATIO = (-2028, "Leverage is smaller than permitted: insufficient margin balance.")
    PRICE_NOT_POSITIVE = (-4001, "Price less than 0.")
    PRICE_ABOVE_MAX = (-4002, "Price greater than max price.")
    QUANTITY_NOT_POSITIVE = (-4003, "Quantity less than zero.")
    QUANTITY_BELOW_MIN = (-4004, "Quantity less than min quantity.")
    QUANTITY_ABOVE_MAX = (-4005, "Quantity greater than max quantity.")
    TRIGGER_NOT_POSITIVE = (-4006, "Stop price less than zero.")
    TRIGGER_ABOVE_MAX = (-4007, "Stop price greater than max price.")
    PRICE_BELOW_MIN = (-4013, "Price less than min price.")
    PRICE_TICK = (-4014, "Price not increased by tick size.")
    BAD_CLIENT_ID = (-4015, "Client order id is not valid.")
    LONG_CLIENT_ID = (-4015, "Client order id length should not be more than 36 chars")
    PRICE_ABOVE_BAND = (-4016, "Limit price can't be higher than %s.")
    DEPTH_LIMIT = (-4021, "%s is not valid depth limit")
    QUANTITY_STEP = (-4023, "Qty not increased by step size.")
    PRICE_BELOW_BAND = (-4024, "Limit price can't be lower than %s.")
    TOO_MANY_CANCELS = (-4032, "Exceed maximum cancel order size.")
    BAD_LEVERAGE = (-4028, "Leverage %s is not valid")
    BAD_WORKING_TYPE = (-4031, "Invalid parameter working type: %s")
    MAX_CONDITIONAL_ORDERS = (-4045, "Reach max stop order limit.")
    SAME_MARGIN_TYPE = (-4046, "No need to change margin type.")
    MARGIN_TYPE_ORDERS = (-4047, "Margin type cannot be changed if there exists open orders.")
    MARGIN_TYPE_POSITION = (-4048, "Margin type cannot be changed if there exists position.")
    NOT_ISOLATED = (-4049, "Add margin only support for isolated position.")
    CROSS_BALANCE = (-4050, "Cross balance insufficient.")
    ISOLATED_BALANCE = (-4051, "Isolated balance insufficient.")
    MARGIN_NO_POSITION = (-4054, "Cannot add position margin: position is 0.")
    AMOUNT_NOT_POSITIVE = (-4055, "Amount must be positive.")
    SAME_POSITION_SIDE = (-4059, "No need to change position side.")
    BAD_POSITION_SIDE = (-4060, "Invalid position side.")
    POSITION_SIDE = (-4061, "Order's position side does not match user's setting.")
    POSITION_SIDE_ORDERS = (-4067, "Position side cannot be changed if there exists open orders.")
    POSITION_SIDE_POSITION = (-4068, "Position side cannot be changed if there exists position.")
    DUPLICATE_CLIENT_ID = (-4116, "ClientOrderId is duplicated.")
    ALGO_ONLY = (-4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.")
    CLOSE_EXISTS = (
        -4130,
        "An open stop or take profit order with GTE and closePosition in the direction is existing.",
    )
    MARKET_PRICE_BAND = (-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit.")
    ISOLATED_LEVERAGE = (-4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions.")
    CLOSE_TYPE = (-4136, "Target strategy invalid for orderType %s,closePosition %s")
    CLOSE_QUANTITY = (-4137, "Quantity must be zero with closePosition equals true")
    MIN_NOTIONAL = (-4164, "Order's notional must be no smaller than %s (unless you choose reduce only).")
    MULTI_ASSETS_ISOLATED = (
        -4167,
        "Unable to adjust to Multi-Assets mode with symbols of USDⓈ-M Futures under isolated-margin mode.",
    )
    ISOLATED_MULTI_ASSETS = (-4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode.")
    MULTI_ASSETS_ORDERS = (-4170, "Unable to adjust Multi-Assets Mode with open orders in USDⓈ-M Futures.")
    SAME_MULTI_ASSETS = (-4171, "Adjusted asset mode is currently set and does not need to be adjusted repeatedly.")
    NO_POSITION_TO_CLOSE = (
        -4509,
        "Time in Force (TIF) GTE can only be used with open positions or open orders. Please ensure that open orders "
        "or positions are available.",
    )
    FOK_REJECTED = (
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected. "
        "The order will not be recorded in the order history",
    )
    POST_ONLY = (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. "
        "The order will not be recorded in the order history",
    )
    NO_MATCHING_DEPTH = (-5041, "No depth matches this BBO order")
    BAD_PRICE_MATCH = (-5037, "Invalid price match")
    PRICE_MATCH_TYPE = (-5038, "Price match only supports order type: LIMIT, STOP AND TAKE_PROFIT")
    BAD_SELF_TRADE_PREVENTION = (-5039, "Invalid self trade prevention mode")
    BAD_GOOD_TILL_DATE = (
        -5040,
        "The goodTillDate timestamp must be greater than the current time plus 600 seconds and smaller than "
        "253402300799000",
    )
    AMEND_TOO_OFTEN = (-5026, "Exceed maximum modify order limit.")
    AMEND_NOTHING = (-5027, "No need to modify the order.")
    AMEND_NOTIONAL = (-5029, "Order's notional must be no smaller than %s")
    AMEND_REDUCE_ONLY = (-5047, "The original order is not a reduce-only order")

    def refuse(self, *words: object) -> PaperRefusal:
        """Return the refusal to raise, with its words filled in."""
        code, message = self.value
        return PaperRefusal(code, message % words if words else message)

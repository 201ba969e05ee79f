"""Owns spot's refusals: the codes and words in which spot differs from futures.

It must never decide anything. What both markets say alike is in `engine.refusals`.
"""

from __future__ import annotations

import enum
from typing import Any

from trio_grid.exchange.paper.engine.refusals import PaperRefusal


class DetailedRefusal(PaperRefusal):
    """A refusal whose answer also carries `data`: what became of the parts of the request."""

    def __init__(self, code: int, message: str, http_status: int, data: dict[str, Any]) -> None:
        super().__init__(code, message, http_status)
        self.data = data


class SpotRefusal(enum.Enum):
    """The codes and words; `%s` is filled in by `refuse`."""

    BAD_PRICE = (-1013, "Invalid price.")
    BAD_QUANTITY = (-1013, "Invalid quantity.")
    FILTER = (-1013, "Filter failure: %s")
    ILLEGAL = (-1100, "Illegal characters found in parameter '%s'; legal range is '%s'.")
    EITHER = (-1102, "Param '%s' or '%s' must be sent, but both were empty/null!")
    EMPTY = (-1105, "Parameter '%s' was empty.")
    PRECISION = (-1111, "Parameter '%s' has too much precision.")
    LONG_WINDOW = (-1127, "More than %s hours between startTime and endTime.")
    COMBINATION = (-1128, "Combination of optional parameters invalid.")
    INSUFFICIENT = (-2010, "Account has insufficient balance for requested action.")
    WOULD_TAKE = (-2010, "Order would immediately match and take.")
    WOULD_TRIGGER = (-2010, "Stop price would trigger immediately.")
    DUPLICATE = (-2010, "Duplicate order sent.")
    NO_ICEBERG = (-2010, "Iceberg orders are not supported for this symbol.")
    NO_TRAILING = (-2010, "Trailing stop orders are not supported for this symbol.")
    NO_PEGS = (-2010, "Pegged orders are not supported for this symbol.")
    NO_LISTS = (-2010, "%s orders are not supported for this symbol")
    THIN_BOOK = (-2010, "Order book liquidity is less than LOT_SIZE filter minimum quantity.")
    CANCEL_RESTRICTED = (-2011, "Order was not canceled due to cancel restrictions.")
    AMEND_INCREASE = (-2038, "Order amend (quantity increase) is not supported.")
    AMEND_NOTHING = (-2038, "The requested action would change no state; rejecting.")

    def refuse(self, *words: object) -> PaperRefusal:
        """Return the refusal to raise, with its words filled in."""
        code, message = self.value
        return PaperRefusal(code, message % words if words else message)

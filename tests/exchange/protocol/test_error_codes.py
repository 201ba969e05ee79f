"""The table of errors: what each answer means, and that both directions agree."""

from __future__ import annotations

import pytest

from trio_grid import errors
from trio_grid.domain.events import RejectReason
from trio_grid.exchange.protocol.error_codes import WireError, banned_until_ms, error_of, reject_reason

POST_ONLY = (
    "Due to the order could not be executed as maker, the Post Only order will be rejected. The order will not be "
    "recorded in the order history"
)


def test_no_two_rows_are_the_same_so_that_no_name_is_an_alias() -> None:
    assert len(WireError.__members__) == len(list(WireError))


@pytest.mark.parametrize("row", list(WireError), ids=lambda row: row.name)
def test_each_row_comes_back_as_its_own_exception(row: WireError) -> None:
    error = error_of(row.status, row.code, row.value.text)
    assert type(error) is row.value.error
    if isinstance(error, errors.RequestRefused):
        assert error.code == row.code
        assert error.advice in str(error)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (-5022, errors.PostOnlyWouldTake),
        (-2022, errors.ReduceOnlyRejected),
        (-4118, errors.ReduceOnlyRejected),
        (-2019, errors.MarginInsufficient),
        (-2027, errors.MarginInsufficient),
        (-1111, errors.FilterViolated),
        (-4014, errors.FilterViolated),
        (-4023, errors.FilterViolated),
        (-4016, errors.FilterViolated),
        (-4024, errors.FilterViolated),
        (-4131, errors.FilterViolated),
        (-4164, errors.FilterViolated),
        (-2025, errors.TooManyOpenOrders),
        (-4061, errors.OrderRefusedByMode),
        (-1106, errors.OrderRefusedByMode),
        (-4400, errors.OrderRefusedByMode),
        (-4401, errors.OrderRefusedByMode),
        (-4116, errors.DuplicateClientOrderId),
        (-2011, errors.OrderNotFound),
        (-2013, errors.OrderNotFound),
        (-1015, errors.RateLimited),
        (-1021, errors.ClockSkew),
        (-5028, errors.ClockSkew),
        (-1125, errors.ListenKeyGone),
        (-1022, errors.CredentialsRefused),
        (-2014, errors.CredentialsRefused),
        (-2015, errors.CredentialsRefused),
        (-4120, errors.OrderRejected),
        (-5021, errors.OrderRejected),
        (-4015, errors.OrderRejected),
        (-4046, errors.RequestRefused),
        (-1121, errors.UnknownSymbol),
        (-9999, errors.RequestRefused),
    ],
)
def test_codes_of_the_protocol(code: int, expected: type[Exception]) -> None:
    assert type(error_of(400, code, "text of the exchange")) is expected


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (503, None, "Unknown error, please check your request or try again later."),
        (503, -1003, "Unknown error, please check your request or try again later."),
        (503, -1000, "Unknown error, please check your request or try again later."),
        (503, None, ""),
        (503, -1007, "Timeout waiting for response from backend server."),
        (408, -1007, "Timeout waiting for response from backend server."),
        (400, -1006, "An unexpected response was received from the message bus."),
        (400, -1007, "Timeout"),
        (502, None, "<html>bad gateway</html>"),
        (504, None, ""),
        (408, None, ""),
        (500, -9999, "something new"),
        (302, None, "moved to the maintenance page"),
    ],
)
def test_f1_answers_that_leave_the_outcome_open(status: int, code: int | None, message: str) -> None:
    assert type(error_of(status, code, message)) is errors.OrderOutcomeUnknown


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (None, "Service Unavailable."),
        (-1000, "Service Unavailable."),
        (-1008, "Request throttled by system-level protection."),
        (-1001, "Internal error; unable to process your request. Please try again."),
    ],
)
def test_a_503_that_says_it_failed_is_a_definite_failure(code: int | None, message: str) -> None:
    error = error_of(503, code, message)
    assert isinstance(error, errors.ExchangeOverloaded)
    assert reject_reason(error) is RejectReason.OVERLOAD


def test_f10_bans_and_limits_carry_their_time() -> None:
    ban = error_of(418, -1003, "Way too many requests; IP banned until 1700000000123.", retry_after_s=120.0)
    assert isinstance(ban, errors.Banned)
    assert ban.retry_after_s == 120.0
    assert banned_until_ms(ban.message) == 1_700_000_000_123
    assert banned_until_ms("no time in it") is None
    limited = error_of(429, -1015, "Too many new orders; current limit is 300 orders per 10 SECOND.", retry_after_s=7.0)
    assert type(limited) is errors.RateLimited
    assert limited.retry_after_s == 7.0
    assert reject_reason(limited) is RejectReason.RATE
    firewall = error_of(403, None, "")
    assert type(firewall) is errors.RateLimited
    assert firewall.retry_after_s == 60.0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (error_of(400, -5022, POST_ONLY), RejectReason.POST_ONLY),
        (error_of(400, -2022, ""), RejectReason.REDUCE_ONLY),
        (error_of(400, -2019, ""), RejectReason.MARGIN),
        (error_of(400, -4164, ""), RejectReason.FILTER),
        (error_of(400, -2025, ""), RejectReason.OPEN_ORDERS),
        (error_of(400, -4061, ""), RejectReason.MODE),
        (error_of(400, -1021, ""), RejectReason.OVERLOAD),
        (error_of(400, -4120, ""), RejectReason.OTHER),
        (error_of(400, -31337, ""), RejectReason.OTHER),
    ],
)
def test_reasons_of_a_refusal(error: errors.RequestRefused, reason: RejectReason) -> None:
    assert reject_reason(error) is reason


def test_a_page_instead_of_an_answer() -> None:
    assert type(error_of(401, None, "<html>")) is errors.CredentialsRefused
    assert type(error_of(404, None, "<html>")) is errors.RequestRefused


def test_bodies_fill_in_their_places() -> None:
    assert WireError.MANDATORY_MISSING.body(parameter="timestamp") == {
        "code": -1102,
        "msg": "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.",
    }
    assert WireError.POST_ONLY_REJECT.body()["msg"] == POST_ONLY

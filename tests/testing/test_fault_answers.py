"""What faults look like on the wire to a client that is no bot: status, headers and body as the exchange has them."""

from __future__ import annotations

import httpcore
import httpx
import pytest
import trio
from trio.testing import MockClock

from trio_grid.testing.faults import (
    BackendTimeout,
    Ban,
    BodyForm,
    CutAnswer,
    Fault,
    FaultPlan,
    Firewall,
    GatewayError,
    InternalError,
    LateAnswer,
    LostRequest,
    Maintenance,
    MalformedAnswer,
    Match,
    NoAnswer,
    Refused,
    ResetBefore,
    ServiceUnavailable,
    Spoilt,
    TooManyRequests,
    UnexpectedResponse,
    UnknownError,
    When,
)
from trio_grid.testing.paper import open_paper_exchange

TIME = Match(request="GET /fapi/v1/time")
UNKNOWN = "Unknown error, please check your request or try again later."


async def answer_under(fault: Fault) -> httpx.Response:
    """Return what `GET /fapi/v1/time` is answered with under a fault; without it, it is answered as always."""
    async with open_paper_exchange(history_minutes=2, faults=FaultPlan((fault,))) as paper, paper.http() as client:
        answer = await client.get("/fapi/v1/time")
        [injection] = paper.faults.injections
        injection.end()
        if not isinstance(fault, Ban):
            assert (await client.get("/fapi/v1/time")).status_code == 200
        return answer


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (UnknownError(match=TIME), 503, {"code": -1000, "msg": UNKNOWN}),
        (ServiceUnavailable(match=TIME), 503, {"code": -1000, "msg": "Service Unavailable."}),
        (
            InternalError(match=TIME),
            503,
            {"code": -1001, "msg": "Internal error; unable to process your request. Please try again."},
        ),
        (
            UnexpectedResponse(match=TIME),
            503,
            {
                "code": -1006,
                "msg": "An unexpected response was received from the message bus. Execution status unknown.",
            },
        ),
        (
            BackendTimeout(match=TIME),
            408,
            {
                "code": -1007,
                "msg": "Timeout waiting for response from backend server. Send status unknown; execution status "
                "unknown.",
            },
        ),
        (Refused(match=TIME, code=-1121, message="Invalid symbol."), 400, {"code": -1121, "msg": "Invalid symbol."}),
        (
            Maintenance(when=When(to_s=60)),
            503,
            {"code": -1016, "msg": "This service is no longer available."},
        ),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
async def test_refusals_have_the_exchange_s_own_status_and_body(
    autojump_clock: MockClock, fault: Fault, status: int, body: dict[str, object]
) -> None:
    answer = await answer_under(fault)
    assert (answer.status_code, answer.json()) == (status, body)
    assert int(answer.headers["x-mbx-used-weight-1m"]) >= 0


async def test_the_second_form_of_the_unknown_error_has_a_path_and_no_code(autojump_clock: MockClock) -> None:
    answer = await answer_under(UnknownError(match=TIME, form=BodyForm.PATH))
    assert answer.status_code == 503
    assert set(answer.json()) == {"timestamp", "path", "msg"}
    assert (answer.json()["path"], answer.json()["msg"]) == ("/fapi/v1/time", UNKNOWN)


@pytest.mark.parametrize(
    ("fault", "status"), [(GatewayError(status=504, match=TIME), 504), (Firewall(match=TIME), 403)]
)
async def test_what_stands_before_the_exchange_answers_with_a_page(
    autojump_clock: MockClock, fault: Fault, status: int
) -> None:
    answer = await answer_under(fault)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.startswith("<html>")


async def test_limits_say_how_long_to_wait(autojump_clock: MockClock) -> None:
    answer = await answer_under(TooManyRequests(match=TIME, retry_after_s=7))
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, -1003, "7")
    answer = await answer_under(Ban(match=TIME, ban_s=90))
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (418, -1003, "90")
    assert "IP banned until" in answer.json()["msg"]


async def test_spoilt_answers_keep_their_frame(autojump_clock: MockClock) -> None:
    for form in Spoilt:
        answer = await answer_under(MalformedAnswer(match=TIME, form=form))
        assert answer.status_code == 200
        whole = b'{"serverTime":1750000000000}'
        assert answer.content[:12] == form.of(whole)[:12]
        assert answer.content != whole
        assert len(answer.content) <= len(form.of(whole))


@pytest.mark.parametrize(
    ("fault", "failures"),
    [
        (ResetBefore(match=TIME), (httpx.NetworkError, httpx.RemoteProtocolError)),
        # The test kit's client translates no error of a body that it is reading.
        (CutAnswer(match=TIME), (httpx.NetworkError, httpcore.NetworkError)),
        (NoAnswer(match=TIME), (httpx.ReadTimeout,)),
        (LostRequest(match=TIME), (httpx.ReadTimeout,)),
        (LateAnswer(match=TIME, delay_ms=9_000), (httpx.ReadTimeout,)),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
async def test_answers_that_do_not_come(
    autojump_clock: MockClock, fault: Fault, failures: tuple[type[Exception], ...]
) -> None:
    async with open_paper_exchange(history_minutes=2, faults=FaultPlan((fault,))) as paper, paper.http() as client:
        with pytest.raises(failures):
            await client.get("/fapi/v1/time", timeout=5.0)


async def test_an_answer_is_late_by_what_the_fault_says(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    assert (await answer_under(LateAnswer(match=TIME, delay_ms=3_000))).status_code == 200
    assert trio.current_time() - began >= 3

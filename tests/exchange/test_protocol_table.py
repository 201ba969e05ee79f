"""docs/reference/protocol.md says what is served and what is refused: here it is held against code and server."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from trio.testing import MockClock

from tests.exchange.paper_server.raw_client import SYMBOL, RawRest, RawSocket, raw_rest, raw_socket
from tests.exchange.paper_server.test_paper_ws_api import with_hmac
from tests.exchange.protocol_table import ROOT, Row, functions_of, read_rows
from trio_grid.exchange.paper.engine.refusals import Refusal
from trio_grid.exchange.paper.server.api_tables import REST_ROUTES, WEBSOCKET_METHODS
from trio_grid.exchange.paper.server.spot_stream_names import parse_spot_stream_name
from trio_grid.exchange.paper.server.spot_tables import REMOVED_ROUTES, SPOT_METHODS, SPOT_ROUTES
from trio_grid.exchange.paper.server.spot_ws_api import CONNECTION_METHODS
from trio_grid.exchange.paper.server.stream_names import SPOT_TOPICS, Topic, parse_stream_name
from trio_grid.exchange.paper.spot.refusals import SpotRefusal
from trio_grid.testing.paper import PaperHandle, open_paper_exchange

ROWS = read_rows()
PAPER = ROOT / "trio_grid" / "exchange" / "paper"
SESSION_METHODS = {"session.logon", "session.status", "session.logout"}
REST, METHODS, STREAMS, EVENTS, CODES = "REST", "WebSocket API", "Streams", "Events", "Error codes"
FUTURES_METHODS, SPOT_API = f"{METHODS}: futures", f"{METHODS}: spot"
FUTURES_STREAMS, SPOT_STREAMS = f"{STREAMS}: futures", f"{STREAMS}: spot"


def rows_of(section: str) -> list[Row]:
    return [row for row in ROWS if row.section.startswith(section)]


def done(section: str) -> set[str]:
    return {row.what for row in rows_of(section) if row.done}


def listed(section: str) -> set[str]:
    return {row.what for row in rows_of(section)}


@cache
def text_of(file: Path) -> str:
    return file.read_text()


@cache
def named_in(file: Path) -> set[str]:
    return functions_of(file) if file.exists() else set()


def test_every_row_is_done_or_refused_and_stands_once() -> None:
    assert len(ROWS) > 150
    assert {row.state for row in ROWS} == {"done", "refused"}
    names = [(row.section, row.what) for row in ROWS]
    assert len(names) == len(set(names))


def test_every_route_has_its_row() -> None:
    served = {
        f"{method} {path}"
        for table in (REST_ROUTES, SPOT_ROUTES, REMOVED_ROUTES)
        for path, methods in table.items()
        for method in methods
    }
    # A route may be there to refuse in the exchange's own words: its row says refused, with the answer.
    assert done(REST) <= served <= listed(REST), "docs/reference/protocol.md: section REST lists each route"


def test_every_method_of_the_websocket_api_has_its_row() -> None:
    for section, served in (
        (FUTURES_METHODS, set(WEBSOCKET_METHODS) | SESSION_METHODS),
        (SPOT_API, set(SPOT_METHODS) | set(CONNECTION_METHODS)),
    ):
        assert done(section) <= served <= listed(section), f"docs/reference/protocol.md: section {section}"


def test_every_stream_has_its_row() -> None:
    understood = {row.what: parse_stream_name(row.what) for row in rows_of(FUTURES_STREAMS)}
    assert {what for what, name in understood.items() if name is not None} == done(FUTURES_STREAMS)
    assert {name.topic for name in understood.values() if name is not None} == set(Topic) - {Topic.USER} - SPOT_TOPICS
    of_spot = {row.what: parse_spot_stream_name(row.what) for row in rows_of(SPOT_STREAMS)}
    assert {what for what, name in of_spot.items() if name is not None} == done(SPOT_STREAMS)
    assert {name.topic for name in of_spot.values() if name is not None} >= SPOT_TOPICS


def test_every_event_has_its_row() -> None:
    told = {name for file in PAPER.rglob("*.py") for name in re.findall(r'"e": "(\w+)"', text_of(file))}
    assert done(EVENTS) == told


def test_every_error_code_has_its_row() -> None:
    literal = {int(code) for file in PAPER.rglob("*.py") for code in re.findall(r"(?<![\w.])(-\d{4})\b", text_of(file))}
    assert {int(what) for what in done(CODES)} == literal | {
        refusal.value[0] for refusals in (Refusal, SpotRefusal) for refusal in refusals
    }


@pytest.mark.parametrize("row", [row for row in ROWS if row.done], ids=lambda row: f"{row.section} {row.what}")
def test_a_done_row_names_a_test_that_speaks_of_it(row: Row) -> None:
    assert row.tests, f"line {row.line}: no test is named"
    for file, name in row.tests:
        assert name in named_in(file), f"line {row.line}: there is no {name} in {file}"
    words = row.what
    if row.section.startswith(REST):
        words = re.sub(r"^[A-Z]+ /\w+/v\d/", "", words)
    elif row.section.startswith(STREAMS):
        words = words.partition("@")[2].partition("_")[0] or words
    elif not row.section.startswith((METHODS, EVENTS, CODES)):
        return
    assert any(words in text_of(file) for file, _ in row.tests), f"line {row.line}: none of its tests says {words!r}"


async def test_refused_requests_get_the_answer_that_is_told(autojump_clock: MockClock) -> None:
    async with (
        open_paper_exchange(history_minutes=10) as handle,
        raw_rest(handle) as rest,
        raw_socket(handle, "/ws-fapi/v1") as futures,
        raw_socket(handle, "/ws-api/v3") as spot,
    ):
        for row in ROWS:
            if row.done or not row.section.startswith((REST, METHODS)):
                continue
            assert row.answer is not None, f"line {row.line}: which answer?"
            socket = spot if row.section == SPOT_API else futures
            answered = await (ask_rest(rest, row) if row.section.startswith(REST) else ask_socket(handle, socket, row))
            assert answered == row.answer, f"line {row.line}: {row.what}"


async def ask_rest(rest: RawRest, row: Row) -> tuple[int, int]:
    method, path = row.what.split()
    answer = await rest.send(method, path, symbol=SYMBOL)
    return answer.status_code, answer.json()["code"]


async def ask_socket(handle: PaperHandle, socket: RawSocket, row: Row) -> tuple[int, int]:
    params = with_hmac({"symbol": SYMBOL, "timestamp": handle.now_ms()})
    answer = await socket.request({"id": row.line, "method": row.what, "params": params})
    return answer["status"], answer["error"]["code"]

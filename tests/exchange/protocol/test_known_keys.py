"""Keys that are new are tolerated, and counted by their place."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from trio_grid.exchange.protocol.known_keys import KeyCensus, unknown_in_event, unknown_in_order


def event(kind: str, **parts: Any) -> str:
    return json.dumps({"e": kind, "E": 1, **parts})


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (event("ORDER_TRADE_UPDATE", T=1, o={"s": "A", "zz": 1}, yy={}), {"yy", "o.zz"}),
        (event("ACCOUNT_UPDATE", T=1, a={"m": "ORDER", "B": [{"a": "U", "q": 1}], "P": [{"s": "A", "w": 1}], "v": 0}),
         {"a.v", "a.B.q", "a.P.w"}),
        (event("ACCOUNT_UPDATE", T=1, a={"m": "ORDER", "B": [], "P": []}), set()),
        (event("bookTicker", u=1, s="A", b="1", B="1", a="1", A="1", T=1, ps="A", st=1), set()),
        (event("bookTicker", u=1, s="A", b="1", B="1", a="1", A="1", T=1, new=None), {"new"}),
        (event("kline", s="A", k={"t": 1, "new": 2}), {"k.new"}),
    ],
)  # fmt: skip
def test_unknown_keys_are_named_by_their_place(frame: str, expected: set[str]) -> None:
    kind = json.loads(frame)["e"]
    assert set(unknown_in_event(frame)) == {f"{kind}.{key}" for key in expected}
    wrapped = json.dumps({"stream": "abc", "data": json.loads(frame)})
    assert set(unknown_in_event(wrapped)) == {f"{kind}.{key}" for key in expected}


@pytest.mark.parametrize(
    "frame",
    ["no json", "[]", "{}", '{"e": 5}', '{"e": "somethingNew", "x": 1}', '{"e": "kline", "k": 7}', b"\xff", '{"e"'],
)
def test_what_cannot_be_read_has_no_unknown_keys(frame: str | bytes) -> None:
    assert unknown_in_event(frame) == []


def test_the_keys_of_an_orders_answer_are_known() -> None:
    assert unknown_in_order('{"orderId": 1, "status": "NEW", "amendedBy": 2}') == ["order.amendedBy"]
    assert unknown_in_order("[]") == []


def test_a_census_looks_at_a_sample_the_first_included() -> None:
    ignored: Counter[str] = Counter()
    census = KeyCensus(ignored, unknown_in_event, every=10)
    parse = census.before(len)
    frame = event("kline", s="A", k={}, new=1)
    assert {parse(frame) for _ in range(25)} == {len(frame)}
    assert ignored == {"key kline.new": 3}

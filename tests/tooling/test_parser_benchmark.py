"""The parser benchmark reads the same fields in each way before it measures anything."""

from __future__ import annotations

import json

import pytest

from benchmarks import parsers
from benchmarks.parsers import KINDS, cattrs_reader, invented, main, same_fields, texts_by_kind
from trio_grid.exchange.protocol.market_messages import WireTrade
from trio_grid.exchange.protocol.messages import decode


def test_both_ways_read_every_invented_message_alike() -> None:
    texts = texts_by_kind(invented())
    assert set(texts) == set(KINDS)
    for kind, struct in KINDS.items():
        read = cattrs_reader(struct)
        assert all(same_fields(decode(text, struct, what=kind), read(text)) for text in texts[kind][:20])


def test_a_difference_is_seen() -> None:
    trade = {"s": "X", "t": 1, "p": "1.50", "q": "2", "T": 5, "m": True}
    read = cattrs_reader(WireTrade)
    value = decode(json.dumps(trade), WireTrade, what="trade")
    assert same_fields(value, read(json.dumps(trade).encode()))
    assert not same_fields(value, read(json.dumps({**trade, "p": "1.51"}).encode()))


def test_the_benchmark_prints_a_row_for_each_kind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parsers, "ROUNDS", 1)
    assert main([]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == list(KINDS)

"""Spot's times in microseconds, for those who ask for them: which names hold times, in events and in answers.

Pure. Owns the lists of names. It must never change what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_EVENT_TIMES: dict[str, frozenset[str]] = {
    "kline": frozenset({"E"}),
    "executionReport": frozenset({"E", "T", "O", "W"}),
    "outboundAccountPosition": frozenset({"E", "u"}),
    "24hrTicker": frozenset({"E", "O", "C"}),
    "1hTicker": frozenset({"E", "O", "C"}),
    "4hTicker": frozenset({"E", "O", "C"}),
    "1dTicker": frozenset({"E", "O", "C"}),
}
_USUAL_TIMES = frozenset({"E", "T"})
_KLINE_TIMES = frozenset({"t", "T"})
_ANSWER_TIMES = frozenset({
    "time", "updateTime", "transactTime", "workingTime", "serverTime", "openTime", "closeTime", "T", "authorizedSince",
    "connectedSince",
})  # fmt: skip
_KLINE_ROW = (0, 6)


def in_microseconds(payload: Any) -> Any:
    """Return a stream's payload with its times in microseconds; a book ticker and a partial depth have none."""
    if isinstance(payload, Sequence):
        return [in_microseconds(one) for one in payload]
    if "e" not in payload:
        return payload
    changed = _changed(payload, _EVENT_TIMES.get(payload["e"], _USUAL_TIMES))
    if payload["e"] == "kline":
        changed["k"] = _changed(payload["k"], _KLINE_TIMES)
    return changed


def _changed(body: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value * 1000 if name in names and _is_time(value) else value for name, value in body.items()}


def _is_time(value: Any) -> bool:
    # -1 is no time: the order does not work yet.
    return isinstance(value, int) and value > 0


def answer_in_microseconds(body: Any) -> Any:
    """Return an answer with its times in microseconds, rows of klines included."""
    if isinstance(body, Mapping):
        whole = {name: answer_in_microseconds(value) for name, value in body.items()}
        return _changed(whole, _ANSWER_TIMES)
    if isinstance(body, list):
        if len(body) == 12 and isinstance(body[0], int):
            return [value * 1000 if place in _KLINE_ROW else value for place, value in enumerate(body)]
        return [answer_in_microseconds(one) for one in body]
    return body

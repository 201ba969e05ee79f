"""Owns the paper exchange's face: commands, queries, time and events, all in Binance's words.

It must never read a clock, a socket or a file: every call carries the time, every effect is a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from trio_grid.exchange.paper.market import Market

Params = Mapping[str, str]
Body = dict[str, Any]


class AccountSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An account to open: its name, its wallet in 1e-8 units of the margin asset, its first leverage."""

    name: str
    balance_units: int
    leverage: int = 20


class MarketEvent(msgspec.Struct, frozen=True):
    """One public event: kind is bookTicker, aggTrade, trade, kline (1m), markPrice or forceOrder."""

    kind: str
    symbol: str
    time_ms: int
    payload: Body


class UserEvent(msgspec.Struct, frozen=True):
    """One event of an account's user stream, JSON-ready; kind is its `e`."""

    account: str
    kind: str
    time_ms: int
    payload: Body


PaperEvent = MarketEvent | UserEvent


class PaperExchange:
    """The whole embedded exchange: markets, accounts, orders and trades."""

    def __init__(self, markets: Sequence[Market], *, accounts: Sequence[AccountSpec]) -> None:
        raise NotImplementedError

    def advance(self, now_ms: int, max_steps: int | None = None) -> bool: ...
    def next_event_ms(self) -> int | None: ...
    def take_events(self) -> list[PaperEvent]: ...
    def place_order(self, account: str, params: Params, now_ms: int) -> Body: ...

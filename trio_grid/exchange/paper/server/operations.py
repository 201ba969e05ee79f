"""What the server can do, one table row each: the name, who may ask, what it costs, and the call that answers.

Owns the meaning of every request, whether it comes by REST or by the WebSocket API; the transports add nothing but
their form. Each `run` is a plain function that the exchange's own task calls. It must never await or know a connection.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import msgspec

from trio_grid.exchange.paper.engine.exchange import PaperExchange
from trio_grid.exchange.paper.engine.refusals import PaperRefusal, Refusal
from trio_grid.exchange.paper.server.listen_keys import ListenKeys
from trio_grid.exchange.paper.server.request_limits import RequestLimits, wire_limit

LARGEST_BATCH = 5
LARGEST_CANCEL_BATCH = 10


class Security(enum.Enum):
    """What a request must carry."""

    NONE = "nothing"
    KEY = "the API key"
    SIGNED = "the API key, a timestamp and a signature"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request as an operation sees it. `account` is empty for public ones; `uptime_ms` is the server's own age.

    Listen keys age by `uptime_ms`, not by exchange time: whoever renews them goes by a clock that runs at real speed.
    """

    exchange: PaperExchange
    limits: RequestLimits
    listen_keys: ListenKeys
    account: str
    parameters: Mapping[str, str]
    now_ms: int
    uptime_ms: int


Weight = Callable[[Mapping[str, str]], int]
Run = Callable[[Call], Any]


@attrs.frozen
class Operation:
    """One row: `orders` says how many new orders it counts as, per order limit (10 s, 1 min)."""

    name: str
    security: Security
    weight: Weight
    run: Run
    orders: Callable[[Mapping[str, str]], tuple[int, int]] | None = None
    counts_orders_only: bool = False


def fixed(weight: int) -> Weight:
    """Return a weight that depends on nothing."""
    return lambda parameters: weight


def per_symbol(one: int, every: int) -> Weight:
    """Return a weight that depends on whether a symbol was named."""
    return lambda parameters: one if parameters.get("symbol") else every


def by_limit(default: int, *steps: tuple[int, int]) -> Weight:
    """Return a weight by the `limit` parameter: the first step (highest limit, weight) that covers it."""

    def weight(parameters: Mapping[str, str]) -> int:
        text = parameters.get("limit", "")
        limit = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else default
        return next((cost for highest, cost in steps if limit <= highest), steps[-1][1])

    return weight


klines_weight = by_limit(500, (99, 1), (499, 2), (1000, 5), (1500, 10))
depth_weight = by_limit(500, (50, 2), (100, 5), (500, 10), (1000, 20))


def public(query: Callable[[PaperExchange, Mapping[str, str], int], Any]) -> Run:
    """Return the call of a public query of the exchange."""
    return lambda call: query(call.exchange, call.parameters, call.now_ms)


def private(command: Callable[..., Any], **options: Any) -> Run:
    """Return the call of an account's query or command of the exchange."""
    return lambda call: command(call.exchange, call.account, call.parameters, call.now_ms, **options)


def answer(value: Any) -> Run:
    """Return a call whose answer never changes (something that this exchange does not have, told truthfully)."""
    return lambda call: value


# Time and the exchange itself ----------------------------------------------------------------------------------------


def server_time(call: Call) -> Any:
    """Tell the exchange's time."""
    return {"serverTime": call.now_ms}


def exchange_info(call: Call) -> Any:
    """Tell the symbols, their filters and the limits."""
    return call.exchange.exchange_info(call.limits.settings.wire(), call.now_ms)


def order_rate_limits(call: Call) -> Any:
    """Tell the account's order limits."""
    return [wire_limit(limit) for limit in call.limits.settings.orders]


def funding_rate(call: Call) -> Any:
    """Tell past funding rates, of one symbol or of all."""
    symbols = [call.parameters["symbol"]] if call.parameters.get("symbol") else call.exchange.symbols
    rows = [
        row
        for symbol in symbols
        for row in call.exchange.funding_rate({**call.parameters, "symbol": symbol}, call.now_ms)
    ]
    return sorted(rows, key=lambda row: row["fundingTime"])


def continuous_klines(call: Call) -> Any:
    """Tell the klines of a pair's perpetual contract."""
    parameters = dict(call.parameters)
    if parameters.get("contractType") not in ("PERPETUAL", None):
        raise Refusal.BAD_PARAMETER.refuse("contractType")
    if not parameters.get("pair"):
        raise Refusal.MANDATORY.refuse("pair")
    parameters["symbol"] = parameters["pair"]
    return call.exchange.klines(parameters, call.now_ms)


# Batches -------------------------------------------------------------------------------------------------------------


def batch_items(parameters: Mapping[str, str]) -> list[Mapping[str, str]]:
    """Return the orders of a `batchOrders` parameter; their values may be strings, numbers or booleans.

    Raises:
        PaperRefusal: it is missing, no JSON list of objects, empty, or too long (-4082).
    """
    text = parameters.get("batchOrders")
    if not text:
        raise Refusal.MANDATORY.refuse("batchOrders")
    try:
        items = msgspec.json.decode(text, type=list[dict[str, msgspec.Raw]])
    except (msgspec.DecodeError, UnicodeError):
        raise Refusal.BAD_PARAMETER.refuse("batchOrders") from None
    if not items:
        raise Refusal.BAD_PARAMETER.refuse("batchOrders")
    if len(items) > LARGEST_BATCH:
        raise PaperRefusal(-4082, "Invalid number of batch place orders.")
    return [literal_parameters(item) for item in items]


def literal_parameters(raw: Mapping[str, msgspec.Raw]) -> dict[str, str]:
    """Return JSON values as the texts in which they were written: strings decoded, numbers literally, null left out."""
    found: dict[str, str] = {}
    for name, value in raw.items():
        text = bytes(value)
        if text.startswith(b'"'):
            found[name] = msgspec.json.decode(text, type=str)
        elif text != b"null":
            found[name] = text.decode()
    return found


def _each(call: Call, items: list[Mapping[str, str]], command: Callable[..., Any]) -> Any:
    answers: list[Any] = []
    for item in items:
        try:
            answers.append(command(call.account, item, call.now_ms))
        except PaperRefusal as refusal:
            answers.append(refusal.body())
    return answers


def place_batch(call: Call) -> Any:
    """Place each order; an item's refusal is its element of the answer."""
    return _each(call, batch_items(call.parameters), call.exchange.place_order)


def modify_batch(call: Call) -> Any:
    """Amend each order; an item's refusal is its element of the answer."""
    return _each(call, batch_items(call.parameters), call.exchange.modify_order)


def cancel_batch(call: Call) -> Any:
    """Cancel each order of a list of ids; an item's refusal is its element of the answer."""
    by_lower_name = {name.lower(): text for name, text in call.parameters.items()}
    symbol = call.parameters.get("symbol", "")
    for listed, single in (("orderidlist", "orderId"), ("origclientorderidlist", "origClientOrderId")):
        text = by_lower_name.get(listed)
        if text:
            try:
                ids = msgspec.json.decode(text, type=list[int | str])
            except (msgspec.DecodeError, UnicodeError):
                raise Refusal.BAD_PARAMETER.refuse(listed) from None
            if not ids:
                raise Refusal.BAD_PARAMETER.refuse(listed)
            if len(ids) > LARGEST_CANCEL_BATCH:
                raise Refusal.TOO_MANY_CANCELS.refuse()
            return _each(call, [{"symbol": symbol, single: str(one)} for one in ids], call.exchange.cancel_order)
    raise Refusal.MANDATORY.refuse("orderIdList")


def one_order(parameters: Mapping[str, str]) -> tuple[int, int]:
    """Count one new order against each limit."""
    return (1, 1)


def batch_orders(parameters: Mapping[str, str]) -> tuple[int, int]:
    """Count a batch: 5 against the 10 s limit, 1 against the minute's."""
    return (5, 1)


# Listen keys ---------------------------------------------------------------------------------------------------------


def _key_gone() -> PaperRefusal:
    return PaperRefusal(-1125, "This listenKey does not exist.")


def start_listen_key(call: Call) -> Any:
    """Make the account's listen key, or extend it."""
    return {"listenKey": call.listen_keys.start(call.account, call.uptime_ms)}


def renew_listen_key(call: Call) -> Any:
    """Extend the account's listen key."""
    key = call.listen_keys.renew(call.account, call.uptime_ms)
    if key is None:
        raise _key_gone()
    return {"listenKey": key}


def stop_listen_key(call: Call) -> Any:
    """Close the account's listen key."""
    if call.listen_keys.stop(call.account) is None:
        raise _key_gone()
    return {}

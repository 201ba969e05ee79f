"""The keys that events and orders are known to carry; what comes beside them is tolerated and counted.

A key that is new is the first sign of a change of the exchange's protocol. Nothing is decided by it: the parsers read
what they need and pass over the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from trio_grid.exchange.protocol.messages import Ignored

T = TypeVar("T")
Frame = str | bytes

MARKET_SAMPLE = 1_000
"""Of a market stream's frames one in so many is looked at: hundreds come each second, and all have the same keys."""
ORDER_SAMPLE = 100


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


EVENT_KEYS: dict[str, dict[str, frozenset[str]]] = {
    "ORDER_TRADE_UPDATE": {
        "": _keys("e E T o"),
        "o": _keys("s c S o f q p ap sp x X i l z L n N T t b a m R wt ot ps cp rp pP si ss V pm gtd er st AP cr ma"),
    },
    "ACCOUNT_UPDATE": {
        "": _keys("e E T a S"),
        "a": _keys("m B P S"),
        "a.B": _keys("a wb cw bc"),
        "a.P": _keys("s pa ep cr up mt iw ps ma bep"),
    },
    "bookTicker": {"": _keys("e u E T s b B a A ps st")},
    "kline": {"": _keys("e E s k ps st"), "k": _keys("t T s i f L o c h l v n x q V Q B")},
}
"""By event type, then by the place in the event: itself, a part of it, or each row of a list in it."""

ORDER_KEYS = _keys(
    "orderId symbol status clientOrderId price avgPrice origQty executedQty cumQty cumQuote timeInForce type reduceOnly"
    " closePosition side positionSide stopPrice workingType priceProtect origType priceMatch selfTradePreventionMode"
    " goodTillDate updateTime time activatePrice priceRate modifyId pair cumBase"
)

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def unknown_in_event(frame: Frame | msgspec.Raw) -> list[str]:
    """Return the unknown keys of an event as `TYPE.place.key`; of a type that is not listed there are none.

    What cannot be read has none either: the parser says what is wrong with it.
    """
    try:
        event = _OBJECT.decode(frame)
        if "stream" in event and "data" in event:
            event = _OBJECT.decode(event["data"])
        kind = msgspec.json.decode(event["e"], type=str)
        places = EVENT_KEYS.get(kind, {})
        return [
            f"{kind}.{place}{'.' if place else ''}{key}"
            for place, known in places.items()
            for key in _keys_at(event, place)
            if key not in known
        ]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return []


def _keys_at(event: dict[str, msgspec.Raw], place: str) -> list[str]:
    if not place:
        return list(event)
    first, _, second = place.partition(".")
    part: Any = msgspec.json.decode(event[first])
    if second:
        rows = part.get(second, []) if isinstance(part, dict) else []
        return [key for row in rows if isinstance(row, dict) for key in row]
    return list(part) if isinstance(part, dict) else []


def unknown_in_order(body: Frame | msgspec.Raw) -> list[str]:
    """Return the unknown keys of an order's record as `order.key`."""
    try:
        return [f"order.{key}" for key in _OBJECT.decode(body) if key not in ORDER_KEYS]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []


class KeyCensus:
    """Looks at one in so many of what comes, the first included, and counts unknown keys in `ignored`."""

    def __init__(
        self, ignored: Ignored, unknown: Callable[[Frame | msgspec.Raw], list[str]], *, every: int = 1
    ) -> None:
        self._ignored = ignored
        self._unknown = unknown
        self._every = every
        self._seen = 0

    def look(self, data: Frame | msgspec.Raw) -> None:
        """Count the unknown keys of a frame or body, if it is one of the sample."""
        if self._seen % self._every == 0:
            for key in self._unknown(data):
                self._ignored[f"key {key}"] += 1
        self._seen += 1

    def before(self, parse: Callable[[Frame], T]) -> Callable[[Frame], T]:
        """Return a parser that looks at each frame first."""

        def look_and_parse(frame: Frame) -> T:
            self.look(frame)
            return parse(frame)

        return look_and_parse

"""Measure three ways to read the exchange's messages: `just bench-parsers [FOLDER]`.

The same messages are read into the same fields by msgspec's typed decoder (what the bot uses), by cattrs' preconfigured
JSON converter into attrs classes, and by `json` alone into dicts, which checks nothing and makes no Decimal. FOLDER
holds recorded messages (`payloads/recorded_user_stream.jsonl`, `data/wire/usdm_*.gz`); without it they are invented.
The figure is the processor time of the fastest of many rounds, which others on the machine disturb least; absolute
figures belong to the machine, ratios travel.
"""

import gzip
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, get_args, get_type_hints

import attrs
import cattrs.preconf.json
import msgspec

from trio_grid.exchange.protocol import wire
from trio_grid.exchange.protocol.market_messages import WireDepth, WireQuote, WireTrade

ROUNDS = 25
MESSAGES = 400
TIME = 1_776_789_210_247
KINDS: dict[str, type[msgspec.Struct]] = {
    "bookTicker": WireQuote,
    "trade": WireTrade,
    "depthUpdate": WireDepth,
    "ORDER_TRADE_UPDATE": wire.WireOrderTradeUpdate,
    "ACCOUNT_UPDATE": wire.WireAccountUpdate,
}


def invented() -> Iterator[dict[str, Any]]:
    """Yield messages of each kind with the fields and lengths of real ones."""
    head = {"E": TIME, "T": TIME, "s": "BTCUSDT"}
    levels = [[f"{60_000 + place / 10:.2f}", f"{place % 7}.{place:03d}"] for place in range(40)]
    for number in range(MESSAGES):
        price = f"{60_000 + number % 97 / 10:.2f}"
        yield {"e": "bookTicker", "u": 10**12 + number, "b": price, "B": "1.204", "a": price, "A": "0.350", **head}
        yield {"e": "trade", "t": 10**9 + number, "p": price, "q": "0.014", "X": "MARKET", "m": number % 2 == 0, **head}
        if number % 10 == 0:
            yield {"e": "depthUpdate", "U": number, "u": number + 9, "pu": number - 1, "b": levels, "a": levels, **head}
        yield {"e": "ORDER_TRADE_UPDATE", "T": TIME, "E": TIME, "o": _order(number, price)}
        balance = {"a": "USDT", "wb": "10012.48650063", "cw": "10012.48650063", "bc": "0"}
        position = {"s": "BTCUSDT", "pa": "0.020", "ep": price, "cr": "0", "up": "0.1", "mt": "cross", "ps": "BOTH"}
        yield {"e": "ACCOUNT_UPDATE", "T": TIME, "E": TIME, "a": {"m": "ORDER", "B": [balance], "P": [position]}}


def _order(number: int, price: str) -> dict[str, Any]:
    return {
        "s": "BTCUSDT", "c": f"k3Jx9a-1-{number}", "S": "BUY", "o": "LIMIT", "f": "GTX", "q": "0.020", "p": price,
        "ap": price, "sp": "0", "x": "TRADE", "X": "FILLED", "i": 10**10 + number, "l": "0.020", "z": "0.020",
        "L": price, "n": "0.00926936", "N": "USDT", "T": TIME, "t": 10**9 + number, "b": "0", "a": "0", "m": True,
        "R": False, "wt": "CONTRACT_PRICE", "ot": "LIMIT", "ps": "BOTH", "cp": False, "rp": "0", "pP": False, "si": 0,
        "ss": 0, "V": "EXPIRE_MAKER", "pm": "NONE", "gtd": 0, "er": "0",
    }  # fmt: skip


def recorded(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield recorded messages, without their wrappers."""
    for line in (folder / "payloads" / "recorded_user_stream.jsonl").read_text().splitlines():
        event = json.loads(line)["event"]
        yield event.get("data", event)
    for path in sorted((folder / "data" / "wire").glob("usdm_*.gz")):
        with gzip.open(path, "rt") as lines:
            for line in islice(lines, 10 * MESSAGES):
                message = json.loads(line[line.index("{") :])
                yield message.get("data", message)


def texts_by_kind(messages: Iterator[dict[str, Any]]) -> dict[str, list[bytes]]:
    """Return the messages that are measured, as they come over the wire."""
    found: dict[str, list[bytes]] = defaultdict(list)
    for message in messages:
        if message.get("e") in KINDS:
            found[message["e"]].append(json.dumps(message, separators=(",", ":")).encode())
    return dict(found)


def attrs_twin(struct: type[msgspec.Struct], made: dict[type, type]) -> type:
    """Return a frozen attrs class with the fields of a structure, by the names that they have on the wire."""
    if struct in made:
        return made[struct]
    hints, fields = get_type_hints(struct), {}
    for field in msgspec.structs.fields(struct):
        kind = _twin_type(hints[field.name], made)
        default = attrs.NOTHING if field.required else field.default
        fields[field.encode_name] = attrs.field(type=kind, default=default, kw_only=True)
    made[struct] = attrs.make_class(struct.__name__, fields, frozen=True)
    return made[struct]


def _twin_type(hint: Any, made: dict[type, type]) -> Any:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return attrs_twin(hint, made)
    inner = get_args(hint)
    if inner and isinstance(inner[0], type) and issubclass(inner[0], msgspec.Struct):
        return tuple[attrs_twin(inner[0], made), ...]  # type: ignore[misc]
    return hint


def cattrs_reader(struct: type[msgspec.Struct]) -> Callable[[bytes], object]:
    """Return cattrs' reader: the preconfigured JSON converter, with exact decimals and without its detailed errors."""
    converter = cattrs.preconf.json.make_converter(detailed_validation=False)
    converter.register_structure_hook(Decimal, lambda value, _: Decimal(value))
    twin = attrs_twin(struct, {})
    return lambda text: converter.loads(text, twin)


def microseconds(read: Callable[[bytes], object], texts: list[bytes]) -> float:
    """Return the time of a message in the fastest round."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.thread_time_ns()
        for text in texts:
            read(text)
        rounds.append((time.thread_time_ns() - begun) / len(texts) / 1_000)
    return min(rounds)


def same_fields(value: Any, twin: Any) -> bool:
    """True if both ways read the same values."""
    if isinstance(value, msgspec.Struct):
        names = ((field.name, field.encode_name) for field in msgspec.structs.fields(type(value)))
        return all(same_fields(getattr(value, name), getattr(twin, wire_name)) for name, wire_name in names)
    if isinstance(value, tuple):
        return len(value) == len(twin) and all(map(same_fields, value, twin))
    return bool(value == twin)


def main(arguments: list[str]) -> int:
    """Print a row for each kind of message."""
    texts = texts_by_kind(recorded(Path(arguments[0])) if arguments else invented())
    print(
        "| message | number | bytes | msgspec, us | cattrs, us | json alone, us | cattrs / msgspec | json / msgspec |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for kind, struct in KINDS.items():
        samples = texts.get(kind, [])
        if not samples:
            continue
        decoder = msgspec.json.Decoder(struct, strict=False)
        by_cattrs = cattrs_reader(struct)
        if not all(same_fields(decoder.decode(text), by_cattrs(text)) for text in samples):
            raise SystemExit(f"{kind}: the two ways do not read the same")
        fast, slow, plain = (microseconds(read, samples) for read in (decoder.decode, by_cattrs, json.loads))
        size = sum(map(len, samples)) // len(samples)
        row = f"| {kind} | {len(samples)} | {size} | {fast:.2f} | {slow:.2f} | {plain:.2f} "
        print(f"{row}| {slow / fast:.1f} | {plain / fast:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Which public clients drive the paper exchange, which operations they are asked for, and the table of what came out.

Every operation must be reported by every client: carried out, or said to be not offered by it. What is missing counts
as failed, so that nothing can be left out in silence.
"""

from collections.abc import Mapping

import attrs

from tools.client_environments import pinned_version

BEGIN, END = "<!-- written by `just conformance --write` -->", "<!-- end of what is written -->"

Results = dict[str, tuple[str, str]]
"""By operation: outcome ("ok", "failed" or "not offered") and detail."""

MARKS = {"ok": "ok", "failed": "FAILED", "not offered": "-"}


SPOT = "Spot"


@attrs.frozen
class Client:
    """One column: its script in tests/conformance/clients, its environment, and the package that it is about.

    A client is asked for futures, or for spot alone.
    """

    name: str
    title: str
    environment: str
    package: str
    script: str
    spot: bool = False

    @property
    def version(self) -> str:
        """The version that the environment's lock pins."""
        return pinned_version(self.environment, self.package)


CLIENTS = (
    Client("ccxt", "ccxt", "ccxt", "ccxt", "ccxt_sync.py"),
    Client("ccxt-pro", "ccxt pro", "ccxt", "ccxt", "ccxt_pro.py"),
    Client("ccxt-spot", "ccxt spot", "ccxt", "ccxt", "ccxt_spot.py", spot=True),
    Client("python-binance", "python-binance", "python-binance", "python-binance", "python_binance.py"),
    Client(
        "futures-connector",
        "futures-connector",
        "futures-connector",
        "binance-futures-connector",
        "futures_connector.py",
    ),
    Client(
        "official-sdk",
        "official SDK",
        "official-sdk",
        "binance-sdk-derivatives-trading-usds-futures",
        "official_sdk.py",
    ),
    Client("spot-sdk", "official spot SDK", "spot-sdk", "binance-sdk-spot", "spot_sdk.py", spot=True),
)

REQUIREMENTS = {client.environment: client.package for client in CLIENTS}
"""By environment: what its lock is made from (`just lock`)."""

OPERATIONS: dict[str, tuple[str, ...]] = {
    "Market data": (
        "exchange information",
        "time",
        "klines",
        "order book",
        "24h ticker",
        "price ticker",
        "book ticker",
        "recent trades",
        "historical trades",
        "aggregate trades",
        "mark price",
        "mark and index klines",
        "funding rates",
        "open interest",
    ),
    "Orders": (
        "LIMIT GTC",
        "LIMIT IOC",
        "LIMIT FOK",
        "LIMIT GTX",
        "LIMIT GTD",
        "MARKET",
        "reduce-only",
        "price match",
        "test order",
        "query order",
        "cancel order",
        "amend order",
        "amendment history",
        "place batch",
        "amend batch",
        "cancel batch",
        "open orders",
        "all orders",
        "cancel all orders",
        "countdown cancel all",
        "Ed25519: signed one by one",
    ),
    "Conditional orders": (
        "STOP_MARKET",
        "TAKE_PROFIT_MARKET",
        "STOP",
        "TAKE_PROFIT",
        "TRAILING_STOP_MARKET",
        "conditional orders: history",
        "conditional orders: cancel all",
    ),
    "Account": (
        "balances",
        "account information",
        "positions",
        "my trades",
        "income",
        "commission rate",
        "leverage brackets",
        "change leverage",
        "symbol configuration",
        "isolated margin",
        "position mode",
        "hedge mode",
        "multi-assets mode",
        "fee burn",
        "forced orders and deleveraging",
        "order rate limits",
    ),
    "Streams": (
        "stream: klines",
        "stream: aggregate trades",
        "stream: trades",
        "stream: 24h ticker",
        "stream: mini ticker",
        "stream: book ticker",
        "stream: mark price",
        "stream: order book",
        "user stream: orders",
        "user stream: conditional orders",
        "user stream: trades",
        "user stream: balances",
        "user stream: positions",
    ),
    "WebSocket API": (
        "WebSocket API: place, query, cancel",
        "WebSocket API: amend",
        "WebSocket API: conditional orders",
        "WebSocket API: account",
        "WebSocket API: market data",
        "WebSocket API: Ed25519, signed one by one",
        "WebSocket API: Ed25519 session.logon",
    ),
    "Refusals": (
        "error: insufficient margin",
        "error: filters",
        "error: unknown order",
        "error: bad symbol",
        "error: bad parameter",
        "error: authentication",
        "error: timestamp",
        "error: post-only would take",
        "error: fill or kill",
        "error: duplicate id",
        "error: reduce-only",
        "error: would trigger at once",
        "error: conditional type on the order endpoint",
        "error: no change",
        "error: too many open orders",
        "error: unknown route",
        "error: too many orders",
        "error: too much weight",
        "error: over the WebSocket API",
    ),
    SPOT: (
        "spot: exchange information",
        "spot: market data",
        "spot: LIMIT GTC, IOC, FOK",
        "spot: LIMIT_MAKER",
        "spot: MARKET",
        "spot: cancel and replace",
        "spot: lists of orders",
        "spot: balances",
        "spot: my trades",
        "spot: commission",
        "spot: market streams",
        "spot: user stream",
        "spot: WebSocket API",
        "spot: refusals",
    ),
}


def asked_of(client: Client) -> list[str]:
    """Return the operations that a client is asked for."""
    return [name for group, names in OPERATIONS.items() if (group == SPOT) is client.spot for name in names]


def complete(client: Client, reported: Mapping[str, tuple[str, str]], code: int) -> Results:
    """Return one row for each operation, in order; what was not reported has failed, and so has an unknown name."""
    known, asked = [name for names in OPERATIONS.values() for name in names], asked_of(client)
    silence = ("failed", f"{client.script} did not report it; its exit code was {code}")
    elsewhere = ("not offered", "the client is asked for another market")
    results = {name: reported.get(name, silence if name in asked else elsewhere) for name in known}
    results |= {name: ("failed", "no operation of this name is known") for name in reported if name not in results}
    if code != 0 and "failed" not in {outcome for outcome, _ in results.values()}:
        results[asked[-1]] = silence
    return results


def table(found: Mapping[str, Results]) -> str:
    """Return a Markdown table: a column for each client that was run, a row for each operation."""
    clients = [client for client in CLIENTS if client.name in found]
    heads = ["operation", *(client.title for client in clients)]
    rows = [["*version*", *(client.version for client in clients)]]
    for group, names in OPERATIONS.items():
        rows.append([f"**{group}**", *("" for _ in clients)])
        rows += [[name, *(MARKS[found[client.name][name][0]] for client in clients)] for name in names]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def document_with(document: str, written: str) -> str:
    """Return the document with another table between its two marks; raises ValueError when a mark is missing."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no place for the table: {BEGIN} ... {END}")
    return f"{before}{begin}\n\n{written}\n\n{end}{after}"


def columns_of(document: str) -> dict[str, dict[str, str]]:
    """Return what the document's table says: by client's title, then by the row's name; groups are left out."""
    written = document.partition(BEGIN)[2].partition(END)[0]
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in written.splitlines() if "|" in line]
    if not lines:
        return {}
    heads, _, *rows = lines
    return {
        title: {row[0]: row[column] for row in rows if not row[0].startswith("**")}
        for column, title in enumerate(heads)
        if column > 0
    }

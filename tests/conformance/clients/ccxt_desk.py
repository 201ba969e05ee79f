"""What both ccxt scripts share: where its addresses lie, and the options of a client of the paper exchange."""

import re
from typing import Any

import ccxt
import requests
import requests.adapters
from harness import Target

SYMBOL = "BTC/USDT:USDT"
LOT = 0.001


def redirect(urls: dict[str, Any], target: Target) -> None:
    """Point every address of a client at the exchange, in place; scheme and host change, the paths stay."""
    for name, value in urls.items():
        if isinstance(value, dict):
            redirect(value, target)
        elif isinstance(value, str):
            value = re.sub(r"^https?://[^/]+", target.rest_url, value)
            urls[name] = re.sub(r"^wss?://[^/]+", target.ws_url, value)


def futures_options(target: Target, **options: Any) -> dict[str, Any]:
    """Return what a client is made with; its own throttle is off, so that the exchange's limits are the ones met."""
    quiet = {"warnOnFetchOpenOrdersWithoutSymbol": False}
    return {"apiKey": target.key, "secret": target.secret, "enableRateLimit": False, "options": quiet, **options}


class LoopbackAdapter(requests.adapters.HTTPAdapter):  # type: ignore[misc] # requests is not installed beside mypy
    """Carries requests for any address to the exchange."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._url = target.rest_url

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send the request to the exchange; its path and its bytes stay what they are."""
        request.url = re.sub(r"^https://[^/]+", self._url, str(request.url))
        return super().send(request, *args, **options)


class Desk:
    """One client with an open market list, and what the operations need again and again."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.client = self.connect()
        self.client.load_markets()
        self.binance = self.connect_as_binance()
        self.second = self.connect(apiKey=target.second_key, secret=target.second_secret)
        self.second.set_markets(self.client.markets)

    def make(self, options: dict[str, Any]) -> Any:
        """Return a client, whose methods are called without waiting for anything."""
        return ccxt.binanceusdm(options)

    def binance_session(self) -> Any:
        """Return a session that carries requests for Binance to the exchange."""
        session = requests.Session()
        session.mount("https://", LoopbackAdapter(self.target))
        return session

    def connect(self, **options: Any) -> Any:
        """Return another client of the same exchange."""
        client = self.make(futures_options(self.target, **options))
        redirect(client.urls, self.target)
        return client

    def connect_as_binance(self, **options: Any) -> Any:
        """Return a client that keeps Binance's addresses, which it reads meaning from; the market list is shared."""
        client = self.make(futures_options(self.target, session=self.binance_session(), **options))
        client.set_markets(self.client.markets)
        return client

    def price(self, side: str, distance: float = 0.02) -> float:
        """Return a price at which an order of this side rests, a fraction away from the book."""
        book = self.client.fetch_order_book(SYMBOL, 5)
        best = book["bids"][0][0] if side == "buy" else book["asks"][0][0]
        return float(self.client.price_to_precision(SYMBOL, best * (1 - distance if side == "buy" else 1 + distance)))

    def taking_price(self, side: str) -> float:
        """Return a price at which an order of this side trades at once."""
        return self.price("sell" if side == "buy" else "buy", 0.005)

    def rest(self, side: str = "buy", amount: float = 0.01, *, client: Any = None, **params: Any) -> Any:
        """Place an order that rests."""
        return (client or self.client).create_order(SYMBOL, "limit", side, amount, self.price(side), params)

    def market(self, side: str, amount: float = 0.01, **params: Any) -> Any:
        """Trade at once."""
        return self.client.create_order(SYMBOL, "market", side, amount, None, params)

    def position(self) -> float:
        """Return the signed position."""
        rows = self.client.fetch_positions([SYMBOL])
        return float(sum(row["contracts"] * (1 if row["side"] == "long" else -1) for row in rows))

    def flatten(self) -> None:
        """Leave no order and no position: one so near to the market may have traded meanwhile."""
        self.client.cancel_all_orders(SYMBOL)
        if position := self.position():
            self.market("sell" if position > 0 else "buy", abs(position))

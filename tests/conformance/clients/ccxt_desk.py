"""What both ccxt scripts share: where its addresses lie, and the options of a client of the paper exchange."""

import re
from typing import Any

from harness import Target

SYMBOL = "BTC/USDT:USDT"


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

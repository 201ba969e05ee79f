"""Owns the way from a configuration to an open client: addresses and keys; nothing else differs between venues."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import attrs

from trio_grid.config import Config, ExchangeKind, KeyType, load_credentials
from trio_grid.errors import ConfigError
from trio_grid.exchange.binance.usdm_futures import Endpoints, UsdmFutures, open_usdm_futures
from trio_grid.exchange.protocol.signing import Ed25519Signer, HmacSigner, Signer


@attrs.frozen
class Venue:
    """One exchange as the bot reaches it. `name` is what the journal knows it by."""

    name: str
    endpoints: Endpoints
    signer: Signer | None = attrs.field(repr=False)


def venue_of(config: Config) -> Venue | None:
    """Return the venue that the configuration names, None for the embedded exchange.

    Raises:
        ConfigError: an address or the key is missing.
    """
    exchange = config.exchange
    if exchange.kind is ExchangeKind.PAPER:
        return None
    if exchange.rest_url is None or exchange.ws_url is None or exchange.ws_api_url is None:
        raise ConfigError(["$.exchange: rest_url, ws_url and ws_api_url are needed with this kind"])
    return Venue(
        name=urlsplit(exchange.rest_url).hostname or exchange.rest_url,
        endpoints=Endpoints(rest_url=exchange.rest_url, ws_url=exchange.ws_url, ws_api_url=exchange.ws_api_url),
        signer=_signer(config),
    )


def _signer(config: Config) -> Signer | None:
    credentials = load_credentials(config.exchange)
    if credentials is None:
        return None
    key, secret = credentials.key.reveal(), credentials.secret.reveal()
    if config.exchange.key_type is KeyType.HMAC:
        return HmacSigner(key, secret)
    try:
        return Ed25519Signer(key, secret)
    except ConfigError as error:
        names = ("private_key_file", "key_file", "secret_env")
        where = next(name for name in names if getattr(config.exchange, name) is not None)
        raise ConfigError([f"$.exchange.{where}: {fault}" for fault in error.faults]) from None


@asynccontextmanager
async def open_client(config: Config, venue: Venue) -> AsyncIterator[UsdmFutures]:
    """Open the client of a venue; it sends nothing by itself."""
    async with open_usdm_futures(
        venue.endpoints, venue.signer, recv_window_ms=config.exchange.recv_window_ms
    ) as client:
        yield client

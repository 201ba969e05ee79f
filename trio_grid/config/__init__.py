"""The operator's settings: TOML in, attrs classes out, every fault at once with its path.

`load_config` reads a file, `grid_settings` converts to the domain's whole units once the instrument is known,
`load_credentials` finds the key. Nothing here trades, connects or logs.
"""

import os
from collections.abc import Mapping

from trio_grid.config.conversion import grid_settings, regime_settings
from trio_grid.config.loading import load_config, parse_config
from trio_grid.config.schema import (
    AccountConfig,
    Config,
    ExchangeConfig,
    ExchangeKind,
    ExitConfig,
    ExitPolicy,
    FillModel,
    GridConfig,
    JournalConfig,
    LimitsConfig,
    MarginType,
    PaperConfig,
    RangeConfig,
    RegimeConfig,
    RiskConfig,
    SizeConfig,
)
from trio_grid.config.secret import (
    Credentials,
    KeyType,
    Secret,
    credentials_from_environment,
    credentials_from_file,
    credentials_from_pem_file,
)
from trio_grid.errors import ConfigError

__all__ = [
    "AccountConfig",
    "Config",
    "ConfigError",
    "Credentials",
    "ExchangeConfig",
    "ExchangeKind",
    "ExitConfig",
    "ExitPolicy",
    "FillModel",
    "GridConfig",
    "JournalConfig",
    "KeyType",
    "LimitsConfig",
    "MarginType",
    "PaperConfig",
    "RangeConfig",
    "RegimeConfig",
    "RiskConfig",
    "Secret",
    "SizeConfig",
    "grid_settings",
    "load_config",
    "load_credentials",
    "parse_config",
    "regime_settings",
]


def load_credentials(exchange: ExchangeConfig, environ: Mapping[str, str] = os.environ) -> Credentials | None:
    """Return the key that the settings name, or None where none is needed: the embedded exchange has its own.

    Raises:
        ConfigError: a variable is not set, or the file is missing, open to others or not understood.
    """
    if exchange.key_file is not None:
        return credentials_from_file(exchange.key_type, exchange.key_file)
    if exchange.key_env is not None and exchange.private_key_file is not None:
        return credentials_from_pem_file(exchange.key_type, exchange.key_env, exchange.private_key_file, environ)
    if exchange.key_env is not None and exchange.secret_env is not None:
        return credentials_from_environment(exchange.key_type, exchange.key_env, exchange.secret_env, environ)
    return None

"""`trio-grid exchange --account-ed25519` and a bot with the private key: check, run, and a key of somebody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.endtoend.processes import KEY_ENV, command, exchange_process, started, until

GRID = """
[grid]
symbol = "BTCUSDT"
interval = 30
levels = 4
[size]
quote_per_level = 200
[regime]
liquidity_filter = false
[exit]
policy = "cancel-all"
"""


def write_keys(folder: Path, name: str) -> tuple[Path, Path]:
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    return private, public


def orders_placed(folder: Path, config: Path) -> int:
    code, shown = command(folder, "status", config, "--json")
    assert code == 0, shown
    return int(json.loads(shown)["orders_placed"])


@pytest.mark.sockets
def test_check_and_run_with_an_ed25519_key_and_the_refusal_of_another(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path, "mine")
    other, _ = write_keys(tmp_path, "other")
    config = tmp_path / "bot.toml"
    with exchange_process(tmp_path, "--account-ed25519", f"testkey:{public}") as urls:
        names = ("rest_url", "ws_url", "ws_api_url")
        addresses = "\n".join(f'{name} = "{urls[name]}"' for name in names)
        config.write_text(
            f'[exchange]\nkind = "binance-usdm"\n{addresses}\nkey_type = "ed25519"\nkey_env = "{KEY_ENV}"\n'
            f'private_key_file = "{private}"\n[journal]\npath = "{tmp_path / "bot.sqlite3"}"\n{GRID}'
        )
        code, shown = command(tmp_path, "check", config)
        assert code == 0, shown
        assert "keys: accepted; orders go by a session of the WebSocket API, logged on" in shown
        with started(tmp_path, "run", config, "--set", "risk.shutdown_deadline_s=300") as bot:
            bot.wait_for("INFO trading ")
            until(lambda: orders_placed(tmp_path, config) > 0, "orders are placed")
            code, shown = bot.stop()
        assert code == 0, shown
        assert "the WebSocket API is connected: orders go over it" in shown
        assert "orders: 0\n" not in shown
        assert "exit policy: cancel-all, confirmed by the exchange" in shown
        assert "ties out: yes" in shown
        code, shown = command(tmp_path, "check", config, "--set", f'exchange.private_key_file="{other}"')
        assert code == 3, shown
        assert "Signature for this request is not valid" in shown
        other.chmod(0o644)
        code, shown = command(tmp_path, "check", config, "--set", f'exchange.private_key_file="{other}"')
        assert code == 2, shown
        assert "others may read or change it" in shown

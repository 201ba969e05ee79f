"""The exchange as its own process, as `trio-grid exchange` runs it."""

import argparse
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from trio_grid.cli.exchange import ExchangeOptions, add_exchange_parser, parse_account, parse_ed25519_account
from trio_grid.exchange.paper.build import build_exchange
from trio_grid.exchange.paper.engine.exchange import AccountSpec
from trio_grid.exchange.paper.engine.persistence import exchange_document

PATIENCE_S = 180.0
"""Far beyond what a busy machine needs: whoever waits for so long has found a hang."""
PROGRAM = """
import argparse, sys
from trio_grid.cli.exchange import add_exchange_parser
parser = argparse.ArgumentParser(prog="trio-grid")
add_exchange_parser(parser.add_subparsers(required=True))
arguments = parser.parse_args()
sys.exit(arguments.handler(arguments))
"""


@contextmanager
def exchange(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-W", "error", "-c", PROGRAM, "exchange", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def ready(process: subprocess.Popen[bytes]) -> dict[str, str]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    urls: dict[str, str] = json.loads(line)
    return urls


def stop(process: subprocess.Popen[bytes], with_signal: signal.Signals) -> tuple[int, bytes, bytes]:
    process.send_signal(with_signal)
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


@pytest.mark.sockets
@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_one_json_line_serves_and_stops_with_0(with_signal: signal.Signals) -> None:
    with exchange("--seed", "5", "--account", "k1:s1:250.5", "--account", "k2:s2") as process:
        urls = ready(process)
        assert set(urls) == {"rest_url", "ws_url", "ws_api_url", "spot_ws_url", "spot_ws_api_url"}
        assert urls["rest_url"].startswith("http://127.0.0.1:")
        assert urls["ws_api_url"] == urls["ws_url"] + "/ws-fapi/v1"
        url = f"{urls['rest_url']}/fapi/v1/ticker/price?symbol=BTCUSDT"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310 - the loopback URL that was just printed
            assert json.load(answer)["symbol"] == "BTCUSDT"
        assert stop(process, with_signal) == (0, b"", b"")


@pytest.mark.sockets
def test_a_taken_port_is_said_and_the_code_is_2() -> None:
    with exchange() as first:
        port = ready(first)["rest_url"].rsplit(":", 1)[1]
        with exchange("--port", port) as second:
            out, err = second.communicate(timeout=PATIENCE_S)
            assert (second.returncode, out) == (2, b"")
            assert err.startswith(b"trio-grid exchange: ")
            assert b"Traceback" not in err
        stop(first, signal.SIGINT)


@pytest.mark.sockets
@pytest.mark.parametrize(
    "options",
    [("--account", "onlykey"), ("--account", "k:s:abc"), ("--account", "k:s:-5"), ("--speed", "0"), ("--speed", "inf"),
     ("--account-ed25519", "k:/no/such/file"), ("--account-ed25519", "k:-----BEGIN nonsense"), ("--port", "x"),
     ("--market", "/no/such/file.csv"), ("--port", "99999")],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused_with_2(options: tuple[str, str]) -> None:
    with exchange(*options) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out) == (2, b""), err
        assert b"Traceback" not in err


def test_account_options(tmp_path: Path) -> None:
    key, balance = parse_account("key:secret")
    assert (key.key, key.account, key.secret, balance) == ("key", "key", "secret", 10_000 * 10**8)
    assert parse_account("key:secret:1.5")[1] == 150_000_000
    pem = tmp_path / "public.pem"
    pem.write_text(PUBLIC_PEM)
    for text in (f"key:{pem}", f"key:{PUBLIC_PEM}:7"):
        assert parse_ed25519_account(text)[0].public_key_pem == PUBLIC_PEM
    with pytest.raises(argparse.ArgumentTypeError, match="8 decimals"):
        parse_account("key:secret:0.000000001")


@pytest.mark.parametrize(
    "balance", ["1e400", "1e-400", "1E+999999999", "0", "-5", "NaN", "Infinity", "10000000000.1", "1e11", "0.000000001"]
)
def test_a_balance_outside_of_its_range_is_refused_with_the_range(balance: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        parse_account(f"key:secret:{balance}")
    assert str(refused.value) == (
        f"the balance '{balance}' of key is refused; allowed: above 0, at most 10000000000, with at most 8 decimals"
    )


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "1e300", "100001", "fast"])
def test_a_speed_outside_of_its_range_is_refused_with_the_range(speed: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_exchange_parser(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["exchange", f"--speed={speed}"])
    assert f"'{speed}' is refused; allowed: a number above 0, at most 100000" in capsys.readouterr().err


def test_the_largest_balance_is_one_that_can_be_traded_and_kept() -> None:
    _, balance = parse_account("key:secret:1e10")
    exchange = build_exchange(
        start_ms=1_750_000_000_000, history_minutes=5, accounts=[AccountSpec(name="key", balance_units=balance)]
    )
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
    exchange.place_order("key", order, exchange.now_ms)
    assert b'"wallet_units":99999999' in exchange_document(exchange)


def test_defaults() -> None:
    parser = argparse.ArgumentParser()
    add_exchange_parser(parser.add_subparsers())
    arguments = parser.parse_args(["exchange"])
    assert (arguments.speed, arguments.port, arguments.seed, arguments.strict_routing) == (1.0, 0, 1, False)
    assert ExchangeOptions().port == 0


PUBLIC_PEM = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=
-----END PUBLIC KEY-----
"""

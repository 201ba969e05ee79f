"""A secret is seen nowhere: not in text, logs, tracebacks, pickles or faults; its file is its owner's alone."""

import copy
import io
import json
import logging
import os
import pickle
import traceback
from pathlib import Path

import attrs
import msgspec
import pytest
from rich.console import Console
from rich.traceback import Traceback

from trio_grid.config import ConfigError, Credentials, KeyType, Secret, load_credentials, parse_config

WORD = "Xq3vTt81secretWordZz"
SETTINGS = """
[exchange]
kind = "binance-usdm"
rest_url = "https://example.org"
ws_url = "wss://example.org"
ws_api_url = "wss://example.org/ws-fapi/v1"
{keys}
[grid]
symbol = "BTCUSDT"
interval = 30
[size]
quote_per_level = 200
[limits]
max_inventory = 1
"""
PEM = "-----BEGIN PRIVATE KEY-----\\nabc\\n-----END PRIVATE KEY-----"


def settings_with(keys: str) -> str:
    return SETTINGS.replace("{keys}", keys)


def test_a_secret_is_not_in_any_text_made_of_it() -> None:
    secret = Secret(WORD)
    credentials = Credentials(KeyType.HMAC, Secret("key" + WORD), secret)
    texts = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r:>40}",
        f"{secret:>40}",
        "%s %r" % (secret, secret),  # noqa: UP031
        "{} {!s}".format(secret, [secret, {"a": secret}]),
        repr(credentials),
        repr(attrs.asdict(credentials)),
        ascii(secret),
        str(hash(secret)),
    ]
    assert not [text for text in texts if WORD in text]
    assert f"{secret:>10}" == "  <secret>"
    assert secret.reveal() == WORD


def test_a_secret_is_in_no_serialized_form() -> None:
    secret = Secret(WORD)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret, protocol)
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    with pytest.raises(TypeError):
        vars(secret)
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_secrets_compare_by_their_text() -> None:
    assert Secret(WORD) == Secret(WORD)
    assert Secret(WORD) != Secret("else")
    assert Secret(WORD) != WORD
    assert not Secret("")


def test_a_secret_is_in_no_log_and_no_traceback() -> None:
    secret = Secret(WORD)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    log = logging.getLogger("tests.config.secret")
    log.propagate = False
    log.addHandler(handler)
    console = Console(file=stream, width=200)
    try:
        raise RuntimeError(f"cannot sign with {secret}", secret)
    except RuntimeError as error:
        log.exception("signing with %s failed", secret)
        console.print(Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True))
        for line in traceback.TracebackException.from_exception(error, capture_locals=True).format():
            stream.write(line)
    finally:
        log.removeHandler(handler)
    assert "<secret>" in stream.getvalue()
    assert WORD not in stream.getvalue()


@pytest.mark.parametrize("name", ["key_env", "secret_env"])
def test_a_secret_pasted_in_place_of_a_variable_name_is_not_repeated(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(settings_with(f'key_env = "A"\nsecret_env = "B"\n{name} = "{WORD}"'.replace(f'{name} = "A"\n', "")
                                   .replace(f'{name} = "B"\n', "")))  # fmt: skip
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.faults)
    assert WORD not in shown
    assert caught.value.faults == (
        f"$.exchange.{name}: the value (not shown here) is refused; "
        "allowed: a text, the NAME of an environment variable, in capitals",
    )
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("override", [f"exchange.secret={WORD}", f"{WORD}", f'exchange.secret_env="{WORD}"'])
def test_a_secret_given_as_an_override_is_not_repeated(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(settings_with('key_env = "A"\nsecret_env = "B"'), [override])
    assert WORD not in "".join(traceback.format_exception(caught.value))


def test_credentials_come_from_the_environment() -> None:
    exchange = parse_config(settings_with('key_env = "KEY"\nsecret_env = "SECRET"')).exchange
    credentials = load_credentials(exchange, {"KEY": "mykey\n", "SECRET": WORD})
    assert credentials == Credentials(KeyType.HMAC, Secret("mykey"), Secret(WORD))
    with pytest.raises(ConfigError) as caught:
        load_credentials(exchange, {"KEY": " "})
    assert [fault.partition(" is not set")[0] for fault in caught.value.faults] == [
        "$.exchange.key_env: the environment variable KEY",
        "$.exchange.secret_env: the environment variable SECRET",
    ]


def test_the_embedded_exchange_needs_no_credentials() -> None:
    config = parse_config('[grid]\nsymbol="BTCUSDT"\ninterval=30\n[size]\nquote_per_level=200\n')
    assert load_credentials(config.exchange, {}) is None


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key.toml"
    path.touch(mode=0o600)
    return path


def load_from(path: Path, key_type: str = "hmac") -> Credentials | None:
    return load_credentials(parse_config(settings_with(f'key_file = "{path}"\nkey_type = "{key_type}"')).exchange, {})


def test_credentials_come_from_a_file_of_its_owner(key_file: Path) -> None:
    key_file.write_text(f'key = "mykey"\nsecret = "{WORD}"\n')
    assert load_from(key_file) == Credentials(KeyType.HMAC, Secret("mykey"), Secret(WORD))
    key_file.write_text(f'key = "mykey"\nsecret = "{PEM}"\n')
    loaded = load_from(key_file, "ed25519")
    assert loaded is not None
    assert loaded.secret.reveal().startswith("-----BEGIN PRIVATE KEY-----\nabc")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o601])
def test_a_key_file_that_others_may_use_is_refused(key_file: Path, mode: int) -> None:
    key_file.write_text(f'key = "mykey"\nsecret = "{WORD}"\n')
    key_file.chmod(mode)
    with pytest.raises(ConfigError, match="others may read or change it; allowed: your own file with mode 0600"):
        load_from(key_file)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (WORD, "is not TOML"),
        (f'key = "a"\nsecret = "{WORD}', "is not TOML"),
        (f'secret = "{WORD}"', "key is missing, empty or no text"),
        (f'key = 5\nsecret = "{WORD}"', "key is missing, empty or no text"),
        (f'key = "a"\nsecret = " "\nmore = "{WORD}"', "unknown key more"),
        (f'key = "a b"\nsecret = "{WORD}"', "the API key has characters that no key has"),
        (f'key = "a"\nsecret = "-----BEGIN {WORD}"', "the secret is PEM text"),
    ],
)
def test_a_key_file_that_is_not_understood_is_not_repeated(key_file: Path, content: str, fault: str) -> None:
    key_file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_from(key_file)
    assert any(fault in line for line in caught.value.faults)
    assert WORD not in "".join(traceback.format_exception(caught.value))


def test_an_ed25519_secret_must_be_a_private_key(key_file: Path) -> None:
    key_file.write_text(f'key = "a"\nsecret = "{WORD}"\n')
    with pytest.raises(ConfigError, match="the secret is no PEM text"):
        load_from(key_file, "ed25519")


def test_a_key_file_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"key_file: .*: cannot be read: No such file"):
        load_from(tmp_path / "missing")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_from(tmp_path)
    with pytest.raises(ConfigError, match="is not a regular file"):
        load_from(Path(os.devnull))


def test_a_pem_text_in_a_variable_may_stand_in_one_line() -> None:
    exchange = parse_config(settings_with('key_env = "KEY"\nsecret_env = "SECRET"\nkey_type = "ed25519"')).exchange
    for text in (PEM, PEM.replace("\\n", "\n")):
        loaded = load_credentials(exchange, {"KEY": "mykey", "SECRET": text})
        assert loaded is not None
        assert loaded.secret.reveal() == "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----"


PEM_FILE = 'key_env = "KEY"\nprivate_key_file = "{path}"\nkey_type = "ed25519"'


def test_an_ed25519_key_lies_in_a_pem_file_of_its_owner(key_file: Path) -> None:
    key_file.write_text(PEM.replace("\\n", "\n") + "\n")
    exchange = parse_config(settings_with(PEM_FILE.format(path=key_file))).exchange
    loaded = load_credentials(exchange, {"KEY": "mykey"})
    assert loaded == Credentials(KeyType.ED25519, Secret("mykey"), Secret(PEM.replace("\\n", "\n")))
    key_file.chmod(0o640)
    with pytest.raises(ConfigError) as caught:
        load_credentials(exchange, {})
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [
        "$.exchange.key_env",
        "$.exchange.private_key_file",
    ]
    assert "allowed: your own file with mode 0600" in caught.value.faults[1]


@pytest.mark.parametrize("content", [WORD.encode(), b"\xff\xfe" + WORD.encode(), b""])
def test_a_pem_file_that_holds_something_else_is_refused_and_not_repeated(key_file: Path, content: bytes) -> None:
    key_file.write_bytes(content)
    exchange = parse_config(settings_with(PEM_FILE.format(path=key_file))).exchange
    with pytest.raises(ConfigError, match=r"private_key_file: the secret is no PEM text") as caught:
        load_credentials(exchange, {"KEY": "mykey"})
    assert WORD not in "".join(traceback.format_exception(caught.value))


def test_a_pem_file_needs_an_ed25519_key_and_the_name_of_the_key() -> None:
    with pytest.raises(ConfigError, match=r'private_key_file: is refused; allowed: only with exchange.key_type = "ed'):
        parse_config(settings_with('key_env = "KEY"\nprivate_key_file = "a"'))
    with pytest.raises(ConfigError, match=r"allowed: .* or key_env and private_key_file together"):
        parse_config(settings_with('private_key_file = "a"\nkey_type = "ed25519"'))

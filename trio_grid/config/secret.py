"""Values that must not be seen, and where they come from: the environment, or a file that only its owner may read.

A `Secret` gives its text by `reveal()` and in no other way: not by repr, str, format, pickle or JSON, and so not in
logs and tracebacks. Nothing here keeps a secret in an exception.
"""

import enum
import hmac
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import attrs

from trio_grid.errors import ConfigError

SHOWN = "<secret>"
LARGEST_KEY_FILE_BYTES = 65_536


class Secret:
    """A text that is never shown."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """Return the text. Call it where it is used, and keep the result in no object."""
        return self.__text

    def __repr__(self) -> str:
        return SHOWN

    def __format__(self, specification: str) -> str:
        return format(SHOWN, specification)

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__text.encode(), other.__text.encode())

    def __hash__(self) -> int:
        # A hash of the text would be something to test guesses against.
        return hash(Secret)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: Any) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret is not pickled")


class KeyType(enum.StrEnum):
    """How requests are signed."""

    HMAC = "hmac"
    ED25519 = "ed25519"


@attrs.frozen
class Credentials:
    """The account's API key, and what signs its requests: an HMAC secret, or an Ed25519 private key as PEM text."""

    key_type: KeyType
    key: Secret
    secret: Secret


def credentials_from_environment(
    key_type: KeyType, key_name: str, secret_name: str, environ: Mapping[str, str]
) -> Credentials:
    """Return the credentials held by two environment variables.

    Raises:
        ConfigError: a variable is missing or empty; both are looked at before it is raised.
    """
    faults = missing_variables({"$.exchange.key_env": key_name, "$.exchange.secret_env": secret_name}, environ)
    if faults:
        raise ConfigError(faults)
    secret = environ[secret_name].strip()
    if secret.startswith("-----BEGIN") and "\n" not in secret:
        # Many tools keep a variable in one line and write the ends of lines as \\n.
        secret = secret.replace("\\n", "\n")
    return checked(key_type, environ[key_name].strip(), secret, "$.exchange.secret_env")


def missing_variables(settings: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """Return a fault for each setting (path -> name of a variable) whose variable is not set or empty."""
    return [
        f"{path}: the environment variable {name} is not set or is empty; allowed: the name of one that is set"
        for path, name in settings.items()
        if not environ.get(name, "").strip()
    ]


def credentials_from_pem_file(key_type: KeyType, key_name: str, path: Path, environ: Mapping[str, str]) -> Credentials:
    """Return the credentials whose key an environment variable holds, and whose private key lies in a PEM file.

    Raises:
        ConfigError: the variable is missing, the file cannot be read, others may read it, or it is no PEM text.
    """
    faults = missing_variables({"$.exchange.key_env": key_name}, environ)
    wrong, content = read_owner_only(path.expanduser())
    faults += [f"$.exchange.private_key_file: {path}: {fault}" for fault in wrong]
    if faults:
        raise ConfigError(faults)
    # What is no ASCII is no PEM either; the text itself is never shown.
    secret = content.decode("ascii", "replace").strip()
    return checked(key_type, environ[key_name].strip(), secret, "$.exchange.private_key_file")


def credentials_from_file(key_type: KeyType, path: Path) -> Credentials:
    """Return the credentials that a TOML file holds as `key` and `secret`.

    Raises:
        ConfigError: it cannot be read, others than its owner may read it, or it holds something else.
    """
    faults, values = read_key_file(path.expanduser())
    if faults:
        raise ConfigError([f"$.exchange.key_file: {path}: {fault}" for fault in faults])
    return checked(key_type, values["key"], values["secret"], "$.exchange.key_file")


def read_owner_only(path: Path) -> tuple[list[str], bytes]:
    """Return what is wrong with a file that only its owner may read, and its content when nothing is."""
    try:
        with path.open("rb") as file:
            # The open file is looked at, not the path: what was checked is what is read.
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return ["is not a regular file"], b""
            if status.st_mode & 0o077 or status.st_uid not in {os.geteuid(), 0}:
                return [f"others may read or change it; allowed: your own file with mode 0600 (chmod 600 {path})"], b""
            return [], file.read(LARGEST_KEY_FILE_BYTES)
    except OSError as error:
        return [f"cannot be read: {error.strerror}"], b""


def read_key_file(path: Path) -> tuple[list[str], dict[str, str]]:
    """Return what is wrong with a key file, and its two texts when nothing is."""
    wrong, content = read_owner_only(path)
    if wrong:
        return wrong, {}
    try:
        values = tomllib.loads(content.decode())
    except (ValueError, RecursionError):
        # The parser's own words may quote the file, and the file holds a secret.
        return ['is not TOML; allowed: two lines, key = "..." and secret = "..."'], {}
    faults = [
        f"{name} is missing, empty or no text"
        for name in ("key", "secret")
        if not isinstance(values.get(name), str) or not values[name].strip()
    ]
    faults += [f"unknown key {name}; allowed: key, secret" for name in values if name not in {"key", "secret"}]
    return faults, {} if faults else {name: values[name].strip() for name in ("key", "secret")}


def checked(key_type: KeyType, key: str, secret: str, path: str) -> Credentials:
    """Return credentials whose secret has the form that its type asks for; raises ConfigError if it has not."""
    is_pem = secret.startswith("-----BEGIN")
    if key_type is KeyType.ED25519 and not is_pem:
        raise ConfigError([f"{path}: the secret is no PEM text; allowed with key_type ed25519: a private key as PEM"])
    if key_type is KeyType.HMAC and is_pem:
        raise ConfigError([f"{path}: the secret is PEM text; allowed with key_type hmac: the exchange's secret key"])
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError([f"{path}: the API key has characters that no key has; allowed: letters and digits"])
    return Credentials(key_type, Secret(key), Secret(secret))

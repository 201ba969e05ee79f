"""Rules that a single setting must keep, as annotations: `levels: Annotated[int, AtLeast(1)]`.

A rule says whether a value keeps it and, in the user's words, what is allowed. The words serve the faults and the
generated reference alike, so that the two cannot differ. Nothing here knows TOML, files or other settings.
"""

import ipaddress
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable
from urllib.parse import SplitResult, urlsplit

import attrs


@runtime_checkable
class Rule(Protocol):
    """What a value must be beyond its type."""

    @property
    def words(self) -> str:
        """What is allowed, as the end of a sentence that begins with `allowed:`."""
        ...

    def holds(self, value: Any) -> bool:
        """Return whether the value, already of the right type, keeps the rule."""
        ...


@attrs.frozen
class AtLeast:
    """The value may not be below a bound."""

    bound: int | Decimal

    @property
    def words(self) -> str:
        """What is allowed."""
        return f"at least {self.bound}"

    def holds(self, value: Any) -> bool:
        """Return whether the bound is kept."""
        return bool(value >= self.bound)


@attrs.frozen
class Above:
    """The value must be above a bound."""

    bound: int | Decimal

    @property
    def words(self) -> str:
        """What is allowed."""
        return f"above {self.bound}"

    def holds(self, value: Any) -> bool:
        """Return whether the bound is kept."""
        return bool(value > self.bound)


@attrs.frozen
class AtMost:
    """The value may not be above a bound."""

    bound: int | Decimal

    @property
    def words(self) -> str:
        """What is allowed."""
        return f"at most {self.bound}"

    def holds(self, value: Any) -> bool:
        """Return whether the bound is kept."""
        return bool(value <= self.bound)


@attrs.frozen
class Decimals:
    """The value may have so many decimals at most, since it becomes a whole number of that unit."""

    places: int

    @property
    def words(self) -> str:
        """What is allowed."""
        return f"at most {self.places} decimals"

    def holds(self, value: Any) -> bool:
        """Return whether nothing would be lost."""
        return bool(value == round(value, self.places))


@attrs.frozen
class Pattern:
    """The whole text must match a regular expression; `words` says in plain language what that asks for."""

    expression: str
    words: str

    def holds(self, value: Any) -> bool:
        """Return whether the text matches."""
        return re.fullmatch(self.expression, value) is not None


@attrs.frozen
class Each:
    """Every text of a list must match a regular expression, none may stand there twice, and there is a most of them."""

    expression: str
    words: str
    most: int

    def holds(self, value: Any) -> bool:
        """Return whether the list keeps all of that."""
        fits = all(re.fullmatch(self.expression, text) is not None for text in value)
        return fits and len(set(value)) == len(value) <= self.most


@attrs.frozen
class Hidden:
    """Marks a setting whose value no fault may show: people paste secrets into it by mistake."""

    @property
    def words(self) -> str:
        """Nothing is demanded."""
        return ""

    def holds(self, value: Any) -> bool:
        """Return True: the mark asks for nothing."""
        return True


@attrs.frozen
class Address:
    """An address of the exchange: encrypted, or plain on this machine alone."""

    secure: str
    plain: str
    path: bool = False
    """Whether a path may follow the host."""

    @property
    def words(self) -> str:
        """What is allowed."""
        tail = "" if self.path else ", without a path"
        return f"{self.secure}://HOST, or {self.plain}:// for a loopback host{tail}; no user name, query or fragment"

    def holds(self, value: Any) -> bool:
        """Return whether the address may be connected to."""
        return is_address(value, self.usable)

    def usable(self, parts: SplitResult) -> bool:
        """Return whether the parts of an address are allowed."""
        if not parts.hostname or parts.username or parts.password or parts.query or parts.fragment or parts.port == 0:
            return False
        if not self.path and parts.path not in {"", "/"}:
            return False
        return parts.scheme == self.secure or (parts.scheme == self.plain and is_loopback(parts.hostname))


def is_address(value: str, usable: Callable[[SplitResult], bool]) -> bool:
    """Return whether a text parses as an address whose parts are usable."""
    if not value.isascii() or not value.isprintable() or " " in value:
        return False
    try:
        return usable(urlsplit(value))
    except ValueError:
        # A port that is no number, or an unclosed bracket around an IPv6 address.
        return False


def is_loopback(host: str) -> bool:
    """Return whether a host name certainly means this machine; no name is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

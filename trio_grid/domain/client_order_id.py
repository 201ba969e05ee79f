"""The client order id: everything that makes an order ours, in at most 36 characters that a person can read.

Owns the grammar `BBBBBB-SESSION-GENERATIONrRUNGxSTRIDEc`, for example `k3Jx9a-12-3451o-15x44`: bot `k3Jx9a`,
session 12, generation 3451, role o (open), rung -15, stride 4, check character `4`. Numbers are decimal and have
no leading zeros, so each order has exactly one id and each id at most one meaning.

This module must never guess: what does not match the grammar to the last character, or fails the check, is not ours
(R12). It keeps no counter; whoever hands out generations answers for never repeating one (R3).

Bounds, chosen so that the longest id has 36 characters (6 + 1 + 6 + 1 + 9 + 1 + 7 + 1 + 3 + 1):

    session     0..999,999          one restart every five minutes for nine years
    generation  0..999,999,999      orders of one session; a year at the exchange's limit of 300 orders in 10 s
    rung        -999,999..999,999   cells above and below the anchor; no cell is narrower than one tick plus fees
    stride      1..999

The check character is the last coefficient of a code over GF(64), whose elements are exactly the 64 characters that
the exchange allows: characters c0..cn satisfy sum(c_i * a^(n - i)) = 0, a being a root of x^6 + x + 1. The polynomial
is primitive, so the weights a^0..a^35 are 36 different non-zero elements. Hence every change of a single character is
found (the sum moves by weight * difference, a product of two non-zero elements), and so is every exchange of two
different characters, adjacent or not (it moves by the difference of their weights * their own difference).
"""

from __future__ import annotations

import re

import msgspec

MAX_LENGTH = 36
BOT_LENGTH = 6
MAX_SESSION = 999_999
MAX_GENERATION = 999_999_999
MAX_RUNG = 999_999
MAX_STRIDE = 999

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
_BASE_62 = _ALPHABET[:62]
_VALUE = {character: value for value, character in enumerate(_ALPHABET)}
_PRIMITIVE_POLYNOMIAL = 0b1000011  # x^6 + x + 1
_TIMES_A = tuple((value << 1) ^ (_PRIMITIVE_POLYNOMIAL if value & 0b100000 else 0) for value in range(64))

_NUMBER = "(0|[1-9][0-9]{0,%d})"
_BOT = re.compile(f"[0-9A-Za-z]{{{BOT_LENGTH}}}")
_GRAMMAR = re.compile(
    f"([0-9A-Za-z]{{{BOT_LENGTH}}})"
    f"-{_NUMBER % 5}"
    f"-{_NUMBER % 8}"
    "([oc])"
    "(0|-?[1-9][0-9]{0,5})"
    "x([1-9][0-9]{0,2})"
    "[0-9A-Za-z_-]"
)


class OrderIdParts(msgspec.Struct, frozen=True):
    """What a client order id says. `role` is "o" (opens the slot) or "c" (closes it); rung and stride name the cell.

    Raises ValueError, naming field, value and what is allowed, when a field does not fit the grammar.
    """

    bot: str
    session: int
    generation: int
    role: str
    rung: int
    stride: int

    def __post_init__(self) -> None:
        if type(self.bot) is not str or _BOT.fullmatch(self.bot) is None:
            raise ValueError(f"OrderIdParts.bot is {self.bot!r}; allowed: {BOT_LENGTH} characters of 0-9A-Za-z")
        if self.role not in ("o", "c"):
            raise ValueError(f"OrderIdParts.role is {self.role!r}; allowed: 'o' or 'c'")
        for name, value, lowest, highest in (
            ("session", self.session, 0, MAX_SESSION),
            ("generation", self.generation, 0, MAX_GENERATION),
            ("rung", self.rung, -MAX_RUNG, MAX_RUNG),
            ("stride", self.stride, 1, MAX_STRIDE),
        ):
            if type(value) is not int or not lowest <= value <= highest:
                raise ValueError(f"OrderIdParts.{name} is {value!r}; allowed: a whole number {lowest}..{highest}")


def encode(parts: OrderIdParts) -> str:
    """Return the client order id of these parts: at most 36 characters of [A-Za-z0-9_-], check character last."""
    body = f"{parts.bot}-{parts.session}-{parts.generation}{parts.role}{parts.rung}x{parts.stride}"
    # The sum's last weight is a^0 = 1, and in GF(64) minus is plus: the check character is the sum of the rest.
    return body + _ALPHABET[_TIMES_A[_sum(body)]]


def decode(text: str | None) -> OrderIdParts | None:
    """Return what an id says, or None if it is missing, not of this grammar, or its check character is wrong."""
    if text is None:
        return None
    match = _GRAMMAR.fullmatch(text)
    if match is None or _sum(text) != 0:
        return None
    bot, session, generation, role, rung, stride = match.groups()
    return OrderIdParts(
        bot=bot, session=int(session), generation=int(generation), role=role, rung=int(rung), stride=int(stride)
    )


def new_bot_id(random_bytes: bytes) -> str:
    """Return a bot field made from at least eight random bytes (62^6 values; the bias of the remainder is below 1e-8).

    Raises:
        ValueError: fewer than eight bytes.
    """
    if len(random_bytes) < 8:
        raise ValueError(f"random_bytes has {len(random_bytes)} bytes; allowed: at least 8")
    number = int.from_bytes(random_bytes, "big")
    characters = []
    for _ in range(BOT_LENGTH):
        number, digit = divmod(number, 62)
        characters.append(_BASE_62[digit])
    return "".join(characters)


def _sum(text: str) -> int:
    """Return sum(c_i * a^(n - i)) over GF(64) by Horner's rule; every character must be of the alphabet."""
    total = 0
    for character in text:
        total = _TIMES_A[total] ^ _VALUE[character]
    return total

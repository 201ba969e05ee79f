"""The client order id: one id per order, one meaning per id, and no damaged id is taken for ours."""

from __future__ import annotations

import itertools
import re
import string

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_grid.domain.client_order_id import (
    MAX_GENERATION,
    MAX_LENGTH,
    MAX_RUNG,
    MAX_SESSION,
    MAX_STRIDE,
    OrderIdParts,
    decode,
    encode,
    new_bot_id,
)

EXCHANGE_ALPHABET = string.digits + string.ascii_letters + "-_"
EXAMPLE = OrderIdParts(bot="k3Jx9a", session=12, generation=3451, role="o", rung=-15, stride=4)
LONGEST = OrderIdParts(
    bot="zzzzzz", session=MAX_SESSION, generation=MAX_GENERATION, role="c", rung=-MAX_RUNG, stride=MAX_STRIDE
)

ids = st.builds(
    OrderIdParts,
    bot=st.text(string.digits + string.ascii_letters, min_size=6, max_size=6),
    session=st.integers(0, MAX_SESSION),
    generation=st.integers(0, MAX_GENERATION),
    role=st.sampled_from("oc"),
    rung=st.integers(-MAX_RUNG, MAX_RUNG),
    stride=st.integers(1, MAX_STRIDE),
)


@settings(deadline=None)
@given(ids)
def test_round_trip_within_the_exchanges_grammar(parts: OrderIdParts) -> None:
    text = encode(parts)
    assert decode(text) == parts
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,36}", text)


def test_the_whole_product_of_small_and_extreme_fields_is_distinct() -> None:
    product = [
        OrderIdParts(bot, session, generation, role, rung, stride)
        for bot, session, generation, role, rung, stride in itertools.product(
            ("000000", "zZ9aA0"),
            (0, 1, 10, 99, MAX_SESSION),
            (0, 1, 11, 109, MAX_GENERATION),
            "oc",
            (0, 1, -1, 10, -10, 11, MAX_RUNG, -MAX_RUNG),
            (1, 2, 11, MAX_STRIDE),
        )
    ]
    texts = {encode(parts) for parts in product}
    assert len(texts) == len(product)
    assert [decode(encode(parts)) for parts in product] == product


def test_the_longest_id_uses_exactly_what_the_exchange_allows() -> None:
    assert len(encode(LONGEST)) == MAX_LENGTH == 36


def test_the_documented_example_is_readable() -> None:
    assert encode(EXAMPLE) == "k3Jx9a-12-3451o-15x44"


@pytest.mark.parametrize("parts", [EXAMPLE, LONGEST])
def test_every_change_of_one_character_is_detected(parts: OrderIdParts) -> None:
    text = encode(parts)
    for position in range(len(text)):
        for character in string.printable:
            if character != text[position]:
                assert decode(text[:position] + character + text[position + 1 :]) is None


@pytest.mark.parametrize("parts", [EXAMPLE, LONGEST])
def test_every_exchange_of_two_different_characters_is_detected(parts: OrderIdParts) -> None:
    text = encode(parts)
    for first, second in itertools.combinations(range(len(text)), 2):
        if text[first] != text[second]:
            swapped = list(text)
            swapped[first], swapped[second] = text[second], text[first]
            assert decode("".join(swapped)) is None


@settings(deadline=None)
@given(ids, st.data())
def test_a_damaged_digit_of_any_id_is_detected_by_the_check_character(parts: OrderIdParts, data: st.DataObject) -> None:
    text = encode(parts)
    position = data.draw(st.integers(0, len(text) - 1))
    replacement = data.draw(st.sampled_from(EXCHANGE_ALPHABET).filter(lambda character: character != text[position]))
    assert decode(text[:position] + replacement + text[position + 1 :]) is None


def test_exactly_one_check_character_fits() -> None:
    body = encode(EXAMPLE)[:-1]
    assert [body + last for last in EXCHANGE_ALPHABET if decode(body + last)] == [encode(EXAMPLE)]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "web_2aKx9sQ0Lp3",
        "autoclose-1699",
        "adl_autoclose",
        "x-Cb7ytekJ0123456789",
        "k3Jx9a-12-3451o-15x4",
        encode(EXAMPLE) + "\n",
        " " + encode(EXAMPLE),
        encode(EXAMPLE).replace("3", "\u0663", 1),
    ],
)
def test_anything_else_is_not_ours(text: str | None) -> None:
    assert decode(text) is None


@pytest.mark.parametrize(
    "body",
    [
        "k3Jx9a-012-3451o-15x4",
        "k3Jx9a-12-03451o-15x4",
        "k3Jx9a-12-3451o-015x4",
        "k3Jx9a-12-3451o-0x4",
        "k3Jx9a-12-3451o-15x04",
        "k3Jx9a-12-3451o-15x0",
        "k3Jx9a-1000000-3451o-15x4",
        "k3Jx9a-12-3451f-15x4",
    ],
)
def test_a_second_spelling_is_refused_with_any_check_character(body: str) -> None:
    assert all(decode(body + last) is None for last in EXCHANGE_ALPHABET)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("bot", "short", "6 characters of 0-9A-Za-z"),
        ("bot", "k3Jx9-", "6 characters of 0-9A-Za-z"),
        ("bot", "k3Jx9\u0663", "6 characters of 0-9A-Za-z"),
        ("bot", None, "6 characters of 0-9A-Za-z"),
        ("session", -1, "0..999999"),
        ("session", MAX_SESSION + 1, "0..999999"),
        ("generation", MAX_GENERATION + 1, "0..999999999"),
        ("generation", True, "whole number"),
        ("role", "x", "'o' or 'c'"),
        ("rung", MAX_RUNG + 1, "-999999..999999"),
        ("rung", -MAX_RUNG - 1, "-999999..999999"),
        ("rung", 1.0, "whole number"),
        ("stride", 0, "1..999"),
        ("stride", MAX_STRIDE + 1, "1..999"),
    ],
)
def test_a_field_out_of_bounds_is_named_with_what_is_allowed(field: str, value: object, allowed: str) -> None:
    with pytest.raises(ValueError, match=rf"OrderIdParts\.{field} is {value!r}; allowed: .*{re.escape(allowed)}"):
        msgspec.structs.replace(EXAMPLE, **{field: value})


@settings(deadline=None)
@given(st.binary(min_size=8, max_size=32))
def test_a_new_bot_id_fits_the_grammar(random_bytes: bytes) -> None:
    parts = msgspec.structs.replace(EXAMPLE, bot=new_bot_id(random_bytes))
    assert decode(encode(parts)) == parts


def test_new_bot_ids_differ_and_need_enough_randomness() -> None:
    assert len({new_bot_id(number.to_bytes(8, "big")) for number in range(10_000)}) == 10_000
    with pytest.raises(ValueError, match="allowed: at least 8"):
        new_bot_id(b"1234567")

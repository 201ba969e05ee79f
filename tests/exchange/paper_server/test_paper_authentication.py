import base64
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.exchange.paper_server.raw_client import KEY, SYMBOL, RawRest, form, hmac_hex, raw_rest
from trio_grid.exchange.paper.build import build_exchange
from trio_grid.exchange.paper.engine.exchange import AccountSpec
from trio_grid.exchange.paper.server.authentication import ApiKey, split_signature
from trio_grid.testing.paper import START_MS, PaperHandle, open_paper_exchange

PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_PEM = PRIVATE_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
ACCOUNT = "/fapi/v3/account"


@pytest.fixture
async def two_accounts(autojump_clock: object) -> AsyncIterator[PaperHandle]:
    exchange = build_exchange(
        start_ms=START_MS,
        history_minutes=10,
        accounts=(
            AccountSpec(name="first", balance_units=1_000 * 10**8),
            AccountSpec(name="second", balance_units=2_000 * 10**8),
        ),
    )
    keys = [
        ApiKey(key="firstkey", account="first", secret="firstsecret"),
        ApiKey(key="secondkey", account="second", public_key_pem=PUBLIC_PEM),
    ]
    async with open_paper_exchange(exchange, keys=keys) as handle:
        yield handle


async def ask(rest: RawRest, query: str, key: str | None = KEY) -> tuple[int, int]:
    headers = {} if key is None else {"X-MBX-APIKEY": key}
    answer = await rest.http.get(f"{ACCOUNT}?{query}", headers=headers)
    return answer.status_code, answer.json().get("code", 0)


def with_signature(text: str, secret: str = "testsecret") -> str:
    return f"{text}&signature={hmac_hex(secret, text)}"


async def test_keys_are_checked_first(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_rest(paper_exchange) as rest:
        query = with_signature(form(timestamp=paper_exchange.now_ms()))
        assert await ask(rest, query, None) == (401, -2014)
        assert await ask(rest, query, "bad key!") == (401, -2014)
        assert await ask(rest, query, "somebodyelse") == (401, -2015)
        assert await ask(rest, query) == (200, 0)


async def test_what_is_missing_is_named(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    now_ms = paper_exchange.now_ms()
    async with raw_rest(paper_exchange) as rest:
        for query in ("", form(timestamp=now_ms), with_signature(""), with_signature("timestamp=")):
            assert await ask(rest, query) == (400, -1102), query
        for timestamp in ("abc", "-1", "1.5", "9" * 30, "%D9%A1"):
            assert await ask(rest, with_signature(f"timestamp={timestamp}")) == (400, -1102), timestamp
        answer = await rest.http.get(f"{ACCOUNT}?signature=00", headers=rest.headers)
        assert answer.json()["msg"] == "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed."


@pytest.mark.parametrize(
    ("offset_ms", "recv_window", "code"),
    [(0, 5000, 0), (999, 5000, 0), (1000, 5000, -1021), (-5000, 5000, 0), (-5001, 5000, -1021), (-5001, None, -1021),
     (-59_000, 60_000, 0), (0, 60_001, -1131), (0, 0, -1131)],
)  # fmt: skip
async def test_time_window(
    autojump_clock: object, paper_exchange: PaperHandle, offset_ms: int, recv_window: int | None, code: int
) -> None:
    async with raw_rest(paper_exchange) as rest:
        more = {} if recv_window is None else {"recvWindow": recv_window}
        query = with_signature(form(timestamp=paper_exchange.now_ms() + offset_ms, **more))
        assert await ask(rest, query) == (200 if code == 0 else 400, code)


async def test_signature_must_fit_the_bytes_as_sent(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    now_ms = paper_exchange.now_ms()
    async with raw_rest(paper_exchange) as rest:
        good = with_signature(form(note="a b/é", timestamp=now_ms))
        assert await ask(rest, good) == (200, 0)
        # The same values, encoded otherwise: other bytes.
        assert await ask(rest, good.replace("%20", "+")) == (400, -1022)
        text = f"timestamp={now_ms}"
        assert await ask(rest, f"{text}&signature={hmac_hex('testsecret', text).upper()}") == (200, 0)
        assert await ask(rest, f"signature={hmac_hex('testsecret', text)}&{text}") == (200, 0)
        assert await ask(rest, f"{text}&signature={hmac_hex('othersecret', text)}") == (400, -1022)
        assert await ask(rest, f"{text}&signature=nonsense") == (400, -1022)


async def test_accounts_do_not_see_each_other_and_ed25519_signs(two_accounts: PaperHandle) -> None:
    async with raw_rest(two_accounts, "firstkey", "firstsecret") as first:
        await first.place_resting(newClientOrderId="of-the-first")
        assert (await first.ask("GET", ACCOUNT))["totalWalletBalance"] == "1000.00000000"
        text = form(symbol=SYMBOL, timestamp=two_accounts.now_ms())
        signature = quote(base64.b64encode(PRIVATE_KEY.sign(text.encode())).decode(), safe="")
        headers = {"X-MBX-APIKEY": "secondkey"}
        orders = await first.http.get(f"/fapi/v1/openOrders?{text}&signature={signature}", headers=headers)
        assert (orders.status_code, orders.json()) == (200, [])
        account = await first.http.get(f"{ACCOUNT}?{text}&signature={signature}", headers=headers)
        assert account.json()["totalWalletBalance"] == "2000.00000000"
        broken = await first.http.get(f"{ACCOUNT}?{text}&signature=AAAA{signature}", headers=headers)
        assert broken.json()["code"] == -1022
        by_secret = await first.http.get(f"{ACCOUNT}?{with_signature(text, 'firstsecret')}", headers=headers)
        assert by_secret.json()["code"] == -1022


async def test_timestamps_are_not_compared_when_the_exchange_runs_faster_than_time(autojump_clock: object) -> None:
    async with open_paper_exchange(speed=60, history_minutes=10) as handle, raw_rest(handle) as rest:
        assert await ask(rest, with_signature(form(timestamp=handle.now_ms() - 3_600_000))) == (200, 0)
        assert await ask(rest, with_signature("timestamp=x")) == (400, -1102)


def test_signature_is_taken_out_wherever_it_stands() -> None:
    assert split_signature(b"a=1&signature=x%3D&b=2", b"c=3") == (b"a=1&b=2c=3", "x=")
    assert split_signature(b"a=1", b"c=3&signature=y+z") == (b"a=1c=3", "y+z")
    assert split_signature(b"a=1&signature=q", b"signature=b&c=3") == (b"a=1c=3", "q")
    assert split_signature(b"", b"") == (b"", None)


def test_a_key_never_shows_its_secret() -> None:
    assert "hush" not in repr(ApiKey(key="k", account="a", secret="hush"))
    with pytest.raises(ValueError, match="either"):
        ApiKey(key="k", account="a")

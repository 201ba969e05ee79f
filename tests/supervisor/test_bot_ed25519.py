"""The whole bot with an Ed25519 key: logged on to the WebSocket API, and stopped by a logon that is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from trio.testing import MockClock

from tests.supervisor.bot_bench import KEY, Bench, bench, waves
from trio_grid.errors import LogonRefused
from trio_grid.exchange.paper.server.authentication import ApiKey
from trio_grid.exchange.protocol.signing import Ed25519Signer
from trio_grid.testing.memory_network import Direction, Link

PRIVATE = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PRIVATE_PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
PUBLIC_PEM = (
    PRIVATE.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


def use_ed25519(table: Bench) -> None:
    table.paper.server.keys.add(ApiKey(key="edkey", account=KEY, public_key_pem=PUBLIC_PEM))
    table.signer = Ed25519Signer("edkey", PRIVATE_PEM)


async def test_the_bot_trades_with_an_ed25519_key(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path, waves(1_600, 40_000)) as table:
        use_ed25519(table)
        by_rest = 0

        def look(link: Link, direction: Direction, data: bytes) -> bytes:
            nonlocal by_rest
            by_rest += direction is Direction.TO_SERVER and data.startswith((b"POST /fapi/v1/order", b"DELETE"))
            return data

        table.network.watch(look)
        async with table.bot(policy="cancel-all") as running:
            await running.until(lambda: running.snapshot().ledger.round_trips >= 2)
            for link in table.network.links("bot", "/ws-fapi"):
                link.cut()
            await running.client.wait_order_entry()
            await running.until(lambda: running.snapshot().ledger.round_trips >= 4)
        assert running.report.exit.confirmed
        assert running.report.tie_out.words == "yes"
        assert table.open_ids() == []
        assert by_rest == 0


async def test_a_logon_that_is_refused_ends_the_bot_and_its_orders_are_cancelled_by_rest(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(tmp_path) as table:
        use_ed25519(table)
        with pytest.RaisesGroup(LogonRefused, flatten_subgroups=True):
            async with table.bot(policy="cancel-all") as running:
                await running.until(lambda: table.open_roles()["o"] == 4)

                def refuses(link: Link, direction: Direction, data: bytes) -> bytes:
                    """Make the exchange take the key for one of another kind, as it would after a mistake with keys."""
                    return data.replace(b'"status":200', b'"status":400') if is_logon_answer(direction, data) else data

                table.network.watch(refuses)
                for link in table.network.links("bot", "/ws-fapi"):
                    link.cut()
                await trio.sleep(2)
                table.market.path = lambda _: 599_400
                with trio.fail_after(60):
                    await running.over.wait()
        assert running.report.exit.confirmed
        assert table.open_ids() == []


async def test_a_logon_that_is_refused_at_the_start_ends_it_before_anything_is_placed(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bench(tmp_path) as table:
        use_ed25519(table)

        def refuses(link: Link, direction: Direction, data: bytes) -> bytes:
            return data.replace(b'"status":200', b'"status":400') if is_logon_answer(direction, data) else data

        table.network.watch(refuses)
        with pytest.RaisesGroup(LogonRefused, flatten_subgroups=True):
            async with table.bot(policy="cancel-all", trading=False) as running:
                with trio.fail_after(60):
                    await running.over.wait()
        assert not table.exchange.account_of(KEY).orders.get("BTCUSDT")
        assert running.report.exit.confirmed


async def test_a_start_does_not_wait_long_for_the_websocket_api(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with bench(tmp_path) as table:
        use_ed25519(table)
        end = table.network.watch(
            lambda link, direction, data: None if is_logon_answer(direction, data) else data  # never answered
        )
        async with table.bot(policy="cancel-all") as running:
            assert trio.current_time() < 10
            await running.until(lambda: table.open_roles()["o"] == 4)
            end()
        assert running.report.exit.confirmed


def is_logon_answer(direction: Direction, data: bytes) -> bool:
    return direction is Direction.TO_CLIENT and b'"authorizedSince"' in data

"""The client and the paper exchange together: the real bytes of both ends, in memory and over loopback sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from trio_grid.domain.actions import CancelOrder, PlaceOrder
from trio_grid.domain.events import (
    AccountUpdate,
    CancelAcknowledged,
    CancelRefused,
    OrderAcknowledged,
    OrderOutcomeLost,
    OrderRefused,
    OrderUpdate,
    RecordStatus,
    RejectReason,
    Side,
    Trade,
)
from trio_grid.domain.instrument import PriceTicks, QuantityLots
from trio_grid.errors import CredentialsRefused, ExchangeUnreachable, OrderNotFound, RequestRefused
from trio_grid.exchange.binance.usdm_futures import Endpoints, UsdmFutures, open_usdm_futures
from trio_grid.exchange.interface import Execution, MarketData, Subscription, UserStreamEvent
from trio_grid.exchange.protocol.signing import HmacSigner, Signer
from trio_grid.testing.paper import PaperHandle, open_paper_exchange

SIGNER = HmacSigner("testkey", "testsecret")


@asynccontextmanager
async def client_of(paper: PaperHandle, signer: Signer | None = SIGNER) -> AsyncIterator[UsdmFutures]:
    urls = paper.urls
    endpoints = Endpoints(urls.rest_url, urls.ws_url, urls.ws_api_url)
    async with open_usdm_futures(endpoints, signer, connect=paper.connector("client")) as client:
        await client.synchronize_clock()
        await client.wait_order_entry()
        yield client


def order(name: str, side: Side, price: int | None, lots: int = 2, **flags: bool) -> PlaceOrder:
    return PlaceOrder(
        client_order_id=name,
        side=side,
        quantity_lots=QuantityLots(lots),
        price_ticks=None if price is None else PriceTicks(price),
        post_only=flags.get("post_only", False),
        reduce_only=flags.get("reduce_only", False),
    )


async def next_trade(events: Subscription[UserStreamEvent]) -> Trade:
    async for event in events:
        if event.order is not None and event.order.trade is not None:
            return event.order.trade
    raise AssertionError("the stream ended")


async def session(paper: PaperHandle) -> None:
    """One life of an account: subscribe, place, fill, cancel, ask, compare."""
    async with client_of(paper) as client:
        market: MarketData = client
        execution: Execution = client
        instrument = await market.instrument("BTCUSDT")
        assert len(await market.klines(instrument, limit=100)) == 100
        async with (
            execution.user_stream(instrument) as events,
            market.book_tickers(instrument) as tickers,
            market.kline_stream(instrument) as klines,
        ):
            ticker = await tickers.__anext__()
            assert (await klines.__anext__()).open_time_ms % 60_000 == 0
            below = ticker.bid_ticks - 1_000
            ladder = [order(f"bid-{step}", Side.BUY, below - 100 * step, post_only=True) for step in range(5)]
            placed = await execution.place(instrument, ladder)
            assert [type(result) for result in placed] == [OrderAcknowledged] * 5
            assert [item.client_order_id for item in await execution.open_orders(instrument)] == [
                f"bid-{step}" for step in range(5)
            ]
            crossing = order("crossing", Side.BUY, ticker.ask_ticks + 1_000, post_only=True)
            (refused,) = await execution.place(instrument, [crossing])
            assert isinstance(refused, OrderRefused)
            assert refused.reason is RejectReason.POST_ONLY
            with pytest.raises(OrderNotFound):
                await execution.order(instrument, client_order_id="crossing")

            (bought,) = await execution.place(instrument, [order("take", Side.BUY, None, lots=3)])
            assert isinstance(bought, OrderAcknowledged)
            assert (bought.order.status, bought.order.executed_lots) == (RecordStatus.FILLED, 3)
            trade = await next_trade(events)
            assert (trade.client_order_id, trade.quantity_lots, trade.maker) == ("take", 3, False)
            (from_rest,) = await execution.trades(instrument, order_id=bought.order.order_id)
            assert from_rest.trade_id == trade.trade_id
            assert (from_rest.fee_units, from_rest.price_ticks) == (trade.fee_units, trade.price_ticks)
            assert (await execution.position(instrument)).position_lots == 3

            twice = order("bid-0", Side.BUY, below, post_only=True)
            (duplicate,) = await execution.place(instrument, [twice])
            assert isinstance(duplicate, OrderOutcomeLost)
            too_much = order("close", Side.BUY, None, lots=1, reduce_only=True)
            (not_reducing,) = await execution.place(instrument, [too_much])
            assert isinstance(not_reducing, OrderRefused)
            assert not_reducing.reason is RejectReason.REDUCE_ONLY

            cancels = [CancelOrder(client_order_id=f"bid-{step}") for step in range(5)]
            results = await execution.cancel(instrument, [*cancels, CancelOrder(client_order_id="nobody")])
            assert [type(result) for result in results] == [CancelAcknowledged] * 5 + [CancelRefused]
            assert await execution.open_orders(instrument) == ()
            orders = await execution.orders_since(instrument, execution.now_ms() - 3_600_000)
            assert [item.client_order_id for item in orders] == [f"bid-{step}" for step in range(5)] + ["take"]

            closing = order("flat", Side.SELL, None, lots=3, reduce_only=True)
            await execution.place(instrument, [closing])
            sold = await next_trade(events)
            account = await execution.account(instrument)
            assert (account.position_lots, account.hedge_mode, account.margin_type) == (0, False, "cross")
            paid = trade.fee_units + sold.fee_units
            assert account.wallet_balance_units == 10_000 * 10**8 + sold.realized_pnl_units - paid


async def test_a_session_in_memory(autojump_clock: trio.testing.MockClock) -> None:
    async with open_paper_exchange() as paper:
        await session(paper)


@pytest.mark.sockets
async def test_a_session_over_loopback_sockets() -> None:
    async with open_paper_exchange(sockets=True) as paper:
        with trio.fail_after(180):
            await session(paper)


async def test_the_user_stream_tells_status_account_and_trade_in_order(autojump_clock: trio.testing.MockClock) -> None:
    async with open_paper_exchange() as paper, client_of(paper) as client:
        instrument = await client.instrument("BTCUSDT")
        async with client.user_stream(instrument) as events:
            await client.place(instrument, [order("take", Side.BUY, None)])
            seen: list[OrderUpdate | AccountUpdate] = []
            while len(seen) < 3:
                event = await events.__anext__()
                seen.append(event.order or event.account)  # type: ignore[arg-type]
        first, second, third = seen
        assert isinstance(first, OrderUpdate)
        assert (first.order.status, first.trade) == (RecordStatus.NEW, None)
        assert isinstance(second, AccountUpdate)
        assert (second.reason, second.position_lots) == ("ORDER", 2)
        assert isinstance(third, OrderUpdate)
        assert third.trade is not None
        assert client.ignored == {"TRADE_LITE": 1}


async def test_an_ed25519_key_signs_for_both_paths(autojump_clock: trio.testing.MockClock) -> None:
    from trio_grid.exchange.paper.server.authentication import ApiKey
    from trio_grid.exchange.protocol.signing import Ed25519Signer
    from trio_grid.testing.paper import default_exchange

    private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    exchange = default_exchange()
    key = ApiKey(key="edkey", account=exchange.accounts[0], public_key_pem=public.decode())
    async with (
        open_paper_exchange(exchange, keys=[key]) as paper,
        client_of(paper, Ed25519Signer("edkey", pem)) as client,
    ):
        instrument = await client.instrument("BTCUSDT")
        assert (await client.position(instrument)).position_lots == 0
        (result,) = await client.place(instrument, [order("bid", Side.BUY, 500_000 + 90_000, post_only=True)])
        assert isinstance(result, OrderAcknowledged)


async def test_a_wrong_secret_is_refused_on_both_paths(autojump_clock: trio.testing.MockClock) -> None:
    async with open_paper_exchange() as paper:
        async with client_of(paper) as good:
            instrument = await good.instrument("BTCUSDT")
        async with client_of(paper, HmacSigner("testkey", "wrong")) as client:
            with pytest.raises(CredentialsRefused):
                await client.position(instrument)
            with pytest.raises(CredentialsRefused):
                await client.place(instrument, [order("bid", Side.BUY, 590_000)])


async def test_an_unknown_symbol_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with open_paper_exchange() as paper, client_of(paper, None) as client:
        with pytest.raises(RequestRefused, match="Invalid symbol"):
            await client.instrument("NOSUCH")


async def test_an_accepted_order_whose_answer_was_lost_is_found_by_its_id(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_paper_exchange() as paper, client_of(paper) as client:
        assert paper.network is not None
        instrument = await client.instrument("BTCUSDT")
        for link in paper.network.links("client"):
            link.stall("to_client")  # type: ignore[arg-type]
        (lost,) = await client.place(instrument, [order("bid", Side.BUY, 590_000, post_only=True)])
        assert isinstance(lost, OrderOutcomeLost)
        for link in paper.network.links("client"):
            link.resume("to_client")  # type: ignore[arg-type]
        found = await client.order(instrument, client_order_id="bid")
        assert (found.status, found.price_ticks) == (RecordStatus.NEW, 590_000)


async def test_a_client_that_is_cut_off_and_let_in_again_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    async with open_paper_exchange() as paper, client_of(paper) as client:
        assert paper.network is not None
        instrument = await client.instrument("BTCUSDT")
        network = paper.network

        async def follow() -> None:
            async with client.user_stream(instrument) as events:
                network.cut("client")
                await events.__anext__()

        with pytest.raises(ExchangeUnreachable):
            await follow()
        async with client.user_stream(instrument) as events:
            (result,) = await client.place(instrument, [order("take", Side.BUY, None)])
            assert isinstance(result, OrderAcknowledged)
            assert (await next_trade(events)).client_order_id == "take"


async def test_closing_the_client_leaves_no_task_and_no_connection(autojump_clock: trio.testing.MockClock) -> None:
    async with open_paper_exchange() as paper:
        async with client_of(paper) as client:
            instrument = await client.instrument("BTCUSDT")
            async with client.user_stream(instrument), client.book_tickers(instrument):
                assert "open" in repr(client) or client.now_ms() > 0
        await trio.testing.wait_all_tasks_blocked()
        assert "websockets=0" in repr(paper.server)

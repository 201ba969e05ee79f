from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trio_websocket

from tests.exchange.paper_server.raw_client import SYMBOL, RawSocket, raw_rest, raw_socket
from tests.exchange.paper_server.session_for_seeds import session
from trio_grid.exchange.paper.build import build_exchange
from trio_grid.exchange.paper.engine.exchange import AccountSpec
from trio_grid.testing.memory_network import Direction, MemoryNetwork
from trio_grid.testing.paper import START_MS, PaperHandle, open_paper_exchange
from trio_grid.testing.seeded import seeded_run

BOOK = "/ws/btcusdt@bookTicker"
PATIENCE_S = 180.0
"""Of the tests over real sockets, far beyond what a busy machine needs: whoever waits for so long has found a hang."""


@pytest.mark.parametrize("path", ["/ws", "/ws-fapi/v1"])
async def test_server_pings_every_three_minutes_with_a_payload(
    autojump_clock: object, paper_exchange: PaperHandle, path: str
) -> None:
    began = trio.current_time()
    async with raw_socket(paper_exchange, path) as socket:
        # The reader's table of handlers is made when it starts, so the recorder is put under it.
        seen: list[float] = []
        send = socket.connection._send

        async def record(event: object) -> None:
            if type(event).__name__ == "Pong":
                seen.append(trio.current_time() - began)
                assert event.payload  # type: ignore[attr-defined]
            await send(event)  # type: ignore[arg-type]

        socket.connection._send = record  # type: ignore[method-assign]
        await trio.sleep(1000)
        assert socket.connection.closed is None
    assert [round(at) for at in seen] == [180, 360, 540, 720, 900]


async def test_no_pong_for_ten_minutes_ends_the_connection(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    assert paper_exchange.network is not None
    async with raw_socket(paper_exchange, "/ws", owner="mute") as socket:
        [link] = paper_exchange.network.links("mute")
        began = trio.current_time()
        link.stall(Direction.TO_SERVER)
        assert await socket.until_closed() == (1006, [])
        assert trio.current_time() - began == pytest.approx(180 + 600, abs=1)


async def test_a_connection_lives_a_day(autojump_clock: object, tmp_path: Path) -> None:
    # A replay that is soon over, so that a day costs nothing.
    rows = [f"{60_000 * n},100.0,100.0,100.0,100.0,1.0" for n in range(START_MS // 60_000, START_MS // 60_000 + 3)]
    recording = tmp_path / "BTCUSDT-1m.csv"
    recording.write_text("open_time,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
    exchange = build_exchange(
        start_ms=0, market_files=[recording], symbol="BTCUSDT", accounts=(AccountSpec(name="a"),), history_minutes=0
    )
    async with open_paper_exchange(exchange) as handle, raw_socket(handle, "/ws-fapi/v1") as socket:
        began = trio.current_time()
        assert await socket.until_closed() == (1001, [])
        assert trio.current_time() - began == pytest.approx(24 * 3600, abs=1)


async def test_a_slow_reader_is_cut_and_the_others_are_served(autojump_clock: object) -> None:
    network = MemoryNetwork()
    async with (
        open_paper_exchange(network=network, history_minutes=10) as handle,
        raw_socket(handle, BOOK, owner="slow") as slow,
        raw_socket(handle, BOOK, owner="good") as good,
    ):
        [link] = network.links("slow")
        link.stall(Direction.TO_CLIENT)
        received = 0
        with trio.fail_after(4 * 3600):
            while not link.pipes[Direction.TO_SERVER]._reader_closed:
                await good.event("bookTicker")
                received += 1
        assert received > 1000
        with trio.fail_after(5):
            await good.event("bookTicker")
        link.resume(Direction.TO_CLIENT)
        await slow.until_closed()


@pytest.mark.sockets
async def test_a_client_that_stops_reading_does_not_hold_the_shutdown() -> None:
    async with open_paper_exchange(sockets=True, history_minutes=10) as handle:
        port = int(handle.urls.rest_url.rsplit(":", 1)[1])
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            request = b"GET /fapi/v1/exchangeInfo HTTP/1.1\r\nhost: x\r\n\r\n"
            with trio.move_on_after(2):
                while True:
                    await stream.send_all(request * 100)
            handle.stop()
            with trio.CancelScope(shield=True), trio.fail_after(PATIENCE_S):
                # The server closes its end although its answers were never read.
                try:
                    while await stream.receive_some(1 << 20):
                        pass
                except trio.BrokenResourceError:
                    pass


@pytest.mark.sockets
async def test_everything_works_over_real_sockets(paper_exchange_on_sockets: PaperHandle) -> None:
    handle = paper_exchange_on_sockets
    with trio.fail_after(PATIENCE_S):
        async with raw_rest(handle) as rest, raw_socket(handle, "/stream?streams=btcusdt@bookTicker") as market:
            key = await rest.listen_key()
            async with raw_socket(handle, f"/private/ws?listenKey={key}") as user:
                placed = await rest.place_resting(recvWindow=60_000)
                event = await user.event("ORDER_TRADE_UPDATE")
                assert event["o"]["i"] == placed["orderId"]
            assert (await market.event("bookTicker"))["s"] == SYMBOL
            async with raw_socket(handle, "/ws-fapi/v1") as api:
                assert (await api.request({"id": 1, "method": "ping"}))["status"] == 200


async def test_close_websockets_says_goodbye(autojump_clock: object, paper_exchange: PaperHandle) -> None:
    async with raw_socket(paper_exchange, "/ws") as one, raw_socket(paper_exchange, "/ws-fapi/v1") as other:
        await paper_exchange.server.close_websockets()
        for socket in (one, other):
            assert await socket.until_closed() == (1001, [])


async def test_a_cut_link_takes_its_subscriptions_with_it(autojump_clock: object) -> None:
    network = MemoryNetwork()
    async with open_paper_exchange(network=network, history_minutes=10) as handle:
        async with raw_socket(handle, BOOK, owner="bot") as socket:
            await socket.event("bookTicker")
            assert network.cut("bot") == 1
            assert (await socket.until_closed())[0] == 1006
        await trio.testing.wait_all_tasks_blocked()
        assert repr(handle.server.hub) == "<StreamHub 0 streams>"


def test_same_seed_same_bytes() -> None:
    first, second = seeded_run(11, session), seeded_run(11, session)
    assert first == second
    assert len(first) > 100


async def read_answer(stream: trio.abc.ReceiveStream) -> bytes:
    """Read one HTTP answer with a content length."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += await stream.receive_some()
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += await stream.receive_some()
    return received


PLAIN = b"GET /fapi/v1/ping HTTP/1.1\r\nhost: x\r\n\r\n"
UNREAD = b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\nGET upgrade: websocket"[:-2]


@pytest.mark.parametrize(
    "before", [[PLAIN], [PLAIN] * 3, [UNREAD, PLAIN]], ids=["one", "three", "unknown route with a body"]
)
@pytest.mark.parametrize("chunk", [1, 7, 10_000])
async def test_a_websocket_may_follow_plain_requests_on_one_connection(
    autojump_clock: object, paper_exchange: PaperHandle, before: list[bytes], chunk: int
) -> None:
    port = int(paper_exchange.urls.rest_url.rsplit(":", 1)[1])
    stream: Any = await paper_exchange.connector()("127.0.0.1", port, False)
    send_all = stream.send_all

    async def send_in_pieces(data: bytes) -> None:
        for start in range(0, len(data), chunk):
            await send_all(data[start : start + chunk])
            await trio.testing.wait_all_tasks_blocked()

    async with stream, trio.open_nursery() as nursery:
        for request in before:
            await send_in_pieces(request)
            assert (await read_answer(stream)).startswith(b"HTTP/1.1 ")
        stream.send_all = send_in_pieces
        connection = await trio_websocket.wrap_client_stream(nursery, stream, "127.0.0.1", BOOK)
        assert (await RawSocket(connection).event("bookTicker"))["s"] == SYMBOL
        await connection.aclose()
        nursery.cancel_scope.cancel()


async def test_a_connection_whose_client_has_gone_leaves_no_task(
    autojump_clock: object, paper_exchange: PaperHandle
) -> None:
    def tasks(task: trio.lowlevel.Task) -> int:
        return sum(1 + tasks(child) for nursery in task.child_nurseries for child in nursery.child_tasks)

    root = trio.lowlevel.current_root_task()
    assert root is not None
    await trio.testing.wait_all_tasks_blocked()
    before = tasks(root)
    port = int(paper_exchange.urls.rest_url.rsplit(":", 1)[1])
    for number, noise in enumerate((PLAIN, b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n", UNREAD)):
        async with await paper_exchange.connector()("127.0.0.1", port, False) as stream:
            await stream.send_all(noise)
            if number == 0:
                await read_answer(stream)
        await trio.testing.wait_all_tasks_blocked()
        assert tasks(root) == before, noise

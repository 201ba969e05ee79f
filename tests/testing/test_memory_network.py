import contextlib

import pytest
import trio
import trio.testing

from trio_grid.testing.memory_network import Direction, MemoryListener, MemoryNetwork, MemoryStream


async def open_pair(window_bytes: int = 1000) -> tuple[MemoryStream, MemoryStream, MemoryListener]:
    listener = MemoryListener(window_bytes=window_bytes)
    ends: list[MemoryStream] = []
    async with trio.open_nursery() as nursery:

        async def accept() -> None:
            ends.append(await listener.accept())

        nursery.start_soon(accept)
        client = await listener.connect("client")
    return client, ends[0], listener


async def make_pair() -> tuple[MemoryStream, MemoryStream]:
    client, server, _ = await open_pair()
    return client, server


async def test_streams_obey_trios_contract() -> None:
    await trio.testing.check_half_closeable_stream(make_pair, make_pair_that_is_full)


async def make_pair_that_is_full() -> tuple[MemoryStream, MemoryStream]:
    client, server, _ = await open_pair(window_bytes=1)
    await client.send_all(b"x")
    await server.send_all(b"x")
    return client, server


async def test_a_full_window_holds_the_sender_until_the_reader_reads(autojump_clock: object) -> None:
    client, server, _ = await open_pair(window_bytes=10)
    with trio.move_on_after(1) as waiting:
        await client.send_all(b"x" * 11)
    assert waiting.cancelled_caught
    assert await server.receive_some() == b"x" * 10


async def test_cut_breaks_both_ends_and_loses_what_was_under_way() -> None:
    client, server, listener = await open_pair()
    [link] = listener.links("client")
    await client.send_all(b"lost")
    link.cut()
    for end in (client, server):
        with pytest.raises(trio.BrokenResourceError):
            await end.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await end.send_all(b"x")


async def test_stall_keeps_bytes_back_and_resume_delivers_them(autojump_clock: object) -> None:
    client, server, listener = await open_pair()
    [link] = listener.links()
    link.stall(Direction.TO_SERVER)
    await client.send_all(b"late")
    await server.send_all(b"other way")
    assert await client.receive_some() == b"other way"
    with trio.move_on_after(60) as waiting:
        await server.receive_some()
    assert waiting.cancelled_caught
    link.resume(Direction.TO_SERVER)
    assert await server.receive_some() == b"late"


async def test_drop_loses_exactly_so_many_bytes() -> None:
    client, server, listener = await open_pair()
    [link] = listener.links()
    link.drop(Direction.TO_SERVER, 4)
    await client.send_all(b"abc")
    await client.send_all(b"defg")
    assert await server.receive_some() == b"efg"


async def test_addresses_are_told_and_ports_never_repeat() -> None:
    network = MemoryNetwork()
    first, second = network.listen(), network.listen()
    assert first.address != second.address
    client, server, listener = await open_pair()
    assert server.socket.getsockname() == listener.address == client.socket.getpeername()
    assert client.socket.getsockname() == server.socket.getpeername() != listener.address


async def test_a_connector_reaches_only_what_listens_and_can_be_refused() -> None:
    network = MemoryNetwork()
    listener = network.listen()
    host, port = listener.address
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, trio.aclose_forcefully, [listener])
        connect = network.connector("bot")
        await (await connect(host, port, False)).aclose()
        await (await network.connector("other")("localhost", port, False)).aclose()
        assert [link.owner for link in network.links()] == ["bot", "other"]
        for refused in ((host, port + 1, False), (host, port, True)):
            with pytest.raises(ConnectionRefusedError):
                await connect(*refused)
        network.refuse("bot")
        with pytest.raises(ConnectionRefusedError):
            await connect(host, port, False)
        await (await network.connector("other")(host, port, False)).aclose()
        network.refuse("bot", False)
        await (await connect(host, port, False)).aclose()
        nursery.cancel_scope.cancel()
    with pytest.raises(ConnectionRefusedError):
        await connect(host, port, False)


async def test_one_clients_links_are_cut_and_no_others() -> None:
    network = MemoryNetwork()
    listener = network.listen()
    host, port = listener.address
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, echo, [listener])
        bot = [await network.connector("bot")(host, port, False) for _ in range(2)]
        other = await network.connector("other")(host, port, False)
        assert network.cut("bot") == 2
        for stream in bot:
            with pytest.raises(trio.BrokenResourceError):
                await stream.send_all(b"x")
        await other.send_all(b"still here")
        assert await other.receive_some() == b"still here"
        nursery.cancel_scope.cancel()


async def echo(stream: MemoryStream) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        while data := await stream.receive_some():
            await stream.send_all(data)


async def test_an_idle_stream_says_when_its_peer_has_gone() -> None:
    client, server, _ = await open_pair()
    assert not client.is_readable()
    await server.aclose()
    assert client.is_readable()
    assert await client.receive_some() == b""

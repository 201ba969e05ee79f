"""All that one decision sends over the WebSocket API leaves in one write, seen on the wire of the whole bot."""

from __future__ import annotations

from tests.simulation.rig import simulated
from tests.simulation.wiretap import text_frames
from trio_grid.testing.bot import ORDER_ENTRY, Simulation
from trio_grid.testing.memory_network import Direction, Link


class Writes:
    """The number of text frames in each write to the WebSocket API."""

    def __init__(self, sim: Simulation) -> None:
        self.frames: list[list[str]] = []
        sim.network.watch(self._look)

    def _look(self, link: Link, direction: Direction, data: bytes) -> bytes:
        if direction is Direction.TO_SERVER and link.target.startswith(ORDER_ENTRY) and data[:1] == b"\x81":
            self.frames.append([text.split('"method":"')[1].split('"')[0] for text in text_frames(data)])
        return data


@simulated("grid.levels=20", "limits.max_inventory=1")
async def test_the_ladder_and_its_move_are_one_write_each(sim: Simulation) -> None:
    writes = Writes(sim)
    life = await sim.trading_bot()
    assert writes.frames == [["order.place"] * 20]
    # The window follows by three levels: the three lowest orders go, three nearer ones come.
    writes.frames.clear()
    await sim.quote(603_000)
    await life.until_quiet()
    assert len(sim.resting()) == 20
    assert writes.frames == [["order.cancel"] * 3 + ["order.place"] * 3]
    await life.stopped()

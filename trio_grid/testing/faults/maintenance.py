"""Maintenance: for a time the exchange refuses everything, and then it is back.

Owns the one kind that stands in every place: its connections end when it begins, its requests and handshakes are
refused until it ends.
"""

from typing import ClassVar

import attrs
import trio

from trio_grid.exchange.paper.server.disturbance import Asked, HandshakeRefusal
from trio_grid.exchange.paper.server.request_gate import Answer
from trio_grid.testing.faults.acts import ActFault
from trio_grid.testing.faults.requests import refusal
from trio_grid.testing.faults.scene import Scene

GOING_AWAY = 1001
NO_LONGER_AVAILABLE = "This service is no longer available."


@attrs.frozen(kw_only=True)
class Maintenance(ActFault):
    """All connections end, and every request and handshake is refused with 503 until it is over."""

    kind = "maintenance"
    rows = "F2, F5, F17"
    triggers: ClassVar[tuple[str, ...]] = ("from_s", "to_s")

    def wrong(self) -> list[tuple[str, str]]:
        """Refuse maintenance without an end."""
        return [] if self.when.to_s is not None else [("when.to_s", "is missing; allowed: when the maintenance ends")]

    async def act(self, scene: Scene) -> None:
        """Close every WebSocket."""
        async with trio.open_nursery() as nursery:
            for line in scene.server.connections():
                nursery.start_soon(line.close, GOING_AWAY, "maintenance")

    def refusal(self) -> HandshakeRefusal:
        """Return what answers a handshake."""
        return HandshakeRefusal(status=503)

    def answer(self, scene: Scene, asked: Asked) -> Answer:
        """Return what answers a request."""
        return refusal(scene, asked, 503, -1016, NO_LONGER_AVAILABLE)

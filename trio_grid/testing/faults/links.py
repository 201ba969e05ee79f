"""The faults of WebSockets: refused handshakes, streams that are silent, stalled, spoilt or cut in mid-frame.

Owns what each kind does to a handshake or to one frame of a stream. Answers of the WebSocket API are requests' answers:
see `requests`.
"""

from typing import Annotated, ClassVar

import attrs

from trio_grid.config.rules import AtLeast, AtMost
from trio_grid.exchange.paper.server.disturbance import Connection, Delivery, HandshakeRefusal, Transport
from trio_grid.testing.faults.model import Fault, Place
from trio_grid.testing.faults.refusals import Seconds
from trio_grid.testing.faults.requests import Spoilt

STREAMS = (Transport.STREAM, Transport.USER)


@attrs.frozen(kw_only=True)
class HandshakeFault(Fault):
    """What happens to a WebSocket's handshake."""

    place = Place.LINK
    matches: ClassVar[tuple[str, ...]] = ("path",)

    def concerns(self, path: str) -> bool:
        """Return whether the fault may happen to a handshake."""
        return self.match.path is None or path.startswith(self.match.path)

    def refusal(self) -> HandshakeRefusal:
        """Return what answers the handshake."""
        raise NotImplementedError


@attrs.frozen(kw_only=True)
class RefusedHandshake(HandshakeFault):
    """The handshake is answered with an HTTP error."""

    kind = "refused-handshake"
    rows = "F5, F6, F10"

    status: Annotated[int, AtLeast(400), AtMost(599)] = 503
    """The HTTP status."""
    retry_after_s: Seconds | None = None
    """What the answer asks to wait, in real seconds."""

    def refusal(self) -> HandshakeRefusal:
        """Refuse it."""
        headers = () if self.retry_after_s is None else ((b"retry-after", str(self.retry_after_s).encode()),)
        return HandshakeRefusal(status=self.status, headers=headers)


@attrs.frozen(kw_only=True)
class SilentHandshake(HandshakeFault):
    """The handshake is never answered; the connection stays open until the client leaves."""

    kind = "silent-handshake"
    rows = "F5, F6"

    def refusal(self) -> HandshakeRefusal:
        """Say nothing."""
        return HandshakeRefusal(silent=True)


@attrs.frozen(kw_only=True)
class StreamFault(Fault):
    """What happens to a frame of a market or user stream."""

    place = Place.LINK
    matches: ClassVar[tuple[str, ...]] = ("transport", "path", "account")
    transports: ClassVar[tuple[Transport, ...]] = STREAMS

    def concerns(self, connection: Connection) -> bool:
        """Return whether the fault may happen to what a connection carries."""
        match = self.match
        return (
            match.transport in (None, connection.transport)
            and (match.path is None or connection.path.startswith(match.path))
            and match.account in (None, connection.account)
        )

    def delivery(self, left_s: float) -> Delivery:
        """Return how a frame leaves; `left_s` real seconds of the window are left."""
        raise NotImplementedError


@attrs.frozen(kw_only=True)
class SilentStream(StreamFault):
    """The stream is open and says nothing: its frames are lost. Pings and pongs go on."""

    kind = "silent-stream"
    rows = "F5, F6"

    def delivery(self, left_s: float) -> Delivery:
        """Lose the frame."""
        return Delivery(silent=True)


@attrs.frozen(kw_only=True)
class StalledStream(StreamFault):
    """The stream is open and says nothing until the window ends; then all that was held back comes, in its order."""

    kind = "stalled-stream"
    rows = "F4, F6, F27"
    triggers: ClassVar[tuple[str, ...]] = ("from_s", "to_s")

    def wrong(self) -> list[tuple[str, str]]:
        """Refuse a stall without an end."""
        return [] if self.when.to_s is not None else [("when.to_s", "is missing; allowed: when the stall ends")]

    def delivery(self, left_s: float) -> Delivery:
        """Hold the frame, and with it all that follow."""
        return Delivery(delay_s=max(0.0, left_s))


@attrs.frozen(kw_only=True)
class MalformedFrame(StreamFault):
    """A frame of the stream cannot be read."""

    kind = "malformed-frame"
    rows = "F5, S19"

    form: Spoilt = Spoilt.TRUNCATED
    """What is left of the JSON text."""

    def delivery(self, left_s: float) -> Delivery:
        """Spoil the frame."""
        return Delivery(rewrite=self.form.of)


@attrs.frozen(kw_only=True)
class CutFrame(StreamFault):
    """The connection is reset in the middle of a frame."""

    kind = "cut-frame"
    rows = "F5, F6"

    def delivery(self, left_s: float) -> Delivery:
        """Send half of the frame."""
        return Delivery(cut_share=0.5)

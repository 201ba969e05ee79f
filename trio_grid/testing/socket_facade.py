"""What a server asks of the socket under a stream, for streams that have none.

Owns two addresses; it must never be bound to anything.
"""

from __future__ import annotations

import socket


class SocketFacade:
    """What Hypercorn's TCPServer asks of a plain stream's socket, and nothing else."""

    family = socket.AF_INET

    def __init__(self, local: tuple[str, int], remote: tuple[str, int]) -> None:
        self._local, self._remote = local, remote

    def getsockname(self) -> tuple[str, int]:
        """Return this end's address."""
        return self._local

    def getpeername(self) -> tuple[str, int]:
        """Return the other end's address."""
        return self._remote

"""Counts the bytes of all connections, open and closed."""

from collections.abc import Iterable
from typing import Protocol


class Metered(Protocol):
    """A connection that counts its bytes."""

    @property
    def bytes_received(self) -> int: ...

    @property
    def bytes_sent(self) -> int: ...


class Traffic:
    """Counts bytes in both directions, without the overhead of TLS.

    Attributes:
        bytes_received: bytes received on closed connections.
        bytes_sent: bytes sent on closed connections.
    """

    def __init__(self) -> None:
        self.bytes_received = 0
        self.bytes_sent = 0

    def closed(self, connection: Metered) -> None:
        """Adds the bytes of a connection that is closed."""
        self.bytes_received += connection.bytes_received
        self.bytes_sent += connection.bytes_sent

    def totals(self, opened: Iterable[Metered]) -> dict[str, int]:
        """Returns all bytes so far, including those of the open connections."""
        received, sent = self.bytes_received, self.bytes_sent
        for connection in opened:
            received += connection.bytes_received
            sent += connection.bytes_sent
        return {"received": received, "sent": sent}

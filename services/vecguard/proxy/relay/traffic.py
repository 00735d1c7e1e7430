"""Counts the bytes of all connections, open and closed."""

from collections.abc import Iterable

from vecguard.proxy.relay.link import Link


class Traffic:
    """Counts bytes in both directions, without the overhead of TLS.

    Attributes:
        bytes_received: bytes received on closed connections.
        bytes_sent: bytes sent on closed connections.
    """

    def __init__(self) -> None:
        self.bytes_received = 0
        self.bytes_sent = 0

    def closed(self, connection: Link) -> None:
        """Adds the bytes of a connection that is closed."""
        self.bytes_received += connection.bytes_received
        self.bytes_sent += connection.bytes_sent

    def totals(self, opened: Iterable[Link]) -> dict[str, int]:
        """Returns all bytes so far, including those of the open connections."""
        received, sent = self.bytes_received, self.bytes_sent
        for connection in opened:
            received += connection.bytes_received
            sent += connection.bytes_sent
        return {"received": received, "sent": sent}

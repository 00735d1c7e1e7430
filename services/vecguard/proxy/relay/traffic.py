"""How many bytes have passed, on connections that are open and on those that are not."""

from collections.abc import Iterable
from typing import Protocol


class Metered(Protocol):
    """A connection that counts its bytes."""

    @property
    def bytes_received(self) -> int: ...

    @property
    def bytes_sent(self) -> int: ...


class Traffic:
    """Bytes in both directions, without those of TLS.

    Attributes:
        bytes_received: on connections that are closed.
        bytes_sent: the same, in the other direction.
    """

    def __init__(self) -> None:
        self.bytes_received = 0
        self.bytes_sent = 0

    def closed(self, connection: Metered) -> None:
        """Nothing more passes on it."""
        self.bytes_received += connection.bytes_received
        self.bytes_sent += connection.bytes_sent

    def totals(self, opened: Iterable[Metered]) -> dict[str, int]:
        """All bytes so far, with those of the connections that are open."""
        received, sent = self.bytes_received, self.bytes_sent
        for connection in opened:
            received += connection.bytes_received
            sent += connection.bytes_sent
        return {"received": received, "sent": sent}

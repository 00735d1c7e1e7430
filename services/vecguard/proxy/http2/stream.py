"""One stream of a connection: its windows, its state, and its send queue."""

from typing import Any

from vecguard.proxy.http2.buffers import UNCOUNTED, Account

# Smaller pieces are joined, because a window full of single bytes would take fifty times its size
# in memory.
_SMALL_BYTES = 1024
_GATHERED_BYTES = 16 * 1024

Piece = bytes | bytearray | memoryview


class Stream:
    """Holds the state of a stream, also before it has a number, so that data can wait for it.

    Attributes:
        id: its number; 0 until it is open on a connection.
        owner: an object of the connection's handler, which the connection does not use.
        send_window: bytes that the peer allows us to send.
        receive_window: bytes that the peer may still send.
        owed: bytes that were passed on, and for which the peer has no WINDOW_UPDATE yet.
        account: counts the bytes of the queue.
        queue: payloads that wait for a window or the socket.
        queued: bytes in the queue.
        ending: what follows the queue: trailers, or b"" for only the end; None: more data.
        sent_end: our half is closed.
        received_end: the peer's half is closed.
        closed: the connection has removed it.
    """

    __slots__ = (
        "_charged",
        "account",
        "closed",
        "ending",
        "id",
        "owed",
        "owner",
        "queue",
        "queued",
        "receive_window",
        "received_end",
        "send_window",
        "sent_end",
    )

    def __init__(self, owner: Any, account: Account = UNCOUNTED) -> None:
        self.id = 0
        self.owner = owner
        self.account = account
        self._charged = 0
        self.send_window = 0
        self.receive_window = 0
        self.owed = 0
        self.queue: list[Piece] = []
        self.queued = 0
        self.ending: bytes | None = None
        self.sent_end = False
        self.received_end = False
        self.closed = False

    def hold(self, payload: bytes) -> None:
        """Appends a payload to the queue."""
        size = len(payload)
        if not size:
            return
        self.queued += size
        self.account.add(size)
        if size < _SMALL_BYTES:
            tail = self.queue[-1] if self.queue else None
            if isinstance(tail, bytearray) and len(tail) < _GATHERED_BYTES:
                tail += payload
                return
            if tail is not None:
                self.queue.append(bytearray(payload))
                return
        self.queue.append(payload)

    def end_with(self, ending: bytes) -> None:
        """Sets what follows the queue: trailers, or b"" for only the end."""
        self.ending = ending
        if ending and self.queued:
            self._charged = len(ending)
            self.account.add(self._charged)

    def left(self, size: int) -> None:
        """Counts bytes that left the queue."""
        self.queued -= size
        self.account.remove(size)

    def drop(self) -> int:
        """Empties the queue. Returns how many bytes of data were dropped."""
        dropped, self.queued = self.queued, 0
        self.queue.clear()
        self.account.remove(dropped)
        self.settle()
        return dropped

    def settle(self) -> None:
        """Stops counting the ending, which was sent or dropped."""
        if self._charged:
            self.account.remove(self._charged)
            self._charged = 0

"""One stream of a connection: its windows, its ends, and what waits to be sent on it."""

from typing import Any

from vecguard.proxy.http2.buffers import UNCOUNTED, Account

# Pieces smaller than this are gathered, or a window full of single bytes would take
# fifty times its size in memory.
_SMALL_BYTES = 1024
_GATHERED_BYTES = 16 * 1024

Piece = bytes | bytearray | memoryview


class Stream:
    """Made before it has a number, so that data can wait for it.

    Attributes:
        id: 0 until it is open on a connection.
        owner: whoever the connection's handler knows it by.
        send_window: bytes that the peer takes.
        receive_window: bytes that we have allowed and that have not come.
        owed: bytes that were taken on and that the peer has not been told of.
        account: who is charged for what waits.
        queue: payloads that wait for a window or a socket.
        queued: their bytes.
        ending: what comes after the queue: trailers, or nothing but the end; None: more data.
        sent_end: our half is closed.
        received_end: the peer's half is closed.
        closed: the connection knows it no more.
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
        """Puts a payload at the end of the queue."""
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
        """What comes after the queue, and is kept as long."""
        self.ending = ending
        if ending and self.queued:
            self._charged = len(ending)
            self.account.add(self._charged)

    def left(self, size: int) -> None:
        """So many bytes of the queue are on their way."""
        self.queued -= size
        self.account.remove(size)

    def drop(self) -> int:
        """Forgets what waits; how many bytes of data that were."""
        dropped, self.queued = self.queued, 0
        self.queue.clear()
        self.account.remove(dropped)
        self.settle()
        return dropped

    def settle(self) -> None:
        """The ending waits no more."""
        if self._charged:
            self.account.remove(self._charged)
            self._charged = 0

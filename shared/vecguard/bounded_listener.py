"""Accepts connections on the sockets of an inner port, with a bound on their number."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, cast

from vecguard.accept_loop import AcceptLoop
from vecguard.observability.log import get_logger
from vecguard.observability.repeated import RepeatedFailure

log = get_logger(__name__)

_ACCEPTED_IN_A_TURN: Final = 32
# For the closing messages of TLS.
_SHUTDOWN_SECONDS: Final = 5.0


class ConnectionSlot:
    """One counted connection.

    Attributes:
        is_new: whether the peer has not yet sent a request. Such connections are closed first, to
            make room for another one.
        is_busy: returns whether the connection is in use; a busy one is never closed to make room.
        is_begun: whether the event loop was given the socket.
    """

    __slots__ = ("_closed", "_task", "_transport", "is_begun", "is_busy", "is_new")

    def __init__(self, closed: Callable[["ConnectionSlot"], None]) -> None:
        self._closed = closed
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self.is_new = True
        self.is_busy: Callable[[], bool] = _never
        self.is_begun = False

    def opened(self, transport: asyncio.BaseTransport) -> None:
        """Takes the protocol's transport, after the TLS handshake if there is one."""
        # uvloop's transports do not derive from asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)

    def closed(self) -> None:
        """Records that the connection is closed. A second call has no effect."""
        self.is_busy = _never  # the protocol's method, which would be a reference cycle
        self._closed(self)

    def abort(self) -> None:
        """Closes the connection at once, in any state."""
        if self._transport is not None:
            self._transport.abort()
        elif self._task is not None:
            self._task.cancel()

    def handshake_started(self, task: asyncio.Task[None]) -> None:
        """Takes the task that makes a transport of the socket. Only the listener calls it."""
        self._task = task

    @property
    def was_opened(self) -> bool:
        """Whether the connection ever had a transport."""
        return self._transport is not None


class BoundedListener:
    """Accepts a limited number of connections: a new one replaces the oldest idle one.

    A port that is open to all clients thus stays usable for its few honest clients and takes no
    file descriptors from other ports. When all connections are busy, new ones are closed at once.
    """

    def __init__(
        self,
        make_protocol: Callable[[ConnectionSlot], asyncio.BaseProtocol],
        *,
        name: str,
        most: int,
        tls: ssl.SSLContext | None = None,
        handshake_seconds: float = 10.0,
    ) -> None:
        """Prepares a listener.

        `make_protocol` makes the protocol of a connection, which calls `opened` and `closed` on
        its slot. `name` is the port's name in the log.
        """
        self._make_protocol = make_protocol
        self._most = most
        self._tls = tls
        self._handshake_seconds = handshake_seconds
        self._full = RepeatedFailure(log, "inner_connections_full")
        self._name = name
        self._slots: dict[ConnectionSlot, None] = {}
        self._closing: set[ConnectionSlot] = set()
        self._loop = AcceptLoop(
            self._accepted,
            closing=self._closing.__len__,
            in_a_turn=_ACCEPTED_IN_A_TURN,
            port=name,
        )

    def __len__(self) -> int:
        return len(self._slots)

    def start(self, sockets: Sequence[socket.socket]) -> None:
        """Starts to accept on listening sockets, which the listener owns from now on."""
        self._loop.start(sockets)

    def stop(self) -> None:
        """Stops accepting and breaks off handshakes. Other connections stay open."""
        self._loop.stop()

    async def stopped(self) -> None:
        """Returns when all tasks of the listener have ended. `stop` must have been called."""
        await self._loop.stopped()

    def _accepted(self, connection: socket.socket, _address: object) -> None:
        if len(self._slots) < self._most or self._close_an_idle_one():
            self._add(connection)
        else:
            connection.close()

    def _add(self, connection: socket.socket) -> None:
        slot = ConnectionSlot(self._release)
        self._slots[slot] = None
        task = self._loop.run(self._establish(connection, slot))
        slot.handshake_started(task)
        # A task that is cancelled before its first step would not close the connection.
        task.add_done_callback(lambda _: self._clean_up(connection, slot))

    def _close_an_idle_one(self) -> bool:
        slot = next((each for each in self._slots if each.is_new), None)
        if slot is None:
            slot = next((each for each in self._slots if not each.is_busy()), None)
        self._full.failed(
            self._name,
            port=self._name,
            connections=len(self._slots),
            newcomer="refused" if slot is None else "served",
        )
        if slot is None:
            return False
        del self._slots[slot]
        self._closing.add(slot)
        slot.abort()
        return True

    async def _establish(self, connection: socket.socket, slot: ConnectionSlot) -> None:
        slot.is_begun = True
        with suppress(OSError):  # the context counts and logs why
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._make_protocol(slot),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else self._handshake_seconds,
                ssl_shutdown_timeout=None if self._tls is None else _SHUTDOWN_SECONDS,
            )

    def _clean_up(self, connection: socket.socket, slot: ConnectionSlot) -> None:
        if not slot.is_begun:
            connection.close()
        if not slot.was_opened:
            self._release(slot)

    def _release(self, slot: ConnectionSlot) -> None:
        self._slots.pop(slot, None)
        self._closing.discard(slot)


def _never() -> bool:
    return False

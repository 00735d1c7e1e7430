"""Delays each TLS handshake until its ClientHello has arrived, and starts few at a time."""

import asyncio
import select
import socket

from vecguard.proxy.relay.round_robin import RoundRobin

# Each costs up to a millisecond, which delays all other work.
_BEGUN_IN_A_TURN = 4
# Readable connections that are examined in one turn of the event loop.
_POLLED_IN_A_TURN = 32
# The head of a handshake record (RFC 8446, section 5.1): its type, a version, its length.
_HANDSHAKE = 22
_HEAD_BYTES = 5
_MAX_RECORD_BYTES = 2**14


class HandshakeScheduler:
    """Begins few handshakes in one turn of the event loop, and none before its ClientHello.

    A handshake takes some 80 KiB from its beginning, and its first message costs as much as many
    calls: thousands of clients could open connections, wait, and then send at once.
    """

    def __init__(self) -> None:
        # By address, so that no address waits for all handshakes of another.
        self._queue: RoundRobin[asyncio.Future[None]] = RoundRobin()
        self._is_scheduled = False
        self._waiting: dict[int, tuple[socket.socket, asyncio.Future[None]]] = {}
        # Its own epoll, because the event loop would call back for every readable socket at once.
        self._poll: select.epoll | None = None

    async def wait_for_message(self, accepted: socket.socket) -> None:
        """Returns when the first message has arrived on a non-blocking socket.

        The message may be something else than TLS, or the end of the connection.
        """
        if not hasattr(select, "epoll"):
            return  # not Linux: handshakes begin at once, and few in a turn
        loop = asyncio.get_running_loop()
        if self._poll is None:
            self._poll = select.epoll()
            loop.add_reader(self._poll.fileno(), self._poll_sockets)
        number = accepted.fileno()
        message = loop.create_future()
        self._waiting[number] = accepted, message
        # Edge-triggered: one event for each packet.
        self._poll.register(number, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        try:
            await message
        finally:
            del self._waiting[number]
            self._poll.unregister(number)

    def _poll_sockets(self) -> None:
        if self._poll is None:
            return
        for number, events in self._poll.poll(0, _POLLED_IN_A_TURN):
            accepted, message = self._waiting[number]
            if not message.done() and (events != select.EPOLLIN or _has_first_message(accepted)):
                message.set_result(None)

    def close(self) -> None:
        """Closes the epoll; no `wait_for_message` may be awaited any more."""
        if self._poll is not None:
            asyncio.get_running_loop().remove_reader(self._poll.fileno())
            self._poll.close()
            self._poll = None

    async def turn(self, origin: str) -> None:
        """Returns when a handshake with this origin may begin."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.enter(origin, turn)
        if not self._is_scheduled:
            self._schedule()
        try:
            await turn
        finally:
            self._queue.leave(origin, turn)

    def _schedule(self) -> None:
        self._is_scheduled = True
        asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._is_scheduled = False
        for _ in range(min(_BEGUN_IN_A_TURN, self._queue.total)):
            turn = self._queue.take_next()
            if not turn.done():  # cancelled a moment ago
                turn.set_result(None)
        if self._queue.total:
            self._schedule()


def _has_first_message(accepted: socket.socket) -> bool:
    """Returns whether a whole handshake record has arrived, or something else."""
    try:
        head = accepted.recv(_HEAD_BYTES, socket.MSG_PEEK)
        if not head or head[0] != _HANDSHAKE:
            return True
        if len(head) < _HEAD_BYTES:
            return False
        size = int.from_bytes(head[3:])
        if size > _MAX_RECORD_BYTES:
            return True
        size += _HEAD_BYTES
        return len(accepted.recv(size, socket.MSG_PEEK)) == size
    except BlockingIOError:
        return False
    except OSError:
        return True  # the handshake will fail with it

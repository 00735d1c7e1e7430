"""Accepts connections on listening sockets, and owns the tasks that bring them up."""

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from typing import Any, Final

from vecguard.listening import close_all
from vecguard.observability.log import get_logger
from vecguard.observability.repeated import RepeatedFailure

log = get_logger(__name__)

# How long no connection is accepted when the process has no file descriptor left, as in asyncio.
_PAUSE_SECONDS: Final = 1.0
_NO_RESOURCES: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
# The maximum number of connections that may still be closing while the next one is accepted. They
# hold file descriptors beyond the limit of the port; each service reserves some.
_MOST_CLOSING: Final = 32
# Turns of the loop after which an aborted connection or handshake is closed.
_CLOSING_TURNS: Final = 8


class AcceptLoop:
    """Accepts connections itself, because `create_server` reports a client too late.

    A connection holds a file descriptor from its first packet, and a TLS handshake costs more than
    most calls. So it must be counted before that.
    """

    def __init__(
        self,
        accepted: Callable[[socket.socket, Any], None],
        *,
        closing: Callable[[], int],
        in_a_turn: int,
        **entry: str,
    ) -> None:
        """Takes the parts; nothing is accepted before `start`.

        Args:
            accepted: called with each connection, which it owns, and with the peer's address.
            closing: returns how many connections are being closed for newer ones.
            in_a_turn: the maximum number of connections in one turn of the event loop;
                `sock_accept` does not yield to it while connections wait.
            entry: goes into the log line about connections that cannot be accepted.
        """
        self._accepted = accepted
        self._closing = closing
        self._in_a_turn = in_a_turn
        self._entry = entry
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, sockets: Sequence[socket.socket]) -> None:
        """Starts to accept on listening sockets, and owns them from now on."""
        self._sockets += sockets
        for listening in sockets:
            self.run(self._accept(listening))

    @property
    def port(self) -> int:
        """The port of the first socket. Raises RuntimeError before `start`."""
        if not self._sockets:
            raise RuntimeError("the listener is not started")
        return int(self._sockets[0].getsockname()[1])

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Returns a task that brings up a connection, and that `stop` cancels."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def stop(self) -> None:
        """Stops accepting and cancels the tasks. Connections that are up stay open."""
        for task in self._tasks:
            task.cancel()
        close_all(self._sockets)
        self._sockets.clear()

    async def stopped(self) -> None:
        """Returns when all tasks have ended. `stop` must have been called."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        failure = RepeatedFailure(log, "cannot_accept", over="accepts_again", level="error")
        for number in count(1):
            if not number % self._in_a_turn:
                await asyncio.sleep(0)
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in _NO_RESOURCES:
                    failure.failed(str(error.strerror), error=error.strerror, **self._entry)
                    await asyncio.sleep(_PAUSE_SECONDS)
                continue  # otherwise the client has disconnected before it was accepted
            failure.ended()
            self._accepted(connection, address)
            for _ in range(_CLOSING_TURNS):
                if self._closing() <= _MOST_CLOSING:
                    break
                await asyncio.sleep(0)

"""Accepts connections: counts each one, then does its TLS handshake."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from itertools import count
from typing import Any

from vecguard.listening import close_all
from vecguard.observability.log import get_logger
from vecguard.observability.repeated import RepeatedFailure
from vecguard.proxy.http2.limits import LimitHits
from vecguard.proxy.relay.clients.client_link import ClientLink
from vecguard.proxy.relay.clients.connection_limits import ConnectionLimits, Place
from vecguard.proxy.relay.clients.handshake_scheduler import HandshakeScheduler
from vecguard.proxy.relay.limits import RelayLimit

log = get_logger(__name__)

# The pause when the process has no file descriptor left, as in asyncio.
_PAUSE_SECONDS = 1.0
# `sock_accept` does not yield to the loop while connections wait. Each costs some 0.1 ms.
_ACCEPTED_IN_A_TURN = 8
# The most displaced connections that may still be closing while the next one is accepted. They
# hold file descriptors beyond the limit; `descriptors.py` reserves some.
_MOST_DEPARTING = 32
# Turns of the loop after which an aborted connection or handshake is closed.
_DEPARTURE_TURNS = 8
# The least time for a handshake whose client took all its time for the first byte.
_LEAST_SECONDS = 0.01
# How long a client has to read its last bytes, as without TLS.
_SHUTDOWN_SECONDS = 5.0


class Acceptor:
    """Accepts connections itself, because `create_server` reports a client too late.

    A TLS handshake costs more than most calls, and a connection holds a file descriptor from
    its first packet. So it must get its place before that.
    """

    def __init__(
        self,
        make_link: Callable[[Place], ClientLink],
        connection_limits: ConnectionLimits,
        *,
        handshake_seconds: float,
        origin_of: Callable[[str], str],
        hits: LimitHits,
    ) -> None:
        """Takes the parts; nothing is accepted before `start`.

        Args:
            make_link: returns the link for a new connection, which ends the place with it.
            connection_limits: gives each connection its place.
            handshake_seconds: the time for the TLS handshake.
            origin_of: maps an address to its origin; one origin can have many addresses.
            hits: counts handshakes that are not done in time.
        """
        self._make_link = make_link
        self._connection_limits = connection_limits
        self._handshake_seconds = handshake_seconds
        self._origin_of = origin_of
        self._hits = hits
        self._handshakes = HandshakeScheduler()
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None) -> None:
        """Accepts on listening sockets; closes them at `stop`."""
        self._sockets += sockets
        for listening in self._sockets:
            self._run(self._accept(listening, tls))

    @property
    def port(self) -> int:
        """The port of the first socket. Raises RuntimeError before `start`."""
        if not self._sockets:
            raise RuntimeError("the listener is not started")
        return int(self._sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Stops accepting, and cancels handshakes."""
        for task in self._tasks:
            task.cancel()
        close_all(self._sockets)
        self._sockets.clear()

    async def stopped(self) -> None:
        """Waits for its tasks to end, after `stop`."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._handshakes.close()

    async def _accept(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        failure = RepeatedFailure(log, "cannot_accept", over="accepts_again", level="error")
        for number in count(1):
            if not number % _ACCEPTED_IN_A_TURN:
                await asyncio.sleep(0)
            try:
                accepted, address = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    failure.failed(str(error.strerror), error=error.strerror)
                    await asyncio.sleep(_PAUSE_SECONDS)
                continue  # otherwise the client has disconnected before it was accepted
            failure.ended()
            place = self._connection_limits.enter(self._origin_of(str(address[0])))
            if place is None:
                accepted.close()
                continue
            arrival = _Arrival(accepted, self._make_link(place), place)
            connecting = self._run(self._connect(arrival, tls))
            connecting.add_done_callback(arrival.settle)
            place.on_depart(partial(arrival.make_room, connecting))
            for _ in range(_DEPARTURE_TURNS):
                if self._connection_limits.departing <= _MOST_DEPARTING:
                    break
                await asyncio.sleep(0)

    async def _connect(self, arrival: "_Arrival", tls: ssl.SSLContext | None) -> None:
        seconds = self._handshake_seconds
        try:
            if tls is not None:
                seconds -= await arrival.wait_for_turn(self._handshakes, seconds)
            await arrival.handshake(tls, max(seconds, _LEAST_SECONDS))
        except ConnectionAbortedError:  # how asyncio reports the timeout
            self._hits.hit(RelayLimit.HANDSHAKE)
        except OSError:
            pass  # the context counts and logs why

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Arrival:
    """An accepted connection before its link is connected."""

    def __init__(self, accepted: socket.socket, link: ClientLink, place: Place) -> None:
        self._accepted = accepted
        self._link = link
        self._place = place
        self._is_begun = False

    async def wait_for_turn(self, handshakes: HandshakeScheduler, timeout_seconds: float) -> float:
        """Waits until its TLS handshake may begin. Returns the seconds that the client took.

        Raises ConnectionAbortedError if the client sends nothing in time.
        """
        loop = asyncio.get_running_loop()
        begun_at = loop.time()
        try:
            async with asyncio.timeout(timeout_seconds):
                await handshakes.wait_for_message(self._accepted)
        except TimeoutError:
            raise ConnectionAbortedError("the client sends nothing") from None
        seconds = loop.time() - begun_at
        await handshakes.turn(self._place.origin.name)
        return seconds

    async def handshake(self, tls: ssl.SSLContext | None, timeout_seconds: float) -> None:
        """Passes the socket to the loop, which closes it in every case. Raises OSError."""
        self._is_begun = True
        await asyncio.get_running_loop().connect_accepted_socket(
            self._link.as_protocol,
            self._accepted,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else timeout_seconds,
            ssl_shutdown_timeout=None if tls is None else _SHUTDOWN_SECONDS,
        )

    def make_room(self, connecting: asyncio.Task[None]) -> None:
        """Closes the displaced connection at once, in any state."""
        if self._link.was_made:
            self._link.make_room()
        else:
            connecting.cancel()

    def settle(self, task: asyncio.Task[None]) -> None:
        """Closes what is open if the handshake has failed, or was cancelled before it began."""
        del task
        if not self._is_begun:
            self._accepted.close()
        if not self._link.was_made:
            self._place.end()

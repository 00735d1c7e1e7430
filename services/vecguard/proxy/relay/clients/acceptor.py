"""Accepts connections: counts each one, then does its TLS handshake."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from vecguard.accept_loop import AcceptLoop
from vecguard.proxy.http2.limits import LimitHits
from vecguard.proxy.relay.clients.client_link import ClientLink
from vecguard.proxy.relay.clients.connection_limits import ConnectionLimits, Place
from vecguard.proxy.relay.clients.handshake_scheduler import HandshakeScheduler
from vecguard.proxy.relay.limits import RelayLimit

# Each costs some 0.1 ms.
_ACCEPTED_IN_A_TURN = 8
# The least time for a handshake whose client took all its time for the first byte.
_LEAST_SECONDS = 0.01
# How long a client has to read its last bytes, as without TLS.
_SHUTDOWN_SECONDS = 5.0


class Acceptor:
    """Gives each accepted connection its place and its link, then does its TLS handshake."""

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
        self._tls: ssl.SSLContext | None = None
        self._loop = AcceptLoop(
            self._accepted,
            closing=lambda: connection_limits.departing,
            in_a_turn=_ACCEPTED_IN_A_TURN,
        )

    def start(self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None) -> None:
        """Accepts on listening sockets; closes them at `stop`."""
        self._tls = tls
        self._loop.start(sockets)

    @property
    def port(self) -> int:
        """The port of the first socket. Raises RuntimeError before `start`."""
        return self._loop.port

    def stop(self) -> None:
        """Stops accepting, and cancels handshakes."""
        self._loop.stop()

    async def stopped(self) -> None:
        """Waits for its tasks to end, after `stop`."""
        await self._loop.stopped()
        self._handshakes.close()

    def _accepted(self, connection: socket.socket, address: Any) -> None:
        place = self._connection_limits.enter(self._origin_of(str(address[0])))
        if place is None:
            connection.close()
            return
        arrival = _Arrival(connection, self._make_link(place), place)
        connecting = self._loop.run(self._connect(arrival))
        connecting.add_done_callback(arrival.settle)
        place.on_depart(partial(arrival.make_room, connecting))

    async def _connect(self, arrival: "_Arrival") -> None:
        tls, seconds = self._tls, self._handshake_seconds
        try:
            if tls is not None:
                seconds -= await arrival.wait_for_turn(self._handshakes, seconds)
            await arrival.handshake(tls, max(seconds, _LEAST_SECONDS))
        except ConnectionAbortedError:  # how asyncio reports the timeout
            self._hits.hit(RelayLimit.HANDSHAKE)
        except OSError:
            pass  # the context counts and logs why


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

"""Accepts connections: counts each one, reads its PROXY header, then does its TLS handshake."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from vecguard.accept_loop import AcceptLoop
from vecguard.proxy.http2.limits import LimitHits
from vecguard.proxy.relay.clients.balancers import Balancers, HeaderFault
from vecguard.proxy.relay.clients.client_link import ClientLink
from vecguard.proxy.relay.clients.connection_limits import ConnectionLimits, Place
from vecguard.proxy.relay.clients.handshake_scheduler import HandshakeScheduler
from vecguard.proxy.relay.clients.proxy_header import (
    MAX_BYTES,
    SIGNATURE_BYTES,
    MalformedProxyHeaderError,
    MissingProxyHeaderError,
    ProxyHeader,
    ProxyHeaderError,
    begins_header,
    read_header,
)
from vecguard.proxy.relay.limits import RelayLimit

# Each costs some 0.1 ms.
_ACCEPTED_IN_A_TURN = 8
# The minimum time for a handshake whose client took all its time for the first byte.
_LEAST_SECONDS = 0.01
# How long a client has to read its last bytes, as without TLS.
_SHUTDOWN_SECONDS = 5.0


class Acceptor:
    """Gives each accepted connection its place, does its TLS handshake, and connects its link."""

    def __init__(
        self,
        make_link: Callable[[Place, tuple[str, int]], ClientLink],
        connection_limits: ConnectionLimits,
        *,
        handshake_seconds: float,
        origin_of: Callable[[str], str],
        balancers: Balancers,
        hits: LimitHits,
    ) -> None:
        """Takes the parts; nothing is accepted before `start`.

        Args:
            make_link: returns the link for a new connection of a client with this address; the
                link ends the place with it.
            connection_limits: gives each connection its place.
            handshake_seconds: the time for the TLS handshake.
            origin_of: maps an address to its origin; one origin can have many addresses.
            balancers: says which connections begin with a PROXY header.
            hits: counts handshakes that are not done in time.
        """
        self._make_link = make_link
        self._connection_limits = connection_limits
        self._handshake_seconds = handshake_seconds
        self._origin_of = origin_of
        self._balancers = balancers
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
        peer = str(address[0]), int(address[1])
        place = self._connection_limits.enter(self._origin_of(peer[0]))
        if place is None:
            connection.close()
            return
        arrival = _Arrival(connection, self._make_link, place, peer)
        connecting = self._loop.run(self._connect(arrival))
        connecting.add_done_callback(arrival.settle)
        arrival.takes(place, connecting)

    async def _connect(self, arrival: "_Arrival") -> None:
        tls, seconds = self._tls, self._handshake_seconds
        try:
            if self._balancers.sends_header(arrival.address[0]):
                begun_at = asyncio.get_running_loop().time()
                if not await self._introduced(arrival):
                    return
                seconds -= asyncio.get_running_loop().time() - begun_at
            if tls is not None:
                seconds -= await arrival.wait_for_turn(
                    self._handshakes, max(seconds, _LEAST_SECONDS)
                )
                if arrival.begins_proxy_header():
                    self._balancers.note_untrusted(arrival.address)
                    return
            await arrival.handshake(tls, max(seconds, _LEAST_SECONDS))
        except ConnectionAbortedError:  # how asyncio reports the timeout
            self._hits.hit(RelayLimit.HANDSHAKE)
        except OSError:
            pass  # the TLS context counts and logs why

    async def _introduced(self, arrival: "_Arrival") -> bool:
        """Takes the balancer's header off the socket. Returns whether the connection continues.

        Until then the connection counts for the balancer's address, from then on for the client's.
        """
        try:
            async with asyncio.timeout(self._handshake_seconds):
                header = await receive_header(arrival.accepted)
        except TimeoutError:
            self._hits.hit(RelayLimit.HANDSHAKE)
            self._balancers.note_fault(
                HeaderFault.LATE, arrival.address, "no whole PROXY header has come in time"
            )
            return False
        except OSError:  # the peer has hung up
            return False
        except ProxyHeaderError as error:
            is_missing = isinstance(error, MissingProxyHeaderError)
            fault = HeaderFault.MISSING if is_missing else HeaderFault.MALFORMED
            self._balancers.note_fault(fault, arrival.address, str(error))
            return False
        if header is None:
            return False
        if header.source is None:
            return True
        return arrival.introduce(self._connection_limits, header.source, self._origin_of)


class _Arrival:
    """An accepted connection before its link is connected.

    Attributes:
        accepted: its socket.
        address: the address and port of its client, as far as they are known.
    """

    __slots__ = ("_connecting", "_link", "_make_link", "_place", "accepted", "address")

    def __init__(
        self,
        accepted: socket.socket,
        make_link: Callable[[Place, tuple[str, int]], ClientLink],
        place: Place,
        address: tuple[str, int],
    ) -> None:
        self.accepted = accepted
        self.address = address
        self._make_link = make_link
        self._place = place
        self._link: ClientLink | None = None
        self._connecting: asyncio.Task[None] | None = None

    def takes(self, place: Place, connecting: asyncio.Task[None]) -> None:
        """Lets this place be displaced, and `connecting` with it."""
        self._place, self._connecting = place, connecting
        place.on_depart(self._make_room)

    def introduce(
        self, limits: ConnectionLimits, source: tuple[str, int], origin_of: Callable[[str], str]
    ) -> bool:
        """Moves the connection from the balancer's address to the client's.

        Returns whether there was a place.
        """
        self.address = source
        self._place.end()
        place = limits.enter(origin_of(source[0]))
        if place is None or self._connecting is None:
            return False
        self.takes(place, self._connecting)
        return True

    async def wait_for_turn(self, handshakes: HandshakeScheduler, timeout_seconds: float) -> float:
        """Waits until its TLS handshake may begin. Returns the seconds that the client took.

        Raises ConnectionAbortedError if the client sends nothing in time.
        """
        loop = asyncio.get_running_loop()
        begun_at = loop.time()
        try:
            async with asyncio.timeout(timeout_seconds):
                await handshakes.wait_for_message(self.accepted)
        except TimeoutError:
            raise ConnectionAbortedError("the client sends nothing") from None
        seconds = loop.time() - begun_at
        await handshakes.turn(self._place.origin.name)
        return seconds

    def begins_proxy_header(self) -> bool:
        """Returns whether a PROXY header comes next, where a TLS handshake should."""
        try:
            return begins_header(self.accepted.recv(SIGNATURE_BYTES, socket.MSG_PEEK))
        except OSError:  # nothing has come, or the handshake will fail with it
            return False

    async def handshake(self, tls: ssl.SSLContext | None, timeout_seconds: float) -> None:
        """Passes the socket to the loop, which closes it in every case. Raises OSError."""
        self._link = self._make_link(self._place, self.address)
        await asyncio.get_running_loop().connect_accepted_socket(
            self._link.as_protocol,
            self.accepted,
            ssl=tls,
            ssl_handshake_timeout=None if tls is None else timeout_seconds,
            ssl_shutdown_timeout=None if tls is None else _SHUTDOWN_SECONDS,
        )

    def _make_room(self) -> None:
        """Closes the displaced connection at once, in any state."""
        if self._link is not None and self._link.was_made:
            self._link.make_room()
        elif self._connecting is not None:
            self._connecting.cancel()

    def settle(self, task: asyncio.Task[None]) -> None:
        """Closes what is open if the handshake has failed, or was cancelled before it began."""
        del task
        self._connecting = None
        if self._link is None:
            self.accepted.close()
        if self._link is None or not self._link.was_made:
            self._place.end()


async def receive_header(accepted: socket.socket) -> ProxyHeader | None:
    """Takes a PROXY header off a non-blocking socket, and nothing that comes after it.

    Returns None if the peer closes the connection without a byte, as health checks do.

    Raises:
        MissingProxyHeaderError: something else has come.
        MalformedProxyHeaderError: the header breaks the specification, or is cut off.
        OSError: the connection is broken.
    """
    received = b""
    while True:
        coming = await _peek(accepted)
        if not coming:
            if received:
                raise MalformedProxyHeaderError("the connection ends within it")
            return None
        header = read_header(received + coming)
        accepted.recv(len(coming) if header is None else header.size - len(received))
        if header is not None:
            return header
        received += coming


async def _peek(accepted: socket.socket) -> bytes:
    """Returns what comes next, as soon as something has come, and leaves it in the socket."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return accepted.recv(MAX_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            pass
        readable = loop.create_future()
        loop.add_reader(accepted, _set, readable)
        try:
            await readable
        finally:
            loop.remove_reader(accepted)


def _set(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)

"""The public port: accepts calls, has them admitted, routed and forwarded."""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, Peer, Stream

from services.proxy.relay.active import ActiveCalls
from services.proxy.relay.call import Call
from services.proxy.relay.forwarding import forward
from services.proxy.relay.headers import PEER, USER, Header, RequestHead
from services.proxy.relay.routing import Routes
from services.proxy.relay.upstream import Upstream
from shared.errors import ConfigurationError, UnavailableError
from shared.grpc import transport
from shared.grpc.addresses import Address

# A client's streams share this much; one stalled stream can take a sixteenth of it.
_CONFIGURATION = Configuration(
    http2_connection_window_size=16 * 2**20,
    http2_stream_window_size=2**20,
    _keepalive_time=60.0,
    _keepalive_timeout=10.0,
    _keepalive_permit_without_calls=True,
    _http2_max_pings_without_data=0,
    _http2_min_sent_ping_interval_without_data=60.0,
).__for_server__()
_H2_CONFIGURATION = transport.raw_h2_configuration(client_side=False)
# asyncio's own minute lets a client that says nothing hold a connection for that long.
_HANDSHAKE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Admission:
    """Who a call is from: a user with the password's revision, or nobody in particular."""

    username: str | None
    revision: int = 0


# The verified certificate of a client, in the form of `SSLObject.getpeercert()`.
PeerCertificate = Callable[[], Mapping[str, Any] | None]


class Gatekeeper(Protocol):
    """Decides by the values of the `authorization` header and by the client's certificate.

    Raises to refuse.
    """

    async def admit(
        self, authorization: Sequence[bytes], certificate: PeerCertificate
    ) -> Admission: ...


class Listener:
    """Serves the public port until it is drained."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        routes: Routes[Upstream],
        active: ActiveCalls,
        *,
        max_message_bytes: int,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._routes = routes
        self._active = active
        self._max_message_bytes = max_message_bytes
        self._server: asyncio.Server | None = None
        self._protocols: set[transport.Protocol] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, address: Address, *, tls: ssl.SSLContext | None = None) -> None:
        """Listens. Raises ConfigurationError when the address cannot be used."""
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Connection(_Handler(self._accept), self._protocols),
                address.host,
                address.port,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
                backlog=1024,
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {address} ({error.strerror or error}); "
                "free it or set proxy.ip and proxy.port"
            ) from error

    @property
    def port(self) -> int:
        """The port that is really listened on (for a configured port of 0)."""
        if self._server is None:
            raise RuntimeError("the listener is not started")
        return int(self._server.sockets[0].getsockname()[1])

    async def drain(self, timeout_seconds: float) -> None:
        """Stops accepting, lets calls finish, ends those that run after `timeout_seconds`."""
        if self._server is not None:
            self._server.close()
        for protocol in self._protocols:
            protocol.go_away()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self._tasks:  # some were on their way when the clients were told
                    await asyncio.wait(self._tasks)
        self._active.end_all(UnavailableError("the proxy is shutting down, try again"))
        if self._tasks:
            await asyncio.wait(self._tasks)
        await transport.close_all(self._protocols)

    def _accept(
        self, stream: Stream, headers: Sequence[Header], release: Callable[[], None]
    ) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(stream, headers, release))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, stream: Stream, headers: Sequence[Header], release: Callable[[], None]
    ) -> None:
        call = Call(stream)
        try:
            with self._active.entered(call):
                await call.run(lambda: self._handle(call, headers))
        finally:
            release()

    async def _handle(self, call: Call, headers: Sequence[Header]) -> None:
        head = RequestHead.read(headers)
        call.set_deadline(head.timeout_seconds)
        peer = call.client.connection.get_peer()
        admission = await self._gatekeeper.admit(head.authorization, peer.cert)
        identity: list[Header] = []
        if admission.username is not None:
            identity.append((USER, admission.username.encode()))
        upstream = self._routes.find(head.path)
        if admission.username is not None and upstream.revocable:
            self._active.identify(call, admission.username, admission.revision)
        if upstream.policy.shows_peer:
            identity.append((PEER, _address_of(peer).encode()))
        await forward(call, upstream, head, identity, max_message_bytes=self._max_message_bytes)


class _Handler(AbstractHandler):
    """Hands streams over; each call's watcher learns of their ends by itself."""

    def __init__(
        self, accept: Callable[[Stream, Sequence[Header], Callable[[], None]], None]
    ) -> None:
        self._accept = accept

    def accept(self, stream: Stream, headers: Any, release_stream: Callable[[], None]) -> None:
        self._accept(stream, headers, release_stream)

    def cancel(self, stream: Stream) -> None:
        pass

    def close(self) -> None:
        pass


class _Connection(transport.Protocol):
    def __init__(self, handler: _Handler, connections: set[transport.Protocol]) -> None:
        super().__init__(handler, _CONFIGURATION, _H2_CONFIGURATION, outlives_goaway=True)
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)
        encrypted = transport.get_extra_info("ssl_object")
        if encrypted is not None and encrypted.selected_alpn_protocol() != "h2":
            # RFC 9113, section 3.3. Python's ssl module leaves it to us.
            self.processor.close("the client does not speak HTTP/2")

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.discard(self)
        super().connection_lost(exc)


def _address_of(peer: Peer) -> str:
    address = peer.addr()
    return str(Address(address[0], address[1])) if address else "local"

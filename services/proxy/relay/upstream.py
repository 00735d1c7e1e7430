"""One upstream: a connection that is made when needed and made again when lost."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from grpclib.client import Handler
from grpclib.config import Configuration
from grpclib.protocol import Stream
from h2.exceptions import H2Error, NoAvailableStreamIDError

from services.proxy.relay.errors import UpstreamUnavailableError
from services.proxy.relay.headers import Header, HeaderPolicy
from services.proxy.relay.streams import StreamWatcher
from shared.grpc.addresses import Address
from shared.grpc.server import GrpcServer
from shared.grpc.transport import Protocol, raw_h2_configuration
from shared.singleflight import SingleFlight

# One slow client must not fill the window that all calls to the upstream share: only the
# window of its own stream holds it back.
_CONFIGURATION = Configuration(
    http2_connection_window_size=2**31 - 1,
    http2_stream_window_size=2**20,
    _keepalive_time=30.0,
    _keepalive_timeout=10.0,
).__for_client__()
_H2_CONFIGURATION = raw_h2_configuration(client_side=True)

ProtocolFactory = Callable[[], Protocol]
Connector = Callable[[ProtocolFactory], Awaitable[Protocol]]


@dataclass(slots=True)
class OpenedStream:
    """A call that was sent to an upstream; `release` must be called at its end."""

    stream: Stream
    release: Callable[[], None]


class Upstream:
    """Where calls are forwarded to.

    Attributes:
        name: for messages, such as `backend 127.0.0.1:19540`.
        authority: what the upstream sees as `:authority`.
        policy: which client headers it sees.
        scheme: `https` when the connection is encrypted.
        revocable: whether a call in progress ends when its login is revoked. The account
            service's do not: the very call that changes a password must get its answer.
    """

    def __init__(
        self,
        name: str,
        connect: Connector,
        *,
        authority: str,
        policy: HeaderPolicy,
        revocable: bool = True,
        scheme: bytes = b"http",
    ) -> None:
        self.name = name
        self.authority = authority.encode()
        self.policy = policy
        self.revocable = revocable
        self.scheme = scheme
        self._connect = connect
        self._connecting: SingleFlight[str, Protocol] = SingleFlight()
        self._protocol: Protocol | None = None

    async def open(self, headers: list[Header], watcher: StreamWatcher) -> OpenedStream:
        """Sends a request's headers on a new stream.

        Raises:
            UpstreamUnavailableError: no connection can be made.
        """
        protocol = self._usable() or await self._connecting.do("", self._reconnect)
        if protocol.connection.is_closing():
            raise self._closed()
        stream = protocol.connection.create_stream(wrapper=watcher)
        try:
            release = await stream.send_request(
                headers,  # type: ignore[arg-type]  # grpclib's annotation knows text only, h2 takes bytes
                _processor=protocol.processor,
            )
        except NoAvailableStreamIDError:  # after 2**30 calls
            protocol.retire()
            return await self.open(headers, watcher)
        except H2Error as error:
            raise self._closed() from error
        return OpenedStream(stream, release)

    def close(self) -> None:
        """Closes the connection; calls in flight end as if it were lost."""
        protocol = self._usable()
        if protocol is not None:
            protocol.processor.close()

    def _usable(self) -> Protocol | None:
        protocol = self._protocol
        if protocol is None or protocol.going_away or protocol.connection.is_closing():
            return None
        return protocol

    def _closed(self) -> UpstreamUnavailableError:
        return UpstreamUnavailableError(f"{self.name} closed the connection")

    async def _reconnect(self) -> Protocol:
        try:
            self._protocol = await self._connect(
                lambda: Protocol(Handler(), _CONFIGURATION, _H2_CONFIGURATION, outlives_goaway=True)
            )
        except OSError as error:
            raise UpstreamUnavailableError(
                f"{self.name} cannot be reached ({error.strerror or error}), try again"
            ) from error
        return self._protocol


def over_tcp(
    address: Address,
    *,
    timeout_seconds: float,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
) -> Connector:
    """Connects to another process that shows itself as an HTTP/2 server in time.

    Everything that goes wrong is an OSError.
    """

    async def connect(factory: ProtocolFactory) -> Protocol:
        try:
            async with asyncio.timeout(timeout_seconds):
                _, protocol = await asyncio.get_running_loop().create_connection(
                    factory, address.host, address.port, ssl=tls, server_hostname=server_name
                )
                try:
                    await protocol.greeted.wait()
                except asyncio.CancelledError:
                    protocol.abort()
                    raise
        except TimeoutError as error:
            raise ConnectionError(f"no HTTP/2 within {timeout_seconds:g} s") from error
        if protocol.connection.is_closing():
            raise ConnectionError("no HTTP/2 server answers there")
        return protocol

    return connect


def in_process(server: GrpcServer) -> Connector:
    """Connects to a server of this process by a socket pair, which nobody else can reach."""

    async def connect(factory: ProtocolFactory) -> Protocol:
        theirs, ours = socket.socketpair()
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(server.accept, theirs)
            _, protocol = await loop.create_connection(factory, sock=ours)
        except BaseException:
            theirs.close()
            ours.close()
            raise
        return protocol

    return connect

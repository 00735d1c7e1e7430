"""One upstream: a connection that is made when needed and made again when lost."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

from services.proxy.http2.limits import MAX_WINDOW_BYTES, Limits
from services.proxy.relay.errors import UpstreamUnavailableError
from services.proxy.relay.headers import HeaderPolicy, authority_field, request_preface
from services.proxy.relay.link import Keepalive
from services.proxy.relay.upstream_link import UpstreamLink
from shared.grpc.addresses import Address
from shared.grpc.server import GrpcServer
from shared.singleflight import SingleFlight

# One slow client must not fill the window that all calls to the upstream share: only the
# window of its own stream holds it back.
_LIMITS = Limits(connection_window_bytes=MAX_WINDOW_BYTES)
_KEEPALIVE = Keepalive(interval_seconds=30.0, timeout_seconds=10.0)

LinkFactory = Callable[[], UpstreamLink]
Connector = Callable[[LinkFactory], Awaitable[UpstreamLink]]


class Upstream:
    """Where calls are forwarded to.

    Attributes:
        name: for messages, such as `backend 127.0.0.1:19540`.
        authority: the field that the upstream sees as `:authority`.
        preface: how each request to it begins; says `https` when the connection is encrypted.
        policy: which client headers it sees.
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
        keepalive: Keepalive = _KEEPALIVE,
    ) -> None:
        self.name = name
        self.preface = request_preface(scheme)
        self.authority = authority_field(authority)
        self.policy = policy
        self.revocable = revocable
        self._connect = connect
        self._keepalive = keepalive
        self._connecting: SingleFlight[str, UpstreamLink] = SingleFlight()
        self._link: UpstreamLink | None = None

    def free_link(self) -> UpstreamLink | None:
        """The connection if it takes a call right now; None: ask `link`."""
        link = self._usable()
        return link if link is not None and link.is_free else None

    async def link(self) -> UpstreamLink:
        """A connection that takes a call right now.

        Raises:
            UpstreamUnavailableError: no connection can be made.
        """
        while True:
            link = self._usable() or await self._connecting.do("", self._reconnect)
            if link.is_closing:
                raise UpstreamUnavailableError(f"{self.name} closed the connection")
            while not link.connection.has_room and not link.is_leaving and not link.is_closing:
                await link.room()
            if link.is_closing:
                raise UpstreamUnavailableError(f"{self.name} closed the connection")
            if not link.is_leaving:
                return link

    def close(self) -> None:
        """Closes the connection; calls in flight end as if it were lost."""
        if self._link is not None:
            self._link.close()

    def _usable(self) -> UpstreamLink | None:
        link = self._link
        if link is None or link.is_leaving or link.is_closing:
            return None
        if link.connection.is_used_up:  # after 2**30 calls
            link.retire()
            return None
        return link

    async def _reconnect(self) -> UpstreamLink:
        try:
            self._link = await self._connect(lambda: UpstreamLink(_LIMITS, self._keepalive))
        except OSError as error:
            raise UpstreamUnavailableError(
                f"{self.name} cannot be reached ({error.strerror or error}), try again"
            ) from error
        return self._link


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

    async def connect(factory: LinkFactory) -> UpstreamLink:
        try:
            async with asyncio.timeout(timeout_seconds):
                _, link = await asyncio.get_running_loop().create_connection(
                    factory, address.host, address.port, ssl=tls, server_hostname=server_name
                )
                try:
                    await link.greeted.wait()
                except asyncio.CancelledError:
                    link.abort()
                    raise
        except TimeoutError as error:
            raise ConnectionError(f"no HTTP/2 within {timeout_seconds:g} s") from error
        if link.is_closing:
            raise ConnectionError("no HTTP/2 server answers there")
        return link

    return connect


def in_process(server: GrpcServer) -> Connector:
    """Connects to a server of this process by a socket pair, which nobody else can reach."""

    async def connect(factory: LinkFactory) -> UpstreamLink:
        theirs, ours = socket.socketpair()
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(server.accept, theirs)
            _, link = await loop.create_connection(factory, sock=ours)
        except BaseException:
            theirs.close()
            ours.close()
            raise
        return link

    return connect

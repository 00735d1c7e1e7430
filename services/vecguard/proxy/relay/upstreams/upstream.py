"""One upstream: what it is told about calls, and how it is reached."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from random import Random

from vecguard.addresses import Address
from vecguard.grpc.server import GrpcServer
from vecguard.proxy.http2.limits import MAX_WINDOW_BYTES, LimitHits, Limits
from vecguard.proxy.relay.link import Keepalive
from vecguard.proxy.relay.upstreams.header_policy import (
    HeaderPolicy,
    authority_field,
    request_preface,
)
from vecguard.proxy.relay.upstreams.pool import Connector, LinkFactory, Pool, PoolPolicy
from vecguard.proxy.relay.upstreams.upstream_link import UpstreamLink

__all__ = ["Chooser", "Connector", "LinkFactory", "Upstream", "in_process", "over_tcp"]

# One slow client must not fill the window that all calls to the upstream share: only the
# window of its own stream holds it back.
_LIMITS = Limits(
    # So many cancelled calls are remembered: what is still on its way on them is no mistake.
    concurrent_streams=1000,
    stream_window_bytes=2**20,
    connection_window_bytes=MAX_WINDOW_BYTES,
    header_list_bytes=64 * 1024,
    header_block_bytes=128 * 1024,
)
# gRPC servers close a connection with more than two PINGs in a row that come less than five
# minutes after the one before, without data between. The kernel's keepalive finds a machine
# that vanished much earlier; PINGs are for a process that stands still, in a call.
_KEEPALIVE = Keepalive(interval_seconds=310.0, timeout_seconds=20.0)
_TCP_IDLE_SECONDS, _TCP_INTERVAL_SECONDS, _TCP_PROBES = 20, 5, 3
# Bytes that are not acknowledged for as long mean that the machine is gone.
_TCP_USER_TIMEOUT_MS = 20_000


class Upstream:
    """Where calls are forwarded to.

    Attributes:
        name: for messages, such as `backend 127.0.0.1:19540`.
        authority: the field that the upstream sees as `:authority`.
        preface: how each request to it begins; says `https` when the connection is encrypted.
        policy: which client headers it sees.
        revocable: whether a call whose request has arrived there ends when its login is revoked.
            The account service's do not: the very call that changes a password must get its
            answer.
        max_request_bytes: requests of one message, of so many bytes at most, are sent on only
            when that has arrived, so that calls which are begun and not gone on with keep
            nobody out; None: every request is sent on as it comes.
        choose: names another upstream for a request that has arrived, or None to keep it here;
            asked only where there is a limit to `max_request_bytes`.
        pool: its connections.
    """

    def __init__(
        self,
        name: str,
        connect: Connector,
        *,
        authority: str,
        policy: HeaderPolicy,
        revocable: bool = True,
        max_request_bytes: int | None = None,
        choose: "Chooser | None" = None,
        pool: PoolPolicy,
        scheme: bytes = b"http",
        keepalive: Keepalive = _KEEPALIVE,
        limits: Limits = _LIMITS,
        hits: LimitHits | None = None,
    ) -> None:
        self.name = name
        self.preface = request_preface(scheme)
        self.authority = authority_field(authority)
        self.policy = policy
        self.revocable = revocable
        self.max_request_bytes = max_request_bytes
        self.choose = choose
        self.pool = Pool(
            name,
            connect,
            limits=limits,
            keepalive=keepalive,
            policy=pool,
            random=Random(),  # noqa: S311 - it spreads attempts in time and hides nothing
            hits=hits or LimitHits(),
        )

    @property
    def links(self) -> tuple[UpstreamLink, ...]:
        """The connections that there are."""
        return self.pool.links

    def close(self) -> None:
        """Closes the connections; calls in flight end as if these were lost."""
        self.pool.close()


#: Takes a request's data so far, its prefix included, and the values of its `grpc-encoding`.
Chooser = Callable[[bytes, Sequence[bytes]], Upstream | None]


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
                link = factory()
                transport, _ = await asyncio.get_running_loop().create_connection(
                    link.as_protocol,
                    address.host,
                    address.port,
                    ssl=tls,
                    server_hostname=server_name,
                )
                _keep_alive(transport.get_extra_info("socket"))
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
    """Connects to a server of this process by a socket pair, which nothing else can reach.

    It is ready when the server has said how many calls it takes at a time.
    """

    async def connect(factory: LinkFactory) -> UpstreamLink:
        loop = asyncio.get_running_loop()
        # Cancelled in between, or failed: neither end may stay open.
        with ExitStack() as undo:
            theirs, ours = socket.socketpair()
            undo.callback(theirs.close)
            undo.callback(ours.close)
            accepted, _ = await loop.connect_accepted_socket(server.accept, theirs)
            undo.callback(accepted.abort)
            link = factory()
            await loop.create_connection(link.as_protocol, sock=ours)
            undo.callback(link.abort)
            await link.greeted.wait()
            undo.pop_all()
        return link

    return connect


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _TCP_IDLE_SECONDS),
        ("TCP_KEEPINTVL", _TCP_INTERVAL_SECONDS),
        ("TCP_KEEPCNT", _TCP_PROBES),
        ("TCP_USER_TIMEOUT", _TCP_USER_TIMEOUT_MS),
    ):
        option = getattr(socket, name, None)  # not every system has all of them
        if option is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)

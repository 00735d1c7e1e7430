"""One upstream: the headers that it gets, and how to connect to it."""

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
from vecguard.tcp_keepalive import keep_alive

__all__ = ["Chooser", "Connector", "LinkFactory", "Upstream", "in_process", "over_tcp"]

# The connection window is the largest possible, so that one slow client cannot fill a window that
# all calls to the upstream share: only the window of its own stream stops it.
_LIMITS = Limits(
    # This many cancelled calls are remembered: frames of them in flight are not an error.
    concurrent_streams=1000,
    stream_window_bytes=2**20,
    connection_window_bytes=MAX_WINDOW_BYTES,
    header_list_bytes=64 * 1024,
    header_block_bytes=128 * 1024,
)
# gRPC servers close a connection with more than two PINGs in a row that come less than five
# minutes after the one before, without data between. The kernel's keepalive finds a machine
# that vanished much earlier; PINGs find a process that hangs during a call.
_KEEPALIVE = Keepalive(interval_seconds=310.0, timeout_seconds=20.0)


class Upstream:
    """A destination of calls, with its connections.

    Attributes:
        name: for messages, such as `backend 127.0.0.1:19540`.
        authority: the encoded `:authority` field of its requests.
        preface: the encoded first fields of its requests; the scheme is `https` with TLS.
        policy: selects the client headers that it gets.
        revocable: whether a call ends when its login is revoked after its request was forwarded.
            False for the account service: the call that changes a password must get its answer.
        max_request_bytes: if set, a request is one message of at most this many bytes, and is
            forwarded only when it is complete, so that incomplete requests take no stream. None:
            requests are forwarded as they come.
        choose: returns another upstream for a complete request, or None to keep it here; used
            only with `max_request_bytes`.
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
            limits=_LIMITS,
            keepalive=keepalive,
            policy=pool,
            random=Random(),  # noqa: S311 - it spreads attempts in time and hides nothing
            hits=hits or LimitHits(),
        )

    @property
    def links(self) -> tuple[UpstreamLink, ...]:
        """The open connections."""
        return self.pool.links

    def close(self) -> None:
        """Closes the connections; open calls end as if these were lost."""
        self.pool.close()


#: Called with a complete request, including its prefix, and the values of its `grpc-encoding`.
Chooser = Callable[[bytes, Sequence[bytes]], Upstream | None]


def over_tcp(
    address: Address,
    *,
    timeout_seconds: float,
    tls: ssl.SSLContext | None = None,
) -> Connector:
    """Returns a connector to another process, by TCP.

    It waits for the SETTINGS of an HTTP/2 server, and raises OSError for every failure.
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
                )
                keep_alive(transport.get_extra_info("socket"))
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
    """Returns a connector to a server of this process, by a socket pair.

    It waits for the SETTINGS with the number of calls that the server accepts.
    """

    async def connect(factory: LinkFactory) -> UpstreamLink:
        loop = asyncio.get_running_loop()
        # Neither end may stay open after a cancellation or a failure.
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

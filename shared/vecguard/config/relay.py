"""Limits of the public port, and settings of the connections to the backend."""

from typing import Annotated

from pydantic import Field

from vecguard.config.fields import (
    Bytes,
    Count,
    NetworkTexts,
    Seconds,
    SecondsOrZero,
    Section,
    Unit,
)

#: RFC 9113, section 6.9: a window is a signed 32-bit number, and begins with this on a connection.
Window = Annotated[int, Field(ge=65_535, le=2**31 - 1), Unit("bytes")]
#: Four kibibytes hold gRPC's own headers and a login.
HeaderListSize = Annotated[int, Field(ge=4096, le=2**24), Unit("bytes")]


class Http2Settings(Section):
    """Limits on one client connection, and on all together."""

    max_concurrent_streams: Count = Field(
        default=1000,
        description="Maximum number of open calls on one client connection. More are refused. "
        "Keep it high enough that long streams leave room for short calls.",
    )
    max_header_list_size: HeaderListSize = Field(
        default=65_536,
        description="Maximum size of all headers of a call, counting 32 extra bytes per header. "
        "A call with larger headers is refused. gRPC's own default is 16384, but a token may be "
        "longer.",
    )
    stream_window: Window = Field(
        default=1_048_576,
        description="Maximum amount of data of one stream that waits for its receiver. It should "
        "cover a round trip: 1 MiB allows 800 Mbit/s at 10 ms.",
    )
    connection_window: Window = Field(
        default=16_777_216,
        description="Maximum amount of request data that waits for all streams of one client "
        "connection.",
    )
    max_buffered: Bytes = Field(
        default=536_870_912,
        description="Memory limit for buffered data in one process: data in both directions, "
        "open calls and incomplete headers. Above it, the clients with the most buffered data "
        "lose those calls or their connections. Keep it well below the memory limit of the "
        "process.",
    )


class ConnectionSettings(Section):
    """Limits on the number and age of client connections, in each process."""

    max: Count = Field(
        default=10_000,
        description="Maximum number of client connections. An idle connection uses about 11 KiB "
        "of memory, with TLS about 56 KiB, and a file descriptor. If the system's hard limit "
        "allows fewer file descriptors, fewer connections are accepted.",
    )
    max_per_address: Count = Field(
        default=2000,
        description="Maximum number of connections from one address (IPv6: /64 network), so that "
        "one client cannot block all others. At either limit, the oldest connection without an "
        "admitted call is closed. Behind a load balancer, see proxyProtocol.trusted.",
    )
    handshake_timeout: Seconds = Field(
        default=10.0,
        description="Deadline of the TLS handshake, and again of the first frames after it.",
    )
    first_call_timeout: SecondsOrZero = Field(
        default=60.0,
        description="How long a connection may stay open without a call with a valid login. Then "
        "it is closed gracefully, or earlier if a limit on connections is reached. 0: "
        "connections.idleTimeout applies instead.",
    )
    idle_timeout: SecondsOrZero = Field(
        default=3600.0,
        description="How long a connection may stay open without an open call. Then it is closed "
        "gracefully, whether or not it sends PINGs; clients reconnect when they need it. 0: no "
        "limit.",
    )
    max_age: SecondsOrZero = Field(
        default=0.0,
        description="Age at which a client is asked to reconnect, varied by up to 10 % for each "
        "connection. This spreads clients over proxies that were added. Open calls continue. 0: "
        "no limit.",
    )
    max_age_grace: SecondsOrZero = Field(
        default=0.0,
        description="Grace period for open calls once connections.maxAge is reached. Then they "
        "end with UNAVAILABLE. 0: no limit.",
    )


class ProxyProtocolSettings(Section):
    """Load balancers that send the client's address in a header of the PROXY protocol."""

    trusted: NetworkTexts = Field(
        default=(),
        description="Addresses of load balancers whose connections must begin with a header of "
        "the PROXY protocol, version 1 or 2. The address in it counts as the client's. A "
        "connection without one is closed, and so is a connection with one from any other address.",
    )


class ForwardedForSettings(Section):
    """Load balancers that send the client's address in the header x-forwarded-for."""

    trusted: NetworkTexts = Field(
        default=(),
        description="Addresses of load balancers whose header x-forwarded-for is trusted, for "
        "login limits and the audit log. From other addresses the header is forwarded to the "
        "backend and not used.",
    )
    hops: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="Number of trusted proxies in a row that append to x-forwarded-for. The client "
        "is the entry with this number from the right. A call without such an entry counts for "
        "the load balancer.",
    )


class PoolSettings(Section):
    """Connections of one proxy process to the backend."""

    max_connections: Annotated[int, Field(gt=0, le=256)] = Field(
        default=8,
        description="Maximum number of connections to the backend. Another one is opened when "
        "the open ones accept no more streams (100 each is a common limit) or do not read fast "
        "enough. If the backend has such a limit, a user gets another stream only while more are "
        "free than this user holds, so that one user alone can hold at most half of them.",
    )
    max_waiting: Count = Field(
        default=2000,
        description="Maximum number of calls that wait for a stream, each until its own "
        "deadline. More are refused with RESOURCE_EXHAUSTED. Users take turns. A user may queue "
        "another call only while more places are free than this user holds, so that one user "
        "alone can hold at most half of them.",
    )
    idle_timeout: SecondsOrZero = Field(
        default=300.0,
        description="How long a connection to the backend stays open without a call if there is "
        "another one. Make it longer than the pause between two bursts of calls, to avoid "
        "reconnecting for each. 0: no limit.",
    )

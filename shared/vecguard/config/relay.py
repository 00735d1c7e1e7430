"""Limits of the public port, and settings of the connections to the backend."""

from typing import Annotated

from pydantic import Field

from vecguard.config.fields import Count, Seconds, Section

#: RFC 9113, section 6.9: a window is a signed 32-bit number, and begins with this on a connection.
Window = Annotated[int, Field(ge=65_535, le=2**31 - 1)]
#: Four kibibytes hold gRPC's own headers and a login.
HeaderListSize = Annotated[int, Field(ge=4096, le=2**24)]
#: 0: never.
Duration = Annotated[float, Field(ge=0)]


class Http2Settings(Section):
    """Limits of one client connection, and of all together."""

    max_concurrent_streams: Count = Field(
        default=1000,
        description="Most open calls on one connection; more are refused. Long streams should "
        "not shut out a client's short calls.",
    )
    max_header_list_size: HeaderListSize = Field(
        default=65_536,
        description="Most headers in one call, in bytes, with 32 added for each; a call with more "
        "is refused. gRPC's own default is 16384, a token may be longer.",
    )
    stream_window: Window = Field(
        default=1_048_576,
        description="Most bytes of one stream that wait for their receiver; it should cover a "
        "round trip (1 MiB is 800 Mbit/s at 10 ms).",
    )
    connection_window: Window = Field(
        default=16_777_216,
        description="Most bytes of requests that wait for one connection's streams together.",
    )
    max_buffered: Count = Field(
        default=536_870_912,
        description="Most bytes that wait in one process, in both directions, and what open calls "
        "and headers that are begun hold; beyond it clients for which most waits lose those calls, "
        "or their connections. Keep it well below the memory limit.",
    )


class ConnectionSettings(Section):
    """Limits of the number and the age of client connections in one process."""

    max: Count = Field(
        default=10_000,
        description="Most connections. An idle one costs some 30 KiB and a file descriptor; where "
        "the system has fewer of those (its hard limit), fewer are accepted.",
    )
    max_per_address: Count = Field(
        default=2000,
        description="Most connections from one address (IPv6: /64), so that none can shut out "
        "all others. Beyond either limit the oldest without an admitted call makes room. Raise it "
        "to connections.max behind a balancer that hides addresses.",
    )
    handshake_timeout: Seconds = Field(
        default=10.0,
        description="Time for the TLS handshake, and then for the first frames, in seconds.",
    )
    first_call_timeout: Duration = Field(
        default=60.0,
        description="Time until a first call with a valid login, in seconds; a connection without "
        "one is closed in good order, and makes room earlier where a limit is reached. "
        "0: connections may wait for connections.idleTimeout.",
    )
    idle_timeout: Duration = Field(
        default=3600.0,
        description="Time without an open call after which a connection is closed in good order, "
        "in seconds, regardless of PINGs; clients connect again when they need it. 0: never.",
    )
    max_age: Duration = Field(
        default=0.0,
        description="Time after which clients are asked to connect again, in seconds, give or take "
        "a tenth. It spreads them over proxies that were added; open calls go on. 0: never.",
    )
    max_age_grace: Duration = Field(
        default=0.0,
        description="What open calls have after connections.maxAge before they are ended with "
        "UNAVAILABLE, in seconds. 0: they are not.",
    )


class PoolSettings(Section):
    """Settings of one process's connections to the backend."""

    max_connections: Annotated[int, Field(gt=0, le=256)] = Field(
        default=8,
        description="Most connections. The second and further ones are opened when the others "
        "take no more streams (100 each is a common limit) or do not read quickly enough. Where "
        "the backend has such a limit, a user gets another stream as long as more are free than "
        "it holds: one alone has half of all at most.",
    )
    max_waiting: Count = Field(
        default=2000,
        description="Most calls that wait for a stream, each until its own deadline; more are "
        "refused with RESOURCE_EXHAUSTED. Users take turns, and a user may have another one wait "
        "as long as more places are free than it has: one alone has half of all at most.",
    )
    idle_timeout: Duration = Field(
        default=300.0,
        description="Time without a call after which a connection is closed if there is another "
        "one, in seconds. Longer than between two bursts of calls, or each would have to connect "
        "again. 0: never.",
    )

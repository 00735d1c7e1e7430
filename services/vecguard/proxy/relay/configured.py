"""Converts the settings of the relay to its policies."""

from dataclasses import dataclass

from vecguard.config.relay import ConnectionSettings, Http2Settings, PoolSettings
from vecguard.proxy.http2.limits import Limits
from vecguard.proxy.relay.clients.connection_limits import ConnectionLimitsPolicy
from vecguard.proxy.relay.clients.lifetime import LifetimePolicy
from vecguard.proxy.relay.upstreams.pool import PoolPolicy


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds what all clients of a process may use together.

    Attributes:
        buffered_bytes: the most bytes that wait for slow receivers, in both directions; above
            it, the clients for whom most waits lose their calls. Ten thousand honest clients
            never come near it, because their data moves. Windows bound each stream and each
            connection.
        connections: how many there may be, in all and from one address.
        lifetime: how long connections may last.
    """

    buffered_bytes: int
    connections: ConnectionLimitsPolicy
    lifetime: LifetimePolicy


def limits(settings: Http2Settings) -> Limits:
    """Returns the limits of one connection."""
    return Limits(
        concurrent_streams=settings.max_concurrent_streams,
        stream_window_bytes=settings.stream_window,
        connection_window_bytes=settings.connection_window,
        header_list_bytes=settings.max_header_list_size,
        header_block_bytes=2 * settings.max_header_list_size,
    )


def bounds(http2: Http2Settings, connections: ConnectionSettings) -> Bounds:
    """Returns the bounds of all client connections together."""
    return Bounds(
        buffered_bytes=http2.max_buffered,
        connections=ConnectionLimitsPolicy(
            connections=connections.max,
            connections_per_address=connections.max_per_address,
        ),
        lifetime=LifetimePolicy(
            greeting_seconds=connections.handshake_timeout,
            first_call_seconds=connections.first_call_timeout or None,
            idle_seconds=connections.idle_timeout or None,
            age_seconds=connections.max_age or None,
            grace_seconds=connections.max_age_grace or None,
        ),
    )


def pool(settings: PoolSettings) -> PoolPolicy:
    """Returns the policy for the connections to an upstream."""
    return PoolPolicy(
        connections=settings.max_connections,
        waiting=settings.max_waiting,
        idle_seconds=settings.idle_timeout or None,
    )

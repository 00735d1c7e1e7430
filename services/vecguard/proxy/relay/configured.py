"""The relay's bounds, from the settings."""

from vecguard.backoff import BackoffPolicy
from vecguard.config.relay import ConnectionSettings, Http2Settings, PoolSettings
from vecguard.proxy.http2.limits import Limits
from vecguard.proxy.relay.bounds import Bounds
from vecguard.proxy.relay.clients.doorway import DoorwayPolicy
from vecguard.proxy.relay.clients.lifetime import LifetimePolicy
from vecguard.proxy.relay.upstreams.pool import PoolPolicy


def limits(settings: Http2Settings) -> Limits:
    """The bounds of one connection."""
    return Limits(
        concurrent_streams=settings.max_concurrent_streams,
        stream_window_bytes=settings.stream_window,
        connection_window_bytes=settings.connection_window,
        frame_bytes=settings.max_frame_size,
        header_list_bytes=settings.max_header_list_size,
        header_block_bytes=2 * settings.max_header_list_size,
        nuisances=settings.max_useless_frames,
        unread_bytes=settings.max_unread,
    )


def bounds(http2: Http2Settings, connections: ConnectionSettings) -> Bounds:
    """The bounds of all connections of clients together."""
    return Bounds(
        buffered_bytes=http2.max_buffered,
        doorway=DoorwayPolicy(
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
    """The connections to an upstream."""
    return PoolPolicy(
        connections=settings.max_connections,
        waiting=settings.max_waiting,
        idle_seconds=settings.idle_timeout or None,
        backoff=BackoffPolicy(settings.reconnect_delay, settings.max_reconnect_delay),
    )

"""Builds the parts of the relay from the settings."""

import ssl
from collections.abc import Callable

from vecguard.addresses import Address
from vecguard.config.relay import ConnectionSettings, Http2Settings, PoolSettings
from vecguard.config.services import ProxySettings
from vecguard.config.settings import Settings
from vecguard.networks import Networks
from vecguard.proxy.http2.limits import LimitHits, Limits
from vecguard.proxy.relay.bounds import Bounds
from vecguard.proxy.relay.calls.open_calls import OpenCalls
from vecguard.proxy.relay.calls.tracing import Tracer
from vecguard.proxy.relay.clients.balancers import BalancerPolicy
from vecguard.proxy.relay.clients.connection_limits import ConnectionLimitsPolicy
from vecguard.proxy.relay.clients.lifetime import LifetimePolicy
from vecguard.proxy.relay.listener import Listener
from vecguard.proxy.relay.reception import Authorizer, Gatekeeper
from vecguard.proxy.relay.upstreams.header_policy import HeaderPolicy
from vecguard.proxy.relay.upstreams.pool import PoolPolicy
from vecguard.proxy.relay.upstreams.routing import Routes
from vecguard.proxy.relay.upstreams.upstream import Upstream, over_tcp


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


def balancers(settings: ProxySettings) -> BalancerPolicy:
    """Returns which peers are believed about the addresses of their clients."""
    return BalancerPolicy(
        proxy_header=Networks.parse(settings.proxy_protocol.trusted),
        forwarded_for=Networks.parse(settings.forwarded_for.trusted),
        hops=settings.forwarded_for.hops,
    )


def pool(settings: PoolSettings) -> PoolPolicy:
    """Returns the policy for the connections to an upstream."""
    return PoolPolicy(
        connections=settings.max_connections,
        waiting=settings.max_waiting,
        idle_seconds=settings.idle_timeout or None,
    )


def backend(settings: Settings, tls: ssl.SSLContext | None, hits: LimitHits) -> Upstream:
    """Returns the upstream that gets all calls that this process does not answer itself.

    Args:
        settings: all settings.
        tls: the context of the connections; None for plain ones.
        hits: counts the limits that are reached.

    Raises:
        ConfigurationError: the address cannot be read.
    """
    address = settings.backend.address
    return Upstream(
        f"backend {address}",
        over_tcp(Address.parse(address), timeout_seconds=settings.backend.connect_timeout, tls=tls),
        authority=address,
        scheme=b"https" if tls else b"http",
        policy=HeaderPolicy(authorization=settings.proxy.forward_authorization),
        pool=pool(settings.backend.pool),
        hits=hits,
    )


def listener(
    settings: ProxySettings,
    gatekeeper: Gatekeeper,
    routes: Routes[Upstream],
    open_calls: OpenCalls,
    *,
    hits: LimitHits,
    origin_of: Callable[[str], str],
    authorizer: Authorizer | None = None,
    filtering: Upstream | None = None,
    tracer: Tracer | None = None,
) -> Listener:
    """Returns the public port; it does not listen yet."""
    return Listener(
        gatekeeper,
        routes,
        open_calls,
        max_request_bytes=settings.grpc.server_max_recv_size,
        max_answer_bytes=settings.grpc.server_max_send_size,
        limits=limits(settings.http2),
        bounds=bounds(settings.http2, settings.connections),
        balancers=balancers(settings),
        hits=hits,
        origin_of=origin_of,
        authorizer=authorizer,
        filtering=filtering,
        tracer=tracer,
    )

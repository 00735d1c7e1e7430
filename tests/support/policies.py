"""The relay's bounds by the defaults of the settings, with changes of a test."""

from dataclasses import replace
from typing import Any

from vecguard.config.relay import ConnectionSettings, Http2Settings, PoolSettings
from vecguard.proxy.http2.limits import Limits
from vecguard.proxy.relay import configured
from vecguard.proxy.relay.bounds import Bounds
from vecguard.proxy.relay.clients.connection_limits import ConnectionLimitsPolicy
from vecguard.proxy.relay.clients.lifetime import LifetimePolicy
from vecguard.proxy.relay.upstreams.pool import PoolPolicy

_BOUNDS = configured.bounds(Http2Settings(), ConnectionSettings())


def limits_with(**changes: Any) -> Limits:
    return replace(configured.limits(Http2Settings()), **changes)


def bounds_with(**changes: Any) -> Bounds:
    return replace(_BOUNDS, **changes)


def connection_limits_with(**changes: Any) -> ConnectionLimitsPolicy:
    return replace(_BOUNDS.connections, **changes)


def lifetime_with(**changes: Any) -> LifetimePolicy:
    return replace(_BOUNDS.lifetime, **changes)


def pool_with(**changes: Any) -> PoolPolicy:
    return replace(configured.pool(PoolSettings()), **changes)
